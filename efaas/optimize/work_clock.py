"""How the predictor's effort is measured: in real seconds, or in work that is always the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

__all__ = ["Timer", "WorkClock"]

Timer: TypeAlias = Callable[[], float]
"""Instants in seconds that never go backwards, such as ``time.perf_counter``."""

_TICK_SECONDS = 1.5e-5
"""About what a replay takes from one recorded answer to the next, where it looks at its timer."""


class WorkClock:
    """A timer that moves on by a fixed amount whenever it is read.

    Whoever has a budget looks at its timer at every step of its work, so this one counts steps. A
    budget measured with it ends at the same step on any machine and in any run.

    Example:
        >>> timer = WorkClock(tick_seconds=0.5)
        >>> timer(), timer()
        (0.5, 1.0)
    """

    __slots__ = ("_seconds", "_tick_seconds")

    def __init__(self, tick_seconds: float = _TICK_SECONDS) -> None:
        """Begin at 0.

        Args:
            tick_seconds: What one look counts for.
        """
        self._tick_seconds = tick_seconds
        self._seconds = 0.0

    def __call__(self) -> float:
        """The instant after one more step."""
        self._seconds += self._tick_seconds
        return self._seconds

    def spend(self, seconds: float) -> None:
        """Count work that nobody looked at the timer for."""
        self._seconds += seconds
