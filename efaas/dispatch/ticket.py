"""A ticket: a job together with its work and the futures that wait for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

from efaas.model.job import CPU, AttemptRecord, JobSnapshot, JobState, Timeline, Usage

if TYPE_CHECKING:
    from efaas.backends.protocol import Evaluation
    from efaas.future import QuantumFuture
    from efaas.model.job import Job

__all__ = ["Ticket"]


class Ticket:
    """A job on its way: once submitted, only the dispatcher changes it, under its lock.

    Attributes:
        job: What the scheduler knows of it.
        futures: Who waits: one, or one per point of the evaluation.
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
        "futures",
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
        futures: Sequence[QuantumFuture[Any]],
        work: Evaluation | Callable[[], Any],
        convert: Callable[[Any], Sequence[Any]] | None,
        submitted_at: float,
        points: int,
    ) -> None:
        self.job = job
        self.futures = futures
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

    @property
    def origin(self) -> tuple[str, str | None] | None:
        """The backend and the calibration id of its result, once there is one."""
        if self.state is not JobState.DONE or self.where is None or self.where == CPU:
            return None
        return self.where, self.calibration_id

    def claim(self) -> bool:
        """Whether anybody still waits; the points that nobody waits for are dropped."""
        if len(self.futures) == 1:
            return self.futures[0]._claim() or self.futures[0].running()
        rows = [row for row, f in enumerate(self.futures) if f._claim() or f.running()]
        if rows and len(rows) < len(self.futures):
            self.futures = [self.futures[row] for row in rows]
            self.work = cast("Evaluation", self.work).at(rows)
            self.points = len(rows)
        return bool(rows)

    def is_cancelled(self) -> bool:
        """Whether nobody waits any more."""
        return all(future.cancelled() for future in self.futures)

    def values(self, outcome: Any) -> Sequence[Any]:
        """What each of the futures is to hold."""
        return (outcome,) if self.convert is None else self.convert(outcome)

    def part(self, row: int, job: Job) -> Ticket:
        """The job of one of the points, with the attempts that it has behind it."""
        future = self.futures[row]
        work = cast("Evaluation", self.work).at([row])
        part = Ticket(job, [future], work, self.convert, self.submitted_at, 1)
        part._attempts = self._attempts
        future._ticket = part
        return part

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

    def requeued(self) -> None:
        """It waits for one more attempt."""
        self.state = JobState.QUEUED

    def finished(self, state: JobState, now: float) -> None:
        """The job has ended; its work, which may be large, is let go."""
        self.state = state
        self.finished_at = now
        self.work = self.convert = None

    def snapshot(self, *, is_cancelled: bool = False) -> JobSnapshot:
        """What has happened so far.

        Args:
            is_cancelled: Whether the future that asks was cancelled.
        """
        attempts = self._attempts
        is_underway = not attempts or attempts[-1].dispatched_at != self.dispatched_at
        if self.where and self.dispatched_at is not None and is_underway:
            attempts += (AttemptRecord(self.where, self.dispatched_at, self.first_shot_at),)
        return JobSnapshot(
            id=self.job.id,
            state=JobState.CANCELLED if is_cancelled else self.state,
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
