"""Trigonometric polynomials in a few angles: interpolated from values, minimised exactly.

As a function of one angle of a rotation gate, with the others fixed, an expectation value is
``c + a cos + b sin``; an angle that enters R gates gives R harmonics, and several angles the
product of their spaces (Nakanishi, Fujii, Todo, Phys. Rev. Research 2, 043158 (2020); Ostaszewski,
Grant, Benedetti, Quantum 5, 391 (2021)).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["TrigonometricPolynomial", "sample_angles"]

_ROUNDING = 64.0 * float(np.finfo(float).eps)

_MESH = {1: 16, 2: 16, 3: 8}
"""By number of angles: points of the mesh, per harmonic and angle, from which minima are sought.
A mesh cell is then small against the polynomial's shortest wave."""

_STARTS = 16
"""So many of the mesh's lowest minima are refined; what separates them is less than the mesh
resolves in the lowest few only."""


def sample_angles(harmonics: Sequence[int]) -> NDArray[np.float64]:
    """The angles that decide such a polynomial, one row per point; the first row is all zero.

    They are equidistant in each angle, where noise in the values is amplified least.

    Args:
        harmonics: Of each angle; R of them take ``2 R + 1`` points.
    """
    axes = [2.0 * np.pi * np.arange(2 * count + 1) / (2 * count + 1) for count in harmonics]
    return np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")], axis=1)


@dataclass(frozen=True, slots=True)
class TrigonometricPolynomial:
    """``sum(C[k] exp(i k . angles))``, which is real.

    Attributes:
        coefficients: ``C``, one axis per angle, on which harmonics run from ``-R`` to ``R``.
    """

    coefficients: NDArray[np.complex128]

    @classmethod
    def through(
        cls, values: NDArray[np.float64], harmonics: Sequence[int]
    ) -> TrigonometricPolynomial:
        """The one that has these values at the rows of ``sample_angles(harmonics)``."""
        shape = tuple(2 * count + 1 for count in harmonics)
        return cls(np.fft.fftshift(np.fft.fftn(values.reshape(shape), norm="forward")))

    @property
    def harmonics(self) -> tuple[int, ...]:
        """Of each angle."""
        return tuple((size - 1) // 2 for size in self.coefficients.shape)

    def at(self, angles: NDArray[np.float64]) -> float:
        """The value at ``angles``, one per axis."""
        return float(self._derivatives(angles)[0])

    def minimum(self) -> tuple[NDArray[np.float64], float]:
        """The angles of the global minimum, in ``(-pi, pi]``, and the value there.

        Zero angles, where no other is lower by more than rounding: a polynomial that is constant
        gives no reason to move.
        """
        if self.harmonics == (1,):
            candidates = self._sinusoid()
        elif len(self.harmonics) == 1:
            candidates = [self._refined(start) for start in self._critical()]
        else:
            candidates = [self._refined(start) for start in self._low_mesh_points()]
        best = min(candidates, key=self.at)
        stay = np.zeros(len(self.harmonics))
        here, there = self.at(stay), self.at(best)
        scale = float(np.abs(self.coefficients).sum())
        if not there < here - _ROUNDING * scale:
            return stay, here
        return np.pi - (np.pi - best) % (2.0 * np.pi), there

    def _sinusoid(self) -> list[NDArray[np.float64]]:
        """One harmonic: ``c + 2 Re(C exp(i t))`` is lowest where the product is negative."""
        first = self.coefficients[2]
        return [np.array([np.pi - np.angle(first)])]

    def _critical(self) -> list[NDArray[np.float64]]:
        """One angle: the derivative is a polynomial in ``exp(i t)``, whose roots are known.

        Roots off the unit circle do no harm among the candidates, and rounding may have moved
        those on it.
        """
        count = self.harmonics[0]
        slopes = 1j * np.arange(-count, count + 1) * self.coefficients
        above = np.abs(slopes) > _ROUNDING * float(np.abs(slopes).max())
        roots = np.roots(np.trim_zeros(np.where(above, slopes, 0.0))[::-1])
        return [np.array([angle]) for angle in np.angle(roots[roots != 0.0])] or [np.zeros(1)]

    def _low_mesh_points(self) -> list[NDArray[np.float64]]:
        """The lowest of the points of a fine mesh that are lower than their neighbours."""
        axes = range(self.coefficients.ndim)
        sizes = [_MESH[len(axes)] * max(count, 1) for count in self.harmonics]
        padded = np.zeros(sizes, dtype=complex)
        where = np.ix_(*[np.arange(-count, count + 1) for count in self.harmonics])
        padded[where] = self.coefficients
        values = np.fft.ifftn(padded, norm="forward").real
        is_low = np.ones(values.shape, dtype=bool)
        for axis in axes:
            for shift in (-1, 1):
                is_low &= values <= np.roll(values, shift, axis)
        indices = np.argwhere(is_low)
        lowest = indices[np.argsort(values[is_low], kind="stable")[:_STARTS]]
        return list(2.0 * np.pi * lowest / np.array(sizes))

    def _refined(self, start: NDArray[np.float64]) -> NDArray[np.float64]:
        """The minimum that a descent from ``start`` finds, to rounding.

        Newton's method on the absolute curvatures, with a step that is halved until the value
        falls.
        """
        angles = start
        value, slope, curvature = self._derivatives(angles)
        scale = float(np.abs(self.coefficients).sum())
        for _ in range(60):
            curvatures, axes = np.linalg.eigh(curvature)
            step = axes @ (axes.T @ slope / np.maximum(np.abs(curvatures), 1e-6 * scale + 1e-300))
            size = float(np.abs(step).max())
            if size > 0.5:
                step *= 0.5 / size
            for _ in range(30):
                there = self._derivatives(angles - step)
                if there[0] <= value:
                    break
                step = step / 2.0
            else:
                return angles
            angles = angles - step
            value, slope, curvature = there
            if float(np.abs(step).max()) < 1e-14:
                break
        return angles

    def _derivatives(
        self, angles: NDArray[np.float64]
    ) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
        """Value, gradient and Hessian at ``angles``."""
        count = len(angles)
        mixed = self.coefficients
        for harmonics, angle in zip(self.harmonics, angles, strict=True):
            k = np.arange(-harmonics, harmonics + 1)
            wave = np.exp(1j * k * angle)
            # Contracts the first axis and appends one for the order of the derivative.
            mixed = np.tensordot(mixed, np.stack([wave, 1j * k * wave, -(k**2) * wave]), (0, 1))
        orders = np.eye(count, dtype=int)
        gradient = np.array([mixed[tuple(order)].real for order in orders])
        hessian = np.array([[mixed[tuple(a + b)].real for a in orders] for b in orders])
        return float(mixed[(0,) * count].real), gradient, hessian
