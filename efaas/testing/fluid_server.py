"""An exact fluid server: the reference that a packetised schedule is compared with."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

__all__ = ["FluidServer"]

K = TypeVar("K", bound=Hashable)


class FluidServer(Generic[K]):
    """Divides service among the backlogged in proportion to their weights, at every instant.

    Generalized processor sharing (Parekh, Gallager, IEEE/ACM Trans. Networking 1, 344 (1993)): a
    claimant of weight ``w`` gets ``w dV``, with ``dV = rate dt / (sum of weights)``. Between two
    events all is linear, so the integral is exact.

    Example:
        >>> fluid = FluidServer()
        >>> fluid.set_rate(2.0, now=0.0)
        >>> fluid.arrive("ada", 1.0, now=0.0)
        >>> fluid.arrive("bob", 3.0, now=0.0)
        >>> fluid.advance(2.0)
        >>> fluid.served("ada"), fluid.served("bob")
        (1.0, 3.0)
    """

    def __init__(self) -> None:
        """Begin idle at instant 0."""
        self.virtual_seconds = 0.0
        self._now = 0.0
        self._rate = 0.0
        self._weights: dict[K, float] = {}
        self._since: dict[K, float] = {}
        self._served: dict[K, float] = {}

    def advance(self, now: float) -> None:
        """Serve until then."""
        if self._weights:
            weight = sum(self._weights.values())
            self.virtual_seconds += self._rate * (now - self._now) / weight
        self._now = now

    def set_rate(self, rate: float, now: float) -> None:
        """From now on that many seconds of service a second."""
        self.advance(now)
        self._rate = rate

    def arrive(self, key: K, weight: float, now: float) -> None:
        """A claimant becomes backlogged."""
        self.advance(now)
        self._weights[key] = weight
        self._since[key] = self.virtual_seconds

    def leave(self, key: K, now: float) -> None:
        """It is not any more."""
        self.advance(now)
        self._served[key] = self.served(key)
        del self._weights[key], self._since[key]

    def served(self, key: K) -> float:
        """Seconds of service that it got until the instant that was reached."""
        got = self._served.get(key, 0.0)
        if key not in self._weights:
            return got
        return got + self._weights[key] * (self.virtual_seconds - self._since[key])
