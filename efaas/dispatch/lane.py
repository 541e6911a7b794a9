"""A lane: the threads on which a place's attempts run.

What ``ThreadPoolExecutor`` does, without a future for each task: a job has its own, and a second
one costs as much as the scheduler's decision.
"""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterable
from queue import SimpleQueue
from typing import Any, TypeAlias

__all__ = ["Lane", "shut_down"]

_Task: TypeAlias = tuple[Callable[..., None], tuple[Any, ...]]


class Lane:
    """Runs each task at once, on an idle thread or a new one.

    Idle threads wait until the lane is shut down, or the main thread has ended.
    """

    def __init__(self, name: str) -> None:
        """Begin without threads.

        Args:
            name: Of its threads.
        """
        self._name = name
        self._tasks: SimpleQueue[_Task | None] = SimpleQueue()
        # A token for each thread that waits and is not meant for a task yet.
        self._idle: deque[None] = deque()
        self._threads: set[threading.Thread] = set()
        self._is_closed = False
        self._lock = threading.Lock()

    def submit(self, run: Callable[..., None], *args: Any) -> None:
        """Run ``run(*args)`` soon.

        Raises:
            RuntimeError: The lane was shut down, or the program is about to end.
        """
        with self._lock:
            if self._is_closed:
                raise RuntimeError(f"lane {self._name} runs nothing any more")
            if self._idle:
                self._idle.pop()
            else:
                self._start_thread()
            self._tasks.put((run, args))

    def shutdown(self, *, wait: bool) -> None:
        """End the threads once their tasks have ended, and wait for that if asked to."""
        with self._lock:
            self._is_closed = True
            threads = list(self._threads)
            for _ in threads:
                self._tasks.put(None)
        for thread in threads if wait else ():
            thread.join()

    def _start_thread(self) -> None:
        _end_with_main_thread(self)
        thread = threading.Thread(target=self._work, name=self._name)
        thread.start()
        self._threads.add(thread)

    def _work(self) -> None:
        try:
            while True:
                task = self._tasks.get()
                if task is None:
                    return
                run, args = task
                run(*args)
                del task, run, args  # what they refer to may be large
                self._idle.append(None)
        finally:
            self._threads.discard(threading.current_thread())


def shut_down(lanes: Iterable[Lane]) -> None:
    """Shut lanes down whose owner is gone; nobody waits for their threads."""
    for lane in lanes:
        lane.shutdown(wait=False)


_lanes: weakref.WeakSet[Lane] = weakref.WeakSet()
_warden: threading.Thread | None = None
_warden_lock = threading.Lock()


def _end_with_main_thread(lane: Lane) -> None:
    """See that a program ends whose session was not closed.

    The interpreter waits for all threads before it calls anybody at its exit.
    """
    global _warden
    with _warden_lock:
        _lanes.add(lane)
        if _warden is None or not _warden.is_alive():  # as after a fork
            _warden = threading.Thread(
                target=_wait_for_main_thread, name="end-efaas-lanes", daemon=True
            )
            _warden.start()


def _wait_for_main_thread() -> None:
    threading.main_thread().join()
    with _warden_lock:
        lanes = list(_lanes)
    shut_down(lanes)
