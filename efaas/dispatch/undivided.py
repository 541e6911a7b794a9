"""A lock whose holder Ctrl-C cannot stop half-way."""

from __future__ import annotations

import signal
import threading

# The functions behind those of ``signal``, which spend 10 us on turning numbers into enums.
from _signal import getsignal as handler_of  # type: ignore[import-not-found]
from _signal import signal as set_handler
from types import FrameType, TracebackType
from typing import Any

__all__ = ["Undivided"]

_MAIN = threading.main_thread()
_SIGINT = int(signal.SIGINT)


class Undivided:
    """Holds a lock, and on the main thread holds Ctrl-C back until it is released.

    Python raises ``KeyboardInterrupt`` between any two steps of the main thread. Between taking a
    job out of the queue and sending it off, that would lose the job, and its place with it, for
    good. A handler of the user's own is left alone.
    """

    __slots__ = ("_interrupted", "_is_deferring", "_lock")

    def __init__(self, lock: Any) -> None:
        self._lock = lock
        self._interrupted = self._is_deferring = False

    def __enter__(self) -> None:
        if (
            threading.get_ident() == _MAIN.ident
            and handler_of(_SIGINT) is signal.default_int_handler
        ):
            set_handler(_SIGINT, self._note)
            self._is_deferring = True
        self._lock.acquire()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._lock.release()
        if self._is_deferring:
            set_handler(_SIGINT, signal.default_int_handler)
            if self._interrupted:
                raise KeyboardInterrupt

    def _note(self, signal_number: int, frame: FrameType | None) -> None:
        self._interrupted = True
