"""QAOA for MaxCut: the circuit as exact and quick as the layered ansätze, and its cost."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from efaas.cloud.energies import Energy

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["Qaoa", "cut_energy", "ring_with_chords"]


@dataclass(frozen=True)
class Qaoa:
    """The alternating circuit of Farhi, Goldstone and Gutmann (arXiv 1411.4028).

    Its parameters are the angles of the cost, one a layer, then those of the mixer.

    Attributes:
        num_qubits: One a node.
        edges: Pairs of nodes.
        layers: How often cost and mixer alternate, ``p``.
    """

    num_qubits: int
    edges: tuple[tuple[int, int], ...]
    layers: int

    @property
    def num_parameters(self) -> int:
        """Two a layer."""
        return 2 * self.layers

    @property
    def one_qubit_gates(self) -> int:
        """Hadamards, the rotations inside each edge's interaction, and mixers."""
        return self.num_qubits + self.layers * (len(self.edges) + self.num_qubits)

    @property
    def two_qubit_gates(self) -> int:
        """Two an edge and layer."""
        return 2 * self.layers * len(self.edges)

    def state(self, theta: NDArray[np.float64]) -> NDArray[np.complex128]:
        """The state after it, shape ``(2 ** num_qubits,)``, qubit 0 the least significant."""
        size = 2**self.num_qubits
        state = np.full(size, 1.0 / np.sqrt(size), dtype=np.complex128)
        for cost, mixer in zip(theta[: self.layers], theta[self.layers :], strict=True):
            state = state * np.exp(-1j * cost * self._bonds)
            cos, sin = np.cos(mixer), -1j * np.sin(mixer)
            for qubit in range(self.num_qubits):
                pairs = state.reshape(-1, 2, 2**qubit)
                state = (cos * pairs + sin * pairs[:, ::-1]).reshape(-1)
        return state

    @cached_property
    def _bonds(self) -> NDArray[np.float64]:
        """Half the sum over edges of ZZ, by bit string."""
        return 0.5 * _alignments(self.num_qubits, self.edges)


def cut_energy(num_qubits: int, edges: Sequence[tuple[int, int]]) -> Energy:
    """``sum of ZZ / 2`` over the edges: least where most of them are cut."""
    terms = {
        "".join("Z" if q in edge else "I" for q in reversed(range(num_qubits))): 0.5
        for edge in edges
    }
    diagonal = 0.5 * _alignments(num_qubits, edges)
    return Energy(num_qubits, diagonal, 0.0, None, 0.0, 0.25 * len(edges), terms)


def ring_with_chords(num_qubits: int, draw: random.Random) -> tuple[tuple[int, int], ...]:
    """The edges of a graph of that many nodes, an even number: a ring, and a chord for each pair.

    The chords pair nodes at random, neighbours of the ring excepted, so every node has three
    neighbours (where no such pairing was drawn, two or three).
    """
    ring = [(node, (node + 1) % num_qubits) for node in range(num_qubits)]
    taken = {frozenset(edge) for edge in ring}
    nodes = list(range(num_qubits))
    draw.shuffle(nodes)
    pairs = zip(nodes[::2], nodes[1::2], strict=False)
    chords = [pair for pair in pairs if frozenset(pair) not in taken]
    return (*ring, *chords)


def _alignments(num_qubits: int, edges: Sequence[tuple[int, int]]) -> NDArray[np.float64]:
    """By bit string, how many edges join equal bits, less how many join different ones."""
    index = np.arange(2**num_qubits)
    spins = 1.0 - 2.0 * ((index[None] >> np.arange(num_qubits)[:, None]) & 1)
    found: NDArray[np.float64] = sum(spins[i] * spins[j] for i, j in edges) + np.zeros(index.size)
    return found
