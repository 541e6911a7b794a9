"""Nelder-Mead and Powell in stages: a run stands at the beginning of one, and can go on from there.

Each stage does what scipy's method does between two instants at which little has to be remembered:
a step of the simplex, a line search. So a copy of a long run need not begin at the run's beginning.
The arithmetic is scipy's, operation by operation, and whoever uses a copy compares every point that
it asks for with the real run's, to the bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, cast

import numpy as np

from efaas.optimize.start import MinimizeStart, silent

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from efaas.optimize.asks import Start

__all__ = ["Stage", "first_stage"]

Function: TypeAlias = "Callable[[NDArray[Any]], float]"
"""The objective, as scipy's methods call it."""

_ASKED_FOR = frozenset({"maxiter", "maxfev", "xatol", "fatol", "adaptive", "initial_simplex"})
_POWELL_ASKED_FOR = frozenset({"maxiter", "maxfev", "xtol", "ftol"})


class Stage(Protocol):
    """A part of a run, from where it begins."""

    def run(self, function: Function) -> Stage | None:
        """Do it; returns the next one, None where the run has ended.

        It may be left by an exception of ``function``, and run again.
        """
        ...


def first_stage(start: Start) -> Stage | None:
    """Where a run begins; None for a run that is not known in stages."""
    if not isinstance(start, MinimizeStart) or not start.is_data:
        return None
    if not isinstance(start.args, tuple) or start.args:
        return None
    passed = dict(start.passed)
    method, options = passed.pop("method", None), silent(passed.pop("options", None) or {})
    x0 = np.atleast_1d(np.asarray(start.x0))
    if passed or not isinstance(method, str) or x0.ndim != 1 or x0.dtype != np.float64:
        return None
    if method.lower() == "nelder-mead" and options.keys() <= _ASKED_FOR:
        return _SimplexBegins.of(x0.copy(), options)
    if method.lower() == "powell" and options.keys() <= _POWELL_ASKED_FOR and _line_search():
        limits = _Limits.of(options, 1000 * x0.size)
        tolerances = options.get("xtol", 1e-4), options.get("ftol", 1e-4)
        return _PowellBegins(x0.copy(), limits, *tolerances)
    return None


class _Spent(BaseException):
    """The run has no further calls; not an ``Exception``, so that nobody holds it up."""


@dataclass(frozen=True, slots=True)
class _Limits:
    """Most iterations and calls, and what was used of them."""

    most_iterations: float
    most_calls: float
    iterations: int = 0
    calls: int = 0

    @classmethod
    def of(cls, options: Mapping[str, Any], default: int) -> _Limits:
        """As scipy reads them."""
        iterations, calls = options.get("maxiter"), options.get("maxfev")
        if iterations is None and calls is None:
            return cls(default, default)
        if iterations is None:
            iterations = default if calls == np.inf else np.inf
        elif calls is None:
            calls = default if iterations == np.inf else np.inf
        return cls(iterations, cast("float", calls))


class _Counted:
    """A function that is called so often and no oftener."""

    def __init__(self, function: Function, limits: _Limits) -> None:
        self._function = function
        self._limits = limits
        self.calls = limits.calls

    def __call__(self, x: NDArray[Any]) -> float:
        if self.calls >= self._limits.most_calls:
            raise _Spent
        self.calls += 1
        return self._function(x)

    @property
    def limits(self) -> _Limits:
        """After the calls that there were."""
        return replace(self._limits, calls=self.calls)


@dataclass(frozen=True, slots=True, eq=False)
class _Simplex:
    """What stays the same in a run of Nelder-Mead (scipy's ``_minimize_neldermead``)."""

    chi: float
    psi: float
    sigma: float
    xatol: float
    fatol: float


@dataclass(frozen=True, slots=True, eq=False)
class _SimplexBegins:
    """The vertices are evaluated."""

    rule: _Simplex
    vertices: NDArray[np.float64]
    limits: _Limits

    @classmethod
    def of(cls, x0: NDArray[np.float64], options: Mapping[str, Any]) -> _SimplexBegins | None:
        dim = float(x0.size)
        factors: tuple[float, float, float] = (2, 0.5, 0.5)
        if options.get("adaptive", False):
            factors = (1 + 2 / dim, 0.75 - 1 / (2 * dim), 1 - 1 / dim)
        rule = _Simplex(*factors, options.get("xatol", 1e-4), options.get("fatol", 1e-4))
        given = options.get("initial_simplex")
        if given is None:
            vertices = np.empty((x0.size + 1, x0.size))
            vertices[:] = x0
            for k in range(x0.size):
                vertices[k + 1, k] = (1 + 0.05) * x0[k] if x0[k] != 0 else 0.00025
        else:
            vertices = np.atleast_2d(given).copy()
        if vertices.shape != (x0.size + 1, x0.size) or vertices.dtype != np.float64:
            return None
        return cls(rule, vertices, _Limits.of(options, 200 * x0.size))

    def run(self, function: Function) -> Stage | None:
        counted = _Counted(function, self.limits)
        values = np.full(len(self.vertices), np.inf)
        try:
            for k, vertex in enumerate(self.vertices):
                values[k] = counted(vertex)
        except _Spent:
            return None
        vertices, values = _sorted(*_sorted(self.vertices, values))
        return _SimplexMoves(self.rule, vertices, values, replace(counted.limits, iterations=1))


@dataclass(frozen=True, slots=True, eq=False)
class _SimplexMoves:
    """One step of the simplex."""

    rule: _Simplex
    vertices: NDArray[np.float64]
    values: NDArray[np.float64]
    limits: _Limits

    def run(self, function: Function) -> Stage | None:
        limits, rule = self.limits, self.rule
        if limits.calls >= limits.most_calls or limits.iterations >= limits.most_iterations:
            return None
        sim, fsim = self.vertices.copy(), self.values.copy()
        is_small = np.max(np.ravel(np.abs(sim[1:] - sim[0]))) <= rule.xatol
        if is_small and np.max(np.abs(fsim[0] - fsim[1:])) <= rule.fatol:
            return None
        counted = _Counted(function, limits)
        try:
            self._move(sim, fsim, counted)
        except _Spent:
            return None
        after = replace(counted.limits, iterations=limits.iterations + 1)
        return _SimplexMoves(rule, *_sorted(sim, fsim), after)

    def _move(
        self, sim: NDArray[np.float64], fsim: NDArray[np.float64], function: _Counted
    ) -> None:
        rho, chi, psi = 1, self.rule.chi, self.rule.psi
        xbar = np.add.reduce(sim[:-1], 0) / sim.shape[1]
        xr = (1 + rho) * xbar - rho * sim[-1]
        fxr = function(xr)
        if fxr < fsim[0]:
            xe = (1 + rho * chi) * xbar - rho * chi * sim[-1]
            fxe = function(xe)
            sim[-1], fsim[-1] = (xe, fxe) if fxe < fxr else (xr, fxr)
            return
        if fxr < fsim[-2]:
            sim[-1], fsim[-1] = xr, fxr
            return
        if fxr < fsim[-1]:
            xc = (1 + psi * rho) * xbar - psi * rho * sim[-1]
            fxc = function(xc)
            is_better = fxc <= fxr
        else:
            xc = (1 - psi) * xbar + psi * sim[-1]
            fxc = function(xc)
            is_better = fxc < fsim[-1]
        if is_better:
            sim[-1], fsim[-1] = xc, fxc
            return
        for j in range(1, len(sim)):
            sim[j] = sim[0] + self.rule.sigma * (sim[j] - sim[0])
            fsim[j] = function(sim[j])


def _sorted(
    vertices: NDArray[np.float64], values: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    order = np.argsort(values)
    return np.take(vertices, order, 0), np.take(values, order, 0)


@dataclass(frozen=True, slots=True, eq=False)
class _PowellBegins:
    """The start is evaluated (scipy's ``_minimize_powell``, without bounds)."""

    x0: NDArray[np.float64]
    limits: _Limits
    xtol: float
    ftol: float

    def run(self, function: Function) -> Stage | None:
        counted = _Counted(function, self.limits)
        try:
            value = counted(self.x0)
        except _Spent:
            return None
        directions = np.eye(self.x0.size)
        return _PowellSearches(
            self.xtol, self.ftol, self.x0, value, self.x0, directions, counted.limits
        )


@dataclass(frozen=True, slots=True, eq=False)
class _PowellSearches:
    """One line search of a sweep over the directions."""

    xtol: float
    ftol: float
    x: NDArray[np.float64]
    value: float
    x1: NDArray[np.float64]
    directions: NDArray[np.float64]
    limits: _Limits
    number: int = 0
    swept_from: float = math.nan
    delta: float = 0.0
    biggest: int = 0

    def run(self, function: Function) -> Stage | None:
        counted = _Counted(function, self.limits)
        number, before = self.number, self.value
        swept_from = self.swept_from if number else before
        try:
            value, x, _ = _line_search()(
                counted, self.x, self.directions[number], tol=self.xtol * 100, fval=before
            )
        except _Spent:
            return None
        delta, biggest = self.delta, self.biggest
        if (before - value) > delta:
            delta, biggest = before - value, number
        after = replace(
            self,
            x=x,
            value=value,
            limits=counted.limits,
            number=number + 1,
            swept_from=swept_from,
            delta=delta,
            biggest=biggest,
        )
        if number + 1 < len(self.directions):
            return after
        limits = replace(after.limits, iterations=after.limits.iterations + 1)
        bound = self.ftol * (np.abs(swept_from) + np.abs(value)) + 1e-20
        is_over = 2.0 * (swept_from - value) <= bound or limits.calls >= limits.most_calls
        is_over = is_over or limits.iterations >= limits.most_iterations
        if is_over or (np.isnan(swept_from) and np.isnan(value)):
            return None
        return _PowellExtrapolates(replace(after, limits=limits))


@dataclass(frozen=True, slots=True, eq=False)
class _PowellExtrapolates:
    """After a sweep: whether the way that it went makes a better direction."""

    after: _PowellSearches

    def run(self, function: Function) -> Stage | None:
        it = self.after
        counted = _Counted(function, it.limits)
        fx, fval, x, delta = it.swept_from, it.value, it.x, it.delta
        directions = it.directions
        direc1 = x - it.x1
        x1 = x.copy()
        try:
            fx2 = counted(x + direc1)
            if fx > fx2:
                t = 2.0 * (fx + fx2 - 2.0 * fval)
                temp = fx - fval - delta
                t *= temp * temp
                temp = fx - fx2
                t -= delta * temp * temp
                if t < 0.0:
                    fval, x, direc1 = _line_search()(
                        counted, x, direc1, tol=it.xtol * 100, fval=fval
                    )
                    if np.any(direc1):
                        directions = directions.copy()
                        directions[it.biggest] = directions[-1]
                        directions[-1] = direc1
        except _Spent:
            return None
        return _PowellSearches(it.xtol, it.ftol, x, fval, x1, directions, counted.limits)


def _line_search() -> Any:
    """Scipy's own line search; None where it has none of that name."""
    from scipy.optimize import _optimize

    return getattr(_optimize, "_linesearch_powell", None)
