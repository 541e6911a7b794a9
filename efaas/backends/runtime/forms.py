"""An experiment as the provider runs it: compiled once for a calibration, then only bound."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from qiskit import qpy
from qiskit.quantum_info import PauliList, SparsePauliOp

from efaas.backends.fidelity import LN_FLOOR, ErrorTable, OperationCounts, operations_of
from efaas.backends.lowering import circuit_facts
from efaas.backends.runtime.local import LocalForm
from efaas.errors import CircuitError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from qiskit import QuantumCircuit

    from efaas.backends.device import Device
    from efaas.backends.experiment import Experiment
    from efaas.backends.fidelity import Fidelity
    from efaas.backends.isa import Compiler

__all__ = ["Form"]

_ANGLE_BYTES = 11  # eight, as base64
_MOST_RZZ_ANGLE = np.pi / 2


@dataclass
class Form:
    """A compiled experiment.

    Attributes:
        kind: What is asked for.
        circuit: On the device's qubits.
        observables: Laid out with it; empty for a sample.
        layout: Physical qubit of each virtual one at the start.
        active: The device's qubits that something happens to.
        depth: Of the circuit.
        two_qubit_gates: Of the circuit.
        circuit_seconds: How long the circuit takes once.
        payload_bytes: Its size in a job.
        fidelity: How likely it runs without an error.
        has_dead_gate: Whether it needs an operation that the calibration calls broken.
        folds_angles: Whether the device takes its ZZ rotations only within a range, so that every
            point needs a circuit of its own.
        local: The same for the client's local simulation; None for a service.
        seconds: Predicted run time of a point; learned.
    """

    kind: Literal["estimate", "sample"]
    circuit: QuantumCircuit
    observables: tuple[SparsePauliOp, ...]
    layout: tuple[int, ...]
    active: tuple[int, ...]
    depth: int
    two_qubit_gates: int
    circuit_seconds: float
    payload_bytes: int
    fidelity: Fidelity
    has_dead_gate: bool
    folds_angles: bool
    local: LocalForm | None
    seconds: float = 0.0
    _settings: dict[tuple[int, ...] | None, int] = field(default_factory=dict)

    @classmethod
    def of(
        cls, experiment: Experiment, device: Device, compiler: Compiler, *, is_local: bool
    ) -> Form:
        """Compile an experiment.

        Raises:
            CircuitError: The device cannot run it.
        """
        isa = compiler.compile(experiment)
        facts = circuit_facts(isa.circuit, device.noise, experiment.is_sample)
        observed: set[int] = set()
        for observable in isa.observables:
            paulis = observable.paulis
            observed.update(np.flatnonzero((paulis.x | paulis.z).any(axis=0)).tolist())
        active = tuple(sorted(observed.union(facts.active))) or isa.layout[:1]
        table = ErrorTable.of(device.target)
        operations = operations_of(isa.circuit, device.target.dt)
        counts = OperationCounts.of(operations, table, read=sorted(observed))
        places = [*counts.gates, *[("measure", (qubit,)) for qubit in counts.readouts]]
        seconds = _longest(operations, table)
        return cls(
            kind="sample" if experiment.is_sample else "estimate",
            circuit=isa.circuit,
            observables=isa.observables,
            layout=isa.layout,
            active=active,
            depth=int(isa.circuit.depth()),
            two_qubit_gates=sum(
                count for (_, qubits), count in counts.gates.items() if len(qubits) == 2
            ),
            circuit_seconds=seconds,
            payload_bytes=_qpy_bytes(isa.circuit),
            fidelity=table.fidelity(counts),
            has_dead_gate=any(table.ln_success.get(p, 0.0) <= LN_FLOOR for p in places),
            folds_angles=not is_local and _has_open_rzz(isa.circuit),
            local=LocalForm.of(isa, active, device) if is_local else None,
        )

    @property
    def nbytes(self) -> int:
        """About what it takes in memory."""
        return 4 * self.payload_bytes + 4096

    @property
    def is_alone(self) -> bool:
        """Whether every point needs a pub of its own: one that has no parameters has one point."""
        return self.folds_angles or not self.circuit.num_parameters

    def point_bytes(self) -> int:
        """What a point adds to a job."""
        if self.folds_angles:
            return self.payload_bytes
        return _ANGLE_BYTES * len(self.circuit.parameters)

    def settings(self, wanted: tuple[int, ...] | None) -> int:
        """How many circuits are measured at a point: one for each basis, at least one."""
        if self.kind == "sample":
            return 1
        found = self._settings.get(wanted)
        if found is None:
            found = self._settings[wanted] = self._counted(wanted)
        return found

    def pub(
        self,
        experiment: Experiment,
        angles: NDArray[np.float64],
        wanted: tuple[int, ...] | None,
    ) -> tuple[Any, ...]:
        """The primitive's pub at some points.

        Args:
            experiment: Whose slots the angles are of.
            angles: Shape ``(points, slots)``; one point only where it ``is_alone``.
            wanted: Which observables; None for all.

        Returns:
            For a sample its results have the shape ``(points,)``, for an estimate
            ``(observables, points)``.
        """
        circuit, observables = self.circuit, self.observables
        if self.local is not None:
            circuit, observables = self.local.circuit, self.local.observables
        values: Any = _by_parameter(circuit, experiment, angles)
        if self.folds_angles:
            circuit = _folded(circuit, values[0])
        if not circuit.num_parameters:
            values = None
        if self.kind == "sample":
            return circuit, values
        chosen = range(len(observables)) if wanted is None else wanted
        return circuit, [[observables[index]] for index in chosen], values

    def _counted(self, wanted: tuple[int, ...] | None) -> int:
        chosen = range(len(self.observables)) if wanted is None else wanted
        labels = {
            label
            for index in chosen
            for label in self.observables[index].paulis.to_labels()
            if label.strip("I")
        }
        if not labels:
            return 1
        return len(PauliList(sorted(labels)).group_commuting(qubit_wise=True))


def _by_parameter(
    circuit: QuantumCircuit, experiment: Experiment, angles: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The angles in the order of the compiled circuit's parameters, of which there may be fewer."""
    column = {slot.name: index for index, slot in enumerate(experiment.slots)}
    columns = [column[parameter.name] for parameter in circuit.parameters]
    return np.ascontiguousarray(angles[:, columns])


def _has_open_rzz(circuit: QuantumCircuit) -> bool:
    return any(
        instruction.operation.name == "rzz" and instruction.operation.is_parameterized()
        for instruction in circuit.data
    )


def _folded(circuit: QuantumCircuit, values: NDArray[np.float64]) -> QuantumCircuit:
    """The circuit with its angles bound, and those of ZZ rotations within what hardware takes."""
    from qiskit.transpiler import PassManager
    from qiskit_ibm_runtime.transpiler.passes import FoldRzzAngle

    bound = circuit.assign_parameters(values.tolist())
    folded = PassManager([FoldRzzAngle()]).run(bound)
    for instruction in folded.data:
        if instruction.operation.name == "rzz":
            angle = float(instruction.operation.params[0])
            if not -1e-10 <= angle <= _MOST_RZZ_ANGLE + 1e-10:
                raise CircuitError(
                    f"the device takes ZZ rotations of 0 to pi/2, and one by {angle:.4f} cannot be "
                    "folded into that; make the backend without use_fractional_gates"
                )
    return folded


def _qpy_bytes(circuit: QuantumCircuit) -> int:
    """Its size in a job: compressed, then as base64; about, as the client adds to it."""
    buffer = io.BytesIO()
    qpy.dump(circuit, buffer)
    return len(buffer.getvalue()) * 4 // 3


def _longest(operations: Sequence[Any], table: ErrorTable) -> float:
    """How long the circuit takes, measurements included: the longest path."""
    ends: dict[int, float] = {}
    for name, qubits, seconds in operations:
        start = max([ends.get(qubit, 0.0) for qubit in qubits], default=0.0)
        own = 0.0 if name == "barrier" else seconds or table.seconds.get((name, qubits), 0.0)
        ends.update(dict.fromkeys(qubits, start + own))
    reading = max([s for (name, _), s in table.seconds.items() if name == "measure"], default=0.0)
    return max(ends.values(), default=0.0) + reading
