"""What a provider's jobs have cost, as rows of a journal: a budget bounds all runs together."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from efaas.model.record import JobSpend, Reservation

if TYPE_CHECKING:
    from efaas.journal.store import Store

__all__ = ["SpendingRows", "jobs_spent"]


class SpendingRows:
    """The jobs of one backend, in one journal. Its methods may be called from any thread."""

    def __init__(
        self,
        store: Store,
        spent: list[JobSpend],
        write: Callable[[Callable[[], int]], object],
    ) -> None:
        """Show what is there.

        Args:
            store: Where the rows are.
            spent: What ``jobs_spent`` gave when the journal was opened.
            write: Has something written.
        """
        self._store = store
        self._spent = spent
        self._write = write

    def spent(self) -> list[JobSpend]:
        """The jobs of earlier processes that the provider has, or may have, taken."""
        return list(self._spent)

    def measured(self, tag: str, job_id: str | None, seconds: float | None) -> None:
        """A job has ended and took so many QPU seconds; None while the provider has not said."""
        sql = """UPDATE submissions SET job_id = coalesce(job_id, ?), qpu_seconds = ?
            WHERE tag = ?"""
        self._write(lambda: self._store.write(sql, (job_id, seconds, tag)))


def jobs_spent(store: Store, backend: str) -> list[JobSpend]:
    """The jobs of a backend that its provider has, or may have, taken.

    A job that was written down by an older version is taken for what its values say that they
    have used.
    """
    sql = """SELECT tag, job_id, expected_seconds, reserved_seconds, is_billed, qpu_seconds,
            state IN ('done', 'failed'),
            (SELECT sum(e.qpu_seconds) FROM evaluations e WHERE e.submission = s.id)
        FROM submissions s WHERE backend = ? AND tag IS NOT NULL AND state != 'lost'
            AND NOT (state = 'failed' AND job_id IS NULL) ORDER BY id"""
    found = []
    for tag, job_id, expected, reserved, is_billed, measured, ended, used in store.read(
        sql, (backend,)
    ):
        if expected is None:
            expected = reserved = used or 0.0
            measured = used
        given = Reservation(expected, reserved, is_billed is None or bool(is_billed))
        found.append(JobSpend(tag, job_id, given, measured, bool(ended)))
    return found
