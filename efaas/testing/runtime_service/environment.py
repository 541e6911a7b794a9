"""The environment variables that lead the runtime client to a service, set for a while."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

__all__ = ["entered", "left", "scoped"]

_LOCK = threading.RLock()
_OPEN: dict[int, Mapping[str, str]] = {}
"""The variables of each open service, in the order in which they were opened."""
_BEFORE: dict[str, str | None] = {}
"""What the variables were before the first was opened."""


def entered(owner: object, variables: Mapping[str, str]) -> None:
    """Put a service's variables into force, until it has ``left``."""
    with _LOCK:
        if not _OPEN:
            _BEFORE.clear()
        for name in variables:
            _BEFORE.setdefault(name, os.environ.get(name))
        _OPEN[id(owner)] = variables
        os.environ.update(variables)


def left(owner: object) -> None:
    """Give way to the service that was opened last before, or to what was there before any."""
    with _LOCK:
        if _OPEN.pop(id(owner), None) is None:
            return
        if _OPEN:
            os.environ.update(list(_OPEN.values())[-1])
            return
        for name, value in _BEFORE.items():
            _set(name, value)


@contextmanager
def scoped(variables: Mapping[str, str]) -> Iterator[None]:
    """Variables in force within the block, whichever service was opened last."""
    with _LOCK:
        before = {name: os.environ.get(name) for name in variables}
        os.environ.update(variables)
        try:
            yield
        finally:
            for name, value in before.items():
                _set(name, value)


def _set(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value
