"""An oracle whose effort is counted, not timed: its paths are the same in any run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from efaas.optimize.oracle import oracle_for

if TYPE_CHECKING:
    from efaas.optimize.asks import Answerer, Ask, Start, Step
    from efaas.optimize.work_clock import WorkClock

__all__ = ["CountedOracle"]

_REPLAY_SECONDS = 2e-4
_ANSWER_SECONDS = 2.5e-5
"""What a replay counts for, and each recorded answer in it: about what most methods take."""

_MIRROR_SECONDS = 5e-3
"""What a path counts for at the most: about what it takes from a mirror, on a quiet machine."""

_PATIENCE_SECONDS = 25.0
"""How long it really waits for paths, on a machine that is busy."""


class CountedOracle:
    """The cheapest copy of the optimizer; what a path counts for depends on the record's length.

    All copies tell the same path, so which one is at work may depend on the machine.
    """

    def __init__(self, start: Start, timer: WorkClock) -> None:
        """Nothing runs yet.

        Args:
            start: Runs the optimizer.
            timer: Counts its work.
        """
        self._oracle = oracle_for(start)
        self._timer = timer
        self._answers = 0

    @property
    def broken(self) -> str:
        """Why it can say nothing from now on; empty as long as it can."""
        return self._oracle.broken

    def record(self, ask: Ask, answer: Any) -> None:
        """Take note that the real optimizer was given this answer, in its order."""
        self._oracle.record(ask, answer)
        self._answers += 1

    def paths(
        self, answerers: Sequence[Answerer], depth: int, *, seconds: float
    ) -> list[list[Step]]:
        """For each answerer what the optimizer would ask for; see ``Oracle.paths``."""
        each = min(_REPLAY_SECONDS + _ANSWER_SECONDS * self._answers, _MIRROR_SECONDS)
        chosen = answerers[: int(seconds / each)]
        self._timer.spend(len(chosen) * each)
        return self._oracle.paths(chosen, depth, seconds=_PATIENCE_SECONDS) if chosen else []

    def close(self) -> None:
        """End what it runs, and forget the record. It may be called twice."""
        self._oracle.close()
