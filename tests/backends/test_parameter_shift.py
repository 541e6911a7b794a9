from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import Gate, Parameter, library
from qiskit.circuit.library import get_standard_gate_name_mapping
from qiskit.quantum_info import SparsePauliOp, Statevector

from efaas.backends.experiment import Experiment
from efaas.backends.parameter_shift import TWO_TERM_ANGLES, shift_rule
from efaas.errors import GradientError

A, B, C = (Parameter(name) for name in "abc")
STANDARD = {
    name: type(gate)
    for name, gate in get_standard_gate_name_mapping().items()
    if gate.params and name not in ("delay", "global_phase")
}
GATES = {**STANDARD, "mcphase": lambda angle: library.MCPhaseGate(angle, 2)}
COUNTS = {
    "mcphase": 1,
    **{name: len(gate.params) for name, gate in get_standard_gate_name_mapping().items()},
}
OBSERVABLE = SparsePauliOp(["ZXI", "YIZ", "IYX", "XXX", "IIZ"], [0.7, -0.4, 0.9, 0.3, 0.5])


def expectation(experiment: Experiment, angles) -> float:
    lifted = experiment.circuit
    circuit = lifted.assign_parameters(dict(zip(experiment.slots, angles, strict=True)))
    return float(Statevector(circuit).expectation_value(experiment.observables[0]).real)


def shifted_gradient(experiment: Experiment, row) -> np.ndarray:
    rule = shift_rule(experiment)
    points = rule.points(experiment.slot_angles(row[None])[0])
    return rule.gradient(row, np.array([expectation(experiment, point) for point in points]))


def central_differences(experiment: Experiment, row, step=1e-5) -> np.ndarray:
    def value(x) -> float:
        return expectation(experiment, experiment.slot_angles(x[None])[0])

    return np.array(
        [
            (value(row + step * unit) - value(row - step * unit)) / (2 * step)
            for unit in np.eye(len(row))
        ]
    )


def scrambled(circuit: QuantumCircuit, seed: int) -> None:
    for qubit, angles in enumerate(np.random.default_rng(seed).normal(size=(3, 3))):
        circuit.u(*angles, qubit)
    circuit.cx(0, 1)
    circuit.cz(1, 2)


@pytest.mark.parametrize(
    ("name", "position"),
    [(name, position) for name, positions in TWO_TERM_ANGLES.items() for position in positions],
)
def test_the_rule_gives_the_exact_derivative_of_every_gate_it_names(name, position) -> None:
    params: list = [0.3, -0.8, 1.1, 0.6][: COUNTS[name]]
    params[position] = 2 * A - 0.3
    gate = GATES[name](*params)
    circuit = QuantumCircuit(3)
    scrambled(circuit, 1)
    circuit.append(gate, range(gate.num_qubits))
    scrambled(circuit, 2)
    experiment = Experiment.estimate(circuit, [OBSERVABLE])
    row = np.array([0.7])

    assert shifted_gradient(experiment, row) == pytest.approx(
        central_differences(experiment, row), abs=1e-6
    )


def refused_angles() -> list[tuple[str, int]]:
    return [
        (name, position)
        for name in STANDARD
        for position in range(COUNTS[name])
        if position not in TWO_TERM_ANGLES.get(name, ())
    ]


@pytest.mark.parametrize(("name", "position"), refused_angles())
def test_a_gate_without_the_rule_is_named_with_what_to_do(name, position) -> None:
    params: list = [0.3, -0.8, 1.1, 0.6][: COUNTS[name]]
    params[position] = A
    gate = STANDARD[name](*params)
    circuit = QuantumCircuit(3)
    circuit.append(gate, range(gate.num_qubits))
    with pytest.raises(GradientError, match=f"'{name}'.*2-point") as caught:
        shift_rule(Experiment.estimate(circuit, [OBSERVABLE]))
    assert caught.value.gate == name


@settings(max_examples=25, deadline=None)
@given(row=st.lists(st.floats(-3, 3), min_size=3, max_size=3))
def test_shared_scaled_summed_and_curved_angles_follow_the_chain_rule(row) -> None:
    """Theorem: the gradient is the exact derivative for any differentiable angle expressions."""
    circuit = QuantumCircuit(3)
    scrambled(circuit, 3)
    circuit.rx(A, 0)
    circuit.ry(-A / 2 + 3 * B, 1)
    circuit.rzz(A * B, 0, 2)
    circuit.rz(C.sin() + A**2, 2)
    circuit.u(B, A + B + C, 0.3, 0)
    circuit.rx(A - A, 1)
    scrambled(circuit, 4)
    circuit.rx(A, 0)
    experiment = Experiment.estimate(circuit, [OBSERVABLE])
    values = np.array(row)

    np.testing.assert_allclose(
        shifted_gradient(experiment, values), central_differences(experiment, values), atol=1e-6
    )


def test_only_angles_that_depend_on_a_parameter_take_points() -> None:
    circuit = QuantumCircuit(2)
    circuit.rx(A, 0)
    circuit.crx(A - A, 0, 1)
    circuit.ry(2 * A, 1)
    experiment = Experiment.estimate(circuit, ["ZZ"])
    rule = shift_rule(experiment)
    assert rule.slots == (0, 2)
    half = np.pi / 2
    assert rule.points(np.array([1.0, 2.0, 3.0])).tolist() == [
        [1.0 + half, 2.0, 3.0],
        [1.0 - half, 2.0, 3.0],
        [1.0, 2.0, 3.0 + half],
        [1.0, 2.0, 3.0 - half],
    ]
    assert rule.combine(np.array([1.0, 0.0, 0.25, 0.75])).tolist() == [0.5, 0.0, -0.25]


def test_a_circuit_without_parameters_has_an_empty_gradient() -> None:
    circuit = QuantumCircuit(1)
    circuit.rx(0.3, 0)
    experiment = Experiment.estimate(circuit, ["Z"])
    rule = shift_rule(experiment)
    assert rule.points(np.array([0.3])).shape == (0, 1)
    assert rule.gradient(np.empty(0), np.empty(0)).shape == (0,)


def test_composite_gates_are_differentiated_through_what_they_consist_of() -> None:
    inner = QuantumCircuit(2)
    inner.rx(A, 0)
    inner.cx(0, 1)
    inner.rzz(2 * A, 0, 1)
    circuit = QuantumCircuit(3)
    scrambled(circuit, 5)
    circuit.append(inner.to_gate(), [2, 0])
    scrambled(circuit, 6)
    experiment = Experiment.estimate(circuit, [OBSERVABLE])
    row = np.array([0.4])
    assert shifted_gradient(experiment, row) == pytest.approx(
        central_differences(experiment, row), abs=1e-6
    )


def test_a_gate_under_a_condition_has_the_rule() -> None:
    """Each branch is a sinusoid in the angle, and so is their sum."""
    circuit = QuantumCircuit(2, 1)
    circuit.h(0)
    circuit.measure(0, 0)
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.rx(A, 1)
    experiment = Experiment.estimate(circuit, ["ZI"])
    rule = shift_rule(experiment)
    points = rule.points(np.array([0.4]))
    evs = [(1 + np.cos(point[0])) / 2 for point in points]
    assert rule.gradient(np.array([0.4]), np.array(evs))[0] == pytest.approx(-np.sin(0.4) / 2)


def test_a_gate_in_a_loop_is_refused() -> None:
    circuit = QuantumCircuit(1)
    with circuit.for_loop(range(2)):
        circuit.rx(A, 0)
    with pytest.raises(GradientError, match="unroll the loop") as caught:
        shift_rule(Experiment.estimate(circuit, ["Z"]))
    assert caught.value.gate == "rx"


def test_a_gate_that_nothing_is_known_of_is_refused() -> None:
    circuit = QuantumCircuit(1)
    circuit.append(Gate("mystery", 1, [A]), [0])
    with pytest.raises(GradientError, match="mystery"):
        shift_rule(Experiment.estimate(circuit, ["Z"]))


def test_an_expression_without_a_derivative_is_refused() -> None:
    circuit = QuantumCircuit(1)
    circuit.rx(A.sign(), 0)
    experiment = Experiment.estimate(circuit, ["Z"])
    with pytest.raises(GradientError, match=r"sign\(a\)"):
        shift_rule(experiment).gradient(np.array([0.3]), np.zeros(2))
