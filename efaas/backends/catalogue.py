"""Devices at a glance: fake ones from the vendor's files, real ones from the service.

Fake devices are not made for it, which is slow.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from efaas.backends.runtime.connect import TimeLimits, described_devices
from efaas.backends.runtime.faults import Redactor
from efaas.backends.runtime.patience import Patience
from efaas.backends.runtime.pause import pause_on
from efaas.backends.runtime.retry import RetryPolicy
from efaas.backends.specs import fake_classes
from efaas.clock import SystemClock
from efaas.model.calibration import BROKEN

__all__ = ["DeviceSummary", "account_devices", "fake_devices"]


@dataclass(frozen=True, slots=True)
class DeviceSummary:
    """A device at a glance.

    Attributes:
        name: What a session is given.
        num_qubits: Its width.
        taken_at: When its calibration was taken; None where unknown.
        two_qubit_error: Median error of its two-qubit gates that work, of all where none does; None
            without any.
        readout_error: Median error of reading a qubit.
        t1_seconds: Median relaxation time.
    """

    name: str
    num_qubits: int
    taken_at: datetime | None = None
    two_qubit_error: float | None = None
    readout_error: float | None = None
    t1_seconds: float | None = None


def fake_devices(names: Iterable[str] | None = None) -> Iterator[DeviceSummary]:
    """The fake devices of the installed runtime client, by name.

    Args:
        names: Only these; all of them if None.
    """
    classes = fake_classes()
    for name in sorted(classes) if names is None else names:
        yield _summary(name, classes[name])


def account_devices() -> Iterator[DeviceSummary]:
    """The devices of the saved account of IBM Quantum, by name; its service is asked.

    Raises:
        AccessError: There is no account, or the service does not let it in.
        UnavailableError: The service cannot be reached.
    """
    return described_devices(
        _described,
        limits=TimeLimits(),
        redactor=Redactor(),
        patience=Patience(RetryPolicy(), pause_on(SystemClock())),
    )


def _described(device: Any) -> DeviceSummary:
    properties = device.properties()
    read = None if properties is None else properties.to_dict()
    return _summarised(str(device.name), int(device.num_qubits), read)


def _summary(name: str, device: Any) -> DeviceSummary:
    folder = Path(device.dirname)
    width = json.loads((folder / device.conf_filename).read_text(encoding="utf-8"))["n_qubits"]
    if not device.props_filename:
        return DeviceSummary(name, width)
    read = json.loads((folder / device.props_filename).read_text(encoding="utf-8"))
    return _summarised(name, width, read)


def _summarised(name: str, width: int, read: Mapping[str, Any] | None) -> DeviceSummary:
    """From a device's properties as they are written down; None where it has none."""
    if read is None:
        return DeviceSummary(name, width)
    gates = [_value(g["parameters"], "gate_error") for g in read["gates"] if len(g["qubits"]) == 2]
    working = [error for error in gates if error is not None and error < BROKEN]
    return DeviceSummary(
        name,
        width,
        taken_at=_date(read.get("last_update_date")),
        two_qubit_error=_median(working or gates),
        readout_error=_median(_value(qubit, "readout_error") for qubit in read["qubits"]),
        t1_seconds=_median(_value(qubit, "T1") for qubit in read["qubits"]),
    )


def _value(numbers: Iterable[Mapping[str, Any]], name: str) -> float | None:
    """One of several named numbers, in seconds where it is a time."""
    for number in numbers:
        if number["name"] == name:
            unit = {"us": 1e-6, "µs": 1e-6, "ns": 1e-9, "ms": 1e-3}.get(number.get("unit", ""), 1.0)
            return float(number["value"]) * unit
    return None


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None and math.isfinite(value)]
    return median(known) if known else None


def _date(written: Any) -> datetime | None:
    if isinstance(written, datetime):
        date = written
    elif isinstance(written, str):
        try:
            date = datetime.fromisoformat(written)
        except ValueError:
            return None
    else:
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)
