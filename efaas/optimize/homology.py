"""``shgo``: scipy's simplicial homology optimization, its samplings in rounds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import scipy.optimize

from efaas.optimize.globals import evaluated_in_rounds, mirroring
from efaas.optimize.limits import Limits
from efaas.optimize.scipy_call import ScipyCall, in_rounds, local_search, quiet_local_search

if TYPE_CHECKING:
    from collections.abc import Callable

    from efaas.optimize.asks import Asked
    from efaas.optimize.speculation import Speculation

__all__ = ["shgo"]

# The function itself, whatever the name is bound to later.
_shgo = scipy.optimize.shgo


@mirroring(_shgo)
def shgo(
    func: Any,
    bounds: Any,
    *args: Any,
    speculation: Speculation | str | bool | None = None,
    max_rounds: int | None = None,
    max_seconds: float | None = None,
    max_shots: int | None = None,
    **kwargs: Any,
) -> scipy.optimize.OptimizeResult:
    """What ``scipy.optimize.shgo`` returns, waiting less often.

    Every argument of scipy's means what it means there. For an objective of a session, or with
    ``speculation`` given, the points of a sampling go out in rounds of at most 1,000, if there are
    no ``constraints``, and the steps of the local searches are guessed, if there is no function
    of one's own among the arguments.

    Where a plain function raises ``AttributeError`` at a sampled point, scipy takes that as
    infinite and does not count the evaluation; in rounds, it is counted.

    Args:
        func: A session's objective, or any function that scipy takes.
        bounds: As in scipy.
        *args: As in scipy.
        speculation: ``"off"``, ``"exact"``, ``"tolerant"``, or an ``efaas.Speculation``.
        max_rounds: Stop before a further round.
        max_seconds: Stop when so much time has gone, in seconds of the session's clock.
        max_shots: Stop before more shots of each measurement setting are spent, guesses included.
        **kwargs: As in scipy, but for ``workers``: with a session or ``speculation``, there is
            nothing left for it. For an objective ``minimizer_kwargs`` may hold
            ``jac="parameter-shift"``.

    Returns:
        Scipy's ``OptimizeResult`` with one more field, ``speculation``: a ``SpeculationReport``.

    Raises:
        OptimizerError: Arguments contradict each other or the objective.

    Example:
        >>> result = shgo(lambda x: (x[0] - 1.0) ** 2, [(0.0, 3.0)])
        >>> round(float(result.x[0]), 3)
        1.0
    """
    result: scipy.optimize.OptimizeResult = evaluated_in_rounds(
        _Homology,
        func,
        (bounds, *args),
        kwargs,
        speculation=speculation,
        limits=Limits(max_rounds, max_seconds, max_shots),
    )
    return result


@dataclass(frozen=True)
class _Homology(ScipyCall):
    function = _shgo
    one_per_parameter = "bounds"

    def run(self, asked: Asked) -> Any:
        """Scipy's result, or the objective's error as without a map."""
        try:
            return super().run(_Carrying(asked))
        except _Carried as carried:
            raise carried.error from carried.error.__cause__

    def connected(self, arguments: dict[str, Any], asked: Asked) -> dict[str, Any]:
        """With a map for samplings; with constraints, scipy would map these too, more often."""
        if arguments.get("constraints") is None:
            arguments["workers"] = in_rounds(asked)
        if arguments.get("minimizer_kwargs"):
            arguments["minimizer_kwargs"] = local_search(arguments["minimizer_kwargs"], asked, None)
        return arguments

    def quiet(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Without logging, and without the local search's callback."""
        arguments = arguments | {
            "minimizer_kwargs": quiet_local_search(arguments.get("minimizer_kwargs"))
        }
        if arguments.get("options"):
            options = {k: v for k, v in arguments["options"].items() if k != "disp"}
            arguments = arguments | {"options": options}
        return arguments


class _Carried(BaseException):
    """Carries an error of the objective past scipy, which would take it for an infinite value."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


class _Carrying:
    """An objective whose errors scipy does not catch, but for those it always does."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self.gradient = asked.gradient

    def value(self, x: Any, *args: Any) -> Any:
        """The objective's value at ``x``."""
        try:
            return self._asked.value(x, *args)
        except AttributeError:
            raise
        except Exception as error:
            raise _Carried(error) from error

    def map(self, fn: Callable[[Any], Any], points: Iterable[Any]) -> Iterable[Any]:
        """``map(fn, points)``, in one round."""
        return self._asked.map(fn, points)
