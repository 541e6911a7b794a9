"""Where circuits land on the device: an estimate and a sample of one circuit on the same qubits."""

from __future__ import annotations

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit.library import efficient_su2, qaoa_ansatz
from qiskit.primitives import BitArray
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler import CouplingMap
from qiskit_aer import AerSimulator

from efaas.backends.aer import AerBackend
from efaas.backends.experiment import Experiment
from efaas.backends.protocol import Evaluation, Outcome, Samples

RING = SparsePauliOp(["IIZZ", "IZZI", "ZZII", "ZIIZ"])
ANSATZES = {
    "efficient_su2": efficient_su2(4, reps=2),
    "efficient_su2, routed": efficient_su2(5, reps=1, entanglement="full"),
    "qaoa_ansatz": qaoa_ansatz(RING, reps=2),
}


def _counts(backend: AerBackend, circuit: QuantumCircuit, shots: int) -> dict[str, int]:
    experiment = Experiment.sample(circuit)
    values = experiment.check_values(np.zeros(0))
    evaluation = Evaluation(experiment, experiment.slot_angles(values), shots, (3,))
    [outcome] = backend.execute([evaluation])
    assert isinstance(outcome, Outcome), outcome
    assert isinstance(outcome.value, Samples)
    [(name, rows)] = outcome.value.registers.items()
    counts: dict[str, int] = BitArray(rows[0], outcome.value.num_bits[name]).get_counts()
    return counts


@pytest.mark.parametrize("device", ["fake_manila", "fake_torino"])
@pytest.mark.parametrize("name", ANSATZES)
def test_a_bound_sample_lands_where_the_estimate_of_its_ansatz_did(name: str, device: str) -> None:
    ansatz = ANSATZES[name]
    backend = AerBackend(device)
    estimated = backend.profile(Experiment.estimate(ansatz, ["Z" * ansatz.num_qubits]))
    bound = ansatz.assign_parameters(np.linspace(0.1, 1.0, ansatz.num_parameters))
    bound.measure_all()
    free = ansatz.measure_all(inplace=False)
    for circuit in (bound, free):
        sampled = backend.profile(Experiment.sample(circuit))
        assert sampled.layout == estimated.layout
        assert sampled.two_qubit_gates == estimated.two_qubit_gates


def test_final_measurements_follow_their_qubits_through_routing() -> None:
    line = AerSimulator(coupling_map=CouplingMap.from_line(7), basis_gates=["rz", "sx", "x", "cx"])
    circuit = QuantumCircuit(5, 5)
    circuit.x(0)
    for control, target in [(0, 2), (0, 4), (2, 4), (4, 1), (0, 3), (3, 1)]:
        circuit.cx(control, target)
    circuit.swap(1, 4)
    # Qubit 4 is turned twice and so off, the others are on; then 1 and 4 are swapped.
    ones = [1, 0, 1, 1, 1]
    crossed = [3, 0, 4, 1, 2]
    circuit.measure(range(5), crossed)
    expected = ["0"] * 5
    for qubit, clbit in enumerate(crossed):
        expected[4 - clbit] = str(ones[qubit])
    assert _counts(AerBackend(line), circuit, 100) == {"".join(expected): 100}


def test_a_measurement_on_the_way_is_left_where_it_is() -> None:
    circuit = QuantumCircuit(2, 2)
    circuit.x(0)
    circuit.measure(0, 0)
    circuit.cx(0, 1)
    circuit.x(0)
    circuit.measure(1, 1)
    assert _counts(AerBackend("aer"), circuit, 50) == {"11": 50}


def test_of_two_final_measurements_into_one_bit_the_last_one_counts() -> None:
    circuit = QuantumCircuit(2, 1)
    circuit.x(1)
    circuit.barrier()
    circuit.measure(0, 0)
    circuit.measure(1, 0)
    assert _counts(AerBackend("aer"), circuit, 50) == {"1": 50}
    circuit.measure(0, 0)
    assert _counts(AerBackend("aer"), circuit, 50) == {"0": 50}
