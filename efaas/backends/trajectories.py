"""The sampling engine: Aer runs the circuit shot by shot, with noise drawn at random.

Used where the exact state would be too large, and where outcomes of measurements steer the
circuit. Every point is a run of its own, seeded by the point's seed alone, so that no result
depends on what else was asked for.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from qiskit_aer import AerSimulator

from efaas.backends.exact import statistics
from efaas.backends.measurement import parities
from efaas.backends.protocol import Estimates, Samples
from efaas.backends.sampling import simulator_seed
from efaas.errors import CircuitError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from qiskit.circuit import Parameter, QuantumCircuit

    from efaas.backends.estimation import Terms

__all__ = ["AerRunner", "TrajectoryEstimate", "TrajectorySample", "WholeExactEstimate"]

_ONE_AT_A_TIME = threading.Lock()
"""Aer holds the interpreter while it computes, and its memory use adds up: one run at a time."""


@dataclass(frozen=True)
class AerRunner:
    """Runs circuits on Aer. Picklable.

    Attributes:
        options: Options of the simulator, its noise model among them.
        whole: The user's simulator to start from, or None for a new one.
        slots: The circuits' parameters, in the order of the columns of the angles.
    """

    options: dict[str, Any]
    slots: tuple[Parameter, ...]
    whole: AerSimulator | None = None
    _ready: list[AerSimulator] = field(default_factory=list, compare=False)

    def __getstate__(self) -> tuple[Any, ...]:
        return self.options, self.slots, self.whole

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        for name, value in zip(("options", "slots", "whole"), state, strict=True):
            object.__setattr__(self, name, value)
        object.__setattr__(self, "_ready", [])

    def run(
        self, circuits: Sequence[QuantumCircuit], row: NDArray[np.float64], **options: Any
    ) -> Any:
        """Aer's result for the circuits at one point.

        Raises:
            CircuitError: Aer refuses a circuit.
        """
        values = dict(zip(self.slots, row.tolist(), strict=True))
        bound = [
            circuit.assign_parameters({p: values[p] for p in circuit.parameters})
            for circuit in circuits
        ]
        with _ONE_AT_A_TIME:
            result = self._simulator().run(bound, **options).result()
        if not result.success:
            reasons = {str(part.status) for part in result.results if not part.success}
            raise CircuitError(f"Aer cannot run the circuit: {'; '.join(reasons) or result.status}")
        return result

    def _simulator(self) -> AerSimulator:
        if not self._ready:
            if self.whole is None:
                simulator = AerSimulator(**self.options)
            else:
                simulator = AerSimulator(**{**_options_of(self.whole), **self.options})
            self._ready.append(simulator)
        return self._ready[0]


@dataclass(frozen=True)
class TrajectoryEstimate:
    """Expectation values from counts.

    Attributes:
        runner: Runs the circuits.
        circuits: For each setting the circuit with its measurements.
        members: The terms of each setting.
        masks: For each of those the bits of the outcome whose parity it is.
        terms: The observables.
        num_clbits: Classical bits of the user's circuit; those of a setting follow.
    """

    runner: AerRunner
    circuits: tuple[QuantumCircuit, ...]
    members: tuple[tuple[int, ...], ...]
    masks: tuple[tuple[int, ...], ...]
    terms: Terms
    num_clbits: int

    @property
    def nbytes(self) -> int:
        """Approximate size."""
        return sum(map(_circuit_bytes, self.circuits)) + int(self.terms.coefficients.nbytes)

    def run(
        self,
        angles: NDArray[np.float64],
        shots: int | None,
        seeds: Sequence[int],
        wanted: Sequence[tuple[int, ...]] | None,
    ) -> Estimates:
        """Estimate the wanted observables at every point; see ``ExactEstimate.run``.

        Raises:
            CircuitError: Exact values were asked for.
        """
        if shots is None:
            raise CircuitError(_NO_EXACT_VALUES)
        shape = (len(angles), len(self.terms.constants))
        evs, stds = np.full(shape, np.nan), np.full(shape, np.nan)
        for point, row in enumerate(angles):
            asked = list(range(shape[1])) if wanted is None else sorted(set(wanted[point]))
            if not asked:
                continue
            used = set(self.terms.of_observables(asked).tolist())
            means = np.zeros(len(self.terms.paulis))
            picked = [i for i, terms in enumerate(self.members) if used.intersection(terms)]
            if picked:
                result = self.runner.run(
                    [self.circuits[i] for i in picked],
                    row,
                    shots=shots,
                    seed_simulator=simulator_seed(seeds[point]),
                )
                for index, setting in enumerate(picked):
                    counts = result.results[index].data.counts
                    outcomes = np.array(
                        [int(key, 16) >> self.num_clbits for key in counts], dtype=np.intp
                    )
                    weights = np.array(list(counts.values()), dtype=np.int64)
                    for term, mask in zip(self.members[setting], self.masks[setting], strict=True):
                        odd = int(weights[parities(outcomes, mask) == 1].sum())
                        means[term] = 1.0 - 2.0 * odd / shots
            found, errors = statistics(
                means[None, :], self.terms.coefficients[asked], self.terms.constants[asked], shots
            )
            evs[point, asked], stds[point, asked] = found[0], errors[0]
        return Estimates(evs, stds)


@dataclass(frozen=True)
class TrajectorySample:
    """Measured bits, shot by shot.

    Attributes:
        runner: Runs the circuit.
        circuit: With its measurements.
        num_bits: Width of each classical register.
        places: Classical bits of each register.
    """

    runner: AerRunner
    circuit: QuantumCircuit
    num_bits: dict[str, int]
    places: dict[str, tuple[int, ...]]

    @property
    def nbytes(self) -> int:
        """Approximate size."""
        return _circuit_bytes(self.circuit)

    def run(
        self,
        angles: NDArray[np.float64],
        shots: int | None,
        seeds: Sequence[int],
        wanted: Sequence[tuple[int, ...]] | None,
    ) -> Samples:
        """Draw the shots of every point; see ``ExactSample.run``."""
        if shots is None:
            raise AssertionError("a sample without shots is refused before it gets here")
        registers = {
            name: np.zeros((len(angles), shots, -(-width // 8)), dtype=np.uint8)
            for name, width in self.num_bits.items()
        }
        width = -(-max(1, self.circuit.num_clbits) // 8)
        for point, row in enumerate(angles):
            result = self.runner.run(
                [self.circuit],
                row,
                shots=shots,
                memory=True,
                seed_simulator=simulator_seed(seeds[point]),
            )
            memory = result.results[0].data.memory
            data = b"".join(int(value, 16).to_bytes(width, "little") for value in memory)
            rows = np.frombuffer(data, dtype=np.uint8).reshape(shots, width)
            bits = np.unpackbits(rows, axis=1, bitorder="little")
            for name, clbits in self.places.items():
                packed = np.packbits(bits[:, list(clbits)], axis=1, bitorder="little")
                registers[name][point] = packed[:, ::-1]
        return Samples(registers, dict(self.num_bits))


@dataclass(frozen=True)
class WholeExactEstimate:
    """Exact expectation values from the user's own simulator, as a density matrix.

    Attributes:
        runner: Runs the circuit.
        circuit: It saves each observable's expectation value under its index.
        num_observables: How many.
    """

    runner: AerRunner
    circuit: QuantumCircuit
    num_observables: int

    @property
    def nbytes(self) -> int:
        """Approximate size."""
        return _circuit_bytes(self.circuit)

    def run(
        self,
        angles: NDArray[np.float64],
        shots: int | None,
        seeds: Sequence[int],
        wanted: Sequence[tuple[int, ...]] | None,
    ) -> Estimates:
        """The exact values of the wanted observables; see ``ExactEstimate.run``."""
        evs = np.full((len(angles), self.num_observables), np.nan)
        for point, row in enumerate(angles):
            asked = range(self.num_observables) if wanted is None else wanted[point]
            data = self.runner.run([self.circuit], row, shots=1).data(0)
            for index in asked:
                evs[point, index] = float(np.real(data[str(index)]))
        return Estimates(evs, np.where(np.isnan(evs), np.nan, 0.0))


_NO_EXACT_VALUES = (
    "exact expectation values need the exact engine, which cannot hold this circuit: outcomes of "
    "its measurements steer it, or it has too many active qubits; ask for a number of shots"
)


def _circuit_bytes(circuit: QuantumCircuit) -> int:
    return 1000 * (1 + len(circuit.data))


def _options_of(simulator: AerSimulator) -> dict[str, Any]:
    """The options that a simulator was given."""
    return {name: value for name, value in vars(simulator.options).items() if value is not None}
