"""Active qubits are enough: values and counts are those of the whole device."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import ClassicalRegister, Parameter
from qiskit.circuit.library import efficient_su2
from qiskit.quantum_info import Kraus, SparsePauliOp
from qiskit_aer import AerSimulator
from qiskit_ibm_runtime import fake_provider
from scipy import stats

from efaas.backends.aer import AerBackend
from efaas.backends.experiment import Experiment
from efaas.backends.protocol import Estimates, Evaluation, Outcome, Samples
from efaas.backends.specs import device_of

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from qiskit.providers import BackendV2

BIG_DEVICES = ("fake_torino", "fake_sherbrooke", "fake_fez", "fake_kyoto")


DEPHASING = Kraus([np.diag([1.0, 0.0]), np.diag([0.0, 1.0])])
"""The average of a measurement over its outcomes; Aer's noise does not touch it."""


def _fake(name: str) -> BackendV2:
    classes = [c for c in vars(fake_provider).values() if getattr(c, "backend_name", "") == name]
    return classes[0]()


@cache
def _whole(name: str) -> AerSimulator:
    """The whole device; making a large one takes seconds."""
    return AerSimulator.from_backend(_fake(name), seed_simulator=1)


def _ansatz() -> QuantumCircuit:
    return efficient_su2(4, reps=1, entanglement="linear")


def _waiting() -> QuantumCircuit:
    """Delays in several units, barriers, and a reset."""
    circuit = QuantumCircuit(3)
    circuit.h(0)
    circuit.delay(3000, 0, "ns")
    circuit.cx(0, 1)
    circuit.barrier()
    circuit.delay(1.5, 1, "us")
    circuit.rx(Parameter("a"), 2)
    circuit.cx(1, 2)
    circuit.reset(0)
    circuit.ry(Parameter("b"), 0)
    circuit.delay(400, 2, "dt")
    return circuit


def _idle() -> QuantumCircuit:
    """Five qubits of which two do something, one of those only waits."""
    circuit = QuantumCircuit(5)
    theta = Parameter("theta")
    circuit.ry(theta, 0)
    circuit.rzz(theta / 2, 0, 4)
    circuit.cx(0, 4)
    circuit.delay(2, 2, "us")
    circuit.barrier()
    circuit.rx(theta**2, 4)
    return circuit


def _measured_on_the_way() -> QuantumCircuit:
    circuit = QuantumCircuit(3, 1)
    circuit.ry(Parameter("a"), 0)
    circuit.cx(0, 1)
    circuit.measure(1, 0)
    circuit.h(1)
    circuit.cx(1, 2)
    circuit.reset(0)
    circuit.ry(Parameter("b"), 0)
    circuit.cx(0, 1)
    return circuit


def _chain() -> QuantumCircuit:
    circuit = QuantumCircuit(6)
    for qubit in range(6):
        circuit.ry(Parameter(f"y{qubit}"), qubit)
    for qubit in range(5):
        circuit.rzz(Parameter(f"zz{qubit}"), qubit, qubit + 1)
    circuit.cx(0, 5)
    circuit.delay(200, 3, "ns")
    for qubit in range(6):
        circuit.rx(Parameter(f"x{qubit}"), qubit)
    return circuit


CIRCUITS: tuple[Callable[[], QuantumCircuit], ...] = (
    _ansatz,
    _waiting,
    _idle,
    _measured_on_the_way,
    _chain,
)


def _experiments(num_qubits: int) -> list[tuple[Experiment, NDArray[np.float64]]]:
    generator = np.random.default_rng(20)
    experiments = []
    for make in CIRCUITS:
        circuit = make()
        width = circuit.num_qubits
        if width > num_qubits:
            continue
        labels = ["".join(generator.choice(list("IXYZ"), width)) for _ in range(8)]
        observables = [
            SparsePauliOp(labels, generator.normal(size=8)),
            SparsePauliOp("Z" * width),
            SparsePauliOp("X" + "I" * (width - 1)),
        ]
        experiment = Experiment.estimate(circuit, observables)
        values = generator.normal(size=(1, experiment.num_parameters))
        experiments.append((experiment, experiment.slot_angles(values)[0]))
    return experiments


def _exact(
    backend: AerBackend, experiment: Experiment, angles: NDArray[np.float64]
) -> NDArray[np.float64]:
    [outcome] = backend.execute([Evaluation(experiment, angles[None, :], None, (0,))])
    assert isinstance(outcome, Outcome), outcome
    assert isinstance(outcome.value, Estimates)
    return outcome.value.evs[0]


def _bound_isa(
    backend: AerBackend, experiment: Experiment, slot_angles: NDArray[np.float64]
) -> QuantumCircuit:
    """The circuit that the backend runs, at one point."""
    isa = backend.isa(experiment)
    values = dict(zip(experiment.slots, slot_angles, strict=True))
    used = {parameter: values[parameter] for parameter in isa.circuit.parameters}
    return isa.circuit.assign_parameters(used)


def _exact_on_whole_device(
    backend: AerBackend,
    experiments: list[tuple[Experiment, NDArray[np.float64]]],
) -> list[NDArray[np.float64]]:
    """The values of each experiment's observables at its slot angles, from one run."""
    circuits = []
    for experiment, angles in experiments:
        circuit = _averaged(_bound_isa(backend, experiment, angles))
        for index, observable in enumerate(backend.isa(experiment).observables):
            circuit.save_expectation_value(observable, range(circuit.num_qubits), label=str(index))
        circuits.append(circuit)
    whole = _whole(backend.name)
    result = whole.run(circuits, shots=1, method="density_matrix").result()
    assert result.success, result.status
    return [
        np.array([result.data(i)[str(j)] for j in range(len(experiment.observables))])
        for i, (experiment, _) in enumerate(experiments)
    ]


def _averaged(circuit: QuantumCircuit) -> QuantumCircuit:
    """The circuit with the average over its measurements' outcomes in their stead."""
    result = circuit.copy_empty_like()
    for instruction in circuit.data:
        if instruction.operation.name == "measure":
            result.append(DEPHASING.to_instruction(), instruction.qubits)
        else:
            result.append(instruction)
    return result


def _compare(name: str) -> None:
    backend = AerBackend(name)
    experiments = _experiments(backend.num_qubits)
    expected = _exact_on_whole_device(backend, experiments)
    found = [_exact(backend, experiment, angles) for experiment, angles in experiments]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-9)


def test_exact_values_are_those_of_a_small_device() -> None:
    _compare("fake_manila")


@pytest.mark.parametrize("name", BIG_DEVICES)
def test_exact_values_are_those_of_a_large_device(name: str) -> None:
    _compare(name)


def test_exact_values_are_those_of_the_user_s_simulator() -> None:
    simulator = AerSimulator.from_backend(_fake("fake_manila"), method="density_matrix")
    from_simulator = AerBackend(simulator)
    from_name = AerBackend("fake_manila")
    for experiment, angles in _experiments(5):
        np.testing.assert_allclose(
            _exact(from_simulator, experiment, angles),
            _exact(from_name, experiment, angles),
            rtol=0,
            atol=1e-12,
        )


def test_an_isa_circuit_is_run_as_it_is() -> None:
    """Its qubits are the device's, so its observables are as wide, and nothing is optimised."""
    backend = AerBackend("fake_manila")
    circuit = QuantumCircuit(5)
    circuit.sx(3)
    circuit.sx(3)
    circuit.cx(3, 4)
    circuit.rz(0.7, 4)
    circuit.id(1)
    experiment = Experiment.estimate(circuit, ["ZZIII", "IXZZI", "IIIIZ"])
    angles = experiment.slot_angles(np.zeros((1, 0)))[0]
    assert _bound_isa(backend, experiment, angles).count_ops() == {
        "sx": 2,
        "cx": 1,
        "rz": 1,
        "id": 1,
    }
    [expected] = _exact_on_whole_device(backend, [(experiment, angles)])
    np.testing.assert_allclose(_exact(backend, experiment, angles), expected, rtol=0, atol=1e-9)
    assert backend.profile(experiment).layout == (0, 1, 2, 3, 4)


@pytest.mark.parametrize("name", ["fake_torino", "fake_marrakesh"])
def test_broken_couplings_are_not_used(name: str) -> None:
    """The data of these devices mark 22 and 26 gates with an error of 1."""
    target = device_of(name).target
    backend = AerBackend(name)
    for make in (_ansatz, _chain):
        circuit = make()
        experiment = Experiment.estimate(circuit, ["Z" * circuit.num_qubits])
        isa = backend.isa(experiment).circuit
        for instruction in isa.data:
            if instruction.operation.name not in ("barrier", "delay"):
                where = tuple(isa.find_bit(bit).index for bit in instruction.qubits)
                error = target[instruction.operation.name][where].error
                assert error is None or error < 0.99


def test_a_device_all_of_whose_couplings_are_broken_is_still_run() -> None:
    """Kyoto's data give every two-qubit gate an error of 1; they are noisy, not missing."""
    backend = AerBackend("fake_kyoto")
    experiment = Experiment.estimate(_ansatz(), ["ZZZZ"])
    assert backend.profile(experiment).two_qubit_gates >= 3


SHOTS = 20_000
P_VALUE = 1e-3
"""Chi-square tests with fixed seeds: a right engine would fail one test in a thousand seeds."""


def _two_sample_p_value(first: dict[int, int], second: dict[int, int]) -> float:
    """Of the hypothesis that two tables of counts come from one distribution."""
    outcomes = sorted(set(first) | set(second))
    table = np.array([[counts.get(x, 0) for x in outcomes] for counts in (first, second)])
    rare = table.sum(axis=0) < 10
    if rare.any():
        table = np.column_stack([table[:, ~rare], table[:, rare].sum(axis=1)])
        table = table[:, table.sum(axis=0) > 0]
    return float(stats.chi2_contingency(table).pvalue)


def _counts(
    backend: AerBackend, experiment: Experiment, angles: NDArray[np.float64]
) -> dict[int, int]:
    [outcome] = backend.execute([Evaluation(experiment, angles[None, :], SHOTS, (99,))])
    assert isinstance(outcome, Outcome), outcome
    assert isinstance(outcome.value, Samples)
    [rows] = outcome.value.registers.values()
    values = [int.from_bytes(row.tobytes(), "big") for row in rows[0]]
    numbers, counts = np.unique(values, return_counts=True)
    return dict(zip(numbers.tolist(), counts.tolist(), strict=True))


@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("fake_manila", "automatic"),
        ("fake_manila", "trajectories"),
        ("fake_torino", "automatic"),
    ],
)
def test_counts_are_distributed_as_on_the_whole_device(name: str, method: str) -> None:
    backend = AerBackend(name, method=method)
    circuit = efficient_su2(4, reps=1, entanglement="linear")
    circuit.measure_all()
    experiment = Experiment.sample(circuit)
    values = np.random.default_rng(4).normal(size=(1, experiment.num_parameters))
    angles = experiment.slot_angles(values)[0]
    isa = _bound_isa(backend, experiment, angles)
    expected = _whole(name).run(isa, shots=SHOTS).result().get_counts()
    found = _counts(backend, experiment, angles)
    assert sum(found.values()) == SHOTS
    assert (
        _two_sample_p_value({int(bits, 2): count for bits, count in expected.items()}, found)
        > P_VALUE
    )


def test_steered_circuits_have_the_counts_of_the_whole_device() -> None:
    """Control flow with noisy gates and delays in its blocks, and a bit that is read later."""
    backend = AerBackend("fake_manila")
    circuit = QuantumCircuit(3, 3)
    circuit.ry(Parameter("a"), 0)
    circuit.cx(0, 1)
    circuit.measure(1, 0)
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.ry(Parameter("b"), 2)
        circuit.delay(20, 2, "us")
        circuit.cx(2, 1)
    circuit.delay(10, 0, "us")
    circuit.h(0)
    circuit.measure([0, 2], [1, 2])
    experiment = Experiment.sample(circuit)
    angles = experiment.slot_angles(np.array([[1.3, 2.1]]))[0]
    isa = _bound_isa(backend, experiment, angles)
    expected = _whole("fake_manila").run(isa, shots=SHOTS).result().get_counts()
    found = _counts(backend, experiment, angles)
    assert (
        _two_sample_p_value({int(bits, 2): count for bits, count in expected.items()}, found)
        > P_VALUE
    )


def test_estimates_from_shots_include_readout_and_basis_change_errors() -> None:
    """The mean over many seeds is what measuring each Pauli on the whole device gives."""
    name = "fake_manila"
    backend = AerBackend(name)
    circuit = efficient_su2(3, reps=1, entanglement="linear")
    labels = ["ZZI", "XXY", "IYX", "YII"]
    experiment = Experiment.estimate(circuit, labels)
    values = np.random.default_rng(5).normal(size=(1, experiment.num_parameters))
    angles = experiment.slot_angles(values)
    points = 40
    [outcome] = backend.execute(
        [Evaluation(experiment, angles.repeat(points, 0), 5000, tuple(range(points)))]
    )
    assert isinstance(outcome, Outcome)
    assert isinstance(outcome.value, Estimates)
    found = outcome.value.evs.mean(axis=0)
    expected = []
    isa = backend.isa(experiment)
    for observable in isa.observables:
        measured = _bound_isa(backend, experiment, angles[0])
        [pauli] = observable.paulis
        support = np.flatnonzero(pauli.x | pauli.z)
        for basis in "XY":
            chosen = [q for q in support if pauli[int(q)].to_label() == basis]
            for qubit, gates in backend.basis_changes([int(q) for q in chosen], basis).items():
                for gate in gates:
                    measured.append(gate, [qubit])
        register = ClassicalRegister(len(support), "m")
        measured.add_register(register)
        measured.measure([int(q) for q in support], register)
        counts = _whole(name).run(measured, shots=200_000).result().get_counts()
        expected.append(
            sum((-1) ** bits.count("1") * count for bits, count in counts.items()) / 200_000
        )
    # Both sides are means of 200,000 shots: 5 standard errors.
    np.testing.assert_allclose(found, expected, rtol=0, atol=5 * np.sqrt(2 / 200_000))
