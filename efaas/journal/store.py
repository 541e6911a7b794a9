"""The file: opened with care, written in transactions, and every error in our words."""

from __future__ import annotations

import os
import sqlite3
import time
import weakref
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from efaas.errors import (
    JournalDamagedError,
    JournalError,
    JournalMismatchError,
    JournalWriteError,
)
from efaas.journal.schema import APPLICATION_ID, MIGRATIONS, migrate, version_of

if TYPE_CHECKING:
    from efaas.journal.settings import Durability

__all__ = ["Store", "damaged"]

_HEADER = b"SQLite format 3\0"
_BUSY_SECONDS = 10.0
_GROUP_SECONDS = 1.0  # without durability, how long writes are gathered
_SYNCHRONOUS = {"full": "FULL", "normal": "NORMAL", "off": "OFF"}
_DAMAGED = ("SQLITE_CORRUPT", "SQLITE_NOTADB")

_open: weakref.WeakSet[Store] = weakref.WeakSet()
_inherited: list[sqlite3.Connection] = []


class Store:
    """An open journal file. Not for several threads at once: its owner has a lock.

    What is written is in an open transaction until ``commit``. After a fork the child may not
    use it; the parent goes on.
    """

    def __init__(self, path: Path, *, durability: Durability, read_only: bool) -> None:
        """Open the file, and create its tables if it is new.

        Args:
            path: The file.
            durability: See ``Journal``.
            read_only: Write nothing, not even its tables.

        Raises:
            JournalWriteError: It cannot be opened.
            JournalMismatchError: It is no journal, or of a newer version.
            JournalDamagedError: It is not what was written.
        """
        self.path = path
        self.is_new = False
        self._durability = durability
        self._pid = os.getpid()
        self._committed_at = time.monotonic()
        _check_file(path, read_only=read_only)
        with self.translated():
            self._connection: sqlite3.Connection | None = self._connected(read_only)
            try:
                self._prepare(self._connection, read_only=read_only)
            except BaseException:
                self._connection.close()
                raise
        _open.add(self)

    @property
    def connection(self) -> sqlite3.Connection:
        """For statements of one's own, inside ``translated``.

        Raises:
            JournalError: The store is closed, or was opened before this process was forked.
        """
        if os.getpid() != self._pid:
            raise JournalError(
                f"the journal {self.path} was opened before this process was forked, and stays "
                "with the parent; open a session of its own here, with a file of its own",
                path=str(self.path),
            )
        if self._connection is None:
            raise JournalError(f"the journal {self.path} is closed", path=str(self.path))
        return self._connection

    @property
    def is_open(self) -> bool:
        """Whether it may be used, in this process."""
        return self._connection is not None and os.getpid() == self._pid

    def read(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        """All rows of a query; what was written and not committed yet is among them."""
        with self.translated():
            return self.connection.execute(sql, values).fetchall()

    def write(self, sql: str, values: Sequence[Any] = ()) -> int:
        """Run a statement in the open transaction; returns the id of the row it inserted."""
        with self.translated():
            self._begin()
            return self.connection.execute(sql, values).lastrowid or 0

    def write_many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run a statement for each of the rows."""
        with self.translated():
            self._begin()
            self.connection.executemany(sql, rows)

    def bring_up_to_date(self) -> None:
        """Give a file of an older version the tables of this one; nothing in it is written before.

        Raises:
            JournalError: It cannot be done, and the file is as it was.
        """
        with self.translated():
            migrate(self.connection)

    def commit(self, *, synced: bool = False, within_seconds: float = 0.0) -> None:
        """Make what was written last, as far as the durability promises.

        Args:
            synced: Wait for the disk, unless nothing is to last anyway.
            within_seconds: Leave it to the next commit if the last was so short a time ago.
        """
        connection = self.connection
        if not connection.in_transaction:
            return
        now = time.monotonic()
        if self._durability == "off":
            within_seconds = _GROUP_SECONDS
        if not synced and now - self._committed_at < within_seconds:
            return
        self._committed_at = now
        with self.translated():
            if not synced or self._durability != "normal":
                connection.execute("COMMIT")
                return
            # The setting cannot change inside a transaction, so a second, empty one syncs both:
            # the log is one file, and what is on the disk of it includes all that came before.
            connection.execute("COMMIT")
            connection.execute("PRAGMA synchronous = FULL")
            try:
                connection.execute("BEGIN IMMEDIATE")
                connection.execute(
                    "INSERT INTO facts VALUES ('synced', ?) "
                    "ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                    (repr(time.time()),),
                )
                connection.execute("COMMIT")
            finally:
                self.roll_back()  # what has failed must not be hidden by the setting's refusal
                connection.execute("PRAGMA synchronous = NORMAL")

    def roll_back(self) -> None:
        """Drop what was written and not committed."""
        connection = self._connection
        if connection is not None and connection.in_transaction:
            connection.rollback()

    def close(self) -> None:
        """Commit and close. It may be called twice; in a forked child it does nothing."""
        if not self.is_open:
            return
        connection, self._connection = self._connection, None
        _open.discard(self)
        if connection is not None:
            with self.translated():
                try:
                    if connection.in_transaction:
                        connection.execute("COMMIT")
                finally:
                    connection.close()

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Entered around SQLite: its errors come out as ours."""
        try:
            yield
        except sqlite3.Error as error:
            raise _translated(error, self.path) from error
        except UnicodeDecodeError as error:  # in a text of the file
            raise damaged(self.path, str(error)) from error
        except (OverflowError, UnicodeEncodeError) as error:
            raise JournalWriteError(
                f"the journal {self.path} cannot hold what was to be written: {error}",
                path=str(self.path),
            ) from error

    def _begin(self) -> None:
        connection = self.connection
        if not connection.in_transaction:
            connection.execute("BEGIN IMMEDIATE")

    def _connected(self, read_only: bool) -> sqlite3.Connection:
        name = f"file:{quote(str(self.path))}"
        options = "?mode=rwc"
        if read_only:
            # A finished journal in a directory that cannot be written has no log to be read.
            has_log = self.path.with_name(self.path.name + "-wal").exists()
            can_share = os.access(self.path.parent, os.W_OK)
            options = "?mode=ro" if has_log or can_share else "?immutable=1"
        return sqlite3.connect(
            name + options,
            uri=True,
            timeout=_BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
        )

    def _prepare(self, connection: sqlite3.Connection, *, read_only: bool) -> None:
        version = version_of(connection)
        [application] = connection.execute("PRAGMA application_id").fetchone()
        [tables] = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        self.is_new = not tables
        if tables and application != APPLICATION_ID:
            raise JournalMismatchError(
                f"{self.path} is a database of another program, not a journal of efaas; nothing "
                "in it was changed. Give another file",
                path=str(self.path),
                what="format",
                recorded=f"application {application:#x}",
                present=f"application {APPLICATION_ID:#x}",
            )
        if version > len(MIGRATIONS):
            raise JournalMismatchError(
                f"the journal {self.path} is of format version {version}; this efaas knows "
                f"versions up to {len(MIGRATIONS)}. Open it with the efaas that wrote it, or a "
                "newer one",
                path=str(self.path),
                what="format",
                recorded=f"version {version}",
                present=f"version {len(MIGRATIONS)}",
            )
        if tables:
            found = [row[0] for row in connection.execute("PRAGMA quick_check(3)")]
            if found != ["ok"]:
                raise damaged(self.path, "; ".join(found))
        if read_only:
            if self.is_new or version < len(MIGRATIONS):
                raise JournalMismatchError(
                    f"{self.path} holds no journal of version {len(MIGRATIONS)} yet, and reading "
                    "does not write one; resume it first",
                    path=str(self.path),
                    what="format",
                    recorded=f"version {version}",
                    present=f"version {len(MIGRATIONS)}",
                )
            return
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {_SYNCHRONOUS[self._durability]}")
        if self.is_new:
            migrate(connection)


def _check_file(path: Path, *, read_only: bool) -> None:
    """Refuse, untouched, what SQLite would make sense of in its own way."""
    if path.is_dir():
        raise JournalWriteError(f"{path} is a directory, not a journal's file", path=str(path))
    try:
        with path.open("rb") as file:
            head = file.read(len(_HEADER))
    except FileNotFoundError:
        if read_only:
            raise JournalWriteError(f"there is no journal {path} to read", path=str(path)) from None
        if not path.parent.is_dir():
            raise JournalWriteError(
                f"the journal {path} cannot be written: there is no directory {path.parent}; "
                "make it first",
                path=str(path),
            ) from None
        return
    except OSError as error:
        raise JournalWriteError(
            f"the journal {path} cannot be read: {error.strerror}", path=str(path)
        ) from error
    if head and head != _HEADER:
        raise damaged(path, "it does not begin as a SQLite file does")
    if not read_only and not os.access(path, os.W_OK):
        raise JournalWriteError(
            f"the journal {path} may not be written; change its permissions, or open it with "
            "mode='read'",
            path=str(path),
        )


def _translated(error: sqlite3.Error, path: Path) -> JournalError:
    name = getattr(error, "sqlite_errorname", "") or ""
    if name.startswith(_DAMAGED):
        return damaged(path, str(error))
    reason = f"{error}" + (f" ({name})" if name else "")
    return JournalWriteError(f"the journal {path} cannot be used: {reason}", path=str(path))


def damaged(path: Path, how: str) -> JournalDamagedError:
    """The error for a file whose contents are not what was written."""
    return JournalDamagedError(
        f"the journal {path} is damaged: {how}. Nothing in it was changed; restore a copy, or "
        "move it away to begin again",
        path=str(path),
    )


def _leave_to_parent() -> None:
    """In a forked child: never close what the parent uses, not even by garbage collection."""
    _inherited.extend(store._connection for store in _open if store._connection is not None)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_parent)
