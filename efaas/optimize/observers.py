"""Whoever is told of an optimizer's run as it goes: a trace, a progress display."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from efaas.optimize.asks import VALUE

if TYPE_CHECKING:
    from efaas.optimize.asks import Ask

__all__ = ["Observed", "Observer", "Observers", "as_number"]

logger = logging.getLogger("efaas.optimize")


class Observer(Protocol):
    """Told of one run. Must be quick, since the optimizer waits meanwhile."""

    def asked(self) -> None:
        """The optimizer asks for something."""
        ...

    def hit(self) -> None:
        """What it asks for was guessed."""
        ...

    def launching(self) -> None:
        """A round is about to be sent out."""
        ...

    def launched(self, futures: Sequence[Any], *, asked: int, guessed: int) -> None:
        """It was sent out: the futures of what was asked for, and the evaluations of each kind."""
        ...

    def took(self, future: Any) -> None:
        """The answer is this future's; not called where it is that of a guess nearby."""
        ...

    def answered(
        self, kind: str, value: float | None, *, evaluations: int, best: float | None
    ) -> None:
        """The optimizer has its answer: of which kind, its value where it is one number."""
        ...

    def ended(self) -> None:
        """The run is over."""
        ...


@runtime_checkable
class Observed(Protocol):
    """An objective, or a source of answers, whose runs somebody wants to see."""

    def observers(self) -> Sequence[Observer]:
        """Who is to be told of a run that begins now."""
        ...


class Observers:
    """Tells all of them. One that fails is left out from then on: seeing must not cost the run."""

    def __init__(self, observers: Sequence[Observer] = ()) -> None:
        self._observers = list(observers)

    def asked(self) -> None:
        """The optimizer asks for something."""
        self._tell("asked")

    def hit(self) -> None:
        """What it asks for was guessed."""
        self._tell("hit")

    def launching(self) -> None:
        """A round is about to be sent out."""
        self._tell("launching")

    def launched(self, futures: Sequence[Any], *, asked: int, guessed: int) -> None:
        """It was sent out."""
        self._tell("launched", futures, asked=asked, guessed=guessed)

    def took(self, future: Any) -> None:
        """The answer is this future's."""
        self._tell("took", future)

    def answered(self, ask: Ask, answer: Any, *, evaluations: int, best: float | None) -> None:
        """The optimizer has its answer."""
        if self._observers:
            value = as_number(answer) if ask.kind == VALUE else None
            self._tell("answered", ask.kind, value, evaluations=evaluations, best=best)

    def ended(self) -> None:
        """The run is over."""
        self._tell("ended")

    def _tell(self, what: str, *args: Any, **kwargs: Any) -> None:
        for observer in tuple(self._observers):
            try:
                getattr(observer, what)(*args, **kwargs)
            except Exception:
                self._observers.remove(observer)
                logger.warning("%r failed; it sees no more of this run", observer, exc_info=True)


def as_number(answer: Any) -> float | None:
    """An objective's answer as one real number, or None where it is none."""
    value = answer[0] if isinstance(answer, tuple | list) else answer
    if np.size(value) == 1 and np.isrealobj(value):
        return float(np.asarray(value).reshape(-1)[0])
    return None
