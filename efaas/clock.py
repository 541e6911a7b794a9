"""Where time comes from: the system's monotonic clock, or a virtual one set by hand."""

from __future__ import annotations

import time
from typing import Protocol

__all__ = ["Clock", "SystemClock", "VirtualClock"]


class Clock(Protocol):
    """A source of instants, in float seconds that never go backwards."""

    def now(self) -> float:
        """The present instant, in seconds since an arbitrary origin."""
        ...


class SystemClock:
    """The monotonic clock of the machine."""

    __slots__ = ()

    def now(self) -> float:
        """Seconds since an arbitrary origin, monotonic."""
        return time.monotonic()


class VirtualClock:
    """Simulated wall time that moves only when told to.

    Example:
        >>> clock = VirtualClock()
        >>> clock.advance(1.5)
        >>> clock.now()
        1.5
    """

    __slots__ = ("_now",)

    def __init__(self, start: float = 0.0) -> None:
        self._now = start

    def now(self) -> float:
        """The instant that the clock was last moved to."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move the clock forward by ``seconds``.

        Raises:
            ValueError: ``seconds`` is negative.
        """
        if seconds < 0:
            raise ValueError(f"time moves forward only: expected seconds >= 0, got {seconds}")
        self._now += seconds
