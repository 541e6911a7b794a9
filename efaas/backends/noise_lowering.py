"""Where a device's noise comes from: one error per instruction and qubits, as Aer would apply it.

Building Aer's noise model of a whole 133-qubit device takes seconds, and serialising it costs
more than a second at every run. A circuit meets a few dozen of its errors: those are built, by
Aer's own functions, when they are first met.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

import numpy as np
from qiskit.circuit import Delay
from qiskit.transpiler import Target
from qiskit_aer.noise import QuantumError, thermal_relaxation_error
from qiskit_aer.noise.device import basic_device_gate_errors, basic_device_readout_errors
from qiskit_aer.noise.passes import RelaxationNoisePass

from efaas.errors import CircuitError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from qiskit_aer.noise import NoiseModel, ReadoutError

__all__ = [
    "IdealNoise",
    "ModelNoise",
    "NoiseSource",
    "TargetNoise",
    "UnlowerableNoiseError",
    "readout_matrix",
]

_SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9, "ps": 1e-12}


class UnlowerableNoiseError(Exception):
    """A noise model holds something that is not local errors, readout errors and relaxation."""


class NoiseSource(Protocol):
    """The noise of a device, asked for instruction by instruction.

    Attributes:
        is_ideal: Whether there is none at all.
    """

    is_ideal: bool

    def after(self, name: str, qubits: tuple[int, ...]) -> QuantumError | None:
        """The error that follows an instruction of that name (or label) on those qubits."""
        ...

    def during(self, delay: Delay, qubit: int) -> QuantumError | None:
        """The relaxation of a qubit that waits."""
        ...

    def readout(self, qubit: int) -> ReadoutError | None:
        """The probabilities of reading a qubit wrongly."""
        ...


class IdealNoise:
    """No noise."""

    is_ideal = True

    def after(self, name: str, qubits: tuple[int, ...]) -> QuantumError | None:
        """None."""
        return None

    def during(self, delay: Delay, qubit: int) -> QuantumError | None:
        """None."""
        return None

    def readout(self, qubit: int) -> ReadoutError | None:
        """None."""
        return None


class TargetNoise:
    """The noise that ``NoiseModel.from_backend`` derives from a device's target, entry by entry."""

    is_ideal = False

    def __init__(self, target: Target, dt: float | None) -> None:
        """Take over a target.

        Args:
            target: Errors, durations and coherence times.
            dt: Seconds of one ``dt``, for delays in that unit.
        """
        self._target = target
        self._dt = dt
        self._errors: dict[tuple[str, tuple[int, ...]], QuantumError | None] = {}

    def after(self, name: str, qubits: tuple[int, ...]) -> QuantumError | None:
        """The error of a gate, a reset or a delay; a measurement has none but its readout's."""
        key = (name, qubits)
        if key not in self._errors:
            single = self._only(name, qubits)
            errors = basic_device_gate_errors(target=single) if single is not None else []
            self._errors[key] = _unless_ideal(errors[0][2]) if errors else None
        return self._errors[key]

    def during(self, delay: Delay, qubit: int) -> QuantumError | None:
        """Relaxation over the delay's duration.

        Raises:
            CircuitError: The delay is in ``dt`` and the device does not say how long that is.
        """
        properties = self._target.qubit_properties
        if not properties:
            return None
        t1, t2 = properties[qubit].t1, properties[qubit].t2
        if t1 is not None:
            t2 = 2 * t1 if t2 is None else min(t2, 2 * t1)
        return _relaxation(t1, t2, _delay_seconds(delay, self._dt), 0.0)

    def readout(self, qubit: int) -> ReadoutError | None:
        """The readout error of a qubit."""
        single = self._only("measure", (qubit,))
        errors = basic_device_readout_errors(target=single) if single is not None else []
        return errors[0][1] if errors else None

    def _only(self, name: str, qubits: tuple[int, ...]) -> Target | None:
        """The target with this one entry, or None if there is no such entry."""
        if name not in self._target.operation_names:
            return None
        entries = self._target[name]
        if entries is None or entries.get(qubits) is None:
            return None
        operation = self._target.operation_from_name(name)
        if isinstance(operation, type):
            return None
        single = Target(
            num_qubits=self._target.num_qubits, qubit_properties=self._target.qubit_properties
        )
        single.add_instruction(operation, {qubits: entries[qubits]}, name=name)
        return single


class ModelNoise:
    """The noise of a ``NoiseModel`` that the user made.

    The model is read through its private tables: its public ``to_dict`` takes more than a second
    for a large device. Where they are not as expected, the model counts as unlowerable.
    """

    is_ideal = False

    def __init__(self, model: NoiseModel) -> None:
        """Take over a model.

        Raises:
            UnlowerableNoiseError: It has more than errors after instructions, one-qubit readout
                errors and relaxation during delays.
        """
        self._local = _table(model, "_local_quantum_errors")
        self._default = _table(model, "_default_quantum_errors")
        self._local_readout = _table(model, "_local_readout_errors")
        self._default_readout = getattr(model, "_default_readout_error", None)
        if "measure" in self._local or "measure" in self._default:
            raise UnlowerableNoiseError("it has quantum errors on measurements")
        wide = [qubits for qubits in self._local_readout if len(qubits) > 1]
        if wide:
            raise UnlowerableNoiseError(f"it has a joint readout error on qubits {wide[0]}")
        if self._default_readout is not None and self._default_readout.number_of_qubits > 1:
            raise UnlowerableNoiseError("its default readout error is on several qubits")
        self._passes = tuple(getattr(model, "_custom_noise_passes", ()))
        for noise_pass in self._passes:
            if (
                type(noise_pass) is not RelaxationNoisePass
                or getattr(noise_pass, "_ops", None) != (Delay,)
                or getattr(noise_pass, "_method", None) != "append"
            ):
                raise UnlowerableNoiseError(
                    f"it has a custom noise pass, {type(noise_pass).__name__}"
                )

    def after(self, name: str, qubits: tuple[int, ...]) -> QuantumError | None:
        """The local error of these qubits, or else the default one of the instruction."""
        error = self._local.get(name, {}).get(qubits)
        if error is None:
            error = self._default.get(name)
            if error is not None and error.num_qubits != len(qubits):
                return None
        return _unless_ideal(error)

    def during(self, delay: Delay, qubit: int) -> QuantumError | None:
        """What the model's relaxation passes add."""
        total: QuantumError | None = None
        for noise_pass in self._passes:
            error = _relaxation(
                float(noise_pass._t1s[qubit]),
                float(noise_pass._t2s[qubit]),
                _delay_seconds(delay, noise_pass._dt),
                float(noise_pass._p1s[qubit]),
            )
            if error is not None:
                total = error if total is None else total.compose(error)
        return total

    def readout(self, qubit: int) -> ReadoutError | None:
        """The qubit's own readout error, or else the default one."""
        return self._local_readout.get((qubit,), self._default_readout)


def readout_matrix(error: ReadoutError | None) -> NDArray[np.float64] | None:
    """``P(read m | state b)`` as ``[m, b]``, shape (2, 2); None where reading is perfect."""
    if error is None:
        return None
    matrix = np.array(error.probabilities, dtype=np.float64).T
    return None if np.array_equal(matrix, np.eye(2)) else matrix


def _unless_ideal(error: QuantumError | None) -> QuantumError | None:
    """None for an error that changes nothing: Aer keeps those out of its models."""
    return None if error is None or error.ideal() else error


def _table(model: NoiseModel, name: str) -> Mapping:  # type: ignore[type-arg]
    table = getattr(model, name, None)
    if not isinstance(table, Mapping):
        raise UnlowerableNoiseError("this version of Aer keeps its errors in another form")
    return table


def _delay_seconds(delay: Delay, dt: float | None) -> float:
    duration = delay.duration
    if not isinstance(duration, (int, float)):
        raise CircuitError(
            f"a delay needs a number as its duration, got {duration}; bind it or schedule the "
            "circuit first"
        )
    if delay.unit != "dt":
        return float(duration * _SECONDS[delay.unit])
    if not dt:
        raise CircuitError(
            "the circuit has a delay in units of dt, but the device does not say how long a dt "
            "is; give the delay in seconds"
        )
    return float(duration * dt)


def _relaxation(
    t1: float | None, t2: float | None, seconds: float, excited: float
) -> QuantumError | None:
    t1 = math.inf if t1 is None else t1
    t2 = math.inf if t2 is None else t2
    if t1 == math.inf and t2 == math.inf:
        return None
    return _unless_ideal(thermal_relaxation_error(t1, t2, seconds, excited))
