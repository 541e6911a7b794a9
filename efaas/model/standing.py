"""Where a loop stands, for whoever watches it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["BudgetUse", "Standing"]


@dataclass(frozen=True, slots=True)
class BudgetUse:
    """What is gone of something that a budget bounds.

    Attributes:
        name: What: ``"jobs"``, ``"QPU s"``, ``"session s"`` or ``"money"``.
        spent: What is gone, in that unit; jobs that have not ended count when they have.
        allowed: The bound.
    """

    name: str
    spent: float
    allowed: float

    def __str__(self) -> str:
        return f"{self.spent:.4g} of {self.allowed:g} {self.name}"


@dataclass(frozen=True, slots=True)
class Standing:
    """A loop at an instant.

    Attributes:
        backend: Where it is pinned.
        calibration_age_seconds: Age of the calibration that it goes by; None where unknown.
        qpu_seconds: QPU service that it has used, guesses included.
        budget: What is gone of the backend's budget, all loops together; empty without one.
    """

    backend: str
    calibration_age_seconds: float | None
    qpu_seconds: float
    budget: tuple[BudgetUse, ...] = ()
