"""Trace files: JSON lines, written and read back.

The first line is the head: ``{"format": "efaas-trace", "version": 1, ...}`` with the values of the
session. Each further line is an object with ``"record"``: ``"loop"``, ``"attempt"``, ``"round"``,
``"step"``, ``"event"`` or ``"recall"``, and the fields of the dataclass of that name in
``efaas.model.trace`` or ``efaas.model.events``. A field that is left out has its default. A reader
skips fields and records that it does not know; the version grows when that would not do.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, cast, get_args, get_type_hints

from efaas.errors import InputError
from efaas.model.events import LoopEvent
from efaas.model.trace import TracedAttempt, TracedLoop, TracedRecall, TracedRound, TracedStep
from efaas.observe.trace import Trace

__all__ = ["FORMAT", "VERSION", "load_trace", "write_trace"]

FORMAT = "efaas-trace"
VERSION = 1

_RECORDS: Mapping[str, tuple[str, type]] = {
    "loop": ("loops", TracedLoop),
    "attempt": ("attempts", TracedAttempt),
    "round": ("rounds", TracedRound),
    "step": ("steps", TracedStep),
    "event": ("events", LoopEvent),
    "recall": ("recalled", TracedRecall),
}
_HEAD = ("opened_at", "taken_at", "taken_on", "seed", "tenant", "dropped")


def write_trace(path: Path, trace: Trace) -> None:
    """Write a trace as JSON lines."""
    with path.open("w", encoding="utf-8") as file:
        for line in _lines(trace):
            file.write(json.dumps(line, allow_nan=False, separators=(",", ":")) + "\n")


def load_trace(path: Any) -> Trace:
    """The trace in a file of JSON lines, as ``session.trace.save("run.jsonl")`` writes it.

    Args:
        path: The file.

    Raises:
        InputError: It is not such a file, or of a later version; the message names the line.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"there is no file {str(path)!r}: expected a trace saved as .jsonl")
    kept: dict[str, list[Any]] = {name: [] for name, _ in _RECORDS.values()}
    head: dict[str, Any] = {}
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            try:
                record = json.loads(line)
                if number == 1:
                    head = _head(record)
                elif record["record"] in _RECORDS:
                    name, kind = _RECORDS[record["record"]]
                    kept[name].append(_made(kind, record))
            except (ValueError, TypeError, KeyError, AttributeError, UnicodeError) as error:
                if isinstance(error, InputError):
                    raise InputError(f"{path}: {error}") from error
                raise InputError(
                    f"{path}, line {number}: expected a record of a trace, got {line[:60]!r} "
                    f"({type(error).__name__}: {error})"
                ) from error
    if not head:
        raise InputError(f"{path} is empty: expected a trace saved as .jsonl")
    values: dict[str, Any] = {name: tuple(records) for name, records in kept.items()}
    return Trace(**head, **values)


def _lines(trace: Trace) -> Iterator[dict[str, Any]]:
    yield {"format": FORMAT, "version": VERSION} | {name: getattr(trace, name) for name in _HEAD}
    for record, (name, kind) in _RECORDS.items():
        defaults = {each.name: each.default for each in dataclasses.fields(kind)}
        for value in getattr(trace, name):
            fields = {"record": record}
            for field, default in defaults.items():
                given = getattr(value, field)
                if given != default and not _is_nan(given):
                    fields[field] = _plain(given)
            yield fields


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def _plain(value: Any) -> Any:
    """As JSON has it; numbers that JSON does not have are null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, tuple | list):
        return [_plain(each) for each in value]
    return None if _is_nan(value) else value


def _head(record: Any) -> dict[str, Any]:
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise InputError(
            f"expected a trace: a first line with {{'format': {FORMAT!r}}}, as "
            "session.trace.save('run.jsonl') writes it"
        )
    if record.get("version") != VERSION:
        raise InputError(
            f"expected a trace of version {VERSION}, got {record.get('version')!r}: it was written "
            "by another version of efaas; read it with that one"
        )
    return {name: record[name] for name in _HEAD if name in record}


def _made(kind: type, record: Mapping[str, Any]) -> Any:
    hints = _hints(kind)
    return kind(**{name: _read(v, hints[name]) for name, v in record.items() if name in hints})


@cache
def _hints(kind: type) -> dict[str, Any]:
    """The types of a dataclass's fields."""
    hints = get_type_hints(kind)
    return {each.name: hints[each.name] for each in dataclasses.fields(kind)}


def _read(value: Any, hint: Any) -> Any:
    """A field's value: lists are tuples, and objects the dataclass that the field may hold."""
    if isinstance(value, list):
        return tuple([_read(each, hint) for each in value])
    if isinstance(value, dict):
        inner = next((each for each in get_args(hint) if dataclasses.is_dataclass(each)), None)
        return value if inner is None else _made(cast("type", inner), value)
    return value
