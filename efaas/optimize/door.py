"""What every optimizer here checks at the door, before anything runs."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from efaas.errors import OptimizerError, ParameterError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from efaas.optimize.limits import Limits
    from efaas.optimize.sources import SubmitsPoints

__all__ = [
    "PARAMETER_SHIFT",
    "checked_start",
    "explained",
    "is_parameter_shift",
    "refuse_shift",
    "require_shots",
]

PARAMETER_SHIFT = "parameter-shift"
"""The ``jac`` that asks for exact gradients from shifted circuits."""


def is_parameter_shift(jac: Any) -> bool:
    """Whether a ``jac`` asks for exact gradients from shifted circuits."""
    return isinstance(jac, str) and jac == PARAMETER_SHIFT


def refuse_shift(fun: Callable[..., Any], jac: Any) -> None:
    """Raise ``OptimizerError`` where a plain function's circuits are to be shifted."""
    if is_parameter_shift(jac):
        raise OptimizerError(
            "jac='parameter-shift' needs an objective of a session (session.objective(...)): "
            f"there is no circuit to shift in {fun!r}"
        )


def checked_start(objective: SubmitsPoints, x0: Any) -> NDArray[np.float64]:
    """Where to start, as floats of shape ``(num_parameters,)``.

    Raises:
        ParameterError: The wrong length, or not finite.
    """
    try:
        if np.iscomplexobj(x0):
            raise ParameterError(f"x0 must be real numbers, got {x0!r}")
        start = np.atleast_1d(np.asarray(x0, dtype=float))
    except ParameterError:
        raise
    except (TypeError, ValueError, OverflowError) as error:
        raise ParameterError(f"x0 must be numbers, got {x0!r}") from error
    if start.shape != (objective.num_parameters,):
        raise ParameterError(
            f"x0 has shape {start.shape}; the objective has {objective.num_parameters} parameters, "
            f"so expected shape ({objective.num_parameters},)"
        )
    if not np.isfinite(start).all():
        bad = int(np.flatnonzero(~np.isfinite(start))[0])
        raise ParameterError(f"x0 is not finite at index {bad}: {start}")
    return start


def require_shots(objective: SubmitsPoints, limits: Limits) -> None:
    """Raise ``OptimizerError`` where shots are limited that are never taken."""
    if objective.shots is None and limits.max_shots is not None:
        raise OptimizerError(
            "max_shots is given, but the objective computes exact expectations without shots"
        )


def explained(error: ValueError, method: Any, known: Sequence[str]) -> OptimizerError | None:
    """An error that says more, if scipy does not know the method; else None.

    Args:
        error: What scipy raised.
        method: What it was given.
        known: The methods that it knows.
    """
    if not isinstance(method, str) or "Unknown solver" not in str(error):
        return None
    names = {name.lower(): name for name in known}
    close = [names[name] for name in difflib.get_close_matches(method.lower(), names)]
    hint = f"did you mean {' or '.join(map(repr, close))}? " if close else ""
    return OptimizerError(
        f"there is no method {method!r}: {hint}expected one of {', '.join(known)}"
    )
