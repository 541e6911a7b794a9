"""The order in which each loop's points were asked for on its true trajectory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from efaas.journal.store import Store

__all__ = ["Trajectory"]


class Trajectory:
    """Numbers a run's points. Where a run leaves the recorded order, the latest one stays."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._steps: Counter[int] = Counter()  # of this run, by loop
        rows = store.read(
            "SELECT loop, max(step) FROM evaluations WHERE step IS NOT NULL GROUP BY loop"
        )
        self._recorded = {loop: last + 1 for loop, last in rows}

    def append(self, loop: int, keys: Sequence[bytes]) -> None:
        """The next points of a loop; nothing is written where they are recorded as such."""
        for key in keys:
            step = self._steps[loop]
            self._steps[loop] += 1
            if step < self._recorded.get(loop, 0):
                [[recorded]] = self._store.read(
                    "SELECT step FROM evaluations WHERE key = ? AND dropped = 0", (key,)
                )
                if recorded == step:
                    continue
                self._store.write(
                    "UPDATE evaluations SET step = NULL WHERE loop = ? AND step >= ?", (loop, step)
                )
                self._recorded[loop] = step
            self._store.write(
                "UPDATE evaluations SET step = ?, committed = 1 WHERE key = ? AND dropped = 0",
                (step, key),
            )
