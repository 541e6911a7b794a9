"""What a journal is of: the facts that its values depend on, and the loops in it."""

from __future__ import annotations

import json
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from efaas.errors import JournalMismatchError
from efaas.journal.store import damaged
from efaas.model.record import LoopRecord
from efaas.policies.resuming import Difference, Facts, difference, foreign_problem

if TYPE_CHECKING:
    from efaas.journal.store import Store

__all__ = ["Identity", "installed_version", "program"]


class Identity:
    """Knows what a journal is of. Writing, and one thread at a time, is its book's business.

    Attributes:
        facts: What its values depend on; None for a new one.
        loops: What is recorded of each loop, by name.
        loop_ids: Their numbers in the file.
        has_opened: Whether this session has opened a loop.
    """

    def __init__(self, store: Store) -> None:
        """Read it from the file.

        Raises:
            JournalDamagedError: It makes no sense.
        """
        self._store = store
        self.facts: Facts | None = None
        self.loops: dict[str, LoopRecord] = {}
        self.loop_ids: dict[str, int] = {}
        self.has_opened = False
        try:
            self._read(store)
        except (ValueError, KeyError, TypeError) as error:
            raise damaged(store.path, f"what it is of cannot be read ({error})") from error
        self._problems = frozenset(record.fingerprint for record in self.loops.values())

    def require_same(self, present: Facts) -> None:
        """See that the journal may be resumed by this session.

        Raises:
            JournalMismatchError: It may not; the message says what differs.
        """
        if self.facts is not None:
            used = {record.backend for record in self.loops.values()}
            self._refuse(difference(self.facts, present, used))

    def require_problem(self, name: str, fingerprint: str) -> None:
        """See that a loop may be opened.

        Raises:
            JournalMismatchError: It is of another problem than the journal's.
        """
        is_first = not self.has_opened
        self._refuse(foreign_problem(name, fingerprint, self._problems, is_first=is_first))

    def begin(self, present: Facts) -> None:
        """Write down what a new journal is of."""
        for name, value in (
            ("rules", str(present.rules)),
            ("seed", str(present.seed)),
            ("backends", json.dumps(present.backends)),
            ("created_by", f"efaas {installed_version()}"),
            ("created_at", repr(time.time())),
            ("program", program()),
        ):
            self._store.write("INSERT INTO facts VALUES (?, ?)", (name, value))
        self.facts = present

    def put(self, record: LoopRecord) -> None:
        """Write down a loop that is new, or where it is now."""
        known = self.loops.get(record.name)
        if known == record:
            return
        if known is not None:
            self._store.write(
                "UPDATE loops SET backend = ?, calibration_id = ? WHERE name = ?",
                (record.backend, record.calibration_id, record.name),
            )
        else:
            self.loop_ids[record.name] = self._store.write(
                "INSERT INTO loops VALUES (NULL, ?, ?, ?, ?, ?, ?)",
                (
                    record.name,
                    record.fingerprint,
                    record.backend,
                    record.calibration_id,
                    json.dumps(record.parameter_names),
                    time.time(),
                ),
            )
        self.loops[record.name] = record

    def _read(self, store: Store) -> None:
        facts = dict(store.read("SELECT name, value FROM facts"))
        if "rules" in facts:
            backends = tuple(json.loads(facts["backends"]))
            self.facts = Facts(int(facts["rules"]), int(facts["seed"]), backends)
        for number, name, fingerprint, backend, calibration_id, names in store.read(
            "SELECT id, name, fingerprint, backend, calibration_id, parameter_names FROM loops"
        ):
            self.loop_ids[name] = number
            self.loops[name] = LoopRecord(
                name, fingerprint, backend, calibration_id, tuple(json.loads(names))
            )

    def _refuse(self, found: Difference | None) -> None:
        if found is None:
            return
        path = str(self._store.path)
        raise JournalMismatchError(
            f"the journal {path} has {found.recorded}, but this session has {found.present}: "
            f"{found.remedy}",
            path=path,
            what=found.what,
            recorded=found.recorded,
            present=found.present,
        )


def program() -> str:
    """The name of the script that runs."""
    return Path(sys.argv[0] or "python").name


def installed_version() -> str:
    """Of efaas."""
    try:
        return version("efaas")
    except PackageNotFoundError:  # not installed, only on the path
        return "of unknown version"
