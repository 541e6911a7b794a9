"""A device's circuit and noise on its active qubits only, for Aer to run.

Aer drops idle qubits from a circuit, but not from the noise model: it serialises and parses the
whole device's noise at every run. Restricted to the active qubits, the noise model holds just
what the circuit meets, so nothing changes but the time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qiskit.circuit import CircuitInstruction, ControlFlowOp, Gate, QuantumCircuit, QuantumRegister
from qiskit_aer.noise import NoiseModel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from efaas.backends.noise_lowering import NoiseSource

__all__ = ["CompactNoise", "compacted"]


def compacted(
    circuit: QuantumCircuit, active: Sequence[int], noise: CompactNoise | None
) -> QuantumCircuit:
    """The circuit on its active qubits, in ascending order; idle qubits' delays are dropped.

    Args:
        circuit: On the device's qubits.
        active: The device's qubits to keep.
        noise: Collects the noise that the circuit meets, and gives that of its delays; None for
            none.
    """
    compact = QuantumCircuit(QuantumRegister(len(active), "q"))
    compact.add_bits(circuit.clbits)
    for register in circuit.cregs:
        compact.add_register(register)
    for var in circuit.iter_declared_vars():
        compact.add_uninitialized_var(var)
    for stretch in (
        circuit.iter_declared_stretches() if hasattr(circuit, "iter_declared_stretches") else ()
    ):
        compact.add_stretch(stretch)
    place = {qubit: index for index, qubit in enumerate(active)}
    _append(circuit, compact, list(range(circuit.num_qubits)), place, noise)
    return compact


def _append(
    circuit: QuantumCircuit,
    into: QuantumCircuit,
    device_qubits: Sequence[int],
    place: dict[int, int],
    noise: CompactNoise | None,
) -> None:
    """Append a circuit's instructions.

    Args:
        circuit: Where they are read.
        into: Where they go.
        device_qubits: The device's qubit of each of the circuit's qubits.
        place: The index in ``into`` of each of the device's active qubits.
        noise: See ``compacted``.
    """
    qubit_at = dict(zip(circuit.qubits, device_qubits, strict=True))
    for instruction in circuit.data:
        operation = instruction.operation
        where = tuple(qubit_at[bit] for bit in instruction.qubits)
        kept = tuple(qubit for qubit in where if qubit in place)
        if operation.name == "barrier":
            continue
        if len(kept) < len(where):
            # Only a delay can stand on a qubit that is not active.
            continue
        if isinstance(operation, ControlFlowOp):
            blocks = []
            for block in operation.blocks:
                inner = block.copy_empty_like()
                own = {qubit: index for index, qubit in enumerate(where)}
                _append(block, inner, where, own, noise)
                blocks.append(inner)
            operation = operation.replace_blocks(blocks)
        qubits = [into.qubits[place[qubit]] for qubit in where]
        into.append(CircuitInstruction(operation, qubits, instruction.clbits))
        if noise is None:
            continue
        noise.meet(operation, where)
        if operation.name == "delay":
            error = noise.source.during(operation, where[0])
            if error is not None:
                into.append(error.to_instruction(), qubits)


class CompactNoise:
    """A noise model on the active qubits that grows as a circuit's instructions are met."""

    def __init__(self, source: NoiseSource, active: Sequence[int]) -> None:
        self.source = source
        self.model = NoiseModel()
        self._place = {qubit: index for index, qubit in enumerate(active)}
        self._met: set[tuple[str, tuple[int, ...]]] = set()
        for qubit, index in self._place.items():
            error = source.readout(qubit)
            if error is not None:
                self.model.add_readout_error(error, [index])

    def meet(self, operation: object, qubits: tuple[int, ...]) -> None:
        """Add the noise of an instruction on the device's qubits, unless it is there already."""
        name = getattr(operation, "name", "")
        if isinstance(operation, ControlFlowOp) or name == "measure":
            return
        key = (operation.label or name) if isinstance(operation, Gate) else name
        if (key, qubits) in self._met:
            return
        self._met.add((key, qubits))
        error = self.source.after(key, qubits)
        if error is not None:
            places = [self._place[qubit] for qubit in qubits]
            self.model.add_quantum_error(error, [key], places, warnings=False)
