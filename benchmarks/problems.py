"""Variational problems with exact energies in fast NumPy, and a simulated device to run them on.

A circuit here is made of rotations about Paulis and of fixed gates. A rotation is
``cos(a/2) - i sin(a/2) P``, and a Pauli ``P`` moves amplitudes and multiplies them by a phase, so a
statevector of a few qubits takes some microseconds a gate. Neighbouring rotations that are all
diagonal are one multiplication.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from qiskit.circuit import ParameterVector, QuantumCircuit
from qiskit.circuit.library import efficient_su2
from qiskit.quantum_info import Operator, Pauli, SparsePauliOp

from efaas.backends.experiment import Experiment
from efaas.testing import FakeBackend

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from efaas.clock import VirtualClock

__all__ = ["PROBLEMS", "Problem", "StateEnergy"]

_Gate = Callable[["NDArray[np.complex128]", "NDArray[np.float64]"], "NDArray[np.complex128]"]
_AXES = {"rx": "X", "ry": "Y", "rz": "Z", "rxx": "XX", "ryy": "YY", "rzz": "ZZ"}


class StateEnergy:
    """The exact energy after a circuit, as a function of its slot angles.

    Example:
        >>> energy = StateEnergy(*ising(4, reps=2))
        >>> energy(np.zeros(24))
        -3.0
    """

    def __init__(self, circuit: QuantumCircuit, observable: SparsePauliOp) -> None:
        """Prepare the circuit's gates; the n-th parameterised gate takes the n-th angle."""
        self._start = np.zeros(2**circuit.num_qubits, dtype=np.complex128)
        self._start[0] = 1.0
        self._gates = list(_gates(circuit))
        self._hamiltonian = observable.to_matrix()

    def __call__(self, angles: NDArray[np.float64]) -> float:
        """The energy at the slot angles, shape ``(slots,)``."""
        state = self._start
        half = 0.5 * angles
        for gate in self._gates:
            state = gate(state, half)
        return float(np.vdot(state, self._hamiltonian @ state).real)


@dataclass(frozen=True)
class Problem:
    """A circuit, what is measured after it, and where a search begins.

    Attributes:
        name: Its name in the tables.
        circuit: The ansatz.
        observable: The energy.
        start: Draws a starting point, shape ``(parameters,)``, of a generator.
    """

    name: str
    circuit: QuantumCircuit
    observable: SparsePauliOp
    start: Callable[[np.random.Generator, int], NDArray[np.float64]]

    @property
    def num_parameters(self) -> int:
        """Number of the user's parameters."""
        return int(self.circuit.num_parameters)

    @property
    def ground_energy(self) -> float:
        """The lowest energy of any state."""
        return float(np.linalg.eigvalsh(self.observable.to_matrix())[0])

    def x0(self, seed: int) -> NDArray[np.float64]:
        """The starting point of a seed."""
        return self.start(np.random.default_rng(seed), self.num_parameters)

    def exact_energy(self) -> Callable[[NDArray[np.float64]], float]:
        """The energy without noise as a function of the user's parameters."""
        experiment = Experiment.estimate(self.circuit, [self.observable])
        energy = StateEnergy(self.circuit, self.observable)

        def at(theta: NDArray[np.float64]) -> float:
            return energy(experiment.slot_angles(experiment.check_values(theta))[0])

        return at

    def device(
        self,
        noise: float,
        *,
        clock: VirtualClock | None = None,
        round_seconds: float = 0.0,
        evaluation_seconds: float = 0.0,
    ) -> FakeBackend:
        """A simulated device that runs this problem.

        Args:
            noise: Standard deviation of the energies' Gaussian noise; 0 for exact ones.
            clock: As in ``FakeBackend``.
            round_seconds: As in ``FakeBackend``.
            evaluation_seconds: As in ``FakeBackend``.
        """
        energy = StateEnergy(self.circuit, self.observable)

        def value(angles: NDArray[np.float64], seed: int) -> float:
            exact = energy(angles)
            if not noise or not seed:  # 0 is the seed of evaluations without shots
                return exact
            generator = np.random.Generator(np.random.Philox(key=seed))
            return exact + noise * float(generator.standard_normal())

        return FakeBackend(
            num_qubits=self.circuit.num_qubits,
            value=value,
            clock=clock,
            round_seconds=round_seconds,
            evaluation_seconds=evaluation_seconds,
        )


def h2() -> tuple[QuantumCircuit, SparsePauliOp]:
    """H2 at 0.735 angstrom, STO-3G, Jordan-Wigner, as in ``examples/vqe_h2.py``."""
    terms = "IIII IIIZ IIZI IZII ZIII IIZZ IZIZ ZIIZ IZZI ZIZI ZZII XXXX XXYY YYXX YYYY"
    coefficients = [-0.81054798, 0.17218393, -0.22575349, 0.17218393, -0.22575349, 0.12091263]
    coefficients += [0.16892754, 0.16614543, 0.16614543, 0.17464343, 0.12091263, *[0.0452328] * 4]
    ansatz = efficient_su2(4, reps=1, entanglement="linear")
    return ansatz, SparsePauliOp(terms.split(), coefficients)


def ising(qubits: int, *, reps: int) -> tuple[QuantumCircuit, SparsePauliOp]:
    """An open chain in a transverse field at its critical point, J = h = 1."""
    terms = [("ZZ", [i, i + 1], -1.0) for i in range(qubits - 1)]
    terms += [("X", [i], -1.0) for i in range(qubits)]
    observable = SparsePauliOp.from_sparse_list(terms, num_qubits=qubits)
    return efficient_su2(qubits, reps=reps, entanglement="linear"), observable


def maxcut(layers: int) -> tuple[QuantumCircuit, SparsePauliOp]:
    """The largest cut of a weighted ring of six nodes with two chords.

    The parameters are the layers' cost angles and then their mixer angles.
    """
    weights = {(0, 1): 1.0, (1, 2): 0.8, (2, 3): 1.2, (3, 4): 0.6, (4, 5): 1.0, (0, 5): 0.9}
    weights |= {(0, 3): 1.1, (1, 4): 0.7}
    edges = [("ZZ", list(edge), 0.5 * weight) for edge, weight in weights.items()]
    cost_angles, mixer_angles = ParameterVector("cost", layers), ParameterVector("mixer", layers)
    circuit = QuantumCircuit(6)
    circuit.h(range(6))
    for layer in range(layers):
        for (left, right), weight in weights.items():
            circuit.rzz(weight * cost_angles[layer], left, right)
        for node in range(6):
            circuit.rx(-2 * mixer_angles[layer], node)  # minus: the least energy is sought
    return circuit, SparsePauliOp.from_sparse_list(edges, num_qubits=6)


def _anywhere(generator: np.random.Generator, parameters: int) -> NDArray[np.float64]:
    return generator.uniform(-np.pi, np.pi, parameters)


def _near_a_ramp(generator: np.random.Generator, parameters: int) -> NDArray[np.float64]:
    """The cost's angles rise and the mixer's fall, as in annealing, give or take a little."""
    rising = (np.arange(parameters // 2) + 0.5) / (parameters // 2)
    ramp = np.concatenate([0.8 * rising, 0.8 * (1.0 - rising)])
    return ramp + generator.uniform(-0.2, 0.2, parameters)


PROBLEMS = {
    "h2": Problem("h2", *h2(), _anywhere),
    "tfim4": Problem("tfim4", *ising(4, reps=2), _anywhere),
    "tfim6": Problem("tfim6", *ising(6, reps=2), _anywhere),
    "qaoa3": Problem("qaoa3", *maxcut(3), _near_a_ramp),
}
"""16, 24, 36 and 6 parameters."""


# A circuit as a list of functions of the state and of half the slot angles.


def _gates(circuit: QuantumCircuit) -> Iterator[_Gate]:
    diagonal: list[tuple[int, NDArray[np.complex128]]] = []  # slots, and their Paulis' diagonals
    slot = 0
    for instruction in circuit.data:
        name = instruction.operation.name
        wires = [circuit.find_bit(qubit).index for qubit in instruction.qubits]
        if not instruction.operation.params:
            if diagonal:
                yield _phases(diagonal)
                diagonal = []
            yield _fixed(circuit.num_qubits, instruction.operation, wires)
            continue
        if name not in _AXES:
            raise ValueError(f"expected rotations about one of {', '.join(_AXES)}, got {name!r}")
        targets, phases = _pauli(circuit.num_qubits, _AXES[name], wires)
        if np.array_equal(targets, np.arange(targets.size)):
            diagonal.append((slot, phases))
        else:
            if diagonal:
                yield _phases(diagonal)
                diagonal = []
            yield _rotation(slot, targets, phases)
        slot += 1
    if diagonal:
        yield _phases(diagonal)


def _pauli(
    num_qubits: int, axes: str, wires: list[int]
) -> tuple[NDArray[np.intp], NDArray[np.complex128]]:
    """Where each amplitude of ``P state`` comes from, and the factor it comes with."""
    label = ["I"] * num_qubits
    for axis, wire in zip(axes, wires, strict=True):
        label[num_qubits - 1 - wire] = axis
    matrix = Pauli("".join(label)).to_matrix()
    sources = np.argmax(np.abs(matrix), axis=1)
    return sources, matrix[np.arange(sources.size), sources]


def _rotation(slot: int, sources: NDArray[np.intp], phases: NDArray[np.complex128]) -> _Gate:
    factors = -1j * phases

    def rotated(state: NDArray[np.complex128], half: NDArray[np.float64]) -> NDArray[np.complex128]:
        angle = half[slot]
        moved: NDArray[np.complex128] = np.cos(angle) * state
        moved += (np.sin(angle) * factors) * state[sources]
        return moved

    return rotated


def _phases(diagonal: list[tuple[int, NDArray[np.complex128]]]) -> _Gate:
    slots = np.array([slot for slot, _ in diagonal])
    signs = np.stack([phases for _, phases in diagonal]).real * -1j

    def turned(state: NDArray[np.complex128], half: NDArray[np.float64]) -> NDArray[np.complex128]:
        phases: NDArray[np.complex128] = np.exp(half[slots] @ signs)
        return phases * state

    return turned


def _fixed(num_qubits: int, operation: Any, wires: list[int]) -> _Gate:
    alone = QuantumCircuit(num_qubits)
    alone.append(operation, wires)
    matrix = Operator(alone).data
    sources = np.argmax(np.abs(matrix), axis=1)
    if np.array_equal(matrix, np.eye(matrix.shape[0])[sources]):
        return lambda state, half: state[sources]
    return lambda state, half: matrix @ state
