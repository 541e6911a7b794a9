"""The file: who may have it, what it survives, and what it refuses."""

from __future__ import annotations

import gc
import multiprocessing
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit.circuit.library import efficient_su2

import efaas
from efaas.errors import (
    ClosedError,
    InputError,
    JournalDamagedError,
    JournalError,
    JournalHeldError,
    JournalMismatchError,
    JournalWriteError,
)
from efaas.journal.schema import APPLICATION_ID, MIGRATIONS, migrate, version_of
from efaas.journal.store import Store
from efaas.testing import FakeBackend

ANSATZ = efficient_su2(1, reps=0)
POINTS = [np.full(2, 0.1 * k) for k in range(12)]


def values(journal: Any, points: Any = POINTS, **session: Any) -> tuple[list[float], int]:
    """The values at some points, and how many of them had to be run."""
    device = session.pop("device", None) or FakeBackend()
    with efaas.EFSession(device, journal=journal, **({"seed": 2} | session)) as opened:
        energy = opened.objective(ANSATZ, "Z")
        found = [energy(point) for point in points]
    return found, sum(device.rounds)


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    path = tmp_path / "run.efaas"
    values(path)
    return path


EXPECTED = values(None)[0]


# Who may have it.


def test_a_second_session_is_refused_and_told_who_has_it(tmp_path: Path) -> None:
    path = tmp_path / "run.efaas"
    with (
        efaas.EFSession(FakeBackend(), journal=path),
        pytest.raises(JournalHeldError, match=f"another session of this process.*{os.getpid()}"),
    ):
        efaas.EFSession(FakeBackend(), journal=path)
    with efaas.EFSession(FakeBackend(), journal=path):
        pass


def test_a_second_process_is_refused_and_told_who_has_it(tmp_path: Path) -> None:
    path = tmp_path / "run.efaas"
    code = (
        "import sys; from pathlib import Path; from efaas.journal.lock import WriterLock\n"
        "lock = WriterLock(Path(sys.argv[1])); print('has it', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"has it\n"
        with pytest.raises(JournalHeldError, match=f"pid {holder.pid} on") as caught:
            efaas.EFSession(FakeBackend(), journal=path)
        assert "mode='read'" in str(caught.value)
        holder.kill()  # and a holder that is gone holds nothing
        holder.wait()
        assert values(path)[0] == EXPECTED
    assert not path.with_name("run.efaas-lock").exists()


def test_a_session_that_nobody_closed_lets_its_journal_go(tmp_path: Path) -> None:
    path = tmp_path / "run.efaas"
    session = efaas.EFSession(FakeBackend(), seed=2, journal=path)
    del session
    gc.collect()
    assert values(path)[0] == EXPECTED


def test_a_session_that_could_not_be_opened_holds_no_journal(tmp_path: Path) -> None:
    path = tmp_path / "run.efaas"
    with pytest.raises(InputError):
        efaas.EFSession([], journal=path)
    assert values(path)[0] == EXPECTED


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # fork beside threads: 3.12
def test_a_forked_child_may_not_use_it_and_does_it_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "run.efaas"
    with efaas.EFSession(FakeBackend(), seed=2, journal=path) as session:
        energy = session.objective(ANSATZ, "Z")
        first = energy(POINTS[0])
        child = multiprocessing.get_context("fork").Process(target=_use, args=(session, path))
        child.start()
        child.join(60)
        assert child.exitcode == 0
        assert [first, *(energy(point) for point in POINTS[1:])] == EXPECTED
    assert values(path) == (EXPECTED, 0)


def _use(session: efaas.EFSession, path: Path) -> None:
    with pytest.raises(ClosedError, match="forked"):
        session.objective(ANSATZ, "Z")
    with pytest.raises(JournalHeldError, match="pid"):
        efaas.EFSession(FakeBackend(), journal=path)


# What it refuses.


def test_another_seed_is_refused(journal: Path) -> None:
    before = journal.read_bytes()
    with pytest.raises(JournalMismatchError, match=r"seed 2.*seed 3") as caught:
        values(journal, seed=3)
    assert caught.value.what == "seed"
    assert journal.read_bytes() == before
    assert [path.name for path in journal.parent.iterdir()] == [journal.name]


def test_another_device_is_refused(journal: Path) -> None:
    before = journal.read_bytes()
    with pytest.raises(JournalMismatchError, match=r"loops on fake.*backends other") as caught:
        values(journal, device=FakeBackend("other"))
    assert caught.value.what == "backends"
    assert journal.read_bytes() == before


def test_another_problem_is_refused_unless_the_recorded_one_came_first(journal: Path) -> None:
    with efaas.EFSession(FakeBackend(), journal=journal) as session:
        with pytest.raises(JournalMismatchError, match="circuit or observable") as caught:
            session.objective(ANSATZ, "X")
        assert caught.value.what == "problem"
        energy = session.objective(ANSATZ, "Z")
        session.objective(ANSATZ, "X")  # after those that were there, further ones are welcome
        assert energy(POINTS[0]) == EXPECTED[0]


def test_values_by_other_rules_are_refused(journal: Path) -> None:
    edit(journal, "UPDATE facts SET value = '0' WHERE name = 'rules'")
    with pytest.raises(JournalMismatchError, match=r"rules 0.*rules 1"):
        values(journal)


def test_a_newer_format_is_refused(journal: Path) -> None:
    edit(journal, f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    with pytest.raises(JournalMismatchError, match=f"version {len(MIGRATIONS) + 1}"):
        values(journal)


def test_an_existing_journal_is_not_begun_anew(journal: Path) -> None:
    with pytest.raises(JournalMismatchError, match="already"):
        values(efaas.Journal(journal, mode="new"))
    assert values(efaas.Journal(journal.with_name("new"), mode="new"))[0] == EXPECTED


@pytest.mark.parametrize("content", [b"not a database", b"\0" * 5000, b"SQLite format 3\0" * 300])
def test_a_file_of_another_kind_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    with pytest.raises(JournalDamagedError, match="Nothing in it was changed"):
        values(path)
    assert path.read_bytes() == content


def test_a_database_of_another_program_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "theirs.db"
    edit(path, "CREATE TABLE theirs (x)")
    content = path.read_bytes()
    with pytest.raises(JournalMismatchError, match="another program"):
        values(path)
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("given", "message"),
    [(3, "a path"), ("", "name of a file"), ("a\0b", "NUL"), (b"bytes", "a path")],
)
def test_what_is_no_journal_is_refused(given: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        efaas.EFSession(FakeBackend(), journal=given)


@pytest.mark.parametrize("setting", ["durability", "mode", "on_failure"])
def test_an_unknown_setting_is_refused(setting: str) -> None:
    with pytest.raises(InputError, match=f"{setting} must be one of"):
        efaas.Journal("a.efaas", **{setting: "perhaps"})


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(JournalWriteError, match=r"no directory.*nowhere"):
        values(tmp_path / "nowhere" / "run.efaas")
    with pytest.raises(JournalWriteError, match="is a directory"):
        values(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everything")
def test_a_file_that_may_not_be_written_is_named(journal: Path) -> None:
    journal.chmod(0o444)
    with pytest.raises(JournalWriteError, match="may not be written"):
        values(journal)
    assert values(efaas.Journal(journal, mode="read")) == (EXPECTED, 0)


# What it survives.


@settings(max_examples=15)
@given(where=st.floats(0, 1), garbage=st.binary(max_size=200))
def test_a_torn_last_write_is_recovered(
    tmp_path_factory: pytest.TempPathFactory, where: float, garbage: bytes
) -> None:
    """Of a log that was cut off anywhere, and goes on in garbage, a beginning is there."""
    directory = tmp_path_factory.mktemp("torn")
    path, copy = directory / "run.efaas", directory / "copy.efaas"
    with efaas.EFSession(FakeBackend(), seed=2, journal=path) as session:
        energy = session.objective(ANSATZ, "Z")
        for point in POINTS:
            energy(point)
        shutil.copy(path, copy)
        log = (directory / "run.efaas-wal").read_bytes()
    (directory / "copy.efaas-wal").write_bytes(log[: int(where * len(log))] + garbage)
    found, ran = values(copy)
    assert found == EXPECTED
    assert 0 <= ran <= len(POINTS)
    assert values(copy) == (EXPECTED, 0)


@settings(max_examples=25)
@given(data=st.data())
def test_a_damaged_file_gives_no_wrong_value(
    tmp_path_factory: pytest.TempPathFactory, data: Any
) -> None:
    """Whatever bytes change: the values are right, or the journal is refused."""
    path = tmp_path_factory.mktemp("damaged") / "run.efaas"
    values(path)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    with suppress(JournalError):
        found, _ = values(path)
        assert found == EXPECTED


def test_a_changed_value_is_found_out(journal: Path) -> None:
    edit(journal, "UPDATE evaluations SET value = (SELECT value FROM evaluations WHERE step = 0)")
    with pytest.raises(JournalDamagedError, match="not what was written"):
        values(journal)


@pytest.mark.parametrize("durability", ["full", "normal"])
def test_a_value_is_in_the_file_before_it_is_delivered(tmp_path: Path, durability: Any) -> None:
    """What another process would find there, had this one been killed at that instant."""
    path = tmp_path / "run.efaas"
    seen: list[int] = []
    looked = threading.Semaphore(0)

    def look(_: Any) -> None:
        with closing(sqlite3.connect(path)) as other:
            sql = "SELECT count(*) FROM evaluations WHERE value IS NOT NULL"
            seen.append(other.execute(sql).fetchone()[0])
        looked.release()

    device = FakeBackend(manual=True)
    settings = efaas.Journal(path, durability=durability)
    with efaas.EFSession(device, seed=2, journal=settings) as session:
        [[level]] = session._book._store.read("PRAGMA synchronous")
        assert level == {"full": 2, "normal": 1}[durability]
        energy = session.objective(ANSATZ, "Z")
        for point in POINTS[:3]:
            future = energy.submit(point)
            future.add_done_callback(look)
            device.release()
            assert looked.acquire(timeout=60)
    assert seen == [1, 2, 3]


def test_without_durability_all_is_there_after_a_clean_end(tmp_path: Path) -> None:
    path = tmp_path / "run.efaas"
    values(efaas.Journal(path, durability="off"))
    assert values(path) == (EXPECTED, 0)


def test_a_full_disk_stops_the_run_after_what_was_computed(tmp_path: Path) -> None:
    path = tmp_path / "run.efaas"
    device = FakeBackend()
    found = []
    with efaas.EFSession(device, seed=2, journal=path) as session:
        energy = session.objective(ANSATZ, "Z")
        [[pages]] = session._book._store.read("PRAGMA page_count")
        session._book._store.read(f"PRAGMA max_page_count = {pages}")
        with suppress(JournalWriteError):
            for k in range(500):
                found.append(energy(np.full(2, 0.01 * k)))  # noqa: PERF401
        assert len(found) <= sum(device.rounds) <= len(found) + 1
        with pytest.raises(JournalWriteError, match=r"nothing more is submitted.*full"):
            energy(np.zeros(2) + 9)
    again, ran = values(path, [np.full(2, 0.01 * k) for k in range(len(found))])
    assert again == found
    assert ran < len(found)


def test_a_write_that_is_refused_while_it_is_made_last_says_so_itself(tmp_path: Path) -> None:
    """The setting of SQLite that is put back afterwards does not hide what went wrong."""

    def refuse(action: int, table: str | None, *_: str | None) -> int:
        is_refused = action == sqlite3.SQLITE_INSERT and table == "facts"
        return sqlite3.SQLITE_DENY if is_refused else sqlite3.SQLITE_OK

    with closing(Store(tmp_path / "a", durability="normal", read_only=False)) as store:
        store.write("INSERT INTO facts VALUES ('a', '1')")
        store.connection.set_authorizer(refuse)
        with pytest.raises(JournalWriteError, match="not authorized"):
            store.commit(synced=True)
        store.connection.set_authorizer(None)
        assert not store.connection.in_transaction
        assert store.read("PRAGMA synchronous") == [(1,)]
        assert store.read("SELECT value FROM facts WHERE name = 'a'") == [("1",)]


def test_a_run_may_go_on_without_its_journal(tmp_path: Path) -> None:
    settings = efaas.Journal(tmp_path / "run.efaas", on_failure="continue")
    with efaas.EFSession(FakeBackend(), seed=2, journal=settings) as session:
        energy = session.objective(ANSATZ, "Z")
        [[pages]] = session._book._store.read("PRAGMA page_count")
        session._book._store.read(f"PRAGMA max_page_count = {pages}")
        with pytest.warns(RuntimeWarning, match="goes on without its journal"):
            found = [energy(np.full(2, 0.01 * k)) for k in range(200)]
    assert found == values(None, [np.full(2, 0.01 * k) for k in range(200)])[0]


# Its format.


def test_an_older_file_is_refused_as_it_is_and_resumed_in_the_newer_format(journal: Path) -> None:
    newest = MIGRATIONS[-1]
    columns = [statement.split()[2:6:3] for statement in newest]
    for table, column in columns:
        edit(journal, f"ALTER TABLE {table} DROP COLUMN {column}")
    edit(journal, f"PRAGMA user_version = {len(MIGRATIONS) - 1}")
    before = journal.read_bytes()
    with pytest.raises(JournalMismatchError, match="seed"):
        efaas.EFSession(FakeBackend(), seed=3, journal=journal)
    assert journal.read_bytes() == before
    assert values(journal) == (EXPECTED, 0)
    with closing(sqlite3.connect(journal)) as connection:
        assert version_of(connection) == len(MIGRATIONS)


def test_an_older_file_is_brought_up_to_date_as_a_whole_or_not_at_all() -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrate(connection)
        assert version_of(connection) == len(MIGRATIONS)
        connection.execute("INSERT INTO facts VALUES ('seed', '7')")
        more = (*MIGRATIONS, ("ALTER TABLE facts ADD COLUMN note TEXT", "SELECT no_such_thing"))
        with pytest.raises(sqlite3.OperationalError):
            migrate(connection, more)
        assert version_of(connection) == len(MIGRATIONS)
        migrate(connection, (*MIGRATIONS, more[-1][:1]))
        assert version_of(connection) == len(MIGRATIONS) + 1
        assert connection.execute("SELECT * FROM facts").fetchall() == [("seed", "7", None)]
        [application] = connection.execute("PRAGMA application_id").fetchone()
        assert application == APPLICATION_ID


def edit(path: Path, sql: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(sql)
