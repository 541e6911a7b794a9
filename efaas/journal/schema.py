"""The tables of a journal, and how those of older versions become them."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

__all__ = ["APPLICATION_ID", "MIGRATIONS", "migrate", "version_of"]

APPLICATION_ID = 0x65466153
"""In the header of the file ("eFaS"): tells a journal from other programs' databases."""

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
        """CREATE TABLE loops (
            id INTEGER PRIMARY KEY,
            name TEXT NOT NULL UNIQUE,
            fingerprint TEXT NOT NULL,
            backend TEXT NOT NULL,
            calibration_id TEXT NOT NULL,
            parameter_names TEXT NOT NULL,
            opened_at REAL NOT NULL
        )""",
        """CREATE TABLE submissions (
            id INTEGER PRIMARY KEY,
            tag TEXT UNIQUE,
            job_id TEXT,
            backend TEXT NOT NULL,
            payload TEXT NOT NULL,
            parts TEXT NOT NULL,
            state TEXT NOT NULL,
            sent_at REAL NOT NULL,
            accepted_at REAL,
            ended_at REAL,
            error TEXT
        )""",
        """CREATE TABLE evaluations (
            id INTEGER PRIMARY KEY,
            key BLOB NOT NULL,
            loop INTEGER NOT NULL REFERENCES loops (id),
            occurrence INTEGER NOT NULL,
            shots INTEGER,
            wanted TEXT,
            angles BLOB NOT NULL,
            parameters BLOB,
            asked_at REAL NOT NULL,
            step INTEGER,
            committed INTEGER NOT NULL DEFAULT 0,
            dropped INTEGER NOT NULL DEFAULT 0,
            submission INTEGER REFERENCES submissions (id),
            part INTEGER,
            row INTEGER,
            value BLOB,
            backend TEXT,
            calibration_id TEXT,
            qpu_seconds REAL,
            cpu_seconds REAL,
            answered_at REAL,
            checksum INTEGER
        )""",
        "CREATE UNIQUE INDEX keys ON evaluations (key) WHERE dropped = 0",
        "CREATE INDEX steps ON evaluations (loop, step) WHERE step IS NOT NULL",
        """CREATE INDEX waiting ON evaluations (submission)
            WHERE submission IS NOT NULL AND value IS NULL""",
        """CREATE TABLE events (
            id INTEGER PRIMARY KEY,
            at REAL NOT NULL,
            kind TEXT NOT NULL,
            loop TEXT,
            text TEXT NOT NULL
        )""",
    ),
    (
        """CREATE TABLE provider_sessions (
            id TEXT PRIMARY KEY,
            backend TEXT NOT NULL,
            mode TEXT NOT NULL,
            opened_at REAL NOT NULL,
            ended_at REAL
        ) WITHOUT ROWID""",
    ),
    (
        "ALTER TABLE submissions ADD COLUMN expected_seconds REAL",
        "ALTER TABLE submissions ADD COLUMN reserved_seconds REAL",
        "ALTER TABLE submissions ADD COLUMN is_billed INTEGER",
        "ALTER TABLE submissions ADD COLUMN qpu_seconds REAL",
        "ALTER TABLE provider_sessions ADD COLUMN seconds REAL",
    ),
)
"""The n-th takes a file from version n to n + 1; a new file begins at version 0."""


def version_of(connection: sqlite3.Connection) -> int:
    """The version of the tables in a file; 0 for none."""
    [version] = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


def migrate(
    connection: sqlite3.Connection, migrations: Sequence[Sequence[str]] = MIGRATIONS
) -> None:
    """Bring the tables to the newest version: all steps, or, if one fails, none of them.

    Args:
        connection: In autocommit mode.
        migrations: One per version.
    """
    version = version_of(connection)
    if version >= len(migrations):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statements in migrations[version:]:
            for statement in statements:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(migrations)}")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
