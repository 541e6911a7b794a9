"""An alarm clock: one thread, started when first needed, that calls back at set instants."""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable

__all__ = ["Alarm"]


class Alarm:
    """Calls back, per name, at the latest instant that was set for it. Safe to use from threads."""

    def __init__(self, ring: Callable[[str], None]) -> None:
        """Begin without a thread.

        Args:
            ring: Called on the alarm's thread with the name whose instant has come.
        """
        self._ring = ring
        self._changed = threading.Condition()
        self._set: dict[str, float] = {}
        self._times: list[tuple[float, str]] = []
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def set(self, name: str, at: float) -> None:
        """Ring for ``name`` at that instant of the monotonic clock, and not when it was set to."""
        with self._changed:
            if self._is_closed or self._set.get(name) == at:
                return
            self._set[name] = at
            heapq.heappush(self._times, (at, name))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="efaas-alarm", daemon=True)
                self._thread.start()
            elif self._times[0] == (at, name):
                self._changed.notify()

    def close(self) -> None:
        """Ring no more; the thread ends by itself. It may be called twice."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._is_closed and not self._is_time():
                    left = self._times[0][0] - time.monotonic() if self._times else None
                    self._changed.wait(left)
                if self._is_closed:
                    return
                at, name = heapq.heappop(self._times)
                is_set = self._set.get(name) == at
                if is_set:
                    del self._set[name]
            if is_set:
                self._ring(name)

    def _is_time(self) -> bool:
        return bool(self._times) and self._times[0][0] <= time.monotonic()
