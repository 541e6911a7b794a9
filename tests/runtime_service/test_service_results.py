"""What jobs give: the values of the simulated device, the same for the same seed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.circuit import Parameter
from qiskit.primitives import StatevectorEstimator
from qiskit.quantum_info import SparsePauliOp
from qiskit_ibm_runtime import EstimatorV2, SamplerV2
from qiskit_ibm_runtime.executor_estimator import Estimator
from qiskit_ibm_runtime.executor_sampler import Sampler
from small_jobs import DEVICE

from efaas.backends.aer import AerBackend
from efaas.backends.experiment import Experiment
from efaas.backends.protocol import Evaluation
from efaas.testing.runtime_service import RuntimeService

pytestmark = pytest.mark.filterwarnings("ignore:.*EstimatorV2.*", "ignore:.*SamplerV2.*")

THETA = Parameter("theta")
OBSERVABLE = SparsePauliOp(["IIIZZ", "IIIXI"], [1.0, 0.5])


def ansatz(num_qubits: int = 5) -> QuantumCircuit:
    """Two qubits turned and entangled, in the gates of manila."""
    circuit = QuantumCircuit(QuantumRegister(num_qubits, "q"))
    circuit.sx(0)
    circuit.rz(THETA, 0)
    circuit.sx(0)
    circuit.cx(0, 1)
    return circuit


def measured_ansatz() -> QuantumCircuit:
    circuit = ansatz()
    circuit.add_register(ClassicalRegister(2, "c"))
    circuit.measure([0, 1], [0, 1])
    return circuit


@pytest.fixture(scope="module")
def local() -> AerBackend:
    """The same device, without a service."""
    return AerBackend("fake_manila")


def read_out(local: AerBackend, angle: float) -> float:
    """What the device's readout makes of the observable, to 0.003."""
    experiment = Experiment.estimate(ansatz(), [OBSERVABLE])
    angles = experiment.slot_angles(experiment.check_values([angle]))
    [outcome] = local.execute([Evaluation(experiment, angles, 200_000, (0,))])
    return float(outcome.value.evs[0, 0])


def test_an_estimate_is_that_of_the_device_to_the_bit(device: Any, local: AerBackend) -> None:
    estimator = EstimatorV2(mode=device)
    estimator.options.experimental = {"seed_simulator": [[5, 6]]}
    angles = np.array([[0.3], [1.1]])
    [result] = estimator.run([(ansatz(), OBSERVABLE, angles, 0.05)]).result(timeout=60)

    experiment = Experiment.estimate(ansatz(), [OBSERVABLE])
    rows = experiment.slot_angles(experiment.check_values(angles))
    [expected] = local.execute([Evaluation(experiment, rows, 400, (5, 6))])
    assert result.data.evs.tolist() == expected.value.evs[:, 0].tolist()
    assert result.data.stds.tolist() == expected.value.stds[:, 0].tolist()


def test_a_sample_is_that_of_the_device_to_the_bit(device: Any, local: AerBackend) -> None:
    sampler = SamplerV2(mode=device)
    sampler.options.experimental = {"seed_simulator": [7]}
    [result] = sampler.run([(measured_ansatz(), [0.3])], shots=500).result(timeout=60)

    experiment = Experiment.sample(measured_ansatz())
    rows = experiment.slot_angles(experiment.check_values([0.3]))
    [expected] = local.execute([Evaluation(experiment, rows, 500, (7,))])
    [rows] = expected.value.registers.values()
    assert result.data.c.array.tolist() == rows[0].tolist()


def test_shapes_are_those_of_qiskits_own_primitive(device: Any) -> None:
    observables = [[OBSERVABLE], [SparsePauliOp("IIIIZ")], [SparsePauliOp("IIIZI")]]
    pub = (ansatz(), observables, np.linspace(0.0, 1.0, 4).reshape(4, 1), 0.1)
    [expected] = StatevectorEstimator().run([pub]).result()
    [result] = EstimatorV2(mode=device).run([pub]).result(timeout=60)
    assert result.data.evs.shape == expected.data.evs.shape == (3, 4)
    assert np.abs(result.data.evs - expected.data.evs).max() < 0.7


def test_the_executors_estimate_agrees_with_the_device(device: Any, local: AerBackend) -> None:
    estimator = Estimator(mode=device)
    estimator.options.resilience_level = 0
    [result] = estimator.run([(ansatz(), OBSERVABLE, [0.3])], precision=0.01).result(timeout=60)
    assert result.data.evs == pytest.approx(read_out(local, 0.3), abs=0.05)


def test_the_executors_mitigation_of_readout_works_here(device: Any, local: AerBackend) -> None:
    [ideal] = StatevectorEstimator().run([(ansatz(), OBSERVABLE, [0.3])]).result()
    [result] = (
        Estimator(mode=device)  # twirls, and learns the readout's error, by default
        .run([(ansatz(), OBSERVABLE, [0.3])], precision=0.005)
        .result(timeout=60)
    )
    raw_error = abs(read_out(local, 0.3) - ideal.data.evs)
    assert abs(result.data.evs - ideal.data.evs) < 0.5 * raw_error


def test_the_executors_samples_agree_with_the_device(device: Any) -> None:
    pub = (measured_ansatz(), np.array([[0.3], [1.2]]))
    [new] = Sampler(mode=device).run([pub], shots=4000).result(timeout=60)
    [old] = SamplerV2(mode=device).run([pub], shots=4000).result(timeout=60)
    for point in range(2):
        counts = new.data.c.get_counts(point), old.data.c.get_counts(point)
        for key in ("00", "01", "10", "11"):
            assert abs(counts[0].get(key, 0) - counts[1].get(key, 0)) < 300


def _energies(seed: int, primitive: Any = EstimatorV2, **options: Any) -> list[float]:
    with RuntimeService(devices=["fake_manila"], seed=seed, poll_seconds=2.0) as service:
        estimator = primitive(mode=service.client().backend(DEVICE))
        for name, value in options.items():
            setattr(estimator.options, name, value)
        jobs = [estimator.run([(ansatz(), OBSERVABLE, [a], 0.1)]) for a in (0.3, 0.3, 0.4)]
        return [float(job.result(timeout=60)[0].data.evs) for job in jobs]


@pytest.mark.parametrize("primitive", [EstimatorV2, Estimator])
def test_the_same_service_seed_gives_the_same_results(primitive: Any) -> None:
    first = _energies(1, primitive)
    assert _energies(1, primitive) == first
    assert _energies(2, primitive) != first
    assert first[0] != first[1]  # each time that a point is asked for is another experiment


def test_a_seed_in_the_request_decides_alone() -> None:
    given = _energies(seed=1, experimental={"seed_simulator": 4})
    assert _energies(seed=2, experimental={"seed_simulator": 4}) == given
    assert given[0] == given[1]


def test_a_seed_in_the_request_decides_the_executors_samples_too(device: Any) -> None:
    sampler = Sampler(mode=device)
    sampler.options.experimental = {"seed_simulator": 4}
    runs = [sampler.run([(measured_ansatz(), [0.3])], shots=300) for _ in range(2)]
    first, second = [run.result(timeout=60)[0].data.c.array.tolist() for run in runs]
    sampler.options.experimental = {"seed_simulator": [9]}
    third = sampler.run([(measured_ansatz(), [0.3])], shots=300).result(timeout=60)
    assert first == second != third[0].data.c.array.tolist()


def test_evaluations_of_a_point_are_counted_whatever_job_they_are_in(
    service: RuntimeService, device: Any
) -> None:
    before = dict(service.evaluations())
    estimator = EstimatorV2(mode=device)
    renamed = ansatz().assign_parameters({THETA: Parameter("phi")})
    for circuit, angles in ((ansatz(), [[0.11], [0.12]]), (renamed, [[0.12]])):
        estimator.run([(circuit, OBSERVABLE, angles, 0.1)]).result(timeout=60)
    after = service.evaluations()
    counts = sorted(len(after[digest]) for digest in set(after) - set(before))
    assert counts == [1, 2]


@pytest.fixture(scope="module")
def wide() -> Iterator[Any]:
    """A device of 133 qubits."""
    with RuntimeService(seed=2, poll_seconds=3.0) as service:
        yield service.client().backend("ibm_torino")


@pytest.mark.parametrize("primitive", [SamplerV2, Sampler])
def test_a_circuit_that_measures_every_qubit_is_sampled_part_by_part(
    wide: Any, primitive: Any
) -> None:
    ones = [3, 60, 132]
    circuit = QuantumCircuit(133, 133)
    circuit.x(ones)
    for qubit in (20, 21):  # cz between two superpositions entangles them
        circuit.sx(qubit)
    circuit.cz(20, 21)
    circuit.sx(21)
    circuit.barrier()
    circuit.measure(range(133), range(132, -1, -1))
    [result] = primitive(mode=wide).run([circuit], shots=2000).result(timeout=60)

    bits = result.data.c.to_bool_array(order="little")[:, ::-1]
    means = bits.mean(axis=0)
    assert sorted(np.flatnonzero(means > 0.65)) == ones
    pair = bits[:, [20, 21]]
    agreement = (pair[:, 0] == pair[:, 1]).mean()
    assert abs(agreement - 0.5) > 0.3  # entangled, so either nearly always or nearly never
    assert abs(means[20] - 0.5) < 0.1


def test_the_clients_estimator_runs_on_a_wide_device(wide: Any) -> None:
    circuit = QuantumCircuit(133)
    circuit.x(50)
    observable = SparsePauliOp.from_sparse_list([("Z", [50], 1.0)], 133)
    [result] = Estimator(mode=wide).run([(circuit, observable)]).result(timeout=60)
    assert result.data.evs == pytest.approx(-1.0, abs=0.05)
