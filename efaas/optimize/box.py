"""The box that bounds span, and how to stay in it."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.optimize import Bounds, OptimizeWarning

from efaas.errors import OptimizerError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Box"]


@dataclass(frozen=True, slots=True)
class Box:
    """Lower and upper bounds of each parameter.

    Attributes:
        low: Shape ``(n,)``; ``-inf`` where there is none.
        high: Shape ``(n,)``, nowhere below ``low``; ``inf`` where there is none.
    """

    low: NDArray[np.float64]
    high: NDArray[np.float64]

    @classmethod
    def of(cls, bounds: Any, n: int) -> Box:
        """The box of scipy's ``bounds``: None, a ``Bounds``, or ``(low, high)`` per parameter.

        Args:
            bounds: None in a pair is no bound on that side.
            n: Parameters.

        Raises:
            OptimizerError: They are none of these, of another length, or leave no room.
        """
        if bounds is None:
            return cls(np.full(n, -np.inf), np.full(n, np.inf))
        try:
            if isinstance(bounds, Bounds):
                low = np.array(np.broadcast_to(bounds.lb, n), dtype=float)
                high = np.array(np.broadcast_to(bounds.ub, n), dtype=float)
            else:
                pairs = [(low, high) for low, high in bounds]
                low = np.array([-np.inf if a is None else a for a, _ in pairs], dtype=float)
                high = np.array([np.inf if b is None else b for _, b in pairs], dtype=float)
        except (TypeError, ValueError) as error:
            raise OptimizerError(
                f"bounds must be None, scipy.optimize.Bounds or {n} pairs (low, high), got "
                f"{bounds!r}"
            ) from error
        if low.shape != (n,):
            raise OptimizerError(f"bounds has {len(low)} pairs for {n} parameters")
        has_room = (low <= high) & (low < np.inf) & (high > -np.inf)
        if not has_room.all():
            bad = int(np.flatnonzero(~has_room)[0])
            raise OptimizerError(
                f"bounds leave parameter {bad} no value: low {low[bad]}, high {high[bad]}"
            )
        return cls(low, high)

    @property
    def is_finite(self) -> bool:
        """Whether any parameter is bounded on any side."""
        return bool(np.isfinite(self.low).any() or np.isfinite(self.high).any())

    def checked_start(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """``x`` moved into the box, with scipy's warning where it was outside."""
        inside = self.project(x)
        if not np.array_equal(inside, x):
            warnings.warn(
                "Initial guess is not within the specified bounds", OptimizeWarning, stacklevel=4
            )
        return inside

    def project(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """The point of the box nearest to each ``x``, shape ``(..., n)``."""
        return np.clip(x, self.low, self.high)

    def reach(self, distance: float, times: int) -> NDArray[np.float64]:
        """How far each parameter can go, at most ``distance``, ``times`` over to either side.

        Shape ``(n,)``; it is 0 for a parameter whose bounds are equal.
        """
        return np.minimum(distance, (self.high - self.low) / (2.0 * times))

    def inner(self, x: NDArray[np.float64], margin: NDArray[np.float64]) -> NDArray[np.float64]:
        """The point nearest to ``x`` that is ``margin`` away from every bound."""
        return np.clip(x, self.low + margin, self.high - margin)
