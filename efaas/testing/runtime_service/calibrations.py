"""The calibrations of a simulated device: its properties as the service tells of them."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from efaas.errors import InputError

__all__ = ["CalibrationState", "recalibrated"]

_ERRORS = ("readout_error", "prob_meas0_prep1", "prob_meas1_prep0", "gate_error")
_TIMES = ("T1", "T2")
_BROKEN = 0.99
_MOST_ERROR = 0.5


@dataclass(frozen=True)
class CalibrationState:
    """One calibration.

    Attributes:
        id: Its id.
        taken_at: When it was taken, timezone-aware.
        properties: As the service tells of it; do not change it.
    """

    id: str
    taken_at: datetime
    properties: dict[str, Any]

    @classmethod
    def of(cls, properties: dict[str, Any], seed: str) -> CalibrationState:
        """The calibration that properties tell of, with an id that the seed decides."""
        return cls(
            id=str(UUID(int=random.Random(seed).getrandbits(128), version=4)),
            taken_at=datetime.fromisoformat(properties["last_update_date"]),
            properties=properties,
        )


def recalibrated(
    before: CalibrationState,
    at: datetime,
    *,
    seed: str,
    spread: float,
    change: Callable[[dict[str, Any]], None] | None,
) -> CalibrationState:
    """The next calibration: every number measured anew, and dated ``at``.

    Error rates and coherence times are multiplied by log-normal factors; what is broken stays
    broken.

    Args:
        before: The calibration to start from.
        at: When the new one is taken.
        seed: Decides the factors and the id.
        spread: Standard deviation of the factors' logarithms; 0 keeps the numbers.
        change: Called with the new properties, to change them in place.

    Raises:
        InputError: ``spread`` is negative.
    """
    if not spread >= 0:
        raise InputError(f"spread must be 0 or more, got {spread!r}")
    draw = random.Random(seed)
    properties = copy.deepcopy(before.properties)
    date = at.isoformat()
    properties["last_update_date"] = date
    for qubit in properties["qubits"]:
        for entry in qubit:
            _measure(entry, date, draw, spread)
    for gate in properties["gates"]:
        for entry in gate["parameters"]:
            _measure(entry, date, draw, spread)
    for entry in properties["general"]:
        entry["date"] = date
    if change is not None:
        change(properties)
    return CalibrationState.of(properties, f"{seed}/id")


def _measure(entry: dict[str, Any], date: str, draw: random.Random, spread: float) -> None:
    entry["date"] = date
    name, value = entry["name"], entry["value"]
    if name not in _ERRORS and name not in _TIMES:
        return
    factor = draw.lognormvariate(0.0, spread)
    if name in _TIMES:
        entry["value"] = value * factor
    elif value < _BROKEN:
        entry["value"] = min(value * factor, max(value, _MOST_ERROR))
