"""Fusing a noisy circuit into as few matrices as its free angles allow.

Gates without a free angle, and all noise, are constant matrices: they are multiplied into their
neighbours once, when the circuit is compiled. What is left for each point are the factors that
turn with an angle, and one matrix per entangling gate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from qiskit.circuit import Gate

    from efaas.backends.channels import Matrix, Space

__all__ = ["Factor", "Fixed", "Opaque", "Step", "Turning", "fused"]


@dataclass(frozen=True, slots=True)
class Fixed:
    """A matrix that no angle changes."""

    matrix: Matrix

    def then(self, matrix: Matrix) -> Fixed:
        """This factor followed by a constant one."""
        return Fixed(matrix @ self.matrix)

    def after(self, matrix: Matrix) -> Fixed:
        """This factor preceded by a constant one."""
        return Fixed(self.matrix @ matrix)

    def reordered(self, space: Space, order: tuple[int, ...]) -> Fixed:
        """The same with its qubits in another order."""
        return Fixed(space.reordered(self.matrix, order))


@dataclass(frozen=True, slots=True)
class Turning:
    """A matrix that is a combination of the five harmonics of one angle.

    Attributes:
        coefficients: Shape ``(5, D, D)``, see ``channels.trigonometric_fit``.
        angle: Which of the circuit's angles.
    """

    coefficients: Matrix
    angle: int

    def then(self, matrix: Matrix) -> Turning:
        """This factor followed by a constant one."""
        return Turning(matrix @ self.coefficients, self.angle)

    def after(self, matrix: Matrix) -> Turning:
        """This factor preceded by a constant one."""
        return Turning(self.coefficients @ matrix, self.angle)

    def reordered(self, space: Space, order: tuple[int, ...]) -> Turning:
        """The same with its qubits in another order."""
        return Turning(space.reordered(self.coefficients, order), self.angle)


@dataclass(frozen=True, slots=True)
class Opaque:
    """A gate of several angles, or of no harmonic form: its matrix is asked for at every point.

    Attributes:
        gate: The gate, with angle numbers where its parameters are free.
        params: Each parameter's number, or the index of its angle as an ``int``.
        order: Place in the gate of each qubit of the matrix.
        left: Constant matrix that follows.
        right: Constant matrix that precedes.
    """

    gate: Gate
    params: tuple[int | Any, ...]
    order: tuple[int, ...]
    left: Matrix
    right: Matrix

    def then(self, matrix: Matrix) -> Opaque:
        """This factor followed by a constant one."""
        return Opaque(self.gate, self.params, self.order, matrix @ self.left, self.right)

    def after(self, matrix: Matrix) -> Opaque:
        """This factor preceded by a constant one."""
        return Opaque(self.gate, self.params, self.order, self.left, self.right @ matrix)

    def reordered(self, space: Space, order: tuple[int, ...]) -> Opaque:
        """The same with its qubits in another order."""
        return Opaque(
            self.gate,
            self.params,
            tuple(self.order[place] for place in order),
            space.reordered(self.left, order),
            space.reordered(self.right, order),
        )


Factor = Fixed | Turning | Opaque


@dataclass(frozen=True, slots=True)
class Step:
    """Factors applied to a group of qubits, the first one first; several only for one qubit."""

    qubits: tuple[int, ...]
    factors: tuple[Factor, ...]


def fused(
    num_qubits: int, space: Space, factors: Iterable[tuple[Sequence[int], Factor]]
) -> list[Step]:
    """The fused steps of a sequence of factors, each with the qubits that it acts on."""
    fuser = _Fuser(num_qubits, space)
    for qubits, factor in factors:
        fuser.add(qubits, factor)
    return fuser.finish()


class _Fuser:
    """Takes factors in the order of the circuit and gives the fused steps.

    One-qubit factors wait on their qubit: constants melt into each other and into the turning
    factor beside them, and what is constant altogether melts into the next entangling step.
    """

    def __init__(self, num_qubits: int, space: Space) -> None:
        self._space = space
        self._waiting: list[list[Factor]] = [[] for _ in range(num_qubits)]
        self._last: list[int | None] = [None] * num_qubits
        self._steps: list[Step] = []

    def add(self, qubits: Sequence[int], factor: Factor) -> None:
        """Append a factor on the given qubits."""
        if len(qubits) == 1:
            self._wait(qubits[0], factor)
        else:
            self._entangle(tuple(qubits), factor)

    def finish(self) -> list[Step]:
        """The steps; nothing may be added afterwards."""
        for qubit, waiting in enumerate(self._waiting):
            last = self._last[qubit]
            if waiting and last is not None and isinstance(waiting[0], Fixed):
                step = self._steps[last]
                if len(step.qubits) > 1:
                    wide = self._space.on(
                        waiting[0].matrix, step.qubits.index(qubit), len(step.qubits)
                    )
                    self._steps[last] = Step(step.qubits, (step.factors[0].then(wide),))
                    waiting.clear()
            self._flush(qubit)
        return self._steps

    def _wait(self, qubit: int, factor: Factor) -> None:
        waiting = self._waiting[qubit]
        if waiting and isinstance(factor, Fixed):
            waiting[-1] = waiting[-1].then(factor.matrix)
        elif waiting and isinstance(waiting[-1], Fixed):
            waiting[-1] = factor.after(waiting[-1].matrix)
        else:
            waiting.append(factor)

    def _entangle(self, qubits: tuple[int, ...], factor: Factor) -> None:
        for place, qubit in enumerate(qubits):
            waiting = self._waiting[qubit]
            if waiting and isinstance(waiting[0], Fixed):
                factor = factor.after(self._space.on(waiting[0].matrix, place, len(qubits)))
                waiting.clear()
            self._flush(qubit)
        before = {self._last[qubit] for qubit in qubits}
        index = before.pop()
        if not before and index is not None and isinstance(factor, Fixed):
            step = self._steps[index]
            if set(step.qubits) == set(qubits):
                order = tuple(qubits.index(qubit) for qubit in step.qubits)
                matrix = self._space.reordered(factor.matrix, order)
                self._steps[index] = Step(step.qubits, (step.factors[0].then(matrix),))
                return
        self._emit(Step(qubits, (factor,)))

    def _flush(self, qubit: int) -> None:
        if self._waiting[qubit]:
            self._emit(Step((qubit,), tuple(self._waiting[qubit])))
            self._waiting[qubit] = []

    def _emit(self, step: Step) -> None:
        for qubit in step.qubits:
            self._last[qubit] = len(self._steps)
        self._steps.append(step)
