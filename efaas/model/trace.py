"""What is remembered of a session's work: its attempts, its optimizers' rounds and their steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from efaas.model.job import AttemptRecord, Usage

__all__ = [
    "Fate",
    "How",
    "PastAttempt",
    "TracedAttempt",
    "TracedLoop",
    "TracedRecall",
    "TracedRound",
    "TracedStep",
]

_NO_USAGE = Usage()

Fate: TypeAlias = Literal["asked for", "hit", "miss", "pending"]
"""Of an evaluation: it was asked for from the start; it was a guess, and was used, was not used,
or nobody knows yet."""

How: TypeAlias = Literal["round", "guess", "known", "nearby"]
"""Where an optimizer's answer came from: it waited for a round; a guess was there or in flight; it
had been sent out in a round with others that were asked for; it is that of a guess nearby."""


@dataclass(frozen=True, slots=True)
class PastAttempt:
    """An attempt of a job before its last: one that failed, or that evaluated some of its points.

    Attributes:
        record: Where and when it ran.
        points: How many it evaluated.
        usage: What it used.
        calibration_id: The calibration that it ran under; None for a failure.
        compile_seconds: How much of it was compiling.
        estimates: What it gave, or None.
    """

    record: AttemptRecord
    points: int
    usage: Usage = _NO_USAGE
    calibration_id: str | None = None
    compile_seconds: float = 0.0
    estimates: Any = None


@dataclass(frozen=True, slots=True)
class TracedAttempt:
    """One run of a job on a backend, or of a classical step. Instants are the session's clock's.

    Attributes:
        job_id: The job.
        number: Which attempt of the job; 1 for the first.
        tenant: Who was charged.
        loop_id: The loop, or None.
        place: The backend, or ``"cpu"``.
        calibration_id: The calibration that it ran under; None for a failure or a classical step.
        state: ``"done"``, ``"failed"`` or ``"cancelled"``.
        fate: Whether it was asked for, and if not, what became of the guess.
        rides_with: The job whose round a guess wanted to share, or None.
        evaluations: Points evaluated; 0 for a classical step.
        shots: Shots of each measurement setting; None for exact evaluations and classical steps.
        submitted_at: When the job was submitted.
        queued_at: When it came into the queue.
        dispatched_at: When this attempt was handed over.
        first_shot_at: When it began to run, or None if it never did.
        finished_at: When it ended.
        compile_seconds: How much of it was compiling, since the circuit was cold.
        qpu_seconds: QPU service.
        cpu_seconds: CPU service.
        values: The estimates, for evaluations of one observable; else ``()``.
        stds: Their standard errors.
        error: What went wrong, or None.
    """

    job_id: int
    number: int
    tenant: str
    loop_id: str | None
    place: str
    calibration_id: str | None
    state: str
    fate: Fate
    rides_with: int | None
    evaluations: int
    shots: int | None
    submitted_at: float
    queued_at: float
    dispatched_at: float
    first_shot_at: float | None
    finished_at: float
    compile_seconds: float = 0.0
    qpu_seconds: float = 0.0
    cpu_seconds: float = 0.0
    values: tuple[float, ...] = ()
    stds: tuple[float, ...] = ()
    error: str | None = None

    @property
    def is_guess(self) -> bool:
        """Whether it began as a guess."""
        return self.fate != "asked for"

    @property
    def seconds(self) -> float:
        """How long it took from the hand-over to the end."""
        return self.finished_at - self.dispatched_at


@dataclass(frozen=True, slots=True)
class TracedRound:
    """Evaluations that an optimizer's run sent out together.

    Attributes:
        loop_id: The loop.
        run: Which run of an optimizer on that loop; 1 for the first.
        number: Which round of the run; 1 for the first.
        launched_at: When it was begun: then the calibration is looked at, and jobs are made.
        job_ids: The jobs that were asked for; guesses name one of them in ``rides_with``.
        asked: Evaluations asked for.
        guessed: Evaluations guessed beside them.
    """

    loop_id: str
    run: int
    number: int
    launched_at: float
    job_ids: tuple[int, ...]
    asked: int
    guessed: int


@dataclass(frozen=True, slots=True)
class TracedStep:
    """One answer that an optimizer was given.

    Attributes:
        loop_id: The loop.
        run: Which run of an optimizer on that loop; 1 for the first.
        number: Which answer of the run; 1 for the first.
        kind: ``"value"`` or ``"gradient"``.
        how: Where the answer came from.
        round: The number of rounds that had been sent out by then.
        asked_at: When it was asked for.
        answered_at: When the optimizer had it.
        think_seconds: How long the optimizer had computed before it asked.
        evaluations: What the answer took.
        value: The value; None for a gradient.
        std: Its standard error, where it is known.
        best: The lowest value so far, or None before the first.
    """

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
    std: float | None = None
    best: float | None = None

    @property
    def wait_seconds(self) -> float:
        """How long the optimizer waited for it."""
        return self.answered_at - self.asked_at


@dataclass(frozen=True, slots=True)
class TracedRecall:
    """A job whose values were taken from the session's journal: nothing ran, nothing was spent.

    Attributes:
        job_id: The job.
        loop_id: The loop, or None.
        backend: Where its loop was then.
        calibration_id: The calibration that its values were measured under, where it is known.
        is_guess: Whether it was recalled as a guess.
        at: When.
        evaluations: Points recalled.
        shots: Shots of each measurement setting that they had taken; None for exact ones.
        values: The estimates, for evaluations of one observable; else ``()``.
        stds: Their standard errors.
    """

    job_id: int
    loop_id: str | None
    backend: str
    calibration_id: str | None
    is_guess: bool
    at: float
    evaluations: int
    shots: int | None
    values: tuple[float, ...] = ()
    stds: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class TracedLoop:
    """Where a loop was when the trace was taken, and why.

    Attributes:
        id: The loop.
        backend: Where it is pinned.
        reason: Why, in words.
        calibration_id: The calibration that its circuit is compiled for.
        calibration_taken_at: When that was measured, in ISO 8601; None where unknown.
        num_qubits: Active physical qubits.
        two_qubit_gates: Of the ISA circuit.
        depth: Of the ISA circuit.
        esp: Estimated success probability, in [0, 1].
    """

    id: str
    backend: str
    reason: str
    calibration_id: str
    calibration_taken_at: str | None
    num_qubits: int
    two_qubit_gates: int
    depth: int
    esp: float
