"""The whole device, as Aer simulates it: what the engine is compared with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.quantum_info import Kraus
from qiskit_aer import AerSimulator

from efaas.backends.aer import AerBackend
from efaas.backends.experiment import Experiment

DEPHASING = Kraus([np.diag([1.0, 0.0]), np.diag([0.0, 1.0])])
"""The average of a measurement over its outcomes; Aer's noise does not touch it."""


def bound_isa(
    backend: AerBackend, experiment: Experiment, slot_angles: NDArray[np.float64]
) -> QuantumCircuit:
    """The circuit that the backend runs, at one point."""
    isa = backend.isa(experiment)
    values = dict(zip(experiment.slots, slot_angles, strict=True))
    used = {parameter: values[parameter] for parameter in isa.circuit.parameters}
    return isa.circuit.assign_parameters(used)


def exact_on_whole_device(
    simulator: AerSimulator,
    backend: AerBackend,
    experiments: list[tuple[Experiment, NDArray[np.float64]]],
) -> list[NDArray[np.float64]]:
    """The expectation values of each experiment's observables, from one run on the device.

    Args:
        simulator: ``AerSimulator.from_backend`` of the device, with the density-matrix method.
        backend: Whose circuits and layouts are used.
        experiments: Each with its slot angles at one point.
    """
    circuits = []
    for experiment, angles in experiments:
        circuit = averaged(bound_isa(backend, experiment, angles))
        for index, observable in enumerate(backend.isa(experiment).observables):
            circuit.save_expectation_value(
                observable, range(circuit.num_qubits), label=str(index)
            )
        circuits.append(circuit)
    result = simulator.run(circuits, shots=1).result()
    assert result.success, result.status
    return [
        np.array([result.data(i)[str(j)] for j in range(len(experiment.observables))])
        for i, (experiment, _) in enumerate(experiments)
    ]


def averaged(circuit: QuantumCircuit) -> QuantumCircuit:
    """The circuit with the average over its measurements' outcomes in their stead."""
    result = circuit.copy_empty_like()
    for instruction in circuit.data:
        if instruction.operation.name == "measure":
            result.append(DEPHASING.to_instruction(), instruction.qubits)
        else:
            result.append(instruction)
    return result
