"""``dual_annealing``: scipy's, its likely next visits in the same round."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.optimize

from efaas.optimize.globals import evaluated_in_rounds, mirroring
from efaas.optimize.limits import Limits
from efaas.optimize.scipy_call import (
    ScipyCall,
    in_single_pass,
    local_search,
    quiet_local_search,
    scipy_is,
)

if TYPE_CHECKING:
    from efaas.optimize.asks import Asked
    from efaas.optimize.speculation import Speculation

__all__ = ["dual_annealing"]

# The function itself, whatever the name is bound to later.
_anneal = scipy.optimize.dual_annealing


@mirroring(_anneal)
def dual_annealing(
    func: Any,
    bounds: Any,
    *args: Any,
    speculation: Speculation | str | bool | None = None,
    max_rounds: int | None = None,
    max_seconds: float | None = None,
    max_shots: int | None = None,
    **kwargs: Any,
) -> scipy.optimize.OptimizeResult:
    """What ``scipy.optimize.dual_annealing`` returns, waiting less often.

    Every argument of scipy's means what it means there. For an objective of a session, or with
    ``speculation`` given, the finite differences of a local search are one round, and the next
    visits are guessed, if there is a seed and no function of one's own among the arguments.

    Args:
        func: A session's objective, or any function that scipy takes.
        bounds: As in scipy.
        *args: As in scipy.
        speculation: ``"off"``, ``"exact"``, ``"tolerant"``, or an ``efaas.Speculation``.
        max_rounds: Stop before a further round.
        max_seconds: Stop when so much time has gone, in seconds of the session's clock.
        max_shots: Stop before more shots of each measurement setting are spent, guesses included.
        **kwargs: As in scipy; for an objective ``minimizer_kwargs`` may hold
            ``jac="parameter-shift"``.

    Returns:
        Scipy's ``OptimizeResult`` with one more field, ``speculation``: a ``SpeculationReport``.

    Raises:
        OptimizerError: Arguments contradict each other or the objective.
        ParameterError: ``x0`` has the wrong length or is not finite.

    Example:
        >>> result = dual_annealing(lambda x: (x[0] - 1) ** 2, [(0.0, 3.0)], maxiter=5, rng=1)
        >>> round(float(result.x[0]), 3)
        1.0
    """
    result: scipy.optimize.OptimizeResult = evaluated_in_rounds(
        _Annealing,
        func,
        (bounds, *args),
        kwargs,
        speculation=speculation,
        limits=Limits(max_rounds, max_seconds, max_shots),
    )
    return result


@dataclass(frozen=True)
class _Annealing(ScipyCall):
    function = _anneal
    seed_position = 10
    one_per_parameter = "bounds"

    def connected(self, arguments: dict[str, Any], asked: Asked) -> dict[str, Any]:
        """With a map for the local search, in whose counters every call counts."""
        given = arguments.get("minimizer_kwargs") or {}
        local = {name: value for name, value in given.items() if name != "args"} or self._usual()
        if local:
            arguments["minimizer_kwargs"] = local_search(local, asked, in_single_pass(asked))
        return arguments

    def quiet(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Without the local search's callback and printing."""
        local = quiet_local_search(arguments.get("minimizer_kwargs"))
        return arguments | {"minimizer_kwargs": local}

    def _usual(self) -> dict[str, Any]:
        """The local search that scipy fills in; empty where that is left to it."""
        if not scipy_is("1.16", "1.17", "1.18") or self.arguments.get("no_local_search"):
            return {}
        bounds = self.arguments["bounds"]
        try:
            if isinstance(bounds, scipy.optimize.Bounds):
                bounds = list(zip(bounds.lb, bounds.ub, strict=True))
            lower, upper = (np.array(side) for side in zip(*bounds, strict=True))
        except (TypeError, ValueError):  # scipy says what is wrong with them
            return {}
        iterations = min(max(6 * len(lower), 100), 1000)
        return {
            "method": "L-BFGS-B",
            "options": {"maxiter": iterations},
            "bounds": list(zip(lower, upper, strict=True)),
        }
