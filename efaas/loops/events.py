"""What happened to a session's loops, in order."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from efaas.model.events import Comparison, LoopEvent

__all__ = ["LoopEvents"]

_MOST_EVENTS = 10_000
"""Of one session; older ones are forgotten."""


class LoopEvents:
    """A list that forgets its beginning. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._events: dict[int, LoopEvent] = {}
        self._count = 0

    def add(self, event: LoopEvent) -> int:
        """Append an event; its number is for ``compared``."""
        with self._lock:
            self._count += 1
            self._events[self._count] = event
            if len(self._events) > _MOST_EVENTS:
                del self._events[next(iter(self._events))]
            return self._count

    def compared(self, number: int, comparison: Comparison) -> None:
        """Complete an event, if it was not forgotten."""
        with self._lock:
            if number in self._events:
                self._events[number] = replace(self._events[number], comparison=comparison)

    def all(self) -> tuple[LoopEvent, ...]:
        """The events as they are now, the oldest first."""
        with self._lock:
            return tuple(self._events.values())
