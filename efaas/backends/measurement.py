"""Reading a state: distributions of outcomes as the device would give them, and expectations.

A measurement setting reads each of its qubits in one basis. What reading a qubit means, with the
noise of the gates that change its basis and with its readout error, is a 2x4 matrix from the
qubit's Pauli vector to the probabilities of reading 0 and 1 (or, for a pure state, a 2x2 unitary
and a 2x2 confusion matrix).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from efaas.backends.channels import Matrix, Space

__all__ = ["Readings", "parities", "probabilities", "walsh_hadamard"]

X, Y, Z = 1, 2, 3

_MOST_COLUMNS = 2**12


@dataclass(frozen=True, slots=True)
class Readings:
    """How each qubit of a state is read, in each basis.

    Attributes:
        space: How the state is held.
        effects: For each (qubit, basis) the matrix from its index of the state to the numbers
            that are kept: shape ``(2, 4)`` in the Pauli space, or ``(2**k, 4)`` where the qubit is
            read k times; ``(2, 2)`` unitary for amplitudes.
        confusion: For pure states, each qubit's ``P(read m | state b)``, where not perfect.
    """

    space: Space
    effects: Mapping[tuple[int, int], Matrix]
    confusion: Mapping[int, NDArray[np.float64]]


def probabilities(
    states: Matrix,
    order: Sequence[int],
    bases: Mapping[int, int],
    readings: Readings,
) -> NDArray[np.float64]:
    """The probabilities of the outcomes of a setting.

    Args:
        states: Shape ``(points, dim ** qubits)``.
        order: The qubit of each index of the states, the most significant first.
        bases: The basis in which each measured qubit is read.
        readings: How qubits are read.

    Returns:
        Shape ``(points, 2 ** readings)``, not negative; the bits of an outcome stand in ``order``,
        the first reading of the first measured qubit being the most significant.
    """
    points = len(states)
    space = readings.space
    dim = space.dim
    measured = [qubit for qubit in order if qubit in bases]
    if not space.is_pure:
        tensor = states.reshape(points, *(dim,) * len(order))
        # The Pauli vector of what is left when a qubit is ignored has the identity there.
        kept = tuple(slice(None) if qubit in bases else 0 for qubit in order)
        states = np.ascontiguousarray(tensor[(slice(None), *kept)]).reshape(points, -1)
        order = measured
    left = 1
    for qubit in order:
        if qubit in bases:
            effect = readings.effects[qubit, bases[qubit]]
            states = _contracted(states, effect, left, dim)
            left *= len(effect)
        else:
            left *= dim
    if not space.is_pure:
        clipped: NDArray[np.float64] = np.maximum(states.reshape(points, -1), 0.0)
        return clipped
    weights: Any = states.real**2 + states.imag**2
    ignored = tuple(1 + i for i, qubit in enumerate(order) if qubit not in bases)
    weights = weights.reshape(points, *(2,) * len(order)).sum(axis=ignored)
    for place, qubit in enumerate(measured):
        if qubit in readings.confusion:
            weights = _contracted(weights, readings.confusion[qubit], 2**place, 2)
    result: NDArray[np.float64] = weights.reshape(points, -1)
    return result


def _contracted(states: Matrix, effect: Matrix, left: int, dim: int) -> Matrix:
    """The states with the index after ``left`` numbers, of ``dim`` values, seen by an effect."""
    if effect.shape == (dim, dim) and np.array_equal(effect, np.eye(dim)):
        return states
    points = len(states)
    pieces = states.reshape(points, left, dim, -1)
    right = pieces.shape[3]
    if right <= _MOST_COLUMNS:
        return np.matmul(effect, pieces)
    # As in ``evolution``: pieces that BLAS does not split among threads.
    pieces = pieces.reshape(points, left, dim, -1, _MOST_COLUMNS)
    out = np.empty((points, left, len(effect), *pieces.shape[3:]), dtype=pieces.dtype)
    np.matmul(effect, pieces.swapaxes(2, 3), out.swapaxes(2, 3))
    return out


def walsh_hadamard(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """``sum over x of (-1)^|x & s| values[x]`` for every ``s``, along the last axis."""
    length = values.shape[-1]
    lead = values.shape[:-1]
    step = 1
    while step < length:
        pairs = values.reshape(*lead, -1, 2, step)
        first, second = pairs[..., 0, :], pairs[..., 1, :]
        values = np.stack([first + second, first - second], axis=-2).reshape(*lead, length)
        step *= 2
    return values


def parities(outcomes: NDArray[np.intp], mask: int) -> NDArray[np.uint8]:
    """Whether an odd number of the bits in ``mask`` is set, for each outcome."""
    odd: NDArray[np.uint8] = np.bitwise_count(outcomes & mask) & 1
    return odd
