"""A journal's points as CSV or JSON, every float with all of its digits."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, TextIO

from efaas.journal.values import PointEstimates

if TYPE_CHECKING:
    from efaas.journal.reading import Reader, Row
    from efaas.journal.values import PointValue

__all__ = ["COLUMNS", "write_csv", "write_json"]

COLUMNS = (
    "loop",
    "step",
    "occurrence",
    "shots",
    "parameters",
    "values",
    "stds",
    "samples",
    "backend",
    "calibration_id",
    "qpu_seconds",
    "asked_at",
    "answered_at",
)
"""Of the CSV. ``parameters``, ``values`` and ``stds`` are JSON arrays of numbers, null for what was
not wanted; ``samples`` is a JSON object, for each register its width and the outcome of each shot
as an integer."""


def write_csv(reader: Reader, out: TextIO) -> None:
    """One line per point, loop by loop in the trajectory's order, guesses last."""
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in reader.rows():
        record = _record(row)
        for name in ("parameters", "values", "stds", "samples"):
            record[name] = None if record[name] is None else json.dumps(record[name])
        writer.writerow(record)


def write_json(reader: Reader, out: TextIO) -> None:
    """An object with the facts, the points, submissions, provider sessions and events."""
    events = (
        {"at": at, "kind": kind, "loop": loop, "text": text}
        for at, kind, loop, text in reader.events()
    )
    out.write('{"facts": ' + json.dumps(reader.facts()))
    for name, records in (
        ("evaluations", map(_record, reader.rows())),
        ("submissions", reader.submissions()),
        ("provider_sessions", reader.provider_sessions()),
        ("events", events),
    ):
        out.write(f',\n"{name}": [')
        for text in _separated(records):
            out.write(text)
        out.write("]")
    out.write("}\n")


def _separated(records: Iterable[dict[str, Any]]) -> Iterator[str]:
    separator = "\n"
    for record in records:
        yield separator + json.dumps(record, allow_nan=False)
        separator = ",\n"


def _record(row: Row) -> dict[str, Any]:
    values, stds, samples = _parts(row.value)
    return {
        "loop": row.loop,
        "step": row.step,
        "occurrence": row.occurrence,
        "shots": row.shots,
        "parameters": None if row.parameters is None else _numbers(row.parameters),
        "values": values,
        "stds": stds,
        "samples": samples,
        "backend": row.backend,
        "calibration_id": row.calibration_id,
        "qpu_seconds": row.qpu_seconds,
        "asked_at": row.asked_at,
        "answered_at": row.answered_at,
    }


def _parts(value: PointValue | None) -> tuple[Any, Any, Any]:
    if value is None:
        return None, None, None
    if isinstance(value, PointEstimates):
        return _numbers(value.evs.tolist()), _numbers(value.stds.tolist()), None
    samples = {
        name: {
            "num_bits": value.num_bits[name],
            "shots": [int.from_bytes(shot.tobytes(), "big") for shot in rows],
        }
        for name, rows in value.registers.items()
    }
    return None, None, samples


def _numbers(values: Iterable[float]) -> list[float | None]:
    return [value if math.isfinite(value) else None for value in values]
