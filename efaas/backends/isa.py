"""From an experiment to the circuit that the device runs."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from qiskit.circuit import ControlFlowOp, QuantumCircuit
from qiskit.exceptions import QiskitError
from qiskit.transpiler import PassManager, TranspilerError, generate_preset_pass_manager
from qiskit.transpiler.passes import Optimize1qGatesDecomposition

from efaas.backends.fidelity import ErrorTable, OperationCounts, operations_of
from efaas.backends.layouts import Candidate, ranked_placements, transpilers_placement
from efaas.errors import CircuitTooWideError, InputError, UnsupportedGateError
from efaas.model.quantities import is_count

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from qiskit.circuit import CircuitInstruction, Instruction, Qubit
    from qiskit.quantum_info import SparsePauliOp
    from qiskit.transpiler import Target

    from efaas.backends.device import Device
    from efaas.backends.experiment import Experiment
    from efaas.backends.layouts import Placement

__all__ = ["Compiler", "IsaCircuit", "check_transpiler"]

_SEEDS = 2**63


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


@dataclass(frozen=True)
class _Routed:
    """A compiled circuit, and where its virtual qubits are.

    Attributes:
        circuit: Only instructions of the device.
        starts: Physical qubit of each virtual one at the start; None where the device connects
            all qubits, and nothing is placed.
        ends: The same at the end.
        read: Physical qubits that are read after the circuit.
        measurements: Final ones that are yet to follow, as (virtual qubit, classical bit).
    """

    circuit: QuantumCircuit
    starts: tuple[int, ...] | None
    ends: tuple[int, ...] | None
    read: tuple[int, ...]
    measurements: tuple[tuple[int, int], ...] = ()

    def at(self, placement: Placement) -> _Routed:
        """The same in another place."""
        if self.starts is None or self.ends is None or placement.is_transpilers:
            return self
        return replace(
            self,
            circuit=placement.of(self.circuit),
            starts=tuple(placement.places[qubit] for qubit in self.starts),
            ends=tuple(placement.places[qubit] for qubit in self.ends),
        )


def _stay_on_one_thread() -> None:
    """In a forked child: Qiskit's pool of threads did not come along, and it would wait for it."""
    os.environ["QISKIT_IN_PARALLEL"] = "TRUE"  # as Qiskit has it in processes of its own


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_stay_on_one_thread)


def check_transpiler(optimization_level: object, seed_transpiler: object) -> None:
    """See that Qiskit's transpiler takes them.

    Raises:
        InputError: The level is not 0 to 3, or the seed not 0 to 2**63 - 1.
    """
    if not is_count(optimization_level, 0) or optimization_level > 3:
        raise InputError(f"optimization_level must be 0 to 3, got {optimization_level!r}")
    if not is_count(seed_transpiler, 0) or seed_transpiler >= _SEEDS:
        raise InputError(
            f"seed_transpiler is a whole number, 0 to 2**63 - 1, got {seed_transpiler!r}"
        )


class Compiler:
    """Compiles circuits for one device; always to the same result.

    The transpiler routes, and from optimization level 1 on the routed circuit is then moved to
    where the device's calibration promises most (``layouts.py``).
    """

    def __init__(
        self,
        device: Device,
        *,
        optimization_level: int,
        seed_transpiler: int,
        keeps_layouts: bool = False,
    ) -> None:
        """Make a compiler; nothing is set up yet.

        Args:
            device: What it compiles for.
            optimization_level: Of the transpiler, 0 to 3.
            seed_transpiler: Seed of the transpiler.
            keeps_layouts: Whether circuits stay where the transpiler places them.
        """
        self._device = device
        self._options = {
            "optimization_level": int(optimization_level),
            "seed_transpiler": int(seed_transpiler),  # Qiskit takes no integer of NumPy's
        }
        self._moves = optimization_level > 0 and not device.is_ideal and not keeps_layouts
        self._routed: PassManager | None = None
        self._whole: PassManager | None = None
        self._bases: PassManager | None = None
        self._table: ErrorTable | None = None

    def compile(self, experiment: Experiment) -> IsaCircuit:
        """The experiment on the device's qubits.

        A circuit as wide as the device that only has its instructions is left as it is. A sample
        whose measurements are all at its end is compiled without them, so that it gets the same
        qubits as an estimate of the same circuit.

        Raises:
            CircuitTooWideError: It has more qubits than the device.
            UnsupportedGateError: A gate of it cannot be translated.
        """
        if self._is_isa(experiment):
            circuit = experiment.circuit
            return IsaCircuit(circuit, experiment.observables, tuple(range(circuit.num_qubits)))
        routed = self._transpiled(experiment)
        if self._moves:
            routed = routed.at(self._ranked(routed, self._errors())[0])
        isa = routed.circuit
        virtual = range(experiment.num_qubits)
        starts = list(virtual if routed.starts is None else routed.starts)
        ends = list(virtual if routed.ends is None else routed.ends)
        if routed.measurements:
            for qubit, clbit in routed.measurements:
                isa.measure(ends[qubit], clbit)
        laid_out = tuple(
            observable.apply_layout(ends, isa.num_qubits) for observable in experiment.observables
        )
        return IsaCircuit(isa, laid_out, tuple(starts))

    def candidates(
        self, experiment: Experiment, table: ErrorTable | None = None
    ) -> list[Candidate]:
        """Layouts of the experiment, the best first, with the fidelity expected of each.

        Every qubit of a circuit that is compiled here counts as read, whatever is observed: a
        circuit gets one layout for all observables. A circuit that is left as it is has its own
        layout only, and counts the reading of what it measures or what is observed.

        Args:
            experiment: What is to run.
            table: What can go wrong; by default what the device's calibration says. ``compile``
                goes by the calibration.

        Raises:
            CircuitTooWideError: It has more qubits than the device.
            UnsupportedGateError: A gate of it cannot be translated.
        """
        table = table or self._errors()
        if self._is_isa(experiment):
            circuit = experiment.circuit
            counts = OperationCounts.of(
                operations_of(circuit, self._device.target.dt), table, read=_observed(experiment)
            )
            layout = tuple(range(circuit.num_qubits))
            return [Candidate(layout, table.fidelity(counts), is_transpilers=False)]
        routed = self._transpiled(experiment)
        starts = range(experiment.num_qubits) if routed.starts is None else routed.starts
        return [
            Candidate(
                tuple(placement.places[qubit] for qubit in starts),
                placement.fidelity,
                placement.is_transpilers,
            )
            for placement in self._ranked(routed, table)
        ]

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

    def _is_isa(self, experiment: Experiment) -> bool:
        """Whether it is left as it is.

        Raises:
            CircuitTooWideError: It has more qubits than the device.
        """
        circuit, device = experiment.circuit, self._device
        if circuit.num_qubits > device.num_qubits:
            raise CircuitTooWideError(
                f"the circuit has {circuit.num_qubits} qubits, but {device.name} has "
                f"{device.num_qubits}; use a wider backend or fewer qubits",
                num_qubits=circuit.num_qubits,
                available=device.num_qubits,
            )
        return circuit.num_qubits == device.num_qubits and _is_supported(circuit, device.target)

    def _errors(self) -> ErrorTable:
        if self._table is None:
            self._table = ErrorTable.of(self._device.target)
        return self._table

    def _ranked(self, routed: _Routed, table: ErrorTable) -> list[Placement]:
        target = self._device.target
        if routed.ends is None or not self._moves:
            return [transpilers_placement(routed.circuit, routed.read, table, target)]
        return ranked_placements(routed.circuit, routed.read, table, target)

    def _transpiled(self, experiment: Experiment) -> _Routed:
        """The experiment's circuit as the transpiler places it, without final measurements.

        Those stay where the circuit has other measurements, or ends on qubits that cannot be
        read.
        """
        circuit = experiment.circuit
        split = _split(circuit) if experiment.is_sample else None
        if split is not None:
            body, measurements = split
            routed = self._routing(body)
            ends = routed.ends or range(circuit.num_qubits)
            target = self._device.routing_target
            if all(
                target.instruction_supported("measure", (ends[qubit],)) for qubit, _ in measurements
            ):
                return replace(routed, measurements=tuple(measurements))
        routed = self._routing(circuit)
        return replace(routed, read=()) if experiment.is_sample else routed

    def _routing(self, circuit: QuantumCircuit) -> _Routed:
        isa = self._translate(circuit)
        if isa.layout is None:
            return _Routed(isa, None, None, tuple(range(circuit.num_qubits)))
        starts = tuple(isa.layout.initial_index_layout(filter_ancillas=True))
        ends = tuple(isa.layout.final_index_layout(filter_ancillas=True))
        return _Routed(isa, starts, ends, ends)

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


def _observed(experiment: Experiment) -> list[int]:
    """The qubits that the experiment's observables act on."""
    observed: set[int] = set()
    for observable in experiment.observables:
        paulis = observable.paulis
        observed.update(np.flatnonzero((paulis.x | paulis.z).any(axis=0)).tolist())
    return sorted(observed)


def _split(circuit: QuantumCircuit) -> tuple[QuantumCircuit, list[tuple[int, int]]] | None:
    """A circuit without its final measurements, and those as (qubit, classical bit), in order.

    Returns:
        None if something but another measurement follows a measurement on its qubit, or outcomes
        may steer the circuit.
    """
    touched: set[Qubit] = set()
    changed: set[Qubit] = set()
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
            if name != "barrier":
                changed.update(instruction.qubits)
        elif changed.isdisjoint(instruction.qubits):
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
