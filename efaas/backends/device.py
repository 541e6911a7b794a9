"""A device as the engine sees it: what it can run, with which noise, under which calibration."""

from __future__ import annotations

import copy
import logging
import math
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from qiskit.transpiler import Target

from efaas.backends.noise_lowering import (
    IdealNoise,
    ModelNoise,
    NoiseSource,
    TargetNoise,
    UnlowerableNoiseError,
)
from efaas.model.calibration import BROKEN, Calibration

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from qiskit.providers import BackendV2
    from qiskit_aer import AerSimulator
    from qiskit_aer.noise import NoiseModel

    from efaas.model.drift import Quantity

__all__ = ["BROKEN", "Device", "Number", "device_of_backend", "device_of_simulator"]

_LOG = logging.getLogger("efaas.backends")


class Number(NamedTuple):
    """Which number of a target.

    Attributes:
        quantity: What kind it is.
        qubits: Where.
        field: Its attribute there, such as "error" or "t1".
        operation: Of which operation; "" for a qubit's own numbers.
    """

    quantity: Quantity
    qubits: tuple[int, ...]
    field: str
    operation: str = ""


@dataclass(frozen=True)
class Device:
    """What runs circuits, as described by its vendor or by the user.

    Attributes:
        name: Its name.
        target: Qiskit's description of its instructions.
        routing_target: The same as the transpiler is to see it.
        noise: Its noise, or None where only the whole simulator can express it.
        calibration: Which numbers these are.
        whole: The simulator as the user gave it, for noise that cannot be lowered.
        preferred_method: The method that the user's simulator was set to, or "automatic".
        dt: Seconds of one ``dt``, for delays in that unit, or None where unknown.
    """

    name: str
    target: Target
    routing_target: Target
    noise: NoiseSource | None
    calibration: Calibration
    whole: AerSimulator | None = field(default=None, repr=False)
    preferred_method: str = "automatic"
    dt: float | None = None

    @property
    def num_qubits(self) -> int:
        """Width of the device."""
        return int(self.target.num_qubits)

    @property
    def is_ideal(self) -> bool:
        """Whether nothing is noisy."""
        return self.noise is not None and self.noise.is_ideal

    def numbers(self) -> dict[Number, float]:
        """Coherence times (seconds) and error rates of the target, where it has finite ones."""
        return _numbers(self.target)

    def recalibrated(
        self, numbers: Mapping[Number, float], taken_at: datetime | None = None
    ) -> Device:
        """The same device under another calibration.

        Only for devices whose noise is that of their target.

        Args:
            numbers: What becomes of each of ``numbers()``; those left out stay. Error rates in
                [0, 1]; T2 above twice T1 is cut to that, which is the most there can be.
            taken_at: When they were measured, timezone-aware.
        """
        target = _with_numbers(self.target, numbers)
        calibration = Calibration(
            id=_digest(_target_content(target, self.dt)), backend=self.name, taken_at=taken_at
        )
        return replace(
            self,
            target=target,
            routing_target=_routing_target(target),
            noise=TargetNoise(target, self.dt),
            calibration=calibration,
        )


def device_of_backend(
    backend: BackendV2, name: str | None = None, *, keeps_timing: bool = False
) -> Device:
    """The device that a ``BackendV2`` with a target describes, with the noise of its target.

    Args:
        backend: What describes it.
        name: What to call it; None for its own name.
        keeps_timing: Whether circuits are compiled for the hardware's clock cycles.
    """
    name = name or backend.name
    target = backend.target
    calibration = Calibration(
        id=_digest(_target_content(target, backend.dt)),
        backend=name,
        taken_at=_date_of_properties(backend),
    )
    return Device(
        name=name,
        target=target,
        routing_target=_routing_target(target, keeps_timing=keeps_timing),
        noise=TargetNoise(target, backend.dt),
        calibration=calibration,
        dt=backend.dt,
    )


def device_of_simulator(simulator: AerSimulator, name: str | None = None) -> Device:
    """The device that an ``AerSimulator`` stands for, with the noise model it was given."""
    name = name or simulator.name
    target = simulator.target
    model = simulator.options.noise_model
    method = simulator.options.method
    preferred = {"density_matrix": method, "statevector": method}.get(method, "automatic")
    noise: NoiseSource | None = None
    if method not in ("automatic", "density_matrix", "statevector"):
        _LOG.info("%s is set to the method %r: it is run whole, as given", name, method)
    elif model is None or model.is_ideal():
        noise = IdealNoise()
    else:
        try:
            noise = ModelNoise(model)
        except UnlowerableNoiseError as reason:
            _LOG.warning(
                "the noise model of %s cannot be restricted to active qubits (%s): the whole "
                "simulator is run at every evaluation, which is slow",
                name,
                reason,
            )
    if noise is not None and noise.is_ideal:
        calibration = Calibration(id="ideal", backend=name)
    else:
        content = [*_target_content(target, None), *_model_content(model), method.encode()]
        calibration = Calibration(id=_digest(iter(content)), backend=name)
    if method == "statevector" and not (noise is not None and noise.is_ideal):
        preferred = "trajectories"
    return Device(
        name=name,
        target=target,
        routing_target=_routing_target(target),
        noise=noise,
        calibration=calibration,
        whole=simulator,
        preferred_method=preferred,
    )


def _date_of_properties(backend: BackendV2) -> datetime | None:
    properties = getattr(backend, "properties", None)
    if not callable(properties):
        return None
    taken_at = getattr(properties(), "last_update_date", None)
    if not isinstance(taken_at, datetime):
        return None
    return taken_at if taken_at.tzinfo else taken_at.replace(tzinfo=UTC)


def _entries(target: Target) -> Iterator[tuple[str, tuple[int, ...], Any]]:
    """Every (operation, qubits, properties) of the target that has properties."""
    for name in sorted(target.operation_names):
        by_qubits = target[name]
        for qubits, properties in (by_qubits or {}).items():
            if qubits is not None and properties is not None:
                yield name, qubits, properties


_TIMING = ("granularity", "min_length", "pulse_alignment", "acquire_alignment")

_ERRORS = ("error", "prob_meas1_prep0", "prob_meas0_prep1")


def _numbers(target: Target) -> dict[Number, float]:
    numbers: dict[Number, float] = {}
    for name, qubits, properties in _entries(target):
        if name == "measure":
            quantity: Quantity = "readout_error"
        elif len(qubits) == 1:
            quantity = "one_qubit_gate_error"
        else:
            quantity = "two_qubit_gate_error"
        for rate in _ERRORS:
            value = getattr(properties, rate, None)
            if value is not None and math.isfinite(value):
                numbers[Number(quantity, qubits, rate, name)] = float(value)
    for qubit, times in enumerate(target.qubit_properties or ()):
        for time in ("t1", "t2"):
            value = getattr(times, time, None)
            if value is not None and math.isfinite(value):
                quantity = "t1" if time == "t1" else "t2"
                numbers[Number(quantity, (qubit,), time)] = float(value)
    return numbers


def _with_numbers(target: Target, numbers: Mapping[Number, float]) -> Target:
    """A copy of the target with other numbers."""
    changed = copy.deepcopy(target)
    fresh: dict[tuple[str, tuple[int, ...]], Any] = {}
    for name, qubits, properties in _entries(target):
        fresh[name, qubits] = _copied(properties)
    times = [_copied(qubit) for qubit in target.qubit_properties or ()]
    for number, value in numbers.items():
        if number.operation:
            setattr(fresh[number.operation, number.qubits], number.field, value)
        else:
            setattr(times[number.qubits[0]], number.field, value)
    for qubit in times:
        if qubit.t1 is not None and qubit.t2 is not None:
            qubit.t2 = min(qubit.t2, 2 * qubit.t1)
    for (name, qubits), properties in fresh.items():
        changed.update_instruction_properties(name, qubits, properties)
    if times:
        changed.qubit_properties = times
    return changed


def _copied(properties: Any) -> Any:
    """A copy with the attributes that were added to it, which Qiskit's own copy leaves out."""
    copied = copy.copy(properties)
    added = getattr(properties, "__dict__", None)
    if added:
        copied.__dict__.update(added)
    return copied


def _target_content(target: Target, dt: float | None) -> Iterator[bytes]:
    yield repr((target.num_qubits, dt, sorted(target.operation_names))).encode()
    for name, qubits, properties in _entries(target):
        numbers = (
            properties.error,
            properties.duration,
            getattr(properties, "prob_meas1_prep0", None),
            getattr(properties, "prob_meas0_prep1", None),
        )
        yield repr((name, qubits, numbers)).encode()
    for qubit in target.qubit_properties or ():
        yield repr((qubit.t1, qubit.t2, qubit.frequency)).encode()


def _model_content(model: NoiseModel | None) -> Iterator[bytes]:
    """The errors of a noise model, without the identifiers that Aer draws anew for each."""
    if model is None:
        return
    for table in ("_default_quantum_errors", "_local_quantum_errors"):
        for name, errors in sorted(getattr(model, table, {}).items()):
            by_qubits = errors.items() if isinstance(errors, dict) else [("all", errors)]
            for qubits, error in by_qubits:
                yield repr((table, name, qubits)).encode()
                yield np.asarray(error.probabilities, dtype=np.float64).tobytes()
                for circuit in error.circuits:
                    for instruction in circuit.data:
                        where = tuple(circuit.find_bit(bit).index for bit in instruction.qubits)
                        yield repr((instruction.operation.name, where)).encode()
                        for param in instruction.operation.params:
                            array = isinstance(param, np.ndarray)
                            yield param.tobytes() if array else repr(param).encode()
    readout = dict(getattr(model, "_local_readout_errors", {}))
    readout["all"] = getattr(model, "_default_readout_error", None)
    for qubits, error in readout.items():
        if error is not None:
            yield repr(qubits).encode()
            yield np.asarray(error.probabilities, dtype=np.float64).tobytes()
    for noise_pass in getattr(model, "_custom_noise_passes", ()):
        yield type(noise_pass).__name__.encode()
        for name in ("_t1s", "_t2s", "_p1s"):
            yield np.asarray(getattr(noise_pass, name, ()), dtype=np.float64).tobytes()
        yield repr(getattr(noise_pass, "_dt", None)).encode()


def _digest(parts: Iterator[bytes]) -> str:
    digest = blake2b(digest_size=12)
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()


def _routing_target(target: Target, *, keeps_timing: bool = False) -> Target:
    """The target without what would lead the transpiler astray.

    Couplings that are broken, or that lead to a broken qubit: routing looks at couplings only,
    so it would use a broken one like any other. And, unless they are kept, the clock cycles that
    hardware aligns pulses to: a simulation has none, and delays that are not aligned would be
    refused.
    """
    broken = {
        qubits
        for _, qubits, properties in _entries(target)
        if properties.error is not None and properties.error >= BROKEN
    }
    dead = {qubits[0] for qubits in broken if len(qubits) == 1}

    def works(qubits: tuple[int, ...] | None) -> bool:
        if qubits is None or len(qubits) == 1:
            return True
        return dead.isdisjoint(qubits) and qubits not in broken and qubits[::-1] not in broken

    timing = {name: getattr(target, name) for name in _TIMING} if keeps_timing else {}
    routing = Target(
        num_qubits=target.num_qubits,
        qubit_properties=target.qubit_properties,
        dt=target.dt,
        **timing,
    )
    for name in target.operation_names:
        operation = target.operation_from_name(name)
        if isinstance(operation, type):
            routing.add_instruction(operation, name=name)
            continue
        entries = target[name]
        if None in entries:
            entries = None
        else:
            entries = {qubits: value for qubits, value in entries.items() if works(qubits)}
        routing.add_instruction(operation, entries, name=name)
    return routing
