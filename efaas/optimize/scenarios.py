"""Made-up answers for a copy of the optimizer: what the next values could be.

A scenario answers the asks of one path, in their order, and is one consistent story: two asks of
nearly one point get nearly one value, and a point asked again gets what a repetition would bring.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from efaas.optimize.asks import GRADIENT
from efaas.optimize.kernels import times
from efaas.optimize.surrogate import ALIKE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from efaas.optimize.asks import Ask, AskKey
    from efaas.optimize.surrogate import GaussianProcess

__all__ = [
    "Draw",
    "FrequencyDraw",
    "PosteriorDraw",
    "Scenario",
    "Seen",
    "as_point",
    "value_in",
]

_MOST_CONDITIONED = 256
"""Points of a path beyond this many no longer condition the later ones: the cost stays bounded."""

_NORMAL = NormalDist()


class Draw(Protocol):
    """One function drawn from what is believed."""

    def value(self, x: NDArray[np.float64]) -> float:
        """The value at ``x``, shape ``(n,)``, with the noise of one evaluation."""
        ...

    def gradient(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """The gradient at ``x``, shape ``(n,)``."""
        ...


@dataclass(frozen=True, slots=True)
class Seen:
    """What the scenarios of one call have in common.

    Attributes:
        known: The next answer of asks whose evaluation is already finished.
        latest: The latest value given at recent asks.
        is_repeatable: Whether a point asked again has the same value again.
        returns_pair: Whether the answer to a value ask is the value and the gradient.
        shape: The shape of a value: ``()``, or that of the user's one-element array.
    """

    known: Mapping[AskKey, Any]
    latest: Mapping[AskKey, float]
    is_repeatable: bool
    returns_pair: bool = False
    shape: tuple[int, ...] = ()


def as_point(x: NDArray[Any]) -> NDArray[np.float64]:
    """The point as a flat array of floats; the real part of a complex one."""
    return np.asarray(np.real(x), dtype=float).ravel()


def value_in(answer: Any) -> float | None:
    """The value of an answer to a value ask; None where it is no single real number."""
    if isinstance(answer, tuple) and len(answer) == 2:
        answer = answer[0]
    array = np.asarray(answer)
    if array.size != 1 or array.dtype.kind not in "fiub":
        return None
    return float(array.item())


@dataclass(slots=True)
class Scenario:
    """Answers the asks of one path: known answers as they are, the others from a draw."""

    seen: Seen
    draw: Draw
    _given: dict[AskKey, Any] = field(default_factory=dict)

    def __call__(self, ask: Ask) -> Any:
        """The answer to the next ask of the path."""
        key = ask.key
        if key not in self._given and key in self.seen.known:
            answer = self.seen.known[key]
        elif key in self._given and self.seen.is_repeatable:
            answer = self._given[key]
        else:
            answer = self._made_up(ask)
        self._given[key] = answer
        return answer

    def _made_up(self, ask: Ask) -> Any:
        x = as_point(ask.x)
        if ask.kind == GRADIENT:
            return self.draw.gradient(x).reshape(ask.x.shape)
        seen = self.seen
        value: Any
        if seen.is_repeatable and ask.key in seen.latest:
            value = seen.latest[ask.key]
        else:
            value = self.draw.value(x)
        if np.iscomplexobj(ask.x):  # a complex step: the function's continuation, to first order
            value = complex(value, float(self.draw.gradient(x) @ np.imag(ask.x).ravel()))
        answer = np.full(seen.shape, value) if seen.shape else value
        if seen.returns_pair:
            return answer, self.draw.gradient(x).reshape(ask.x.shape)
        return answer


class PosteriorDraw:
    """A sample function of a surrogate's posterior, drawn point by point, plus shot noise.

    Each new point's value is conditioned on the data and on the values that this draw already
    gave, so the path sees one function. Where there is no noise, points closer than the surrogate
    can tell apart differ by the mean's slope: finite differences stay smooth.
    """

    def __init__(
        self, surrogate: GaussianProcess, quantile: float, seed: int, *, inflation: float = 1.0
    ) -> None:
        """Begin a draw.

        Args:
            surrogate: Shared by all draws, with a point at least; must not change meanwhile.
            quantile: Where in its distribution the first value lies, in (0, 1): spread evenly
                over the draws of one call they cover it better than chance.
            seed: Of the other values.
            inflation: Factor on the posterior's standard deviation.
        """
        self._surrogate = surrogate
        self._first: float | None = _NORMAL.inv_cdf(float(quantile))
        self._seed = seed
        self._inflation = inflation
        self._random: random.Random | None = None  # its state is large: made where it is used
        self._count = 0
        size, width = len(surrogate), surrogate.kernel.width(surrogate.points.shape[1])
        self._white = np.empty((0, size))  # whitened rows of the path's points
        self._features = np.empty((0, width))
        self._inverse = np.empty((0, 0))  # of the factor of their posterior covariance
        self._normals = np.empty(0)
        self._points: list[NDArray[np.float64]] = []
        self._answers: list[float] = []
        self._slope: tuple[bytes, NDArray[np.float64]] | None = None

    def value(self, x: NDArray[np.float64]) -> float:
        """The draw's value at ``x``; O(m^2) for m points of the surrogate."""
        surrogate, count = self._surrogate, self._count
        kernel = surrogate.kernel
        with np.errstate(all="ignore"):
            feature = kernel.features(x[None])[0]
            row = surrogate.row(feature)
            alike = kernel.row(self._features[:count], feature, surrogate.shape)
        if surrogate.is_noiseless:
            for kernels, points, values in (
                (alike, self._points, self._answers),
                (row, surrogate.points, surrogate.values),
            ):
                nearest = int(kernels.argmax()) if len(kernels) else -1
                if nearest >= 0 and kernels[nearest] > ALIKE:
                    gap = kernel.difference(x, points[nearest])
                    if gap.any():
                        return float(values[nearest]) + self._rise(points[nearest], gap)
                    break
        white = surrogate.whiten(row)
        local = times(self._inverse[:count, :count], alike - times(self._white[:count], white))
        mean = surrogate.mean_of(white)
        mean += surrogate.amplitude * float(local @ self._normals[:count])
        variance = max(1.0 - float(white @ white) - float(local @ local), 0.0)
        return self._drawn(x, feature, white, local, mean, variance)

    def gradient(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """The posterior mean's gradient, but for the ninth digit.

        That digit differs between draws, as the true gradient will: what follows from a gradient
        continuously must not look as if all draws agreed on it.
        """
        slope = self._surrogate.gradient(x)
        gauss = self._generator().gauss
        digits = np.array([1.0 + 1e-9 * gauss(0.0, 1.0) for _ in range(len(x))])
        return np.asarray(slope * digits, dtype=float)

    def _rise(self, base: NDArray[np.float64], gap: NDArray[np.float64]) -> float:
        """From the base over the gap, by the slope at the base; remembered for the next point."""
        key = base.tobytes()
        if self._slope is None or self._slope[0] != key:
            self._slope = (key, self._drawn_slope(base))
        return float(self._slope[1] @ gap)

    def _drawn_slope(self, base: NDArray[np.float64]) -> NDArray[np.float64]:
        """The mean's slope, and what the surrogate cannot tell of it.

        Else all draws would agree to the bit on the values around a known one, and with them the
        copies of an optimizer that converges there on points that the real one never asks for.
        """
        surrogate, gauss = self._surrogate, self._generator().gauss
        unknown = surrogate.noise * surrogate.kernel.steepness(surrogate.shape)
        return self.gradient(base) + [gauss(0.0, unknown) for _ in range(len(base))]

    def _drawn(
        self,
        x: NDArray[np.float64],
        feature: NDArray[np.float64],
        white: NDArray[np.float64],
        local: NDArray[np.float64],
        mean: float,
        variance: float,
    ) -> float:
        """Draw the noisy value, then the value without noise given the noisy one.

        In this order a quantile asked for is the quantile of what the optimizer sees.
        """
        gauss = self._generator().gauss
        normal = gauss(0.0, 1.0) if self._first is None else self._first
        self._first = None
        amplitude, noise = self._surrogate.amplitude, self._surrogate.noise_ratio
        spread = variance * self._inflation**2
        noisy = (spread + noise) ** 0.5 * normal
        latent = noisy * spread / (spread + noise)
        latent += (spread * noise / (spread + noise)) ** 0.5 * gauss(0.0, 1.0)
        if self._count < _MOST_CONDITIONED:
            self._condition(x, feature, white, local, latent, (variance + 1e-12) ** 0.5)
            self._answers.append(mean + amplitude * noisy)
        return float(mean + amplitude * noisy)

    def _generator(self) -> random.Random:
        if self._random is None:
            self._random = random.Random(self._seed)
        return self._random

    def _condition(
        self,
        x: NDArray[np.float64],
        feature: NDArray[np.float64],
        white: NDArray[np.float64],
        local: NDArray[np.float64],
        latent: float,
        pivot: float,
    ) -> None:
        """Let the later points know of this one: one more row of the path's own factor."""
        index = self._count
        if index == len(self._normals):
            more = max(8, index)
            self._white = _grown(self._white, more)
            self._features = _grown(self._features, more)
            self._inverse = _grown(self._inverse, more, columns=more)
            self._normals = _grown(self._normals, more)
        self._white[index] = white
        self._features[index] = feature
        self._inverse[index, :index] = -times(self._inverse[:index, :index].T, local) / pivot
        self._inverse[index, index] = 1.0 / pivot
        self._normals[index] = latent / pivot
        self._points.append(x)
        self._count += 1


def _grown(array: NDArray[np.float64], more: int, *, columns: int = 0) -> NDArray[np.float64]:
    """With so many rows and columns of zeros after its own: ``np.pad`` takes ten times as long."""
    rows, *width = array.shape
    grown = np.zeros((rows + more, *[it + columns for it in width]))
    grown[tuple(map(slice, array.shape))] = array
    return grown


class FrequencyDraw:
    """Values of the kinds seen before, as often as seen; for when there is too little to fit.

    A value is better than the best, between, or worse than the worst of those seen.
    """

    def __init__(
        self, best: float, worst: float, shares: tuple[float, float], quantile: float, seed: int
    ) -> None:
        """Begin a draw.

        Args:
            best: The least value so far.
            worst: The greatest value so far.
            shares: How often a value is better than the best, and worse than the worst; both
                above 0, together below 1.
            quantile: Where in its distribution the first value lies, in (0, 1).
            seed: Of the other values.
        """
        self._best = best
        self._worst = worst
        self._shares = shares
        self._first: float | None = quantile
        self._seed = seed
        self._random: random.Random | None = None

    def value(self, x: NDArray[np.float64]) -> float:
        """A value of a kind drawn by its share; what is best and worst moves with it."""
        where = self._generator().random() if self._first is None else self._first
        self._first = None
        better, worse = self._shares
        spread = (self._worst - self._best) or max(abs(self._best), 1.0)
        if where < better:
            self._best -= 0.5 * spread * (1.0 - where / better)
            return self._best
        if where > 1.0 - worse:
            self._worst += 0.5 * spread * (1.0 - (1.0 - where) / worse)
            return self._worst
        inner = (where - better) / (1.0 - better - worse)
        return self._best + inner * (self._worst - self._best)

    def gradient(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Nothing is known of slopes: a random direction."""
        spread = (self._worst - self._best) or 1.0
        gauss = self._generator().gauss
        return np.array([gauss(0.0, spread) for _ in range(len(x))])

    def _generator(self) -> random.Random:
        if self._random is None:
            self._random = random.Random(self._seed)
        return self._random
