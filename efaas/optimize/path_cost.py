"""What one path of an oracle costs, and whether another one fits into the time that is left."""

from __future__ import annotations

from collections import deque
from statistics import median

__all__ = ["PathCost"]

_KEPT = 3
"""Measurements that count: their median follows a growing cost, and ignores a single hiccup."""

_PATIENCE = 64
"""Refusals after which the measurements are too old to go by."""


class PathCost:
    """The typical real time of a path, from the latest measurements.

    Example:
        >>> cost = PathCost(unmeasured_seconds=0.001)
        >>> cost.measured(0.004)
        >>> cost.fits(0.010), cost.fits(0.002)
        (True, False)
    """

    def __init__(self, unmeasured_seconds: float) -> None:
        """Know nothing yet.

        Args:
            unmeasured_seconds: The least time in which a path is begun while none is measured.
        """
        self._unmeasured_seconds = unmeasured_seconds
        self._latest: deque[float] = deque(maxlen=_KEPT)
        self._refusals = 0

    @property
    def seconds(self) -> float:
        """The typical cost of the latest paths; 0 while nothing is known."""
        return median(self._latest) if self._latest else 0.0

    def measured(self, seconds: float) -> None:
        """Take note that a path took so long."""
        self._latest.append(seconds)
        self._refusals = 0

    def fits(self, seconds_left: float, *, further_seconds: float = 0.0) -> bool:
        """Whether a path may be begun.

        A machine that was busy when the latest paths were measured may be idle now, and as long
        as nothing is begun, nothing is measured. So many refusals make it forget.

        Args:
            seconds_left: Real time in which the path must end.
            further_seconds: What it is expected to take beyond what was measured.
        """
        needed = self.seconds + further_seconds if self._latest else self._unmeasured_seconds
        if needed <= seconds_left:
            return True
        self._refusals += 1
        if self._refusals >= _PATIENCE:
            self._refusals = 0
            self._latest.clear()
        return False
