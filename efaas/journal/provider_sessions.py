"""Provider sessions as rows of a journal: none is to be left open by a process that was killed."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from efaas.model.record import ProviderSessionRecord

if TYPE_CHECKING:
    from efaas.journal.store import Store

__all__ = ["ProviderSessionRows", "recorded_sessions"]


class ProviderSessionRows:
    """Those of one backend, in one journal. Its methods may be called from any thread."""

    def __init__(
        self,
        store: Store,
        backend: str,
        known: list[ProviderSessionRecord],
        write: Callable[..., object],
    ) -> None:
        """Show what is there.

        Args:
            store: Where the rows are.
            backend: Whose they are.
            known: What ``recorded_sessions`` gave when the journal was opened.
            write: Has something written, with ``commit`` on the disk when it returns.
        """
        self._store = store
        self._backend = backend
        self._known = known
        self._write = write

    def known(self) -> list[ProviderSessionRecord]:
        """Those of earlier processes, in the order in which they were opened."""
        return list(self._known)

    def opened(self, session_id: str, mode: str) -> None:
        """One was opened; on the disk when this returns."""
        sql = """INSERT INTO provider_sessions (id, backend, mode, opened_at) VALUES (?, ?, ?, ?)
            ON CONFLICT (id) DO UPDATE SET ended_at = NULL"""
        values = (session_id, self._backend, mode, time.time())
        self._write(lambda: self._store.write(sql, values))

    def lasted(self, session_id: str, seconds: float) -> None:
        """One has lasted so long by now; on the disk with what is written next."""
        sql = "UPDATE provider_sessions SET seconds = ? WHERE id = ?"
        self._write(lambda: self._store.write(sql, (seconds, session_id)), commit=False)

    def ended(self, session_id: str, seconds: float | None) -> None:
        """One is closed, or takes no more jobs, and has lasted so long, where that is known."""
        sql = """UPDATE provider_sessions SET ended_at = ?, seconds = coalesce(?, seconds)
            WHERE id = ?"""
        self._write(lambda: self._store.write(sql, (time.time(), seconds, session_id)))


def recorded_sessions(store: Store, backend: str) -> list[ProviderSessionRecord]:
    """Every provider session of a backend, in the order in which they were opened."""
    sql = """SELECT id, mode, coalesce(seconds, 0), ended_at IS NOT NULL FROM provider_sessions
        WHERE backend = ? ORDER BY opened_at"""
    return [
        ProviderSessionRecord(session_id, mode, seconds, bool(has_ended))
        for session_id, mode, seconds, has_ended in store.read(sql, (backend,))
    ]
