"""A ticket: a job together with its work and the futures that wait for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from efaas.model.job import CPU, AttemptRecord, JobSnapshot, JobState, Timeline, Usage
from efaas.model.trace import PastAttempt

if TYPE_CHECKING:
    from efaas.backends.protocol import Estimates, Evaluation, Outcome
    from efaas.dispatch.recording import Entry
    from efaas.future import QuantumFuture
    from efaas.model.job import Job

__all__ = ["Ticket"]

_NO_USAGE = Usage()

_Attempt: TypeAlias = tuple[str, float, float | None, float, str | None]
"""An ``AttemptRecord``, made only when somebody looks."""


class Ticket:
    """A job on its way: once submitted, only the dispatcher changes it, under its lock.

    Attributes:
        job: What the scheduler knows of it.
        futures: Who waits: one, or one per point of the evaluation.
        work: The evaluation, or the classical step as a function; None once the job has ended.
        points: Evaluated points; 0 for a classical step.
        speculative: Whether it still hangs on a guess.
        where: The backend of the last attempt.
        usage: The service of all attempts that gave results.
        spent: The service of the last attempt.
        shots: Shots of each measurement setting of an evaluation, or None.
        compile_seconds: How much of the last attempt was compiling.
        estimates: What the last attempt estimated of a single observable, or None.
        entry: Where it stands in its session's journal, if there is one.
        is_recalled: Whether its values were taken from there.
        can_be_stopped: Whether the attempt that runs can be.
        sent: What that evaluates.
    """

    __slots__ = (
        "_attempts",
        "_pieces",
        "_span",
        "calibration_id",
        "can_be_stopped",
        "compile_seconds",
        "convert",
        "dispatched_at",
        "entry",
        "error",
        "estimates",
        "finished_at",
        "first_shot_at",
        "futures",
        "is_recalled",
        "job",
        "points",
        "queued_at",
        "sent",
        "shots",
        "speculative",
        "spent",
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
        self.shots: int | None = cast("Evaluation", work).shots if points else None
        self.compile_seconds = 0.0
        self.estimates: Estimates | None = None
        self.speculative = job.speculative
        self.state = JobState.QUEUED
        self.submitted_at = submitted_at
        self.queued_at: float | None = None
        self.dispatched_at: float | None = None
        self.first_shot_at: float | None = None
        self.finished_at: float | None = None
        self.where: str | None = None
        self.can_be_stopped = False
        self.sent: Evaluation | None = None
        self.calibration_id: str | None = None
        self.usage = self.spent = _NO_USAGE
        self._pieces: tuple[Outcome, ...] = ()  # of the points before the span
        self._span: tuple[int, int] | None = None  # the points of this attempt, if not all
        self.error: BaseException | None = None
        self.entry: Entry | None = None
        self.is_recalled = False
        self._attempts: tuple[_Attempt, ...] = ()

    @property
    def origin(self) -> tuple[str, str | None] | None:
        """The backend and the calibration id of its result, once there is one."""
        if self.state is not JobState.DONE or self.where is None or self.where == CPU:
            return None
        return self.where, self.calibration_id

    @property
    def last_points(self) -> int:
        """Points of the last attempt."""
        return self.points if self._span is None else self._span[1] - self._span[0]

    @property
    def past(self) -> tuple[PastAttempt, ...]:
        """Its attempts but for the last; mostly none."""
        if len(self._attempts) < 2:
            return ()
        pieces = iter(self._pieces)
        past = []
        for attempt in self._attempts[:-1]:
            record = AttemptRecord(*attempt)
            piece = next(pieces, None) if record.error is None else None
            past.append(
                PastAttempt(record, self.points)
                if piece is None
                else PastAttempt(
                    record,
                    piece.value.num_points,
                    piece.usage,
                    piece.calibration_id,
                    piece.compile_seconds,
                    piece.value,
                )
            )
        return tuple(past)

    def claim(self, *, is_cut: bool = False) -> bool:
        """Whether anybody still waits; the points that nobody waits for are dropped.

        Args:
            is_cut: Whether the scheduler counts the points, so that they have to stay.
        """
        if len(self.futures) == 1:
            return self.futures[0]._claim() or self.futures[0].running()
        rows = [row for row, f in enumerate(self.futures) if f._claim() or f.running()]
        if rows and len(rows) < len(self.futures) and not is_cut and self._span is None:
            self.futures = [self.futures[row] for row in rows]
            self.work = cast("Evaluation", self.work).at(rows)
            self.points = len(rows)
        return bool(rows)

    def is_cancelled(self) -> bool:
        """Whether nobody waits any more."""
        if len(self.futures) == 1:
            return self.futures[0].cancelled()
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
        part.entry = self.entry
        future._ticket = part
        return part

    def recall(self, outcome: Outcome, now: float) -> bool:
        """End at once with an outcome of an earlier run; whether that could be."""
        try:
            values = self.values(outcome)
            if len(values) != len(self.futures):
                return False
        except Exception:  # it runs like any other, and that attempt will say what is wrong
            return False
        self.is_recalled = True
        self.where = self.job.places[0]
        self.calibration_id = outcome.calibration_id
        self.finished(JobState.DONE, now)
        for future, value in zip(self.futures, values, strict=True):
            if future._claim():
                future.set_result(value)
        return True

    def dispatched(self, place: str, now: float, points: int | None = None) -> None:
        """An attempt begins: with so many of the points that are left, or all of them."""
        if points is not None or self._span is not None:
            first = sum(piece.value.num_points for piece in self._pieces)
            self._span = first, self.points if points is None else first + points
        self.spent = _NO_USAGE
        self.compile_seconds = 0.0
        self.estimates = None
        self.state = JobState.RUNNING
        self.where = place
        self.dispatched_at = now
        self.first_shot_at = None

    def next_points(self) -> Evaluation:
        """What this attempt evaluates."""
        work = cast("Evaluation", self.work)
        self.sent = work if self._span is None else work.at(range(*self._span))
        return self.sent

    def add(self, outcome: Outcome) -> Outcome | None:
        """Take in what this attempt gave; returns the outcome of all points once it is there."""
        spent = outcome.usage
        self.spent = Usage(spent.qpu_seconds, spent.cpu_seconds, spent.fixed_seconds)
        if self._span is None:
            self.usage = self.spent
            return outcome
        self._pieces += (outcome,)
        self.usage = Usage(
            self.usage.qpu_seconds + self.spent.qpu_seconds,
            self.usage.cpu_seconds + self.spent.cpu_seconds,
            self.usage.fixed_seconds + self.spent.fixed_seconds,
        )
        if self.has_rest():
            return None
        first, *others = self._pieces
        for piece in others:
            first = first.followed_by(piece)
        return replace(first, usage=self.usage)

    def has_rest(self) -> bool:
        """Whether this attempt leaves points to a later one."""
        return self._span is not None and self._span[1] < self.points

    def attempted(self, now: float, error: BaseException | None) -> None:
        """An attempt has ended."""
        if self.where is None or self.dispatched_at is None:
            return
        self.error = error
        described = None if error is None else f"{type(error).__name__}: {error}"
        self._attempts += ((self.where, self.dispatched_at, self.first_shot_at, now, described),)

    def requeued(self) -> None:
        """It waits for one more attempt."""
        self.state = JobState.QUEUED

    def finished(self, state: JobState, now: float) -> None:
        """The job has ended; its work, which may be large, is let go."""
        self.state = state
        self.finished_at = now
        self.work = self.sent = self.convert = None

    def snapshot(self, *, is_cancelled: bool = False) -> JobSnapshot:
        """What has happened so far.

        Args:
            is_cancelled: Whether the future that asks was cancelled.
        """
        attempts = tuple([AttemptRecord(*attempt) for attempt in self._attempts])
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
            is_recalled=self.is_recalled,
        )
