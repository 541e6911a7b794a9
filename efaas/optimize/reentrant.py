"""Lets scipy run COBYQA inside the objective of COBYQA, which a replay does."""

from __future__ import annotations

import importlib
import threading
from types import TracebackType
from typing import Any

__all__ = ["let_cobyqa_nest"]

_MODULE = "scipy.optimize._cobyqa_py"
_LOCK = "COBYQA_LOCK"


def let_cobyqa_nest() -> None:
    """Let a thread take scipy's lock around COBYQA again while it holds it.

    Scipy 1.16 and 1.17 run one COBYQA at a time, because its threads once shared a cache; a
    thread that begins a second one within the first would wait for itself. Other threads wait as
    before. Later versions have no such lock, and nothing is done.
    """
    try:
        module = importlib.import_module(_MODULE)
    except ImportError:
        return
    lock = getattr(module, _LOCK, None)
    if isinstance(lock, type(threading.Lock())):
        setattr(module, _LOCK, _Reentrant(lock))


class _Reentrant:
    """A lock that its owner may take again; made from a plain one that may be held already."""

    def __init__(self, lock: Any) -> None:
        self._lock = lock
        self._owner: int | None = None
        self._depth = 0

    def __enter__(self) -> bool:
        if self._owner != threading.get_ident():
            self._lock.acquire()
            self._owner = threading.get_ident()
        self._depth += 1
        return True

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._depth -= 1
        if self._depth == 0:
            self._owner = None
            self._lock.release()
