from __future__ import annotations

import pickle
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.circuit import Clbit, Gate, Parameter, ParameterVector
from qiskit.circuit.classical import expr
from qiskit.circuit.library import (
    CRXGate,
    MCPhaseGate,
    PauliEvolutionGate,
    QFTGate,
    RZGate,
    UnitaryGate,
    XXPlusYYGate,
    efficient_su2,
)
from qiskit.quantum_info import Operator, Pauli, SparsePauliOp, Statevector, random_clifford

from efaas.backends.angles import AngleMap
from efaas.backends.experiment import Experiment
from efaas.errors import (
    CircuitError,
    GradientError,
    MeasurementError,
    ObservableError,
    ParameterError,
    UnsupportedGateError,
)

A, B = Parameter("a"), Parameter("b")


def state(experiment: Experiment, values) -> Statevector:
    angles = experiment.slot_angles(experiment.check_values(values))[0]
    lifted = experiment.circuit
    return Statevector(lifted.assign_parameters(dict(zip(experiment.slots, angles, strict=True))))


# Lifting keeps the circuit's meaning.


def composite() -> QuantumCircuit:
    inner = QuantumCircuit(2, global_phase=A)
    inner.rx(A, 0)
    inner.cx(0, 1)
    inner.ry(B**2, 1)
    circuit = QuantumCircuit(3)
    circuit.h([0, 1, 2])
    circuit.append(inner.to_gate(), [1, 0])
    circuit.append(inner.to_gate().control(1), [0, 1, 2])
    circuit.append(inner.to_instruction(), [2, 0])
    circuit.append(inner.to_gate().inverse(), [2, 1])
    return circuit


def controlled() -> QuantumCircuit:
    circuit = QuantumCircuit(3)
    circuit.h([0, 1, 2])
    circuit.append(RZGate(A).control(2), [0, 1, 2])
    circuit.append(RZGate(B).control(2, annotated=True), [0, 1, 2])
    circuit.append(CRXGate(A, ctrl_state=0), [0, 1])
    circuit.append(MCPhaseGate(A * B, 2), [2, 1, 0])
    circuit.append(MCPhaseGate(A * B, 2, ctrl_state=1), [0, 1, 2])
    circuit.cu(A, 1, B, 0.3, 0, 2)
    return circuit


def library() -> QuantumCircuit:
    circuit = QuantumCircuit(3, global_phase=B)
    circuit.h([0, 1, 2])
    circuit.append(PauliEvolutionGate(SparsePauliOp(["ZZI", "IXI"]), time=A), [0, 1, 2])
    circuit.append(random_clifford(3, seed=1), [0, 1, 2])
    circuit.append(QFTGate(3), [0, 1, 2])
    circuit.unitary(Operator(CRXGate(0.2)), [1, 2])
    circuit.mcx([0, 1], 2)
    circuit.r(A - B, 2 * A, 0)
    return circuit


def expressions() -> QuantumCircuit:
    circuit = QuantumCircuit(2)
    circuit.ry(2 * A - B / 3 + 1, 0)
    circuit.rx(A.sin() * B, 1)
    circuit.rzz(0.4, 0, 1)
    circuit.u(A - A, B, 0.0 * A, 0)
    circuit.append(XXPlusYYGate(A, B), [0, 1])
    return circuit


@pytest.mark.parametrize("build", [composite, controlled, library, expressions])
def test_the_lifted_circuit_prepares_the_users_state_up_to_a_phase(build) -> None:
    circuit = build()
    observable = "ZXY"[: circuit.num_qubits]
    values = [0.7, -1.3]

    # The product formula stands for the exponential, as it does once transpiled.
    plain = circuit.assign_parameters(values).decompose("PauliEvolution").decompose("Pauli*")
    expected = Statevector(plain)
    assert expected.equiv(state(Experiment.estimate(circuit, [observable]), values))

    numbers = circuit.assign_parameters(values)
    assert expected.equiv(state(Experiment.estimate(numbers, [observable]), []))


def test_every_parameterised_angle_gets_a_slot_and_other_numbers_stay() -> None:
    circuit = QuantumCircuit(1)
    circuit.rx(A, 0)
    circuit.ry(0.3, 0)
    circuit.u(2 * A, 0.1, B, 0)

    experiment = Experiment.estimate(circuit, ["Z"])

    assert [(use.gate, use.position) for use in experiment.uses] == [("rx", 0), ("u", 0), ("u", 2)]
    assert experiment.circuit.data[1].operation.params == [0.3]
    assert list(experiment.circuit.parameters) == list(experiment.slots)
    assert experiment.parameter_names == ("a", "b")


def test_with_no_free_parameter_the_numbers_of_rotation_gates_are_lifted() -> None:
    circuit = QuantumCircuit(2)
    circuit.rx(1, 0)
    circuit.cp(0.3, 0, 1)
    circuit.delay(100, 0)
    circuit.append(UnitaryGate(np.eye(2)), [0])
    circuit.initialize([0.6, 0.8], 1)

    experiment = Experiment.estimate(circuit, ["ZZ"])

    assert [use.gate for use in experiment.uses] == ["rx", "cp"]
    assert experiment.slot_angles(experiment.check_values([])).tolist() == [[1.0, 0.3]]


def test_parameterised_gates_in_control_flow_are_lifted() -> None:
    circuit = QuantumCircuit(2, 2)
    circuit.h(0)
    circuit.measure(0, 0)
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.rx(A, 1)
    with circuit.for_loop(range(3)) as index:
        circuit.ry(index * B, 0)
        circuit.rz(A, 0)
    with circuit.switch(circuit.cregs[0]) as case:
        with case(0, 1):
            circuit.x(1)
        with case(case.DEFAULT):
            circuit.rx(2 * A, 1)

    experiment = Experiment.estimate(circuit, ["ZZ"])

    assert experiment.slot_angles(experiment.check_values([0.5, 0.2])).tolist() == [
        [0.5, 0.2, 0.5, 1.0]
    ]
    assert [(use.is_repeated, use.is_mixed) for use in experiment.uses] == [
        (False, False),
        (True, True),
        (True, False),
        (False, False),
    ]
    lifted = dict(zip(experiment.slots, [0.5, 0.2, 0.5, 1.0], strict=True))
    assert experiment.circuit.assign_parameters(lifted) == circuit.assign_parameters(
        {A: 0.5, B: 0.2}
    )


def test_a_gate_that_nothing_is_known_of_keeps_its_parameter() -> None:
    circuit = QuantumCircuit(1)
    circuit.append(Gate("mystery", 1, [2 * A]), [0])

    experiment = Experiment.estimate(circuit, ["Z"])

    assert experiment.circuit.data[0].operation.params == [experiment.slots[0]]


def test_a_circuit_changed_later_does_not_change_the_experiment() -> None:
    circuit = QuantumCircuit(1)
    circuit.rx(A, 0)
    experiment = Experiment.estimate(circuit, ["Z"])
    circuit.x(0)
    assert experiment.circuit.size() == 1


def test_a_parameterised_delay_is_refused() -> None:
    circuit = QuantumCircuit(1)
    circuit.delay(A, 0)
    with pytest.raises(UnsupportedGateError, match="delay"):
        Experiment.estimate(circuit, ["Z"])


# The fingerprint.


def base(names: str = "ab", title: str | None = None) -> QuantumCircuit:
    first, second = Parameter(names[0]), Parameter(names[1])
    inner = QuantumCircuit(1)
    inner.h(0)
    inner.t(0)
    circuit = QuantumCircuit(QuantumRegister(2, names), ClassicalRegister(2, "c"), name=title)
    circuit.rx(first, 0)
    circuit.ry(0.5, 1)
    circuit.append(inner.to_gate(), [1])
    circuit.append(UnitaryGate([[0, 1], [1, 0]]), [0])
    circuit.delay(10, 0, unit="dt")
    circuit.measure(0, 0)
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.rz(second, 1)
    flag = circuit.add_var("flag", expr.lift(False))
    circuit.store(flag, expr.logic_not(circuit.clbits[0]))
    with circuit.if_test(expr.logic_and(flag, circuit.clbits[1])):
        circuit.x(0)
    with circuit.for_loop(range(2)) as index:
        circuit.rx(index * 0.2, 1)
    circuit.cx(0, 1)
    circuit.measure([0, 1], [0, 1])
    return circuit


def changed(position: int, build) -> QuantumCircuit:
    """The base circuit with the instruction at ``position`` replaced by those ``build`` adds."""
    original = base("xy")
    circuit = original.copy_empty_like()
    for index, instruction in enumerate(original.data):
        if index == position:
            build(circuit)
        else:
            circuit.append(instruction)
    return circuit


def conditioned(circuit: QuantumCircuit, bit: int, value: int, angle=B) -> None:
    with circuit.if_test((circuit.clbits[bit], value)):
        circuit.rz(angle, 1)


def looped(circuit: QuantumCircuit, turns: range, factor: float) -> None:
    with circuit.for_loop(turns) as index:
        circuit.rx(index * factor, 1)


CHANGES = {
    "another gate": lambda: changed(0, lambda c: c.ry(A, 0)),
    "another qubit": lambda: changed(0, lambda c: c.rx(A, 1)),
    "no gate": lambda: changed(0, lambda c: c.rz(B, 0)),
    "a label": lambda: changed(0, lambda c: c.rx(A, 0, label="noisy")),
    "a number in place of a slot": lambda: changed(0, lambda c: c.rx(0.1, 0)),
    "a slot in place of a number": lambda: changed(1, lambda c: c.ry(A, 1)),
    "another number": lambda: changed(1, lambda c: c.ry(np.nextafter(0.5, 1), 1)),
    "another definition": lambda: changed(2, lambda c: c.append(two_gates().to_gate(), [1])),
    "another matrix": lambda: changed(3, lambda c: c.unitary([[0, -1j], [1j, 0]], 0)),
    "a longer delay": lambda: changed(4, lambda c: c.delay(11, 0, unit="dt")),
    "another unit": lambda: changed(4, lambda c: c.delay(10, 0, unit="ns")),
    "another clbit": lambda: changed(5, lambda c: c.measure(0, 1)),
    "another condition": lambda: changed(6, lambda c: conditioned(c, 0, 0)),
    "another condition bit": lambda: changed(6, lambda c: conditioned(c, 1, 1)),
    "a number in a block": lambda: changed(6, lambda c: conditioned(c, 0, 1, 0.2)),
    "another store": lambda: changed(8, store_bit),
    "other turns": lambda: changed(10, lambda c: looped(c, range(3), 0.2)),
    "another loop body": lambda: changed(10, lambda c: looped(c, range(2), 0.3)),
    "the other way round": lambda: changed(11, lambda c: c.cx(1, 0)),
}


def two_gates() -> QuantumCircuit:
    inner = QuantumCircuit(1)
    inner.h(0)
    inner.tdg(0)
    return inner


def store_bit(circuit: QuantumCircuit) -> None:
    circuit.store(next(iter(circuit.iter_vars())), expr.lift(circuit.clbits[0]))


def test_two_builds_of_a_circuit_have_one_fingerprint_whatever_its_names() -> None:
    assert Experiment.sample(base()) == Experiment.sample(base("xy", "other"))
    assert hash(Experiment.sample(base())) == hash(Experiment.sample(base("xy", "other")))


@pytest.mark.parametrize("change", CHANGES)
def test_any_change_of_meaning_changes_the_fingerprint(change) -> None:
    assert Experiment.sample(CHANGES[change]()) != Experiment.sample(base())


def test_the_changes_are_made_to_the_very_same_circuit() -> None:
    same = changed(-1, lambda circuit: None)
    assert Experiment.sample(same) == Experiment.sample(base())


@pytest.mark.parametrize("name", ["initialize", "diagonal", "mcphase", "circuit-7"])
def test_gates_of_one_name_and_different_definitions_differ(name) -> None:
    def circuit(angle: float) -> QuantumCircuit:
        inner = QuantumCircuit(1, name=name)
        inner.rx(angle, 0)
        made = QuantumCircuit(1)
        made.ry(A, 0)
        made.append(inner.to_gate(), [0])
        return made

    assert Experiment.estimate(circuit(0.1), ["Z"]) == Experiment.estimate(circuit(0.1), ["Z"])
    assert Experiment.estimate(circuit(0.1), ["Z"]) != Experiment.estimate(circuit(0.2), ["Z"])


def test_expressions_and_global_phases_are_no_part_of_the_fingerprint() -> None:
    plain, other = QuantumCircuit(1), QuantumCircuit(1, global_phase=A)
    plain.rx(A, 0)
    other.rx(2 * B + 1, 0)
    assert Experiment.estimate(plain, ["Z"]) == Experiment.estimate(other, ["Z"])


def test_observables_are_part_of_the_fingerprint_and_their_spelling_is_not() -> None:
    circuit = QuantumCircuit(2)

    def fingerprint(*observables) -> str:
        return Experiment.estimate(circuit, observables).fingerprint

    same = [
        SparsePauliOp(["ZZ", "XI"], [1.0, 0.5]),
        SparsePauliOp(["XI", "ZZ", "YY"], [0.5, 1.0, 0.0]),
        {"XI": 0.5, "ZZ": 1.0},
    ]
    assert len({fingerprint(observable) for observable in same}) == 1
    others = [
        ("ZZ",),
        ("ZX",),
        ("ZZ", "XI"),
        ("XI", "ZZ"),
        (SparsePauliOp(["ZZ", "XI"], [1.0, np.nextafter(0.5, 1)]),),
    ]
    assert len({fingerprint(*observables) for observables in [same[:1], *others]}) == 6


def test_names_of_registers_do_not_matter() -> None:
    def circuit(name: str, width: int = 1, qubits: str = "q") -> QuantumCircuit:
        made = QuantumCircuit(QuantumRegister(1, qubits), ClassicalRegister(width, name))
        made.measure(0, 0)
        return made

    x, y = (Experiment.sample(circuit(name)) for name in "xy")
    assert x == y
    assert [register.name for register in y.circuit.cregs] == list(y.register_names)
    assert x.register_names == y.register_names
    assert x != Experiment.sample(circuit("x", width=2))
    clashing = Experiment.sample(circuit("x", qubits=x.register_names[0]))
    assert len(clashing.circuit.cregs) == 1
    mid = [circuit(name) for name in "xy"]
    for made in mid:
        made.reset(0)
    assert Experiment.estimate(mid[0], ["Z"]) == Experiment.estimate(mid[1], ["Z"])
    assert Experiment.estimate(mid[0], ["Z"]) != Experiment.sample(mid[0])


def test_registers_that_steer_a_circuit_keep_their_names() -> None:
    def circuit(name: str) -> QuantumCircuit:
        register = ClassicalRegister(1, name)
        made = QuantumCircuit(QuantumRegister(1), register)
        made.measure(0, 0)
        with made.if_test((register, 1)):
            made.x(0)
        return made

    assert Experiment.sample(circuit("x")).register_names == ("x",)
    assert Experiment.sample(circuit("x")) != Experiment.sample(circuit("y"))


GATES = st.one_of(
    st.tuples(st.sampled_from(["h", "x", "sx", "t"]), st.permutations(range(3)), st.none()),
    st.tuples(st.sampled_from(["cx", "cz", "swap"]), st.permutations(range(3)), st.none()),
    st.tuples(
        st.sampled_from(["rx", "rz", "p", "rzz", "cp"]),
        st.permutations(range(3)),
        st.one_of(st.sampled_from(["a", "b", "2a+b"]), st.floats(-4, 4)),
    ),
)
WIDTHS = {"cx": 2, "cz": 2, "swap": 2, "rzz": 2, "cp": 2}


def built(gates, names: str) -> QuantumCircuit:
    first, second = (Parameter(name) for name in names)
    angles = {"a": first, "b": second, "2a+b": 2 * first + second}
    circuit = QuantumCircuit(3)
    circuit.rx(first, 0)
    for name, qubits, angle in gates:
        params = [] if angle is None else [angles.get(angle, angle)]
        getattr(circuit, name)(*params, *qubits[: WIDTHS.get(name, 1)])
    return circuit


def meaning(gates):
    """What a fingerprint may depend on: wires and gates, and the numbers that are no slots."""
    return [
        (name, qubits[: WIDTHS.get(name, 1)], angle if isinstance(angle, float) else angle is None)
        for name, qubits, angle in gates
    ]


@settings(max_examples=150, deadline=None)
@given(first=st.lists(GATES, max_size=4), second=st.lists(GATES, max_size=4))
def test_fingerprints_are_equal_exactly_when_structures_are(first, second) -> None:
    """Theorem: fingerprint(c) = fingerprint(d) iff c and d agree but for expressions and names."""
    one = Experiment.estimate(built(first, "ab"), ["ZZZ"]).fingerprint
    assert one == Experiment.estimate(built(first, "xy"), ["ZZZ"]).fingerprint
    other = Experiment.estimate(built(second, "ab"), ["ZZZ"]).fingerprint
    assert (one == other) == (repr(meaning(first)) == repr(meaning(second)))


def test_the_fingerprint_is_the_same_in_another_process() -> None:
    script = (
        "from qiskit.circuit.library import efficient_su2\n"
        "from efaas.backends.experiment import Experiment\n"
        "print(Experiment.estimate(efficient_su2(2, reps=1), ['ZX']).fingerprint)"
    )
    other = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    here = Experiment.estimate(efficient_su2(2, reps=1), ["ZX"])
    assert other.stdout.strip() == here.fingerprint


def test_rebuilding_and_binding_hits_with_other_angles() -> None:
    hamiltonian = SparsePauliOp(["ZZII", "IZZI", "IIZZ"])
    experiments = []
    for values in ([0.0, 0.0], [0.7, 0.2]):
        beta = Parameter("beta")
        circuit = QuantumCircuit(4)
        circuit.h(range(4))
        circuit.append(PauliEvolutionGate(hamiltonian, time=Parameter("gamma")), range(4))
        circuit.rx(2 * beta, range(4))
        circuit = circuit.assign_parameters(values)
        experiments.append(Experiment.estimate(circuit, [hamiltonian]))
    angles = [e.slot_angles(e.check_values([])).tolist() for e in experiments]
    assert experiments[0] == experiments[1]
    assert angles[0] != angles[1]


def test_an_experiment_survives_pickling() -> None:
    circuit = base()
    experiment = Experiment.sample(circuit)
    copy = pickle.loads(pickle.dumps(experiment))
    assert copy == experiment
    values = copy.check_values([0.1, 0.2])
    assert copy.slot_angles(values).tolist() == experiment.slot_angles(values).tolist()
    assert set(copy.circuit.parameters) >= set(copy.slots)


# What goes in.


def test_a_circuit_that_ends_in_measurements_cannot_be_estimated() -> None:
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.measure_all()
    with pytest.raises(MeasurementError, match="qubits 0, 1 last"):
        Experiment.estimate(circuit, ["ZZ"])


def test_a_measurement_on_the_way_may_be_estimated() -> None:
    circuit = QuantumCircuit(2, 2)
    circuit.measure(0, 0)
    circuit.reset(0)
    circuit.measure(1, 1)
    with circuit.if_test((circuit.clbits[1], 1)):
        circuit.x(0)
    assert not Experiment.estimate(circuit, ["ZZ"]).is_sample


def test_a_sample_needs_a_measurement_into_a_register() -> None:
    with pytest.raises(MeasurementError, match="measure_all"):
        Experiment.sample(QuantumCircuit(1, 1))
    loose = QuantumCircuit([*QuantumRegister(1)], [Clbit()])
    loose.measure(0, 0)
    with pytest.raises(MeasurementError, match="classical register"):
        Experiment.sample(loose)


@pytest.mark.parametrize("circuit", [None, "circuit", QuantumCircuit()])
def test_what_is_no_circuit_is_refused(circuit) -> None:
    with pytest.raises(CircuitError):
        Experiment.estimate(circuit, ["Z"])
    with pytest.raises(CircuitError):
        Experiment.sample(circuit)


@pytest.mark.parametrize(
    ("observable", "message"),
    [
        ("Z", "2 qubits, got one of 1"),
        (SparsePauliOp(["ZZ", "XY"], [1, 2j]), "2j for the term XY"),
        (Pauli("iZZ"), "real"),
        ({"ZZ": np.nan}, "finite"),
        (SparsePauliOp("ZZ", [A]), "assign_parameters"),
        ({}, "at least one term"),
        ({"ZZ": "much"}, "mapping"),
        (None, "NoneType"),
        ("AB", "label"),
    ],
)
def test_a_bad_observable_is_refused(observable, message) -> None:
    with pytest.raises(ObservableError, match=message):
        Experiment.estimate(QuantumCircuit(2), [observable])


def test_no_observable_is_refused() -> None:
    with pytest.raises(ObservableError, match="at least one"):
        Experiment.estimate(QuantumCircuit(1), [])


def test_rounding_errors_in_imaginary_parts_are_dropped_and_small_terms_kept() -> None:
    operator = SparsePauliOp(["Z", "X", "Z"], [1.0 + 1e-17j, 1e-10, 0.5])
    found = Experiment.estimate(QuantumCircuit(1), [operator]).observables[0]
    assert found.to_list() == [("X", 1e-10), ("Z", 1.5)]


def test_an_observable_that_cancels_is_zero() -> None:
    operator = SparsePauliOp(["ZX", "ZX"], [1.0, -1.0])
    assert Experiment.estimate(QuantumCircuit(2), [operator]).observables[0].to_list() == [
        ("II", 0.0)
    ]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([0.1], "2 parameter values a point \\(a, b\\), got an array of shape \\(1,\\)"),
        (0.1, "shape \\(\\)"),
        (np.zeros((2, 2, 2)), "shape \\(2, 2, 2\\)"),
        ([0.1, np.nan], "nan for 'b' \\(index 1\\)"),
        ([[0.0, 0.1], [-np.inf, 1.0]], "-inf for 'a' \\(index 0, point 1\\)"),
        ([0.1, 1j], "complex"),
        (["0.1", "0.2"], "real numbers"),
        ([[0.1, 0.2], [0.1]], "several lengths"),
        ([None, 0.1], "object"),
    ],
)
def test_bad_values_are_refused(values, message) -> None:
    circuit = QuantumCircuit(1)
    circuit.rx(A + B, 0)
    with pytest.raises(ParameterError, match=message):
        Experiment.estimate(circuit, ["Z"]).check_values(values)


def test_values_of_one_point_and_of_several_are_taken() -> None:
    circuit = QuantumCircuit(1)
    circuit.rx(A + B, 0)
    experiment = Experiment.estimate(circuit, ["Z"])
    assert experiment.check_values([1, 2]).tolist() == [[1.0, 2.0]]
    assert experiment.check_values(((1, 2), (3, 4))).tolist() == [[1.0, 2.0], [3.0, 4.0]]


# Angle maps.

X = ParameterVector("x", 3)
EXPRESSIONS = [
    (lambda x: X[0], lambda x: x[0]),
    (lambda x: 2 * X[1] + 1, lambda x: 2 * x[1] + 1),
    (lambda x: X[0] - X[2] / 3, lambda x: x[0] - x[2] / 3),
    (lambda x: X[0] + X[1] - X[0], lambda x: x[1]),
    (lambda x: X[0] * X[1], lambda x: x[0] * x[1]),
    (lambda x: (X[0] ** 2).sin() + X[2], lambda x: np.sin(x[0] ** 2) + x[2]),
    (lambda x: X[2].exp() * 2, lambda x: 2 * np.exp(x[2])),
    (lambda x: 0.25, lambda x: 0.25),
]


@settings(max_examples=60, deadline=None)
@given(
    picks=st.lists(st.integers(0, len(EXPRESSIONS) - 1), max_size=6),
    rows=st.lists(st.lists(st.floats(-10, 10), min_size=3, max_size=3), min_size=1, max_size=9),
)
def test_a_row_of_angles_depends_on_its_values_alone(picks, rows) -> None:
    """Theorem: map(rows)[i] has the bits of map([rows[i]]) and the value of the expressions."""
    angles = AngleMap.of([EXPRESSIONS[pick][0](X) for pick in picks], list(X))
    values = np.array(rows)

    together = angles(values)

    for index, row in enumerate(values):
        assert together[index].tobytes() == angles(values[index : index + 1]).tobytes()
        expected = [EXPRESSIONS[pick][1](row) for pick in picks]
        np.testing.assert_allclose(together[index], expected, rtol=1e-12, atol=1e-12)
    copy = pickle.loads(pickle.dumps(angles))
    assert copy(values).tobytes() == together.tobytes()


def test_the_jacobian_is_the_derivative_of_the_map() -> None:
    angles = AngleMap.of([make(X) for make, _ in EXPRESSIONS], list(X))
    row, step = np.array([0.4, -1.1, 0.7]), 1e-6
    differences = [
        (angles((row + step * unit)[None]) - angles((row - step * unit)[None]))[0] / (2 * step)
        for unit in np.eye(3)
    ]
    np.testing.assert_allclose(angles.jacobian(row), np.transpose(differences), atol=1e-8)
    assert angles.is_variable.tolist() == [True] * 7 + [False]


def test_plain_parameters_give_their_very_bits() -> None:
    values = np.array([[0.1, -0.0, 1e-300]])
    assert AngleMap.of([X[2], X[1], X[0]], list(X))(values)[0].tobytes() == (
        np.array([1e-300, -0.0, 0.1]).tobytes()
    )


def test_an_angle_without_a_finite_real_value_is_refused() -> None:
    values = np.array([[0.0, -1.0, 0.0]])
    for expression in (1 / X[0], X[1].log(), X[1] ** 0.5):
        with pytest.raises(ParameterError, match="angle"):
            AngleMap.of([expression], list(X))(values)


def test_an_expression_without_a_derivative_is_named() -> None:
    with pytest.raises(GradientError, match="sign"):
        AngleMap.of([X[0].sign()], list(X)).jacobian(np.zeros(3))
    with pytest.raises(GradientError, match="no finite derivative"):
        AngleMap.of([X[0] ** 0.5], list(X)).jacobian(np.zeros(3))


def test_a_parameter_that_is_not_given_is_named() -> None:
    with pytest.raises(ParameterError, match="x\\[2\\]"):
        AngleMap.of([X[2]], list(X)[:2])
