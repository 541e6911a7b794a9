"""Access tokens: a request for one that failed is made again when the next answer needs it.

The vendor's SDK lets nobody ask for a minute after a request for a token has failed, since it takes
that one for still being on its way, and waits a minute for its answer. Both are set on the token
managers that it keeps, which are not part of its documented interface: where they have moved, the
rest still works.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["prompt_logins", "prompted"]

_lock = threading.Lock()
_logins = 0
_theirs: Any = None


def prompted(manager: Any, seconds: float) -> Any:
    """A token manager that asks again at once; the manager itself, and done only once.

    Args:
        manager: A ``TokenManager`` of ``ibm_cloud_sdk_core``, or anything else, which is let alone.
        seconds: How long it waits for the answer to a request.
    """
    request: Callable[[], None] | None = getattr(manager, "paced_request_token", None)
    if request is None or not isinstance(getattr(manager, "http_config", None), dict):
        return manager
    manager.http_config.setdefault("timeout", seconds)
    if "paced_request_token" in vars(manager):
        return manager

    def ask() -> None:
        try:
            request()
        except BaseException:
            manager.request_time = 0  # nobody waits for that one any more
            raise

    manager.paced_request_token = ask
    return manager


@contextmanager
def prompt_logins(seconds: float) -> Iterator[None]:
    """Within the block the runtime client gets token managers that ask again at once.

    Args:
        seconds: How long they wait for the answer to a request.
    """
    from qiskit_ibm_runtime.api import auth

    global _logins, _theirs
    with _lock:
        if _logins == 0:
            _theirs = theirs = getattr(auth, "IAMTokenManager", None)
            if callable(theirs):

                def made(*arguments: Any, **settings: Any) -> Any:
                    return prompted(theirs(*arguments, **settings), seconds)

                auth.IAMTokenManager = made
        _logins += 1
    try:
        yield
    finally:
        with _lock:
            _logins -= 1
            if _logins == 0 and callable(_theirs):
                auth.IAMTokenManager = _theirs
