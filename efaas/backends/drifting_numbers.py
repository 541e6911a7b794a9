"""The numbers of a device that drift, and where each of them belongs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeAlias

from efaas.backends.device import BROKEN
from efaas.backends.noise_lowering import TargetNoise
from efaas.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from efaas.backends.device import Device, Number
    from efaas.model.drift import Quantity

__all__ = [
    "DAY_SECONDS",
    "LEAST_SECONDS",
    "Place",
    "check_seconds",
    "is_finite",
    "moved_by",
    "moving_numbers",
    "place_of",
    "places_of",
]

DAY_SECONDS = 86400.0
LEAST_SECONDS = 0.01
"""Between two calibrations; with fewer, drawing them would not keep up with the clock."""

Place: TypeAlias = "tuple[Quantity, tuple[int, ...]]"
"""What moves as one: all numbers of one kind on the same qubits, in whatever order."""


def is_finite(value: Any) -> bool:
    """Whether it is a number, and neither NaN nor infinite."""
    return isinstance(value, (int, float)) and math.isfinite(value)


def check_seconds(seconds: Any) -> None:
    """Raise ``InputError`` unless so many seconds may lie between two calibrations."""
    if not (is_finite(seconds) and seconds >= LEAST_SECONDS):
        raise InputError(
            f"every_seconds must be finite and at least {LEAST_SECONDS}, got {seconds!r}"
        )


def moving_numbers(device: Device) -> dict[Number, float]:
    """The device's numbers, if its noise follows from them."""
    if not isinstance(device.noise, TargetNoise):
        raise InputError(
            f"drift moves the numbers of a device's target, but {device.name} has none that its "
            "noise is made of; use a fake device such as 'fake_torino', or a BackendV2"
        )
    return device.numbers()


def place_of(number: Number) -> Place:
    """Where a number belongs."""
    return number.quantity, tuple(sorted(number.qubits))


def places_of(numbers: Iterable[Number]) -> list[Place]:
    """Where the numbers belong, each place once, in order."""
    return sorted({place_of(number) for number in numbers})


def moved_by(
    numbers: Mapping[Number, float], factors: Mapping[Place, float]
) -> dict[Number, float]:
    """The numbers times their places' factors, within what is possible."""
    moved: dict[Number, float] = {}
    for number, value in numbers.items():
        factor = factors.get(place_of(number), 1.0)
        is_rate = number.quantity not in ("t1", "t2")
        if value == 0 or (is_rate and value >= BROKEN):
            moved[number] = value
        elif factor == math.inf:
            moved[number] = 1.0
        else:
            moved[number] = min(value * factor, max(0.5, value)) if is_rate else value * factor
    return moved
