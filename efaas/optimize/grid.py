"""``brute``: scipy's, its grid in rounds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import scipy.optimize

from efaas.errors import OptimizerError
from efaas.optimize.asks import EndOfPath
from efaas.optimize.globals import evaluated_in_rounds, mirroring
from efaas.optimize.limits import Limits
from efaas.optimize.scipy_call import AsksAhead, CopiedCall, ScipyCall, in_rounds
from efaas.optimize.speculation import Speculation, as_speculation

if TYPE_CHECKING:
    from efaas.optimize.asks import Asked

__all__ = ["brute"]

# The function itself, whatever the name is bound to later.
_brute = scipy.optimize.brute


@mirroring(_brute)
def brute(
    func: Any,
    ranges: Any,
    *args: Any,
    speculation: Speculation | str | bool | None = None,
    **kwargs: Any,
) -> Any:
    """What ``scipy.optimize.brute`` returns, waiting less often.

    Every argument of scipy's means what it means there. For an objective of a session, or with
    ``speculation`` given, the grid goes out in rounds of at most 1,000 points, and the steps of
    ``finish`` are guessed, if it is one of scipy's.

    Args:
        func: A session's objective, or any function that scipy takes.
        ranges: As in scipy.
        *args: As in scipy.
        speculation: ``"off"``, ``"exact"``, or an ``efaas.Speculation`` in one of these modes:
            scipy returns an array, or a tuple with ``full_output``, which has no place for a
            report, nor for saying that values are not exact.
        **kwargs: As in scipy, but for ``workers``: with a session or ``speculation``, there is
            nothing left for it.

    Returns:
        Exactly what scipy returns; there is no report.

    Raises:
        OptimizerError: Arguments contradict each other or the objective.

    Example:
        >>> x = brute(lambda x: (x[0] - 1.0) ** 2, [(0.0, 3.0)], Ns=4, finish=None)
        >>> float(x)
        1.0
    """
    if as_speculation(speculation, default=Speculation()).mode == "tolerant":
        raise OptimizerError(
            "brute has no result to say that values are not exact: use speculation='exact'"
        )
    result = evaluated_in_rounds(
        _Grid, func, (ranges, *args), kwargs, speculation=speculation, limits=Limits()
    )
    if isinstance(result, scipy.optimize.OptimizeResult):  # the best so far, on Ctrl-C
        raise KeyboardInterrupt
    return result


@dataclass
class _Progress:
    """Rounds of the grid that have begun."""

    rounds: int = 0


@dataclass(frozen=True)
class _Grid(ScipyCall):
    progress: _Progress = field(default_factory=_Progress)

    function = _brute
    one_per_parameter = "ranges"

    def connected(self, arguments: dict[str, Any], asked: Asked) -> dict[str, Any]:
        """With a map for the grid."""

        def count() -> None:
            self.progress.rounds += 1

        def count_down() -> None:
            # A grid is asked for whatever its values are, so all of it would be guessed at once.
            if self.progress.rounds == 0:
                raise EndOfPath
            self.progress.rounds -= 1

        before = count if isinstance(asked, AsksAhead) else count_down
        return arguments | {"workers": in_rounds(asked, before=before)}

    def quiet(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Without printing."""
        return arguments | {"disp": False}

    def copied(self) -> CopiedCall:
        """The same call as copies make it; they go as far into the grid as the real run."""
        made = super().copied().call
        return _CopiedGrid(_Grid(made.arguments, made.seeding, self.progress))


@dataclass(frozen=True)
class _CopiedGrid(CopiedCall):
    is_data: ClassVar[bool] = False  # it looks at the real run's progress
