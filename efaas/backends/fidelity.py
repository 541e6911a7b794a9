"""How likely a compiled circuit runs without an error, by a device's calibration.

The estimated success probability (ESP) is the product, over all operations, of the probability
that each succeeds (Nishio et al., arXiv:1903.10963; Murali et al., arXiv:1901.11054). A circuit
is counted once; under a new calibration its counts are multiplied with a new table.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from qiskit.circuit import ControlFlowOp
from qiskit.utils import apply_prefix

from efaas.backends.device import BROKEN
from efaas.errors import InputError

if TYPE_CHECKING:
    from qiskit.circuit import QuantumCircuit
    from qiskit.transpiler import Target

__all__ = [
    "LN_FLOOR",
    "ErrorTable",
    "Fidelity",
    "Operation",
    "OperationCounts",
    "operations_of",
]

LN_FLOOR = math.log(1e-12)
"""Stands for the logarithm of 0: of an operation that the device cannot do, or that is broken."""

Place = tuple[str, tuple[int, ...]]
"""An operation's name and its qubits."""


@dataclass(frozen=True, slots=True)
class Fidelity:
    """The estimated success probability of a circuit, by where it is lost.

    Attributes:
        gates: Natural logarithm of the probability that no gate errs; 0 or less.
        readout: The same for reading qubits.
        idle: The same for waiting qubits.
    """

    gates: float
    readout: float
    idle: float

    @property
    def ln_esp(self) -> float:
        """Natural logarithm of the ESP; 0 or less, and never minus infinity."""
        return self.gates + self.readout + self.idle

    @property
    def esp(self) -> float:
        """The estimated success probability, in [0, 1]."""
        return math.exp(self.ln_esp)


class Operation(NamedTuple):
    """One step of a circuit: its name, its qubits' indices, and how long it is if it says so."""

    name: str
    qubits: tuple[int, ...]
    seconds: float | None = None


def operations_of(circuit: QuantumCircuit, dt: float | None = None) -> list[Operation]:
    """The operations of a circuit in order; each block of control flow counts as run once.

    Args:
        circuit: Only instructions of the device.
        dt: Seconds of one ``dt``. Delays of unknown length take no time.
    """
    return list(_operations(circuit, range(circuit.num_qubits), dt))


def _operations(
    circuit: QuantumCircuit, places: Sequence[int], dt: float | None
) -> Iterator[Operation]:
    place = dict(zip(circuit.qubits, places, strict=True))
    for instruction in circuit.data:
        operation = instruction.operation
        qubits = tuple([place[qubit] for qubit in instruction.qubits])
        if isinstance(operation, ControlFlowOp):
            yield Operation("barrier", qubits)
            for block in operation.blocks:
                yield from _operations(block, qubits, dt)
            yield Operation("barrier", qubits)
        elif operation.name == "delay":
            yield Operation("delay", qubits, _delay_seconds(operation, dt))
        elif qubits:
            yield Operation(operation.name, qubits)


def _delay_seconds(delay: Any, dt: float | None) -> float:
    if not isinstance(delay.duration, (int, float)):
        return 0.0
    if delay.unit == "dt":
        return float(delay.duration * (dt or 0.0))
    return float(apply_prefix(float(delay.duration), delay.unit))


@dataclass(frozen=True, slots=True)
class ErrorTable:
    """What can go wrong on a device: a row for each operation on each set of qubits.

    Errors are average infidelities in [0, 1]. An unknown error is the median of the same
    operation's known, working ones on this device, or 0 if there are none. An error of ``BROKEN``
    or more, and an operation that the device does not have on those qubits, count ``LN_FLOOR``.
    An unknown T1 is infinite; an unknown T2 is ``2 T1``, which is also the most it can be.

    Attributes:
        num_qubits: Width of the device.
        ln_success: ``ln(1 - error)`` of each operation; 0 or less.
        seconds: Duration of each operation; unknown ones as for errors.
        anywhere: Names of operations that all qubits have, without a known error.
        coherence: T1 and T2 of each qubit in seconds; infinite where unknown.
    """

    num_qubits: int
    ln_success: Mapping[Place, float]
    seconds: Mapping[Place, float]
    anywhere: frozenset[str]
    coherence: tuple[tuple[float, float], ...]

    @classmethod
    def of(
        cls,
        target: Target,
        *,
        expected_errors: Mapping[Place, float] | None = None,
        expected_coherence: Mapping[int, tuple[float | None, float | None]] | None = None,
    ) -> ErrorTable:
        """The table of a target, by its own numbers or by what they are expected to be now.

        Args:
            target: Qiskit's description of the device.
            expected_errors: Errors that replace the target's, in [0, 1]; a readout error is that
                of ``("measure", (qubit,))``.
            expected_coherence: T1 and T2 in seconds that replace the target's, by qubit.

        Raises:
            InputError: An expected number is for something that the device does not have, or is
                out of its range.
        """
        expected = dict(expected_errors or {})
        ln_success: dict[Place, float] = {}
        seconds: dict[Place, float] = {}
        anywhere = set()
        for name in target.operation_names:
            entries = target[name]
            if entries is None or None in entries:
                anywhere.add(name)
                continue
            errors: dict[tuple[int, ...], float | None] = {}
            durations: dict[tuple[int, ...], float | None] = {}
            for qubits, properties in entries.items():
                error = expected.pop((name, qubits), None)
                if error is not None:
                    _check_error(name, qubits, error)
                else:
                    error = _number(getattr(properties, "error", None))
                errors[qubits] = error
                durations[qubits] = _number(getattr(properties, "duration", None))
            typical = _median(error for error in errors.values() if _works(error))
            usual = _median(durations.values())
            for qubits, error in errors.items():
                ln_success[name, qubits] = _ln_success(typical if error is None else error)
                duration = durations[qubits]
                seconds[name, qubits] = usual if duration is None else duration
        if expected:
            name, qubits = next(iter(expected))
            raise InputError(
                f"an error is expected of {name!r} on qubits {qubits}, which the device does not "
                f"have; it has {', '.join(sorted(target.operation_names))}"
            )
        return cls(
            num_qubits=int(target.num_qubits or 0),
            ln_success=ln_success,
            seconds=seconds,
            anywhere=frozenset(anywhere),
            coherence=_coherence(target, expected_coherence or {}),
        )

    @property
    def is_blank(self) -> bool:
        """Whether nothing is known to go wrong."""
        return not any(self.ln_success.values()) and all(
            t1 == t2 == math.inf for t1, t2 in self.coherence
        )

    def supports(self, name: str, qubits: tuple[int, ...]) -> bool:
        """Whether the device has this operation on these qubits, in this order."""
        return (name, qubits) in self.ln_success or name in self.anywhere

    def fidelity(self, counts: OperationCounts) -> Fidelity:
        """The expected fidelity of a circuit that was counted, in a few microseconds."""
        ln_success, anywhere = self.ln_success, self.anywhere
        gates = readout = idle = 0.0
        for place, count in counts.gates.items():
            gates += count * ln_success.get(place, 0.0 if place[0] in anywhere else LN_FLOOR)
        unread = 0.0 if "measure" in anywhere else LN_FLOOR
        for qubit, count in counts.readouts.items():
            readout += count * ln_success.get(("measure", (qubit,)), unread)
        for qubit, seconds in counts.idle_seconds.items():
            idle += self.ln_idle(qubit, seconds)
        return Fidelity(gates, readout, idle)

    def ln_idle(self, qubit: int, seconds: float) -> float:
        """Logarithm of the average fidelity of a qubit that waits.

        Relaxation has the Pauli transfer matrix ``diag(1, e^(-t/T2), e^(-t/T2), e^(-t/T1))`` and
        a shift, so its average fidelity is ``1/2 + e^(-t/T2)/3 + e^(-t/T1)/6`` (Nielsen,
        arXiv:quant-ph/0205035): the measure in which gate errors are given, too.
        """
        if qubit >= len(self.coherence):
            return 0.0
        t1, t2 = self.coherence[qubit]
        return math.log1p(math.expm1(-seconds / t2) / 3 + math.expm1(-seconds / t1) / 6)


@dataclass(frozen=True, slots=True)
class OperationCounts:
    """A compiled circuit as far as its expected fidelity depends on it.

    Attributes:
        gates: How often each operation is done on each set of qubits; no measurements.
        readouts: How often each qubit is read.
        idle_seconds: How long each qubit waits, if it does.
    """

    gates: Mapping[Place, int]
    readouts: Mapping[int, int]
    idle_seconds: Mapping[int, float]

    @classmethod
    def of(
        cls,
        operations: Sequence[Operation],
        table: ErrorTable,
        *,
        read: Sequence[int] = (),
        places: Sequence[int] | None = None,
    ) -> OperationCounts:
        """Count a circuit's operations, and schedule them as soon as possible.

        A qubit waits between its operations, not before its first. One that is read at the end
        also waits for the last operation of all, as qubits are read together.

        Args:
            operations: Of the circuit, in order.
            table: Says how long each takes.
            read: Qubits that are read at the end, beside those that the circuit measures.
            places: The device's qubit for each qubit of the operations; None if it is the same.
        """
        gates: Counter[Place] = Counter()
        readouts: Counter[int] = Counter()
        idle: defaultdict[int, float] = defaultdict(float)
        ends: dict[int, float] = {}
        started: set[int] = set()
        durations = table.seconds
        for name, qubits, seconds in operations:
            if places is not None:
                qubits = tuple([places[qubit] for qubit in qubits])
            start = max([ends.get(qubit, 0.0) for qubit in qubits])
            for qubit in qubits:
                if qubit in started and start > ends[qubit]:
                    idle[qubit] += start - ends[qubit]
            if name == "barrier":
                ends.update(dict.fromkeys(qubits, start))
                continue
            if name == "delay":
                seconds = seconds or 0.0
                if qubits[0] in started:
                    idle[qubits[0]] += seconds
            else:
                seconds = durations.get((name, qubits), 0.0)
                started.update(qubits)
                if name == "measure":
                    readouts[qubits[0]] += 1
                else:
                    gates[name, qubits] += 1
            ends.update(dict.fromkeys(qubits, start + seconds))
        end = max(ends.values(), default=0.0)
        for qubit in read:
            if places is not None:
                qubit = places[qubit]
            readouts[qubit] += 1
            if qubit in started and end > ends[qubit]:
                idle[qubit] += end - ends[qubit]
        return cls(dict(gates), dict(readouts), dict(idle))


def _number(value: float | None) -> float | None:
    """The value if it is one that an error or a duration can have."""
    return value if value is not None and 0.0 <= value < math.inf else None


def _works(error: float | None) -> bool:
    return error is not None and error < BROKEN


def _median(values: Any) -> float:
    """The median of the known values; 0 if there are none."""
    known = [value for value in values if value is not None]
    return median(known) if known else 0.0


def _ln_success(error: float) -> float:
    return math.log1p(-error) if error < BROKEN else LN_FLOOR


def _check_error(name: str, qubits: tuple[int, ...], error: float) -> None:
    if not 0.0 <= error <= 1.0:
        raise InputError(
            f"the expected error of {name!r} on qubits {qubits} must be in [0, 1], got {error}"
        )


def _coherence(
    target: Target, expected: Mapping[int, tuple[float | None, float | None]]
) -> tuple[tuple[float, float], ...]:
    """T1 and T2 of each qubit in seconds, infinite where unknown."""
    num_qubits = int(target.num_qubits or 0)
    for qubit, times in expected.items():
        if not 0 <= qubit < num_qubits:
            raise InputError(
                f"coherence times are expected of qubit {qubit}, but the device's qubits are 0 to "
                f"{num_qubits - 1}"
            )
        if any(time is not None and not time > 0 for time in times):
            raise InputError(f"T1 and T2 of qubit {qubit} must be above 0 seconds, got {times}")
    properties = target.qubit_properties or (None,) * num_qubits
    coherence = []
    for qubit, known in enumerate(properties):
        given = getattr(known, "t1", None), getattr(known, "t2", None)
        t1, t2 = (
            time if time is not None and time > 0 else None for time in expected.get(qubit, given)
        )
        longest = math.inf if t1 is None else 2 * t1
        coherence.append(
            (math.inf if t1 is None else t1, longest if t2 is None else min(t2, longest))
        )
    return tuple(coherence)
