"""Building programs: which engine an experiment gets, and its parts."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from qiskit.circuit import ClassicalRegister, QuantumCircuit

from efaas.backends.angles import AngleMap
from efaas.backends.channels import AMPLITUDES, PAULIS
from efaas.backends.compact import CompactNoise, compacted
from efaas.backends.cost import Costs
from efaas.backends.estimation import Terms, settings_of
from efaas.backends.evolution import Evolution
from efaas.backends.exact import ExactEstimate, ExactSample
from efaas.backends.fusion import fused
from efaas.backends.lowering import InexpressibleError, Lowering, circuit_facts
from efaas.backends.measurement import X, Y, Z, Readings
from efaas.backends.noise_lowering import readout_matrix
from efaas.backends.program import Program
from efaas.backends.registers import RegisterPacking
from efaas.backends.trajectories import (
    AerRunner,
    TrajectoryEstimate,
    TrajectorySample,
    WholeExactEstimate,
)
from efaas.errors import CircuitError, ResourceLimitError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from efaas.backends.channels import Space
    from efaas.backends.device import Device
    from efaas.backends.experiment import Experiment
    from efaas.backends.isa import Compiler, IsaCircuit
    from efaas.backends.lowering import CircuitFacts
    from efaas.backends.program import Engine

__all__ = ["ProgramBuilder"]

_PURE_FROM = 7
"""From this number of qubits on, ideal circuits are held as amplitudes; below, Pauli vectors are
as quick and give every expectation value without further work."""

_BASIS_NAMES = {X: "X", Y: "Y"}

_STATE_COPIES = 2.5
"""Measured peak memory of the exact engine, in states."""

_AER_OPTIONS = {
    # Fusing from 6 qubits on instead of 14 makes 10 to 14 noisy qubits three times as fast.
    "fusion_threshold": 6,
    # Threads run shots side by side, each with its own seed. They never share one state: sums
    # over a state that is split among threads would depend on their number.
    "statevector_parallel_threshold": 64,
}


@dataclass(frozen=True)
class ProgramBuilder:
    """Compiles experiments for one device.

    Attributes:
        device: The device.
        compiler: Its compiler.
        method: "automatic", "density_matrix", "statevector" or "trajectories".
        memory_bytes: What a run may use.
    """

    device: Device
    compiler: Compiler
    method: str
    memory_bytes: float

    def build(self, experiment: Experiment) -> Program:
        """The program of an experiment.

        Raises:
            CircuitError: The device can never run it.
        """
        isa = self.compiler.compile(experiment)
        noise = self.device.noise
        facts = circuit_facts(isa.circuit, noise, experiment.is_sample)
        observed: set[int] = set()
        for observable in isa.observables:
            paulis = observable.paulis
            observed.update(np.flatnonzero((paulis.x | paulis.z).any(axis=0)).tolist())
        active = tuple(sorted(observed.union(facts.active)))
        exact: tuple[Engine, Costs] | None = None
        sampled: tuple[Engine, Costs] | None = None
        if noise is None:
            sampled = self._whole_sampled(experiment, isa, active)
            exact = self._whole_exact(experiment, isa, facts)
            refusal = (
                f"exact expectation values on {self.device.name} need its density matrix, and "
                "cannot be had of a circuit with measurements on the way; ask for shots"
            )
        else:
            exact, refusal = self._exact(experiment, isa, facts, active)
            sampled = self._sampled(experiment, isa, active, exact)
            if exact is None and sampled is None:
                raise ResourceLimitError(refusal) if "memory" in refusal else CircuitError(refusal)
        sizes = [getattr(e[0], "nbytes", 2**16) for e in (exact, sampled) if e is not None]
        return Program(
            exact=exact,
            sampled=sampled,
            refusal=refusal,
            num_qubits=len(active),
            depth=isa.circuit.depth(),
            two_qubit_gates=sum(
                len(instruction.qubits) == 2 and instruction.operation.name != "barrier"
                for instruction in isa.circuit.data
            ),
            layout=isa.layout,
            nbytes=int(sum(sizes)) + 2000 * len(isa.circuit.data),
        )

    def _exact(
        self,
        experiment: Experiment,
        isa: IsaCircuit,
        facts: CircuitFacts,
        active: tuple[int, ...],
    ) -> tuple[tuple[Engine, Costs] | None, str]:
        """The exact engine, or None and why not."""
        if self.method == "trajectories":
            return None, (
                "exact expectation values were asked for, but this backend was made with "
                "method='trajectories'; ask for shots, or use method='automatic'"
            )
        if facts.outcomes_matter:
            return None, (
                "the circuit has measurements on the way whose outcomes are used, so it is run "
                "shot by shot and has no exact expectation values here; ask for shots"
            )
        spaces = [PAULIS]
        if self.device.is_ideal or self.method == "statevector":
            if self.method == "statevector":
                spaces = [AMPLITUDES]
            elif self.method == "automatic" and len(active) >= _PURE_FROM:
                spaces = [AMPLITUDES, PAULIS]
        refusal = ""
        for space in spaces:
            needed = _STATE_COPIES * space.dim ** len(active) * np.dtype(space.dtype).itemsize
            if needed > self.memory_bytes:
                refusal = (
                    f"the exact state of {len(active)} active qubits takes "
                    f"{needed / 2**20:,.0f} MB of memory, more than the "
                    f"{self.memory_bytes / 2**20:,.0f} MB allowed; use fewer qubits, ask for "
                    "shots, or raise max_memory_mb"
                )
                continue
            try:
                return self._exact_in(space, experiment, isa, facts, active), ""
            except InexpressibleError as error:
                return None, (
                    f"the circuit has {error.args[0]!r}, so it is run shot by shot and has no "
                    "exact expectation values here; ask for shots"
                )
            except TypeError:
                if space is PAULIS or self.method == "statevector":
                    raise CircuitError(
                        "method='statevector' holds pure states only, but the circuit has noise, "
                        "resets or measurements on the way; use method='automatic'"
                    ) from None
        return None, refusal

    def _exact_in(
        self,
        space: Space,
        experiment: Experiment,
        isa: IsaCircuit,
        facts: CircuitFacts,
        active: tuple[int, ...],
    ) -> tuple[Engine, Costs]:
        noise = self.device.noise
        if noise is None:
            raise InexpressibleError("noise of the whole device")
        lowering = Lowering(space, noise, active)
        final = facts.final if experiment.is_sample else {}
        steps = fused(len(active), space, lowering.factors(isa.circuit, final))
        evolution = Evolution(steps, len(active), space)
        angle_map = AngleMap.of(lowering.angles, experiment.slots)
        if experiment.is_sample:
            place = {qubit: index for index, qubit in enumerate(active)}
            measured = tuple(place[qubit] for qubit in final)
            read = [qubit for qubit in evolution.order if qubit in measured]
            bit = {qubit: len(read) - 1 - index for index, qubit in enumerate(read)}
            packing = RegisterPacking.of(
                isa.circuit, {clbit: bit[place[qubit]] for qubit, clbit in final.items()}
            )
            readings = self._readings(space, lowering, active, {(q, Z) for q in measured})
            costs = self._exact_costs(evolution, 1)
            return ExactSample(evolution, angle_map, measured, readings, packing), costs
        terms = Terms.of(isa.observables, active)
        pairs = {
            (int(qubit), int(basis))
            for qubit in range(len(active))
            for basis in np.unique(terms.paulis[:, qubit])
            if basis
        }
        readings = self._readings(space, lowering, active, pairs)
        costs = self._exact_costs(evolution, 3)
        return ExactEstimate(evolution, angle_map, terms, readings), costs

    def _readings(
        self,
        space: Space,
        lowering: Lowering,
        active: tuple[int, ...],
        pairs: Iterable[tuple[int, int]],
    ) -> Readings:
        """How the device reads each of the given (active qubit, basis) pairs."""
        pairs = sorted(pairs)
        changes: dict[int, dict[int, list[Any]]] = {}
        for basis, name in _BASIS_NAMES.items():
            qubits = [active[qubit] for qubit, other in pairs if other == basis]
            if qubits:
                changes[basis] = self.compiler.basis_changes(qubits, name)
        effects = {}
        confusion = {}
        outcome = np.array([[0.5, 0, 0, 0.5], [0.5, 0, 0, -0.5]])
        for qubit, basis in pairs:
            physical = active[qubit]
            total = space.identity(1)
            for operation in changes.get(basis, {}).get(physical, ()):
                for _, factor in lowering.instruction(operation, (physical,)):
                    total = factor.matrix @ total  # type: ignore[union-attr]
            assert self.device.noise is not None  # noqa: S101
            wrong = readout_matrix(self.device.noise.readout(physical))
            if space.is_pure:
                effects[qubit, basis] = total
                if wrong is not None:
                    confusion[qubit] = wrong
                continue
            effect = outcome @ total
            if wrong is not None:
                effect = wrong @ effect
            effects[qubit, basis] = np.where(np.abs(effect) < 1e-15, 0.0, effect)
        return Readings(space, effects, confusion)

    def _exact_costs(self, evolution: Evolution, readings: int) -> Costs:
        size = float(evolution.space.dim**evolution.num_qubits)
        itemsize = np.dtype(evolution.space.dtype).itemsize
        seconds = 5e-5 + 1e-10 * evolution.multiplications + readings * 4e-9 * size
        return Costs(seconds, 0.0, _STATE_COPIES * size * itemsize)

    def _sampled(
        self,
        experiment: Experiment,
        isa: IsaCircuit,
        active: tuple[int, ...],
        exact: tuple[Engine, Costs] | None,
    ) -> tuple[Engine, Costs] | None:
        """The trajectory engine, unless it could never be chosen or does not fit."""
        if self.method in ("density_matrix", "statevector") and exact is not None:
            return None
        costs = self._sampled_costs(isa, active, experiment)
        if exact is not None and exact[1].seconds(1) <= costs.seconds(1):
            return None
        if costs.bytes > self.memory_bytes:
            if exact is not None:
                return None
            raise ResourceLimitError(
                f"{len(active)} active qubits take {costs.bytes / 2**20:,.0f} MB of memory, more "
                f"than the {self.memory_bytes / 2**20:,.0f} MB allowed; use fewer qubits, or "
                "raise max_memory_mb"
            )
        if self.method in ("density_matrix", "statevector"):
            return None
        source = self.device.noise
        assert source is not None  # noqa: S101
        noise = None if source.is_ideal else CompactNoise(source, active)
        circuit = compacted(isa.circuit, active, noise)
        place = {qubit: index for index, qubit in enumerate(active)}
        engine = self._trajectories(experiment, isa, circuit, place, noise, None)
        return engine, costs

    def _sampled_costs(
        self, isa: IsaCircuit, active: tuple[int, ...], experiment: Experiment
    ) -> Costs:
        amplitudes = 2.0 ** len(active)
        instructions = len(isa.circuit.data)
        settings = 1
        if not experiment.is_sample:
            terms = Terms.of(isa.observables, active)
            settings = len(settings_of(terms, range(len(terms.paulis))))
        per_shot = instructions * (5e-7 + 1.3e-9 * amplitudes)
        fixed = settings * (8e-3 + 1e-4 * instructions)
        # Each thread holds the state of its shot.
        return Costs(fixed, settings * per_shot, 16 * amplitudes * (1 + _aer_threads()))

    def _trajectories(
        self,
        experiment: Experiment,
        isa: IsaCircuit,
        circuit: QuantumCircuit,
        place: dict[int, int],
        noise: CompactNoise | None,
        whole: Any,
    ) -> Engine:
        """The trajectory engine for a circuit whose qubit ``place[q]`` is the device's ``q``."""
        options: dict[str, Any] = {}
        if whole is None:
            options = {"method": "statevector", **_AER_OPTIONS}
            options["max_parallel_threads"] = options["max_parallel_shots"] = _aer_threads()
        else:
            options["max_parallel_threads"] = 1
        if experiment.is_sample:
            if noise is not None:
                options["noise_model"] = noise.model
            runner = AerRunner(options, experiment.slots, whole)
            clbit_at = {bit: index for index, bit in enumerate(circuit.clbits)}
            return TrajectorySample(
                runner,
                circuit,
                {register.name: register.size for register in circuit.cregs},
                {r.name: tuple(clbit_at[bit] for bit in r) for r in circuit.cregs},
            )
        active = sorted(place)
        terms = Terms.of(isa.observables, active)
        circuits, members, masks = [], [], []
        for setting in settings_of(terms, range(len(terms.paulis))):
            measured = sorted(setting.bases)
            register = ClassicalRegister(len(measured), "efaas_setting")
            reading = circuit.copy()
            reading.add_register(register)
            for bit, qubit in enumerate(measured):
                physical, basis = active[qubit], setting.bases[qubit]
                target = place[physical]
                for operation in (
                    self.compiler.basis_changes([physical], _BASIS_NAMES[basis])[physical]
                    if basis in _BASIS_NAMES
                    else ()
                ):
                    reading.append(operation, [target])
                    if noise is not None:
                        noise.meet(operation, (physical,))
                reading.measure(target, register[bit])
            bits = {qubit: 1 << bit for bit, qubit in enumerate(measured)}
            circuits.append(reading)
            members.append(setting.terms)
            masks.append(
                tuple(
                    sum(bits[int(q)] for q in np.flatnonzero(terms.paulis[term]))
                    for term in setting.terms
                )
            )
        if noise is not None:
            options["noise_model"] = noise.model
        runner = AerRunner(options, experiment.slots, whole)
        return TrajectoryEstimate(
            runner, tuple(circuits), tuple(members), tuple(masks), terms, circuit.num_clbits
        )

    def _whole_sampled(
        self, experiment: Experiment, isa: IsaCircuit, active: tuple[int, ...]
    ) -> tuple[Engine, Costs]:
        """The user's simulator as given, on the device's qubits."""
        place = {qubit: qubit for qubit in active}
        engine = self._trajectories(
            experiment, isa, isa.circuit, place, None, self.device.whole
        )
        return engine, Costs(2.0, 1e-3, 16.0 * 2 ** len(active))

    def _whole_exact(
        self, experiment: Experiment, isa: IsaCircuit, facts: CircuitFacts
    ) -> tuple[Engine, Costs] | None:
        measures = any(i.operation.name == "measure" for i in isa.circuit.data)
        if experiment.is_sample or facts.outcomes_matter or measures:
            return None
        circuit = isa.circuit.copy()
        for index, observable in enumerate(isa.observables):
            circuit.save_expectation_value(
                observable, list(range(circuit.num_qubits)), label=str(index)
            )
        runner = AerRunner(
            {"method": "density_matrix", "max_parallel_threads": 1},
            experiment.slots,
            self.device.whole,
        )
        return WholeExactEstimate(runner, circuit, len(isa.observables)), Costs(2.0, 0.0, 0.0)


def _aer_threads() -> int:
    """Threads of an Aer run; the result does not depend on it."""
    if hasattr(os, "sched_getaffinity"):
        return min(8, len(os.sched_getaffinity(0)))
    return min(8, os.cpu_count() or 1)
