"""``minimize``: scipy's, with its next steps evaluated while the present one is in flight."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import scipy.optimize

from efaas.errors import OptimizerError
from efaas.model.quantities import is_count
from efaas.optimize.door import (
    PARAMETER_SHIFT,
    checked_start,
    explained,
    is_parameter_shift,
    refuse_shift,
    require_shots,
)
from efaas.optimize.drive import drive
from efaas.optimize.limits import BUDGET_REACHED, PROVIDER_SESSION_ENDED, Limits
from efaas.optimize.progress import progress_of
from efaas.optimize.report import SpeculationReport
from efaas.optimize.rotosolve import rotosolve
from efaas.optimize.sources import (
    DrawsSeeds,
    ObjectiveSource,
    PooledFunction,
    Source,
    SubmitsPoints,
)
from efaas.optimize.speculation import OFF, Speculation, as_speculation
from efaas.optimize.spsa import spsa
from efaas.optimize.start import FROM_ASKED, MinimizeStart, takes_derivatives, takes_workers

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["minimize"]

_METHODS = (
    *("Nelder-Mead", "Powell", "CG", "BFGS", "Newton-CG", "L-BFGS-B", "TNC", "COBYLA", "COBYQA"),
    *("SLSQP", "trust-constr", "dogleg", "trust-ncg", "trust-exact", "trust-krylov"),
)
"""Names for the error message; scipy itself decides what it knows."""

_OURS = {"spsa": spsa, "rotosolve": rotosolve}
_NAMES = (*_METHODS, "SPSA", "Rotosolve")

# The function itself: a user may put ``efaas.minimize`` in scipy's place.
_scipy_minimize = scipy.optimize.minimize


def minimize(
    fun: Any,
    x0: ArrayLike,
    args: Any = (),
    method: str | Callable[..., Any] | None = None,
    jac: Any = None,
    hess: Any = None,
    hessp: Any = None,
    bounds: Any = None,
    constraints: Any = (),
    tol: float | None = None,
    callback: Callable[..., Any] | None = None,
    options: dict[str, Any] | None = None,
    *,
    speculation: Speculation | str | bool | None = None,
    max_rounds: int | None = None,
    max_seconds: float | None = None,
    max_shots: int | None = None,
    final_shots: int | None = None,
    progress: bool | None = None,
) -> scipy.optimize.OptimizeResult:
    """What ``scipy.optimize.minimize`` returns, waiting less often.

    Every argument of scipy's means what it means there, and every field of the result is what
    scipy's would be, to the bit. While the value that the optimizer asked for is in flight, what
    it will probably ask for next is evaluated in the same round; a guess counts only if it turns
    out to be the very point.

    For an objective of a session this is the default, where it pays. A plain function is handed
    to scipy as it is; with ``speculation`` given, it is called from several threads and more often
    than scipy would call it, and so may be the functions in ``jac``, ``hess``, ``constraints``
    and ``method``.

    Args:
        fun: A session's objective, or any function that scipy takes.
        x0: Where to start, shape ``(n,)``.
        args: Further arguments of a plain function; a session's objective has none.
        method: One of scipy's methods; ``"SPSA"`` or ``"Rotosolve"`` for ``efaas.optimize.spsa``
            and ``rotosolve``; or a callable in scipy's form, as these are.
        jac: As in scipy; for an objective also ``"parameter-shift"``.
        hess: As in scipy.
        hessp: As in scipy.
        bounds: As in scipy.
        constraints: As in scipy.
        tol: As in scipy.
        callback: As in scipy.
        options: As in scipy.
        speculation: ``"off"``, ``"exact"``, ``"tolerant"``, or an ``efaas.Speculation``.
        max_rounds: Stop before a further round.
        max_seconds: Stop when so much time has gone, in seconds of the session's clock.
        max_shots: Stop before more shots of each measurement setting are spent, guesses included.
        final_shots: At the end, evaluate ``x`` once more with so many shots, as ``final_fun``.
        progress: Whether to show a line on the standard error, or in the notebook, that tells how
            far the run is. None shows it on a terminal and in a notebook, once a run takes longer
            than half a second, for objectives of a session and where guesses are made.

    Returns:
        Scipy's ``OptimizeResult`` with one more field, ``speculation``: a ``SpeculationReport``.
        Where a limit, the budget of a backend, or Ctrl-C on an objective of a session, ended the
        run, ``x`` and ``fun`` are the best so far, ``success`` is False, and ``message`` says what
        ended it.

    Raises:
        OptimizerError: Scipy does not know the method, or arguments contradict each other or the
            objective.
        ParameterError: ``x0`` has the wrong length or is not finite.

    Example:
        >>> result = minimize(lambda x: (x[0] - 1.0) ** 2, [0.0], method="BFGS")
        >>> round(float(result.x[0]), 6)
        1.0
    """
    if isinstance(method, str):
        method = _OURS.get(method.lower(), method)
    if method is spsa:
        options = _seeded(fun, options)
    passed = {
        "method": method,
        "jac": jac,
        "hess": hess,
        "hessp": hessp,
        "bounds": bounds,
        "constraints": constraints,
        "tol": tol,
        "options": options,
    }
    limits = Limits(max_rounds, max_seconds, max_shots)
    observers = progress_of(fun, progress, limits, options)
    is_explicit = speculation is not None
    default = Speculation() if isinstance(fun, SubmitsPoints) else OFF
    chosen = as_speculation(speculation, default=default)
    can_guess, notes = _guessing(passed, chosen, is_explicit=is_explicit)
    source: Source
    if isinstance(fun, SubmitsPoints):
        x0 = checked_start(fun, x0)
        _check_arguments(fun, args, method, jac, limits, final_shots)
        source, shots = ObjectiveSource(fun), fun.shots
        if is_parameter_shift(jac):
            passed["jac"] = FROM_ASKED
    else:
        _check_plain(fun, jac, limits, final_shots)
        gains = chosen.mode != "off" and (can_guess or _gives_map(passed))
        if limits.are_none and not gains and not progress:
            return _by_scipy(fun, x0, args, passed, callback, notes)
        gradient = jac if callable(jac) and takes_derivatives(method) else None
        further = args if isinstance(args, tuple) else (args,)
        source, shots = PooledFunction(fun, gradient, further, threads=chosen.threads), None
        if gradient is not None:
            passed["jac"] = FROM_ASKED
    start = MinimizeStart.prepared(
        MinimizeStart(x0, args, passed, callback, _gives_map(passed), may_call_ahead=is_explicit)
    )
    try:
        result: scipy.optimize.OptimizeResult = drive(
            start.run,
            source,
            chosen,
            start=start if can_guess else None,
            limits=limits,
            shots=shots,
            notes=notes,
            observers=observers,
        )
    except ValueError as error:
        better = explained(error, method, _NAMES)
        if better is None:
            raise
        raise better from error
    has_means = result.get("status") not in (BUDGET_REACHED, PROVIDER_SESSION_ENDED)
    if final_shots is not None and result.get("x") is not None and has_means:
        result["final_fun"] = fun.submit(result["x"], shots=final_shots).result()
    return result


def _seeded(fun: Any, options: dict[str, Any] | None) -> dict[str, Any] | None:
    """Options of SPSA, with random numbers of the session where the caller chose none."""
    given = {} if options is None else options
    if not isinstance(fun, DrawsSeeds) or not isinstance(given, dict):
        return options
    return given if given.get("rng") is not None else {**given, "rng": fun.drawn_seed()}


def _by_scipy(
    fun: Callable[..., Any],
    x0: Any,
    args: Any,
    passed: dict[str, Any],
    callback: Any,
    notes: tuple[str, ...],
) -> scipy.optimize.OptimizeResult:
    """Scipy's own run of a plain function."""
    try:
        result = _scipy_minimize(fun, x0, args, callback=callback, **passed)
    except ValueError as error:
        better = explained(error, passed["method"], _NAMES)
        if better is None:
            raise
        raise better from error
    evaluations = int(result.get("nfev", 0))  # a method of the user's own may not count
    result["speculation"] = SpeculationReport(evaluations, evaluations, notes=notes)
    return result


def _gives_map(passed: dict[str, Any]) -> bool:
    """Whether scipy's ``workers`` is ours to give: not where values and gradients come in one."""
    is_taken = "workers" in (passed["options"] or {})
    return takes_workers(passed["method"]) and not is_taken and passed["jac"] is not True


def _guessing(
    passed: dict[str, Any], speculation: Speculation, *, is_explicit: bool
) -> tuple[bool, tuple[str, ...]]:
    """Whether to guess, and if not, why not."""
    if speculation.mode == "off":
        return False, ()
    if callable(passed["method"]):
        if takes_workers(passed["method"]):
            return False, ("this method sends what it knows in advance; nothing is guessed",)
        if not is_explicit:
            return False, (
                "a method of one's own is run twice only if speculation= is given: not guessed on",
            )
    if "workers" in (passed["options"] or {}):
        return False, ("options['workers'] asks from outside: not guessed on",)
    return True, ()


def _check_arguments(
    objective: SubmitsPoints,
    args: Any,
    method: Any,
    jac: Any,
    limits: Limits,
    final_shots: int | None,
) -> None:
    if not (method is None or isinstance(method, str) or callable(method)):
        raise OptimizerError(
            f"method is the name of one of scipy's, or a callable in scipy's form; got {method!r}"
        )
    if not (args is None or (isinstance(args, tuple | list) and len(args) == 0)):
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
    if not (jac is None or isinstance(jac, str | bool) or callable(jac)):
        raise OptimizerError(
            f"jac is 'parameter-shift', '2-point', '3-point', a function or None; got {jac!r}"
        )
    if isinstance(jac, str) and jac not in {PARAMETER_SHIFT, "2-point", "3-point"}:
        raise OptimizerError(
            f"jac={jac!r} is unknown: expected 'parameter-shift', '2-point', '3-point', a function "
            "or None"
        )
    require_shots(objective, limits)
    if final_shots is not None and not is_count(final_shots):
        raise OptimizerError(f"final_shots is a whole number of 1 or more; got {final_shots!r}")


def _check_plain(fun: Any, jac: Any, limits: Limits, final_shots: int | None) -> None:
    refuse_shift(fun, jac)
    for name, given in (("max_shots", limits.max_shots), ("final_shots", final_shots)):
        if given is not None:
            raise OptimizerError(f"{name} needs an objective of a session: {fun!r} has no shots")
