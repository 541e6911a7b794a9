"""Devices whose calibration changes: drawn from the fitted process, or replayed from a record."""

from __future__ import annotations

import csv
import gzip
import math
import threading
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np

from efaas.backends.device import BROKEN
from efaas.backends.noise_lowering import TargetNoise
from efaas.errors import InputError
from efaas.model.drift import DEAD_GATES, FLUCTUATIONS, expected

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from efaas.backends.device import Device, Number
    from efaas.clock import Clock
    from efaas.model.drift import Quantity

__all__ = [
    "CalibrationSeries",
    "Drift",
    "DriftSource",
    "DriftingDevice",
    "RecordedDrift",
    "drift_of",
    "expected_device",
]

DAY_SECONDS = 86400.0
LEAST_SECONDS = 0.01
"""Between two calibrations; with fewer, drawing them would not keep up with the clock."""

Place: TypeAlias = "tuple[Quantity, tuple[int, ...]]"
"""What moves as one: all numbers of one kind on the same qubits, in whatever order."""


class CalibrationSeries(Protocol):
    """The calibrations of one device, by number. It may be used from several threads."""

    def numbers(self, number: int) -> dict[Number, float]:
        """The device's numbers at calibration ``number``, 1 or more; 0 is the device as shipped."""
        ...

    def seconds(self, number: int) -> float:
        """How long calibration ``number``, 0 or more, is in force."""
        ...


class DriftSource(Protocol):
    """What makes a device drift."""

    def series(self, device: Device) -> CalibrationSeries:
        """The calibrations of a device.

        Raises:
            InputError: It cannot make this device drift.
        """
        ...


@dataclass(frozen=True, slots=True)
class Drift:
    """Drift drawn from the mean-reverting process of ``efaas.model.drift``.

    Coherence times and error rates wander about the vendor's values, with jumps towards the worse;
    now and then a two-qubit gate is dead for a day or so. Calibration k of a device is a function
    of this object, of the device and its name, and of k alone. Numbers of 0 and dead gates stay.
    Errors of live gates, and of readout, rise to 0.5 at most, or to the vendor's value.

    Attributes:
        seed: Seed of the process, 0 or more. Devices of other names drift independently.
        every_seconds: Time between calibrations, at least 0.01.
        scale: Factor of all deviations of ln x; 0 leaves only dead gates.
        dead_gates: Whether gates die.

    Raises:
        InputError: A setting is out of its range.
    """

    seed: int = 0
    every_seconds: float = DAY_SECONDS
    scale: float = 1.0
    dead_gates: bool = True

    def __post_init__(self) -> None:
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or self.seed < 0:
            raise InputError(f"seed must be an integer, 0 or more, got {self.seed!r}")
        _check_seconds(self.every_seconds)
        if not (_is_finite(self.scale) and self.scale >= 0):
            raise InputError(f"scale must be finite and 0 or more, got {self.scale!r}")

    def series(self, device: Device) -> CalibrationSeries:
        """The calibrations of a device.

        Raises:
            InputError: Its noise is not that of a target.
        """
        return _Walk(self, device)


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
            _check_seconds(self.every_seconds)

    def series(self, device: Device) -> CalibrationSeries:
        """The calibrations of a device; reads the file.

        Raises:
            InputError: The device's noise is not that of a target, or the file cannot be read.
        """
        return _Replay(self, device)


def drift_of(spec: Any) -> DriftSource | None:
    """The drift that a specification means.

    Args:
        spec: None or False for none, True for ``Drift()``, a seed, the path of a recorded series,
            or anything with a method ``series``, such as a ``Drift`` or a ``RecordedDrift``.

    Raises:
        InputError: It is nothing of these.
    """
    if spec is None or spec is False:
        return None
    if spec is True:
        return Drift()
    if isinstance(spec, int):
        return Drift(seed=spec)
    if isinstance(spec, (str, Path)):
        return RecordedDrift(spec)
    if callable(getattr(spec, "series", None)) and not isinstance(spec, type):
        source: DriftSource = spec
        return source
    raise InputError(
        "drift must be True, a seed, the path of a recorded series, a Drift or a RecordedDrift; "
        f"got {spec!r} ({type(spec).__name__})"
    )


def expected_device(present: Device, shipped: Device, age_seconds: float) -> Device:
    """The device with the numbers to be expected some time after its calibration.

    Each is the value of ``efaas.model.drift.expected``: the present one, shrunk towards the shipped
    one. Rank devices and layouts by it. It takes about as long as compiling a small circuit, so
    do it when calibrations change, not at every decision.

    Args:
        present: The device under its last calibration.
        shipped: The same device as its vendor describes it, which drift reverts to.
        age_seconds: Time since the calibration, 0 or more.

    Raises:
        InputError: ``age_seconds`` is negative or not finite.
    """
    means = shipped.numbers()
    return present.recalibrated(
        {
            number: expected(value, means[number], age_seconds, number.quantity).value
            for number, value in present.numbers().items()
        },
        present.calibration.taken_at,
    )


class DriftingDevice:
    """A device with the calibration that a clock has reached. Safe to use from several threads.

    Attributes:
        shipped: The device as its vendor describes it, which is calibration number 0.
    """

    def __init__(self, shipped: Device, source: DriftSource, clock: Clock) -> None:
        """Start the series now, with the device as shipped.

        Raises:
            InputError: The source cannot make this device drift.
        """
        self.shipped = shipped
        self._series = source.series(shipped)
        self._clock = clock
        self._lock = threading.RLock()
        self._started_at = self._taken_at = clock.now()
        self._next_at = self._taken_at + self._series.seconds(0)
        self._number = 0
        self._device = shipped

    def present(self) -> Device:
        """The device under the calibration in force."""
        now = self._clock.now()
        with self._lock:
            number = self._number
            while now >= self._next_at:
                number += 1
                self._taken_at = self._next_at
                self._next_at += self._series.seconds(number)
            return self._under(number)

    def recalibrate(self) -> Device:
        """The device under the next calibration, in force from now on for its full time."""
        with self._lock:
            self.present()
            self._taken_at = self._clock.now()
            number = self._number + 1
            self._next_at = self._taken_at + self._series.seconds(number)
            return self._under(number)

    def age_seconds(self) -> float:
        """Seconds of the clock since the calibration in force was taken."""
        with self._lock:
            self.present()
            return max(0.0, self._clock.now() - self._taken_at)

    def _under(self, number: int) -> Device:
        if number != self._number:
            began = self.shipped.calibration.taken_at
            elapsed = timedelta(seconds=self._taken_at - self._started_at)
            device = self.shipped.recalibrated(
                self._series.numbers(number), None if began is None else began + elapsed
            )
            self._device.calibration.followed_by(device.calibration)
            self._device, self._number = device, number
        return self._device


class _Walk:
    """A drawn series. The state is that of the number last asked for."""

    def __init__(self, drift: Drift, device: Device) -> None:
        self._drift = drift
        self._shipped = _moving_numbers(device)
        self._places = _places(self._shipped)
        self._pairs = [len(qubits) == 2 for _, qubits in self._places]
        key = f"{drift.seed}/{device.name}/{device.calibration.id}"
        self._key = int.from_bytes(blake2b(key.encode(), digest_size=16).digest(), "little")
        step = drift.every_seconds
        by_place = [FLUCTUATIONS[quantity] for quantity, _ in self._places]
        innovations = [fluctuation.innovation(step) for fluctuation in by_place]
        self._memory = np.array([fluctuation.memory(step) for fluctuation in by_place])
        self._worse = np.array([fluctuation.worse for fluctuation in by_place])
        self._core = np.array([innovation.core for innovation in innovations])
        self._jump = np.array([innovation.jump for innovation in innovations])
        self._jump_mean = np.array([innovation.mean for innovation in innovations])
        self._jump_probability = np.array([each.jump_probability for each in innovations])
        self._lock = threading.Lock()
        self._restart()

    def numbers(self, number: int) -> dict[Number, float]:
        if number == 0:
            return self._shipped
        with self._lock:
            if number < self._number:
                self._restart()
            while self._number < number:
                self._step()
            deviations = self._drift.scale * self._deviations
            dead = self._is_dead
        factors = {
            place: math.inf if dead[index] else math.exp(deviations[index])
            for index, place in enumerate(self._places)
        }
        return _moved(self._shipped, factors)

    def seconds(self, number: int) -> float:
        return self._drift.every_seconds

    def _restart(self) -> None:
        self._number = 0
        self._deviations: NDArray[np.float64] = np.zeros(len(self._places))
        self._is_dead: NDArray[np.bool_] = np.zeros(len(self._places), dtype=np.bool_)

    def _step(self) -> None:
        count = len(self._places)
        random = np.random.default_rng([self._key, self._number + 1])
        jumps = random.random(count) < self._jump_probability
        sizes = self._jump * random.standard_exponential(count)
        shocks = self._worse * (jumps * sizes - self._jump_mean)
        core = self._core * random.standard_normal(count)
        self._deviations = self._memory * self._deviations + core + shocks
        if self._drift.dead_gates:
            luck = random.random(count)
            step = self._drift.every_seconds
            stays_dead = self._is_dead & (luck >= DEAD_GATES.heals(step))
            dies = ~self._is_dead & (luck < DEAD_GATES.dies(step))
            self._is_dead = (stays_dead | dies) & self._pairs
        self._number += 1


class _Replay:
    """A recorded series, brought onto a device."""

    def __init__(self, drift: RecordedDrift, device: Device) -> None:
        self._shipped = _moving_numbers(device)
        dates, ratios = _read(Path(drift.path))
        self._ratios = ratios
        gaps = [(later - date).total_seconds() for date, later in pairwise(dates)]
        gaps = gaps or [DAY_SECONDS]
        self._gaps = [*gaps, median(gaps)]
        self._every_seconds = drift.every_seconds
        self._sources = _sources(_places(self._shipped), ratios[-1])

    def numbers(self, number: int) -> dict[Number, float]:
        if number == 0:
            return self._shipped
        snapshot = self._ratios[(number - 1) % len(self._ratios)]
        factors = {
            place: snapshot[source] for place, source in self._sources.items() if source in snapshot
        }
        return _moved(self._shipped, factors)

    def seconds(self, number: int) -> float:
        if self._every_seconds is not None:
            return self._every_seconds
        return self._gaps[(number - 1) % len(self._ratios)] if number else self._gaps[0]


def _is_finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


def _check_seconds(seconds: Any) -> None:
    if not (_is_finite(seconds) and seconds >= LEAST_SECONDS):
        raise InputError(
            f"every_seconds must be finite and at least {LEAST_SECONDS}, got {seconds!r}"
        )


def _moving_numbers(device: Device) -> dict[Number, float]:
    """The device's numbers, if its noise follows from them."""
    if not isinstance(device.noise, TargetNoise):
        raise InputError(
            f"drift moves the numbers of a device's target, but {device.name} has none that its "
            "noise is made of; use a fake device such as 'fake_torino', or a BackendV2"
        )
    return device.numbers()


def _place(number: Number) -> Place:
    return number.quantity, tuple(sorted(number.qubits))


def _places(numbers: Iterable[Number]) -> list[Place]:
    return sorted({_place(number) for number in numbers})


def _moved(numbers: Mapping[Number, float], factors: Mapping[Place, float]) -> dict[Number, float]:
    """The numbers times their places' factors, within what is possible."""
    moved: dict[Number, float] = {}
    for number, value in numbers.items():
        factor = factors.get(_place(number), 1.0)
        is_rate = number.quantity not in ("t1", "t2")
        if value == 0 or (is_rate and value >= BROKEN):
            moved[number] = value
        elif factor == math.inf:
            moved[number] = 1.0
        else:
            moved[number] = min(value * factor, max(0.5, value)) if is_rate else value * factor
    return moved


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
