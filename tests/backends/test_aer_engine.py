"""The exact engine against Qiskit's own states, and its parts against what they promise."""

from __future__ import annotations

import pickle
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.circuit.library import efficient_su2, get_standard_gate_name_mapping
from qiskit.quantum_info import Operator, SparsePauliOp, Statevector, random_unitary

from efaas.backends.angles import AngleMap
from efaas.backends.channels import AMPLITUDES, PAULIS, Space
from efaas.backends.estimation import Terms, settings_of
from efaas.backends.evolution import Evolution
from efaas.backends.experiment import Experiment
from efaas.backends.fusion import fused
from efaas.backends.lowering import Lowering
from efaas.backends.measurement import parities, walsh_hadamard
from efaas.backends.noise_lowering import IdealNoise
from efaas.backends.registers import RegisterPacking
from efaas.backends.sampling import draw_outcomes, point_generator

GATES = sorted(
    name
    for name, gate in get_standard_gate_name_mapping().items()
    if gate.num_qubits in (1, 2, 3) and gate.num_clbits == 0 and name not in ("reset", "delay")
)
SPACES = pytest.mark.parametrize("space", [PAULIS, AMPLITUDES], ids=["paulis", "amplitudes"])


def _evolution(experiment: Experiment, space: Space) -> tuple[Evolution, AngleMap]:
    count = experiment.num_qubits
    lowering = Lowering(space, IdealNoise(), range(count))
    steps = fused(count, space, lowering.factors(experiment.circuit))
    return Evolution(steps, count, space), AngleMap.of(lowering.angles, experiment.slots)


def _assert_same_state(circuit: QuantumCircuit, space: Space, values: np.ndarray) -> None:
    """The engine's state at the values is Qiskit's."""
    experiment = Experiment.estimate(circuit, ["Z" * circuit.num_qubits])
    evolution, angles = _evolution(experiment, space)
    evolution = pickle.loads(pickle.dumps(evolution))
    state = evolution.states(angles(experiment.slot_angles(values[None, :])))[0]
    count = circuit.num_qubits
    bound = circuit.assign_parameters(values) if circuit.num_parameters else circuit
    expected = Statevector(bound)
    if space.is_pure:
        tensor = expected.data.reshape((2,) * count)
        ordered = tensor.transpose([count - 1 - qubit for qubit in evolution.order]).reshape(-1)
        assert abs(abs(np.vdot(ordered, state)) - 1) < 1e-9
        return
    tensor = state.reshape((4,) * count)
    for digits in np.random.default_rng(0).integers(0, 4, size=(40, count)):
        label = "".join("IXYZ"[digit] for digit in digits[::-1])
        found = tensor[tuple(digits[qubit] for qubit in evolution.order)]
        assert abs(found - expected.expectation_value(SparsePauliOp(label)).real) < 1e-9


@SPACES
@pytest.mark.parametrize("name", GATES)
def test_every_standard_gate_acts_as_in_qiskit(name: str, space: Space) -> None:
    gate = get_standard_gate_name_mapping()[name]
    free = [Parameter(f"t{i}") for i in range(len(gate.params))]
    circuit = QuantumCircuit(3)
    circuit.append(random_unitary(8, seed=1).to_instruction(), range(3))
    operation = gate.to_mutable()
    operation.params = list(free)
    circuit.append(operation, [2, 0, 1][: gate.num_qubits])
    _assert_same_state(circuit, space, np.linspace(0.4, 5.1, len(free)))


@st.composite
def circuits(draw: st.DrawFn) -> QuantumCircuit:
    """Circuits of 1 to 7 qubits with free and bound angles."""
    width = draw(st.integers(1, 7))
    names = ["rx", "ry", "rz", "u", "h", "sx", "rzz", "cx", "cz", "crx", "swap", "ccx", "cu"]
    gates = get_standard_gate_name_mapping()
    circuit = QuantumCircuit(width)
    for step in range(draw(st.integers(0, 25))):
        gate = gates[draw(st.sampled_from(names))].to_mutable()
        if gate.num_qubits > width:
            continue
        is_free = draw(st.booleans())
        gate.params = [
            Parameter(f"t{step:02}_{i}") if is_free else draw(st.floats(-7, 7))
            for i in range(len(gate.params))
        ]
        qubits = draw(st.permutations(range(width)))[: gate.num_qubits]
        circuit.append(gate, qubits)
    return circuit


@SPACES
@given(circuit=circuits(), seed=st.integers(0, 1000))
@settings(max_examples=100)
def test_any_circuit_gives_qiskit_s_state(circuit: QuantumCircuit, space: Space, seed: int) -> None:
    """For all circuits and angles: fused, scheduled and evolved, the state is Qiskit's."""
    values = np.random.default_rng(seed).uniform(-7, 7, size=circuit.num_parameters)
    _assert_same_state(circuit, space, values)


def test_two_thousand_points_leave_no_chunk_out() -> None:
    experiment = Experiment.estimate(efficient_su2(4, reps=1), ["ZZZZ"])
    evolution, angles = _evolution(experiment, PAULIS)
    values = np.random.default_rng(2).normal(size=(2000, experiment.num_parameters))
    states = evolution.states(angles(experiment.slot_angles(values)))
    assert states.shape == (2000, 256)
    np.testing.assert_allclose(states[:, 0], 1.0, rtol=0, atol=1e-12)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@SPACES
def test_reordering_a_matrix_reorders_its_qubits(space: Space, order: tuple[int, int]) -> None:
    unitary = random_unitary(4, seed=3)
    turned = Operator(unitary).data if order == (0, 1) else Operator(unitary).reverse_qargs().data
    found = space.reordered(space.unitary(unitary.data), order)
    np.testing.assert_allclose(found, space.unitary(turned), atol=1e-12)


@given(st.integers(0, 2**128 - 1), st.lists(st.integers(0, 2**128 - 1), max_size=3))
def test_a_seed_s_stream_is_numpy_s_whatever_was_drawn_before(seed: int, others: list[int]) -> None:
    for other in others:
        point_generator(other).integers(0, 100, size=3, dtype=np.uint32)
    expected = np.random.Generator(np.random.Philox(key=seed))
    found = point_generator(seed)
    assert np.array_equal(found.random(5), expected.random(5))
    assert found.binomial(1000, 0.3) == expected.binomial(1000, 0.3)
    assert found.integers(2**31 - 1) == expected.integers(2**31 - 1)


def test_impossible_outcomes_are_never_drawn() -> None:
    outcomes = draw_outcomes(point_generator(5), np.array([0.0, 0.25, 0.0, 0.75, 0.0]), 10_000)
    counts = np.bincount(outcomes, minlength=5)
    assert counts[[0, 2, 4]].tolist() == [0, 0, 0]
    assert abs(counts[1] / 10_000 - 0.25) < 0.02


@given(st.integers(1, 5), st.integers(0, 99))
def test_the_transform_gives_every_signed_sum(bits: int, seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=2**bits)
    outcomes = np.arange(2**bits)
    expected = [np.sum(values * (1.0 - 2.0 * parities(outcomes, mask))) for mask in outcomes]
    np.testing.assert_allclose(walsh_hadamard(values), expected, atol=1e-12)


@given(st.lists(st.text("IXYZ", min_size=4, max_size=4), min_size=1, max_size=12))
def test_settings_cover_each_term_once_and_commute_qubit_by_qubit(labels: list[str]) -> None:
    terms = Terms.of([SparsePauliOp(labels)], range(4))
    settings_made = settings_of(terms, range(len(terms.paulis)))
    covered = sorted(term for setting in settings_made for term in setting.terms)
    assert covered == list(range(len(terms.paulis)))
    for setting in settings_made:
        for term in setting.terms:
            for qubit, digit in enumerate(terms.paulis[term]):
                assert digit in (0, setting.bases.get(qubit, 0))


def test_registers_are_packed_with_the_lowest_bit_last() -> None:
    packing = RegisterPacking({"a": 9, "b": 2}, ((0, "a", 0), (1, "a", 8), (2, "b", 1)), 3)
    packed = packing.pack(np.array([0b000, 0b001, 0b010, 0b111]))
    assert packed["a"].tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert packed["b"].tolist() == [[0], [0], [0], [2]]


def test_wide_outcomes_are_packed_like_narrow_ones() -> None:
    places = tuple((bit, "c", 15 - bit) for bit in range(16))
    packing = RegisterPacking({"c": 16}, places, 16)
    assert packing.pack(np.array([1, 2**15, 3]))["c"].tolist() == [[128, 0], [0, 1], [192, 0]]


def test_shots_are_consistent_within_a_setting() -> None:
    """ZI, IZ and ZZ share shots, so that the product of two means bounds the third."""
    from efaas.backends.aer import AerBackend
    from efaas.backends.protocol import Estimates, Evaluation, Outcome

    circuit = QuantumCircuit(2)
    circuit.ry(1.0, 0)
    circuit.cx(0, 1)
    experiment = Experiment.estimate(circuit, ["ZI", "IZ", "ZZ"])
    angles = experiment.slot_angles(np.zeros((1, 0))).repeat(20, 0)
    [outcome] = AerBackend("aer").execute([Evaluation(experiment, angles, 100, tuple(range(20)))])
    assert isinstance(outcome, Outcome)
    assert isinstance(outcome.value, Estimates)
    first, second, both = outcome.value.evs.T
    assert np.array_equal(first, second)
    assert np.array_equal(both, np.ones(20))
    assert len(set(first)) > 1
    assert all(a != b for a, b in pairwise(sorted(set(first))))
