"""Where a loop stands, for whoever watches it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Standing"]


@dataclass(frozen=True, slots=True)
class Standing:
    """A loop at an instant.

    Attributes:
        backend: Where it is pinned.
        calibration_age_seconds: Age of the calibration that it goes by; None where unknown.
        qpu_seconds: QPU service that it has used, guesses included.
    """

    backend: str
    calibration_age_seconds: float | None
    qpu_seconds: float
