"""Gates and noise as small matrices, in the two spaces that states are held in.

A noisy state is held as its real Pauli vector ``r_i = Tr(P_i rho)``: 4 numbers a qubit, and any
channel is a real matrix (Pauli transfer matrix, Greenbaum, arXiv:1509.02921). A pure state is
held as its amplitudes: 2 complex numbers a qubit. Everything above is written once for both.

Matrices act on index groups whose *first* qubit is the most significant digit; Qiskit's own
matrices have it as the least significant one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "AMPLITUDES",
    "DEPHASING",
    "PAULIS",
    "RESET",
    "ImpureError",
    "Space",
    "trigonometric_fit",
]

Matrix = Any
"""``NDArray`` of floats in the Pauli space, of complex numbers in the amplitude space."""

_PAULI_MATRICES = np.array(
    [
        [[1, 0], [0, 1]],
        [[0, 1], [1, 0]],
        [[0, -1j], [1j, 0]],
        [[1, 0], [0, -1]],
    ]
)

_NEGLIGIBLE = 1e-15
"""Round-off of products of unitary entries: set to zero, so that sparsity is seen."""

DEPHASING = np.diag([1.0, 0.0, 0.0, 1.0])
"""A measurement whose outcome nobody reads, in the Pauli space."""

RESET = np.zeros((4, 4))
"""Back to the ground state, in the Pauli space."""
RESET[0, 0] = RESET[3, 0] = 1.0


class ImpureError(Exception):
    """Something that makes states mixed has met a space of pure states."""


@dataclass(frozen=True)
class Space:
    """How states and channels are written down.

    Attributes:
        dim: Numbers per qubit: 4 (Pauli vector) or 2 (amplitudes).
    """

    dim: int

    @property
    def is_pure(self) -> bool:
        """Whether states are amplitudes, so that only unitaries can act."""
        return self.dim == 2

    @property
    def dtype(self) -> type:
        """Type of the numbers."""
        return np.complex128 if self.is_pure else np.float64

    @property
    def ground(self) -> Matrix:
        """One qubit in its ground state."""
        return np.array([1.0, 0.0], dtype=complex) if self.is_pure else np.array([1.0, 0, 0, 1.0])

    def unitary(self, matrix: NDArray[np.complex128]) -> Matrix:
        """The matrix here of a unitary in Qiskit's convention."""
        matrix = np.asarray(matrix, dtype=complex)
        if self.is_pure:
            return _first_qubit_major(matrix)
        superop: Any = np.kron(matrix.conj(), matrix)
        return self.channel(superop)

    def channel(self, superop: NDArray[np.complex128]) -> Matrix:
        """The matrix here of a superoperator in Qiskit's convention (column-stacked vec).

        Raises:
            ImpureError: The space holds pure states only.
        """
        if self.is_pure:
            raise ImpureError("a channel cannot act on amplitudes")
        num_qubits = (superop.shape[0].bit_length() - 1) // 2
        paulis = _pauli_columns(num_qubits)
        transfer = (paulis.conj().T @ superop @ paulis).real / 2**num_qubits
        transfer[np.abs(transfer) < _NEGLIGIBLE] = 0.0
        return transfer

    def identity(self, num_qubits: int) -> Matrix:
        """The matrix that leaves ``num_qubits`` alone."""
        return np.eye(self.dim**num_qubits, dtype=self.dtype)

    def on(self, matrix: Matrix, place: int, num_qubits: int) -> Matrix:
        """A one-qubit matrix as acting on qubit ``place`` of a group of ``num_qubits``."""
        before: Matrix = np.eye(self.dim**place, dtype=self.dtype)
        after: Matrix = np.eye(self.dim ** (num_qubits - place - 1), dtype=self.dtype)
        return np.kron(np.kron(before, matrix), after)

    def reordered(self, matrices: Matrix, order: tuple[int, ...]) -> Matrix:
        """The matrices with their qubits taken in another order.

        Args:
            matrices: Shape ``(..., D, D)``, ``D = dim ** len(order)``.
            order: ``order[i]`` is the old place of the qubit that comes to place ``i``.
        """
        n = len(order)
        lead = matrices.shape[:-2]
        offset = len(lead)
        tensor = matrices.reshape(lead + (self.dim,) * (2 * n))
        axes = (
            *range(offset),
            *(offset + place for place in order),
            *(offset + n + place for place in order),
        )
        return np.ascontiguousarray(tensor.transpose(axes)).reshape(matrices.shape)


PAULIS = Space(4)
AMPLITUDES = Space(2)

_FIT_ANGLES = 0.3 + 4 * np.pi * np.arange(5) / 5
_CHECK_ANGLES = np.array([1.1, -2.7, 8.3])


def _harmonics(angles: NDArray[np.float64]) -> NDArray[np.float64]:
    """``1, cos, sin, cos of the half, sin of the half``, shape ``(angles, 5)``."""
    return np.stack(
        [
            np.ones_like(angles),
            np.cos(angles),
            np.sin(angles),
            np.cos(angles / 2),
            np.sin(angles / 2),
        ],
        axis=1,
    )


def trigonometric_fit(matrix_at: Any, space: Space) -> Matrix | None:
    """Coefficients that give a one-angle gate's matrix as a combination of five harmonics.

    Every gate ``exp(-i angle G)`` whose generator's eigenvalues lie half-integers apart is such a
    combination: ``C0 + C1 cos a + C2 sin a + C3 cos a/2 + C4 sin a/2``.

    Args:
        matrix_at: The gate's unitary, in Qiskit's convention, at an angle.
        space: Where the matrix is wanted.

    Returns:
        Shape ``(5, D, D)``, or None if the gate is no such combination.
    """
    values = np.array([space.unitary(matrix_at(float(angle))) for angle in _FIT_ANGLES])
    coefficients = np.tensordot(np.linalg.inv(_harmonics(_FIT_ANGLES)), values, axes=1)
    coefficients = np.where(np.abs(coefficients) < 1e-14, 0.0, coefficients)
    found = np.tensordot(_harmonics(_CHECK_ANGLES), coefficients, axes=1)
    expected = np.array([space.unitary(matrix_at(float(angle))) for angle in _CHECK_ANGLES])
    if not np.allclose(found, expected, rtol=0.0, atol=1e-12):
        return None
    return coefficients


@lru_cache(maxsize=8)
def _pauli_columns(num_qubits: int) -> NDArray[np.complex128]:
    """Column-stacked Pauli matrices, first qubit the most significant digit of the column."""
    columns = []
    for digits in product(range(4), repeat=num_qubits):
        pauli = np.eye(1, dtype=complex)
        for digit in digits:
            pauli = np.kron(_PAULI_MATRICES[digit], pauli)
        columns.append(pauli.flatten(order="F"))
    return np.stack(columns, axis=1)


def _first_qubit_major(matrix: NDArray[np.complex128]) -> NDArray[np.complex128]:
    num_qubits = matrix.shape[0].bit_length() - 1
    tensor = matrix.reshape((2,) * (2 * num_qubits))
    axes = (*reversed(range(num_qubits)), *reversed(range(num_qubits, 2 * num_qubits)))
    return np.ascontiguousarray(tensor.transpose(axes)).reshape(matrix.shape)
