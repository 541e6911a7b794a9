"""Estimating observables from a state: settings, syndromes, shots.

Paulis that commute qubit by qubit share a measurement setting, as in Qiskit's
``BackendEstimatorV2``. Of a setting's outcomes only those parities count that its Paulis ask
for: with ``r`` independent Paulis the ``2 ** r`` *syndromes* are drawn, not the outcomes of all
its qubits. The joint distribution of all estimates is the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import repeat
from typing import TYPE_CHECKING, Any

import numpy as np
from qiskit.quantum_info import PauliList

from efaas.backends.measurement import parities, probabilities, walsh_hadamard
from efaas.backends.sampling import draw_outcomes, point_generator, thread_generator

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray
    from qiskit.quantum_info import SparsePauliOp

    from efaas.backends.channels import Matrix
    from efaas.backends.measurement import Readings

__all__ = ["Setting", "ShotPlan", "Terms", "exact_terms", "settings_of", "weighted"]

_MOST_SYNDROME_BITS = 10
"""Settings with more independent Paulis draw outcomes shot by shot instead of syndromes."""

_MOST_TABLE_ENTRIES = 2**13
"""Up to this size one matrix takes a state to the probabilities of all settings at once. It is
below the size (9216) from which OpenBLAS splits a product with a vector among threads."""

_MOST_GEMM_MULTIPLICATIONS = 2**17
"""Below the size (2**18) from which OpenBLAS splits a product of matrices among threads."""


@dataclass(frozen=True)
class Terms:
    """The Paulis of several observables, each once, on the active qubits.

    Attributes:
        paulis: Digit of each active qubit (0 to 3 for I, X, Y, Z), shape ``(terms, qubits)``;
            no term is the identity.
        coefficients: Shape ``(observables, terms)``.
        constants: Coefficient of the identity in each observable.
    """

    paulis: NDArray[np.uint8]
    coefficients: NDArray[np.float64]
    constants: NDArray[np.float64]

    @classmethod
    def of(cls, observables: Sequence[SparsePauliOp], active: Sequence[int]) -> Terms:
        """The terms of observables that act on the active qubits only."""
        columns = list(active)
        known: dict[bytes, int] = {}
        rows: list[NDArray[np.uint8]] = []
        entries: list[tuple[int, int, float]] = []
        constants = np.zeros(len(observables))
        for index, observable in enumerate(observables):
            x = observable.paulis.x[:, columns]
            z = observable.paulis.z[:, columns]
            digits = (np.where(x, np.where(z, 2, 1), np.where(z, 3, 0))).astype(np.uint8)
            for row, coefficient in zip(digits, observable.coeffs.real, strict=True):
                if not row.any():
                    constants[index] += float(coefficient)
                    continue
                term = known.setdefault(row.tobytes(), len(known))
                if term == len(rows):
                    rows.append(row)
                entries.append((index, term, float(coefficient)))
        coefficients = np.zeros((len(observables), len(rows)))
        for index, term, coefficient in entries:
            coefficients[index, term] += coefficient
        paulis = np.array(rows, dtype=np.uint8).reshape(len(rows), len(columns))
        return cls(paulis, coefficients, constants)

    def of_observables(self, wanted: Sequence[int]) -> NDArray[np.intp]:
        """The terms that the wanted observables need, ascending."""
        used: NDArray[np.intp] = np.flatnonzero((self.coefficients[list(wanted)] != 0).any(axis=0))
        return used


@dataclass(frozen=True)
class Setting:
    """Paulis that are measured together.

    Attributes:
        terms: Which terms.
        bases: The basis (1 to 3) in which each measured qubit is read.
    """

    terms: tuple[int, ...]
    bases: dict[int, int]

    def masks(self, terms: Terms, order: Sequence[int]) -> list[int]:
        """For each term its qubits as bits of the outcome (see ``measurement.probabilities``)."""
        measured = [qubit for qubit in order if qubit in self.bases]
        bits = {qubit: 1 << (len(measured) - 1 - i) for i, qubit in enumerate(measured)}
        return [
            sum(bits[int(qubit)] for qubit in np.flatnonzero(terms.paulis[term]))
            for term in self.terms
        ]


def settings_of(terms: Terms, used: Iterable[int]) -> list[Setting]:
    """The used terms in groups that commute qubit by qubit, in a fixed order."""
    letters = np.array(list("IXYZ"))
    by_label = {"".join(letters[terms.paulis[term]][::-1]): int(term) for term in used}
    if not by_label:
        return []
    settings = []
    for group in PauliList(sorted(by_label)).group_commuting(qubit_wise=True):
        members = tuple(by_label[label] for label in group.to_labels())
        digits = terms.paulis[list(members)].max(axis=0)
        settings.append(Setting(members, {int(q): int(digits[q]) for q in np.flatnonzero(digits)}))
    return settings


def weighted(values: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """``values @ weights.T`` summed term by term, so that a row's bits are its own.

    Args:
        values: Shape ``(points, terms)``.
        weights: Shape ``(observables, terms)``.
    """
    result = np.empty((len(values), len(weights)))
    for column, row in enumerate(weights):
        result[:, column] = np.add.reduce(values * row, axis=1)
    return result


def exact_terms(
    states: Matrix,
    order: Sequence[int],
    terms: Terms,
    settings: Sequence[Setting],
    readings: Readings,
) -> NDArray[np.float64]:
    """The exact expectation of every term, without the noise of reading, ``(points, terms)``."""
    if not readings.space.is_pure:
        digits = terms.paulis[:, list(order)].astype(np.intp)
        places = 4 ** np.arange(len(order) - 1, -1, -1, dtype=np.intp)
        found: NDArray[np.float64] = states.take(digits @ places, axis=1)
        return found
    values = np.zeros((len(states), len(terms.paulis)))
    perfect = type(readings)(readings.space, readings.effects, {})
    for setting in settings:
        weights = probabilities(states, order, setting.bases, perfect)
        values[:, list(setting.terms)] = walsh_hadamard(weights)[:, setting.masks(terms, order)]
    return values


class ShotPlan:
    """How the used terms are estimated from shots."""

    def __init__(
        self, terms: Terms, used: Iterable[int], order: Sequence[int], readings: Readings
    ) -> None:
        used = [int(term) for term in used]
        self._order = tuple(order)
        self._readings = readings
        self.used = np.array(used, dtype=np.intp)
        self._at = {term: column for column, term in enumerate(used)}
        drawn = []
        for setting in settings_of(terms, used):
            masks = setting.masks(terms, order)
            generators, combinations = _independent(masks)
            is_small = len(generators) <= _MOST_SYNDROME_BITS
            drawn.append(_Drawn(setting, masks, generators if is_small else None, combinations))
        # Settings with equally many syndromes are drawn in one call.
        self._drawn = sorted(drawn, key=lambda d: -1 if d.generators is None else len(d.generators))
        self._table = self._tabulated()

    def means(self, states: Matrix, shots: int, seeds: Sequence[int]) -> NDArray[np.float64]:
        """The mean of every used term over its shots, shape ``(points, used terms)``."""
        if self._table is not None:
            return self._table.means(states, shots, seeds)
        means = np.empty((len(states), len(self.used)))
        for point, seed in enumerate(seeds):
            state = states[point : point + 1]
            generator = point_generator(seed)
            for drawn in self._drawn:
                weights = probabilities(state, self._order, drawn.setting.bases, self._readings)[0]
                columns = [self._at[term] for term in drawn.setting.terms]
                means[point, columns] = drawn.means(generator, weights, shots)
        return means

    def _tabulated(self) -> _Table | None:
        """The plan as one matrix, where it is small enough."""
        readings = self._readings
        if readings.space.is_pure or any(drawn.generators is None for drawn in self._drawn):
            return None
        blocks: list[tuple[NDArray[np.intp], NDArray[np.float64]]] = []
        size = 0
        places = {qubit: 4 ** (len(self._order) - 1 - i) for i, qubit in enumerate(self._order)}
        for drawn in self._drawn:
            columns = np.zeros(1, dtype=np.intp)
            matrix = np.ones((1, 1))
            bases = drawn.setting.bases
            for qubit in self._order:
                if qubit not in bases:
                    continue
                effect = readings.effects[qubit, bases[qubit]]
                nonzero = np.flatnonzero(effect.any(axis=0))
                columns = np.add.outer(columns, nonzero * places[qubit]).reshape(-1)
                matrix = np.kron(matrix, effect[:, nonzero])
                if matrix.size > _MOST_TABLE_ENTRIES:
                    return None
            labels = drawn.labels
            reduced = np.zeros((2 ** len(drawn.generators or ()), len(columns)))
            np.add.at(reduced, labels, matrix)
            blocks.append((columns, reduced))
            size += len(reduced)
        none = np.zeros(0, dtype=np.intp)
        used = np.unique(np.concatenate([none, *(columns for columns, _ in blocks)]))
        if size * max(len(used), len(self.used)) > _MOST_TABLE_ENTRIES:
            return None
        matrix = np.zeros((size, len(used)))
        signs = np.zeros((len(self.used), size))
        groups: list[tuple[int, int, int]] = []
        row = 0
        for drawn, (columns, block) in zip(self._drawn, blocks, strict=True):
            height = len(block)
            matrix[row : row + height, np.searchsorted(used, columns)] = block
            for term, sign in zip(drawn.setting.terms, drawn.signs(), strict=True):
                signs[self._at[term], row : row + height] = sign
            if groups and groups[-1][2] == height:
                groups[-1] = (groups[-1][0], groups[-1][1] + 1, height)
            else:
                groups.append((row, 1, height))
            row += height
        return _Table(used, matrix.T.copy(), signs.T.copy(), tuple(groups))


@dataclass(frozen=True)
class _Table:
    """Small plans as matrices.

    Attributes:
        columns: Which numbers of the state are used.
        matrix: From those to the probabilities of all syndromes, shape ``(columns, rows)``.
        signs: From the counts of all syndromes to sums of terms, shape ``(rows, terms)``.
        groups: First row, number of settings and syndromes per setting.
    """

    columns: NDArray[np.intp]
    matrix: NDArray[np.float64]
    signs: NDArray[np.float64]
    groups: tuple[tuple[int, int, int], ...]

    def means(self, states: Matrix, shots: int, seeds: Sequence[int]) -> NDArray[np.float64]:
        points = len(states)
        weights = np.matmul(states.take(self.columns, axis=1)[:, None, :], self.matrix)[:, 0]
        np.maximum(weights, 0.0, out=weights)
        counts = np.empty(weights.shape)
        coins: Sequence[Sequence[float]] = [()] * points
        dice: list[NDArray[np.float64]] = []
        for row, number, height in self.groups:
            if height == 2:
                first = weights[:, row : row + number * 2 : 2]
                coins = (first / (first + weights[:, row + 1 : row + number * 2 : 2])).tolist()
                continue
            part = weights[:, row : row + number * height].reshape(points, number, height)
            part = part / np.add.reduce(part, axis=2, keepdims=True)
            dice.extend(part.swapaxes(0, 1))
        # One call per setting: calls for several settings at once cost four times as much.
        heads: list[int] = []
        rolled: list[NDArray[np.int64]] = []
        generator, restart = thread_generator()
        binomial, multinomial = generator.binomial, generator.multinomial
        # An array, as the number is turned into one at every call.
        number_of_shots: Any = np.array(shots)
        every = repeat(number_of_shots)
        rolls = list(zip(*dice, strict=True)) or [()] * points
        for seed, coin_shares, die_shares in zip(seeds, coins, rolls, strict=True):
            restart(seed)
            heads.extend(map(binomial, every, coin_shares))
            rolled.extend(map(multinomial, every, die_shares))
        width = 0
        if heads:
            flipped = np.array(heads, dtype=np.float64).reshape(points, -1)
            width = 2 * flipped.shape[1]
            counts[:, 0:width:2] = flipped
            counts[:, 1:width:2] = shots - flipped
        if rolled:
            counts[:, width:] = np.concatenate(rolled).reshape(points, -1)
        # Sums of whole numbers are exact, in whatever order they are added.
        is_small = points * self.signs.size <= _MOST_GEMM_MULTIPLICATIONS
        result: NDArray[np.float64] = (
            np.matmul(counts, self.signs)
            if is_small
            else np.matmul(counts[:, None, :], self.signs)[:, 0]
        )
        result /= shots
        return result


class _Drawn:
    """A setting with the syndromes, or else the outcomes, that are drawn for it."""

    def __init__(
        self,
        setting: Setting,
        masks: list[int],
        generators: list[int] | None,
        combinations: list[int],
    ) -> None:
        self.setting = setting
        self.masks = masks
        self.generators = generators
        self.combinations = combinations

    @cached_property
    def labels(self) -> NDArray[np.intp]:
        """The syndrome of each outcome."""
        outcomes = np.arange(2 ** len(self.setting.bases))
        labels = np.zeros(len(outcomes), dtype=np.intp)
        for bit, mask in enumerate(self.generators or ()):
            labels |= parities(outcomes, mask).astype(np.intp) << bit
        return labels

    def signs(self) -> NDArray[np.float64]:
        """The value of each term at each syndrome, shape ``(terms, syndromes)``."""
        syndromes = np.arange(2 ** len(self.generators or ()))
        return np.array([1.0 - 2.0 * parities(syndromes, c) for c in self.combinations])

    def means(
        self, generator: np.random.Generator, weights: NDArray[np.float64], shots: int
    ) -> NDArray[np.float64]:
        """The mean of each term over shots drawn from the outcomes' probabilities."""
        if self.generators is None:
            outcomes = draw_outcomes(generator, weights, shots)
            odd = [int(parities(outcomes, mask).sum(dtype=np.int64)) for mask in self.masks]
            return 1.0 - 2.0 * np.array(odd, dtype=np.float64) / shots
        shares = np.bincount(self.labels, weights=weights, minlength=2 ** len(self.generators))
        counts = generator.multinomial(shots, shares / shares.sum()).astype(np.float64)
        means: NDArray[np.float64] = walsh_hadamard(counts)[self.combinations] / shots
        return means


def _independent(masks: Sequence[int]) -> tuple[list[int], list[int]]:
    """A basis of the masks over GF(2), taken from them, and each mask in that basis."""
    generators: list[int] = []
    reduced: list[tuple[int, int]] = []
    combinations = []
    for mask in masks:
        rest, combination = mask, 0
        for pivot, parts in reduced:
            if rest ^ pivot < rest:
                rest ^= pivot
                combination ^= parts
        if rest:
            combination |= 1 << len(generators)
            generators.append(mask)
            parts = combination
            reduced.append((rest, parts))
            reduced.sort(reverse=True)
            combination = 1 << (len(generators) - 1)
        combinations.append(combination)
    return generators, combinations
