"""An experiment: what is measured, whatever device it is measured on."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np
from qiskit.circuit import ParameterVector, QuantumCircuit

from efaas.backends.angles import AngleMap
from efaas.backends.lifting import Lifting
from efaas.backends.observables import pauli_sum, pauli_sum_content
from efaas.errors import CircuitError, MeasurementError, ObservableError, ParameterError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray
    from qiskit.circuit import Parameter
    from qiskit.quantum_info import SparsePauliOp

    from efaas.backends.lifting import SlotUse

__all__ = ["Experiment"]


class Experiment:
    """A lifted circuit with its observables, or its measurements.

    Every parameterised gate angle of the user's circuit is *lifted* into an angle slot of its
    own; so are the plain angles of rotation gates where the circuit has no free parameter. Two
    experiments are equal when they measure the same at equal slot angles; how a user's parameters
    give the angles is no part of that. Immutable, picklable, safe to use from several threads.

    Attributes:
        slots: The parameters of the lifted circuit, in the order of the gates and of each gate's
            angles.
        uses: For each slot the gate that its angle goes to.
        observables: Sums of Paulis with real coefficients, as wide as the circuit, sorted by
            label; empty for a sample.
        is_sample: Whether measured bits are asked for, rather than expectation values.
        fingerprint: Digest of structure and observables; the same for the same experiment in any
            process, and independent of the names of parameters and registers.
        num_qubits: Width of the circuit.
        num_slots: Number of angle slots.
        register_names: What the circuit's classical registers are called in its samples, in their
            order.
        parameters: The user's parameters, in the order of the values' columns.
        parameter_names: Their names.
        angle_map: From the user's parameters to the slot angles.

    Example:
        >>> from qiskit.circuit import Parameter
        >>> theta = Parameter("theta")
        >>> circuit = QuantumCircuit(1)
        >>> _ = circuit.rx(2 * theta, 0)
        >>> experiment = Experiment.estimate(circuit, ["Z"])
        >>> experiment.slot_angles(experiment.check_values([0.5])).tolist()
        [[1.0]]
    """

    def __init__(
        self, circuit: QuantumCircuit, observables: tuple[SparsePauliOp, ...], *, is_sample: bool
    ) -> None:
        """Lift a circuit; ``estimate`` and ``sample`` check what goes in."""
        self._lifting = lifting = Lifting(circuit)
        self.parameters: tuple[Parameter, ...] = lifting.parameters
        self.uses: tuple[SlotUse, ...] = lifting.uses
        self.observables = observables
        self.is_sample = is_sample
        self.num_qubits: int = circuit.num_qubits
        self.register_names = tuple(register.name for register in lifting.registers)
        self.num_slots = len(lifting.uses)
        self.slots: tuple[Parameter, ...] = tuple(ParameterVector("slot", self.num_slots))
        self.parameter_names = tuple(parameter.name for parameter in self.parameters)
        self.angle_map = AngleMap.of(lifting.expressions, self.parameters)
        self.fingerprint = _fingerprint(circuit, lifting, observables, is_sample)

    @classmethod
    def estimate(cls, circuit: QuantumCircuit, observables: Sequence[Any]) -> Experiment:
        """The expectation values of the observables after the circuit.

        Args:
            circuit: Abstract or ISA. It may measure on the way, but not at its end.
            observables: At least one; each anything that ``pauli_sum`` takes, as wide as the
                circuit.

        Raises:
            CircuitError: It is no circuit, or has no qubits.
            MeasurementError: The circuit ends in measurements.
            ObservableError: An observable has another width, or a coefficient that is not real.
        """
        _check_circuit(circuit)
        operators = tuple(
            pauli_sum(observable, num_qubits=circuit.num_qubits) for observable in observables
        )
        if not operators:
            raise ObservableError("an estimate needs at least one observable, got none")
        experiment = cls(circuit, operators, is_sample=False)
        final = experiment._lifting.final_measurements()
        if final:
            raise MeasurementError(
                "a circuit whose observables are estimated must not end in measurements, but it "
                f"measures qubits {', '.join(map(str, final))} last; estimate "
                "circuit.remove_final_measurements(inplace=False) instead"
            )
        return experiment

    @classmethod
    def sample(cls, circuit: QuantumCircuit) -> Experiment:
        """The bits that the circuit's measurements leave in its classical registers.

        Raises:
            CircuitError: It is no circuit, or has no qubits.
            MeasurementError: The circuit measures nothing, or has no classical register.
        """
        _check_circuit(circuit)
        experiment = cls(circuit, (), is_sample=True)
        if not experiment._lifting.has_measurement:
            raise MeasurementError(
                "a circuit that is sampled has to measure something, but it has no measurement; "
                "add one, as in circuit.measure_all()"
            )
        if not circuit.cregs:
            raise MeasurementError(
                "a circuit that is sampled has to measure into a classical register, but its "
                "bits belong to none; use circuit.add_register(ClassicalRegister(...))"
            )
        return experiment

    @cached_property
    def circuit(self) -> QuantumCircuit:
        """The lifted circuit: one fresh parameter per slot, no global phase; do not change it."""
        return self._lifting.circuit(self.slots)

    @property
    def mixed_values(self) -> tuple[float, ...]:
        """Expectation value of each observable in the maximally mixed state."""
        return tuple(
            float(np.real(each.coeffs[~(each.paulis.x | each.paulis.z).any(axis=1)].sum()))
            for each in self.observables
        )

    @property
    def num_parameters(self) -> int:
        """Number of the user's parameters."""
        return len(self.parameter_names)

    def slot_angles(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The slot angles, shape ``(points, slots)``, each row computed from its values alone.

        Args:
            values: The user's parameters as ``check_values`` gives them, shape
                ``(points, parameters)``.

        Raises:
            ParameterError: An angle is not real and finite at one of the points.
        """
        return self.angle_map(values)

    def check_values(self, values: ArrayLike) -> NDArray[np.float64]:
        """The values as floats of shape ``(points, parameters)``.

        Args:
            values: One point (one-dimensional) or several (two-dimensional, one a row).

        Raises:
            ParameterError: They are no real numbers, not finite, or of the wrong length.
        """
        if isinstance(values, Mapping):
            raise ParameterError(
                f"{self._expectation()}, got a {type(values).__name__}; give the values in that "
                "order, as in [values[p] for p in circuit.parameters]"
            )
        try:
            array = np.asarray(values)
        except ValueError as error:
            raise ParameterError(f"{self._expectation()}, got rows of several lengths") from error
        if array.dtype.kind not in "iufb" and array.size:
            raise ParameterError(
                f"{self._expectation()}, got {array.dtype.name} values; give real numbers"
            )
        if array.ndim not in (1, 2) or array.shape[-1] != self.num_parameters:
            raise ParameterError(f"{self._expectation()}, got an array of shape {array.shape}")
        points = np.array(array, dtype=np.float64, ndmin=2)
        if not np.isfinite(points).all():
            point, index = (int(i) for i in np.argwhere(~np.isfinite(points))[0])
            raise ParameterError(
                f"parameter values have to be finite, got {points[point, index]} for "
                f"{self.parameter_names[index]!r} (index {index}"
                + (f", point {point})" if array.ndim == 2 else ")")
            )
        return points

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Experiment):
            return NotImplemented
        return self.fingerprint == other.fingerprint

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    def __repr__(self) -> str:
        what = "sample" if self.is_sample else f"{len(self.observables)} observables"
        return (
            f"<Experiment {self.fingerprint[:8]}: {self.num_qubits} qubits, "
            f"{self.num_slots} slots, {what}>"
        )

    def _expectation(self) -> str:
        count = self.num_parameters
        if not count:
            return "the circuit has no free parameter, so it takes no value"
        shown = ", ".join(self.parameter_names[:4]) + (", ..." if count > 4 else "")
        return f"expected {count} parameter value{'s' * (count > 1)} a point ({shown})"


def _check_circuit(circuit: object) -> None:
    if not isinstance(circuit, QuantumCircuit):
        raise CircuitError(f"expected a QuantumCircuit, got {type(circuit).__name__}")
    if not circuit.num_qubits:
        raise CircuitError("the circuit has no qubits; there is nothing to run")


def _fingerprint(
    circuit: QuantumCircuit,
    lifting: Lifting,
    observables: tuple[SparsePauliOp, ...],
    is_sample: bool,
) -> str:
    registers: tuple[Any, ...] = ()
    if is_sample:
        registers = tuple(
            (register.name, tuple(circuit.find_bit(bit).index for bit in register))
            for register in lifting.registers
        )
    digest = blake2b(digest_size=20)
    content = (is_sample, circuit.num_qubits, circuit.num_clbits, registers, lifting.structure)
    digest.update(repr(content).encode())
    for operator in observables:
        for part in pauli_sum_content(operator):
            digest.update(len(part).to_bytes(8, "little"))
            digest.update(part)
    return digest.hexdigest()
