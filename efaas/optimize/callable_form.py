"""Scipy's callable form of a method: what it is handed by ``minimize``, and what it owes.

Scipy hands a method of one's own everything that its caller gave, unchecked. The methods here
check it at the door, count evaluations, and evaluate in one call of ``workers`` whatever they
know in advance.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.optimize import OptimizeResult, OptimizeWarning

from efaas.errors import OptimizerError, ParameterError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = [
    "Ending",
    "Evaluations",
    "Watcher",
    "checked_count",
    "checked_number",
    "checked_start",
    "finished",
    "generator",
    "refuse_constraints",
    "warn_of_unused",
]


class Ending(Enum):
    """Why a run ended: ``status``, ``success`` and ``message`` of its result.

    The numbers are scipy's, those of ``callback`` and Nelder-Mead.
    """

    CONVERGED = (0, "Optimization terminated successfully.")
    COMPLETE = (0, "All iterations asked for were made.")
    MAXFEV = (1, "Maximum number of function evaluations has been exceeded.")
    MAXITER = (2, "Maximum number of iterations has been exceeded.")
    NOT_FINITE = (3, "The objective is NaN or infinite at a point; the step there was not made.")
    STOPPED = (99, "`callback` raised `StopIteration`.")

    @property
    def status(self) -> int:
        """Scipy's number; 0 for success."""
        return self.value[0]

    @property
    def message(self) -> str:
        """A sentence for the user."""
        return self.value[1]


@dataclass(frozen=True, slots=True)
class _Called:
    """The objective with its ``args``; a class, so that process pools can pickle it."""

    fun: Callable[..., Any]
    args: tuple[Any, ...]

    def __call__(self, x: NDArray[np.float64]) -> float:
        value = np.asarray(self.fun(np.copy(x), *self.args))
        if value.size != 1 or value.dtype.kind not in "fiub":
            raise OptimizerError(
                "the objective must return one real number, but returned an array of shape "
                f"{value.shape} and type {value.dtype} at {x}"
            )
        return float(value.item())


class Evaluations:
    """The objective, evaluated in rounds and counted."""

    def __init__(
        self,
        fun: Callable[..., Any],
        args: Any,
        workers: Any,
        maxfev: int | None,
    ) -> None:
        """Take the arguments of a method.

        Args:
            fun: ``fun(x, *args)`` is one real number.
            args: A tuple, or one further argument.
            workers: Called as ``workers(f, points)``, returns the values in their order; None
                or 1 evaluates one after the other.
            maxfev: Most evaluations; None for no limit.

        Raises:
            OptimizerError: ``workers`` or ``maxfev`` is none of these.
        """
        self._called = _Called(fun, args if isinstance(args, tuple) else (args,))
        self._map = _checked_workers(workers)
        self._left = np.inf if maxfev is None else checked_count("maxfev", maxfev, least=1)
        self.count = 0

    def affords(self, points: int) -> bool:
        """Whether ``maxfev`` allows so many more."""
        return points <= self._left

    def round(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """The values at the rows of ``points``, evaluated in one call of ``workers``."""
        values = list(self._map(self._called, list(points)))
        if len(values) != len(points):
            raise OptimizerError(
                f"workers was given {len(points)} points and returned {len(values)} values; "
                "expected one value per point, in their order"
            )
        self.count += len(values)
        self._left -= len(values)
        return np.array(values, dtype=float)

    def at(self, x: NDArray[np.float64]) -> float:
        """The value at one point."""
        return float(self.round(x[np.newaxis])[0])


class Watcher:
    """The user's callback, in whichever of scipy's two forms it has."""

    def __init__(self, callback: Callable[..., Any] | None) -> None:
        """Take a callback: ``callback(xk)`` or ``callback(*, intermediate_result)``.

        Scipy's rule: it is the second form if that is the name of its only parameter.
        """
        self._callback = callback
        self._takes_result = callback is not None and _parameters(callback) == {
            "intermediate_result"
        }

    def stops(self, **fields: Any) -> bool:
        """Whether the callback raised ``StopIteration`` on seeing these fields, ``x`` among them.

        Arrays are passed on as copies.
        """
        if self._callback is None:
            return False
        shown = {
            name: value.copy() if isinstance(value, np.ndarray) else value
            for name, value in fields.items()
        }
        try:
            if self._takes_result:
                self._callback(intermediate_result=_result(shown))
            else:
                self._callback(shown["x"])
        except StopIteration:
            return True
        return False


def finished(ending: Ending, *, shows: bool, **fields: Any) -> OptimizeResult:
    """Scipy's result of a run with these fields, ``x``, ``fun``, ``nit`` and ``nfev`` among them.

    Args:
        ending: Why it ended; ``NOT_FINITE`` if ``fun`` is not finite.
        shows: Whether to print it, as scipy's ``disp`` does.
        **fields: In the result's order.
    """
    if not np.isfinite(fields["fun"]):
        ending = Ending.NOT_FINITE
    if shows:
        print(
            f"{ending.message}\n"
            f"         Current function value: {fields['fun']:f}\n"
            f"         Iterations: {fields['nit']}\n"
            f"         Function evaluations: {fields['nfev']}"
        )
    return _result(
        fields | {"status": ending.status, "success": ending.status == 0, "message": ending.message}
    )


def checked_start(x0: ArrayLike) -> NDArray[np.float64]:
    """A copy of ``x0`` of shape ``(n,)``.

    Raises:
        ParameterError: It has more than one dimension, or holds what is no finite real number.
    """
    given = np.asarray(x0)
    if given.dtype.kind not in "fiub":
        raise ParameterError(f"x0 must be real numbers, got {x0!r}")
    start = np.array(np.atleast_1d(given), dtype=float)
    if start.ndim != 1:
        raise ParameterError(f"x0 must have one dimension, got shape {start.shape}")
    if not np.isfinite(start).all():
        bad = int(np.flatnonzero(~np.isfinite(start))[0])
        raise ParameterError(f"x0 is not finite at index {bad}: {start}")
    return start


def checked_count(name: str, value: Any, *, least: int) -> int:
    """``value`` as an int.

    Raises:
        OptimizerError: It is no integer, or below ``least``.
    """
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise OptimizerError(f"{name} must be an integer of at least {least}, got {value!r}")
    if value < least:
        raise OptimizerError(f"{name} must be at least {least}, got {value}")
    return int(value)


def checked_number(name: str, value: Any, *, above: float | None = None) -> float:
    """``value`` as a float.

    Raises:
        OptimizerError: It is no finite number, or negative; or not greater than ``above``, where
            that is given.
    """
    wanted = "a finite number, 0 or more" if above is None else f"a finite number above {above}"
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise OptimizerError(f"{name} must be {wanted}, got {value!r}") from error
    if not np.isfinite(number) or (number < 0 if above is None else number <= above):
        raise OptimizerError(f"{name} must be {wanted}, got {value!r}")
    return number


def generator(rng: Any) -> np.random.Generator:
    """The random numbers that scipy's ``rng`` stands for: a seed, a generator, or None.

    Raises:
        OptimizerError: It is neither.
    """
    try:
        return np.random.default_rng(rng)
    except (TypeError, ValueError) as error:
        raise OptimizerError(
            f"rng must be None, a seed (an integer of at least 0) or a numpy.random.Generator, "
            f"got {rng!r}"
        ) from error


def warn_of_unused(
    method: str, *, jac: Any, hess: Any, hessp: Any, unknown_options: dict[str, Any]
) -> None:
    """Warn as scipy's own methods do of derivatives and options that the method ignores."""
    ignored = (
        ("gradient information (jac)", bool(jac)),
        ("Hessian information (hess)", hess is not None),
        ("Hessian-vector product information (hessp)", hessp is not None),
    )
    for what, is_given in ignored:
        if is_given:
            warnings.warn(f"Method {method} does not use {what}.", RuntimeWarning, stacklevel=4)
    if unknown_options:
        names = ", ".join(map(str, unknown_options))
        warnings.warn(f"Unknown solver options: {names}", OptimizeWarning, stacklevel=4)


def refuse_constraints(method: str, constraints: Any) -> None:
    """Raise unless there are none: a result that breaks them would be of no use.

    Raises:
        OptimizerError: There are constraints.
    """
    if constraints is None or (isinstance(constraints, Sequence) and not constraints):
        return
    raise OptimizerError(
        f"method {method} cannot handle constraints; use 'COBYLA', 'COBYQA', 'SLSQP' or "
        "'trust-constr', or add a penalty to the objective"
    )


def _result(fields: dict[str, Any]) -> OptimizeResult:
    result = OptimizeResult()
    result.update(fields)
    return result


def _checked_workers(workers: Any) -> Callable[..., Any]:
    if callable(workers):
        return workers  # type: ignore[no-any-return]
    if workers is None or (isinstance(workers, (int, np.integer)) and int(workers) == 1):
        return map
    raise OptimizerError(
        f"workers must be None, 1 or a function called as workers(f, points), got {workers!r}; "
        "for a pool of processes, pass its map: multiprocessing.Pool(n).map"
    )


def _parameters(callback: Callable[..., Any]) -> set[str]:
    if not callable(callback):
        raise OptimizerError(f"callback must be a function or None, got {callback!r}")
    try:
        return set(inspect.signature(callback).parameters)
    except ValueError:  # some functions written in C do not say; they take the point
        return set()
