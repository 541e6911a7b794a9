"""A dated snapshot of a device's error rates."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from efaas.errors import InputError

__all__ = ["BROKEN", "Calibration"]

BROKEN = 0.99
"""Error rates from here on mark a gate that does not work: vendors write 1.0."""


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

    def followed_by(self, newer: Calibration) -> Calibration:
        """``newer``, once it is sure that it may take this one's place.

        Where one of the dates is unknown, the order cannot be checked and is taken as right.

        Raises:
            InputError: It is of another device, or was taken before this one.
        """
        if newer.backend != self.backend:
            raise InputError(
                f"expected a calibration of {self.backend}, got one of {newer.backend}"
            )
        if self.taken_at is None or newer.taken_at is None or newer.taken_at >= self.taken_at:
            return newer
        raise InputError(
            f"expected a calibration of {self.backend} taken at {self.taken_at.isoformat()} or "
            f"later, got {newer.id} of {newer.taken_at.isoformat()}, which is older than the one "
            "in force"
        )
