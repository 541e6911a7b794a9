"""Scenarios as TOML files, with errors that name the line."""

from __future__ import annotations

import difflib
import math
import re
import tomllib
import types
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, get_args, get_type_hints

from efaas.cloud.policies import POLICIES
from efaas.cloud.problems import BANDS, METHODS
from efaas.cloud.scenario import Scenario, check
from efaas.errors import InputError

__all__ = ["RunFile", "Workload", "read_run_file"]

_SIMULATORS = ("quick", "aer")


@dataclass(frozen=True, slots=True)
class Workload:
    """What the loops do.

    Attributes:
        trace: A file of recorded loops, relative to the scenario's; "" for none.
        band: Else problems of this band ("small", "medium", "large"), run by ``method``.
        method: The optimizer.
        simulator: "quick" for exact energies that noise shrinks, "aer" for real circuits on Aer.
        hit_rate: Else, without a band, plain steps of which this share is guessed.
        evaluation_seconds: QPU seconds of a recorded evaluation, in place of what was measured; 0
            for what was measured.
    """

    trace: str = ""
    band: str = ""
    method: str = "powell"
    simulator: str = "quick"
    hit_rate: float = 0.0
    evaluation_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class RunFile:
    """A scenario, and how it is to be run.

    Attributes:
        scenario: The cloud.
        workload: The loops.
        policies: Names of policies to compare.
        seeds: How many.
        folder: Where the file is.
    """

    scenario: Scenario
    workload: Workload
    policies: tuple[str, ...] = tuple(POLICIES)
    seeds: int = 3
    folder: Path = field(default_factory=Path)


def read_run_file(path: Path) -> RunFile:
    """Read a scenario.

    At the top stand ``policies``, ``seeds`` and the plain fields of ``Scenario``; its tables are
    ``[devices]``, ``[calibrations]``, ``[loops]``, ``[background]``, ``[provider]``,
    ``[speculation]`` and ``[workload]``. What is left out is as in the paper's experiment.

    Raises:
        InputError: It cannot be read or is not of this form; the message has the line, what was
            expected and what came.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        raise InputError(f"cannot read {path}: expected a scenario as TOML ({error})") from error
    try:
        given = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path}: not TOML: {error}") from error
    return _Reader(path, text).run_file(given)


class _Reader:
    """Turns tables into dataclasses; knows where things stand in the file."""

    def __init__(self, path: Path, text: str) -> None:
        self._path = path
        self._lines = text.splitlines()

    def run_file(self, given: dict[str, Any]) -> RunFile:
        tables = {each.name: each for each in fields(Scenario)}
        hints = get_type_hints(Scenario)
        scenario: dict[str, Any] = {}
        run: dict[str, Any] = {}
        for key, value in given.items():
            if key in ("policies", "seeds"):
                run[key] = self._run_setting(key, value)
            elif key == "workload":
                run[key] = self._workload(value)
            elif key not in tables:
                self._unknown("", key, [*tables, "policies", "seeds", "workload"])
            elif hasattr(hints[key], "__dataclass_fields__"):
                scenario[key] = self._table(key, value, hints[key])
            else:
                scenario[key] = self._value("", key, value, hints[key])
                self._checked("", key, scenario[key])
        built = self._built("", "", lambda: Scenario(**scenario))
        return RunFile(built, run.pop("workload", Workload()), **run, folder=self._path.parent)

    def _table(self, name: str, given: Any, kind: Any) -> Any:
        if not isinstance(given, dict):
            self._refuse("", name, f"a table [{name}]", given)
        hints = get_type_hints(kind)
        known = [each.name for each in fields(kind)]
        values: dict[str, Any] = {}
        for key, value in given.items():
            if key not in known:
                self._unknown(name, key, known)
            values[key] = self._value(name, key, value, hints[key])
            self._checked(name, key, values[key])
        return kind(**values)

    def _workload(self, given: Any) -> Workload:
        workload: Workload = self._table("workload", given, Workload)
        for key, names in (("band", BANDS), ("method", METHODS), ("simulator", _SIMULATORS)):
            value = getattr(workload, key)
            if value and value not in names:
                self._refuse("workload", key, f"one of {', '.join(names)}", value)
        if not 0.0 <= workload.evaluation_seconds < math.inf:
            found = workload.evaluation_seconds
            self._refuse("workload", "evaluation_seconds", "a finite number, 0 or more", found)
        if not 0.0 <= workload.hit_rate <= 1.0:
            self._refuse("workload", "hit_rate", "a share from 0 to 1", workload.hit_rate)
        return workload

    def _run_setting(self, key: str, value: Any) -> Any:
        if key == "seeds":
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                self._refuse("", key, "a whole number, 1 or more", value)
            return value
        if not isinstance(value, list) or not value:
            self._refuse("", key, "a list of policies' names", value)
        for name in value:
            if not isinstance(name, str) or name not in POLICIES:
                self._refuse("", key, f"names among {', '.join(POLICIES)}", name)
        return tuple(value)

    def _value(self, table: str, key: str, value: Any, hint: Any) -> Any:
        """The value as its field's type has it; whole numbers count as floats."""
        if hint is str and isinstance(value, str):
            return value
        if hint is int and isinstance(value, int) and not isinstance(value, bool):
            return value
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if hint is float and is_number:
            return float(value)
        if get_args(hint) and not isinstance(hint, types.UnionType):
            wanted = len(get_args(hint))
            if isinstance(value, list) and len(value) == wanted:
                return tuple([self._value(table, key, item, float) for item in value])
            self._refuse(table, key, f"a list of {wanted} numbers", value)
        expected = {str: "text", int: "a whole number", float: "a number"}
        self._refuse(table, key, expected.get(hint, "a value"), value)
        return None

    def _checked(self, table: str, key: str, value: Any) -> None:
        if isinstance(value, int | float | tuple):
            self._built(table, key, lambda: check(f"{table}.{key}" if table else key, value))

    def _built(self, table: str, key: str, build: Any) -> Any:
        try:
            return build()
        except InputError as error:
            raise InputError(f"{self._where(table, key)}: {error}") from error

    def _unknown(self, table: str, key: str, known: Iterable[str]) -> None:
        names = list(known)
        near = difflib.get_close_matches(key, names, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(names)}"
        inside = f" in [{table}]" if table else ""
        raise InputError(f"{self._where(table, key)}: unknown {key!r}{inside}; {hint}")

    def _refuse(self, table: str, key: str, expected: str, got: Any) -> None:
        name = f"{table}.{key}" if table else key
        raise InputError(f"{self._where(table, key)}: {name}: expected {expected}, got {got!r}")

    def _where(self, table: str, key: str) -> str:
        """The file, and the line that sets the key; that of the table where it is not found."""
        inside, at = "", 0
        sets_key = re.compile(rf"\s*[\"']?{re.escape(key)}[\"']?\s*=")
        # As a dotted key, or in a table on one line.
        sets_both = re.compile(
            rf"\s*[\"']?{re.escape(table)}[\"']?\s*[.=].*\b{re.escape(key)}\b[\"']?\s*="
        )
        for number, line in enumerate(self._lines, 1):
            head = re.match(r"\s*\[\s*[\"']?([^\]\s\"']+)[\"']?\s*\]", line)
            if head:
                inside = head[1]
                at = number if inside in (table, key) else at
                continue
            is_here = inside == table and sets_key.match(line)
            if key and (is_here or (not inside and table and sets_both.match(line))):
                return f"{self._path}, line {number}"
        return f"{self._path}, line {at}" if at else str(self._path)
