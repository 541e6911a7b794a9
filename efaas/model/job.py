"""A job, what it needs, what it used, and what happened to it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum

from efaas.errors import InputError

__all__ = [
    "CPU",
    "AttemptRecord",
    "Demand",
    "Job",
    "JobSnapshot",
    "JobState",
    "Timeline",
    "Usage",
]

_INFINITE = math.inf

CPU = "cpu"
"""The place where classical steps run; every other place is a backend's name."""


class JobState(StrEnum):
    """Where a job stands in its life."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Demand:
    """Predicted service of a job, in seconds of each resource.

    Raises:
        InputError: A prediction is negative, infinite or NaN.
    """

    qpu_seconds: float = 0.0
    cpu_seconds: float = 0.0

    def __post_init__(self) -> None:
        if not (0.0 <= self.qpu_seconds < _INFINITE and 0.0 <= self.cpu_seconds < _INFINITE):
            raise _no_seconds("a demand", self.qpu_seconds, self.cpu_seconds)


@dataclass(frozen=True, slots=True)
class Usage:
    """Measured service of an attempt, in seconds of each resource.

    Attributes:
        qpu_seconds: On the device.
        cpu_seconds: On a CPU slot.
        fixed_seconds: Of the QPU time, its share of what the attempt takes whatever is in it.
    """

    qpu_seconds: float = 0.0
    cpu_seconds: float = 0.0
    fixed_seconds: float = 0.0

    def __post_init__(self) -> None:
        if not (0.0 <= self.qpu_seconds < _INFINITE and 0.0 <= self.cpu_seconds < _INFINITE):
            raise _no_seconds("a usage", self.qpu_seconds, self.cpu_seconds)


def _no_seconds(what: str, qpu: float, cpu: float) -> InputError:
    """One NaN would make every share that is computed from it NaN, and every comparison false."""
    return InputError(
        f"{what} is finite seconds of 0 or more, got {qpu!r} of the QPU and {cpu!r} of the CPU"
    )


@dataclass(slots=True)
class Job:
    """What the scheduler knows of one submission. Nobody changes it.

    It is not frozen because one is made for every submission: with ten fields, that would be a
    tenth of what the scheduler takes for one.

    Attributes:
        id: Unique within a scheduler and increasing in order of submission.
        session_id: The session that submitted it.
        tenant: Who is charged for it.
        places: Where it may run: backend names, or ``(CPU,)`` for a classical step.
        loop_id: The loop it belongs to, or None. All jobs of a loop run on one backend.
        speculative: Whether it hangs on a guess.
        rides_with: The committed job of the same session whose round a speculative job would like
            to share, or None. Where it cannot, it waits its turn as any other.
        demand: Its predicted service.
        weight: The tenant's share relative to others; positive.
        points: How many points it evaluates; it may be cut between two of them.
    """

    id: int
    session_id: int
    tenant: str
    places: tuple[str, ...]
    loop_id: str | None = None
    speculative: bool = False
    rides_with: int | None = None
    demand: Demand = Demand()
    weight: float = 1.0
    points: int = 1

    def part(self, points: int) -> Job:
        """The same with fewer points, and as much less demand."""
        share = points / self.points
        demand = Demand(self.demand.qpu_seconds * share, self.demand.cpu_seconds * share)
        return replace(self, points=points, demand=demand)


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """One run of a job on one backend.

    Attributes:
        backend: Where it ran.
        dispatched_at: When it was handed over, in the clock's seconds.
        first_shot_at: When it began to run there, or None if it never did.
        finished_at: When it ended, or None while it runs.
        error: What went wrong, or None.
    """

    backend: str
    dispatched_at: float
    first_shot_at: float | None = None
    finished_at: float | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Timeline:
    """The instants of a job's life, in the clock's seconds; None until they come."""

    submitted_at: float
    queued_at: float | None = None
    dispatched_at: float | None = None
    first_shot_at: float | None = None
    finished_at: float | None = None

    @property
    def queue_seconds(self) -> float | None:
        """Time between submission and dispatch, or None before it."""
        return None if self.dispatched_at is None else self.dispatched_at - self.submitted_at


@dataclass(frozen=True, slots=True)
class JobSnapshot:
    """What had happened to a job when it was looked at; it does not change afterwards.

    ``is_recalled`` says that its values were taken from the session's journal, so that it was not
    run: it has no attempts and has used nothing.
    """

    id: int
    state: JobState
    backend: str | None
    calibration_id: str | None
    speculative: bool
    loop_id: str | None
    attempts: tuple[AttemptRecord, ...]
    timeline: Timeline
    usage: Usage
    is_recalled: bool = False
