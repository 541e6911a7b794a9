from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.circuit.library import efficient_su2
from qiskit.primitives import StatevectorEstimator
from qiskit.primitives.containers.bindings_array import BindingsArray
from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit.primitives.containers.observables_array import ObservablesArray
from qiskit.quantum_info import Pauli, PauliList, SparseObservable, SparsePauliOp

from efaas.errors import (
    CircuitError,
    InputError,
    MeasurementError,
    ObservableError,
    ParameterError,
    ShotsError,
)
from efaas.primitives import SessionEstimator
from efaas.primitives.pubs import estimator_request, shots_of_precision

ANSATZ = efficient_su2(2, reps=1)
COUNT = ANSATZ.num_parameters
OPERATORS = [
    SparsePauliOp(["ZZ", "XI"], [1.0, 0.5]),
    SparsePauliOp("IY"),
    SparsePauliOp(["II", "XY"], [-2.0, 0.25]),
]
MINUS_ONE = SparsePauliOp(["II", "IZ", "XI", "XZ"], [1.0, -1.0, -1.0, 1.0])
"""Four times the projector onto minus on the left qubit and onto one on the right."""


def exact(pubs):
    return StatevectorEstimator().run(pubs).result()


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    shapes=st.sampled_from(
        [
            *[("", ""), ("n", ""), ("n1", ""), ("", "m"), ("", "1m"), ("", "nm")],
            *[("n1", "m"), ("n1", "1m"), ("n1", "nm"), ("nm", "nm"), ("n", "n"), ("nm", "m")],
        ]
    ),
    seed=st.integers(0, 2**32 - 1),
)
def test_every_broadcast_shape_gives_qiskits_values(make_session, sizes, shapes, seed) -> None:
    """Theorem: with precision 0 on an ideal backend, evs equal StatevectorEstimator's."""
    lengths = {"n": sizes[0], "m": sizes[1], "1": 1}
    point_shape, observable_shape = (tuple(lengths[c] for c in shape) for shape in shapes)
    generator = np.random.default_rng(seed)
    values = generator.normal(size=(*point_shape, COUNT))
    picks = generator.integers(len(OPERATORS), size=observable_shape)
    observables = np.empty(observable_shape, dtype=object)
    for index in np.ndindex(observable_shape):
        observables[index] = OPERATORS[int(picks[index])]
    pub = (ANSATZ, observables.tolist(), values)

    found = SessionEstimator(make_session()).run([pub], precision=0).result()[0]

    expected = exact([pub])[0]
    assert found.data.evs.shape == expected.data.evs.shape == found.data.shape
    np.testing.assert_allclose(found.data.evs, expected.data.evs, atol=1e-10)
    np.testing.assert_array_equal(found.data.stds, np.zeros(found.data.shape))


@pytest.mark.parametrize(
    "observable",
    [
        "ZX",
        Pauli("-ZX"),
        SparsePauliOp(["ZX", "ZX", "II"], [0.5, 1.0, 2.0]),
        {"ZI": 0.5, "YX": 2.0},
        {Pauli("-XX"): 0.5},
        ObservablesArray("XZ"),
        PauliList(["XZ", "ZZ"]),
        np.array(["XZ", "ZZ"]),
        [[{"XZ": 1.0}], [{"ZZ": 1.0, "IX": 2.0}]],
    ],
    ids=lambda observable: type(observable).__name__ + str(observable)[:12],
)
def test_observables_may_be_all_that_qiskit_takes(session, observable) -> None:
    pub = (ANSATZ, observable, np.linspace(0.1, 2, COUNT))

    found = SessionEstimator(session, default_precision=0).run([pub]).result()[0]

    np.testing.assert_allclose(found.data.evs, exact([pub])[0].data.evs, atol=1e-10)


@pytest.mark.parametrize(
    ("observable", "paulis"),
    [
        ("0+", SparsePauliOp(["II", "IX", "ZI", "ZX"], [0.25] * 4)),
        ("rl", SparsePauliOp(["II", "IY", "YI", "YY"], [0.25, -0.25, 0.25, -0.25])),
        ({"ZI": 0.25, "-1": 4.0}, MINUS_ONE + SparsePauliOp("ZI", 0.25)),
        (SparseObservable.from_label("XY"), SparsePauliOp("XY")),
        (SparseObservable.from_label("1I"), SparsePauliOp(["II", "ZI"], [0.5, -0.5])),
    ],
)
def test_observables_may_hold_projectors(session, observable, paulis) -> None:
    """StatevectorEstimator cannot do these; their expansions into Paulis are the measure."""
    values = np.linspace(0.1, 2, COUNT)

    found = SessionEstimator(session).run([(ANSATZ, observable, values)], precision=0).result()

    expected = exact([(ANSATZ, paulis, values)])[0].data.evs
    np.testing.assert_allclose(found[0].data.evs, expected, atol=1e-10)


@pytest.mark.parametrize(
    "values",
    [
        {"b": [0.1, 0.2], "a": [0.3, 0.4]},
        {("b", "a"): [[0.1, 0.3], [0.2, 0.4]]},
        BindingsArray({"b": [0.1, 0.2], "a": [0.3, 0.4]}),
    ],
)
def test_values_may_be_named(session, values) -> None:
    circuit = QuantumCircuit(1)
    circuit.rx(Parameter("a"), 0)
    circuit.ry(Parameter("b"), 0)

    found = SessionEstimator(session).run([(circuit, "Z", values)], precision=0).result()[0]

    expected = exact([(circuit, "Z", [[0.3, 0.1], [0.4, 0.2]])])[0]
    np.testing.assert_allclose(found.data.evs, expected.data.evs, atol=1e-12)


def test_a_circuit_without_parameters_needs_no_values(session) -> None:
    circuit = QuantumCircuit(1)
    circuit.rx(0.3, 0)

    job = SessionEstimator(session).run([(circuit, "Z"), (circuit, "Z", [])], precision=0)

    assert [float(pub.data.evs) for pub in job.result()] == pytest.approx([np.cos(0.3)] * 2)


def test_metadata_is_as_qiskits_backend_estimator_gives_it(session) -> None:
    circuit = QuantumCircuit(1, metadata={"who": "ada"})

    result = SessionEstimator(session).run([(circuit, "Z"), (circuit, "Z", None, 0.1)]).result()

    assert result.metadata == {"version": 2}
    assert [pub.metadata for pub in result] == [
        {"target_precision": 0.015625, "shots": 4096, "circuit_metadata": {"who": "ada"}},
        {"target_precision": 0.1, "shots": 100, "circuit_metadata": {"who": "ada"}},
    ]
    assert result[1].data.stds == pytest.approx(0.1)


def test_precision_of_the_pub_goes_before_that_of_run_before_the_default(session) -> None:
    circuit = QuantumCircuit(1)
    estimator = SessionEstimator(session, default_precision=0.5)

    estimator.run([(circuit, "Z")])
    estimator.run([(circuit, "Z"), EstimatorPub.coerce((circuit, "Z", None, 0.1))], precision=0.25)

    assert [request["shots"] for request in session.requests] == [4, 16, 100]


def test_a_point_is_evaluated_once_with_the_observables_wanted_there(session) -> None:
    circuit = QuantumCircuit(1)
    circuit.rx(Parameter("a"), 0)
    pub = (circuit, ["Z", "X", "Z"], [[0.1], [0.2], [0.3]])

    SessionEstimator(session).run([pub])
    SessionEstimator(session).run([(circuit, ["Z", "X"], [0.1])])

    assert session.requests[0]["wanted"] == ((0,), (1,), (0,))
    assert session.requests[0]["angles"].tolist() == [[0.1], [0.2], [0.3]]
    assert session.requests[1]["wanted"] is None
    assert session.requests[1]["angles"].tolist() == [[0.1]]


def test_rebuilding_and_binding_the_circuit_asks_for_the_same_experiment(session) -> None:
    estimator = SessionEstimator(session)
    for values in (np.zeros(COUNT), np.linspace(0, 1, COUNT)):
        circuit = efficient_su2(2, reps=1).assign_parameters(values)
        estimator.run([(circuit, OPERATORS[0])])

    first, second = session.requests
    assert first["experiment"] == second["experiment"]
    assert first["angles"].tolist() != second["angles"].tolist()


@pytest.mark.parametrize(
    ("pub", "error", "message"),
    [
        ((ANSATZ, "ZZZ", np.zeros(COUNT)), ObservableError, "2 qubits"),
        ((ANSATZ, SparsePauliOp("ZZ", 1j), np.zeros(COUNT)), ObservableError, "ZZ"),
        ((ANSATZ, [SparsePauliOp("ZZ", 1j)], np.zeros(COUNT)), ObservableError, "ZZ"),
        ((ANSATZ, {"ZZ": np.nan}, np.zeros(COUNT)), ObservableError, "finite"),
        ((ANSATZ, [], np.zeros(COUNT)), ObservableError, "at least one"),
        ((ANSATZ, [["ZZ"], ["ZZ", "XX"]], np.zeros(COUNT)), ObservableError, "equal length"),
        ((ANSATZ, 7, np.zeros(COUNT)), ObservableError, "SparsePauliOp"),
        ((ANSATZ, "ZQ", np.zeros(COUNT)), ObservableError, "label"),
        ((ANSATZ, "ZZ"), ParameterError, "8 parameters"),
        ((ANSATZ, "ZZ", np.zeros(COUNT - 1)), ParameterError, "8 parameters"),
        ((ANSATZ, "ZZ", np.full(COUNT, np.nan)), ParameterError, "finite"),
        ((ANSATZ, "ZZ", np.full(COUNT, 1j)), ParameterError, "real"),
        ((ANSATZ, "ZZ", ["x"] * COUNT), ParameterError, "real"),
        ((ANSATZ, "ZZ", [[1.0], [1.0, 2.0]]), ParameterError, "array"),
        ((ANSATZ, "ZZ", {"nobody": 0.1}), ParameterError, "8 parameters"),
        ((ANSATZ, "ZZ", np.zeros((0, COUNT))), ParameterError, "at least one point"),
        ((ANSATZ, ["ZZ"] * 2, np.zeros((3, COUNT))), ParameterError, "broadcast"),
        ((QuantumCircuit(1), "Z", [0.1]), ParameterError, "no values"),
        ((ANSATZ, "ZZ", np.zeros(COUNT), -0.1), ShotsError, "-0.1"),
        ((ANSATZ, "ZZ", np.zeros(COUNT), np.nan), ShotsError, "nan"),
        ((ANSATZ, "ZZ", np.zeros(COUNT), "fine"), ShotsError, "fine"),
        ((ANSATZ, "ZZ", np.zeros(COUNT), 1e-300), ShotsError, "2\\*\\*53"),
        (("ZZ", ANSATZ), CircuitError, "QuantumCircuit"),
        (ANSATZ, InputError, "run takes a list"),
        ((ANSATZ,), InputError, "length 1"),
    ],
)
def test_bad_pubs_are_refused_at_the_call_and_nothing_is_queued(
    session, pub, error, message
) -> None:
    good = (QuantumCircuit(1), "Z")
    with pytest.raises(error, match=message) as caught:
        SessionEstimator(session).run([good, pub])
    assert isinstance(caught.value, ValueError)
    assert caught.value.__notes__ == ["in pub 1"]
    assert session.requests == []


def test_a_circuit_that_ends_in_measurements_is_refused(session) -> None:
    circuit = QuantumCircuit(1)
    circuit.measure_all()
    with pytest.raises(MeasurementError, match="remove_final_measurements"):
        SessionEstimator(session).run([(circuit, "Z")])


@pytest.mark.parametrize("precision", [-1, float("inf"), "a"])
def test_a_bad_precision_is_refused(session, precision) -> None:
    with pytest.raises(ShotsError, match="precision"):
        SessionEstimator(session, default_precision=precision)
    with pytest.raises(ShotsError, match="precision"):
        SessionEstimator(session).run([], precision=precision)


@given(st.floats(1e-7, 10))
def test_the_shots_of_a_precision_reach_it_and_one_less_does_not(precision) -> None:
    """Theorem: shots = ceil(1 / precision^2)."""
    shots = shots_of_precision(precision)
    assert shots**-0.5 <= precision * (1 + 1e-9)
    assert shots == 1 or (shots - 1) ** -0.5 > precision * (1 - 1e-9)


def test_projectors_are_summed_as_paulis() -> None:
    request = estimator_request((QuantumCircuit(1), "0"))
    assert request.experiment.observables[0] == SparsePauliOp(["I", "Z"], [0.5, 0.5])
