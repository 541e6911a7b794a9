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


@dataclass(frozen=True, slots=True)
class Readings:
    """How each qubit of a state is read, in each basis.

    Attributes:
        space: How the state is held.
        effects: For each (qubit, basis) the matrix from its index of the state to the numbers
            that are kept: shape ``(2, 4)`` in the Pauli space, ``(2, 2)`` unitary for amplitudes.
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
        Shape ``(points, 2 ** measured)``, not negative; the bits of an outcome stand in ``order``,
        the first measured qubit being the most significant.
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
    for qubit in order:
        # The first index is contracted and its result moves to the end: after all of them the
        # indices stand in their order again.
        turned = states.reshape(points, dim, -1).swapaxes(1, 2)
        if qubit in bases:
            turned = np.matmul(turned, readings.effects[qubit, bases[qubit]].T)
        states = np.ascontiguousarray(turned).reshape(points, -1)
    if not space.is_pure:
        return np.maximum(states, 0.0)
    weights: Any = states.real**2 + states.imag**2
    ignored = tuple(1 + i for i, qubit in enumerate(order) if qubit not in bases)
    weights = weights.reshape(points, *(2,) * len(order)).sum(axis=ignored).reshape(points, -1)
    if any(qubit in readings.confusion for qubit in measured):
        for qubit in measured:
            turned = weights.reshape(points, 2, -1).swapaxes(1, 2)
            if qubit in readings.confusion:
                turned = np.matmul(turned, readings.confusion[qubit].T)
            weights = np.ascontiguousarray(turned).reshape(points, -1)
    result: NDArray[np.float64] = weights
    return result


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
