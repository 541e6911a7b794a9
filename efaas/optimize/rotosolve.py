"""Rotosolve: a few angles at a time, each time to their exact minimum.

Known as Rotosolve (Ostaszewski, Grant, Benedetti, Quantum 5, 391 (2021)), sequential minimal
optimization, and Nakanishi-Fujii-Todo (NFT; Phys. Rev. Research 2, 043158 (2020), cited below as
[N20]).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from efaas.errors import OptimizerError
from efaas.optimize.box import Box
from efaas.optimize.callable_form import (
    Ending,
    Evaluations,
    Watcher,
    checked_count,
    checked_number,
    checked_start,
    finished,
    generator,
    refuse_constraints,
    warn_of_unused,
)
from efaas.optimize.trigonometric import TrigonometricPolynomial, sample_angles

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray
    from scipy.optimize import OptimizeResult

__all__ = ["rotosolve"]

_MOST_POINTS = 20_000
"""Of a round; three angles of thirteen harmonics each."""


def rotosolve(
    fun: Callable[..., Any],
    x0: ArrayLike,
    args: Any = (),
    *,
    jac: Any = None,
    hess: Any = None,
    hessp: Any = None,
    bounds: Any = None,
    constraints: Any = (),
    callback: Callable[..., Any] | None = None,
    maxiter: int = 100,
    maxfev: int | None = None,
    tol: float | None = None,
    ftol: float | None = 1e-6,
    xtol: float | None = None,
    block_size: int = 1,
    frequencies: ArrayLike = 1.0,
    harmonics: ArrayLike = 1,
    reuse: bool = False,
    reset_interval: int = 32,
    order: str = "cyclic",
    workers: Any = None,
    rng: Any = None,
    disp: bool = False,
    return_all: bool = False,
    **unknown_options: Any,
) -> OptimizeResult:
    """The minimum of a function sinusoidal in each parameter; a ``method`` for ``minimize``.

    A step evaluates a block of parameters at as many points as decide the function of these, all
    in one round, and moves them to its global minimum. With one harmonic that is 3 points for one
    parameter, 9 for two, 27 for three. It needs no step sizes, and without noise never goes up.

    Args:
        fun: An expectation value of a circuit whose parameters are angles of rotation gates.
        x0: Where to start, shape ``(n,)``.
        args: Further arguments of ``fun``.
        jac: Not used; scipy's warning says so.
        hess: Not used, likewise.
        hessp: Not used, likewise.
        bounds: Refused, unless infinite: the points go all the way round.
        constraints: Refused.
        callback: In either of scipy's forms, after every sweep. ``intermediate_result`` has ``x``,
            ``nit``, ``nfev`` and ``fun``, the value at ``x`` that the last step's points give.
        maxiter: Sweeps over all parameters.
        maxfev: Most evaluations; None for no limit. The last one is kept for the final point.
        tol: Stands for ``ftol``.
        ftol: Ends the run after a sweep that has changed the value by no more; None never does.
        xtol: Ends the run after a sweep that has changed no parameter by more; None never does.
            Where both are given, both must hold.
        block_size: 1, 2 or 3 parameters a step. Larger blocks find minima that one parameter at a
            time cannot reach, and take fewer rounds but more evaluations.
        frequencies: By which factor a parameter enters its gates: 1 for ``rz(t)``, 2 for
            ``rz(2 * t)``. One number, or one per parameter.
        harmonics: How many gates a parameter enters, each with that factor: R takes ``2 R + 1``
            points. With whole multiples of the factor, count a gate as often as its multiple.
            One integer, or one per parameter.
        reuse: Whether to take the value at the present point from the last step's minimum, as NFT
            does: one evaluation less a step, and noise that adds up [N20, sec. II].
        reset_interval: With ``reuse``, every so many steps that point is evaluated again [N20].
        order: ``"cyclic"``, or ``"random"`` for a new order every sweep. A block is of neighbours
            in this order.
        workers: As scipy's, a map: called as ``workers(f, points)`` once a round. None or 1 is one
            after the other.
        rng: For the random order; as in scipy, a seed or a ``numpy.random.Generator``.
        disp: Whether to print how it ended.
        return_all: Whether the result has ``x`` after every sweep, as ``allvecs``.
        **unknown_options: Scipy's warning names them.

    Returns:
        Scipy's result. ``fun`` is the value at ``x``, evaluated once; ``nit`` counts sweeps.

    Raises:
        OptimizerError: An option is out of its range, or there are bounds or constraints.
        ParameterError: ``x0`` is no vector of finite numbers.

    Example:
        >>> import numpy as np, scipy.optimize
        >>> found = scipy.optimize.minimize(
        ...     lambda x: np.sin(x[0]) + np.cos(x[1]), [0.1, 0.2], method=rotosolve
        ... )
        >>> round(found.fun, 12), found.nfev
        (-2.0, 13)
    """
    warn_of_unused("rotosolve", jac=jac, hess=hess, hessp=hessp, unknown_options=unknown_options)
    refuse_constraints("rotosolve", constraints)
    start = checked_start(x0)
    if Box.of(bounds, len(start)).is_finite:
        raise OptimizerError(
            "method rotosolve goes round the whole circle and cannot handle bounds; leave them "
            "out (angles are periodic), or use a method that takes them, as 'COBYQA' does"
        )
    if order not in ("cyclic", "random"):
        raise OptimizerError(f"order must be 'cyclic' or 'random', got {order!r}")
    block = checked_count("block_size", block_size, least=1)
    if block > 3:
        raise OptimizerError(f"block_size must be 1, 2 or 3, got {block}")
    if tol is not None:
        ftol = tol
    run = _Run(
        evaluations=Evaluations(fun, args, workers, maxfev),
        watcher=Watcher(callback),
        rng=generator(rng) if order == "random" else None,
        block=block,
        frequencies=_checked_frequencies(frequencies, len(start)),
        harmonics=_checked_harmonics(harmonics, len(start), block),
        reset_interval=checked_count("reset_interval", reset_interval, least=1) if reuse else 1,
        ftol=None if ftol is None else checked_number("ftol", ftol),
        xtol=None if xtol is None else checked_number("xtol", xtol),
        x=start,
        allvecs=[start],
    )
    ending = run.make_sweeps(checked_count("maxiter", maxiter, least=0))
    return run.result(ending, shows=bool(disp), return_all=bool(return_all))


rotosolve.takes_workers = True  # type: ignore[attr-defined]


@dataclass(slots=True)
class _Run:
    """A run under way: what it was told, and where it stands."""

    evaluations: Evaluations
    watcher: Watcher
    rng: np.random.Generator | None
    block: int
    frequencies: NDArray[np.float64]
    harmonics: NDArray[np.int64]
    reset_interval: int
    ftol: float | None
    xtol: float | None
    x: NDArray[np.float64]
    allvecs: list[NDArray[np.float64]]
    value: float = np.nan
    """At ``x``, as far as the steps know it."""
    steps: int = 0
    nit: int = 0

    def make_sweeps(self, sweeps: int) -> Ending:
        """Sweep until nothing moves, or something ends the run."""
        if not len(self.x):
            return Ending.CONVERGED
        for _ in range(sweeps):
            value_before, x_before = np.nan, self.x
            for block in self._blocks():
                ending, value_here = self._step(block)
                if ending is not None:
                    return ending
                if np.isnan(value_before):
                    value_before = value_here
            self.nit += 1
            self.allvecs.append(self.x)
            if self.watcher.stops(
                x=self.x, fun=self.value, nit=self.nit, nfev=self.evaluations.count
            ):
                return Ending.STOPPED
            if self._is_quiet(value_before - self.value, self.x - x_before):
                return Ending.CONVERGED
        return Ending.COMPLETE if self.ftol is None and self.xtol is None else Ending.MAXITER

    def result(self, ending: Ending, *, shows: bool, return_all: bool) -> OptimizeResult:
        """Scipy's result, with the value at the final point."""
        fields: dict[str, Any] = {
            "x": self.x.copy(),
            "fun": self.evaluations.at(self.x),
            "nit": self.nit,
            "nfev": self.evaluations.count,
        }
        if return_all:
            fields["allvecs"] = self.allvecs
        return finished(ending, shows=shows, **fields)

    def _blocks(self) -> Iterator[NDArray[np.intp]]:
        order = np.arange(len(self.x)) if self.rng is None else self.rng.permutation(len(self.x))
        for first in range(0, len(order), self.block):
            yield order[first : first + self.block]

    def _step(self, block: NDArray[np.intp]) -> tuple[Ending | None, float]:
        """Move the parameters of a block to their minimum.

        Returns:
            Why the run ends, if it does; and the value where the step began.
        """
        harmonics = [int(count) for count in self.harmonics[block]]
        angles = sample_angles(harmonics)
        # The first row is the present point, whose value the last step may have told.
        is_known = self.steps % self.reset_interval != 0
        offsets = angles[1:] if is_known else angles
        if not self.evaluations.affords(len(offsets) + 1):
            return Ending.MAXFEV, np.nan
        points = np.repeat(self.x[np.newaxis], len(offsets), axis=0)
        points[:, block] += offsets / self.frequencies[block]
        values = self.evaluations.round(points)
        if is_known:
            values = np.concatenate([[self.value], values])
        if not np.isfinite(values).all():
            return Ending.NOT_FINITE, np.nan
        polynomial = TrigonometricPolynomial.through(values, harmonics)
        lowest, self.value = polynomial.minimum()
        self.x = self.x.copy()
        self.x[block] += lowest / self.frequencies[block]
        self.steps += 1
        return None, float(values[0])

    def _is_quiet(self, fallen: float, moved: NDArray[np.float64]) -> bool:
        """Whether a sweep that has changed so much meets every tolerance that was given."""
        met = []
        if self.ftol is not None:
            met.append(abs(fallen) <= self.ftol)
        if self.xtol is not None:
            met.append(float(np.abs(moved).max()) <= self.xtol)
        return bool(met) and all(met)


def _checked_frequencies(given: ArrayLike, n: int) -> NDArray[np.float64]:
    values = np.asarray(given)
    is_number = values.dtype.kind in "fiu" and values.shape in ((), (n,))
    if not (is_number and np.isfinite(values).all() and (values > 0).all()):
        raise OptimizerError(
            f"frequencies must be one number above 0, or {n} of them (one per parameter), got "
            f"{given!r}"
        )
    return np.array(np.broadcast_to(values, n), dtype=float)


def _checked_harmonics(given: ArrayLike, n: int, block: int) -> NDArray[np.int64]:
    values = np.asarray(given)
    if not (values.dtype.kind in "iu" and values.shape in ((), (n,)) and (values >= 1).all()):
        raise OptimizerError(
            f"harmonics must be one integer of at least 1, or {n} of them (one per parameter), got "
            f"{given!r}"
        )
    counts = np.array(np.broadcast_to(values, n), dtype=np.int64)
    points = float(np.prod(2.0 * np.sort(counts)[::-1][:block] + 1.0))
    if points > _MOST_POINTS:
        raise OptimizerError(
            f"a block of {block} with these harmonics takes up to {points:.0f} points a round, "
            f"more than {_MOST_POINTS}; use a smaller block_size"
        )
    return counts
