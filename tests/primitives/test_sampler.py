from __future__ import annotations

import numpy as np
import pytest
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.circuit import Clbit, Parameter
from qiskit.circuit.library import efficient_su2
from qiskit.primitives import StatevectorSampler
from qiskit.primitives.containers.sampler_pub import SamplerPub
from scipy.stats import chi2_contingency

from efaas.errors import CircuitError, InputError, MeasurementError, ParameterError, ShotsError
from efaas.primitives import SessionSampler


def measured_ansatz() -> QuantumCircuit:
    circuit = efficient_su2(2, reps=1)
    circuit.measure_all()
    return circuit


def two_registers() -> QuantumCircuit:
    quantum = QuantumRegister(3)
    circuit = QuantumCircuit(quantum, ClassicalRegister(2, "low"), ClassicalRegister(9, "wide"))
    circuit.x(0)
    circuit.x(2)
    circuit.measure(0, circuit.cregs[0][1])
    circuit.measure(1, circuit.cregs[0][0])
    circuit.measure(2, circuit.cregs[1][8])
    return circuit


def test_counts_agree_with_qiskits_sampler(session) -> None:
    """A chi-square test with fixed seeds; it would reject equal distributions once in 1,000."""
    circuit = measured_ansatz()
    values = np.linspace(0.2, 1.5, circuit.num_parameters)

    found = SessionSampler(session).run([(circuit, values)], shots=4000).result()[0]
    expected = StatevectorSampler(seed=3).run([(circuit, values)], shots=4000).result()[0]

    labels = ["00", "01", "10", "11"]
    table = [[pub.data.meas.get_counts().get(k, 0) for k in labels] for pub in (found, expected)]
    assert chi2_contingency(table).pvalue > 1e-3


def test_every_register_has_its_own_bits(session) -> None:
    circuit = two_registers()

    found = SessionSampler(session).run([circuit], shots=3).result()[0].data
    expected = StatevectorSampler().run([circuit], shots=3).result()[0].data

    assert list(found.keys()) == list(expected.keys()) == ["low", "wide"]
    assert found.low == expected.low
    assert found.wide == expected.wide


@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 1)])
def test_the_result_has_the_shape_of_the_bindings(session, shape) -> None:
    circuit = measured_ansatz()
    values = np.zeros((*shape, circuit.num_parameters))

    data = SessionSampler(session).run([(circuit, values, 5)]).result()[0].data

    assert data.shape == data.meas.shape == shape
    assert data.meas.num_shots == 5
    assert data.meas.num_bits == 2


def test_metadata_is_as_qiskits_samplers_give_it(session) -> None:
    circuit = two_registers()
    circuit.metadata = {"who": "ada"}

    result = SessionSampler(session).run([circuit, (circuit, None, 7)]).result()

    assert result.metadata == {"version": 2}
    assert [pub.metadata for pub in result] == [
        {"shots": 1024, "circuit_metadata": {"who": "ada"}},
        {"shots": 7, "circuit_metadata": {"who": "ada"}},
    ]


def test_shots_of_the_pub_go_before_those_of_run_before_the_default(session) -> None:
    circuit = two_registers()
    sampler = SessionSampler(session, default_shots=2)

    sampler.run([circuit])
    sampler.run([(circuit,), SamplerPub.coerce((circuit, None, 9))], shots=3)

    assert [request["shots"] for request in session.requests] == [2, 3, 9]


def test_a_bound_and_rebuilt_circuit_asks_for_the_same_experiment(session) -> None:
    for values in (np.zeros(8), np.ones(8)):
        SessionSampler(session).run([measured_ansatz().assign_parameters(values)])

    first, second = session.requests
    assert first["experiment"] == second["experiment"]
    assert first["angles"].tolist() == [[0.0] * 8]
    assert second["angles"].tolist() == [[1.0] * 8]


def test_a_circuit_measured_anew_is_the_same_experiment_with_its_own_names(session) -> None:
    ansatz = measured_ansatz()  # as libraries do that measure what may have been measured
    for _ in range(2):
        circuit = ansatz.measure_all(inplace=False)
        [result] = SessionSampler(session).run([(circuit, np.zeros(8))]).result()
        assert list(result.data) == [register.name for register in circuit.cregs]

    first, second = session.requests
    assert first["experiment"] == second["experiment"]


def parameterised() -> QuantumCircuit:
    circuit = QuantumCircuit(1, 1)
    circuit.rx(Parameter("a"), 0)
    circuit.measure(0, 0)
    return circuit


def badly_named() -> QuantumCircuit:
    circuit = QuantumCircuit(QuantumRegister(1), ClassicalRegister(1, "shape"))
    circuit.measure(0, 0)
    return circuit


def without_register() -> QuantumCircuit:
    circuit = QuantumCircuit([*QuantumRegister(1)], [Clbit()])
    circuit.measure(0, 0)
    return circuit


@pytest.mark.parametrize(
    ("pub", "error", "message"),
    [
        (QuantumCircuit(1), MeasurementError, "measure_all"),
        (badly_named(), CircuitError, "rename"),
        (without_register(), MeasurementError, "ClassicalRegister"),
        (parameterised(), ParameterError, "1 parameter \\(a\\)"),
        ((parameterised(), [np.inf]), ParameterError, "'a'"),
        ((parameterised(), [0.1], 0), ShotsError, "got 0"),
        ((parameterised(), [0.1], -4), ShotsError, "got -4"),
        ((parameterised(), [0.1], 2.5), ShotsError, "got 2.5"),
        ((parameterised(), [0.1], True), ShotsError, "got True"),
        (("x",), CircuitError, "QuantumCircuit"),
        (parameterised().data[0], InputError, "run takes a list"),
        ((), InputError, "length 0"),
    ],
)
def test_bad_pubs_are_refused_at_the_call_and_nothing_is_queued(
    session, pub, error, message
) -> None:
    with pytest.raises(error, match=message) as caught:
        SessionSampler(session).run([two_registers(), pub])
    assert isinstance(caught.value, ValueError)
    assert session.requests == []


@pytest.mark.parametrize("shots", [0, -1, 1.0])
def test_a_bad_number_of_shots_is_refused(session, shots) -> None:
    with pytest.raises(ShotsError, match="number of shots"):
        SessionSampler(session, default_shots=shots)
    with pytest.raises(ShotsError, match="number of shots"):
        SessionSampler(session).run([], shots=shots)
