"""An oracle whose effort is counted, not timed: its paths are the same in any run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from efaas.optimize.oracle import oracle_for

if TYPE_CHECKING:
    from efaas.optimize.asks import Answerer, Ask, Start, Step
    from efaas.optimize.work_clock import WorkClock

__all__ = ["CountedOracle"]

_PATH_SECONDS = 5e-3
"""What a path counts for: about what it takes from a mirror, where the machine does little else."""

_PATIENCE_SECONDS = 25.0
"""How long it really waits for paths, on a machine that is busy."""


class CountedOracle:
    """The cheapest copy of the optimizer, whose every path counts for the same.

    A replay and a mirror tell the same path, so which one is at work may depend on the machine.
    """

    def __init__(self, start: Start, timer: WorkClock) -> None:
        """Nothing runs yet.

        Args:
            start: Runs the optimizer.
            timer: Counts its work.
        """
        self._oracle = oracle_for(start)
        self._timer = timer

    @property
    def broken(self) -> str:
        """Why it can say nothing from now on; empty as long as it can."""
        return self._oracle.broken

    def record(self, ask: Ask, answer: Any) -> None:
        """Take note that the real optimizer was given this answer, in its order."""
        self._oracle.record(ask, answer)

    def paths(
        self, answerers: Sequence[Answerer], depth: int, *, seconds: float
    ) -> list[list[Step]]:
        """For each answerer what the optimizer would ask for; see ``Oracle.paths``."""
        chosen = answerers[: int(seconds / _PATH_SECONDS)]
        self._timer.spend(len(chosen) * _PATH_SECONDS)
        return self._oracle.paths(chosen, depth, seconds=_PATIENCE_SECONDS) if chosen else []

    def close(self) -> None:
        """End what it runs, and forget the record. It may be called twice."""
        self._oracle.close()
