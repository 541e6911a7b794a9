"""Where a backend's provider sessions are written down, so that a later process sees to them."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from efaas.backends.protocol import ProviderSessionLog

__all__ = ["SessionNotes"]


class SessionNotes:
    """The logs of all who use a backend, as one. Not for several threads at once.

    It keeps no log alive: whose journal is gone need not be told.

    Attributes:
        left: The mode of each provider session that an earlier process left open, by its id.
    """

    def __init__(self) -> None:
        self.left: dict[str, str] = {}
        self._logs: weakref.WeakSet[ProviderSessionLog] = weakref.WeakSet()

    def add(self, log: ProviderSessionLog) -> None:
        """Write in this one, too, and see to what it has left."""
        self._logs.add(log)
        self.left.update(log.left())

    def opened(self, session_id: str | None, mode: str) -> None:
        """One was opened."""
        if session_id is not None:
            for log in list(self._logs):
                log.opened(session_id, mode)

    def ended(self, session_id: str | None) -> None:
        """One is closed, or takes no more jobs."""
        if session_id is not None:
            self.left.pop(session_id, None)
            for log in list(self._logs):
                log.ended(session_id)
