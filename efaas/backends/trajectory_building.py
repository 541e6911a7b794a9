"""Building the engines that run on Aer's simulators."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qiskit.circuit import ClassicalRegister
from qiskit.quantum_info import PauliList, SparsePauliOp

from efaas.backends.compact import CompactNoise, compacted
from efaas.backends.cost import Costs, aer_threads
from efaas.backends.estimation import Terms, settings_of
from efaas.backends.exact_building import BASIS_NAMES
from efaas.backends.program import PricedEngine, Refusal
from efaas.backends.trajectories import (
    AerRunner,
    TrajectoryEstimate,
    TrajectorySample,
    WholeExactEstimate,
)
from efaas.errors import CircuitError, ResourceLimitError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qiskit.circuit import QuantumCircuit

    from efaas.backends.device import Device
    from efaas.backends.experiment import Experiment
    from efaas.backends.isa import Compiler, IsaCircuit
    from efaas.backends.program import Engine

__all__ = ["TrajectoryBuilder"]

_AER_OPTIONS = {
    "method": "statevector",
    # Fusing from 6 qubits on instead of 14 makes 10 to 14 noisy qubits three times as fast.
    "fusion_threshold": 6,
    # Threads run shots side by side, each with its own seed. They never share one state: sums
    # over a state that is split among threads would depend on their number.
    "statevector_parallel_threshold": 64,
}

_WHOLE_RUN_SECONDS = 2.0
_WHOLE_SHOT_SECONDS = 1e-3
"""A guess: what a whole device costs depends on what the user's simulator is set to."""


@dataclass(frozen=True)
class TrajectoryBuilder:
    """Builds engines for one experiment.

    Attributes:
        device: The device.
        compiler: Its compiler.
        experiment: What is measured.
        isa: As the device runs it.
        active: The device's qubits that take part, ascending.
    """

    device: Device
    compiler: Compiler
    experiment: Experiment
    isa: IsaCircuit
    active: tuple[int, ...]

    def engine(self) -> Engine:
        """The trajectory engine on the active qubits, with the device's noise."""
        source = self.device.noise
        if source is None:
            raise AssertionError("noise that cannot be lowered is run by whole_engine")
        noise = None if source.is_ideal else CompactNoise(source, self.active)
        circuit = compacted(self.isa.circuit, self.active, noise)
        place = {qubit: index for index, qubit in enumerate(self.active)}
        options = {
            **_AER_OPTIONS,
            "max_parallel_threads": aer_threads(),
            "max_parallel_shots": aer_threads(),
        }
        return self._engine(circuit, place, options, noise)

    def whole_engine(self) -> PricedEngine:
        """The user's simulator as it is, on the device's qubits."""
        place = {qubit: qubit for qubit in self.active}
        engine = self._engine(self.isa.circuit, place, {"max_parallel_threads": 1}, None)
        costs = Costs(_WHOLE_RUN_SECONDS, _WHOLE_SHOT_SECONDS, 16.0 * 2 ** len(self.active))
        return PricedEngine(engine, costs)

    def whole_exact_engine(
        self, outcomes_matter: bool, memory_bytes: float
    ) -> PricedEngine | Refusal:
        """Exact expectation values from the user's simulator, or why there are none.

        Args:
            outcomes_matter: Whether outcomes of measurements on the way are used.
            memory_bytes: What a run may use.
        """
        measures = any(i.operation.name == "measure" for i in self.isa.circuit.data)
        if self.experiment.is_sample or outcomes_matter or measures:
            return Refusal(
                CircuitError,
                f"{self.device.name} is run as a whole simulator, which has no exact expectation "
                "values of a circuit with measurements on the way; ask for a number of shots",
            )
        needed = 2 * 16.0 * 4 ** len(self.active)
        if needed > memory_bytes:
            return Refusal(
                ResourceLimitError,
                f"a density matrix of {len(self.active)} active qubits takes "
                f"{needed / 2**20:,.0f} MB of memory, more than the "
                f"{memory_bytes / 2**20:,.0f} MB allowed; ask for a number of shots",
            )
        circuit = self.isa.circuit.copy()
        columns = list(self.active)
        for index, observable in enumerate(self.isa.observables):
            # Saved on the active qubits only, so that Aer drops the others.
            paulis = PauliList.from_symplectic(
                observable.paulis.z[:, columns], observable.paulis.x[:, columns]
            )
            if columns:
                circuit.save_expectation_value(
                    SparsePauliOp(paulis, observable.coeffs), columns, label=str(index)
                )
        options = {"method": "density_matrix", "max_parallel_threads": 1}
        runner = AerRunner(options, self.experiment.slots, self.device.whole)
        engine = WholeExactEstimate(runner, circuit, len(self.isa.observables))
        # It draws no shots, so it is never the one to run them.
        return PricedEngine(engine, Costs(_WHOLE_RUN_SECONDS, math.inf, needed))

    def _engine(
        self,
        circuit: QuantumCircuit,
        place: Mapping[int, int],
        options: dict[str, Any],
        noise: CompactNoise | None,
    ) -> Engine:
        """The engine for a circuit whose qubit ``place[q]`` is the device's qubit ``q``."""
        whole = self.device.whole if self.device.noise is None else None
        if self.experiment.is_sample:
            if noise is not None:
                options["noise_model"] = noise.model
            clbit_at = {bit: index for index, bit in enumerate(circuit.clbits)}
            return TrajectorySample(
                AerRunner(options, self.experiment.slots, whole),
                circuit,
                {register.name: register.size for register in circuit.cregs},
                {r.name: tuple(clbit_at[bit] for bit in r) for r in circuit.cregs},
            )
        terms = Terms.of(self.isa.observables, self.active)
        circuits, members, masks = [], [], []
        for setting in settings_of(terms, range(len(terms.paulis))):
            circuits.append(self._reading(circuit, setting.bases, place, noise))
            members.append(setting.terms)
            # The first measured qubit is the lowest bit here.
            masks.append(tuple(setting.masks(terms, sorted(setting.bases, reverse=True))))
        if noise is not None:
            options["noise_model"] = noise.model
        runner = AerRunner(options, self.experiment.slots, whole)
        return TrajectoryEstimate(
            runner, tuple(circuits), tuple(members), tuple(masks), terms, circuit.num_clbits
        )

    def _reading(
        self,
        circuit: QuantumCircuit,
        bases: Mapping[int, int],
        place: Mapping[int, int],
        noise: CompactNoise | None,
    ) -> QuantumCircuit:
        """The circuit with the measurements of a setting, in a register of their own."""
        register = ClassicalRegister(len(bases))
        reading = circuit.copy()
        reading.add_register(register)
        for bit, qubit in enumerate(sorted(bases)):
            physical = self.active[qubit]
            name = BASIS_NAMES.get(bases[qubit])
            if name is not None:
                for operation in self.compiler.basis_changes([physical], name)[physical]:
                    reading.append(operation, [place[physical]])
                    if noise is not None:
                        noise.meet(operation, (physical,))
            reading.measure(place[physical], register[bit])
        return reading
