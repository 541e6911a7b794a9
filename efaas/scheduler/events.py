"""What can happen to the scheduler.

Nobody changes an event or an action. They are not frozen because several are made for every job,
and setting the fields of a frozen dataclass takes five times as long.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from efaas.model.job import Job, Usage
    from efaas.model.profile import CircuitProfile

__all__ = [
    "AttemptEnded",
    "Cancelled",
    "Delivered",
    "Event",
    "LoopClosed",
    "LoopOpened",
    "LoopReconsidered",
    "Promoted",
    "StepPaused",
    "StepResumed",
    "Submitted",
    "Woken",
]


@dataclass(slots=True)
class Submitted:
    """Jobs of one round were asked for.

    Attributes:
        jobs: In order.
        is_alone: Whether each has to run in an attempt of its own, because they failed together.
    """

    jobs: tuple[Job, ...]
    is_alone: bool = False


@dataclass(slots=True)
class Cancelled:
    """Nobody wants these jobs any more."""

    job_ids: tuple[int, ...]


@dataclass(slots=True)
class Promoted:
    """The guess that these speculative jobs hung on came true."""

    job_ids: tuple[int, ...]


@dataclass(slots=True)
class AttemptEnded:
    """A backend answered, or failed as a whole.

    Attributes:
        attempt_id: The attempt.
        failed_ids: Its jobs that got no result.
        is_batch_failure: Whether the attempt failed as a whole, so that each of its jobs may
            yet succeed alone.
        usage: The measured service of each job, by its id; none for those that are missing.
    """

    attempt_id: int
    failed_ids: tuple[int, ...] = ()
    is_batch_failure: bool = False
    usage: Mapping[int, Usage] = field(default_factory=dict)


@dataclass(slots=True)
class Delivered:
    """Results have reached who waited for them: guesses on them are decided now."""

    job_ids: tuple[int, ...]


@dataclass(slots=True)
class LoopOpened:
    """A loop wants a backend.

    Attributes:
        loop_id: The loop.
        places: Those that can run it, as far as is known.
        profiles: Its circuit as compiled for some of them.
    """

    loop_id: str
    places: tuple[str, ...]
    profiles: tuple[CircuitProfile, ...] = ()


@dataclass(slots=True)
class LoopReconsidered:
    """A loop's backend has a new calibration, or failed a job of it for good.

    Attributes:
        loop_id: The loop; it has a backend.
        before: Its circuit as compiled when it was last placed, recompiled or moved.
        profiles: The same as compiled now, on its backend first; without its backend, and for at
            least one other, if that has failed.
        has_failed: Whether its backend has failed.
    """

    loop_id: str
    before: CircuitProfile
    profiles: tuple[CircuitProfile, ...]
    has_failed: bool = False


@dataclass(slots=True)
class LoopClosed:
    """A loop will submit nothing more."""

    loop_id: str


@dataclass(slots=True)
class Woken:
    """The instant has come for which a ``Wake`` asked."""

    place: str


@dataclass(slots=True)
class StepPaused:
    """A running classical step waits for another job, so its CPU slot is free meanwhile."""

    attempt_id: int


@dataclass(slots=True)
class StepResumed:
    """A paused classical step goes on; it takes its slot back at once."""

    attempt_id: int


Event: TypeAlias = (
    Submitted
    | Cancelled
    | Promoted
    | AttemptEnded
    | Delivered
    | LoopOpened
    | LoopClosed
    | LoopReconsidered
    | StepPaused
    | StepResumed
    | Woken
)
