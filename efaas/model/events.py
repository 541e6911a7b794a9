"""What happened to a loop, as its session tells it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = ["LoopEvent", "LoopEventKind"]

LoopEventKind: TypeAlias = Literal["stayed", "recompiled", "moved", "failed over"]
"""What a change led to. ``stayed``: the predicted shift is small. ``recompiled``: it is not, and
the loop goes on with what is now best on its backend. ``moved``: another backend saves more than
the move costs. ``failed over``: a job failed for good, and the loop goes on elsewhere."""


@dataclass(frozen=True, slots=True)
class LoopEvent:
    """A change of calibration under a loop, or a failure, and what was done about it.

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
