"""The expected fidelity of compiled circuits, against hand computations."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import Delay, IfElseOp, Measure, Parameter
from qiskit.circuit.library import CXGate, RZGate, SXGate
from qiskit.quantum_info import average_gate_fidelity
from qiskit.transpiler import InstructionProperties, QubitProperties, Target
from qiskit_aer.noise import thermal_relaxation_error

from efaas.backends.fidelity import (
    LN_FLOOR,
    ErrorTable,
    Fidelity,
    Operation,
    OperationCounts,
    operations_of,
)
from efaas.errors import InputError

SX, CX, READ = 40e-9, 300e-9, 1e-6
T1, T2 = (100e-6, 50e-6, 80e-6), (70e-6, 60e-6, 200e-6)
SX_ERRORS: tuple[float | None, ...] = (1e-3, 2e-3, 3e-3)
READ_ERRORS: tuple[float | None, ...] = (0.01, 0.02, 0.04)


def _target(
    sx: tuple[float | None, ...] = SX_ERRORS,
    cx: tuple[float | None, ...] = (0.01, 0.02),
    read: tuple[float | None, ...] = READ_ERRORS,
    t1: tuple[float | None, ...] = T1,
    t2: tuple[float | None, ...] = T2,
) -> Target:
    """Three qubits in a line, 0 -> 1 -> 2."""
    times = [QubitProperties(t1=a, t2=b) for a, b in zip(t1, t2, strict=True)]
    target = Target(num_qubits=3, dt=1e-9, qubit_properties=times)
    qubits = [(qubit,) for qubit in range(3)]

    def entries(
        where: list[tuple[int, ...]], seconds: float, errors: tuple[float | None, ...]
    ) -> dict[tuple[int, ...], InstructionProperties]:
        return {
            at: InstructionProperties(duration=seconds, error=error)
            for at, error in zip(where, errors, strict=True)
        }

    target.add_instruction(SXGate(), entries(qubits, SX, sx))
    target.add_instruction(RZGate(Parameter("a")), entries(qubits, 0.0, (0.0,) * 3))
    target.add_instruction(CXGate(), entries([(0, 1), (1, 2)], CX, cx))
    target.add_instruction(Measure(), entries(qubits, READ, read))
    target.add_instruction(Delay(Parameter("t")), dict.fromkeys(qubits))
    return target


def _circuit() -> QuantumCircuit:
    circuit = QuantumCircuit(3)
    circuit.sx(0)
    circuit.sx(0)
    circuit.cx(0, 1)
    circuit.sx(0)
    circuit.rz(0.3, 0)
    circuit.cx(1, 2)
    circuit.sx(2)
    return circuit


def _fidelity(
    circuit: QuantumCircuit, target: Target, read: tuple[int, ...] = (0, 1, 2)
) -> Fidelity:
    table = ErrorTable.of(target)
    return table.fidelity(OperationCounts.of(operations_of(circuit, target.dt), table, read=read))


def _ln_idle(seconds: float, qubit: int) -> float:
    t2 = min(T2[qubit], 2 * T1[qubit])
    return math.log(0.5 + math.exp(-seconds / t2) / 3 + math.exp(-seconds / T1[qubit]) / 6)


def test_the_esp_is_the_product_that_one_writes_by_hand() -> None:
    # The end is 2 sx + cx + cx + sx; qubit 0 waits for cx, qubit 1 for the last sx.
    found = _fidelity(_circuit(), _target())
    gates = 0.999**3 * 0.997 * 0.99 * 0.98
    readout = 0.99 * 0.98 * 0.96
    idle = math.exp(_ln_idle(CX, 0) + _ln_idle(SX, 1))
    assert math.exp(found.gates) == pytest.approx(gates, rel=1e-12)
    assert math.exp(found.readout) == pytest.approx(readout, rel=1e-12)
    assert math.exp(found.idle) == pytest.approx(idle, rel=1e-12)
    assert found.esp == pytest.approx(gates * readout * idle, rel=1e-12)


def test_counts_say_what_is_done_where() -> None:
    table = ErrorTable.of(_target())
    counts = OperationCounts.of(operations_of(_circuit()), table, read=[0, 2])
    assert counts.gates == {
        ("sx", (0,)): 3,
        ("cx", (0, 1)): 1,
        ("rz", (0,)): 1,
        ("cx", (1, 2)): 1,
        ("sx", (2,)): 1,
    }
    assert counts.readouts == {0: 1, 2: 1}
    assert counts.idle_seconds == pytest.approx({0: CX})


def test_counting_at_other_places_is_counting_the_moved_circuit() -> None:
    table = ErrorTable.of(_target())
    moved = QuantumCircuit(3)
    moved.compose(_circuit(), [2, 0, 1], inplace=True)
    there = OperationCounts.of(operations_of(_circuit()), table, read=[0, 1, 2], places=(2, 0, 1))
    assert there == OperationCounts.of(operations_of(moved), table, read=[2, 0, 1])


@given(st.floats(1e-6, 1e-3), st.floats(0.01, 2.0), st.floats(0.0, 1e-3))
def test_waiting_costs_the_average_fidelity_of_relaxation(
    t1: float, ratio: float, seconds: float
) -> None:
    t2 = ratio * t1
    table = ErrorTable.of(_target(t1=(t1,) * 3, t2=(t2,) * 3))
    channel = thermal_relaxation_error(t1, t2, seconds).to_quantumchannel()
    expected = average_gate_fidelity(channel)
    assert math.exp(table.ln_idle(1, seconds)) == pytest.approx(expected, abs=1e-9)


def test_a_qubit_waits_between_its_operations_but_not_before_the_first() -> None:
    circuit = QuantumCircuit(3)
    circuit.delay(500, 0, "ns")
    circuit.sx(0)
    circuit.delay(2000, 0)
    circuit.sx(0)
    circuit.sx(1)
    circuit.barrier()
    circuit.sx(1)
    table = ErrorTable.of(_target())
    counts = OperationCounts.of(operations_of(circuit, 1e-9), table)
    assert counts.idle_seconds == pytest.approx({0: 2e-6, 1: 2.5e-6 + SX})


def test_measurements_and_blocks_of_control_flow_count_once_each() -> None:
    block = QuantumCircuit(2)
    block.cx(0, 1)
    circuit = QuantumCircuit(3, 1)
    circuit.measure(0, 0)
    circuit.append(IfElseOp((circuit.clbits[0], 1), block), [1, 2])
    counts = OperationCounts.of(operations_of(circuit), ErrorTable.of(_target()), read=[0])
    assert counts.readouts == {0: 2}
    assert counts.gates == {("cx", (1, 2)): 1}


def test_an_unknown_error_is_the_median_of_the_working_ones() -> None:
    circuit = QuantumCircuit(3)
    circuit.sx(2)
    known = _fidelity(circuit, _target(sx=(1e-3, 2e-3, 1.5e-3)), read=())
    unknown = _fidelity(circuit, _target(sx=(1e-3, 2e-3, None)), read=())
    assert unknown.gates == pytest.approx(known.gates)
    beside_a_broken_one = _fidelity(circuit, _target(sx=(1.0, 2e-3, math.nan)), read=())
    assert beside_a_broken_one.gates == pytest.approx(math.log(0.998))
    assert _fidelity(circuit, _target(sx=(None,) * 3), read=()).gates == 0.0


def test_what_is_broken_or_missing_counts_the_floor() -> None:
    backwards = QuantumCircuit(3)
    backwards.cx(1, 0)
    assert _fidelity(backwards, _target(), read=()).gates == LN_FLOOR
    assert _fidelity(QuantumCircuit(3), _target(read=(0.01, 1.0, 0.02)), (1,)).readout == LN_FLOOR
    unknown = QuantumCircuit(3)
    unknown.h(0)
    assert _fidelity(unknown, _target(), read=()).gates == LN_FLOOR


def test_without_coherence_times_waiting_costs_nothing() -> None:
    nothing: tuple[float | None, ...] = (None,) * 3
    assert _fidelity(_circuit(), _target(t1=nothing, t2=nothing)).idle == 0.0
    only_t1 = ErrorTable.of(_target(t2=nothing))
    assert only_t1.coherence == tuple((time, 2 * time) for time in T1)
    untold = _target()
    without = Target(num_qubits=3)
    without.add_instruction(SXGate(), dict(untold["sx"]))
    assert ErrorTable.of(without).coherence == ((math.inf, math.inf),) * 3


ANY_ERROR = st.one_of(st.none(), st.floats(0, 1), st.sampled_from([1.0, math.nan, 0.99]))
ANY_TIME = st.one_of(st.none(), st.floats(0, 1e-3), st.sampled_from([math.nan, 0.0]))


@given(
    st.tuples(*[ANY_ERROR] * 3),
    st.tuples(*[ANY_ERROR] * 2),
    st.tuples(*[ANY_ERROR] * 3),
    st.tuples(*[ANY_TIME] * 3),
    st.tuples(*[ANY_TIME] * 3),
)
def test_whatever_a_calibration_lacks_the_esp_is_a_probability(
    sx: tuple[float | None, ...],
    cx: tuple[float | None, ...],
    read: tuple[float | None, ...],
    t1: tuple[float | None, ...],
    t2: tuple[float | None, ...],
) -> None:
    found = _fidelity(_circuit(), _target(sx, cx, read, t1, t2))
    assert all(-1e3 < term <= 1e-12 for term in (found.gates, found.readout, found.idle))
    assert 0.0 <= found.esp <= 1.0


def test_expected_errors_stand_in_for_those_of_the_calibration() -> None:
    target = _target()
    expected = ErrorTable.of(
        target,
        expected_errors={("cx", (0, 1)): 0.5, ("measure", (2,)): 0.25},
        expected_coherence={0: (10e-6, None)},
    )
    counts = OperationCounts.of(operations_of(_circuit()), expected, read=[0, 1, 2])
    today, then = ErrorTable.of(target).fidelity(counts), expected.fidelity(counts)
    assert then.gates - today.gates == pytest.approx(math.log(0.5 / 0.99))
    assert then.readout - today.readout == pytest.approx(math.log(0.75 / 0.96))
    assert expected.coherence[0] == (10e-6, 20e-6)
    assert then.idle < today.idle


@pytest.mark.parametrize(
    ("errors", "message"),
    [
        ({("cx", (1, 0)): 0.1}, "which the device does not have"),
        ({("swap", (0, 1)): 0.1}, "which the device does not have"),
        ({("sx", (0,)): 1.5}, r"must be in \[0, 1\], got 1.5"),
        ({("sx", (0,)): math.nan}, r"must be in \[0, 1\], got nan"),
    ],
)
def test_expected_errors_that_cannot_be_are_refused(
    errors: dict[tuple[str, tuple[int, ...]], float], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        ErrorTable.of(_target(), expected_errors=errors)


@pytest.mark.parametrize("times", [{3: (1e-4, 1e-4)}, {0: (-1.0, None)}, {0: (math.nan, 1e-4)}])
def test_expected_coherence_that_cannot_be_is_refused(
    times: dict[int, tuple[float | None, float | None]],
) -> None:
    with pytest.raises(InputError, match=r"qubit \d"):
        ErrorTable.of(_target(), expected_coherence=times)


def test_operations_are_told_by_index_and_delays_by_seconds() -> None:
    circuit = QuantumCircuit(3)
    circuit.cx(1, 2)
    circuit.delay(3, 0, "us")
    circuit.delay(Parameter("t"), 1)
    assert operations_of(circuit) == [
        Operation("cx", (1, 2)),
        Operation("delay", (0,), pytest.approx(3e-6)),
        Operation("delay", (1,), 0.0),
    ]
