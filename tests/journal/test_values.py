"""Values on their way to the disk and back."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from efaas.journal.values import PointEstimates, PointSamples, decoded, encoded

BITS = st.lists(st.integers(0, 2**64 - 1), max_size=5)


def as_floats(bits: list[int]) -> Any:
    return np.frombuffer(struct.pack(f"<{len(bits)}Q", *bits), dtype=np.float64)


@given(BITS)
def test_every_float_comes_back_to_the_bit(bits: list[int]) -> None:
    """NaNs with payloads, both zeros and subnormal numbers included."""
    value = PointEstimates(as_floats(bits), as_floats(bits[::-1]))
    found = decoded(encoded(value))
    assert isinstance(found, PointEstimates)
    assert found.evs.tobytes() == value.evs.tobytes()
    assert found.stds.tobytes() == value.stds.tobytes()


@settings(max_examples=30)
@given(
    st.dictionaries(
        st.text(max_size=8),
        st.tuples(st.integers(1, 20), st.integers(0, 4), st.randoms(use_true_random=False)),
        max_size=3,
    )
)
def test_every_measured_bit_comes_back(registers: Any) -> None:
    rows = {
        name: np.frombuffer(random.randbytes(shots * ((bits + 7) // 8)), dtype=np.uint8).reshape(
            shots, (bits + 7) // 8
        )
        for name, (bits, shots, random) in registers.items()
    }
    num_bits = {name: bits for name, (bits, _, _) in registers.items()}
    found = decoded(encoded(PointSamples(rows, num_bits)))
    assert isinstance(found, PointSamples)
    assert found.num_bits == num_bits
    assert list(found.registers) == list(rows)
    for name, expected in rows.items():
        np.testing.assert_array_equal(found.registers[name], expected)


@given(st.binary(max_size=60))
def test_other_bytes_are_refused_or_are_a_value(data: bytes) -> None:
    try:
        value = decoded(data)
    except ValueError:
        return
    assert encoded(value) == data


@given(BITS, st.data())
def test_a_value_that_was_cut_short_is_refused(bits: list[int], data: Any) -> None:
    whole = encoded(PointEstimates(as_floats(bits), as_floats(bits)))
    with pytest.raises(ValueError, match="no value"):
        decoded(whole[: data.draw(st.integers(0, len(whole) - 1))])
