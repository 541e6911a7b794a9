"""Devices whose calibration changes: drawn from the fitted process, or replayed from a record."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from datetime import timedelta
from hashlib import blake2b
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from efaas.backends.drifting_numbers import (
    DAY_SECONDS,
    check_seconds,
    is_finite,
    moved_by,
    moving_numbers,
    places_of,
)
from efaas.backends.recorded_drift import RecordedDrift
from efaas.errors import InputError
from efaas.model.drift import DEAD_GATES, FLUCTUATIONS, expected
from efaas.model.quantities import is_count

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from efaas.backends.device import Device, Number
    from efaas.clock import Clock

__all__ = [
    "CalibrationSeries",
    "Drift",
    "DriftSource",
    "DriftingDevice",
    "RecordedDrift",
    "drift_of",
    "expected_device",
]


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
        if not is_count(self.seed, 0):
            raise InputError(f"seed must be an integer, 0 or more, got {self.seed!r}")
        check_seconds(self.every_seconds)
        if not (is_finite(self.scale) and self.scale >= 0):
            raise InputError(f"scale must be finite and 0 or more, got {self.scale!r}")

    def series(self, device: Device) -> CalibrationSeries:
        """The calibrations of a device.

        Raises:
            InputError: Its noise is not that of a target.
        """
        return _Walk(self, device)


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
    if isinstance(spec, Integral):
        return Drift(seed=int(spec))
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
        self._shipped = moving_numbers(device)
        self._places = places_of(self._shipped)
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
        return moved_by(self._shipped, factors)

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
