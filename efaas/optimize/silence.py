"""Silence for one thread: no warnings from numpy or Python while a copy of an optimizer runs."""

from __future__ import annotations

import contextlib
import threading
import warnings
from collections.abc import Iterator
from typing import Any, cast

import numpy as np

__all__ = ["silence"]


class _Muted(threading.local):
    """How many silences the present thread is inside of."""

    depth = 0


class _OnMutedThreads:
    """Stands in a warning filter for the pattern of the message."""

    def match(self, message: str) -> bool:
        """Whether the filter applies: whatever the message, but on muted threads only."""
        return _muted.depth > 0


_muted = _Muted()
_IGNORE = ("ignore", _OnMutedThreads(), Warning, None, 0)


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Ignore warnings on this thread, and leave them alone on all others.

    ``warnings.catch_warnings`` exchanges the filters of the whole process and restores what it
    found, so two threads in it at once may leave each other's filters behind. Here the filters
    get one more entry, which applies to muted threads only; where it stays behind, because
    somebody copied the filters meanwhile, it does nothing. As the entry is not announced
    (``warnings`` would forget which warnings it has shown already), later ones are shown as if
    the silence had never been.
    """
    # The stubs know patterns as strings; the module, in C as in Python, calls `match`.
    filters = cast("list[Any]", warnings.filters)
    filters.insert(0, _IGNORE)
    _muted.depth += 1
    try:
        with np.errstate(all="ignore"):
            yield
    finally:
        _muted.depth -= 1
        # Gone already if somebody reset the filters.
        with contextlib.suppress(ValueError):
            filters.remove(_IGNORE)
