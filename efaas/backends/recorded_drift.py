"""Drift replayed from a recorded series of calibrations."""

from __future__ import annotations

import csv
import gzip
import math
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from efaas.backends.device import BROKEN
from efaas.backends.drifting_numbers import (
    DAY_SECONDS,
    check_seconds,
    moved_by,
    moving_numbers,
    places_of,
)
from efaas.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from efaas.backends.device import Device, Number
    from efaas.backends.drift import CalibrationSeries
    from efaas.backends.drifting_numbers import Place
    from efaas.model.drift import Quantity

__all__ = ["RecordedDrift"]


@dataclass(frozen=True, slots=True)
class RecordedDrift:
    """Drift replayed from a CSV file of calibration snapshots, plain or gzipped (``.gz``).

    Columns: ``snapshot_at`` (ISO 8601, UTC where it names no zone; one block of rows each, in
    strictly increasing order), ``quantity``, ``qubits`` (an index, or a pair ``a-b``) and
    ``value``; others are ignored. Quantities: ``T1``, ``T2``, ``readout_error``, ``sx_gate_error``
    and ``*_gate_error`` on pairs; others are ignored.

    What is replayed are ratios to the series' own median at the same place, so that a series of 7
    qubits moves a device of 133 about its own numbers: device qubit i follows the i-th qubit of the
    series, the j-th coupling the j-th pair, counted modulo their number, pairs in ascending order
    and without direction. A gate error of 0.99 and more kills the gate. A value that a snapshot
    lacks stays as it was. Calibration 0 is the device as shipped, number k the k-th snapshot; after
    the last one the series starts again.

    Attributes:
        path: The file.
        every_seconds: Time between calibrations, at least 0.01; None for the times of the series.

    Raises:
        InputError: ``every_seconds`` is out of its range.
    """

    path: str | Path
    every_seconds: float | None = None

    def __post_init__(self) -> None:
        if self.every_seconds is not None:
            check_seconds(self.every_seconds)

    def series(self, device: Device) -> CalibrationSeries:
        """The calibrations of a device; reads the file.

        Raises:
            InputError: The device's noise is not that of a target, or the file cannot be read.
        """
        return _Replay(self, device)


class _Replay:
    """A recorded series, brought onto a device."""

    def __init__(self, drift: RecordedDrift, device: Device) -> None:
        self._shipped = moving_numbers(device)
        dates, ratios = _read(Path(drift.path))
        self._ratios = ratios
        gaps = [(later - date).total_seconds() for date, later in pairwise(dates)]
        gaps = gaps or [DAY_SECONDS]
        self._gaps = [*gaps, median(gaps)]
        self._every_seconds = drift.every_seconds
        self._sources = _sources(places_of(self._shipped), ratios[-1])

    def numbers(self, number: int) -> dict[Number, float]:
        if number == 0:
            return self._shipped
        snapshot = self._ratios[(number - 1) % len(self._ratios)]
        factors = {
            place: snapshot[source] for place, source in self._sources.items() if source in snapshot
        }
        return moved_by(self._shipped, factors)

    def seconds(self, number: int) -> float:
        if self._every_seconds is not None:
            return self._every_seconds
        return self._gaps[(number - 1) % len(self._ratios)] if number else self._gaps[0]


_QUANTITIES: Mapping[str, Quantity] = {
    "T1": "t1",
    "T2": "t2",
    "readout_error": "readout_error",
    "sx_gate_error": "one_qubit_gate_error",
}


def _sources(places: Sequence[Place], recorded: Iterable[Place]) -> dict[Place, Place]:
    """Which place of the series each place of the device follows."""
    by_quantity: dict[Quantity, list[Place]] = defaultdict(list)
    for place in sorted(recorded):
        by_quantity[place[0]].append(place)
    seen: dict[Quantity, int] = defaultdict(int)
    sources: dict[Place, Place] = {}
    for place in places:
        quantity, qubits = place
        available = by_quantity[quantity]
        if available:
            index = qubits[0] if len(qubits) == 1 else seen[quantity]
            sources[place] = available[index % len(available)]
        seen[quantity] += 1
    return sources


def _read(path: Path) -> tuple[list[datetime], list[dict[Place, float]]]:
    """The dates of the snapshots, and of each the ratios to the medians; inf for a dead gate."""
    dates: list[datetime] = []
    snapshots: list[dict[Place, float]] = []
    for line, taken_at, place, value in _rows(path):
        if not dates or taken_at > dates[-1]:
            dates.append(taken_at)
            snapshots.append(dict(snapshots[-1]) if snapshots else {})
        elif taken_at < dates[-1]:
            raise InputError(
                f"{path}, line {line}: expected snapshots in increasing order, got "
                f"{taken_at.isoformat()} after {dates[-1].isoformat()}"
            )
        snapshots[-1][place] = value
    if not snapshots:
        raise InputError(
            f"{path} holds no quantity that a device can follow; expected some of "
            f"{', '.join(_QUANTITIES)} and *_gate_error on pairs"
        )
    medians = {
        place: median(
            [snapshot[place] for snapshot in snapshots if snapshot.get(place, math.inf) < math.inf]
            or [1.0]
        )
        for place in snapshots[-1]
    }
    return dates, [
        {place: _ratio(value, medians[place]) for place, value in snapshot.items()}
        for snapshot in snapshots
    ]


def _ratio(value: float, middle: float) -> float:
    return value / middle if middle else 1.0


def _rows(path: Path) -> Iterator[tuple[int, datetime, Place, float]]:
    """Line, date, place and value of each row that counts; dead gates have the value inf."""
    try:
        with (
            gzip.open(path, "rt", encoding="utf-8", newline="")
            if path.suffix == ".gz"
            else path.open(encoding="utf-8", newline="")
        ) as file:
            reader = csv.DictReader(file)
            missing = {"snapshot_at", "quantity", "qubits", "value"}.difference(
                reader.fieldnames or ()
            )
            if missing:
                raise InputError(f"{path} lacks the columns {', '.join(sorted(missing))}")
            for row in reader:
                parsed = _row(row, f"{path}, line {reader.line_num}")
                if parsed is not None:
                    yield (reader.line_num, *parsed)
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"expected a CSV file at {path}, plain or gzipped: {error}") from error


def _row(row: Mapping[str, str], where: str) -> tuple[datetime, Place, float] | None:
    try:
        qubits = tuple(sorted(int(qubit) for qubit in row["qubits"].split("-")))
        taken_at = datetime.fromisoformat(row["snapshot_at"])
        value = float(row["value"])
    except (ValueError, TypeError, AttributeError) as error:
        raise InputError(f"{where}: {error}") from error
    name = row["quantity"]
    quantity = _QUANTITIES.get(name) if len(qubits) == 1 else None
    if len(qubits) == 2 and name.endswith("_gate_error"):
        quantity = "two_qubit_gate_error"
    if quantity is None:
        return None
    is_rate = quantity not in ("t1", "t2")
    if not (value >= 0 and (value <= 1 if is_rate else value < math.inf)):
        allowed = "a rate in [0, 1]" if is_rate else "a time of 0 or more"
        raise InputError(f"{where}: expected {allowed} as {name}, got {value}")
    if quantity.endswith("gate_error") and value >= BROKEN:
        value = math.inf
    return taken_at if taken_at.tzinfo else taken_at.replace(tzinfo=UTC), (quantity, qubits), value
