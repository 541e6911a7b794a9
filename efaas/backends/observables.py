"""Observables as sums of Paulis with real coefficients, in one canonical form."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from qiskit.exceptions import QiskitError
from qiskit.quantum_info import Operator, Pauli, PauliList, SparseObservable, SparsePauliOp

from efaas.errors import ObservableError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["pauli_sum", "pauli_sum_content"]


def pauli_sum(observable: Any, *, num_qubits: int) -> SparsePauliOp:
    """The observable as a sum of different Paulis, sorted by label, with real coefficients.

    Equal terms are added in the order they come; terms that add up to exactly zero are dropped.

    Args:
        observable: A ``SparsePauliOp``, ``Pauli``, ``SparseObservable``, a label, or a mapping from
            labels to coefficients. Labels may hold the projectors ``0 1 + - r l``.
        num_qubits: The width it has to have.

    Raises:
        ObservableError: It is none of these, or of another width, or a coefficient is complex or
            not finite.
    """
    try:
        operator = _as_sparse_pauli_op(observable)
    except (QiskitError, ValueError, TypeError) as error:
        if isinstance(error, ObservableError):
            raise
        raise ObservableError(
            "an observable is a SparsePauliOp, Pauli, SparseObservable, a label such as 'ZZI', or "
            f"a mapping from labels to coefficients; got {reprlib.repr(observable)}: {error}"
        ) from error
    if operator.num_qubits != num_qubits:
        raise ObservableError(
            f"the observable has to act on the circuit's {num_qubits} qubits, got one of "
            f"{operator.num_qubits} qubits; give one Pauli letter per qubit"
        )
    coefficients = _real_coefficients(operator)
    z, x = operator.paulis.z, operator.paulis.x
    # I < X < Y < Z with the highest qubit first: the order of the labels as strings.
    letters = np.where(z, np.where(x, 2, 3), x).astype(np.uint8)[:, ::-1]
    order, first, position = _distinct_rows(letters)
    sums = np.zeros(len(order))
    np.add.at(sums, position, coefficients)
    kept = sums != 0
    if not kept.any():
        return SparsePauliOp(["I" * num_qubits], np.zeros(1))
    paulis = PauliList.from_symplectic(z[first][kept], x[first][kept])
    return SparsePauliOp(paulis, sums[kept])


def pauli_sum_content(operator: SparsePauliOp) -> tuple[bytes, bytes, bytes]:
    """Bytes that are equal exactly for equal canonical sums: Z part, X part, coefficients."""
    paulis = operator.paulis
    return (
        np.packbits(paulis.z, axis=1).tobytes(),
        np.packbits(paulis.x, axis=1).tobytes(),
        operator.coeffs.real.tobytes(),
    )


def _as_sparse_pauli_op(observable: Any) -> SparsePauliOp:
    if isinstance(observable, SparsePauliOp):
        if observable.coeffs.dtype == object:
            raise ObservableError(
                "coefficients have to be numbers, got parameters; assign them first, "
                "as in observable.assign_parameters(...)"
            )
        return observable
    if isinstance(observable, Pauli):
        return SparsePauliOp(observable)
    if isinstance(observable, str):
        observable = SparseObservable.from_label(observable)
    elif isinstance(observable, Mapping):
        if not observable:
            raise ObservableError("an observable needs at least one term, got an empty mapping")
        pairs = []
        for label, coefficient in observable.items():
            if isinstance(label, Pauli):
                pairs.append((label[:].to_label(), (-1j) ** int(label.phase) * coefficient))
            else:
                pairs.append((label, coefficient))
        observable = SparseObservable.from_list(pairs)
    if isinstance(observable, SparseObservable):
        return SparsePauliOp.from_sparse_observable(observable)
    raise TypeError(f"its type is {type(observable).__name__}{_hint(observable)}")


def _hint(observable: Any) -> str:
    """How to make an observable of what others take for one."""
    if isinstance(observable, list | tuple):
        return "; of pairs of label and coefficient, SparsePauliOp.from_list makes one"
    if isinstance(observable, np.ndarray | Operator):
        return "; of a matrix, SparsePauliOp.from_operator makes one"
    return ""


def _real_coefficients(operator: SparsePauliOp) -> NDArray[np.float64]:
    coefficients = np.asarray(operator.coeffs, dtype=np.complex128)
    bad = np.flatnonzero(~np.isfinite(coefficients) | (coefficients.imag != 0))
    # Arithmetic on operators leaves imaginary parts of the size of a rounding error.
    tolerance = 1e-12 * max(1.0, float(np.abs(coefficients).max(initial=0.0)))
    for index in bad:
        value = coefficients[index]
        if not (np.isfinite(value) and abs(value.imag) <= tolerance):
            raise ObservableError(
                "coefficients have to be real and finite, got "
                f"{value} for the term {operator.paulis[index].to_label()}"
            )
    return coefficients.real.copy()


def _distinct_rows(
    letters: NDArray[np.uint8],
) -> tuple[NDArray[Any], NDArray[np.intp], NDArray[np.intp]]:
    """The distinct rows in order, where each comes first, and which of them each row is."""
    rows = np.ascontiguousarray(letters)
    width = rows.shape[1]
    keys = rows.view(np.dtype((np.void, width))).reshape(len(rows))
    order, first, position = np.unique(keys, return_index=True, return_inverse=True)
    return order, first, position.reshape(-1)
