"""``basinhopping``: scipy's, the steps of its local searches in rounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import scipy.optimize

from efaas.optimize.globals import evaluated_in_rounds, mirroring
from efaas.optimize.limits import Limits
from efaas.optimize.scipy_call import ScipyCall, local_search, quiet_local_search

if TYPE_CHECKING:
    from efaas.optimize.asks import Asked
    from efaas.optimize.speculation import Speculation

__all__ = ["basinhopping"]

# The function itself, whatever the name is bound to later.
_hop = scipy.optimize.basinhopping


@mirroring(_hop)
def basinhopping(
    func: Any,
    x0: Any,
    *args: Any,
    speculation: Speculation | str | bool | None = None,
    max_rounds: int | None = None,
    max_seconds: float | None = None,
    max_shots: int | None = None,
    **kwargs: Any,
) -> scipy.optimize.OptimizeResult:
    """What ``scipy.optimize.basinhopping`` returns, waiting less often.

    Every argument of scipy's means what it means there. For an objective of a session, or with
    ``speculation`` given, finite differences are one round, and what the local search will ask for
    next is guessed, if there is a seed and no function of one's own among the arguments.

    Args:
        func: A session's objective, or any function that scipy takes.
        x0: Where to start, shape ``(n,)``.
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
        >>> result = basinhopping(lambda x: (x[0] - 1.0) ** 2, [0.0], niter=2, rng=1)
        >>> round(float(result.x[0]), 3)
        1.0
    """
    result: scipy.optimize.OptimizeResult = evaluated_in_rounds(
        _Hopping,
        func,
        (x0, *args),
        kwargs,
        speculation=speculation,
        limits=Limits(max_rounds, max_seconds, max_shots),
    )
    return result


@dataclass(frozen=True)
class _Hopping(ScipyCall):
    function = _hop
    seed_position = 12

    def connected(self, arguments: dict[str, Any], asked: Asked) -> dict[str, Any]:
        """With a map for the local search."""
        local = arguments.get("minimizer_kwargs") or {}
        arguments["minimizer_kwargs"] = local_search(local, asked, asked.map)
        return arguments

    def quiet(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Without printing, and without the local search's callback."""
        local = quiet_local_search(arguments.get("minimizer_kwargs"))
        return arguments | {"disp": False, "minimizer_kwargs": local}
