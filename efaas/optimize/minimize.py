"""``minimize``: scipy's, on an objective whose evaluations are futures."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.optimize

from efaas.errors import OptimizerError, ParameterError
from efaas.optimize.report import SpeculationReport
from efaas.optimize.rounds import RoundedObjective, SubmitsPoints

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["PARAMETER_SHIFT", "minimize"]

PARAMETER_SHIFT = "parameter-shift"
"""The ``jac`` that asks for exact gradients from shifted circuits."""

_METHODS = (
    *("Nelder-Mead", "Powell", "CG", "BFGS", "Newton-CG", "L-BFGS-B", "TNC", "COBYLA", "COBYQA"),
    *("SLSQP", "trust-constr", "dogleg", "trust-ncg", "trust-exact", "trust-krylov"),
)
"""Names for the error message and for ``_TAKES_WORKERS``; scipy itself decides what it knows."""

_TAKES_WORKERS = frozenset(
    method.lower()
    for method in _METHODS
    if method not in {"Nelder-Mead", "Powell", "COBYLA", "COBYQA"}
)
"""The methods that take derivatives, and scipy's ``workers`` option for their differences."""


def minimize(
    fun: Any,
    x0: ArrayLike,
    args: tuple[Any, ...] = (),
    method: str | Callable[..., Any] | None = None,
    jac: Any = None,
    hess: Any = None,
    hessp: Any = None,
    bounds: Any = None,
    constraints: Any = (),
    tol: float | None = None,
    callback: Callable[..., Any] | None = None,
    options: dict[str, Any] | None = None,
) -> scipy.optimize.OptimizeResult:
    """What ``scipy.optimize.minimize`` returns, waiting less often.

    Every argument means what it means in scipy, and every field of the result is what scipy's
    would be. For an objective of a session, all points of a finite difference or of a
    parameter-shift gradient are evaluated in one round. A plain function is handed to scipy as it
    is.

    Args:
        fun: A session's objective, or any function that scipy takes.
        x0: Where to start, shape ``(n,)``.
        args: Further arguments of a plain function; a session's objective has none.
        method: One of scipy's methods, or a callable in scipy's form.
        jac: As in scipy; for an objective also ``"parameter-shift"``.
        hess: As in scipy.
        hessp: As in scipy.
        bounds: As in scipy.
        constraints: As in scipy.
        tol: As in scipy.
        callback: As in scipy.
        options: As in scipy.

    Returns:
        Scipy's ``OptimizeResult`` with one more field, ``speculation``: a ``SpeculationReport``.

    Raises:
        OptimizerError: Scipy does not know the method, or ``jac`` or ``args`` contradict the
            objective.
        ParameterError: ``x0`` has the wrong length or is not finite.

    Example:
        >>> result = minimize(lambda x: (x[0] - 1.0) ** 2, [0.0], method="BFGS")
        >>> round(float(result.x[0]), 6)
        1.0
    """
    passed = {
        "method": method,
        "jac": jac,
        "hess": hess,
        "hessp": hessp,
        "bounds": bounds,
        "constraints": constraints,
        "tol": tol,
        "callback": callback,
        "options": options,
    }
    if not isinstance(fun, SubmitsPoints):
        if isinstance(jac, str) and jac == PARAMETER_SHIFT:
            raise OptimizerError(
                "jac='parameter-shift' needs an objective of a session (session.objective(...)): "
                f"there is no circuit to shift in {fun!r}"
            )
        result = _scipy_minimize(fun, x0, args, passed)
        evaluations = int(result.get("nfev", 0))  # a method of the user's own may not count
        result["speculation"] = SpeculationReport(evaluations, evaluations)
        return result
    start = _checked_start(fun, x0)
    _check_arguments(args, jac)
    shifts = isinstance(jac, str) and jac == PARAMETER_SHIFT
    rounded = RoundedObjective(fun, maps_gradients=shifts)
    if shifts:
        passed["jac"] = rounded.gradient
    if method is None or (isinstance(method, str) and method.lower() in _TAKES_WORKERS):
        passed["options"] = {"workers": rounded.map} | dict(options or {})
    try:
        result = _scipy_minimize(rounded.value, start, (), passed)
    finally:
        rounded.withdraw_unused()
    result["speculation"] = rounded.report()
    return result


def _scipy_minimize(
    fun: Callable[..., Any], x0: Any, args: tuple[Any, ...], passed: dict[str, Any]
) -> scipy.optimize.OptimizeResult:
    try:
        return scipy.optimize.minimize(fun, x0, args, **passed)
    except ValueError as error:
        method = passed["method"]
        if not isinstance(method, str) or "Unknown solver" not in str(error):
            raise
        known = {name.lower(): name for name in _METHODS}
        close = [known[name] for name in difflib.get_close_matches(method.lower(), known)]
        hint = f"did you mean {' or '.join(map(repr, close))}? " if close else ""
        raise OptimizerError(
            f"scipy knows no method {method!r}: {hint}Expected one of {', '.join(_METHODS)}"
        ) from error


def _checked_start(objective: SubmitsPoints, x0: ArrayLike) -> NDArray[np.float64]:
    try:
        start = np.atleast_1d(np.asarray(x0, dtype=float))
    except (TypeError, ValueError) as error:
        raise ParameterError(f"x0 must be numbers, got {x0!r}") from error
    if start.shape != (objective.num_parameters,):
        raise ParameterError(
            f"x0 has shape {start.shape}; the objective has {objective.num_parameters} parameters, "
            f"so expected shape ({objective.num_parameters},)"
        )
    if not np.isfinite(start).all():
        raise ParameterError(
            f"x0 is not finite at index {int(np.flatnonzero(~np.isfinite(start))[0])}: {start}"
        )
    return start


def _check_arguments(args: tuple[Any, ...], jac: Any) -> None:
    if args:
        raise OptimizerError(
            f"a session's objective is a function of its parameters only, but args={args!r}; "
            "wrap it in a function of your own, or put the values into the circuit"
        )
    if jac is True:
        raise OptimizerError(
            "jac=True says that fun returns (value, gradient), but a session's objective returns "
            "the value alone; use jac='parameter-shift'"
        )
    if isinstance(jac, str) and jac == "cs":
        raise OptimizerError(
            "jac='cs' evaluates at complex points, where a circuit has no value; use "
            "jac='parameter-shift', '2-point' or '3-point'"
        )
    if isinstance(jac, str) and jac not in {PARAMETER_SHIFT, "2-point", "3-point"}:
        raise OptimizerError(
            f"jac={jac!r} is unknown: expected 'parameter-shift', '2-point', '3-point', a function "
            "or None"
        )
