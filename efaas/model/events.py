"""What happened to a loop, as its session tells it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = ["Comparison", "LoopEvent", "LoopEventCause", "LoopEventKind", "Shift"]

LoopEventKind: TypeAlias = Literal["stayed", "recompiled", "moved", "failed over"]
"""What a change led to. ``stayed``: the shift is small. ``recompiled``: it is not, and the loop
goes on with what is now best on its backend. ``moved``: another backend saves more than the move
costs. ``failed over``: a job failed for good, and the loop goes on elsewhere."""

LoopEventCause: TypeAlias = Literal["calibration", "failure", "sentinel"]
"""What made the loop be reconsidered: a new calibration, a job that failed for good, or the
sentinel's alarm."""


@dataclass(frozen=True, slots=True)
class Shift:
    """What a check of the sentinel found.

    Attributes:
        difference: The new estimate less the reference.
        std: Standard error of the difference.
        p: Probability of so large a difference, either way, if nothing has changed.
        is_alarm: Whether that is too improbable.
    """

    difference: float
    std: float
    p: float
    is_alarm: bool


@dataclass(frozen=True, slots=True)
class Comparison:
    """The best point of a loop on both sides of a change.

    Attributes:
        before: Its value as the optimizer knows it. It was the lowest of many, so it is low by
            some standard errors; differences of that size say nothing.
        after: The value of one more evaluation of the same point where the loop is now.
        std_before: Standard error of ``before``.
        std_after: Standard error of ``after``.
    """

    before: float
    after: float
    std_before: float
    std_after: float

    @property
    def difference(self) -> float:
        """``after`` less ``before``."""
        return self.after - self.before

    @property
    def std(self) -> float:
        """Standard error of the difference."""
        return math.hypot(self.std_before, self.std_after)


@dataclass(frozen=True, slots=True)
class LoopEvent:
    """A change under a loop, and what was done about it.

    Values of before and after are of different devices or calibrations. Each result names its
    calibration: ``future.job.calibration_id``.

    Attributes:
        at: When it was decided, in the clock's seconds.
        loop_id: The loop; ``objective.loop_id``, or ``future.job.loop_id``.
        kind: What was decided.
        from_backend: Where the loop was.
        to_backend: Where it is now; the same unless it moved or failed over.
        from_calibration_id: The calibration that it was compiled for before.
        to_calibration_id: The one that it is compiled for now.
        ln_esp_shift: Change of ln ESP of the loop's circuit on the backend that it was on, since it
            was placed, recompiled or moved; 0 for a failure.
        reason: Why, in words.
        cause: What made the loop be reconsidered.
        shift: What the sentinel found, for its alarm; else None.
        comparison: The best point on both sides; None where the loop stayed, before the next
            round has ended, where ``RepinSettings.reevaluate`` is off, and for loops without one
            observable.
    """

    at: float
    loop_id: str
    kind: LoopEventKind
    from_backend: str
    to_backend: str
    from_calibration_id: str
    to_calibration_id: str
    ln_esp_shift: float
    reason: str
    cause: LoopEventCause = "calibration"
    shift: Shift | None = None
    comparison: Comparison | None = None
