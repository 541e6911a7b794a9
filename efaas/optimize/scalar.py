"""``minimize_scalar``: scipy's, its likely next points in the same round."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.optimize

from efaas.errors import OptimizerError
from efaas.optimize.asks import Ask
from efaas.optimize.door import explained
from efaas.optimize.globals import evaluated_in_rounds, mirroring
from efaas.optimize.limits import Limits
from efaas.optimize.scipy_call import ScipyCall
from efaas.optimize.sources import Guess, Measured, ObjectiveSource, Round, SubmitsPoints

if TYPE_CHECKING:
    from efaas.optimize.observers import Observer
    from efaas.optimize.speculation import Speculation

__all__ = ["minimize_scalar"]

_METHODS = ("brent", "bounded", "golden")

# The function itself, whatever the name is bound to later.
_minimize_scalar = scipy.optimize.minimize_scalar


@mirroring(_minimize_scalar)
def minimize_scalar(
    fun: Any,
    *args: Any,
    speculation: Speculation | str | bool | None = None,
    max_rounds: int | None = None,
    max_seconds: float | None = None,
    max_shots: int | None = None,
    **kwargs: Any,
) -> scipy.optimize.OptimizeResult:
    """What ``scipy.optimize.minimize_scalar`` returns, waiting less often.

    Every argument of scipy's means what it means there. For an objective of a session, or with
    ``speculation`` given, what the method will probably ask for next is evaluated in the same
    round. Golden sections depend on comparisons only, and are guessed best.

    Args:
        fun: A session's objective of one parameter, or any function that scipy takes.
        *args: As in scipy.
        speculation: ``"off"``, ``"exact"``, ``"tolerant"``, or an ``efaas.Speculation``.
        max_rounds: Stop before a further round.
        max_seconds: Stop when so much time has gone, in seconds of the session's clock.
        max_shots: Stop before more shots of each measurement setting are spent, guesses included.
        **kwargs: As in scipy.

    Returns:
        Scipy's ``OptimizeResult`` with one more field, ``speculation``: a ``SpeculationReport``.

    Raises:
        OptimizerError: Scipy does not know the method, arguments contradict each other, or the
            objective has more than one parameter.

    Example:
        >>> result = minimize_scalar(lambda x: (x - 1.0) ** 2, bracket=(0.0, 3.0))
        >>> round(float(result.x), 6)
        1.0
    """
    if isinstance(fun, SubmitsPoints) and fun.num_parameters != 1:
        raise OptimizerError(
            f"minimize_scalar is for one parameter, but the objective has {fun.num_parameters}; "
            "use efaas.minimize"
        )
    try:
        result: scipy.optimize.OptimizeResult = evaluated_in_rounds(
            _Scalar,
            fun,
            args,
            kwargs,
            speculation=speculation,
            limits=Limits(max_rounds, max_seconds, max_shots),
            make_source=_OneParameter,
        )
    except ValueError as error:
        better = explained(error, str(error).split()[-1], _METHODS)
        if better is None:
            raise
        raise better from error
    return result


@dataclass(frozen=True)
class _Scalar(ScipyCall):
    function = _minimize_scalar

    def quiet(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Without printing."""
        options = arguments.get("options") or {}
        return arguments | {"options": {k: v for k, v in options.items() if k != "disp"}}


class _OneParameter:
    """Answers asks at numbers from an objective whose points are arrays of one."""

    streams = False
    prepares = 0

    def __init__(self, objective: SubmitsPoints) -> None:
        self._source = ObjectiveSource(objective)

    def submit(self, asked: Sequence[Ask], guessed: Sequence[tuple[Ask, Guess | None]]) -> Round:
        """As the objective does, each number as a point."""
        begun = self._source.submit(
            [_as_point(ask) for ask in asked], [(_as_point(ask), after) for ask, after in guessed]
        )
        return Round(asked, begun.futures, [ask for ask, _ in guessed], begun.guesses)

    def is_recorded(self, asked: Sequence[Ask]) -> bool:
        """As the objective says."""
        return self._source.is_recorded([_as_point(ask) for ask in asked])

    def observers(self) -> Sequence[Observer]:
        """Those of the objective."""
        return self._source.observers()

    def evaluations_of(self, ask: Ask) -> int:
        """One."""
        return self._source.evaluations_of(_as_point(ask))

    def measured(self, begun: Round) -> Measured | None:
        """By the objective's jobs."""
        return self._source.measured(begun)

    def close(self) -> None:
        """Nothing is held."""
        self._source.close()


def _as_point(ask: Ask) -> Ask:
    return Ask(np.atleast_1d(np.asarray(ask.x)), ask.kind)
