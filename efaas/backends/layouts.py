"""Where on the device a routed circuit runs best, by the device's calibration.

The transpiler chooses qubits by their gates. Reading is the larger error on most devices, and it
is not in an estimate's circuit; so a routed circuit is moved, as it is, to where its gates, its
reading and its waiting together are expected to lose least.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import ControlFlowOp
from qiskit.transpiler import PassManager, TranspilerError
from qiskit.transpiler.passes import GateDirection, Optimize1qGatesDecomposition

from efaas.backends.fidelity import Fidelity, Operation, OperationCounts, operations_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from qiskit.transpiler import Target

    from efaas.backends.fidelity import ErrorTable

__all__ = ["Candidate", "Placement", "ranked_placements", "transpilers_placement"]

_MOST_PARTIAL = 2048
"""Partial placements that are extended at each step of the search."""

_PARTIAL_QUBITS = 16384
"""Partial placements times qubits of the circuit: wide circuits get fewer."""

_COUNTED_OPERATIONS = 16000
"""Operations that are scheduled for the ranking: long circuits get fewer candidates."""

_MOST_TURNED = 6
"""Candidates in which gates are turned round: 2 ms each for a short circuit."""

_TURNED_OPERATIONS = 2500
"""Operations of all candidates in which gates are turned round."""

_TURNABLE = frozenset({"cx", "cz", "ecr", "rxx", "ryy", "rzz", "rzx", "swap"})


@dataclass(frozen=True, slots=True)
class Candidate:
    """A layout that a circuit could have.

    Attributes:
        layout: Physical qubit of each virtual qubit at the start.
        fidelity: Expected there.
        is_transpilers: Whether it is the transpiler's own choice.
    """

    layout: tuple[int, ...]
    fidelity: Fidelity
    is_transpilers: bool


@dataclass(frozen=True, slots=True)
class Placement:
    """A place for a routed circuit.

    Attributes:
        places: The new place of each of the device's qubits, a permutation.
        fidelity: Expected there.
        is_transpilers: Whether the circuit stays where it is.
        turned: The circuit there, if gates of it had to be turned round.
    """

    places: tuple[int, ...]
    fidelity: Fidelity
    is_transpilers: bool = False
    turned: QuantumCircuit | None = None

    def of(self, circuit: QuantumCircuit) -> QuantumCircuit:
        """The routed circuit that this is a place for, at this place; without ``layout``."""
        if self.is_transpilers:
            return circuit
        return _moved(circuit, self.places) if self.turned is None else self.turned


def ranked_placements(
    circuit: QuantumCircuit, read: Sequence[int], table: ErrorTable, target: Target
) -> list[Placement]:
    """Places for a routed circuit, the best first; where it is now is always among them.

    All placements that keep the circuit's gates are compared by gates and readout, up to a number
    of partial placements, beyond which the most promising are kept; the best ones also by idle
    time. Where couplings have a direction, gates are turned round. The same input always gives
    the same list.

    Args:
        circuit: Only instructions of the device, and as wide as it. One with control flow, or
            with gates on more than two qubits, stays where it is.
        read: Qubits that are read at the end, beside those that the circuit measures.
        table: What can go wrong.
        target: What the device can run.
    """
    operations = operations_of(circuit, target.dt)
    ranked = [_unmoved(operations, circuit.num_qubits, read, table)]
    if table.is_blank or not _is_movable(circuit) or circuit.num_qubits != table.num_qubits:
        return ranked
    pattern = _Pattern(operations, read)
    best = max(4, min(32, _COUNTED_OPERATIONS // max(1, len(operations))))
    turns = min(_MOST_TURNED, _TURNED_OPERATIONS // max(1, len(operations)))
    for images in pattern.search(table)[:best]:
        places = _permutation(pattern.nodes, images, circuit.num_qubits)
        if places == ranked[0].places:
            continue
        if all(
            table.supports(name, tuple(places[qubit] for qubit in qubits))
            for name, qubits in pattern.pairs
        ):
            counts = OperationCounts.of(operations, table, read=read, places=places)
            ranked.append(Placement(places, table.fidelity(counts)))
        elif turns:
            turns -= 1
            turned = _turned(_moved(circuit, places), target)
            if turned is not None:
                steps = operations_of(turned, target.dt)
                there = [places[qubit] for qubit in read]
                counts = OperationCounts.of(steps, table, read=there)
                ranked.append(Placement(places, table.fidelity(counts), turned=turned))
    # The sort is stable: of equals, the transpiler's is first.
    return sorted(ranked, key=lambda placement: -placement.fidelity.ln_esp)


def transpilers_placement(
    circuit: QuantumCircuit, read: Sequence[int], table: ErrorTable, target: Target
) -> Placement:
    """Where a routed circuit is; for the arguments see ``ranked_placements``."""
    return _unmoved(operations_of(circuit, target.dt), circuit.num_qubits, read, table)


def _unmoved(
    operations: Sequence[Operation], num_qubits: int, read: Sequence[int], table: ErrorTable
) -> Placement:
    fidelity = table.fidelity(OperationCounts.of(operations, table, read=read))
    return Placement(tuple(range(num_qubits)), fidelity, is_transpilers=True)


def _is_movable(circuit: QuantumCircuit) -> bool:
    return not circuit.num_vars and all(
        instruction.operation.name == "barrier"
        or (len(instruction.qubits) <= 2 and not isinstance(instruction.operation, ControlFlowOp))
        for instruction in circuit.data
    )


class _Pattern:
    """What a circuit asks of its qubits and of their couplings.

    Attributes:
        nodes: The qubits that it uses, in the order in which they are placed.
        pairs: How often it does each two-qubit operation on each pair.
    """

    def __init__(self, operations: Sequence[Operation], read: Sequence[int]) -> None:
        self.pairs: Counter[tuple[str, tuple[int, ...]]] = Counter()
        self._ones: defaultdict[int, Counter[str]] = defaultdict(Counter)
        for name, qubits, _ in operations:
            if name == "barrier":
                continue
            if len(qubits) == 2:
                self.pairs[name, qubits] += 1
            else:
                self._ones[qubits[0]][name] += 1
        for qubit in read:
            self._ones[qubit]["measure"] += 1
        self.nodes = self._order()

    def _order(self) -> list[int]:
        """The qubits, each as closely tied to those before it as can be."""
        near: defaultdict[int, set[int]] = defaultdict(set)
        for _, (one, other) in self.pairs:
            near[one].add(other)
            near[other].add(one)
        rest = sorted(near.keys() | self._ones.keys())
        order: list[int] = []
        while rest:
            placed = set(order)
            chosen = max(rest, key=lambda q: (len(near[q] & placed), len(near[q]), -q))
            rest.remove(chosen)
            order.append(chosen)
        return order

    def search(self, table: ErrorTable) -> NDArray[np.int64]:
        """Places of ``nodes`` by expected loss, shape (placements, nodes), the best first."""
        num_qubits = table.num_qubits
        most = max(64, min(_MOST_PARTIAL, _PARTIAL_QUBITS // max(1, len(self.nodes))))
        losses = self._pair_losses(table)
        rows = np.zeros((1, 0), dtype=np.int64)
        costs = np.zeros(1)
        for level, node in enumerate(self.nodes):
            total = costs[:, None] + self._node_loss(node, table)[None, :]
            for column, other in enumerate(self.nodes[:level]):
                if (other, node) in losses:
                    total += losses[other, node][rows[:, column]]
            np.put_along_axis(total, rows, np.inf, axis=1)
            flat = total.ravel()
            found = np.flatnonzero(np.isfinite(flat))
            if len(found) > most:
                found = found[np.argpartition(flat[found], most - 1)[:most]]
            found = found[np.argsort(flat[found], kind="stable")]
            rows = np.column_stack([rows[found // num_qubits], found % num_qubits])
            costs = flat[found]
        return rows

    def _node_loss(self, node: int, table: ErrorTable) -> NDArray[np.float64]:
        """What a qubit loses by itself on each of the device's qubits; infinite where it cannot."""
        loss = np.zeros(table.num_qubits)
        for name, count in self._ones[node].items():
            if name not in table.anywhere:
                one = np.full(table.num_qubits, np.inf)
                for qubit in range(table.num_qubits):
                    ln_success = table.ln_success.get((name, (qubit,)))
                    if ln_success is not None:
                        one[qubit] = -ln_success
                loss += count * one
        return loss

    def _pair_losses(self, table: ErrorTable) -> dict[tuple[int, int], NDArray[np.float64]]:
        """For each pair of nodes what it loses on each pair of the device's qubits."""
        by_name: dict[str, NDArray[np.float64]] = {}
        for name in {name for name, _ in self.pairs}:
            by_name[name] = _losses(name, table)
        losses: dict[tuple[int, int], NDArray[np.float64]] = {}
        shape = (table.num_qubits, table.num_qubits)
        for (name, (one, other)), count in sorted(self.pairs.items()):
            loss = count * by_name[name]
            for pair, matrix in (((one, other), loss), ((other, one), loss.T)):
                losses[pair] = losses.get(pair, np.zeros(shape)) + matrix
        return losses


def _losses(name: str, table: ErrorTable) -> NDArray[np.float64]:
    """What a two-qubit operation loses on each pair; infinite where there is none."""
    shape = (table.num_qubits, table.num_qubits)
    if name in table.anywhere:
        return np.zeros(shape)
    losses = np.full(shape, np.inf)
    for (other, qubits), ln_success in table.ln_success.items():
        if other == name:
            losses[qubits] = -ln_success
    return np.minimum(losses, losses.T) if name in _TURNABLE else losses


def _permutation(
    nodes: Sequence[int], images: NDArray[np.int64], num_qubits: int
) -> tuple[int, ...]:
    """The new place of each qubit: nodes at their images, the others wherever is room."""
    places = dict(zip(nodes, images.tolist(), strict=True))
    free = set(range(num_qubits)).difference(places.values())
    others = [qubit for qubit in range(num_qubits) if qubit not in places]
    # Whoever can stay stays.
    for qubit in others:
        if qubit in free:
            places[qubit] = qubit
            free.remove(qubit)
    rest = iter(sorted(free))
    return tuple(places[q] if q in places else next(rest) for q in range(num_qubits))


def _moved(circuit: QuantumCircuit, places: Sequence[int]) -> QuantumCircuit:
    moved = QuantumCircuit(
        circuit.qubits,
        *circuit.qregs,
        circuit.clbits,
        *circuit.cregs,
        name=circuit.name,
        global_phase=circuit.global_phase,
        metadata=circuit.metadata,
    )
    at = {qubit: circuit.qubits[places[index]] for index, qubit in enumerate(circuit.qubits)}
    for instruction in circuit.data:
        qubits = [at[qubit] for qubit in instruction.qubits]
        moved.append(instruction.replace(qubits=qubits), copy=False)
    return moved


def _turned(circuit: QuantumCircuit, target: Target) -> QuantumCircuit | None:
    """The circuit with gates turned round where a coupling has them the other way only.

    Returns:
        None if that does not give instructions of the device.
    """
    basis = list(target.operation_names)
    passes = [
        GateDirection(None, target=target),
        Optimize1qGatesDecomposition(basis=basis, target=target),
    ]
    try:
        turned = PassManager(passes).run(circuit)
    except TranspilerError:
        return None
    is_supported = all(
        name == "barrier" or target.instruction_supported(name, qubits)
        for name, qubits, _ in operations_of(turned)
    )
    return turned if is_supported else None
