"""The backend that simulates a device, or an ideal machine, on this computer."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from efaas.backends.building import ProgramBuilder
from efaas.backends.cost import memory_limit_bytes
from efaas.backends.drift import DriftingDevice, drift_of, expected_device
from efaas.backends.fidelity import LN_FLOOR, ErrorTable, OperationCounts, operations_of
from efaas.backends.isa import Compiler, check_transpiler
from efaas.backends.protocol import Estimates, Outcome, Samples
from efaas.backends.specs import device_of
from efaas.backends.warm_cache import WarmCache
from efaas.backends.workers import Workers, width_of
from efaas.clock import SystemClock
from efaas.errors import InputError, ShotsError
from efaas.model.job import Usage
from efaas.model.profile import CircuitProfile
from efaas.model.quantities import is_count, is_number

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from concurrent.futures import Executor

    from qiskit.circuit import Instruction
    from qiskit.transpiler import Target

    from efaas.backends.device import Device
    from efaas.backends.experiment import Experiment
    from efaas.backends.fidelity import Fidelity
    from efaas.backends.isa import IsaCircuit
    from efaas.backends.program import Program
    from efaas.backends.protocol import Evaluation
    from efaas.clock import Clock
    from efaas.model.calibration import Calibration

__all__ = ["METHODS", "AerBackend"]

METHODS = ("automatic", "density_matrix", "statevector", "trajectories")

_NEW_MEASUREMENT_WEIGHT = 0.2
_TYPICAL_SHOTS = 4096


@dataclass(frozen=True)
class _Errors:
    """What can go wrong under a calibration, as expected when it was this old."""

    in_force: _InForce
    table: ErrorTable
    age_seconds: float


class _Expected(NamedTuple):
    """How likely a compiled circuit runs well."""

    fidelity: Fidelity
    has_dead_gate: bool
    age_seconds: float


class _AlreadyCompiled(Compiler):
    """Gives a circuit that was compiled before, for building and judging the same one."""

    def __init__(self, compiler: Compiler, isa: IsaCircuit) -> None:
        self._compiler = compiler
        self._isa = isa

    def compile(self, experiment: Experiment) -> IsaCircuit:
        return self._isa

    def basis_changes(self, qubits: Iterable[int], basis: str) -> dict[int, list[Instruction]]:
        return self._compiler.basis_changes(qubits, basis)


@dataclass
class _Compiled:
    """A program with its measured run time, in seconds per point, and its expected fidelity."""

    key: str
    program: Program
    seconds: float
    expected: _Expected

    def learn(self, seconds: float) -> None:
        self.seconds += _NEW_MEASUREMENT_WEIGHT * (seconds - self.seconds)


class _FormKey(NamedTuple):
    """What identifies a compiled form in the warm cache."""

    fingerprint: str
    backend: str
    calibration_id: str
    settings: Hashable


@dataclass(frozen=True)
class _InForce:
    """The device under one calibration, and what compiles for it."""

    device: Device
    builder: ProgramBuilder

    @property
    def calibration(self) -> Calibration:
        return self.device.calibration


class AerBackend:
    """Simulates a device with its noise; see ``Backend`` for the methods.

    Small circuits get their exact noisy distribution, from which shots are drawn; large ones are
    run shot by shot on Aer. The result of a point is a function of its angles, its seed and the
    calibration; what it is batched with, and in which process it runs, changes no bit of it.

    With ``drift`` the calibration changes at set times of the clock. A run is done under the
    calibration in force when it starts, and its outcomes name it. Compiled forms are dropped with
    their calibration.

    Attributes:
        name: Its name.
        num_qubits: Width of the device.
        cache: Its warm calibration cache.

    Example:
        >>> from qiskit import QuantumCircuit
        >>> from efaas.backends.experiment import Experiment
        >>> from efaas.backends.protocol import Evaluation
        >>> bell = QuantumCircuit(2)
        >>> _ = bell.h(0), bell.cx(0, 1)
        >>> experiment = Experiment.estimate(bell, ["ZZ"])
        >>> backend = AerBackend("aer")
        >>> evaluation = Evaluation(experiment, np.zeros((1, 0)), None, seeds=(0,))
        >>> [outcome] = backend.execute([evaluation])
        >>> round(float(outcome.value.evs[0, 0]), 12)
        1.0
    """

    def __init__(
        self,
        spec: Any,
        *,
        name: str | None = None,
        method: str = "automatic",
        workers: int = 0,
        worker_seconds: float = 0.05,
        executor: Executor | None = None,
        cache: WarmCache | None = None,
        max_memory_mb: int | None = None,
        optimization_level: int = 3,
        seed_transpiler: int = 11,
        drift: Any = None,
        clock: Clock | None = None,
    ) -> None:
        """Make the backend of a device; nothing is compiled yet.

        Args:
            spec: A fake device's name, "aer", an ``AerSimulator`` or a ``BackendV2``.
            name: Its name; by default the device's.
            method: "density_matrix" and "trajectories" force one engine, "statevector" the exact
                one for pure states; "automatic" chooses by predicted time.
            workers: Processes for long runs; 0 runs everything in this process.
            worker_seconds: Work predicted to take longer than this goes to the workers. A round
                trip costs a millisecond, and a long run in this process stops all its threads.
            executor: Where long runs go instead of processes of our own: any
                ``concurrent.futures.Executor`` whose workers can import efaas, such as a Dask
                client's ``get_executor()``. ``workers`` is then the number of pieces that a round
                is split into; 0 for as many as the executor says it has. It is not shut down.
            cache: Where compiled forms are kept; by default a new one.
            max_memory_mb: Most memory of one simulation; by default half of the machine's.
            optimization_level: Of the transpiler, 0 to 3.
            seed_transpiler: Seed of the transpiler.
            drift: How its numbers change: None for not at all, True or a seed for
                ``efaas.backends.drift.Drift``, the path of a recorded series, or a ``Drift`` or
                ``RecordedDrift``. Only for devices whose noise is that of their target.
            clock: What drift goes by; by default the system's.

        Raises:
            UnknownBackendError: There is no device of that name.
            InputError: An argument is out of its range, or the device cannot drift.
        """
        if not isinstance(method, str) or method not in METHODS:
            raise InputError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
        if not is_count(workers, 0):
            raise InputError(f"workers must be 0 or more, got {workers!r}")
        if not (is_number(worker_seconds) and worker_seconds >= 0):
            raise InputError(f"worker_seconds must be 0 or more, got {worker_seconds!r}")
        if executor is not None and not callable(getattr(executor, "submit", None)):
            raise InputError(f"executor must have a method submit(), got {executor!r}")
        if max_memory_mb is not None and not is_count(max_memory_mb):
            raise InputError(f"max_memory_mb must be at least 1, got {max_memory_mb!r}")
        check_transpiler(optimization_level, seed_transpiler)
        if name is not None and not (isinstance(name, str) and name):
            raise InputError(f"name is a name, or None for the device's own, got {name!r}")
        if cache is not None and not isinstance(cache, WarmCache):
            raise InputError(f"cache is a WarmCache, or None for a new one, got {cache!r}")
        device = device_of(spec, name)
        if method == "automatic":
            method = device.preferred_method
        if method == "statevector" and not device.is_ideal:
            raise InputError(
                f"method='statevector' holds pure states only, but {device.name} is noisy; use "
                "method='trajectories' to simulate its noise with statevectors"
            )
        self.name = device.name
        self.num_qubits = device.num_qubits
        self.cache = WarmCache() if cache is None else cache
        self._settings = (method, max_memory_mb, optimization_level, seed_transpiler)
        self._now_in_force = self._prepared(device)
        self._errors: _Errors | None = None
        source = drift_of(drift)
        self._drifting = (
            None if source is None else DriftingDevice(device, source, clock or SystemClock())
        )
        self._changing = threading.Lock()
        if executor is not None:
            workers = workers or width_of(executor)
        self._workers = Workers(workers, executor) if workers else None
        self._worker_seconds = worker_seconds

    def calibration(self) -> Calibration:
        """The calibration that a run starting now would use; without drift always the same."""
        return self._in_force().calibration

    def recalibrate(self) -> Calibration:
        """Put the next calibration in force now, for its full time, and return it.

        Raises:
            InputError: The backend was made without drift.
        """
        if self._drifting is None:
            raise InputError(
                f"{self.name} does not drift, so there is no next calibration; make it with "
                "AerBackend(..., drift=True)"
            )
        self._drifting.recalibrate()
        return self._in_force().calibration

    def calibration_age_seconds(self) -> float:
        """Seconds of the clock since the calibration in force was taken; 0 without drift."""
        return 0.0 if self._drifting is None else self._drifting.age_seconds()

    def expected_target(self) -> Target:
        """The device's target with the numbers to be expected at the calibration's present age.

        Without drift it is the target as it is. See ``efaas.backends.drift.expected_device``.
        """
        drifting = self._drifting
        if drifting is None:
            return self._now_in_force.device.target
        present, age_seconds = self._in_force().device, drifting.age_seconds()
        return expected_device(present, drifting.shipped, age_seconds).target

    def profile(self, experiment: Experiment) -> CircuitProfile:
        """The experiment as compiled for this device; compiles it if it is cold.

        Raises:
            CircuitError: This device can never run it.
        """
        compiled, is_warm = self._compiled(experiment, self._in_force())
        program = compiled.program
        return CircuitProfile(
            backend=self.name,
            num_qubits=program.num_qubits,
            depth=program.depth,
            two_qubit_gates=program.two_qubit_gates,
            layout=program.layout,
            seconds=compiled.seconds,
            is_warm=is_warm,
            ln_gates=compiled.expected.fidelity.gates,
            ln_readout=compiled.expected.fidelity.readout,
            ln_idle=compiled.expected.fidelity.idle,
            has_dead_gate=compiled.expected.has_dead_gate,
            calibration_age_seconds=compiled.expected.age_seconds,
        )

    def execute(self, evaluations: Sequence[Evaluation]) -> Sequence[Outcome | Exception]:
        """Run the evaluations: one outcome, or error, for each, in order."""
        in_force = self._in_force()
        groups: dict[tuple[str, int | None], list[int]] = defaultdict(list)
        for index, evaluation in enumerate(evaluations):
            groups[evaluation.experiment.fingerprint, evaluation.shots].append(index)
        outcomes: list[Outcome | Exception | None] = [None] * len(evaluations)
        for indices in groups.values():
            members = [evaluations[index] for index in indices]
            for index, outcome in zip(indices, self._run_alike(members, in_force), strict=True):
                outcomes[index] = outcome
        return outcomes  # type: ignore[return-value]

    def isa(self, experiment: Experiment) -> IsaCircuit:
        """The experiment's circuit as this device runs it, with the observables laid out.

        Raises:
            CircuitError: This device cannot run it.
        """
        return self._in_force().builder.compiler.compile(experiment)

    def basis_changes(self, qubits: Sequence[int], basis: str) -> dict[int, list[Instruction]]:
        """For each physical qubit the gates after which reading it measures "X" or "Y"."""
        return self._in_force().builder.compiler.basis_changes(qubits, basis)

    def close(self) -> None:
        """Stop the worker processes; later evaluations run in this process."""
        workers, self._workers = self._workers, None
        if workers is not None:
            workers.close()

    def __repr__(self) -> str:
        return f"<AerBackend {self.name!r}: {self.num_qubits} qubits, {self._settings[0]}>"

    def _in_force(self) -> _InForce:
        drifting = self._drifting
        if drifting is None or drifting.present() is self._now_in_force.device:
            return self._now_in_force
        with self._changing:
            # Another thread may have changed it since, and to a later one than seen above.
            device = drifting.present()
            before = self._now_in_force
            if device is not before.device:
                self._now_in_force = self._prepared(device)
                self._drop_forms_unless_in_force(before.calibration)
            return self._now_in_force

    def _prepared(self, device: Device) -> _InForce:
        method, max_memory_mb, optimization_level, seed_transpiler = self._settings
        compiler = Compiler(
            device, optimization_level=optimization_level, seed_transpiler=seed_transpiler
        )
        memory_bytes = memory_limit_bytes(max_memory_mb)
        return _InForce(device, ProgramBuilder(device, compiler, method, memory_bytes))

    def _drop_forms_unless_in_force(self, calibration: Calibration) -> None:
        gone = calibration.id
        if gone != self._now_in_force.calibration.id:
            self.cache.drop(
                lambda key: (
                    isinstance(key, _FormKey)
                    and key.backend == self.name
                    and key.calibration_id == gone
                )
            )

    def _compiled(self, experiment: Experiment, in_force: _InForce) -> tuple[_Compiled, bool]:
        calibration = in_force.calibration
        key = _FormKey(experiment.fingerprint, self.name, calibration.id, self._settings)

        def build() -> _Compiled:
            isa = in_force.builder.compiler.compile(experiment)
            compiler = _AlreadyCompiled(in_force.builder.compiler, isa)
            program = replace(in_force.builder, compiler=compiler).build(experiment)
            seconds = program.engine(_TYPICAL_SHOTS).costs.seconds(_TYPICAL_SHOTS)
            return _Compiled(repr(key), program, seconds, self._expected(isa, in_force))

        compiled, is_warm = self.cache.get_or_build(
            key, build, lambda compiled: compiled.program.nbytes
        )
        if not is_warm:
            # It may have been kept after the forms of its calibration were dropped.
            self._drop_forms_unless_in_force(calibration)
        return compiled, is_warm

    def _expected(self, isa: IsaCircuit, in_force: _InForce) -> _Expected:
        errors = self._errors_of(in_force)
        table = errors.table
        read: set[int] = set()
        for observable in isa.observables:
            paulis = observable.paulis
            read.update(np.flatnonzero((paulis.x | paulis.z).any(axis=0)).tolist())
        operations = operations_of(isa.circuit, in_force.device.target.dt)
        counts = OperationCounts.of(operations, table, read=sorted(read))
        places = [*counts.gates, *[("measure", (qubit,)) for qubit in counts.readouts]]
        has_dead_gate = any(table.ln_success.get(place, 0.0) <= LN_FLOOR for place in places)
        return _Expected(table.fidelity(counts), has_dead_gate, errors.age_seconds)

    def _errors_of(self, in_force: _InForce) -> _Errors:
        """The table of a calibration, made once; two threads may both make it."""
        errors = self._errors
        if errors is not None and errors.in_force is in_force:
            return errors
        drifting = self._drifting
        target, age_seconds = in_force.device.target, 0.0
        if drifting is not None and drifting.present() is in_force.device:
            age_seconds = drifting.age_seconds()
            target = expected_device(in_force.device, drifting.shipped, age_seconds).target
        errors = self._errors = _Errors(in_force, ErrorTable.of(target), age_seconds)
        return errors

    def _run_alike(
        self, members: Sequence[Evaluation], in_force: _InForce
    ) -> list[Outcome | Exception]:
        """Run evaluations of one experiment and one number of shots together."""
        first = members[0]
        try:
            if first.experiment.is_sample and first.shots is None:
                raise ShotsError("sampling needs a number of shots, got None")
            began = time.perf_counter()
            compiled, is_warm = self._compiled(first.experiment, in_force)
            started = time.perf_counter()
            compile_seconds = 0.0 if is_warm else started - began
            values = self._run(compiled, members)
        except Exception as error:
            if len(members) == 1:
                return [error]
            # One of them must not spoil the others.
            return [
                outcome for member in members for outcome in self._run_alike([member], in_force)
            ]
        seconds = time.perf_counter() - started
        points = sum(len(member.angles) for member in members)
        if points:
            compiled.learn(seconds / points)
        share = seconds / max(1, points)
        calibration_id = in_force.calibration.id
        return [
            Outcome(
                value,
                Usage(qpu_seconds=share * len(member.angles)),
                calibration_id,
                compile_seconds=compile_seconds,
            )
            for member, value in zip(members, values, strict=True)
        ]

    def _run(self, compiled: _Compiled, members: Sequence[Evaluation]) -> list[Estimates | Samples]:
        first = members[0]
        if len(members) == 1:
            angles, seeds, wanted = first.angles, first.seeds, first.wanted
        else:
            angles = np.concatenate([member.angles for member in members])
            seeds = tuple(seed for member in members for seed in member.seeds)
            wanted = None
            if any(member.wanted is not None for member in members):
                every = tuple(range(len(first.experiment.observables)))
                wanted = tuple(
                    asked
                    for member in members
                    for asked in member.wanted or (every,) * len(member.angles)
                )
        workers = self._workers
        if workers is not None and compiled.seconds * len(angles) > self._worker_seconds:
            value = workers.run(compiled.key, compiled.program, angles, first.shots, seeds, wanted)
        else:
            value = compiled.program.run(angles, first.shots, seeds, wanted)
        if len(members) == 1:
            return [value]
        return _split(value, [len(member.angles) for member in members])


def _split(value: Estimates | Samples, counts: Sequence[int]) -> list[Estimates | Samples]:
    """The results of consecutive groups of points."""
    parts: list[Estimates | Samples] = []
    start = 0
    for count in counts:
        stop = start + count
        if isinstance(value, Estimates):
            parts.append(Estimates(value.evs[start:stop], value.stds[start:stop]))
        else:
            registers = {name: rows[start:stop] for name, rows in value.registers.items()}
            parts.append(Samples(registers, value.num_bits))
        start = stop
    return parts
