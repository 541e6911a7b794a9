"""What scipy's other minimizers have in common here: from the caller's arguments to the result."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import scipy.optimize

from efaas.errors import OptimizerError
from efaas.optimize.door import PARAMETER_SHIFT, checked_start, refuse_shift, require_shots
from efaas.optimize.drive import drive
from efaas.optimize.report import SpeculationReport
from efaas.optimize.seeding import Seeding
from efaas.optimize.sources import ObjectiveSource, PooledFunction, Source, SubmitsPoints
from efaas.optimize.speculation import OFF, Speculation, as_speculation

if TYPE_CHECKING:
    from efaas.optimize.limits import Limits
    from efaas.optimize.scipy_call import ScipyCall

__all__ = ["evaluated_in_rounds", "mirroring"]

_Function = TypeVar("_Function", bound=Callable[..., Any])


def mirroring(original: Callable[..., Any]) -> Callable[[_Function], _Function]:
    """Give a function the signature of scipy's, its own keyword-only parameters added."""

    def named(function: _Function) -> _Function:
        theirs = list(inspect.signature(original).parameters.values())
        names = {parameter.name for parameter in theirs}
        own = [
            parameter
            for parameter in inspect.signature(function).parameters.values()
            if parameter.kind is parameter.KEYWORD_ONLY and parameter.name not in names
        ]
        marked: Any = function
        marked.__signature__ = inspect.Signature([*theirs, *own])
        return function

    return named


def evaluated_in_rounds(
    kind: type[ScipyCall],
    fun: Any,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    *,
    speculation: Speculation | str | bool | None,
    limits: Limits,
    make_source: Callable[[SubmitsPoints], Source] = ObjectiveSource,
) -> Any:
    """What scipy's function returns for these arguments, with a report.

    Args:
        kind: Which function.
        fun: The objective.
        args: Arguments of scipy's after the objective, by position.
        kwargs: Arguments by name.
        speculation: How much to guess.
        limits: When to stop.
        make_source: Where an objective of a session is answered.

    Raises:
        OptimizerError: Arguments contradict each other or the objective.
        ParameterError: ``x0`` has the wrong length or is not finite.
    """
    shots: int | None = None
    is_session = isinstance(fun, SubmitsPoints)
    chosen = as_speculation(speculation, default=Speculation() if is_session else OFF)
    if not is_session:
        if limits.max_shots is not None:
            raise OptimizerError(f"max_shots needs an objective of a session: {fun!r} has no shots")
        _check_plain(fun, kwargs)
        if chosen.mode == "off" and limits.are_none:
            return _by_scipy(kind, fun, args, kwargs)
    arguments, seeding = _bound(kind, args, kwargs)
    _check_pool(arguments, is_session=is_session)
    source: Source
    if isinstance(fun, SubmitsPoints):
        _check_objective(kind, fun, arguments, limits)
        source, shots = make_source(fun), fun.shots
    else:
        _check_plain(fun, arguments)
        source = PooledFunction(fun, None, _further(arguments), threads=chosen.threads)
    call = kind(arguments, seeding)
    is_guessed, notes = _guessing(call, chosen)
    return drive(
        call.run,
        source,
        chosen,
        start=call.copied() if is_guessed else None,
        limits=limits,
        shots=shots,
        notes=notes,
    )


def _by_scipy(
    kind: type[ScipyCall], fun: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Any:
    """Scipy's own run of a plain function."""
    result = kind.function(fun, *args, **kwargs)
    if isinstance(result, scipy.optimize.OptimizeResult):
        evaluations = int(result.get("nfev", 0))
        result["speculation"] = SpeculationReport(evaluations, evaluations)
    return result


def _bound(
    kind: type[ScipyCall], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[dict[str, Any], Seeding]:
    """The arguments by name, and the random numbers apart."""
    named = dict(kwargs)
    seeds = {} if kind.seed_position is None else _popped(named, "seed", "rng")
    arguments = dict(inspect.signature(kind.function).bind(None, *args, **named).arguments)
    del arguments[next(iter(arguments))]  # the objective
    if kind.seed_position is None:
        return arguments, Seeding.unused()
    if "rng" in arguments:  # by position, where it still has the older meaning
        if seeds:
            raise TypeError(f"{kind.function.__name__}() got rng or seed twice: give one of them")
        seeds = {"seed": arguments.pop("rng")}
    return arguments, Seeding.of(seeds)


def _popped(named: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: named.pop(name) for name in names if name in named}


def _further(arguments: Mapping[str, Any]) -> tuple[Any, ...]:
    """Further arguments of a plain function; a local search has them under a name of its own."""
    local = arguments.get("minimizer_kwargs") or {}
    further = arguments.get("args", local.get("args", ()))
    if further is None:
        return ()
    return tuple(further) if isinstance(further, tuple | list) else (further,)


def _guessing(call: ScipyCall, speculation: Speculation) -> tuple[bool, tuple[str, ...]]:
    """Whether to guess, and if not, why not."""
    if speculation.mode == "off":
        return False, ()
    if call.arguments.get("vectorized"):
        return False, ("vectorized=True asks for many points at once: not guessed on",)
    functions = call.users_functions()
    if functions:
        return False, (
            f"{' and '.join(functions)}: functions of one's own may keep a state, so there is no "
            "second call of them: not guessed on",
        )
    if not call.seeding.is_chosen:
        return False, ("no seed: not guessed on",)
    return True, ()


def _check_pool(arguments: Mapping[str, Any], *, is_session: bool) -> None:
    workers = arguments.get("workers", 1)
    if callable(workers) or workers != 1:
        reason = (
            "the evaluations of a session's objective are the session's to send"
            if is_session
            else "it evaluates points by itself, and speculation= and limits would do so too"
        )
        raise OptimizerError(
            f"workers={workers!r} cannot be used here: {reason}; leave workers out, points that "
            "are known in advance go out in one round"
        )


def _check_objective(
    kind: type[ScipyCall], objective: SubmitsPoints, arguments: Mapping[str, Any], limits: Limits
) -> None:
    local = arguments.get("minimizer_kwargs") or {}
    for name, further in (("args", arguments.get("args")), ("minimizer_kwargs", local.get("args"))):
        if further is not None and not (isinstance(further, tuple | list) and not further):
            raise OptimizerError(
                "a session's objective is a function of its parameters only, but "
                f"{name} gives args={further!r}; wrap it in a function of your own, or put the "
                "values into the circuit"
            )
    if arguments.get("vectorized"):
        raise OptimizerError(
            "vectorized=True hands over many points as one array, which a session's objective "
            "does not take; updating='deferred' sends a generation in one round"
        )
    _check_jac(local.get("jac"), "minimizer_kwargs['jac']")
    in_options = (arguments.get("options") or {}).get("jac")
    if in_options is not None and not callable(in_options):
        raise OptimizerError(
            f"options['jac']={in_options!r} is of no use with a session's objective, which returns "
            "the value alone; use minimizer_kwargs={'jac': 'parameter-shift'}"
        )
    if kind.one_per_parameter in arguments:
        _check_count(objective, kind.one_per_parameter, arguments[kind.one_per_parameter])
    if arguments.get("x0") is not None:
        checked_start(objective, arguments["x0"])
    require_shots(objective, limits)


def _check_count(objective: SubmitsPoints, name: str, given: Any) -> None:
    try:
        count = np.size(given.lb) if isinstance(given, scipy.optimize.Bounds) else len(given)
    except TypeError:  # scipy says what is wrong with it
        return
    if count != objective.num_parameters:
        raise OptimizerError(
            f"{name} is for {count} parameters, but the objective has {objective.num_parameters}; "
            "expected one pair (low, high) for each"
        )


def _check_jac(jac: Any, name: str) -> None:
    if jac is None or jac is False or callable(jac):
        return
    if not (isinstance(jac, str) and jac in {PARAMETER_SHIFT, "2-point", "3-point"}):
        raise OptimizerError(
            f"{name}={jac!r} cannot be used with a session's objective, which returns the value "
            "alone, at real points: expected 'parameter-shift', '2-point', '3-point', a function "
            "or None"
        )


def _check_plain(fun: Any, arguments: Mapping[str, Any]) -> None:
    refuse_shift(fun, (arguments.get("minimizer_kwargs") or {}).get("jac"))
