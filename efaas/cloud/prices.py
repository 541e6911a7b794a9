"""What providers ask for QPU time, and what a run would have cost with them."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import datetime

__all__ = ["JOBS", "SESSION", "Bill", "Price", "published_prices"]

JOBS = "jobs"
"""What runs is billed."""

SESSION = "session"
"""The device is somebody's for a while, and all of that time is billed."""


@dataclass(frozen=True, slots=True)
class Bill:
    """What is billed of a run.

    Attributes:
        executed_seconds: QPU time of its jobs, guesses that missed and lost attempts included.
        held_seconds: The same, and the time between two jobs in which nobody else had the device.
        circuits: Circuits that ran; None where that is not known.
        shots: Of each circuit.
    """

    executed_seconds: float
    held_seconds: float
    circuits: float | None = None
    shots: int = 0

    def per(self, count: float) -> Bill:
        """A share of it."""
        circuits = None if self.circuits is None else self.circuits / count
        return Bill(self.executed_seconds / count, self.held_seconds / count, circuits, self.shots)


@dataclass(frozen=True, slots=True)
class Price:
    """What a provider publishes for one of its modes, in US dollars.

    Attributes:
        provider: And the plan or device.
        mode: "jobs" or "session".
        dollars_per_second: Of executed time ("jobs"), or of held time ("session").
        dollars_per_task: Of a circuit that is run.
        dollars_per_shot: Of a shot.
        as_of: The day on which that was the price.
        source: Where it is published.
    """

    provider: str
    mode: str
    as_of: datetime.date
    source: str
    dollars_per_second: float = 0.0
    dollars_per_task: float = 0.0
    dollars_per_shot: float = 0.0

    def dollars(self, bill: Bill) -> float | None:
        """What it comes to; None where circuits are billed and are not known.

        Example:
            >>> from datetime import date
            >>> price = Price("any", "session", date(2026, 1, 1), "", dollars_per_second=1.5)
            >>> price.dollars(Bill(executed_seconds=10.0, held_seconds=20.0))
            30.0
        """
        seconds = bill.held_seconds if self.mode == SESSION else bill.executed_seconds
        total = self.dollars_per_second * seconds
        if self.dollars_per_task or self.dollars_per_shot:
            if bill.circuits is None:
                return None
            total += bill.circuits * (self.dollars_per_task + bill.shots * self.dollars_per_shot)
        return total

    @property
    def key(self) -> str:
        """Provider and mode."""
        return f"{self.provider}, {self.mode}"


@cache
def published_prices() -> tuple[Price, ...]:
    """The prices of ``prices.toml``, in its order."""
    text = (files(__package__) / "prices.toml").read_text(encoding="utf-8")
    return tuple([Price(**entry) for entry in tomllib.loads(text)["price"]])
