"""A point's value as bytes, without loss: expectation values to the bit, or measured bits."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["PointEstimates", "PointSamples", "PointValue", "decoded", "encoded"]

_ESTIMATES = b"E"
_SAMPLES = b"S"
_COUNT = struct.Struct("<I")
_REGISTER = struct.Struct("<IIII")
_FLOATS = np.dtype("<f8")


@dataclass(frozen=True, slots=True, eq=False)
class PointEstimates:
    """Expectation values at one point.

    Attributes:
        evs: Shape ``(observables,)``; NaN where one was not wanted.
        stds: Their standard errors, same shape.
    """

    evs: NDArray[np.float64]
    stds: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class PointSamples:
    """Measured bits at one point.

    Attributes:
        registers: Packed outcomes of each register, ``uint8`` of shape ``(shots, bytes)``.
        num_bits: Width of each register.
    """

    registers: dict[str, NDArray[np.uint8]]
    num_bits: dict[str, int]


PointValue: TypeAlias = PointEstimates | PointSamples


def encoded(value: PointValue) -> bytes:
    """The bytes to store.

    Example:
        >>> value = PointEstimates(np.array([-0.0, 0.1]), np.array([0.0, 0.5]))
        >>> decoded(encoded(value)).evs.tolist()
        [-0.0, 0.1]
    """
    if isinstance(value, PointEstimates):
        evs = np.ascontiguousarray(value.evs, dtype=_FLOATS)
        stds = np.ascontiguousarray(value.stds, dtype=_FLOATS)
        return b"".join((_ESTIMATES, _COUNT.pack(len(evs)), evs.tobytes(), stds.tobytes()))
    parts = [_SAMPLES, _COUNT.pack(len(value.registers))]
    for name, rows in value.registers.items():
        label = name.encode()
        shots, width = rows.shape
        parts += [
            _REGISTER.pack(len(label), value.num_bits[name], shots, width),
            label,
            np.ascontiguousarray(rows, dtype=np.uint8).tobytes(),
        ]
    return b"".join(parts)


def decoded(data: bytes) -> PointValue:
    """The value that was stored.

    Raises:
        ValueError: These bytes were not written by ``encoded``.
    """
    try:
        value, end = _decoded(memoryview(data))
    except (struct.error, UnicodeDecodeError) as error:
        raise ValueError(f"no value of a point: {error}") from error
    if end != len(data):
        raise ValueError(f"no value of a point: {len(data)} bytes where {end} were expected")
    return value


def _decoded(data: memoryview) -> tuple[PointValue, int]:
    kind = bytes(data[:1])
    [count] = _COUNT.unpack_from(data, 1)
    at = 1 + _COUNT.size
    if kind == _ESTIMATES:
        end = at + 2 * count * _FLOATS.itemsize
        if end > len(data):
            raise ValueError("no value of a point: it was cut short")
        numbers = np.frombuffer(data[at:end], dtype=_FLOATS).astype(np.float64)
        return PointEstimates(numbers[:count], numbers[count:]), end
    if kind != _SAMPLES:
        raise ValueError(f"no value of a point: unknown kind {kind!r}")
    registers: dict[str, NDArray[np.uint8]] = {}
    num_bits: dict[str, int] = {}
    for _ in range(count):
        length, bits, shots, width = _REGISTER.unpack_from(data, at)
        at += _REGISTER.size
        name = bytes(data[at : at + length]).decode()
        at += length
        rows = np.frombuffer(data[at : at + shots * width], dtype=np.uint8)
        if len(rows) != shots * width:
            raise ValueError("no value of a point: it was cut short")
        at += shots * width
        registers[name] = rows.reshape(shots, width).copy()
        num_bits[name] = bits
    return PointSamples(registers, num_bits), at
