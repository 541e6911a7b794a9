"""Gradient and Hessian estimates from values at simultaneously perturbed points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from efaas.optimize.box import Box

__all__ = ["Perturbation"]


@dataclass(frozen=True, slots=True)
class Perturbation:
    """Points to evaluate, and what their values say of the function at the middle.

    Attributes:
        points: One per row: all ``x + u``, all ``x - u``; then, of second order, all
            ``x + u + v`` and all ``x - u + v``.
        u: First perturbations, one per row.
        v: Second perturbations, or no rows.
    """

    points: NDArray[np.float64]
    u: NDArray[np.float64]
    v: NDArray[np.float64]

    @classmethod
    def around(
        cls,
        x: NDArray[np.float64],
        distance: float,
        box: Box,
        rng: np.random.Generator,
        *,
        directions: int,
        second_order: bool = False,
    ) -> Perturbation:
        """Perturb every parameter by ``distance``, up or down at random.

        Near a bound the middle gives way, and in a narrow box the distance is shorter, so that
        all points lie within (Sadegh, Automatica 33(5), 889 (1997)).
        """
        orders = 2 if second_order else 1
        reach = box.reach(distance, orders)
        middle = box.inner(x, orders * reach)
        signs = 2.0 * rng.integers(2, size=(orders, directions, len(x))) - 1.0
        u = signs[0] * reach
        rows = [middle + u, middle - u]
        v = np.empty((0, len(x)))
        if second_order:
            v = signs[1] * reach
            rows += [middle + u + v, middle - u + v]
        # The last bit of a sum may lie outside where the sum itself does not.
        return cls(box.project(np.concatenate(rows)), u, v)

    def differences(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """``f(x + u) - f(x - u)``, one per direction."""
        count = len(self.u)
        return np.asarray(values[:count] - values[count : 2 * count])

    def gradient(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The mean over the directions of Spall's estimate (1992, eq. 2.2), shape ``(n,)``."""
        return np.asarray((self.differences(values)[:, None] / 2.0 * _inverse(self.u)).mean(axis=0))

    def hessian(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The mean over the directions of Spall's estimate (2000, eq. 2.2), shape ``(n, n)``.

        It is symmetric, and of rank two at most for one direction.
        """
        count = len(self.u)
        upper = values[2 * count : 3 * count] - values[:count]
        lower = values[3 * count :] - values[count : 2 * count]
        weighted = (upper - lower)[:, None] / 4.0 * _inverse(self.v)
        half = weighted.T @ _inverse(self.u) / count
        return np.asarray(half + half.T)


def _inverse(steps: NDArray[np.float64]) -> NDArray[np.float64]:
    """One over each; 0 for a parameter that cannot move."""
    return np.divide(1.0, steps, out=np.zeros_like(steps), where=steps != 0.0)
