"""Rounds that were handed to a backend, as rows of a journal."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from efaas.model.record import Submission

if TYPE_CHECKING:
    from efaas.journal.store import Store
    from efaas.model.record import Reservation, SubmissionState

__all__ = ["Pending", "Submissions"]


class Pending:
    """A submission whose values are not in the journal.

    Attributes:
        id: In the journal.
        submission: What was written down.
        places: For each of its points that this journal asked for the key, the part that it is
            in, and the row there.
    """

    __slots__ = ("id", "places", "submission")

    def __init__(
        self, number: int, submission: Submission, places: list[tuple[bytes, int, int]]
    ) -> None:
        self.id = number
        self.submission = submission
        self.places = places


class Submissions:
    """Writes them into the open transaction; committing it is the book's business."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def add(
        self,
        backend: str,
        places: Iterable[tuple[bytes, int, int]],
        parts: Sequence[int],
        tag: str | None,
        payload: str,
        reservation: Reservation | None,
    ) -> int:
        """One is about to be sent; returns its number."""
        given = reservation
        number = self._store.write(
            """INSERT INTO submissions (tag, backend, payload, parts, state, sent_at,
                    expected_seconds, reserved_seconds, is_billed)
                VALUES (?, ?, ?, ?, 'sent', ?, ?, ?, ?)""",
            (
                tag,
                backend,
                payload,
                json.dumps(list(parts)),
                time.time(),
                None if given is None else given.expected_seconds,
                None if given is None else given.reserved_seconds,
                None if given is None else given.is_billed,
            ),
        )
        self._store.write_many(
            """UPDATE evaluations SET submission = ?, part = ?, row = ?
                WHERE key = ? AND dropped = 0""",
            [(number, part, row, key) for key, part, row in places],
        )
        return number

    def accept(self, number: int, job_id: str) -> None:
        """The provider has given it an id."""
        self._store.write(
            "UPDATE submissions SET job_id = ?, state = 'accepted', accepted_at = ? WHERE id = ?",
            (job_id, time.time(), number),
        )

    def end(self, number: int, state: SubmissionState, error: str) -> None:
        """It has ended."""
        self._store.write(
            "UPDATE submissions SET state = ?, ended_at = ?, error = ? WHERE id = ?",
            (state, time.time(), error or None, number),
        )

    def pending(self, backend: str, keys: Iterable[bytes]) -> list[Pending]:
        """The provider's jobs that some of these points are in, and whose values are not here."""
        numbers: dict[int, None] = {}
        for key in keys:
            rows = self._store.read(
                """SELECT s.id FROM evaluations e JOIN submissions s ON s.id = e.submission
                    WHERE e.key = ? AND e.dropped = 0 AND e.value IS NULL AND s.backend = ?
                    AND s.tag IS NOT NULL AND s.state IN ('sent', 'accepted')""",
                (key, backend),
            )
            numbers.update((row[0], None) for row in rows)
        return [self._pending(number) for number in numbers]

    def _pending(self, number: int) -> Pending:
        [[tag, job_id, backend, payload, parts]] = self._store.read(
            "SELECT tag, job_id, backend, payload, parts FROM submissions WHERE id = ?", (number,)
        )
        places = self._store.read(
            "SELECT key, part, row FROM evaluations WHERE submission = ? AND value IS NULL",
            (number,),
        )
        submission = Submission(tag, job_id, backend, payload, tuple(json.loads(parts)))
        return Pending(number, submission, [tuple(place) for place in places])
