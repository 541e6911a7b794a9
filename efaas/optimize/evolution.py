"""``differential_evolution``: scipy's, its populations in rounds."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.optimize

from efaas.optimize.globals import evaluated_in_rounds, mirroring
from efaas.optimize.limits import Limits
from efaas.optimize.scipy_call import AsksAhead, ScipyCall, scipy_is
from efaas.optimize.silence import silence

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from efaas.optimize.asks import Asked
    from efaas.optimize.speculation import Speculation

__all__ = ["differential_evolution"]

# The functions themselves, whatever the names are bound to later.
_evolve = scipy.optimize.differential_evolution
_minimize = scipy.optimize.minimize


@mirroring(_evolve)
def differential_evolution(
    func: Any,
    bounds: Any,
    *args: Any,
    speculation: Speculation | str | bool | None = None,
    max_rounds: int | None = None,
    max_seconds: float | None = None,
    max_shots: int | None = None,
    **kwargs: Any,
) -> scipy.optimize.OptimizeResult:
    """What ``scipy.optimize.differential_evolution`` returns, waiting less often.

    Every argument of scipy's means what it means there. For an objective of a session, or with
    ``speculation`` given, the initial population is one round, and with ``updating='deferred'``
    every generation is; with ``'immediate'``, scipy's default, later points are guessed, if there
    is a seed and no function of one's own among the arguments.

    Args:
        func: A session's objective, or any function that scipy takes.
        bounds: As in scipy.
        *args: As in scipy.
        speculation: ``"off"``, ``"exact"``, ``"tolerant"``, or an ``efaas.Speculation``.
        max_rounds: Stop before a further round.
        max_seconds: Stop when so much time has gone, in seconds of the session's clock.
        max_shots: Stop before more shots of each measurement setting are spent, guesses included.
        **kwargs: As in scipy, but for ``workers``: with a session or ``speculation``, there is
            nothing left for it.

    Returns:
        Scipy's ``OptimizeResult`` with one more field, ``speculation``: a ``SpeculationReport``.

    Raises:
        OptimizerError: Arguments contradict each other or the objective.
        ParameterError: ``x0`` has the wrong length or is not finite.

    Example:
        >>> result = differential_evolution(lambda x: abs(x[0] - 1.0), [(0.0, 3.0)], rng=1)
        >>> round(float(result.x[0]), 3)
        1.0
    """
    result: scipy.optimize.OptimizeResult = evaluated_in_rounds(
        _Evolution,
        func,
        (bounds, *args),
        kwargs,
        speculation=speculation,
        limits=Limits(max_rounds, max_seconds, max_shots),
    )
    return result


@dataclass(frozen=True)
class _Evolution(ScipyCall):
    function = _evolve
    seed_position = 9
    one_per_parameter = "bounds"

    def run(self, asked: Asked) -> Any:
        """Scipy's result; the initial population is asked for at once."""
        if isinstance(asked, AsksAhead) and not self._maps_generations:
            population = self._first_population()
            if population is not None:
                asked.ahead(population)
        return super().run(asked)

    def connected(self, arguments: dict[str, Any], asked: Asked) -> dict[str, Any]:
        """With maps for generations and for the finite differences at the end."""
        if self._maps_generations:
            arguments["workers"] = asked.map
        if self._polishes and not arguments.get("disp") and scipy_is("1.17", "1.18"):
            # Scipy's own polishing has no workers; this is the same with them.
            arguments["polish"] = partial(
                _minimize, method=self._polishing_method, options={"workers": asked.map}
            )
        return arguments

    def quiet(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Without printing; what prints is polished point by point in the real run."""
        if self._polishes and arguments.get("disp") and scipy_is("1.17", "1.18"):
            arguments = arguments | {"polish": partial(_minimize, method=self._polishing_method)}
        return arguments | {"disp": False}

    @property
    def _maps_generations(self) -> bool:
        is_deferred = self.arguments.get("updating", "immediate") == "deferred"
        return is_deferred and not self.arguments.get("vectorized")

    @property
    def _polishes(self) -> bool:
        polish = self.arguments.get("polish", True)
        return bool(polish) and not callable(polish)

    @property
    def _is_constrained(self) -> bool:
        constraints = self.arguments.get("constraints", ())
        return not hasattr(constraints, "__len__") or len(constraints) > 0

    @property
    def _polishing_method(self) -> str:
        return "trust-constr" if self._is_constrained else "L-BFGS-B"

    def _first_population(self) -> NDArray[np.float64] | None:
        """What a run will ask for first: what scipy hands to ``workers`` on the same numbers.

        None where that is not known without calling functions of the user's, who would see it.
        """
        if self._is_constrained or self.arguments.get("vectorized") or not self.seeding.template:
            return None
        kept = {k: v for k, v in self.arguments.items() if k not in ("args", "callback")}
        try:
            with silence():
                arguments = copy.deepcopy(kept) | {"updating": "deferred", "workers": _shown}
                _evolve(_never, **arguments, **self.seeding.fresh())
        except _Population as population:
            return population.points
        except Exception:  # the real run says what is wrong
            return None
        return None


class _Population(BaseException):
    """Leaves scipy with the first points that it would evaluate."""

    def __init__(self, points: NDArray[np.float64]) -> None:
        super().__init__()
        self.points = points


def _shown(fn: Callable[[Any], Any], points: Iterable[Any]) -> Any:
    raise _Population(np.array(points))


def _never(x: Any) -> float:
    raise AssertionError("scipy evaluates points through workers")
