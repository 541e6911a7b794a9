"""Looking into a journal without taking it: what is in it, and whether it is whole."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from efaas.journal.book import checksum
from efaas.journal.store import Store
from efaas.journal.values import PointValue, decoded
from efaas.model.record import Answer

__all__ = ["Reader", "Row"]


@dataclass(frozen=True, slots=True)
class Row:
    """A point that was asked for.

    Attributes:
        loop: The loop's name.
        step: Its place in the loop's trajectory; None for a guess that nobody asked for.
        occurrence: How often it had been asked for.
        shots: Of each measurement setting; None for exact expectations.
        parameters: The user's parameters; None where there are none.
        angles: The slots' angles.
        value: What came back; None as long as nothing did.
        backend: Where it ran.
        calibration_id: The calibration that it ran under.
        qpu_seconds: What it used.
        asked_at: When it was asked for, in seconds since 1970.
        answered_at: When its value came.
    """

    loop: str
    step: int | None
    occurrence: int
    shots: int | None
    parameters: tuple[float, ...] | None
    angles: tuple[float, ...]
    value: PointValue | None
    backend: str | None
    calibration_id: str | None
    qpu_seconds: float | None
    asked_at: float
    answered_at: float | None


class Reader:
    """A journal opened for reading; somebody else may write to it meanwhile."""

    def __init__(self, path: Path) -> None:
        """Open it.

        Raises:
            JournalError: It cannot be read; the kind of error says why.
        """
        self._store = Store(path, durability="normal", read_only=True)

    def facts(self) -> dict[str, str]:
        """What the journal is of."""
        return dict(self._store.read("SELECT name, value FROM facts"))

    def loops(self) -> list[tuple[str, str, int, int]]:
        """Of each loop: its name, its backend, its points with a value, its steps."""
        return self._store.read(
            """SELECT l.name, l.backend, count(e.value), count(e.step) FROM loops l
                LEFT JOIN evaluations e ON e.loop = l.id GROUP BY l.id ORDER BY l.id"""
        )

    def counts(self) -> dict[str, int]:
        """Points by what became of them."""
        [[answered, waiting, guessed]] = self._store.read(
            """SELECT count(value), coalesce(sum(value IS NULL), 0),
                coalesce(sum(value IS NOT NULL AND step IS NULL), 0) FROM evaluations"""
        )
        return {"answered": answered, "not answered": waiting, "guessed and not used": guessed}

    def spent(self) -> tuple[float, float]:
        """QPU and CPU seconds."""
        [[qpu, cpu]] = self._store.read(
            "SELECT coalesce(sum(qpu_seconds), 0), coalesce(sum(cpu_seconds), 0) FROM evaluations"
        )
        return qpu, cpu

    def provider_spent(self) -> tuple[int, float, float]:
        """Jobs that providers have taken, their measured QPU seconds, and seconds of sessions."""
        [[jobs, qpu]] = self._store.read(
            """SELECT count(*), coalesce(sum(qpu_seconds), 0) FROM submissions
                WHERE tag IS NOT NULL AND job_id IS NOT NULL AND state != 'lost'"""
        )
        [[sessions]] = self._store.read("SELECT coalesce(sum(seconds), 0) FROM provider_sessions")
        return jobs, qpu, sessions

    def submission_states(self) -> dict[str, int]:
        """Submissions by what became of them."""
        return dict(self._store.read("SELECT state, count(*) FROM submissions GROUP BY state"))

    def provider_sessions(self) -> Iterator[dict[str, Any]]:
        """Every provider session, in the order in which they were opened."""
        columns = "id, backend, mode, opened_at, ended_at, seconds"
        for row in self._stream(f"SELECT {columns} FROM provider_sessions ORDER BY opened_at"):
            yield dict(zip(columns.split(", "), row, strict=True))

    def submissions(self) -> Iterator[dict[str, Any]]:
        """Every submission, in order."""
        columns = (
            "id, tag, job_id, backend, state, sent_at, accepted_at, ended_at, error, "
            "expected_seconds, reserved_seconds, qpu_seconds"
        )
        for row in self._stream(f"SELECT {columns} FROM submissions ORDER BY id"):
            yield dict(zip(columns.split(", "), row, strict=True))

    def events(self, last: int | None = None) -> list[tuple[float, str, str | None, str]]:
        """What happened: instant, kind, loop and text, oldest first."""
        rows = self._store.read(
            "SELECT at, kind, loop, text FROM events ORDER BY id DESC LIMIT ?",
            (-1 if last is None else last,),
        )
        return rows[::-1]

    def rows(self) -> Iterator[Row]:
        """Every point, loop by loop: those of the trajectory in its order, then the guesses."""
        for (
            loop,
            step,
            occurrence,
            shots,
            parameters,
            angles,
            value,
            *rest,
        ) in self._stream(
            """SELECT l.name, e.step, e.occurrence, e.shots, e.parameters, e.angles, e.value,
                e.backend, e.calibration_id, e.qpu_seconds, e.asked_at, e.answered_at
                FROM evaluations e JOIN loops l ON l.id = e.loop
                ORDER BY e.loop, e.step IS NULL, e.step, e.id"""
        ):
            yield Row(
                loop,
                step,
                occurrence,
                shots,
                None if parameters is None else _floats(parameters),
                _floats(angles),
                None if value is None else decoded(value),
                *rest,
            )

    def faults(self) -> list[str]:
        """What is wrong with it, in words; empty if it is whole."""
        found = [row[0] for row in self._store.read("PRAGMA integrity_check(20)")]
        faults = [] if found == ["ok"] else found
        faults += [
            f"{table} row {row} refers to a row of {other} that is not there"
            for table, row, other, _ in self._store.read("PRAGMA foreign_key_check")
        ]
        for number, key, *columns, written in self._stream(
            """SELECT id, key, value, backend, calibration_id, qpu_seconds, cpu_seconds, checksum
                FROM evaluations WHERE value IS NOT NULL"""
        ):
            answer = Answer(key, *columns)
            try:
                decoded(answer.value)
                if checksum(answer) != written:
                    faults.append(f"evaluation {number}: its value is not what was written")
            except (ValueError, TypeError) as error:
                faults.append(f"evaluation {number}: {error}")
        for name, steps, last in self._store.read(
            """SELECT l.name, count(DISTINCT e.step), max(e.step) FROM evaluations e
                JOIN loops l ON l.id = e.loop WHERE e.step IS NOT NULL GROUP BY e.loop"""
        ):
            if steps != last + 1:
                faults.append(f"loop {name}: {steps} steps, but the last one is number {last}")
        return faults

    def close(self) -> None:
        """Let go of it."""
        self._store.close()

    def __enter__(self) -> Reader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _stream(self, sql: str) -> Iterator[tuple[Any, ...]]:
        with self._store.translated():
            yield from self._store.connection.execute(sql)


def _floats(data: bytes) -> tuple[float, ...]:
    try:
        return struct.unpack(f"<{len(data) // 8}d", data)
    except struct.error as error:
        raise ValueError(f"no numbers: {error}") from error
