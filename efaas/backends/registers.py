"""Measured bits in the form in which Qiskit's ``BitArray`` keeps them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from qiskit.circuit import QuantumCircuit

__all__ = ["RegisterPacking"]

_MOST_TABLE_BITS = 12


@dataclass(frozen=True)
class RegisterPacking:
    """Which bit of an outcome goes to which bit of which classical register.

    Attributes:
        num_bits: Width of each register, in the circuit's order.
        places: ``(bit of the outcome, register, bit of the register)``; bits of registers that
            do not occur stay 0.
        num_outcome_bits: Width of the outcomes.
    """

    num_bits: dict[str, int]
    places: tuple[tuple[int, str, int], ...]
    num_outcome_bits: int

    @classmethod
    def of(cls, circuit: QuantumCircuit, bit_of_clbit: Mapping[int, int]) -> RegisterPacking:
        """The packing of a circuit's registers.

        Args:
            circuit: Whose classical registers are meant.
            bit_of_clbit: For each classical bit that is written, the outcome's bit.
        """
        clbit_at = {bit: index for index, bit in enumerate(circuit.clbits)}
        places = tuple(
            (bit_of_clbit[clbit_at[clbit]], register.name, index)
            for register in circuit.cregs
            for index, clbit in enumerate(register)
            if clbit_at[clbit] in bit_of_clbit
        )
        num_bits = {register.name: register.size for register in circuit.cregs}
        return cls(num_bits, places, 1 + max(bit_of_clbit.values(), default=-1))

    def empty(self, points: int, shots: int) -> dict[str, NDArray[np.uint8]]:
        """Registers of zeros, each of shape ``(points, shots, bytes)``."""
        return {
            name: np.zeros((points, shots, -(-width // 8)), dtype=np.uint8)
            for name, width in self.num_bits.items()
        }

    def pack(self, outcomes: NDArray[np.intp]) -> dict[str, NDArray[np.uint8]]:
        """The registers of outcomes, each of shape ``(shots, bytes)``."""
        if self.num_outcome_bits <= _MOST_TABLE_BITS:
            table = self._packed(np.arange(2**self.num_outcome_bits))
            return {name: rows[outcomes] for name, rows in table.items()}
        return self._packed(outcomes)

    def _packed(self, outcomes: NDArray[np.intp]) -> dict[str, NDArray[np.uint8]]:
        packed = {name: rows[0] for name, rows in self.empty(1, len(outcomes)).items()}
        for bit, name, index in self.places:
            value = ((outcomes >> bit) & 1).astype(np.uint8)
            # The register's bit 0 is the lowest bit of its last byte.
            packed[name][:, -1 - index // 8] |= value << (index % 8)
        return packed
