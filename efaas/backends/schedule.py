"""In which order, and on which part of the state, the steps of a fused circuit are applied.

A qubit joins the state when it first meets another one, so the first part of a circuit works on
small states. A product is applied to neighbouring indices; the schedule chooses among the ways
of doing so (in place, at an end, or moving the indices to the end at no cost) by what the next
step needs, and permutes the indices only where nothing else helps.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from efaas.backends.fusion import Fixed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from efaas.backends.channels import Matrix, Space
    from efaas.backends.fusion import Factor, Opaque, Step, Turning

__all__ = ["Action", "Link", "Move", "Origin", "Schedule", "Source", "scheduled"]

_CHAIN_NUMBERS = 4**6
"""From this size of state on, one-qubit factors are multiplied into the entangling matrices (a
product of 16x16 matrices, 3 us) instead of being applied to the state (20 us and more)."""

_ROTATE_NUMBERS = 4**6
"""Up to this size of state, moving indices to the end costs a product nothing."""


class Move(IntEnum):
    """How an action changes the state."""

    JOIN = 0
    FRONT = 1
    MIDDLE = 2
    BLOCKS = 3
    ROTATE = 4
    END = 5
    PERMUTE = 6


class Origin(IntEnum):
    """Where a matrix comes from."""

    CONSTANT = 0
    RUN = 1
    WIDE = 2
    CHAIN = 3


class Source(NamedTuple):
    """A matrix of the schedule: its origin, its number there, and its size."""

    origin: Origin
    number: int
    size: int


class Action(NamedTuple):
    """One change of the state, seen as a tensor ``(left, size, right)``.

    ``axes`` is only for PERMUTE: the tensor's shape, and the order of its axes (points first).
    """

    move: Move
    source: Source
    left: int
    size: int
    right: int
    axes: tuple[tuple[int, ...], tuple[int, ...]] = ((), ())


class Link(NamedTuple):
    """Part of a two-qubit matrix: one-qubit matrices on both qubits, then an entangling one."""

    base: Source | None
    first: Source | None
    second: Source | None


@dataclass
class Schedule:
    """What ``Evolution`` carries out.

    Attributes:
        actions: In order.
        constants: Constant matrices, and vectors of joining qubits.
        runs: One-qubit products of turning factors, in ascending order of their length.
        wide: Turning factors on several qubits, by matrix size.
        chains: Two-qubit matrices as products of links, the first link first.
        order: The qubit of each index of the final state.
    """

    actions: list[Action] = field(default_factory=list)
    constants: list[Matrix] = field(default_factory=list)
    runs: list[tuple[Turning | Opaque, ...]] = field(default_factory=list)
    wide: dict[int, list[Turning | Opaque]] = field(default_factory=dict)
    chains: list[tuple[Link, ...]] = field(default_factory=list)
    order: tuple[int, ...] = ()


def scheduled(steps: Sequence[Step], num_qubits: int, space: Space) -> Schedule:
    """The schedule of a fused circuit."""
    chaining = space.dim**num_qubits >= _CHAIN_NUMBERS
    operations = _Gatherer(steps, num_qubits, space, chaining=chaining).operations
    return _Placer(operations, space).schedule


@dataclass
class _Join:
    qubit: int
    factors: tuple[Factor, ...]


@dataclass
class _Apply:
    """Factors on one qubit, or links of factors on several qubits."""

    qubits: tuple[int, ...]
    links: list[tuple[Factor | None, tuple[tuple[Factor, ...], ...]]]


class _Gatherer:
    """Decides what is applied to the state at once: joins, runs, and chains of links."""

    def __init__(
        self, steps: Sequence[Step], num_qubits: int, space: Space, *, chaining: bool
    ) -> None:
        self.operations: list[_Join | _Apply] = []
        self._space = space
        self._chaining = chaining
        self._joined: set[int] = set()
        self._pending: dict[int, tuple[Factor, ...]] = {}
        self._last: dict[int, _Apply] = {}
        for step in steps:
            if len(step.qubits) == 1:
                self._run(step.qubits[0], step.factors)
            else:
                self._entangle(step.qubits, step.factors[0])
        for qubit in range(num_qubits):
            self._join(qubit)
        for qubit, factors in self._pending.items():
            self._close(qubit, factors)

    def _run(self, qubit: int, factors: tuple[Factor, ...]) -> None:
        if qubit not in self._joined or self._chaining:
            self._pending[qubit] = self._pending.get(qubit, ()) + factors
        else:
            self.operations.append(_Apply((qubit,), [(None, (factors,))]))

    def _entangle(self, qubits: tuple[int, ...], factor: Factor) -> None:
        for qubit in qubits:
            self._join(qubit)
        if len(qubits) > 2:
            for qubit in qubits:
                if qubit in self._pending:
                    self._close(qubit, self._pending.pop(qubit))
        ones = tuple(self._pending.pop(qubit, ()) for qubit in qubits)
        last = self._last.get(qubits[0])
        if (
            self._chaining
            and last is not None
            and len(qubits) == 2
            and last is self._last.get(qubits[1])
            and set(last.qubits) == set(qubits)
        ):
            if last.qubits != qubits:
                # The chain keeps its order of qubits: this link is written in it.
                last.links.append((factor.reordered(self._space, (1, 0)), ones[::-1]))
            else:
                last.links.append((factor, ones))
            return
        operation = _Apply(qubits, [(factor, ones)])
        self.operations.append(operation)
        for qubit in qubits:
            self._last[qubit] = operation

    def _join(self, qubit: int) -> None:
        if qubit not in self._joined:
            self._joined.add(qubit)
            self.operations.append(_Join(qubit, self._pending.pop(qubit, ())))

    def _close(self, qubit: int, factors: tuple[Factor, ...]) -> None:
        """Apply a qubit's last run: as part of the chain that it met last, if there is one."""
        last = self._last.get(qubit)
        if last is None or len(last.qubits) != 2:
            self.operations.append(_Apply((qubit,), [(None, (factors,))]))
        else:
            ones = tuple(factors if other == qubit else () for other in last.qubits)
            last.links.append((None, ones))


class _Placer:
    """Lays the operations on the indices of the state and collects their matrices."""

    def __init__(self, operations: Sequence[_Join | _Apply], space: Space) -> None:
        self.schedule = Schedule()
        self._space = space
        self._operations = operations
        self._order: list[int] = []
        self._raw_runs: list[tuple[Turning | Opaque, ...]] = []
        for index, operation in enumerate(operations):
            if isinstance(operation, _Join):
                self._place_join(operation)
            else:
                self._place(operation, index)
        self.schedule.order = tuple(self._order)
        self._sort_runs()

    def _place_join(self, join: _Join) -> None:
        dim = self._space.dim
        if not join.factors:
            source = self._constant(self._space.ground)
        elif isinstance(join.factors[0], Fixed):
            source = self._constant(join.factors[0].matrix @ self._space.ground)
        else:
            source = self._run(join.factors)
        left = dim ** len(self._order)
        self.schedule.actions.append(Action(Move.JOIN, source, left, dim, 1))
        self._order.append(join.qubit)

    def _place(self, operation: _Apply, index: int) -> None:
        dim = self._space.dim
        found = _contiguous(self._order, operation.qubits)
        if found is None:
            rest = [qubit for qubit in self._order if qubit not in operation.qubits]
            # Products at the end of a large state are the quickest, at the front of a small one.
            is_large = dim ** len(self._order) > _ROTATE_NUMBERS
            order = [*rest, *operation.qubits] if is_large else [*operation.qubits, *rest]
            axes = (0, *(1 + self._order.index(qubit) for qubit in order))
            shape = (dim,) * len(order)
            nothing = Source(Origin.CONSTANT, -1, 0)
            self.schedule.actions.append(Action(Move.PERMUTE, nothing, 1, 1, 1, (shape, axes)))
            self._order = order
            found = (len(rest) if is_large else 0), operation.qubits
        position, qubits = found
        width = len(qubits)
        left, size = dim**position, dim**width
        right = dim ** (len(self._order) - position - width)
        source = self._source(operation, qubits)
        move = Move.MIDDLE
        if position == 0:
            move = Move.FRONT
            rotated = [*self._order[width:], *self._order[:width]]
            if left * size * right <= _ROTATE_NUMBERS and self._ease(
                rotated, index + 1
            ) < self._ease(self._order, index + 1):
                move = Move.ROTATE
                self._order = rotated
        elif right == 1:
            move = Move.END
        self.schedule.actions.append(Action(move, source, left, size, right))

    def _ease(self, order: Sequence[int], index: int) -> int:
        """How badly an order suits the next product: 0 at an end, 1 inside, 2 not adjacent."""
        order = list(order)
        for operation in self._operations[index:]:
            if isinstance(operation, _Join):
                order.append(operation.qubit)
                continue
            found = _contiguous(order, operation.qubits)
            if found is None:
                return 2
            position = found[0]
            return int(position not in (0, len(order) - len(operation.qubits)))
        return 0

    def _source(self, operation: _Apply, qubits: tuple[int, ...]) -> Source:
        """The matrix of an operation, with its qubits in the given order."""
        swap = tuple(operation.qubits.index(qubit) for qubit in qubits)
        links = []
        for factor, ones in operation.links:
            if factor is not None:
                factor = factor.reordered(self._space, swap)
            links.append((factor, tuple(ones[place] for place in swap)))
        if len(qubits) == 1:
            return self._one(links[0][1][0])
        if len(links) == 1 and not any(links[0][1]):
            return self._factor(links[0][0])
        chain = []
        for factor, (first, second) in links:
            base = None if factor is None else self._factor(factor)
            chain.append(
                Link(
                    base,
                    self._one(first) if first else None,
                    self._one(second) if second else None,
                )
            )
        self.schedule.chains.append(tuple(chain))
        size = self._space.dim**2
        return Source(Origin.CHAIN, len(self.schedule.chains) - 1, size)

    def _one(self, factors: tuple[Factor, ...]) -> Source:
        if isinstance(factors[0], Fixed):
            return self._constant(factors[0].matrix)
        return self._run(factors)

    def _factor(self, factor: Any) -> Source:
        if isinstance(factor, Fixed):
            return self._constant(factor.matrix)
        size = self._matrix_size(factor)
        factors = self.schedule.wide.setdefault(size, [])
        factors.append(factor)
        return Source(Origin.WIDE, len(factors) - 1, size)

    def _matrix_size(self, factor: Any) -> int:
        matrix = getattr(factor, "coefficients", None)
        return int((factor.left if matrix is None else matrix).shape[-1])

    def _constant(self, matrix: Matrix) -> Source:
        self.schedule.constants.append(matrix)
        return Source(Origin.CONSTANT, len(self.schedule.constants) - 1, matrix.shape[-1])

    def _run(self, factors: tuple[Any, ...]) -> Source:
        self._raw_runs.append(factors)
        return Source(Origin.RUN, len(self._raw_runs) - 1, self._space.dim)

    def _sort_runs(self) -> None:
        """Number the runs by length, so that those of one length lie together."""
        order = sorted(range(len(self._raw_runs)), key=lambda i: len(self._raw_runs[i]))
        number = {old: new for new, old in enumerate(order)}

        def renumbered(source: Source) -> Source:
            if source.origin is not Origin.RUN:
                return source
            return source._replace(number=number[source.number])

        def link_renumbered(link: Link) -> Link:
            first, second = (s and renumbered(s) for s in (link.first, link.second))
            return Link(link.base, first, second)

        schedule = self.schedule
        schedule.runs = [self._raw_runs[i] for i in order]
        schedule.actions = [
            action._replace(source=renumbered(action.source)) for action in schedule.actions
        ]
        schedule.chains = [
            tuple(link_renumbered(link) for link in chain) for chain in schedule.chains
        ]


def _contiguous(
    order: Sequence[int], qubits: tuple[int, ...]
) -> tuple[int, tuple[int, ...]] | None:
    """Where the qubits stand side by side, and in which order; None if they do not."""
    places = sorted(order.index(qubit) for qubit in qubits)
    if places[-1] - places[0] != len(places) - 1:
        return None
    return places[0], tuple(order[place] for place in places)
