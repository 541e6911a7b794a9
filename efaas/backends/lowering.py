"""Lowering: the device's circuit, with its noise, as matrices on the active qubits.

A qubit is active if something happens to it; delays on a qubit that stays in its ground state
count as nothing, so a scheduled circuit of a wide device stays small.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from qiskit.circuit import ControlFlowOp, Delay, Gate, Instruction, ParameterExpression
from qiskit.circuit.library import get_standard_gate_name_mapping
from qiskit.exceptions import QiskitError
from qiskit.quantum_info import Kraus, Operator, SuperOp

from efaas.backends.channels import DEPHASING, RESET, ImpureError, Space, trigonometric_fit
from efaas.backends.fusion import Fixed, Opaque, Turning
from efaas.errors import UnsupportedGateError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from numpy.typing import NDArray
    from qiskit.circuit import QuantumCircuit
    from qiskit_aer.noise import QuantumError

    from efaas.backends.channels import Matrix
    from efaas.backends.fusion import Factor
    from efaas.backends.noise_lowering import NoiseSource

__all__ = ["CircuitFacts", "InexpressibleError", "Lowering", "circuit_facts", "superoperator"]

_DROPPED_PROBABILITY = 1e-10
"""Aer's simulators leave out terms of an error that are no likelier than this."""


class InexpressibleError(Exception):
    """The circuit is no fixed sequence of channels: outcomes of measurements act on it."""


@dataclass(frozen=True)
class CircuitFacts:
    """What happens where in a circuit.

    Attributes:
        active: Qubits that something happens to, ascending.
        final: For a sample, the classical bits that the last measurements of each qubit leave, in
            their order: one, or several where nothing else happens between.
        outcomes_matter: Whether outcomes of measurements on the way are part of the result or
            steer what follows.
    """

    active: tuple[int, ...]
    final: dict[int, tuple[int, ...]]
    outcomes_matter: bool


def circuit_facts(
    circuit: QuantumCircuit, noise: NoiseSource | None, is_sample: bool
) -> CircuitFacts:
    """Sort a circuit's measurements and qubits.

    Args:
        circuit: On the device's qubits.
        noise: The device's noise, or None for the whole simulator.
        is_sample: Whether measured bits are the result.
    """
    qubit_at = {bit: index for index, bit in enumerate(circuit.qubits)}
    clbit_at = {bit: index for index, bit in enumerate(circuit.clbits)}
    moved: set[int] = set()
    waiting: dict[int, list[Delay]] = {}
    last_writer: dict[int, int] = {}
    measurements: list[tuple[int, int, int]] = []
    steered = False
    for position, instruction in enumerate(circuit.data):
        operation = instruction.operation
        qubits = [qubit_at[bit] for bit in instruction.qubits]
        if isinstance(operation, ControlFlowOp) or operation.name == "store":
            steered = True
        if operation.name == "barrier":
            continue
        if operation.name == "delay":
            waiting.setdefault(qubits[0], []).append(operation)
            continue
        moved.update(qubits)
        if operation.name == "measure":
            clbit = clbit_at[instruction.clbits[0]]
            measurements.append((position, qubits[0], clbit))
            last_writer[clbit] = position
    for qubit, delays in waiting.items():
        if qubit not in moved and not _leave_ground(delays, qubit, noise):
            moved.add(qubit)
    runs = _last_readings(circuit)
    final: dict[int, tuple[int, ...]] = {}
    outcomes_matter = steered
    for position, qubit, clbit in measurements:
        if last_writer[clbit] != position or not is_sample:
            continue
        if qubit in runs and runs[qubit] <= position:
            final[qubit] = (*final.get(qubit, ()), clbit)
        else:
            outcomes_matter = True
    return CircuitFacts(tuple(sorted(moved)), final, outcomes_matter)


def _last_readings(circuit: QuantumCircuit) -> dict[int, int]:
    """For each qubit that ends with measurements and nothing between them, where these begin.

    Delays after the last one do not count: nobody sees them.
    """
    qubit_at = {bit: index for index, bit in enumerate(circuit.qubits)}
    begins: dict[int, int] = {}
    waited: set[int] = set()
    for position, instruction in enumerate(circuit.data):
        name = instruction.operation.name
        if name == "barrier":
            continue
        qubits = [qubit_at[bit] for bit in instruction.qubits]
        if name == "delay":
            waited.update(qubits)
        elif name == "measure":
            if waited.intersection(qubits):
                begins.pop(qubits[0], None)
            begins.setdefault(qubits[0], position)
            waited.difference_update(qubits)
        else:
            waited.difference_update(qubits)
            for qubit in qubits:
                begins.pop(qubit, None)
    return begins


class Lowering:
    """Turns a circuit's instructions into factors on the active qubits, in one space.

    Attributes:
        angles: The angles that the factors turn with, as expressions of the circuit.
    """

    def __init__(self, space: Space, noise: NoiseSource, active: Sequence[int]) -> None:
        self._space = space
        self._noise = noise
        self._place = {qubit: place for place, qubit in enumerate(active)}
        self.angles: list[ParameterExpression] = []
        self._errors: dict[int, tuple[QuantumError, Matrix]] = {}

    def factors(
        self, circuit: QuantumCircuit, final: Collection[int] = ()
    ) -> Iterator[tuple[tuple[int, ...], Factor]]:
        """The factors of a circuit on the device's qubits, each with its active qubits.

        Args:
            circuit: On the device's qubits.
            final: Qubits whose last measurements are left to the readout.

        Raises:
            InexpressibleError: It has control flow, or an instruction that is no channel.
            UnsupportedGateError: An instruction has no matrix.
        """
        qubit_at = {bit: index for index, bit in enumerate(circuit.qubits)}
        begins = _last_readings(circuit) if final else {}
        for position, instruction in enumerate(circuit.data):
            qubits = tuple(qubit_at[bit] for bit in instruction.qubits)
            name = instruction.operation.name
            if name == "barrier" or (name == "delay" and qubits[0] not in self._place):
                continue
            if qubits[0] in final and begins[qubits[0]] <= position:
                # One of the last measurements, or a delay after them, which nobody sees.
                continue
            yield from self.instruction(instruction.operation, qubits)

    def instruction(
        self, operation: Instruction, qubits: tuple[int, ...]
    ) -> Iterator[tuple[tuple[int, ...], Factor]]:
        """The factors of one instruction on the device's qubits: itself, then its noise."""
        places = tuple(self._place[qubit] for qubit in qubits)
        name = operation.name
        if name == "measure":
            yield places, Fixed(self._mixing(DEPHASING))
            return
        if name == "delay":
            for error in (
                self._noise.after(name, qubits),
                self._noise.during(operation, qubits[0]),
            ):
                if error is not None:
                    yield places, Fixed(self._error(error))
            return
        if name == "reset":
            yield places, Fixed(self._mixing(RESET))
        else:
            yield from self._ideal(operation, places)
        key = (operation.label or name) if isinstance(operation, Gate) else name
        error = self._noise.after(key, qubits)
        if error is not None:
            yield places, Fixed(self._error(error))

    def _ideal(
        self, operation: Instruction, places: tuple[int, ...]
    ) -> Iterator[tuple[tuple[int, ...], Factor]]:
        if isinstance(operation, ControlFlowOp) or operation.name in ("store", "quantum_channel"):
            raise InexpressibleError(operation.name)
        if operation.name in ("kraus", "superop"):
            channel = Kraus(operation.params) if operation.name == "kraus" else None
            superop = operation.params[0] if channel is None else SuperOp(channel).data
            yield places, Fixed(self._space.channel(np.asarray(superop)))
            return
        if not isinstance(operation, Gate):
            definition = operation.definition
            if definition is None:
                raise UnsupportedGateError(
                    f"the instruction {operation.name!r} has no matrix and no definition; replace "
                    "it by gates",
                    gate=operation.name,
                )
            yield from self._defined(definition, places)
            return
        free = [
            position
            for position, param in enumerate(operation.params)
            if isinstance(param, ParameterExpression) and param.parameters
        ]
        if not free:
            yield places, Fixed(self._space.unitary(_unitary(operation)))
            return
        split = _SPLIT.get(operation.name) if operation.name in _standard_gates() else None
        if split is not None:
            for gate, angle in split(*operation.params):
                yield from self._rotation(gate, angle, places)
            return
        if len(operation.params) == 1:
            fit = _standard_fit(operation, self._space.dim)
            if fit is not None:
                yield places, Turning(fit, self._angle(operation.params[0]))
                return
        yield places, self._opaque(operation, free)

    def _rotation(
        self, gate: str, angle: Any, places: tuple[int, ...]
    ) -> Iterator[tuple[tuple[int, ...], Factor]]:
        operation = _standard_gates()[gate]
        if isinstance(angle, ParameterExpression) and angle.parameters:
            fit = _standard_fit(operation, self._space.dim)
            yield places, Turning(fit, self._angle(angle))
        else:
            rotation = operation.base_class(float(angle))
            yield places, Fixed(self._space.unitary(rotation.to_matrix()))

    def _defined(
        self, definition: QuantumCircuit, places: tuple[int, ...]
    ) -> Iterator[tuple[tuple[int, ...], Factor]]:
        for inner in definition.data:
            where = tuple(places[definition.find_bit(bit).index] for bit in inner.qubits)
            if inner.operation.name == "barrier":
                continue
            if inner.operation.name == "reset":
                yield where, Fixed(self._mixing(RESET))
            elif inner.operation.name == "measure":
                raise InexpressibleError("measure inside a definition")
            else:
                yield from self._ideal(inner.operation, where)

    def _opaque(self, operation: Gate, free: Sequence[int]) -> Opaque:
        gate = operation.to_mutable()
        params: list[int | float] = [
            float(p) if i not in free else 0 for i, p in enumerate(gate.params)
        ]
        for position in free:
            params[position] = self._angle(operation.params[position])
        kept = tuple(params[i] if i in free else float(params[i]) for i in range(len(params)))
        gate.params = [0.0 if i in free else float(params[i]) for i in range(len(params))]
        identity = self._space.identity(operation.num_qubits)
        return Opaque(gate, kept, tuple(range(operation.num_qubits)), identity, identity)

    def _angle(self, expression: ParameterExpression) -> int:
        self.angles.append(expression)
        return len(self.angles) - 1

    def _mixing(self, channel: NDArray[np.float64]) -> Matrix:
        if self._space.is_pure:
            raise ImpureError("a channel cannot act on amplitudes")
        return channel

    def _error(self, error: QuantumError) -> Matrix:
        known = self._errors.get(id(error))
        if known is None:
            known = (error, self._space.channel(superoperator(error)))
            self._errors[id(error)] = known
        return known[1]


def superoperator(error: QuantumError) -> NDArray[np.complex128]:
    """The channel of an error as Aer's simulators apply it: without the terms that they drop."""
    total: NDArray[np.complex128] = sum(
        probability * SuperOp(circuit).data
        for circuit, probability in zip(error.circuits, error.probabilities, strict=True)
        if probability > _DROPPED_PROBABILITY
    )
    return total


_SPLIT: dict[str, Any] = {
    "u": lambda theta, phi, lam: (("rz", lam), ("ry", theta), ("rz", phi)),
    "u3": lambda theta, phi, lam: (("rz", lam), ("ry", theta), ("rz", phi)),
    "u2": lambda phi, lam: (("rz", lam), ("ry", np.pi / 2), ("rz", phi)),
    "r": lambda theta, phi: (("rz", -phi), ("rx", theta), ("rz", phi)),
}
"""One-qubit gates of several angles as rotations, the first one first, up to a global phase."""


@lru_cache(maxsize=1)
def _standard_gates() -> dict[str, Instruction]:
    mapping: dict[str, Instruction] = get_standard_gate_name_mapping()
    return mapping


_FITS: dict[tuple[str, int, int | None, int], Matrix | None] = {}


def _standard_fit(operation: Gate, dim: int) -> Matrix | None:
    """The harmonics of a one-angle gate; kept for the standard gates, which are few."""
    standard = _standard_gates().get(operation.name)
    key = (operation.name, operation.num_qubits, getattr(operation, "ctrl_state", None), dim)
    is_standard = standard is not None and standard.base_class is operation.base_class
    if is_standard and key in _FITS:
        return _FITS[key]
    mutable = operation.to_mutable()

    def matrix_at(angle: float) -> NDArray[np.complex128]:
        mutable.params = [angle]
        return _unitary(mutable)

    fit = trigonometric_fit(matrix_at, Space(dim))
    if is_standard:
        _FITS[key] = fit
    return fit


def _unitary(operation: Gate) -> NDArray[np.complex128]:
    try:
        matrix: NDArray[np.complex128] = operation.to_matrix()
    except (QiskitError, NotImplementedError):
        try:
            matrix = Operator(operation).data
        except (QiskitError, NotImplementedError) as error:
            raise UnsupportedGateError(
                f"the gate {operation.name!r} has no matrix and no definition; replace it by "
                "standard gates",
                gate=operation.name,
            ) from error
    return matrix


def _leave_ground(delays: Sequence[Delay], qubit: int, noise: NoiseSource | None) -> bool:
    """Whether a qubit that only waits stays in its ground state."""
    if noise is None:
        return False
    for delay in delays:
        for error in (noise.after("delay", (qubit,)), noise.during(delay, qubit)):
            if error is not None:
                populated = superoperator(error)[:, 0]
                if abs(populated[0] - 1) > 1e-12:
                    return False
    return True
