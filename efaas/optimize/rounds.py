"""An objective as scipy sees it: points that are known in advance go out in one round."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from efaas.optimize.report import SpeculationReport

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["RoundedObjective", "SubmitsPoints"]


@runtime_checkable
class SubmitsPoints(Protocol):
    """An objective whose evaluations are futures."""

    num_parameters: int

    def submit(self, theta: ArrayLike) -> Future[float]:
        """The future of the value at one point."""
        ...

    def submit_many(self, thetas: ArrayLike) -> Sequence[Future[float]]:
        """One future per row, evaluated in one round."""
        ...

    def gradient(self, theta: ArrayLike) -> Future[NDArray[np.float64]]:
        """The future of the gradient at one point."""
        ...


class RoundedObjective:
    """Calls like a plain function, and counts how often its caller waits.

    The k-th value asked for at a point is the k-th that the objective gives there, so what the
    caller sees does not depend on what was sent ahead.
    """

    def __init__(self, objective: SubmitsPoints, *, maps_gradients: bool = False) -> None:
        """Wrap an objective.

        Args:
            objective: Where values come from.
            maps_gradients: Whether ``map`` is given points of the gradient, not of the value.
        """
        self._objective = objective
        self._maps_gradients = maps_gradients
        self._ahead: defaultdict[tuple[bool, bytes], deque[Future[Any]]] = defaultdict(deque)
        self._evaluations = 0
        self._rounds = 0

    def value(self, x: NDArray[np.float64]) -> float:
        """The objective at ``x``; waits for it."""
        future: Future[float] | None = self._sent_ahead(x, is_gradient=False)
        if future is None:
            self._rounds += 1
            future = self._objective.submit(x)
        self._evaluations += 1
        return future.result()

    def gradient(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """The parameter-shift gradient at ``x``; waits for it."""
        future: Future[NDArray[np.float64]] | None = self._sent_ahead(x, is_gradient=True)
        if future is None:
            self._rounds += 1
            future = self._objective.gradient(x)
        self._evaluations += 2 * len(x)
        return future.result()

    def map(self, fn: Callable[[Any], Any], points: Iterable[Any]) -> list[Any]:
        """``[fn(point) for point in points]``, its evaluations sent out in one round first.

        This is what scipy takes as ``workers``: ``fn`` calls ``value`` (or ``gradient``) once
        at each point, which finds it on its way already.
        """
        rows = [np.array(point, dtype=float) for point in points]
        if rows:
            self._rounds += 1
            futures: Sequence[Future[Any]]
            if self._maps_gradients:
                futures = [self._objective.gradient(row) for row in rows]
            else:
                futures = self._objective.submit_many(np.stack(rows))
            for row, future in zip(rows, futures, strict=True):
                self._ahead[self._maps_gradients, row.tobytes()].append(future)
        return [fn(row) for row in rows]

    def withdraw_unused(self) -> None:
        """Cancel what was sent ahead and never asked for."""
        for futures in self._ahead.values():
            for future in futures:
                future.cancel()
        self._ahead.clear()

    def report(self) -> SpeculationReport:
        """The counts so far."""
        return SpeculationReport(evaluations=self._evaluations, rounds=self._rounds)

    def _sent_ahead(self, x: NDArray[np.float64], *, is_gradient: bool) -> Future[Any] | None:
        key = (is_gradient, x.tobytes())
        futures = self._ahead.get(key)
        if not futures:
            return None
        future = futures.popleft()
        if not futures:
            del self._ahead[key]
        return future
