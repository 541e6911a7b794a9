"""Kernels: how alike two points' values are expected to be, and the factors of their matrices.

A kernel has one shape parameter, which a surrogate fits. It works on *features* of points that are
computed once a point, so that the row of one point against two hundred takes microseconds.

The linear algebra stays below the sizes at which a BLAS starts threads: waking them costs more
than they save here, on a busy machine by factors of a hundred, and most of all in a fork.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
from scipy.linalg.lapack import dtrtri

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Kernel", "Rbf", "Trigonometric", "inverse_factor", "times"]

_BLOCK = 48
"""Rows factored at once: products of such blocks take one thread in OpenBLAS."""


class Kernel(Protocol):
    """A stationary kernel with ``k(x, x) = 1`` and one positive shape parameter."""

    name: str

    def first_shape(self, points: NDArray[np.float64]) -> float:
        """A shape to begin the fit with, for points of shape ``(m, n)``."""
        ...

    def width(self, dimension: int) -> int:
        """How many features a point of ``dimension`` parameters has."""
        ...

    def features(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """What ``row`` needs to know of points of shape ``(m, n)``; shape ``(m, f)``."""
        ...

    def row(
        self, features: NDArray[np.float64], feature: NDArray[np.float64], shape: float
    ) -> NDArray[np.float64]:
        """The kernel between one point and ``m`` points, from their features; shape ``(m,)``."""
        ...

    def matrix(self, points: NDArray[np.float64], shape: float) -> NDArray[np.float64]:
        """The kernel between all pairs of ``m`` points; shape ``(m, m)``."""
        ...

    def steepness(self, shape: float) -> float:
        """The root mean square slope, along one parameter, of functions of amplitude 1."""
        ...

    def slopes(
        self, points: NDArray[np.float64], x: NDArray[np.float64], shape: float
    ) -> NDArray[np.float64]:
        """The gradient of ``k(x, p)`` in ``x``, for each of ``m`` points; shape ``(m, n)``."""
        ...

    def difference(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        """``x - y`` by the shortest way, for two points that the kernel takes to be alike."""
        ...


class Trigonometric:
    """For angles of rotation gates: the product over them of ``(g + 2 cos d) / (g + 2)``.

    A circuit's energy is a sinusoid in the angle of each rotation gate that the parameter enters
    once, and the functions drawn from this kernel are exactly the sums of products of such
    sinusoids (Nicoli et al., "Physics-informed Bayesian optimization of variational quantum
    circuits", NeurIPS 2023, equation 12). The larger the shape ``g``, the weaker the sinusoids
    against the constant.
    """

    name = "trigonometric"

    def first_shape(self, points: NDArray[np.float64]) -> float:
        """A shape at which a typical step of one radian in every angle matters."""
        return float(2.0 * max(points.shape[1], 2) ** 0.5)

    def width(self, dimension: int) -> int:
        """A cosine and a sine of each angle."""
        return 2 * dimension

    def features(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Cosines and sines of the angles, shape ``(m, 2 n)``."""
        return np.concatenate((np.cos(points), np.sin(points)), axis=1)

    def row(
        self, features: NDArray[np.float64], feature: NDArray[np.float64], shape: float
    ) -> NDArray[np.float64]:
        """The product over the angles, by ``cos(a - b) = cos a cos b + sin a sin b``."""
        scaled = feature * (2.0 / (shape + 2.0))
        products = features * scaled
        half = len(feature) // 2
        factors = products[:, :half]
        factors += products[:, half:]
        factors += shape / (shape + 2.0)
        product: NDArray[np.float64] = np.multiply.reduce(factors, axis=1)
        return product

    def matrix(self, points: NDArray[np.float64], shape: float) -> NDArray[np.float64]:
        """The product, one angle at a time: memory stays at two matrices."""
        count, dimension = points.shape
        kernel = np.ones((count, count))
        weight = 2.0 / (shape + 2.0)
        for index in range(dimension):
            circle = np.stack((np.cos(points[:, index]), np.sin(points[:, index])), axis=1)
            factor = (weight * circle) @ circle.T
            factor += shape / (shape + 2.0)
            kernel *= factor
        return kernel

    def steepness(self, shape: float) -> float:
        """From the kernel's second derivative at 0, ``-2 / (g + 2)``."""
        return float((2.0 / (shape + 2.0)) ** 0.5)

    def slopes(
        self, points: NDArray[np.float64], x: NDArray[np.float64], shape: float
    ) -> NDArray[np.float64]:
        """The product rule; the products without one factor are built from both ends."""
        difference = x - points
        factors = (shape + 2.0 * np.cos(difference)) / (shape + 2.0)
        inner = -2.0 * np.sin(difference) / (shape + 2.0)
        before = np.ones_like(factors)
        after = np.ones_like(factors)
        np.multiply.accumulate(factors[:, :-1], axis=1, out=before[:, 1:])
        after[:, :-1] = np.multiply.accumulate(factors[:, :0:-1], axis=1)[:, ::-1]
        return inner * before * after

    def difference(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        """Angles differ by at most half a turn."""
        turn = 2.0 * np.pi
        gap = x - y
        return np.where(np.abs(gap) > np.pi, gap - turn * np.round(gap / turn), gap)


class Rbf:
    """For smooth functions of anything: ``exp(-d^2 / (2 l^2))`` with one length scale ``l``."""

    name = "rbf"

    def first_shape(self, points: NDArray[np.float64]) -> float:
        """The points' root mean square distance, as a power of two; 1 if they coincide."""
        spread = float(np.sqrt(2.0 * np.sum(np.var(points, axis=0))))
        return float(2.0 ** np.round(np.log2(spread))) if 0.0 < spread < np.inf else 1.0

    def width(self, dimension: int) -> int:
        """The parameters themselves."""
        return dimension

    def features(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """The points themselves."""
        return points

    def row(
        self, features: NDArray[np.float64], feature: NDArray[np.float64], shape: float
    ) -> NDArray[np.float64]:
        """By differences: squares of nearly equal points must not cancel."""
        gaps = features - feature
        gaps *= 1.0 / shape
        kernel: NDArray[np.float64] = np.exp(-0.5 * np.einsum("ij,ij->i", gaps, gaps))
        return kernel

    def matrix(self, points: NDArray[np.float64], shape: float) -> NDArray[np.float64]:
        """One parameter at a time: memory stays at two matrices."""
        count, dimension = points.shape
        squares = np.zeros((count, count))
        for index in range(dimension):
            column = points[:, index] / shape
            gap = column[:, None] - column[None, :]
            gap *= gap
            squares += gap
        squares *= -0.5
        return np.exp(squares, out=squares)

    def steepness(self, shape: float) -> float:
        """From the kernel's second derivative at 0, ``-1 / l^2``."""
        return 1.0 / shape

    def slopes(
        self, points: NDArray[np.float64], x: NDArray[np.float64], shape: float
    ) -> NDArray[np.float64]:
        """``-(x - p) / l^2`` times the kernel."""
        kernel = self.row(points, x, shape)
        return -(x - points) * (kernel / shape**2)[:, None]

    def difference(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        """A plain difference."""
        return x - y


def times(matrix: NDArray[np.float64], vector: NDArray[np.float64]) -> NDArray[np.float64]:
    """``matrix @ vector`` on one thread."""
    product: NDArray[np.float64] = np.einsum("ij,j->i", matrix, vector)
    return product


def inverse_factor(
    matrix: NDArray[np.float64], noise: float, right: NDArray[np.float64], *, is_full: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Of ``L`` with ``L L^T = matrix + noise I``: the inverse, times something, and the size.

    Args:
        matrix: Symmetric, shape ``(m, m)``.
        noise: What is added to the diagonal.
        right: Shape ``(m, r)``.
        is_full: Whether the inverse is wanted; if not, only its diagonal blocks are computed.

    Returns:
        ``L^-1``, shape ``(m, m)``; ``L^-1 right``; the log of the determinant of ``L``.

    Raises:
        LinAlgError: The matrix with that noise is not positive definite, to rounding.
    """
    size = len(matrix)
    inverse = np.zeros((size, size))
    below = np.zeros((size, size))  # the factor's blocks below the diagonal
    solved = np.array(right)
    log_determinant = 0.0
    blocks = [slice(at, min(at + _BLOCK, size)) for at in range(0, size, _BLOCK)]
    for index, row in enumerate(blocks):
        pivot = matrix[row, row].copy()
        pivot.flat[:: len(pivot) + 1] += noise
        for column in blocks[:index]:
            block = matrix[row, column].copy()
            for before in blocks[:index]:
                if before.start < column.start:
                    block -= below[row, before] @ below[column, before].T
            block = block @ inverse[column, column].T
            below[row, column] = block
            pivot -= block @ block.copy().T  # of one array, it would be the threaded syrk
            solved[row] -= block @ solved[column]
        factor = np.linalg.cholesky(pivot)
        log_determinant += float(np.log(np.diagonal(factor)).sum())
        inverse[row, row] = dtrtri(factor, lower=1)[0]
        solved[row] = inverse[row, row] @ solved[row]
        if is_full:
            for column in blocks[:index]:
                block = np.zeros((row.stop - row.start, column.stop - column.start))
                for between in blocks[:index]:
                    if between.start >= column.start:
                        block += below[row, between] @ inverse[between, column]
                inverse[row, column] = -inverse[row, row] @ block
    return inverse, solved, log_determinant
