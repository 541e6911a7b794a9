"""A dated snapshot of a device's error rates."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

__all__ = ["Calibration"]


@dataclass(frozen=True, slots=True)
class Calibration:
    """Which numbers a device was described by.

    Attributes:
        id: Hash of the content: equal ids mean equal numbers.
        backend: The device's name.
        taken_at: When they were measured, timezone-aware, or None where unknown (ideal simulators).
    """

    id: str
    backend: str
    taken_at: datetime | None = None

    def age_seconds(self, now: datetime | None = None) -> float | None:
        """Seconds since the calibration was taken, or None where its date is unknown."""
        if self.taken_at is None:
            return None
        return ((now or datetime.now(UTC)) - self.taken_at).total_seconds()
