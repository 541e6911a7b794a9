"""A lane: the threads on which a place's attempts run.

What ``ThreadPoolExecutor`` does, without a future for each task: a job has its own, and a second
one costs as much as the scheduler's decision.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, TypeAlias

__all__ = ["Lane"]

_IDLE_SECONDS = 0.25
"""An idle thread ends after so long: a program that forgot to close its session ends then, too."""

_Task: TypeAlias = tuple[Callable[..., None], tuple[Any, ...]]


class Lane:
    """Runs each task at once, on an idle thread or a new one."""

    def __init__(self, name: str) -> None:
        """Begin without threads.

        Args:
            name: Of its threads.
        """
        self._name = name
        self._tasks: SimpleQueue[_Task | None] = SimpleQueue()
        # A token for each thread that waits and is not meant for a task yet. Appending and popping
        # are atomic.
        self._idle: deque[None] = deque()
        self._threads: set[threading.Thread] = set()
        self._is_closed = False

    def submit(self, run: Callable[..., None], *args: Any) -> None:
        """Run ``run(*args)`` soon.

        Raises:
            RuntimeError: The lane was shut down, or the program is about to end.
        """
        if self._is_closed or not threading.main_thread().is_alive():
            raise RuntimeError(f"lane {self._name} runs nothing any more")
        try:
            self._idle.pop()
        except IndexError:
            thread = threading.Thread(target=self._work, name=self._name)
            self._threads.add(thread)
            thread.start()
        self._tasks.put((run, args))

    def shutdown(self, *, wait: bool) -> None:
        """End the threads once their tasks have ended, and wait for that if asked to."""
        self._is_closed = True
        threads = list(self._threads)
        for _ in threads:
            self._tasks.put(None)
        for thread in threads if wait else ():
            thread.join()

    def _work(self) -> None:
        try:
            while True:
                task = self._next()
                if task is None:
                    return
                run, args = task
                run(*args)
                del task, run, args  # what they refer to may be large
                self._idle.append(None)
        finally:
            self._threads.discard(threading.current_thread())

    def _next(self) -> _Task | None:
        while True:
            try:
                return self._tasks.get(timeout=_IDLE_SECONDS)
            except Empty:
                try:
                    self._idle.pop()
                except IndexError:
                    continue  # a task is on its way
                return None
