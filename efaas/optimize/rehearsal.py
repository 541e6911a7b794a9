"""The objective that a copy of an optimizer sees: the record first, then an answerer."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from efaas.optimize.asks import GRADIENT, VALUE, Answerer, Ask, AskKey, EndOfPath, Step

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["UNKNOWN", "Rehearsal", "difference", "own_copy"]

UNKNOWN: Final = object()
"""Returned for a recorded answer where the record has ended."""


class _Noted(BaseException):
    """Leaves the function that ``map`` calls: its ask was noted, and nobody needs its answer."""


class Rehearsal:
    """Answers an optimizer from the record as long as it goes, and then from an answerer.

    What is asked for beyond the record is collected in ``steps``. When there are ``depth`` of
    them, every further answer is an ``EndOfPath``.

    Attributes:
        steps: The path: what was asked for beyond the record.
    """

    def __init__(self, recorded: Callable[[Ask], Any]) -> None:
        """Start a rehearsal.

        Args:
            recorded: Gives the recorded answer to an ask, or ``UNKNOWN`` when the record has
                ended.
        """
        self.steps: list[Step] = []
        self._recorded = recorded
        self._answerer: Answerer | None = None
        self._depth = 0
        self._bundle: list[Ask] | None = None

    def explore(self, answerer: Answerer, depth: int) -> None:
        """Beyond the record answer so, for ``depth`` steps. It must be known by then."""
        self._answerer = answerer
        self._depth = depth

    def value(self, x: NDArray[Any], *_args: Any) -> Any:
        """The objective's value at ``x``."""
        return self._answer(Ask(x, VALUE))

    def gradient(self, x: NDArray[Any], *_args: Any) -> Any:
        """The objective's gradient at ``x``."""
        return self._answer(Ask(x, GRADIENT))

    def map(self, fn: Callable[[Any], Any], points: Iterable[Any]) -> list[Any]:
        """``[fn(point) for point in points]``; what ``fn`` asks beyond the record is one step."""
        self._bundle = []
        results = []
        try:
            for point in points:
                try:
                    results.append(fn(point))
                except _Noted:
                    continue
        finally:
            bundle, self._bundle = self._bundle, None
        if bundle:
            self._take(tuple(bundle))
        return results

    def _answer(self, ask: Ask) -> Any:
        answer = self._recorded(ask)
        if answer is not UNKNOWN:
            return own_copy(answer)
        if self._answerer is None or len(self.steps) >= self._depth:
            raise EndOfPath
        if self._bundle is None:
            self._take((ask,))
        else:
            self._bundle.append(ask)
            if len(self.steps) == self._depth - 1:
                raise _Noted
        return own_copy(self._answerer(ask))

    def _take(self, step: Step) -> None:
        self.steps.append(step)
        if len(self.steps) >= self._depth:
            raise EndOfPath


def difference(ask: Ask, recorded: AskKey) -> str:
    """How an ask differs from the one that is on record in its place."""
    kind, type_name, shape, point = recorded
    try:
        before: Any = np.frombuffer(point, type_name).reshape(shape)
    except (TypeError, ValueError):  # a number that is not numpy's
        before = f"a {type_name} of shape {shape}"
    return f"the {ask.kind} at {ask.x}, and not the {kind} at {before} as in the real run"


def own_copy(answer: Any) -> Any:
    """The answer, such that nobody else writes to it: optimizers overwrite their gradients."""
    if answer is None or isinstance(answer, float | int):
        return answer
    if type(answer) is np.ndarray and answer.dtype != object:
        return answer.copy()
    return copy.deepcopy(answer)
