"""What came of a simulated run: every step of every loop, every background job, all busy time."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

__all__ = ["Busy", "LoopOutcome", "Outcome", "RanBackground", "RanStep"]


class RanStep(NamedTuple):
    """One job of a loop that the optimizer used; instants in virtual seconds.

    Attributes:
        ready_at: When its parameters were ready: the optimizer asked for it.
        first_shot_at: When its first shot was fired; before ``ready_at`` for a guess that hit.
        ended_at: When its result was there.
        used_at: When the optimizer had it: not before it asked.
        age_seconds: Of the device's calibration at the first shot.
        place: The device.
        was_hit: Whether it had been guessed.
        gap: As in ``TraceStep``.
    """

    ready_at: float
    first_shot_at: float
    ended_at: float
    used_at: float
    age_seconds: float
    place: str
    was_hit: bool
    gap: float | None


class RanBackground(NamedTuple):
    """One job of somebody else; instants in virtual seconds, infinite if it never started."""

    arrived_at: float
    started_at: float
    ended_at: float


class Busy(NamedTuple):
    """A stretch of time that a device executed shots.

    Attributes:
        began_at: From when.
        ended_at: Until when.
        kind: "loop", "background", "waste" for guesses that missed, or "lost" for work that was
            thrown out or failed.
        place: The device.
        loop: The number of the loop, from 1; 0 for jobs of others.
        points: Evaluations in the job.
    """

    began_at: float
    ended_at: float
    kind: str
    place: str = ""
    loop: int = 0
    points: int = 1


@dataclass(slots=True)
class LoopOutcome:
    """A loop's run.

    Attributes:
        name: Of its trace or problem.
        tenant: Whose it is.
        arrived_at: When it came.
        ended_at: When it was over; infinite if it is not.
        steps: Its jobs, in order.
        missed: Guesses that ran for nothing.
    """

    name: str
    tenant: str
    arrived_at: float
    ended_at: float = math.inf
    steps: list[RanStep] = field(default_factory=list)
    missed: int = 0


@dataclass(slots=True)
class Outcome:
    """A run of the twin.

    Attributes:
        policy: The policy's name.
        seed: Of the run.
        device_count: QPUs.
        loops: The loops.
        background: Jobs of others, in order of arrival.
        busy: When devices executed.
        calibrations: How many were made.
        ended_at: Where the simulation ended.
    """

    policy: str
    seed: int
    device_count: int
    loops: list[LoopOutcome] = field(default_factory=list)
    background: list[RanBackground] = field(default_factory=list)
    busy: list[Busy] = field(default_factory=list)
    calibrations: int = 0
    ended_at: float = 0.0
