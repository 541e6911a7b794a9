"""The event engine: what happens next, on the virtual clock."""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Callable

__all__ = ["Kernel", "random_stream"]


class Kernel:
    """Instants and what to do at them; of equal instants, whatever was asked for first.

    Attributes:
        now: The present instant, in virtual seconds since the beginning.

    Example:
        >>> kernel = Kernel()
        >>> kernel.at(2.0, lambda: print("two", kernel.now))
        >>> kernel.at(1.0, lambda: kernel.after(0.5, lambda: print("one and a half")))
        >>> kernel.run()
        one and a half
        two 2.0
    """

    def __init__(self) -> None:
        self.now = 0.0
        self._coming: list[tuple[float, int, Callable[[], None]]] = []
        self._asked = 0

    def at(self, instant: float, what: Callable[[], None]) -> None:
        """Do it at that instant, or now if that is over; never, if it is infinite."""
        if instant < math.inf:
            self._asked += 1
            heapq.heappush(self._coming, (max(instant, self.now), self._asked, what))

    def after(self, seconds: float, what: Callable[[], None]) -> None:
        """Do it when so much time has gone."""
        self.at(self.now + seconds, what)

    def run(self, until: float = math.inf, *, while_: Callable[[], bool] = lambda: True) -> None:
        """Do what is due, in order, until nothing is, or that instant has come.

        Args:
            until: Nothing later is done; the clock ends there if anything later is left.
            while_: Asked before each; ends the run where it is false.
        """
        coming = self._coming
        while coming and while_():
            if coming[0][0] > until:
                self.now = until
                return
            self.now, _, what = heapq.heappop(coming)
            what()


def random_stream(seed: int, *names: object) -> random.Random:
    """The random numbers of one purpose: the same for a seed and names, whatever else is drawn."""
    return random.Random(" ".join(map(str, (seed, *names))))
