"""Building programs: which engines an experiment gets on a device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from efaas.backends.channels import AMPLITUDES, PAULIS, ImpureError
from efaas.backends.cost import trajectory_costs
from efaas.backends.estimation import Terms, settings_of
from efaas.backends.exact_building import ExactBuilder
from efaas.backends.lowering import InexpressibleError, circuit_facts
from efaas.backends.program import PricedEngine, Program, Refusal
from efaas.backends.trajectory_building import TrajectoryBuilder
from efaas.errors import CircuitError, ResourceLimitError

if TYPE_CHECKING:
    from efaas.backends.channels import Space
    from efaas.backends.device import Device
    from efaas.backends.experiment import Experiment
    from efaas.backends.isa import Compiler, IsaCircuit
    from efaas.backends.lowering import CircuitFacts

__all__ = ["ProgramBuilder"]

_PURE_FROM = 7
"""From this number of qubits on, ideal circuits are held as amplitudes; below, Pauli vectors are
as quick and give every expectation value without further work."""


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
        facts = circuit_facts(isa.circuit, self.device.noise, experiment.is_sample)
        observed: set[int] = set()
        for observable in isa.observables:
            paulis = observable.paulis
            observed.update(np.flatnonzero((paulis.x | paulis.z).any(axis=0)).tolist())
        active = tuple(sorted(observed.union(facts.active)))
        exact: PricedEngine | Refusal
        if self.device.noise is None:
            whole = TrajectoryBuilder(self.device, self.compiler, experiment, isa, active)
            sampled: PricedEngine | None = whole.whole_engine()
            exact = whole.whole_exact_engine(facts.outcomes_matter, self.memory_bytes)
        else:
            exact = self._exact(experiment, isa, facts, active)
            sampled = self._sampled(experiment, isa, active, exact)
        if isinstance(exact, Refusal) and sampled is None:
            raise exact.error()
        return Program(
            exact=exact,
            sampled=sampled,
            num_qubits=len(active),
            depth=isa.circuit.depth(),
            two_qubit_gates=sum(
                len(instruction.qubits) == 2 and instruction.operation.name != "barrier"
                for instruction in isa.circuit.data
            ),
            layout=isa.layout,
        )

    def _exact(
        self,
        experiment: Experiment,
        isa: IsaCircuit,
        facts: CircuitFacts,
        active: tuple[int, ...],
    ) -> PricedEngine | Refusal:
        """The exact engine, or why there is none."""
        if self.method == "trajectories":
            return Refusal(
                CircuitError,
                "exact expectation values were asked for, but this backend was made with "
                "method='trajectories'; ask for shots, or use method='automatic'",
            )
        if facts.outcomes_matter:
            return Refusal(CircuitError, _SHOT_BY_SHOT)
        refusal = Refusal(CircuitError, _SHOT_BY_SHOT)
        for space in self._spaces(len(active)):
            builder = ExactBuilder(self.device, self.compiler, experiment, isa, active, space)
            if builder.bytes > self.memory_bytes:
                refusal = self._too_large(f"the exact state of {len(active)}", builder.bytes)
                continue
            try:
                return builder.build(facts.final)
            except InexpressibleError as error:
                return Refusal(
                    CircuitError,
                    f"the circuit holds {error.args[0]!r}, which only Aer can run, shot by shot, "
                    "so it has no exact expectation values here; ask for a number of shots",
                )
            except ImpureError as error:
                if self.method == "statevector":
                    raise CircuitError(
                        "method='statevector' holds pure states only, but the circuit has "
                        "resets or measurements on the way; use method='automatic'"
                    ) from error
        return refusal

    def _spaces(self, num_qubits: int) -> list[Space]:
        """The spaces to try, the best one first."""
        if self.method == "statevector":
            return [AMPLITUDES]
        if self.method == "automatic" and self.device.is_ideal and num_qubits >= _PURE_FROM:
            return [AMPLITUDES, PAULIS]
        return [PAULIS]

    def _sampled(
        self,
        experiment: Experiment,
        isa: IsaCircuit,
        active: tuple[int, ...],
        exact: PricedEngine | Refusal,
    ) -> PricedEngine | None:
        """The trajectory engine, unless it could never be chosen.

        Raises:
            ResourceLimitError: There is no exact engine, and this one does not fit either.
        """
        settings = 1
        if not experiment.is_sample:
            terms = Terms.of(isa.observables, active)
            settings = len(settings_of(terms, range(len(terms.paulis))))
        costs = trajectory_costs(len(active), len(isa.circuit.data), settings)
        if isinstance(exact, PricedEngine):
            is_forced = self.method in ("density_matrix", "statevector")
            is_never_better = exact.costs.seconds(1) <= costs.seconds(1)
            if is_forced or is_never_better or costs.bytes > self.memory_bytes:
                return None
        elif costs.bytes > self.memory_bytes:
            raise self._too_large(f"a simulation of {len(active)}", costs.bytes).error()
        elif exact.kind is ResourceLimitError and self.method in ("density_matrix", "statevector"):
            return None
        builder = TrajectoryBuilder(self.device, self.compiler, experiment, isa, active)
        return PricedEngine(builder.engine(), costs)

    def _too_large(self, what: str, needed_bytes: float) -> Refusal:
        return Refusal(
            ResourceLimitError,
            f"{what} active qubits takes {needed_bytes / 2**20:,.0f} MB of memory, more than the "
            f"{self.memory_bytes / 2**20:,.0f} MB allowed; use fewer qubits, raise "
            "max_memory_mb, or, for exact values, ask for shots instead",
        )


_SHOT_BY_SHOT = (
    "the outcomes of the circuit's measurements on the way are used, so it is run shot by shot "
    "and has no exact expectation values here; ask for a number of shots"
)
