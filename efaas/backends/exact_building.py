"""Building the exact engine of an experiment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from efaas.backends.angles import AngleMap
from efaas.backends.channels import ImpureError
from efaas.backends.cost import exact_costs
from efaas.backends.estimation import Terms, settings_of
from efaas.backends.evolution import Evolution
from efaas.backends.exact import ExactEstimate, ExactSample
from efaas.backends.fusion import Fixed, fused
from efaas.backends.lowering import InexpressibleError, Lowering
from efaas.backends.measurement import Readings, X, Y, Z
from efaas.backends.noise_lowering import readout_matrix
from efaas.backends.program import PricedEngine
from efaas.backends.registers import RegisterPacking

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from efaas.backends.channels import Space
    from efaas.backends.device import Device
    from efaas.backends.experiment import Experiment
    from efaas.backends.isa import Compiler, IsaCircuit
    from efaas.backends.noise_lowering import NoiseSource

__all__ = ["BASIS_NAMES", "ExactBuilder"]

BASIS_NAMES = {X: "X", Y: "Y"}
"""Bases that take gates before the qubit is read."""

_READ = np.array([[0.5, 0, 0, 0.5], [0.5, 0, 0, -0.5]])
"""From a qubit's Pauli vector to the probabilities of 0 and 1."""

_NEGLIGIBLE = 1e-15


@dataclass(frozen=True)
class ExactBuilder:
    """Builds the exact engine.

    Attributes:
        device: Whose noise counts; it can be lowered.
        compiler: Its compiler.
        experiment: What is measured.
        isa: As the device runs it.
        active: The device's qubits that take part, ascending.
        space: How states are held.
    """

    device: Device
    compiler: Compiler
    experiment: Experiment
    isa: IsaCircuit
    active: tuple[int, ...]
    space: Space

    @property
    def bytes(self) -> float:
        """Memory that a run takes."""
        return exact_costs(self._state_bytes, 0.0, 0).bytes

    def build(self, final: Mapping[int, tuple[int, ...]]) -> PricedEngine:
        """The engine with its costs.

        Args:
            final: For a sample, the classical bits of each qubit that is measured last.

        Raises:
            InexpressibleError: The circuit is no sequence of channels, or reads a qubit so often
                that the outcomes are more than the numbers of the state.
            ImpureError: The space holds pure states only, and the circuit has channels.
        """
        noise = self.device.noise
        if noise is None:
            raise InexpressibleError("noise of the whole device")
        lowering = Lowering(self.space, noise, self.active)
        steps = fused(len(self.active), self.space, lowering.factors(self.isa.circuit, final))
        evolution = Evolution(steps, len(self.active), self.space)
        angle_map = AngleMap.of(lowering.angles, self.experiment.slots)
        if self.experiment.is_sample:
            place = {qubit: index for index, qubit in enumerate(self.active)}
            clbits = {place[qubit]: bits for qubit, bits in final.items()}
            measured = tuple(clbits)
            read = [clbit for qubit in evolution.order for clbit in clbits.get(qubit, ())]
            if len(read) > len(measured) and self.space.is_pure:
                raise ImpureError("a second reading may differ from the first")
            if 2 ** len(read) > self.space.dim ** len(self.active):
                raise InexpressibleError("measure")
            bit = {clbit: len(read) - 1 - index for index, clbit in enumerate(read)}
            packing = RegisterPacking.of(self.isa.circuit, bit)
            times = {qubit: len(bits) for qubit, bits in clbits.items()}
            pairs = {(qubit, Z) for qubit in measured}
            readings = self._readings(lowering, noise, pairs, times)
            costs = exact_costs(self._state_bytes, evolution.multiplications, 1)
            sample = ExactSample(evolution, angle_map, measured, readings, packing)
            return PricedEngine(sample, costs)
        terms = Terms.of(self.isa.observables, self.active)
        pairs = {
            (qubit, int(basis))
            for qubit in range(len(self.active))
            for basis in np.unique(terms.paulis[:, qubit])
            if basis
        }
        readings = self._readings(lowering, noise, pairs)
        settings = settings_of(terms, range(len(terms.paulis)))
        costs = exact_costs(self._state_bytes, evolution.multiplications, len(settings))
        return PricedEngine(ExactEstimate(evolution, angle_map, terms, readings), costs)

    @property
    def _state_bytes(self) -> float:
        itemsize = np.dtype(self.space.dtype).itemsize
        return float(self.space.dim) ** len(self.active) * itemsize

    def _readings(
        self,
        lowering: Lowering,
        noise: NoiseSource,
        pairs: Iterable[tuple[int, int]],
        times: Mapping[int, int] | None = None,
    ) -> Readings:
        """How the device reads each of the given (active qubit, basis) pairs.

        Args:
            lowering: Gives the gates that change a basis.
            noise: The device's.
            pairs: What is read.
            times: How often a qubit is read, if not once.
        """
        changes: dict[int, dict[int, list[Any]]] = {}
        for basis, name in BASIS_NAMES.items():
            qubits = [self.active[qubit] for qubit, other in sorted(pairs) if other == basis]
            if qubits:
                changes[basis] = self.compiler.basis_changes(qubits, name)
        effects = {}
        confusion = {}
        for qubit, basis in sorted(pairs):
            physical = self.active[qubit]
            change = self.space.identity(1)
            for operation in changes.get(basis, {}).get(physical, ()):
                for _, factor in lowering.instruction(operation, (physical,)):
                    if not isinstance(factor, Fixed):
                        raise AssertionError("a change of basis has no free angle")
                    change = factor.matrix @ change
            wrong = readout_matrix(noise.readout(physical))
            if self.space.is_pure:
                effects[qubit, basis] = change
                if wrong is not None:
                    confusion[qubit] = wrong
                continue
            effect = _READ @ change
            often = (times or {}).get(qubit, 1)
            if wrong is not None or often > 1:
                effect = _repeated(wrong, often) @ effect
            effects[qubit, basis] = np.where(np.abs(effect) < _NEGLIGIBLE, 0.0, effect)
        return Readings(self.space, effects, confusion)


def _repeated(wrong: NDArray[np.float64] | None, times: int) -> NDArray[np.float64]:
    """``P(read m1, m2, ... | state b)`` of independent readings, shape ``(2**times, 2)``."""
    once = np.eye(2) if wrong is None else wrong
    together = once
    for _ in range(times - 1):
        together = (together[:, None, :] * once).reshape(-1, 2)
    return together
