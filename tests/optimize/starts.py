"""Optimizers to make copies of, in a file that a helper process imports quickly."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.optimize

from efaas.optimize.asks import GRADIENT, VALUE, Ask, Asked, Step

FREE = ["Nelder-Mead", "Powell", "COBYLA", "COBYQA"]
DIFFERENCES = ["CG", "BFGS", "L-BFGS-B", "TNC", "SLSQP", "trust-constr"]
NEED_GRADIENT = ["Newton-CG", "trust-ncg", "trust-krylov"]
NEED_HESSIAN = ["trust-exact", "dogleg"]


@dataclass(frozen=True)
class Minimization:
    """A run of scipy's ``minimize``."""

    method: str
    x0: tuple[float, ...]
    options: dict[str, Any] = field(default_factory=dict)
    has_gradient: bool = False
    maps: bool = False
    more: dict[str, Any] = field(default_factory=dict)
    is_data: bool = True

    def __call__(self, asked: Asked) -> Any:
        options = dict(self.options) | ({"workers": asked.map} if self.maps else {})
        return scipy.optimize.minimize(
            asked.value,
            np.array(self.x0),
            method=self.method,
            jac=asked.gradient if self.has_gradient else None,
            options=options,
            **self.more,
        )


def minimization(method: str, parameters: int = 3, start: float = 0.4) -> Minimization:
    """One of scipy's methods, asking for as much at once as it can."""
    more: dict[str, Any] = {}
    if method in NEED_HESSIAN:
        more = {"hess": lambda x: np.diag(np.cos(x - 0.3) + 1.0)}
    elif method in NEED_GRADIENT[1:]:
        more = {"hess": "2-point"}
    return Minimization(
        method,
        tuple(start + 0.1 * np.arange(parameters)),
        options={"maxfun": 100} if method == "TNC" else {"maxiter": 12},
        has_gradient=method in NEED_GRADIENT + NEED_HESSIAN,
        maps=method not in FREE,
        more=more,
        is_data=method not in NEED_HESSIAN,
    )


@dataclass(frozen=True)
class Ripples:
    """Answers of a smooth function with a roughness that the point and the seed decide."""

    noise: float = 0.0
    seed: int = 0

    def __call__(self, ask: Ask) -> Any:
        x = np.asarray(ask.x, dtype=float)
        if ask.kind == GRADIENT:
            return np.sin(x - 0.3) + 0.05 * np.cos(x)
        value = np.sum(1.0 - np.cos(x - 0.3) + 0.05 * np.sin(x))
        return float(value + self.noise * np.sin(1e6 * x.sum() + self.seed))


@dataclass(frozen=True)
class Always:
    """The same answer to everything."""

    answer: float

    def __call__(self, ask: Ask) -> float:
        return self.answer


@dataclass(frozen=True, eq=False)
class Table:
    """Answers that depend on a large array."""

    values: np.ndarray

    def __call__(self, ask: Ask) -> float:
        return float(np.sum(np.asarray(ask.x) ** 2) + self.values[-1])


@dataclass(frozen=True)
class Stairs:
    """Asks at 0, 1, 2, ...; raises after a negative answer, and ends after a large one."""

    length: int = 20
    seconds: float = 0.0
    """Real time that each step takes, as it does in an optimizer with a lot of algebra."""
    is_loud: bool = False
    is_data: bool = True

    def __call__(self, asked: Asked) -> Any:
        for step in range(self.length):
            if self.is_loud:
                print("step", step)
                warnings.warn(f"step {step}", RuntimeWarning, stacklevel=1)
                np.float64(step) / np.zeros(1)
            until = time.perf_counter() + self.seconds
            while time.perf_counter() < until:
                pass
            answer = asked.value(np.array([float(step)]))
            if answer < 0.0:
                raise ValueError(f"negative: {answer}")
            if answer > 100.0:
                break


def step_at(x: float) -> Step:
    """The step in which ``Stairs`` asks at ``x``."""
    return (Ask(np.array([x])),)


class RealRun:
    """The objective of a real run: shows each step before it gives the answers.

    Attributes:
        steps: The steps so far, without the one that ``before`` is being shown.
    """

    def __init__(
        self,
        answer: Callable[[Ask], Any],
        *,
        maps: str = VALUE,
        before: Callable[[Step], None] = lambda step: None,
        record: Callable[[Ask, Any], None] = lambda ask, answer: None,
    ) -> None:
        self.steps: list[Step] = []
        self._answer = answer
        self._maps = maps
        self._before = before
        self._record = record
        self._is_mapping = False

    def value(self, x: Any, *_args: Any) -> Any:
        return self._answered(Ask(x, VALUE))

    def gradient(self, x: Any, *_args: Any) -> Any:
        return self._answered(Ask(x, GRADIENT))

    def map(self, fn: Callable[[Any], Any], points: Iterable[Any]) -> list[Any]:
        rows = [np.array(point) for point in points]
        self._show(tuple(Ask(row, self._maps) for row in rows))
        self._is_mapping = True
        results = [fn(row) for row in rows]
        self._is_mapping = False
        return results

    def _answered(self, ask: Ask) -> Any:
        if not self._is_mapping:
            self._show((ask,))
        answer = self._answer(ask)
        self._record(ask, answer)
        return answer

    def _show(self, step: Step) -> None:
        self._before(step)
        self.steps.append(step)
