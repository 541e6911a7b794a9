"""Layouts by calibration: what is avoided, what is found, and that nothing else changes."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit.library import efficient_su2, qaoa_ansatz
from qiskit.primitives import StatevectorEstimator
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler import CouplingMap, InstructionProperties
from qiskit_aer import AerSimulator
from qiskit_ibm_runtime.fake_provider import FakeAuckland, FakeSherbrooke, FakeTorino

from efaas.backends.device import Device, device_of_backend
from efaas.backends.experiment import Experiment
from efaas.backends.fidelity import LN_FLOOR, ErrorTable, OperationCounts, operations_of
from efaas.backends.isa import Compiler, IsaCircuit
from efaas.backends.layouts import ranked_placements
from efaas.backends.specs import device_of

RING = SparsePauliOp.from_sparse_list([("ZZ", [i, (i + 1) % 6], 1.0) for i in range(6)], 6)
LINE = efficient_su2(4, reps=1, entanglement="linear")
CIRCUITS = {
    "line": LINE,
    "all to all, routed": efficient_su2(4, reps=1, entanglement="full"),
    "ring, routed": qaoa_ansatz(RING, reps=1),
    "product": efficient_su2(3, reps=0),
}


def _compiler(device: Device, *, level: int = 3, keeps: bool = False) -> Compiler:
    return Compiler(device, optimization_level=level, seed_transpiler=11, keeps_layouts=keeps)


def _estimate(circuit: QuantumCircuit) -> Experiment:
    return Experiment.estimate(circuit, ["Z" * circuit.num_qubits])


def _set_error(backend: Any, name: str, qubits: tuple[int, ...], error: float) -> None:
    old = backend.target[name][qubits]
    new = InstructionProperties(duration=old.duration, error=error)
    backend.target.update_instruction_properties(name, qubits, new)


def _used(isa: IsaCircuit) -> set[int]:
    return {q for step in operations_of(isa.circuit) for q in step.qubits} | set(isa.layout)


def _compact(isa: IsaCircuit) -> tuple[QuantumCircuit, list[SparsePauliOp]]:
    """The circuit and its observables on the qubits that it uses, without the device's width."""
    active = sorted(_used(isa))
    place = {qubit: index for index, qubit in enumerate(active)}
    compact = QuantumCircuit(len(active), isa.circuit.num_clbits)
    for step in isa.circuit.data:
        if step.operation.name != "barrier":
            qubits = [place[isa.circuit.find_bit(bit).index] for bit in step.qubits]
            clbits = [isa.circuit.find_bit(bit).index for bit in step.clbits]
            compact.append(step.operation, qubits, clbits)
    observables = []
    for observable in isa.observables:
        terms = [(p, [place[q] for q in at], c) for p, at, c in observable.to_sparse_list()]
        observables.append(SparsePauliOp.from_sparse_list(terms, len(active)))
    return compact, observables


@pytest.mark.parametrize("level", [1, 3])
def test_a_qubit_that_is_read_badly_is_avoided(level: int) -> None:
    """The transpiler does not see the reading: it is no part of an estimate's circuit."""
    backend = FakeAuckland()
    before = _compiler(device_of_backend(backend), keeps=True).compile(_estimate(LINE))
    for qubit in before.layout:
        _set_error(backend, "measure", (qubit,), 0.5)
    device = device_of_backend(backend)
    assert _compiler(device, keeps=True).compile(_estimate(LINE)).layout == before.layout
    moved = _compiler(device, level=level).compile(_estimate(LINE))
    assert _used(moved).isdisjoint(before.layout)
    [best, *_] = _compiler(device, level=level).candidates(_estimate(LINE))
    assert best.layout == moved.layout
    assert best.fidelity.esp > 0.5


def test_a_dead_qubit_is_avoided() -> None:
    backend = FakeAuckland()
    dead = _compiler(device_of_backend(backend)).compile(_estimate(LINE)).layout[1]
    for name in ("sx", "x"):
        _set_error(backend, name, (dead,), 1.0)
    assert dead not in _used(_compiler(device_of_backend(backend)).compile(_estimate(LINE)))


def test_the_region_that_is_clearly_better_is_found() -> None:
    backend = FakeTorino()
    line = [98, 99, 100, 101]
    for qubit in range(133):
        _set_error(backend, "measure", (qubit,), 1e-4 if qubit in line else 0.05)
    compiler = _compiler(device_of_backend(backend))
    assert sorted(compiler.compile(_estimate(LINE)).layout) == line


def test_the_search_finds_what_trying_every_placement_finds() -> None:
    """On a device whose operations take no time, so that gates and readout are all there is."""
    backend = GenericBackendV2(6, ["cx", "rz", "sx", "x"], coupling_map=_grid(), seed=4)
    for name in ("cx", "sx", "x", "measure"):
        for qubits, known in dict(backend.target[name]).items():
            timeless = InstructionProperties(duration=0.0, error=10 * known.error)
            backend.target.update_instruction_properties(name, qubits, timeless)
    table = ErrorTable.of(backend.target)
    circuit = QuantumCircuit(6)
    for control, target in ((0, 1), (1, 2), (4, 1), (1, 2)):
        circuit.cx(control, target)
    circuit.sx(4)
    operations, read = operations_of(circuit), (0, 2, 4)
    totals = [
        table.fidelity(OperationCounts.of(operations, table, read=read, places=places)).ln_esp
        for places in permutations(range(6))
    ]
    best = ranked_placements(circuit, read, table, backend.target)[0]
    assert best.fidelity.ln_esp == pytest.approx(max(totals), abs=1e-12)


def _grid() -> CouplingMap:
    return CouplingMap.from_grid(2, 3)


@pytest.mark.parametrize("name", ["fake_torino", "fake_sherbrooke", "fake_auckland"])
@pytest.mark.parametrize("circuit", CIRCUITS)
def test_without_noise_the_moved_circuit_is_the_users(name: str, circuit: str) -> None:
    """Exact expectation values, observables and swaps included; on a device of each direction."""
    abstract = CIRCUITS[circuit]
    width = abstract.num_qubits
    labels = ["Z" * width, "X" + "I" * (width - 1), "I" * (width - 1) + "Z", "Y" * width]
    device = device_of(name)
    experiment = Experiment.estimate(abstract, labels)
    angles = np.linspace(0.1, 2.0, experiment.num_slots)
    isa = _compiler(device).compile(experiment)
    compact, observables = _compact(isa)
    estimator = StatevectorEstimator()
    expected = estimator.run([(experiment.circuit, list(experiment.observables), angles)])
    found = estimator.run([(compact, observables, angles)])
    np.testing.assert_allclose(
        found.result()[0].data.evs, expected.result()[0].data.evs, rtol=0, atol=1e-9
    )
    assert all(
        device.target.instruction_supported(step.name, step.qubits)
        for step in operations_of(isa.circuit)
        if step.name != "barrier"
    )


def test_gates_are_turned_round_where_couplings_have_one_direction() -> None:
    device = device_of_backend(FakeSherbrooke())
    routed = _compiler(device, keeps=True).compile(_estimate(LINE))
    table = ErrorTable.of(device.target)
    ranked = ranked_placements(routed.circuit, routed.layout, table, device.target)
    turned = [placement for placement in ranked if placement.turned is not None]
    assert turned
    assert all(placement.fidelity.gates > LN_FLOOR for placement in ranked)


@pytest.mark.parametrize("name", ["fake_torino", "fake_sherbrooke"])
def test_bits_are_read_from_where_their_qubits_went(name: str) -> None:
    circuit = QuantumCircuit(5, 5)
    circuit.x([0, 3])
    for control, target in [(0, 2), (0, 4), (2, 4), (4, 1), (0, 3), (3, 1)]:
        circuit.cx(control, target)
    circuit.swap(1, 4)
    crossed = [3, 0, 4, 1, 2]
    circuit.measure(range(5), crossed)
    expected = AerSimulator().run(circuit, shots=20).result().get_counts()
    isa = _compiler(device_of(name)).compile(Experiment.sample(circuit))
    compact, _ = _compact(isa)
    assert AerSimulator().run(compact, shots=20).result().get_counts() == expected


@pytest.mark.parametrize("circuit", ["line", "ring, routed"])
def test_the_same_circuit_lands_on_the_same_qubits(circuit: str) -> None:
    experiment = _estimate(CIRCUITS[circuit])
    first, second = (_compiler(device_of("fake_sherbrooke")) for _ in range(2))
    assert first.candidates(experiment) == second.candidates(experiment)
    assert first.compile(experiment).circuit == second.compile(experiment).circuit


@settings(max_examples=8)
@given(seed=st.integers(0, 1000), width=st.integers(2, 5))
def test_the_choice_is_never_worse_than_the_transpilers(seed: int, width: int) -> None:
    coupling = CouplingMap.from_heavy_hex(3)
    backend = GenericBackendV2(19, coupling_map=coupling, seed=seed)
    compiler = _compiler(device_of_backend(backend), level=1)
    ranked = compiler.candidates(_estimate(efficient_su2(width, reps=1)))
    totals = [candidate.fidelity.ln_esp for candidate in ranked]
    assert totals == sorted(totals, reverse=True)
    assert [candidate.is_transpilers for candidate in ranked].count(True) == 1
    assert all(len(set(candidate.layout)) == width for candidate in ranked)


def test_the_best_candidate_is_what_is_compiled() -> None:
    compiler = _compiler(device_of("fake_torino"))
    experiment = _estimate(CIRCUITS["ring, routed"])
    ranked = compiler.candidates(experiment)
    isa = compiler.compile(experiment)
    assert isa.layout == ranked[0].layout
    own = _compiler(device_of("fake_torino"), keeps=True)
    assert own.compile(experiment).layout in [c.layout for c in ranked if c.is_transpilers]
    assert len(own.candidates(experiment)) == 1


def test_candidates_can_be_ranked_by_what_is_expected() -> None:
    device = device_of("fake_torino")
    compiler = _compiler(device)
    today = compiler.candidates(_estimate(LINE))[0]
    worse = {("measure", (qubit,)): 0.4 for qubit in today.layout}
    expected = ErrorTable.of(device.target, expected_errors=worse)
    then = compiler.candidates(_estimate(LINE), expected)[0]
    assert set(then.layout).isdisjoint(today.layout)


def test_an_isa_circuit_is_left_alone() -> None:
    device = device_of("fake_manila")
    circuit = QuantumCircuit(5)
    circuit.sx(3)
    circuit.cx(3, 4)
    compiler = _compiler(device)
    experiment = Experiment.estimate(circuit, ["ZIIII", "IZIII"])
    assert compiler.compile(experiment).circuit is experiment.circuit
    [only] = compiler.candidates(experiment)
    table = ErrorTable.of(device.target)
    readout = sum(table.ln_success["measure", (qubit,)] for qubit in (3, 4))
    assert (only.layout, only.is_transpilers) == ((0, 1, 2, 3, 4), False)
    assert only.fidelity.readout == pytest.approx(readout)


def test_without_optimization_the_layout_is_the_transpilers() -> None:
    device = device_of("fake_torino")
    experiment = _estimate(LINE)
    assert _compiler(device, level=0).compile(experiment).layout == (0, 1, 2, 3)


def test_a_circuit_with_control_flow_stays_where_it_is() -> None:
    circuit = QuantumCircuit(2, 1)
    circuit.sx(0)
    circuit.measure(0, 0)
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.x(1)
    circuit.measure(1, 0)
    device = device_of("fake_torino")
    compiled = [
        _compiler(device, keeps=keeps).compile(Experiment.sample(circuit)) for keeps in (1, 0)
    ]
    assert compiled[0].layout == compiled[1].layout
    assert len(_compiler(device).candidates(Experiment.sample(circuit))) == 1


def test_missing_numbers_and_broken_gates_do_not_stop_the_search() -> None:
    backend = FakeAuckland()
    target = backend.target
    for name in ("cx", "measure", "sx"):
        for index, qubits in enumerate(list(target[name])):
            error = (None, 1.0, 0.02, float("nan"))[index % 4]
            target.update_instruction_properties(name, qubits, InstructionProperties(error=error))
    routed = _compiler(device_of("fake_auckland"), keeps=True).compile(_estimate(LINE))
    ranked = ranked_placements(routed.circuit, routed.layout, ErrorTable.of(target), target)
    assert len(ranked) > 1
    assert all(np.isfinite(placement.fidelity.ln_esp) for placement in ranked)
