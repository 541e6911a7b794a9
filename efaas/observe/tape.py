"""The tape: what a session's trace is made of, written down as cheaply as can be.

A job that does nothing must not cost more because it is seen. So the tape keeps tuples, at most so
many, and everything that can be found out later is left to ``Trace``.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from efaas.model.job import CPU

if TYPE_CHECKING:
    from efaas.model.job import Job, JobState, Usage
    from efaas.model.trace import How, PastAttempt

__all__ = ["Answer", "Begun", "EndedJob", "Recalled", "RunTape", "Seen", "Tape"]

MOST = 20_000
"""Jobs on backends, classical steps, answers and rounds that are kept, of each the latest."""


class EndedJob(Protocol):
    """A job that has ended, as the dispatcher shows it."""

    job: Job
    state: JobState
    where: str | None
    calibration_id: str | None
    points: int
    shots: int | None
    submitted_at: float
    queued_at: float | None
    dispatched_at: float | None
    first_shot_at: float | None
    finished_at: float | None
    compile_seconds: float
    usage: Usage
    spent: Usage
    estimates: Any
    error: BaseException | None

    @property
    def last_points(self) -> int:
        """Points of the last attempt."""
        ...

    @property
    def past(self) -> tuple[PastAttempt, ...]:
        """Its attempts but for the last."""
        ...


class Seen(NamedTuple):
    """A job that has ended, and what is known of its last attempt; fields as of ``EndedJob``."""

    job_id: int
    tenant: str
    loop_id: str | None
    is_guess: bool
    rides_with: int | None
    state: str
    where: str
    calibration_id: str | None
    points: int
    shots: int | None
    submitted_at: float
    queued_at: float | None
    dispatched_at: float
    first_shot_at: float | None
    finished_at: float | None
    compile_seconds: float
    qpu_seconds: float
    cpu_seconds: float
    estimates: Any
    error: str | None
    past: tuple[PastAttempt, ...]


class Recalled(NamedTuple):
    """A job that the journal answered; fields as of ``TracedRecall``, with its estimates."""

    job_id: int
    loop_id: str | None
    backend: str
    calibration_id: str | None
    is_guess: bool
    at: float
    evaluations: int
    shots: int | None
    estimates: Any


class Begun(NamedTuple):
    """A round; fields as of ``TracedRound``."""

    loop_id: str
    run: int
    number: int
    launched_at: float
    job_ids: tuple[int, ...]
    asked: int
    guessed: int


class Answer(NamedTuple):
    """An answer; fields as of ``TracedStep``."""

    loop_id: str
    run: int
    number: int
    kind: str
    how: How
    round: int
    asked_at: float
    answered_at: float
    think_seconds: float
    evaluations: int
    value: float | None
    std: float | None
    best: float | None


class Tape:
    """What one session did, of each kind at most ``most`` of the latest.

    Jobs are told by one thread at a time, and so are the answers of one run; any thread may read.

    Attributes:
        most: How many of each kind are kept.
        jobs: Jobs that ended on a backend; the fields of ``Seen`` of each.
        steps: Classical steps that ended, likewise.
        recalls: Jobs that the journal answered.
        verdicts: Jobs that were guesses, and whether they came true.
        rounds: Rounds of optimizers.
        answers: Answers to optimizers.
        qpu_seconds: What each loop has used in all.
    """

    def __init__(self, now: Callable[[], float], most: int = MOST) -> None:
        """Begin empty.

        Args:
            now: The session's clock.
            most: How many of each kind are kept.
        """
        self.now = now
        self.most = most
        self.jobs: deque[tuple[Any, ...]] = deque(maxlen=most)
        self.steps: deque[tuple[Any, ...]] = deque(maxlen=most)
        self.recalls: deque[Recalled] = deque(maxlen=most)
        self.verdicts: deque[tuple[int, bool]] = deque(maxlen=4 * most)
        self.rounds: deque[Begun] = deque(maxlen=most)
        self.answers: deque[Answer] = deque(maxlen=most)
        self.qpu_seconds: dict[str, float] = {}
        self._runs: Counter[str] = Counter()
        self._told = 0

    @property
    def dropped(self) -> int:
        """Jobs and steps that were told and are not kept any more."""
        return self._told - len(self.jobs) - len(self.steps)

    def ended(self, job: EndedJob) -> None:
        """Write down a job that has ended, unless it never went anywhere."""
        if job.where is None or job.dispatched_at is None:
            return
        self._told += 1
        about, spent, error = job.job, job.spent, job.error
        loop_id = about.loop_id
        if loop_id is not None:
            self.qpu_seconds[loop_id] = self.qpu_seconds.get(loop_id, 0.0) + job.usage.qpu_seconds
        kept = self.steps if job.where == CPU else self.jobs
        # A plain tuple of numbers and texts: the garbage collector has no work with those.
        kept.append(
            (
                about.id,
                about.tenant,
                loop_id,
                about.speculative,
                about.rides_with,
                job.state.value,
                job.where,
                job.calibration_id,
                job.last_points,
                job.shots,
                job.submitted_at,
                job.queued_at,
                job.dispatched_at,
                job.first_shot_at,
                job.finished_at,
                job.compile_seconds,
                spent.qpu_seconds,
                spent.cpu_seconds,
                job.estimates,
                None if error is None else f"{type(error).__name__}: {error}",
                job.past,
            )
        )

    def recalled(self, job: EndedJob) -> None:
        """Write down a job that the journal answered."""
        about = job.job
        at = self.now() if job.finished_at is None else job.finished_at
        self.recalls.append(
            Recalled(
                about.id,
                about.loop_id,
                job.where or "",
                job.calibration_id,
                about.speculative,
                at,
                job.points,
                job.shots,
                job.estimates,
            )
        )

    def settled(self, job_ids: Iterable[int], *, is_hit: bool) -> None:
        """Write down that guesses came true, or that they were for nothing."""
        self.verdicts.extend([(job_id, is_hit) for job_id in job_ids])

    def run(self, loop_id: str) -> RunTape:
        """Where a run of an optimizer on a loop is written down."""
        self._runs[loop_id] += 1
        return RunTape(self, loop_id, self._runs[loop_id])


class RunTape:
    """One run of an optimizer, as its rounds and answers; an ``efaas.optimize`` observer.

    Attributes:
        run: Which run on its loop; 1 for the first.
    """

    def __init__(self, tape: Tape, loop_id: str, run: int) -> None:
        self._tape = tape
        self._loop_id = loop_id
        self.run = run
        self._rounds = self._answers = 0
        self._launching_at = self._asked_at = self._answered_at = tape.now()
        self._how: How = "known"
        self._has_taken = self._is_asking = self._is_ahead = False
        self._std: float | None = None

    def asked(self) -> None:
        """The optimizer asks for something."""
        self._asked_at = self._tape.now()
        # A round that went out before anything was asked for is what this waits for.
        self._how = "round" if self._is_ahead else "known"
        self._is_asking = True
        self._has_taken = False
        self._std = None

    def hit(self) -> None:
        """What it asks for was guessed."""
        if self._how != "round":
            self._how = "guess"

    def launching(self) -> None:
        """A round is about to be sent out."""
        self._launching_at = self._tape.now()

    def launched(self, futures: Sequence[Any], *, asked: int, guessed: int) -> None:
        """It was sent out.

        Args:
            futures: Of what was asked for.
            asked: Evaluations asked for.
            guessed: Evaluations guessed beside them.
        """
        self._rounds += 1
        if asked:  # a round may hold nothing but guesses
            self._how = "round"
            self._is_ahead = not self._is_asking
        jobs = [getattr(future, "job", None) for future in futures]
        ids = tuple(sorted({job.id for job in jobs if job is not None}))
        self._tape.rounds.append(
            Begun(self._loop_id, self.run, self._rounds, self._launching_at, ids, asked, guessed)
        )

    def took(self, future: Any) -> None:
        """The answer is this future's."""
        self._has_taken = True
        self._std = getattr(future, "std_error", None)

    def answered(
        self, kind: str, value: float | None, *, evaluations: int, best: float | None
    ) -> None:
        """The optimizer has its answer.

        Args:
            kind: ``"value"`` or ``"gradient"``.
            value: The value, where it is one number.
            evaluations: What it took.
            best: The lowest value so far.
        """
        now = self._tape.now()
        self._answers += 1
        self._tape.answers.append(
            Answer(
                self._loop_id,
                self.run,
                self._answers,
                kind,
                self._how if self._has_taken else "nearby",
                self._rounds,
                self._asked_at,
                now,
                max(0.0, self._asked_at - self._answered_at),
                evaluations,
                value,
                self._std,
                best,
            )
        )
        self._answered_at = now
        self._is_asking = self._is_ahead = False

    def ended(self) -> None:
        """The run is over."""
