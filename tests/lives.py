"""Lives of a process that has forked: each ends by itself, or is killed at a given instant."""

from __future__ import annotations

import os
import select
import signal
import traceback
from collections.abc import Callable


def lived(life: Callable[[], str], seconds: float) -> str | None:
    """What a life of at most so many seconds gave, or None if it was killed with SIGKILL.

    Raises:
        RuntimeError: It ended in another way.
    """
    inlet, outlet = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(inlet)
        _live(life, outlet)
    os.close(outlet)
    try:
        ready, _, _ = select.select([inlet], [], [], seconds)
        if not ready:
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            return None
        if status:
            raise RuntimeError(f"a life ended with status {status}")
        return os.read(inlet, 1 << 16).decode()
    finally:
        os.close(inlet)


def _live(life: Callable[[], str], out: int) -> None:
    """A child's whole life; it never returns."""
    status = 1
    try:
        os.write(out, life().encode())
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)
