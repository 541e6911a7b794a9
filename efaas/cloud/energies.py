"""Energies of layered ansätze, exact and quick, and what noise makes of them.

A layer turns every qubit by itself and then entangles them by gates that move or sign amplitudes.
So a layer is two small matrix products, over the halves of the register, and one permutation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Ansatz", "Circuit", "Energy", "NoisyEnergy", "ising_energy", "lih_energy"]

ANSATZE = ("efficient_su2", "real_amplitudes", "two_local")

_LIH = {
    "IIII": -7.499,
    "IIIZ": 0.171,
    "IIZI": -0.171,
    "IZII": 0.222,
    "ZIII": 0.222,
    "IIZZ": 0.123,
    "IZZZ": -0.045,
    "ZZZZ": 0.012,
    "XXXX": 0.044,
    "YYYY": 0.044,
    "XXYY": 0.044,
    "YYXX": 0.044,
}
"""The LiH-like operator of EFaaS's artifact (arXiv 2605.27540)."""

_PAULIS: dict[str, NDArray[Any]] = {
    "I": np.eye(2),
    "X": np.array([[0, 1], [1, 0]]),
    "Y": np.array([[0, -1j], [1j, 0]]),
    "Z": np.diag([1, -1]),
}


class Circuit(Protocol):
    """A circuit with angles."""

    @property
    def num_qubits(self) -> int:
        """Its width."""
        ...

    @property
    def num_parameters(self) -> int:
        """Angles."""
        ...

    @property
    def one_qubit_gates(self) -> int:
        """Rotations."""
        ...

    @property
    def two_qubit_gates(self) -> int:
        """Entangling gates."""
        ...

    def state(self, theta: NDArray[np.float64]) -> NDArray[Any]:
        """The state after it, shape ``(2 ** num_qubits,)``, qubit 0 the least significant."""
        ...


@dataclass(frozen=True)
class Ansatz:
    """A circuit of Qiskit's library, by name.

    Attributes:
        kind: "efficient_su2" (RY, RZ and CX), "real_amplitudes" (RY and CX) or "two_local" (RY, RZ
            and CZ).
        num_qubits: Its width.
        reps: Entangling layers; there is one more layer of rotations.
        entanglement: "linear" or "full".
    """

    kind: str
    num_qubits: int
    reps: int
    entanglement: str

    @property
    def num_parameters(self) -> int:
        """One angle a rotation, layer by layer; in a layer RY of all qubits, then RZ."""
        return self.num_qubits * (self.reps + 1) * self._rotations

    @property
    def one_qubit_gates(self) -> int:
        """Rotations."""
        return self.num_parameters

    @property
    def two_qubit_gates(self) -> int:
        """Entangling gates."""
        return self.reps * len(self._pairs)

    def state(self, theta: NDArray[np.float64]) -> NDArray[Any]:
        """The state after it, shape ``(2 ** num_qubits,)``, qubit 0 the least significant."""
        n = self.num_qubits
        half = 0.5 * theta.reshape(self.reps + 1, self._rotations, n)
        cos, sin = np.cos(half[:, 0]), np.sin(half[:, 0])
        kind = np.float64 if self._rotations == 1 else np.complex128
        turns = np.empty((self.reps + 1, n, 2, 2), dtype=kind)
        turns[:, :, 0, 0] = turns[:, :, 1, 1] = cos
        turns[:, :, 1, 0], turns[:, :, 0, 1] = sin, -sin
        if self._rotations == 2:
            phases = np.exp(1j * half[:, 1])
            turns[:, :, 0] *= phases.conj()[..., None]
            turns[:, :, 1] *= phases[..., None]
        low = n // 2
        state: NDArray[Any] = np.zeros((2 ** (n - low), 2**low), dtype=kind)
        state[0, 0] = 1.0
        sources, signs = self._entangler
        for layer in range(self.reps + 1):
            state = _product(turns[layer, low:]) @ state @ _product(turns[layer, :low]).T
            if layer < self.reps:
                state = (signs * state.reshape(-1)[sources]).reshape(state.shape)
        flat: NDArray[Any] = state.reshape(-1)
        return flat

    @property
    def _rotations(self) -> int:
        return 1 if self.kind == "real_amplitudes" else 2

    @cached_property
    def _pairs(self) -> Sequence[tuple[int, int]]:
        n = self.num_qubits
        if self.entanglement == "full":
            return [(i, j) for i in range(n) for j in range(i + 1, n)]
        return [(i, i + 1) for i in range(n - 1)]

    @cached_property
    def _entangler(self) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """Where each amplitude comes from, and its sign."""
        index = np.arange(2**self.num_qubits)
        sources, signs = index.copy(), np.ones(index.size)
        for control, target in self._pairs:
            both = (index >> control) & 1
            if self.kind == "two_local":
                signs = signs * np.where(both & (index >> target) & 1, -1.0, 1.0)
            else:
                sources = sources[index ^ (both << target)]
        return sources, signs


def _product(turns: NDArray[Any]) -> NDArray[Any]:
    """The Kronecker product of one-qubit gates, the first on the least significant qubit."""
    product: NDArray[Any] = turns[0]
    for turn in turns[1:]:
        size = 2 * product.shape[0]
        product = (turn[:, None, :, None] * product[None, :, None, :]).reshape(size, size)
    return product


@dataclass(frozen=True)
class Energy:
    """An observable.

    Attributes:
        num_qubits: Its width.
        diagonal: Its part in Z and I, shape ``(2 ** num_qubits,)``.
        field: The coefficient of every X; 0 if there are none.
        rest: What else there is, as a matrix; None if there is nothing.
        mixed: Its value in the maximally mixed state.
        square_sum: Sum of the squares of all coefficients but the identity's.
        terms: Its Paulis, qubit 0 on the right, and their coefficients.
    """

    num_qubits: int
    diagonal: NDArray[np.float64]
    field: float
    rest: NDArray[np.complex128] | None
    mixed: float
    square_sum: float
    terms: Mapping[str, float]

    def of(self, state: NDArray[Any]) -> float:
        """Its expectation."""
        is_real = not np.iscomplexobj(state)
        value = float(self.diagonal @ (state**2 if is_real else state.real**2 + state.imag**2))
        if self.field:
            for qubit in range(self.num_qubits):
                pairs = state.reshape(-1, 2, 2**qubit)
                overlap = np.einsum("ij,ij->", pairs[:, 0].conj(), pairs[:, 1])
                value += 2.0 * self.field * float(overlap.real)
        if self.rest is not None:
            value += float(np.vdot(state, self.rest @ state).real)
        return value

    @property
    def circuits(self) -> int:
        """Measurement settings that give all of its terms, qubit by qubit, found greedily."""
        settings: list[dict[int, str]] = []
        for label in sorted(self.terms, key=lambda term: (term.count("I"), term)):
            needed = {place: letter for place, letter in enumerate(label) if letter != "I"}
            for setting in settings:
                if all(setting.get(place, letter) == letter for place, letter in needed.items()):
                    setting.update(needed)
                    break
            else:
                if needed:
                    settings.append(needed)
        return len(settings)

    @cached_property
    def ground(self) -> float:
        """Its least eigenvalue."""
        from scipy.sparse.linalg import LinearOperator, eigsh

        size = 2**self.num_qubits
        if not self.field and self.rest is None:
            return float(self.diagonal.min())
        if size <= 64:
            columns = [self._applied(column) for column in np.eye(size, dtype=np.complex128)]
            return float(np.linalg.eigvalsh(np.array(columns).T)[0])
        operator = LinearOperator((size, size), matvec=self._applied, dtype=np.complex128)
        start = np.ones(size) / math.sqrt(size)
        return float(eigsh(operator, k=1, which="SA", v0=start, tol=1e-9)[0][0])

    def _applied(self, state: NDArray[Any]) -> NDArray[np.complex128]:
        state = np.asarray(state).reshape(-1)
        found = self.diagonal * state
        index = np.arange(state.size)
        for qubit in range(self.num_qubits if self.field else 0):
            found = found + self.field * state[index ^ (1 << qubit)]
        return np.asarray(found if self.rest is None else found + self.rest @ state)


def ising_energy(num_qubits: int, coupling: float = 1.0, field: float = 0.5) -> Energy:
    """An open chain in a transverse field: ``-coupling sum ZZ - field sum X`` [P]."""
    index = np.arange(2**num_qubits)
    spins = 1.0 - 2.0 * ((index[None] >> np.arange(num_qubits)[:, None]) & 1)
    diagonal = -coupling * (spins[:-1] * spins[1:]).sum(axis=0)
    squares = (num_qubits - 1) * coupling**2 + num_qubits * field**2
    flips = {_label(num_qubits, "X", (i,)): -field for i in range(num_qubits)}
    bonds = {_label(num_qubits, "Z", (i, i + 1)): -coupling for i in range(num_qubits - 1)}
    return Energy(num_qubits, diagonal, -field, None, 0.0, squares, bonds | flips)


def lih_energy() -> Energy:
    """The paper's operator on four qubits."""
    matrix = np.zeros((16, 16), dtype=np.complex128)
    for label, coefficient in _LIH.items():
        term: NDArray[Any] = np.eye(1)
        for letter in label:
            term = np.kron(term, _PAULIS[letter])
        matrix += coefficient * term
    diagonal = matrix.diagonal().real.copy()
    rest = matrix - np.diag(diagonal)
    squares = sum(c**2 for label, c in _LIH.items() if label != "IIII")
    return Energy(4, diagonal, 0.0, rest, _LIH["IIII"], squares, _LIH)


def _label(num_qubits: int, letter: str, qubits: tuple[int, ...]) -> str:
    return "".join(letter if q in qubits else "I" for q in reversed(range(num_qubits)))


@dataclass(frozen=True)
class NoisyEnergy:
    """What a device gives for a point.

    Depolarising noise shrinks the energy towards that of the maximally mixed state by the chance
    that no gate errs; shots add Gaussian noise of at most the terms' binomial variance.

    Attributes:
        ansatz: The circuit.
        observable: The energy.
        one_qubit_error: Of a rotation, freshly calibrated.
        two_qubit_error: Of an entangling gate, freshly calibrated.
        shots: Of every term.
    """

    ansatz: Circuit
    observable: Energy
    one_qubit_error: float = 0.001
    two_qubit_error: float = 0.01
    shots: int = 4096

    def exact(self, theta: NDArray[np.float64]) -> float:
        """Without noise."""
        key = theta.tobytes()
        if self._latest.get("at") != key:  # a point that was measured is often judged next
            self._latest["value"] = self.observable.of(self.ansatz.state(theta))
            self._latest["at"] = key
        value: float = self._latest["value"]
        return value

    @cached_property
    def _latest(self) -> dict[str, Any]:
        return {}

    def gap(self, theta: NDArray[np.float64]) -> float:
        """How far from the ground state: 0 there, 1 at the maximally mixed state."""
        ground, mixed = self.observable.ground, self.observable.mixed
        return (self.exact(theta) - ground) / (mixed - ground)

    @property
    def expected_errors(self) -> float:
        """In one run of the circuit, freshly calibrated."""
        ansatz = self.ansatz
        return (
            ansatz.one_qubit_gates * self.one_qubit_error
            + ansatz.two_qubit_gates * self.two_qubit_error
        )

    def measured(self, theta: NDArray[np.float64], noise_scale: float, seed: int) -> float:
        """What a device says.

        Args:
            theta: The point.
            noise_scale: Its error rates over those above.
            seed: Of the shots.
        """
        kept = math.exp(-noise_scale * self.expected_errors)
        mixed = self.observable.mixed
        noise = np.random.Generator(np.random.Philox(key=seed)).standard_normal()
        deviation = math.sqrt(self.observable.square_sum / self.shots)
        return mixed + kept * (self.exact(theta) - mixed) + deviation * float(noise)
