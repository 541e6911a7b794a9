"""When a minimization stops early: on rounds, seconds or shots, or because somebody says so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from efaas.errors import OptimizerError
from efaas.model.quantities import is_count, is_number

__all__ = [
    "BUDGET_REACHED",
    "INTERRUPTED",
    "LIMIT_REACHED",
    "PROVIDER_SESSION_ENDED",
    "Limits",
    "Stopped",
]

LIMIT_REACHED = 98
"""``result.status`` where a limit ended the run."""

INTERRUPTED = 97
"""``result.status`` where Ctrl-C ended the run."""


BUDGET_REACHED = 96
"""``result.status`` where going on would have passed the budget of a backend."""

PROVIDER_SESSION_ENDED = 95
"""``result.status`` where the provider's session has ended, and it was to stop then."""


class Stopped(BaseException):
    """Leaves the optimizer; no ``Exception``, or some optimizers would catch it.

    Attributes:
        status: For the result.
    """

    def __init__(self, message: str, status: int = LIMIT_REACHED) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds that end a run before the optimizer would; None for none.

    Attributes:
        max_rounds: Most rounds.
        max_seconds: Most seconds between the first submission and the next.
        max_shots: Most shots of each measurement setting, guesses included.
    """

    max_rounds: int | None = None
    max_seconds: float | None = None
    max_shots: int | None = None

    def __post_init__(self) -> None:
        for name in ("max_rounds", "max_shots"):
            value: Any = getattr(self, name)
            if value is not None and not is_count(value):
                raise OptimizerError(f"{name} is a whole number of 1 or more; got {value!r}")
        seconds: Any = self.max_seconds
        if seconds is not None and not (is_number(seconds) and seconds > 0):
            raise OptimizerError(f"max_seconds is a number greater than 0; got {seconds!r}")

    @property
    def are_none(self) -> bool:
        """Whether nothing is bounded."""
        return self.max_rounds is self.max_seconds is self.max_shots is None

    def check(self, *, rounds: int, seconds: float, shots: int) -> None:
        """Raise ``Stopped`` if the next round would pass a limit.

        Args:
            rounds: Rounds with the next one.
            seconds: Seconds gone.
            shots: Shots spent, with those that the next round is asked for.
        """
        if self.max_rounds is not None and rounds > self.max_rounds:
            raise Stopped(f"max_rounds = {self.max_rounds} reached")
        if self.max_seconds is not None and seconds >= self.max_seconds:
            raise Stopped(f"max_seconds = {self.max_seconds:g} reached")
        if self.max_shots is not None and shots > self.max_shots:
            raise Stopped(f"max_shots = {self.max_shots} reached")
