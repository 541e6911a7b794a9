"""An open journal as a session writes it and takes values from it."""

from __future__ import annotations

import json
import logging
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from zlib import crc32

from efaas.errors import (
    JournalDamagedError,
    JournalError,
    JournalMismatchError,
    JournalWriteError,
)
from efaas.journal.identity import Identity, installed_version, program
from efaas.journal.lock import WriterLock
from efaas.journal.provider_sessions import ProviderSessionRows, recorded_sessions
from efaas.journal.spending import SpendingRows, jobs_spent
from efaas.journal.store import Store
from efaas.journal.submissions import Submissions
from efaas.journal.trajectory import Trajectory
from efaas.model.record import Answer, Spend

if TYPE_CHECKING:
    from efaas.journal.settings import Journal
    from efaas.journal.submissions import Pending
    from efaas.model.record import LoopRecord, Question, Reservation, SubmissionState
    from efaas.policies.resuming import Facts

__all__ = ["Book", "checksum"]

logger = logging.getLogger("efaas.journal")

T = TypeVar("T")

_QUICK_SECONDS = 0.1  # rounds that follow each other sooner are written down with their results


class Book:
    """An open journal. All methods may be called from any thread.

    Attributes:
        identity: What it is of.
        is_resumed: Whether it held something when it was opened.
    """

    def __init__(self, settings: Journal) -> None:
        """Open the file, and take it for this session.

        Raises:
            JournalHeldError: Another session writes to it.
            JournalMismatchError: It is no journal, of a newer version, or, with ``mode="new"``,
                there is one.
            JournalDamagedError: It is not what was written.
            JournalWriteError: It cannot be opened.
        """
        self.settings = settings
        self._path = path = settings.file
        self._reads_only = settings.mode == "read"
        self._lock = threading.RLock()
        if settings.mode == "new" and path.exists() and path.stat().st_size:
            raise JournalMismatchError(
                f"there is a journal {path} already, and mode='new' does not go on with one; give "
                "another file, or leave mode out to resume",
                path=str(path),
                what="format",
            )
        lock = None if self._reads_only else _locked(path)
        try:
            self._store = Store(path, durability=settings.durability, read_only=self._reads_only)
            try:
                self.identity = Identity(self._store)
                self._trajectory = Trajectory(self._store)
                self._submissions = Submissions(self._store)
            except BaseException:
                self._store.close()
                raise
        except BaseException:
            if lock is not None:
                lock.release()
            raise
        self.is_resumed = self.identity.facts is not None
        self._is_checked = False
        self._broken: JournalError | None = None
        self._finalizer = weakref.finalize(self, _close, self._store, lock)

    def check(self, present: Facts) -> None:
        """See that it may be resumed by this session; write down what a new one is of.

        Raises:
            JournalMismatchError: It may not; the message says what differs.
            JournalWriteError: It cannot be written.
        """
        self.identity.require_same(present)
        if not self._reads_only:
            self._store.bring_up_to_date()
        self._is_checked = True
        if not self.is_resumed:
            self._write(lambda: self.identity.begin(present))
        word = "resumed" if self.is_resumed else "begun"
        self.note(word, f"by efaas {installed_version()}, {program()}")

    # Its loops.

    def loop(self, name: str) -> LoopRecord | None:
        """What is recorded of a loop; None for a new one."""
        return self.identity.loops.get(name)

    def open_loop(self, record: LoopRecord) -> None:
        """A loop was opened.

        Raises:
            JournalMismatchError: It is of another problem than the journal's.
            JournalWriteError: The journal cannot be written, and the run is to stop then.
        """
        with self._lock:
            self.identity.require_problem(record.name, record.fingerprint)
            self.identity.has_opened = True
            known = self.loop(record.name)
            if known is not None and known.calibration_id != record.calibration_id:
                self.note(
                    "recalibrated",
                    f"resumed on {record.backend} under {record.calibration_id}; before under "
                    f"{known.calibration_id}",
                    record.name,
                )
            self._write(lambda: self.identity.put(record))
            if known is not None and known != record:
                self.drop_guesses(record.name)

    def move_loop(self, name: str, backend: str, calibration_id: str) -> None:
        """A loop is elsewhere now, or compiled for another calibration."""
        with self._lock:
            known = self.loop(name)
            if known is not None:
                moved = replace(known, backend=backend, calibration_id=calibration_id)
                self._write(lambda: self.identity.put(moved), is_vital=False)

    def drop_guesses(self, loop: str) -> None:
        """A loop's device has changed: what was guessed before answers nothing any more.

        It stays in the file, as what it cost.
        """
        sql = """UPDATE evaluations SET dropped = 1
            WHERE loop = ? AND committed = 0 AND dropped = 0"""
        self._write(lambda: self._store.write(sql, (self.identity.loop_ids[loop],)), is_vital=False)

    # What was asked.

    def find(self, keys: Sequence[bytes]) -> list[Answer | None]:
        """What is recorded for each of the keys.

        Raises:
            JournalDamagedError: A recorded value is not what was written.
        """
        with self._lock:
            if not self._store.is_open:
                return [None] * len(keys)
            return [self._found(key) for key in keys]

    def knows(self, keys: Sequence[bytes]) -> bool:
        """Whether a value is recorded for all of the keys."""
        sql = "SELECT 1 FROM evaluations WHERE key = ? AND dropped = 0 AND value IS NOT NULL"
        with self._lock:
            return self._store.is_open and all(self._store.read(sql, (key,)) for key in keys)

    def ask(self, loop: str, questions: Sequence[Question], *, is_committed: bool) -> None:
        """Points were asked for, on the true trajectory of their loop or on a guess.

        Raises:
            JournalWriteError: The journal cannot be written, and the run is to stop then.
        """

        def write() -> None:
            number, now = self.identity.loop_ids[loop], time.time()
            self._store.write_many(
                """INSERT INTO evaluations
                    (key, loop, occurrence, shots, wanted, angles, parameters, asked_at)
                    VALUES (?, ?, ?, ?, ?, ?, ?, ?)
                    ON CONFLICT (key) WHERE dropped = 0 DO NOTHING""",
                [
                    (
                        question.key,
                        number,
                        question.occurrence,
                        question.shots,
                        None if question.wanted is None else json.dumps(question.wanted),
                        question.angles,
                        question.parameters,
                        now,
                    )
                    for question in questions
                ],
            )
            if is_committed:
                self._trajectory.append(number, [question.key for question in questions])

        self._write(write, commit=False)

    def confirm(self, loop: str, keys: Sequence[bytes]) -> None:
        """Guessed points turned out to be on the true trajectory."""
        self._write(
            lambda: self._trajectory.append(self.identity.loop_ids[loop], keys),
            commit=False,
            is_vital=False,
        )

    # What was submitted.

    def send(
        self,
        backend: str,
        places: Sequence[tuple[bytes, int, int]],
        *,
        parts: Sequence[int],
        tag: str | None = None,
        payload: str = "",
        reservation: Reservation | None = None,
    ) -> int:
        """A round is about to be handed to a backend; returns its number, 0 if there is none.

        With a tag it is a provider's job, and on the disk when this returns.

        Args:
            backend: Where it goes.
            places: For each point of this journal its key, the part that it is in, and the row.
            parts: The number of points of each part.
            tag: What the provider's job will be found by.
            payload: What the backend needs to read the result.
            reservation: What the provider's job may take.

        Raises:
            JournalWriteError: The journal cannot be written, and the run is to stop then.
        """
        is_lasting = tag is not None
        number = self._write(
            lambda: self._submissions.add(backend, places, parts, tag, payload, reservation),
            commit=is_lasting or self.settings.durability != "full",  # where it waits for no disk
            synced=is_lasting,
            within_seconds=_QUICK_SECONDS,
        )
        return number or 0

    def accept(self, number: int, job_id: str) -> None:
        """The provider has given it an id; on the disk when this returns."""
        self._write(lambda: self._submissions.accept(number, job_id), synced=True, is_vital=False)

    def pending(self, backend: str, keys: Collection[bytes]) -> list[Pending]:
        """The provider's jobs that some of these points are in, and whose values are not here."""
        with self._lock:
            return self._submissions.pending(backend, keys) if self._store.is_open else []

    def end(self, number: int, state: SubmissionState, error: str = "") -> None:
        """A submission has ended without values for some of its points, or never began."""
        self._write(
            lambda: self._submissions.end(number, state, _text(error)),
            commit=False,
            is_vital=False,
        )

    def provider_sessions(self, backend: str) -> ProviderSessionRows:
        """Where a backend's provider sessions are written down, with those of earlier runs."""
        with self._lock:
            known = [] if self._reads_only else recorded_sessions(self._store, backend)
        write = partial(self._write, synced=True, is_vital=False)
        return ProviderSessionRows(self._store, backend, known, write)

    def spending(self, backend: str) -> SpendingRows:
        """Where it is written down what a backend's jobs cost, with those of earlier runs."""
        with self._lock:
            spent = [] if self._reads_only else jobs_spent(self._store, backend)
        write = partial(self._write, commit=False, is_vital=False)
        return SpendingRows(self._store, spent, write)

    # What came back.

    def answer(self, number: int, answers: Sequence[Answer], error: str = "") -> None:
        """Values have come back, with the error of those points that have none.

        They are to be recorded before they are delivered. Only what was sent in that round is
        answered by it: a guess that was dropped meanwhile answers nothing that was asked for since.
        """

        def write() -> None:
            now = time.time()
            self._store.write_many(
                """UPDATE evaluations SET value = ?, backend = ?, calibration_id = ?,
                    qpu_seconds = ?, cpu_seconds = ?, answered_at = ?, checksum = ?
                    WHERE key = ? AND submission = ? AND value IS NULL""",
                [
                    (
                        answer.value,
                        answer.backend,
                        answer.calibration_id,
                        answer.qpu_seconds,
                        answer.cpu_seconds,
                        now,
                        checksum(answer),
                        answer.key,
                        number,
                    )
                    for answer in answers
                ],
            )
            if number:
                self._submissions.end(number, "failed" if error else "done", _text(error))

        self._write(write, is_vital=False)

    def note(self, kind: str, text: str, loop: str | None = None) -> None:
        """Something happened."""
        sql = "INSERT INTO events VALUES (NULL, ?, ?, ?, ?)"
        self._write(
            lambda: self._store.write(sql, (time.time(), kind, loop, _text(text))), is_vital=False
        )

    def spent(self) -> Spend:
        """What everything in the journal has cost, over all runs."""
        with self._lock:
            [[count, qpu, cpu]] = self._store.read(
                """SELECT count(*), coalesce(sum(qpu_seconds), 0), coalesce(sum(cpu_seconds), 0)
                    FROM evaluations WHERE value IS NOT NULL"""
            )
            [[submissions]] = self._store.read("SELECT count(*) FROM submissions")
            return Spend(count, submissions, qpu, cpu)

    def close(self) -> None:
        """Write what is left, and let others have it. It may be called twice."""
        with self._lock:
            if self._store.is_open and self._is_checked:
                self.note("closed", "")
        self._finalizer()

    # Inside.

    def _found(self, key: bytes) -> Answer | None:
        rows = self._store.read(
            """SELECT value, backend, calibration_id, qpu_seconds, cpu_seconds, checksum
                FROM evaluations WHERE key = ? AND dropped = 0 AND value IS NOT NULL""",
            (key,),
        )
        if not rows:
            return None
        *columns, written = rows[0]
        answer = Answer(key, *columns)
        if checksum(answer) != written:
            raise JournalDamagedError(
                f"the journal {self._path} is damaged: the value of evaluation {key.hex()} is not "
                "what was written. Restore a copy, or move it away to begin again",
                path=str(self._path),
            )
        return answer

    def _write(
        self,
        act: Callable[[], T],
        *,
        commit: bool = True,
        synced: bool = False,
        within_seconds: float = 0.0,
        is_vital: bool = True,
    ) -> T | None:
        """Write all of something, or none of it and None.

        Args:
            act: Writes it.
            commit: Whether it is to last at once, as far as the durability promises.
            synced: Whether that has to reach the disk.
            within_seconds: See ``Store.commit``.
            is_vital: Whether the caller must not go on without it. Where something was computed,
                it is delivered all the same, and the next submission says what is wrong.
        """
        if self._reads_only:
            return None
        with self._lock:
            if not is_vital and not self._store.is_open:
                return None  # an attempt that was given up when the session was closed
            try:
                if self._broken is not None:
                    raise JournalWriteError(
                        f"nothing more is submitted: {self._broken}", path=str(self._path)
                    )
                result = act()
                if commit:
                    self._store.commit(synced=synced, within_seconds=within_seconds)
            except JournalError as error:
                if self._broken is None:
                    self._give_up(error)
                if is_vital and self.settings.on_failure == "stop":
                    raise
                return None
            return result

    def _give_up(self, error: JournalError) -> None:
        self._broken = error
        self._store.roll_back()
        if self.settings.on_failure == "continue":
            message = f"the run goes on without its journal: {error}"
            warnings.warn(message, RuntimeWarning, stacklevel=2)
        logger.warning("the journal can no longer be written: %s", error)


def checksum(answer: Answer) -> int:
    """What is written beside an answer, so that a changed one is found out."""
    head = repr((answer.backend, answer.calibration_id, answer.qpu_seconds, answer.cpu_seconds))
    return crc32(answer.value, crc32(answer.key + head.encode()))


def _text(words: str) -> str:
    """Words that come from anywhere, as text that can be stored."""
    return words.encode("utf-8", "replace").decode()


def _locked(path: Path) -> WriterLock:
    if not path.parent.is_dir():
        raise JournalWriteError(
            f"the journal {path} cannot be written: there is no directory {path.parent}; "
            "make it first",
            path=str(path),
        )
    return WriterLock(path)


def _close(store: Store, lock: WriterLock | None) -> None:
    try:
        store.close()
    except JournalError:
        logger.warning("the journal was not closed well", exc_info=True)
    finally:
        if lock is not None:
            lock.release()
