"""A Gaussian process over the values seen so far, kept cheap for a whole run.

Its size is bounded, its hyper-parameters are searched on a small grid now and then, and in between
a new value is appended to the factor. What it does is predict; nothing is decided by it but which
points are evaluated early.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from efaas.optimize.kernels import inverse_factor, times

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from efaas.optimize.kernels import Kernel
    from efaas.optimize.work_clock import Timer

__all__ = ["ALIKE", "Belief", "GaussianProcess"]

_NOISES = (
    1e-12,
    1e-11,
    1e-10,
    1e-9,
    1e-8,
    1e-7,
    1e-6,
    1e-5,
    1e-4,
    3e-4,
    1e-3,
    3e-3,
    1e-2,
    3e-2,
    1e-1,
    0.3,
    1.0,
)
"""Variances of the noise over the amplitude's, for the fit to choose from."""

_SHAPE_STEP = 2.0**0.5
"""Neighbouring shapes differ by this factor."""

_OCTAVES = 2.0
"""How far from the usual the shape is believed to lie, as a standard deviation. Without this belief
values that are all noise would send the shape to where the kernel is noise itself, or constant."""

_MOVES = ((0, -3), (0, -1), (0, 3), (0, 1), (1, 0), (-1, 0), (4, 0), (-4, 0))
"""Steps of the search, in steps of the shape and levels of the noise."""

_FIT_POINTS = 128
"""Most points, spread over those kept, that the search looks at."""

_MOST = 1e100
"""Values beyond this are taken for infinite: their squares stay finite."""

_LEAST = 1e-150
"""Deviations below this are taken for this: their logarithm and square stay finite."""

ALIKE = 1.0 - 1e-9
"""Points with a greater kernel than this are one to the fit: 4e-5 of a length scale apart."""

_ROUNDING = 1e-15
"""Variances over the amplitude's that are not told from 0: where large terms nearly cancel."""


class GaussianProcess:
    """Values with a constant mean, an amplitude and independent noise, under one kernel.

    Mean and amplitude are the ones of greatest likelihood, in closed form; the kernel's shape and
    the noise over the amplitude come from a grid, by ``refit``.
    """

    def __init__(
        self, kernel: Kernel, *, capacity: int = 200, timer: Timer = time.perf_counter
    ) -> None:
        """Begin without values.

        Args:
            kernel: How alike values are expected to be.
            capacity: Most points to keep between two thinnings; up to a fifth more are held.
            timer: Measures the time that a search may take.
        """
        self.kernel = kernel
        self.capacity = capacity
        self._timer = timer
        self.shape = 1.0
        """The kernel's shape parameter; a guess from the points until the first fit."""
        self.noise_ratio = _NOISES[8]
        """The noise's variance over the amplitude's."""
        self._count = 0
        self._since_fit = 0
        self._points: NDArray[np.float64] = np.empty((0, 0))
        self._features: NDArray[np.float64] = np.empty((0, 0))
        self._values: NDArray[np.float64] = np.empty(0)
        self._inverse: NDArray[np.float64] = np.empty((0, 0))  # of the lower factor
        self._white: NDArray[np.float64] = np.empty((0, 2))  # inverse @ (ones, values)
        self._log_diagonal = 0.0
        self._mean = 0.0
        self._amplitude = 0.0
        self._weights: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return self._count

    @property
    def is_due(self) -> bool:
        """Whether the hyper-parameters should be searched again."""
        return self._since_fit >= min(15, max(2, self._count // 2))

    @property
    def points(self) -> NDArray[np.float64]:
        """The points kept, shape ``(m, n)``."""
        return self._points[: self._count]

    @property
    def values(self) -> NDArray[np.float64]:
        """Their values, shape ``(m,)``."""
        return self._values[: self._count]

    @property
    def constant(self) -> float:
        """The mean far from all points."""
        return self._mean

    @property
    def amplitude(self) -> float:
        """The standard deviation far from all points, without noise; in units of the values."""
        return self._amplitude

    @property
    def is_noiseless(self) -> bool:
        """Whether what noise there is could as well be rounding, or the kernel's misfit."""
        return self.noise_ratio <= 1e-6

    @property
    def noise(self) -> float:
        """The noise's standard deviation, in units of the values."""
        return float(self._amplitude * self.noise_ratio**0.5)

    def add(self, x: NDArray[np.float64], value: float) -> bool:
        """Take in a value; O(m^2) for m points kept.

        Args:
            x: The point, shape ``(n,)``, the same ``n`` each time.
            value: The value there.

        Returns:
            Whether it was kept. What is not finite is not, nor is a point of another length, nor
            one that coincides with a point kept: it would make the factor singular.
        """
        count = self._count
        if not (abs(value) < _MOST and np.isfinite(x).all()):
            return False
        if count and x.shape != self._points.shape[1:]:
            return False
        with np.errstate(all="ignore"):
            feature = self.kernel.features(x[None])[0]
            shape = self.shape
            if count == 1:
                shape = self.kernel.first_shape(np.stack((self._points[0], x)))
            row = self.kernel.row(self._features[:count], feature, shape) if count else np.empty(0)
            if count and row.max() > ALIKE:
                return False
            if count == len(self._values):
                self._make_room(len(x), len(feature))
            self.shape = shape
            self._points[count] = x
            self._features[count] = feature
            self._values[count] = value
            self._append(row)
            self._since_fit += 1
            if self._count > self.capacity + max(self.capacity // 5, 1):
                self._thin()
        return True

    def row(self, feature: NDArray[np.float64]) -> NDArray[np.float64]:
        """The kernel between a point, by its features, and the points kept; shape ``(m,)``."""
        return self.kernel.row(self._features[: self._count], feature, self.shape)

    def whiten(self, row: NDArray[np.float64]) -> NDArray[np.float64]:
        """A point's kernel row in the basis in which the data are independent; O(m^2).

        For whitened rows ``v``, ``w`` of two points the posterior covariance is
        ``amplitude^2 (k - v . w)``.
        """
        return times(self._inverse[: self._count, : self._count], row)

    def mean_of(self, white: NDArray[np.float64]) -> float:
        """The posterior mean of the point whose whitened row this is."""
        return float(self._mean + white @ self._residual())

    def predict(self, x: NDArray[np.float64]) -> tuple[float, float]:
        """The posterior mean and standard deviation at a point, without noise."""
        with np.errstate(all="ignore"):
            white = self.whiten(self.row(self.kernel.features(x[None])[0]))
        variance = max(1.0 - float(white @ white), 0.0)
        return self.mean_of(white), self._amplitude * variance**0.5

    def difference(
        self, start: NDArray[np.float64], end: NDArray[np.float64]
    ) -> tuple[float, float]:
        """How much more the value is at ``end`` than at ``start``: mean and standard deviation.

        Of the posterior of both values together: near each other they err alike, so that their
        difference is known far better than they are.
        """
        with np.errstate(all="ignore"):
            features = self.kernel.features(np.stack((start, end)))
            white = self.whiten(self.row(features[1]) - self.row(features[0]))
            alike = float(self.kernel.row(features[:1], features[1], self.shape)[0])
        variance = max(2.0 - 2.0 * alike - float(white @ white), _ROUNDING)
        return float(white @ self._residual()), self._amplitude * variance**0.5

    def gradient(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """The posterior mean's gradient, shape ``(n,)``."""
        count = self._count
        if not count:
            return np.zeros_like(x, dtype=float)
        if self._weights is None:
            self._weights = times(self._inverse[:count, :count].T, self._residual())
        with np.errstate(all="ignore"):
            slopes = self.kernel.slopes(self._points[:count], x, self.shape)
        return times(slopes.T, self._weights)

    def log_density(self, x: NDArray[np.float64], value: float) -> float:
        """How well the value was predicted: the log of its density, noise included."""
        mean, deviation = self.predict(x)
        total = max(float(np.hypot(deviation, self.noise)), _LEAST)
        surprise = min(abs(value - mean) / total, 1e6)
        return float(-0.5 * surprise**2 - np.log(total) - 0.5 * np.log(2.0 * np.pi))

    def log_likelihood(self) -> float:
        """The log marginal likelihood of the values kept, at the best mean and amplitude."""
        count = self._count
        variance = max(self._amplitude**2, np.finfo(float).tiny)
        return float(-0.5 * count * (np.log(2.0 * np.pi * variance) + 1.0) - self._log_diagonal)

    def refit(self, seconds: float = np.inf) -> None:
        """Search the grid around the present hyper-parameters for a greater likelihood.

        Args:
            seconds: Time of its timer after which no further grid point is tried.
        """
        if self._count < 3:
            return
        self._since_fit = 0
        deadline = self._timer() + seconds
        spread = np.linspace(0, self._count - 1, min(self._count, _FIT_POINTS)).astype(int)
        points, values = self.points[spread], self.values[spread]
        tried: dict[tuple[float, int], float] = {}
        matrices: dict[float, NDArray[np.float64]] = {}
        usual = self.kernel.first_shape(points)

        def likelihood(shape: float, level: int) -> float:
            if (shape, level) not in tried:
                if shape not in matrices:
                    matrices[shape] = self.kernel.matrix(points, shape)
                octaves = float(np.log2(shape / usual))
                prior = -0.5 * (octaves / _OCTAVES) ** 2
                tried[shape, level] = prior + _profile(matrices[shape], values, _NOISES[level])
            return tried[shape, level]

        with np.errstate(all="ignore"):
            self._climb(likelihood, deadline)

    def _climb(self, likelihood: Callable[[float, int], float], deadline: float) -> None:
        """Go to the best neighbour on the grid until there is none."""
        shape = self.shape
        level = int(np.argmin(np.abs(np.log(np.array(_NOISES) / self.noise_ratio))))
        best = likelihood(shape, level)
        is_improving = True
        while is_improving and self._timer() < deadline:
            is_improving = False
            for steps, levels in _MOVES:
                other_shape, other_level = shape * _SHAPE_STEP**steps, level + levels
                if not 0 <= other_level < len(_NOISES) or self._timer() > deadline:
                    continue
                candidate = likelihood(other_shape, other_level)
                if candidate > best:
                    best, shape, level = candidate, other_shape, other_level
                    is_improving = True
        if (shape, _NOISES[level]) != (self.shape, self.noise_ratio):
            self.shape, self.noise_ratio = shape, _NOISES[level]
            self._factorize()

    def _residual(self) -> NDArray[np.float64]:
        white = self._white[: self._count]
        return white[:, 1] - self._mean * white[:, 0]

    def _make_room(self, dimension: int, width: int) -> None:
        size = max(32, min(2 * self._count, self.capacity + self.capacity // 5 + 2))
        for name, columns in (("_points", dimension), ("_features", width), ("_white", 2)):
            grown = np.empty((size, columns))
            grown[: self._count] = getattr(self, name)[: self._count].reshape(self._count, columns)
            setattr(self, name, grown)
        values = np.empty(size)
        values[: self._count] = self._values[: self._count]
        inverse = np.zeros((size, size))
        inverse[: self._count, : self._count] = self._inverse[: self._count, : self._count]
        self._values, self._inverse = values, inverse

    def _append(self, row: NDArray[np.float64]) -> None:
        """Grow the inverse factor by the point at ``_count``, whose kernel row is given."""
        index = self._count
        inverse = self._inverse
        white = times(inverse[:index, :index], row)
        explained = float(white @ white)
        if explained > 1.0 + 0.1 * self.noise_ratio:
            # Rounding has eaten the noise that keeps the factor regular.
            self._count += 1
            self.noise_ratio *= 10.0
            self._factorize()
            return
        pivot = (max(1.0 - explained, 0.0) + self.noise_ratio) ** 0.5
        inverse[index, :index] = -times(inverse[:index, :index].T, white) / pivot
        inverse[index, index] = 1.0 / pivot
        self._white[index, 0] = (1.0 - white @ self._white[:index, 0]) / pivot
        self._white[index, 1] = (self._values[index] - white @ self._white[:index, 1]) / pivot
        self._log_diagonal += np.log(pivot)
        self._count += 1
        self._settle_moments()

    def _settle_moments(self) -> None:
        white = self._white[: self._count]
        norm = float(white[:, 0] @ white[:, 0])
        self._mean = float(white[:, 0] @ white[:, 1]) / norm
        residual = self._residual()
        self._amplitude = float(np.sqrt(residual @ residual / self._count))
        self._weights = None

    def _factorize(self) -> None:
        """Compute everything anew from the points and the hyper-parameters; O(m^3)."""
        count = self._count
        self._features[:count] = self.kernel.features(self._points[:count])
        matrix = self.kernel.matrix(self._points[:count], self.shape)
        right = np.stack((np.ones(count), self._values[:count]), axis=1)
        while True:
            try:
                inverse, white, log_determinant = inverse_factor(
                    matrix, self.noise_ratio, right, is_full=True
                )
                break
            except np.linalg.LinAlgError:
                if self.noise_ratio > count:  # then the diagonal dominates: it is not rounding
                    raise
                self.noise_ratio *= 10.0
        self._inverse[:count, :count] = inverse
        self._white[:count] = white
        self._log_diagonal = log_determinant
        self._settle_moments()

    def _thin(self) -> None:
        """Keep a quarter of the room for the best values, the rest for the latest."""
        count = self._count
        latest = np.arange(count - (self.capacity - self.capacity // 4), count)
        earlier = np.arange(latest[0])
        ranked = earlier[np.argsort(self._values[earlier], kind="stable")]
        kept = np.concatenate((np.sort(ranked[: self.capacity // 4]), latest))
        self._points[: len(kept)] = self._points[kept]
        self._values[: len(kept)] = self._values[kept]
        self._count = len(kept)
        self._factorize()


class Belief:
    """A surrogate, and how well it has predicted so far."""

    def __init__(self, kernel: Kernel, *, timer: Timer = time.perf_counter) -> None:
        """Begin without values, under that kernel."""
        self.process = GaussianProcess(kernel, timer=timer)
        self.score = 0.0
        """The log density of the latest values, each before it was taken in; more is better."""
        self._surprise = 1.0

    @property
    def inflation(self) -> float:
        """By how much its errors exceed its own standard deviations; 1 at least."""
        return float(np.clip(self._surprise, 1.0, 1e4) ** 0.5)

    def take(self, x: NDArray[np.float64], value: float) -> None:
        """Judge the prediction of a value, then learn the value."""
        process = self.process
        if len(process) >= 5 and x.shape == process.points.shape[1:]:
            mean, deviation = process.predict(x)
            total = max(float(np.hypot(deviation, process.noise)), _LEAST)
            self._surprise += 0.1 * (min(abs(value - mean) / total, 1e2) ** 2 - self._surprise)
            total *= self.inflation
            density = -0.5 * min((value - mean) / total, 1e6) ** 2 - np.log(total)
            self.score = 0.95 * self.score + max(float(density), -50.0)
        process.add(x, value)


def _profile(matrix: NDArray[np.float64], values: NDArray[np.float64], noise_ratio: float) -> float:
    """The log marginal likelihood, mean and amplitude at their best; none if singular."""
    count = len(values)
    right = np.stack((np.ones(count), values), axis=1)
    try:
        _, white, log_determinant = inverse_factor(matrix, noise_ratio, right, is_full=False)
    except np.linalg.LinAlgError:
        return -np.inf
    mean = (white[:, 0] @ white[:, 1]) / (white[:, 0] @ white[:, 0])
    residual = white[:, 1] - mean * white[:, 0]
    amplitude = max(float(np.sqrt(residual @ residual / count)), _LEAST)
    return float(-count * (0.5 * np.log(2.0 * np.pi) + np.log(amplitude) + 0.5) - log_determinant)
