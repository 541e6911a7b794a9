"""A ticket: a job together with its work and the future that waits for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from efaas.model.job import AttemptRecord, JobSnapshot, JobState, Timeline, Usage

if TYPE_CHECKING:
    from efaas.backends.protocol import Evaluation
    from efaas.future import QuantumFuture
    from efaas.model.job import Job

__all__ = ["Ticket"]


class Ticket:
    """A job on its way: only the dispatcher's thread changes one after it is submitted.

    Attributes:
        job: What the scheduler knows of it.
        future: Who waits.
        work: The evaluation, or the classical step as a function; None once the job has ended.
        points: Evaluated points; 0 for a classical step.
        speculative: Whether it still hangs on a guess.
        where: The backend of the last attempt.
    """

    __slots__ = (
        "_attempts",
        "calibration_id",
        "convert",
        "dispatched_at",
        "error",
        "finished_at",
        "first_shot_at",
        "future",
        "job",
        "points",
        "queued_at",
        "speculative",
        "state",
        "submitted_at",
        "usage",
        "where",
        "work",
    )

    def __init__(
        self,
        job: Job,
        future: QuantumFuture[Any],
        work: Evaluation | Callable[[], Any],
        convert: Callable[[Any], Any] | None,
        submitted_at: float,
        points: int,
    ) -> None:
        self.job = job
        self.future = future
        self.work: Evaluation | Callable[[], Any] | None = work
        self.convert = convert
        self.points = points
        self.speculative = job.speculative
        self.state = JobState.QUEUED
        self.submitted_at = submitted_at
        self.queued_at: float | None = None
        self.dispatched_at: float | None = None
        self.first_shot_at: float | None = None
        self.finished_at: float | None = None
        self.where: str | None = None
        self.calibration_id: str | None = None
        self.usage = Usage()
        self.error: BaseException | None = None
        self._attempts: tuple[AttemptRecord, ...] = ()

    def dispatched(self, place: str, now: float) -> None:
        """An attempt begins."""
        self.state = JobState.RUNNING
        self.where = place
        self.dispatched_at = now
        self.first_shot_at = None

    def attempted(self, now: float, error: BaseException | None) -> None:
        """An attempt has ended."""
        if self.where is None or self.dispatched_at is None:
            return
        self.error = error
        described = None if error is None else f"{type(error).__name__}: {error}"
        self._attempts += (
            AttemptRecord(self.where, self.dispatched_at, self.first_shot_at, now, described),
        )
        self.state = JobState.QUEUED  # until it is finished, or dispatched once more

    def finished(self, state: JobState, now: float) -> None:
        """The job has ended; its work, which may be large, is let go."""
        self.state = state
        self.finished_at = now
        self.work = self.convert = None

    def snapshot(self) -> JobSnapshot:
        """What has happened so far."""
        attempts = self._attempts
        if self.state is JobState.RUNNING and self.where and self.dispatched_at is not None:
            attempts += (AttemptRecord(self.where, self.dispatched_at, self.first_shot_at),)
        return JobSnapshot(
            id=self.job.id,
            state=JobState.CANCELLED if self.future.cancelled() else self.state,
            backend=self.where,
            calibration_id=self.calibration_id,
            speculative=self.speculative,
            loop_id=self.job.loop_id,
            attempts=attempts,
            timeline=Timeline(
                self.submitted_at,
                self.queued_at,
                self.dispatched_at,
                self.first_shot_at,
                self.finished_at,
            ),
            usage=self.usage,
        )
