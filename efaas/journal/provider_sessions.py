"""Provider sessions as rows of a journal: none is to be left open by a process that was killed."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from efaas.journal.store import Store

__all__ = ["ProviderSessionRows", "open_sessions"]


class ProviderSessionRows:
    """Those of one backend, in one journal. Its methods may be called from any thread."""

    def __init__(
        self,
        store: Store,
        backend: str,
        left: list[tuple[str, str]],
        write: Callable[[Callable[[], int]], object],
    ) -> None:
        """Show what is there.

        Args:
            store: Where the rows are.
            backend: Whose they are.
            left: What ``open_sessions`` gave when the journal was opened.
            write: Has something written, and on the disk when it returns.
        """
        self._store = store
        self._backend = backend
        self._left = left
        self._write = write

    def left(self) -> list[tuple[str, str]]:
        """The id and mode of each that an earlier process opened, and was not seen to end."""
        return list(self._left)

    def opened(self, session_id: str, mode: str) -> None:
        """One was opened; on the disk when this returns."""
        sql = """INSERT INTO provider_sessions (id, backend, mode, opened_at) VALUES (?, ?, ?, ?)
            ON CONFLICT (id) DO UPDATE SET ended_at = NULL"""
        values = (session_id, self._backend, mode, time.time())
        self._write(lambda: self._store.write(sql, values))

    def ended(self, session_id: str) -> None:
        """One is closed, or takes no more jobs."""
        sql = "UPDATE provider_sessions SET ended_at = ? WHERE id = ?"
        self._write(lambda: self._store.write(sql, (time.time(), session_id)))


def open_sessions(store: Store, backend: str) -> list[tuple[str, str]]:
    """The id and mode of each provider session of a backend that was not seen to end."""
    sql = """SELECT id, mode FROM provider_sessions
        WHERE backend = ? AND ended_at IS NULL ORDER BY opened_at"""
    return [(session_id, mode) for session_id, mode in store.read(sql, (backend,))]
