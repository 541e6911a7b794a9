"""The exact state after a fused circuit, for many points at once.

The state is a tensor with one index of ``space.dim`` values per qubit. Every point is computed
by products of the same shapes whatever the number of points, so its bits never depend on what
else is in the batch. What is done in which order is in ``schedule.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from efaas.backends.fusion import Opaque, Turning
from efaas.backends.schedule import Move, Origin, Source, scheduled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from efaas.backends.channels import Matrix, Space
    from efaas.backends.fusion import Step
    from efaas.backends.schedule import Action, Link, Schedule

__all__ = ["Evolution"]

# Plain numbers: comparing members of an enumeration took a tenth of a small circuit's time.
_JOIN, _FRONT, _MIDDLE, _BLOCKS, _ROTATE, _END, _PERMUTE = map(int, Move)

_BLOCK_MULTIPLICATIONS = 2**16
"""Products are cut into pieces of this many multiplications. They stay in the cache, and below
the size (2**18) from which OpenBLAS splits a product among threads that wait for each other by
spinning: on a machine with other work that made products of 0.05 ms take 8 ms."""

_BUFFER_NUMBERS = 2**15
"""Larger states are written into two buffers in turn: fresh pages cost more than the product."""


class Evolution:
    """A compiled circuit that gives the state at any angles. Immutable and picklable.

    Attributes:
        space: How states are held.
        num_qubits: Qubits of the state.
        order: The qubit of each index of the state, the most significant first.
    """

    def __init__(self, steps: Sequence[Step], num_qubits: int, space: Space) -> None:
        """Schedule the steps of a fused circuit, as ``fusion`` gives them."""
        self.space = space
        self.num_qubits = num_qubits
        schedule = scheduled(steps, num_qubits, space)
        self.order = schedule.order
        self._constants = tuple(schedule.constants)
        self._actions = tuple(_prepared(action, self._constants) for action in schedule.actions)
        self._chains = tuple(schedule.chains)
        dim = space.dim
        self._turning = _Table.of([f for run in schedule.runs for f in run], dim, space)
        self._runs = _run_groups(schedule)
        self._num_runs = len(schedule.runs)
        self._wide = tuple(
            _Table.of(factors, size, space) for size, factors in schedule.wide.items()
        )
        self._wide_at = {size: index for index, size in enumerate(schedule.wide)}

    @property
    def multiplications(self) -> float:
        """Real multiplications of one point, for cost estimates."""
        total = 0.0
        for move, _, _, left, size, right, _ in self._actions:
            if move not in (_JOIN, _PERMUTE):
                total += left * size * size * right
        return total * (4.0 if self.space.is_pure else 1.0)

    @property
    def nbytes(self) -> int:
        """Bytes of the matrices held."""
        tables = (self._turning, *self._wide)
        constants = sum(int(matrix.nbytes) for matrix in self._constants)
        return constants + sum(table.nbytes for table in tables)

    def states(self, angles: NDArray[np.float64]) -> Matrix:
        """The states, shape ``(points, dim ** num_qubits)``.

        Args:
            angles: The circuit's angles, shape ``(points, angles)``.
        """
        points = len(angles)
        space = self.space
        matmul = np.matmul
        if not self.num_qubits:
            return np.ones((points, 1), dtype=space.dtype)
        runs = self._run_matrices(angles)
        wide = tuple(table.matrices(angles, space) for table in self._wide)
        size_of_all = points * space.dim**self.num_qubits
        buffers = (
            (np.empty(size_of_all, space.dtype), np.empty(size_of_all, space.dtype))
            if size_of_all > _BUFFER_NUMBERS
            else None
        )
        state: Any = None
        for step, (move, matrix, source, left, size, right, axes) in enumerate(self._actions):
            if matrix is None and move != _PERMUTE:
                matrix = self._matrix(source, runs, wide)
                if move == _JOIN:
                    matrix = matrix @ space.ground
                elif move >= _ROTATE:
                    matrix = matrix.swapaxes(-1, -2)
            buffer = buffers[step & 1] if buffers else None
            if move == _FRONT:
                out = None if buffer is None else _view(buffer, points, size, right)
                state = matmul(matrix, state.reshape(points, size, right), out)
            elif move == _END:
                block = min(left, axes)
                rows = (points, left // block, block, size)
                out = None if buffer is None else _view(buffer, *rows)
                if matrix.ndim == 3:
                    matrix = matrix[:, None]
                state = matmul(state.reshape(rows), matrix, out)
            elif move == _ROTATE:
                out = None if buffer is None else _view(buffer, points, right, size)
                state = matmul(state.reshape(points, size, right).swapaxes(1, 2), matrix, out)
            elif move == _MIDDLE:
                out = None if buffer is None else _view(buffer, points, left, size, right)
                if matrix.ndim == 3:
                    matrix = matrix[:, None]
                state = matmul(matrix, state.reshape(points, left, size, right), out)
            elif move == _BLOCKS:
                shape = (points, left, size, right // axes, axes)
                out = np.empty(shape, space.dtype) if buffer is None else _view(buffer, *shape)
                if matrix.ndim == 3:
                    matrix = matrix[:, None, None]
                matmul(matrix, state.reshape(shape).swapaxes(2, 3), out.swapaxes(2, 3))
                state = out
            elif move == _JOIN:
                if state is None:
                    state = np.empty((points, size), dtype=space.dtype)
                    state[...] = matrix
                else:
                    out = None if buffer is None else _view(buffer, points, left, size)
                    state = np.multiply(state.reshape(points, left, 1), matrix[..., None, :], out)
            else:
                moved = state.reshape(points, *axes[0]).transpose(axes[1])
                if buffer is None:
                    state = np.ascontiguousarray(moved)
                else:
                    state = _view(buffer, *moved.shape)
                    state[...] = moved
        result: Matrix = state.reshape(points, -1)
        return result

    def _run_matrices(self, angles: NDArray[np.float64]) -> Matrix:
        """The product of every run of turning factors, shape ``(points, runs, dim, dim)``."""
        if not self._num_runs:
            return None
        factors = self._turning.matrices(angles, self.space)
        products = []
        for rows in self._runs:
            product = factors[:, rows[0]]
            for later in rows[1:]:
                product = np.matmul(factors[:, later], product)
            products.append(product)
        return products[0] if len(products) == 1 else np.concatenate(products, axis=1)

    def _matrix(self, source: Source, runs: Matrix, wide: tuple[Matrix, ...]) -> Matrix:
        origin, index, size = source
        if origin is Origin.CONSTANT:
            return self._constants[index]
        if origin is Origin.RUN:
            return runs[:, index]
        if origin is Origin.WIDE:
            return wide[self._wide_at[size]][:, index]
        product: Any = None
        for link in self._chains[index]:
            for part in self._link_matrices(link, runs, wide):
                product = part if product is None else np.matmul(part, product)
        return product

    def _link_matrices(self, link: Link, runs: Matrix, wide: tuple[Matrix, ...]) -> list[Matrix]:
        base, first, second = link
        dim = self.space.dim
        parts = []
        if first is not None or second is not None:
            identity = self.space.identity(1)
            a = identity if first is None else self._matrix(first, runs, wide)
            b = identity if second is None else self._matrix(second, runs, wide)
            product = a[..., :, None, :, None] * b[..., None, :, None, :]
            parts.append(product.reshape(*product.shape[:-4], dim * dim, dim * dim))
        if base is not None:
            parts.append(self._matrix(base, runs, wide))
        return parts


@dataclass(frozen=True, slots=True)
class _Table:
    """Turning factors of one size: all their matrices are one combination of harmonics.

    Attributes:
        angles: Angle of each factor.
        constant: Coefficients of the harmonic 1, shape ``(factors, D * D)``.
        turning: The other harmonics that occur, with their coefficients; none if sparse.
        sparse: Where few entries turn, each with one harmonic, as bare rotations do.
        opaque: Factors whose matrix is asked for at every point, with their row.
        size: D.
    """

    angles: NDArray[np.intp]
    constant: Matrix
    turning: tuple[tuple[int, Matrix], ...]
    sparse: _Sparse | None
    opaque: tuple[tuple[int, Opaque], ...]
    size: int

    @classmethod
    def of(cls, factors: Sequence[Turning | Opaque], size: int, space: Space) -> _Table:
        angles = np.zeros(len(factors), dtype=np.intp)
        stacked: Matrix = np.zeros((5, len(factors), size * size), dtype=space.dtype)
        opaque = []
        for row, factor in enumerate(factors):
            if isinstance(factor, Turning):
                angles[row] = factor.angle
                stacked[:, row] = factor.coefficients.reshape(5, -1)
            else:
                opaque.append((row, factor))
        turning = tuple((h, stacked[h].copy()) for h in range(1, 5) if stacked[h].any())
        sparse = _Sparse.of(stacked)
        return cls(
            angles, stacked[0].copy(), () if sparse else turning, sparse, tuple(opaque), size
        )

    @property
    def nbytes(self) -> int:
        return int(self.constant.nbytes + sum(c.nbytes for _, c in self.turning))

    def matrices(self, angles: NDArray[np.float64], space: Space) -> Matrix:
        """Shape ``(points, factors, D, D)``."""
        points = len(angles)
        total = np.empty((points, *self.constant.shape), dtype=space.dtype)
        total[...] = self.constant
        if self.turning:
            turned = angles.take(self.angles, axis=1)
            for harmonic, coefficients in self.turning:
                total += coefficients * _harmonic(harmonic, turned)[:, :, None]
        elif self.sparse is not None:
            self.sparse.fill(total.reshape(points, -1), angles.take(self.angles, axis=1))
        matrices = total.reshape(points, len(self.angles), self.size, self.size)
        for row, factor in self.opaque:
            for point in range(points):
                matrices[point, row] = _opaque_matrix(factor, angles[point], space)
        return matrices


@dataclass(frozen=True, slots=True)
class _Sparse:
    """Entries of a table that turn with one harmonic each: four times as fast as whole matrices.

    Attributes:
        harmonics: Those that occur.
        entries: Where they are in the flat table, ascending.
        turned: For each entry its place among the harmonics of all factors.
        coefficients: Of each entry.
        constants: What is added to each entry.
    """

    harmonics: tuple[int, ...]
    entries: NDArray[np.intp]
    turned: NDArray[np.intp]
    coefficients: Matrix
    constants: Matrix

    @classmethod
    def of(cls, stacked: Matrix) -> _Sparse | None:
        """From coefficients of shape ``(5, factors, D * D)``, unless that would be slower."""
        flat = stacked.reshape(5, -1)
        is_turning = flat[1:] != 0
        entries = np.flatnonzero(is_turning.any(axis=0))
        if not len(entries) or 3 * len(entries) > flat.shape[1] or is_turning.sum(axis=0).max() > 1:
            return None
        harmonics = tuple(int(h) for h in np.flatnonzero(is_turning.any(axis=1)) + 1)
        of_entry = is_turning[:, entries].argmax(axis=0) + 1
        turned = np.searchsorted(harmonics, of_entry) * stacked.shape[1]
        turned += entries // stacked.shape[2]
        return cls(harmonics, entries, turned, flat[of_entry, entries], flat[0, entries])

    def fill(self, table: Matrix, angles: NDArray[np.float64]) -> None:
        """Write the entries of every point; ``angles`` has one column per factor."""
        waves = np.concatenate([_harmonic(h, angles) for h in self.harmonics], axis=1)
        values = waves.take(self.turned, axis=1) * self.coefficients
        values += self.constants
        table[:, self.entries] = values


def _harmonic(harmonic: int, angles: NDArray[np.float64]) -> NDArray[np.float64]:
    halved = angles if harmonic <= 2 else angles * 0.5
    value: NDArray[np.float64] = np.cos(halved) if harmonic % 2 else np.sin(halved)
    return value


def _opaque_matrix(factor: Opaque, angles: NDArray[np.float64], space: Space) -> Matrix:
    gate = factor.gate.to_mutable()
    gate.params = [
        float(angles[param]) if isinstance(param, int) else param for param in factor.params
    ]
    matrix = space.reordered(space.unitary(gate.to_matrix()), factor.order)
    return factor.left @ matrix @ factor.right


def _run_groups(schedule: Schedule) -> tuple[tuple[NDArray[np.intp] | slice, ...], ...]:
    """The runs by their number of factors, as the schedule numbers them.

    Returns:
        For each group the rows of the first factors of its runs, of the second ones, and so on.
    """
    groups: list[tuple[NDArray[np.intp] | slice, ...]] = []
    row = 0
    rows: list[range] = []
    for run in schedule.runs:
        rows.append(range(row, row + len(run)))
        row += len(run)
    for length in sorted({len(run) for run in schedule.runs}):
        members = [r for r in rows if len(r) == length]
        groups.append(tuple(_picker([r[place] for r in members]) for place in range(length)))
    return tuple(groups)


def _picker(rows: Sequence[int]) -> NDArray[np.intp] | slice:
    """An index of ascending rows; a slice where one does, as it copies nothing."""
    step = rows[1] - rows[0] if len(rows) > 1 else 1
    evenly = range(rows[0], rows[0] + step * len(rows), step)
    if list(evenly) == list(rows):
        return slice(evenly.start, evenly.stop, step)
    return np.array(rows, dtype=np.intp)


def _prepared(action: Action, constants: Sequence[Matrix]) -> tuple[Any, ...]:
    """An action as it is carried out: with its constant matrix, if any, and the block's length."""
    move, source, left, size, right, axes = action
    matrix = None
    if source.origin is Origin.CONSTANT and move is not Move.PERMUTE:
        matrix = constants[source.number]
        if move >= Move.ROTATE:
            matrix = np.ascontiguousarray(matrix.T)
    block = max(1, _BLOCK_MULTIPLICATIONS // size**2)
    if move in (Move.FRONT, Move.MIDDLE) and right > block:
        move = Move.BLOCKS
    return int(move), matrix, source, left, size, right, axes if move is Move.PERMUTE else block


def _view(buffer: Matrix, *shape: int) -> Matrix:
    size = 1
    for extent in shape:
        size *= extent
    return buffer[:size].reshape(shape)
