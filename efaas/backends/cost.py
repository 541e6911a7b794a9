"""How long an experiment takes and how much memory it needs, before anything runs."""

from __future__ import annotations

import os
from dataclasses import dataclass

__all__ = ["Costs", "memory_limit_bytes"]


@dataclass(frozen=True, slots=True)
class Costs:
    """What one engine would need for one point.

    Attributes:
        fixed_seconds: Whatever the number of shots.
        seconds_per_shot: On top of it.
        bytes: Memory in use at once.
    """

    fixed_seconds: float
    seconds_per_shot: float
    bytes: float

    def seconds(self, shots: int | None) -> float:
        """Predicted seconds of a point."""
        return self.fixed_seconds + self.seconds_per_shot * (shots or 0)


def memory_limit_bytes(max_memory_mb: int | None) -> float:
    """What a simulation may use: as told, or half of this machine's memory."""
    if max_memory_mb is not None:
        return max_memory_mb * 2.0**20
    try:
        return 0.5 * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        # Where the system does not tell, 4 GB are a safe guess.
        return 2.0**32
