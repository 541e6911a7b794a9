"""Waiting, on whichever clock: the system's, or one that a test moves."""

from __future__ import annotations

import concurrent.futures.thread
import threading
import time
from typing import Protocol

from efaas.clock import Clock, VirtualClock

__all__ = ["Pause", "is_exiting", "pause_on"]

_LONGEST_SLICE_SECONDS = 0.5


class Pause(Protocol):
    """Waits."""

    def __call__(self, seconds: float, wake: threading.Event | None = None) -> None:
        """Wait so long, or until ``wake`` is set."""
        ...


def pause_on(clock: Clock) -> Pause:
    """A wait by that clock: a virtual one is moved on, and nobody sleeps."""
    if isinstance(clock, VirtualClock):

        def advance(seconds: float, wake: threading.Event | None = None) -> None:
            if wake is None or not wake.is_set():
                clock.advance(max(0.0, seconds))

        return advance
    own: Pause | None = getattr(clock, "pause", None)
    return _sleep if own is None else own


def is_exiting() -> bool:
    """Whether the interpreter only waits for threads such as this one.

    It joins the threads of executors before it calls anything that was registered for its exit:
    a thread that waits for hours has to find out for itself.
    """
    is_joining: bool = getattr(concurrent.futures.thread, "_shutdown", False)
    return is_joining or not threading.main_thread().is_alive()


def _sleep(seconds: float, wake: threading.Event | None = None) -> None:
    wake = wake or threading.Event()
    until = time.monotonic() + seconds
    while not is_exiting():
        left = until - time.monotonic()
        if left <= 0 or wake.wait(min(left, _LONGEST_SLICE_SECONDS)):
            return
