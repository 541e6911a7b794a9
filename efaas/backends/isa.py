"""From an experiment to the circuit that the device runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from qiskit.circuit import ControlFlowOp, QuantumCircuit
from qiskit.exceptions import QiskitError
from qiskit.transpiler import PassManager, TranspilerError, generate_preset_pass_manager
from qiskit.transpiler.passes import Optimize1qGatesDecomposition

from efaas.errors import CircuitTooWideError, UnsupportedGateError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from qiskit.circuit import CircuitInstruction, Instruction, Qubit
    from qiskit.quantum_info import SparsePauliOp
    from qiskit.transpiler import Target

    from efaas.backends.device import Device
    from efaas.backends.experiment import Experiment

__all__ = ["Compiler", "IsaCircuit"]


@dataclass(frozen=True)
class IsaCircuit:
    """A circuit on the device's qubits.

    Attributes:
        circuit: Only instructions of the device; its width is the device's, or less where the
            device connects all qubits.
        observables: On the qubits of ``circuit``.
        layout: Physical qubit of each virtual qubit at the start.
    """

    circuit: QuantumCircuit
    observables: tuple[SparsePauliOp, ...]
    layout: tuple[int, ...]


class Compiler:
    """Compiles circuits for one device; always to the same result."""

    def __init__(self, device: Device, *, optimization_level: int, seed_transpiler: int) -> None:
        self._device = device
        self._options = {
            "optimization_level": optimization_level,
            "seed_transpiler": seed_transpiler,
        }
        self._routed: PassManager | None = None
        self._whole: PassManager | None = None
        self._bases: PassManager | None = None

    def compile(self, experiment: Experiment) -> IsaCircuit:
        """The experiment on the device's qubits.

        A circuit as wide as the device that only has its instructions is left as it is. A sample
        whose measurements are all at its end is compiled without them, so that it gets the same
        qubits as an estimate of the same circuit.

        Raises:
            CircuitTooWideError: It has more qubits than the device.
            UnsupportedGateError: A gate of it cannot be translated.
        """
        circuit = experiment.circuit
        device = self._device
        if circuit.num_qubits > device.num_qubits:
            raise CircuitTooWideError(
                f"the circuit has {circuit.num_qubits} qubits, but {device.name} has "
                f"{device.num_qubits}; use a wider backend or fewer qubits",
                num_qubits=circuit.num_qubits,
                available=device.num_qubits,
            )
        if circuit.num_qubits == device.num_qubits and _is_supported(circuit, device.target):
            return IsaCircuit(circuit, experiment.observables, tuple(range(circuit.num_qubits)))
        isa = self._measured_last(circuit) if experiment.is_sample else None
        if isa is None:
            isa = self._translate(circuit)
        if isa.layout is None:
            layout = tuple(range(circuit.num_qubits))
            laid_out = tuple(
                observable.apply_layout(list(layout), isa.num_qubits)
                for observable in experiment.observables
            )
        else:
            layout = tuple(isa.layout.initial_index_layout(filter_ancillas=True))
            laid_out = tuple(
                observable.apply_layout(isa.layout) for observable in experiment.observables
            )
        return IsaCircuit(isa, laid_out, layout)

    def basis_changes(self, qubits: Iterable[int], basis: str) -> dict[int, list[Instruction]]:
        """For each qubit the device's gates after which reading it measures X or Y.

        They are those that Qiskit's ``BackendEstimatorV2`` adds.
        """
        circuit = QuantumCircuit(self._device.num_qubits)
        for qubit in qubits:
            if basis == "Y":
                circuit.sdg(qubit)
            circuit.h(qubit)
        if self._bases is None:
            target = self._device.target
            self._bases = PassManager(
                [Optimize1qGatesDecomposition(basis=list(target.operation_names), target=target)]
            )
        changes: dict[int, list[Instruction]] = {qubit: [] for qubit in qubits}
        translated = self._bases.run(circuit)
        for instruction in translated.data:
            index = translated.find_bit(instruction.qubits[0]).index
            changes[index].append(instruction.operation)
        return changes

    def _measured_last(self, circuit: QuantumCircuit) -> QuantumCircuit | None:
        """The circuit compiled without its final measurements, which then follow.

        Returns:
            None where it has other measurements, or ends on qubits that cannot be read.
        """
        split = _split(circuit)
        if split is None:
            return None
        body, measurements = split
        isa = self._translate(body)
        ends = list(range(circuit.num_qubits))
        if isa.layout is not None:
            ends = isa.layout.final_index_layout(filter_ancillas=True)
        target = self._device.routing_target
        for qubit, clbit in measurements:
            if not target.instruction_supported("measure", (ends[qubit],)):
                return None
            isa.measure(ends[qubit], clbit)
        return isa

    def _translate(self, circuit: QuantumCircuit) -> QuantumCircuit:
        device = self._device
        if self._routed is None:
            self._routed = generate_preset_pass_manager(
                target=device.routing_target, **self._options
            )
        try:
            return self._routed.run(circuit)
        except TranspilerError:
            # A circuit that needs more connected qubits than work gets the broken ones as well.
            try:
                if self._whole is None:
                    self._whole = generate_preset_pass_manager(
                        target=device.target, **self._options
                    )
                return self._whole.run(circuit)
            except TranspilerError as error:
                gate = _untranslatable(circuit, device.target)
                what = f"the gate {gate!r}" if gate else "the circuit"
                raise UnsupportedGateError(
                    f"{device.name} cannot run {what} ({error.message}); decompose it into "
                    f"{', '.join(sorted(device.target.operation_names))} or standard gates",
                    gate=gate,
                ) from error


def _split(circuit: QuantumCircuit) -> tuple[QuantumCircuit, list[tuple[int, int]]] | None:
    """A circuit without its final measurements, and those as (qubit, classical bit), in order.

    Returns:
        None if something follows a measurement on its qubit, or outcomes may steer the circuit.
    """
    touched: set[Qubit] = set()
    kept: list[CircuitInstruction] = []
    measurements: list[tuple[int, int]] = []
    for instruction in reversed(circuit.data):
        name = instruction.operation.name
        if instruction.is_control_flow() or name == "store":
            return None
        if name == "barrier" and touched.isdisjoint(instruction.qubits):
            continue
        if name != "measure":
            kept.append(instruction)
        elif touched.isdisjoint(instruction.qubits):
            [qubit], [clbit] = instruction.qubits, instruction.clbits
            measurements.append((circuit.find_bit(qubit).index, circuit.find_bit(clbit).index))
        else:
            return None
        touched.update(instruction.qubits)
    body = circuit.copy_empty_like()
    for instruction in reversed(kept):
        body.append(instruction)
    return body, measurements[::-1]


def _is_supported(circuit: QuantumCircuit, target: Target) -> bool:
    index = {qubit: place for place, qubit in enumerate(circuit.qubits)}
    return _block_is_supported(circuit, [index[qubit] for qubit in circuit.qubits], target)


def _block_is_supported(circuit: QuantumCircuit, places: Sequence[int], target: Target) -> bool:
    place = dict(zip(circuit.qubits, places, strict=True))
    for instruction in circuit.data:
        operation = instruction.operation
        where = tuple(place[qubit] for qubit in instruction.qubits)
        if operation.name == "barrier":
            continue
        if isinstance(operation, ControlFlowOp):
            if operation.name not in target.operation_names or not all(
                _block_is_supported(block, where, target) for block in operation.blocks
            ):
                return False
        elif operation.name == "store":
            continue
        elif not target.instruction_supported(operation.name, where):
            return False
    return True


def _untranslatable(circuit: QuantumCircuit, target: Target) -> str | None:
    """The first gate that is neither an instruction of the target nor defined by others."""
    for instruction in circuit.data:
        operation = instruction.operation
        if operation.name in target.operation_names or operation.name == "barrier":
            continue
        if isinstance(operation, ControlFlowOp):
            inner = [_untranslatable(block, target) for block in operation.blocks]
            found = next((name for name in inner if name), None)
            if found or operation.name not in target.operation_names:
                return found or str(operation.name)
            continue
        try:
            definition = operation.definition
        except (QiskitError, AttributeError):
            definition = None
        if definition is None:
            return str(operation.name)
        inner_name = _untranslatable(definition, target)
        if inner_name is not None and inner_name == operation.name:
            return str(operation.name)
        if inner_name is not None and not instruction.is_standard_gate():
            return inner_name
    return None
