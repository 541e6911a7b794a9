"""An oracle whose copy of the optimizer stands where the optimizer stands."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from efaas.optimize.asks import Ask, EndOfPath
from efaas.optimize.path_cost import PathCost
from efaas.optimize.silence import silence

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from efaas.optimize.asks import Answerer, AskKey, Oracle, Step
    from efaas.optimize.stages import Stage

__all__ = ["ResumedOracle"]

_UNMEASURED_SECONDS = 1e-4
"""What a path takes at least: a step of the optimizer, and a story."""


class ResumedOracle:
    """Goes on from the optimizer's latest stage: a path costs the same however long the run is.

    The paths are those of a replay, which it falls back to once a copy has asked for another point
    than the optimizer.
    """

    def __init__(self, stage: Stage, replay: Oracle) -> None:
        """Nothing runs yet.

        Args:
            stage: Where the optimizer begins.
            replay: Runs it from its beginning.
        """
        self._replay = replay
        self._copy: _Copy | None = _Copy(stage)
        self._cost = PathCost(_UNMEASURED_SECONDS)

    @property
    def broken(self) -> str:
        """Why it can say nothing from now on; empty as long as it can."""
        return self._replay.broken

    @property
    def is_resumed(self) -> bool:
        """Whether paths go on from a stage."""
        return self._copy is not None

    def record(self, ask: Ask, answer: Any) -> None:
        """Take note that the real optimizer was given this answer, in its order."""
        self._replay.record(ask, answer)
        if self._copy is not None and not self._copy.follows(ask.key, answer):
            self._copy = None

    def paths(
        self, answerers: Sequence[Answerer], depth: int, *, seconds: float
    ) -> list[list[Step]]:
        """For each answerer what the optimizer would ask for; see ``Oracle.paths``."""
        if self._copy is None or self.broken:
            return self._replay.paths(answerers, depth, seconds=seconds)
        found: list[list[Step]] = []
        now = time.perf_counter()
        until = now + seconds
        with silence():
            for answerer in answerers if depth >= 1 else ():
                if not self._cost.fits(until - now):
                    break
                path = self._copy.path(answerer, depth)
                if path:
                    found.append(path)
                began, now = now, time.perf_counter()
                self._cost.measured(now - began)
        return found

    def close(self) -> None:
        """Forget the record."""
        self._copy = None
        self._replay.close()


class _Pending(BaseException):
    """Leaves a stage at the point that the optimizer waits for."""

    def __init__(self, x: NDArray[Any]) -> None:
        self.x = x


class _Copy:
    """The stage that the optimizer is in, and its answers in it."""

    def __init__(self, stage: Stage) -> None:
        self._stage: Stage | None = stage
        self._answers: list[float] = []
        self._pending: AskKey | None = None
        self._settle()

    def follows(self, key: AskKey, answer: Any) -> bool:
        """Take the answer; False if the optimizer asked for something else, or is told other."""
        if key != self._pending or not isinstance(answer, float):
            return False
        self._answers.append(answer)
        try:
            self._settle()
        except Exception:  # what the optimizer makes of it is its own affair
            return False
        return True

    def path(self, answerer: Answerer, depth: int) -> list[Step]:
        """What comes next under these answers."""
        steps: list[Step] = []
        given = iter(self._answers)

        def function(x: NDArray[Any]) -> Any:
            for answer in given:
                return answer
            steps.append((Ask(x),))
            if len(steps) >= depth:
                raise EndOfPath
            return answerer(steps[-1][0])

        stage = self._stage
        try:
            while stage is not None:
                stage = stage.run(function)
        except EndOfPath:
            pass
        except Exception:  # on a path this is what the optimizer does under such answers
            return steps
        return steps

    def _settle(self) -> None:
        """Go on to the stage in which the optimizer waits."""
        while self._stage is not None:
            given = iter(self._answers)

            def function(x: NDArray[Any], given: Any = given) -> float:
                for answer in given:
                    found: float = answer
                    return found
                raise _Pending(x)

            try:
                following = self._stage.run(function)
            except _Pending as pending:
                self._pending = Ask(pending.x).key
                return
            self._stage, self._answers = following, []
        self._pending = None
