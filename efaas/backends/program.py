"""A program: an experiment compiled for one device, ready to run at any point."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from efaas.backends.cost import Costs
    from efaas.backends.protocol import Estimates, Samples
    from efaas.errors import CircuitError

__all__ = ["Engine", "PricedEngine", "Program", "Refusal"]


class Engine(Protocol):
    """One way of running an experiment. Picklable."""

    @property
    def nbytes(self) -> int:
        """Approximate size."""
        ...

    def run(
        self,
        angles: NDArray[np.float64],
        shots: int | None,
        seeds: Sequence[int],
        wanted: Sequence[tuple[int, ...]] | None,
    ) -> Estimates | Samples:
        """The results at every point, each a function of its angles and seed alone."""
        ...


class PricedEngine(NamedTuple):
    """An engine and what a point costs on it."""

    engine: Engine
    costs: Costs


class Refusal(NamedTuple):
    """Why an engine cannot do what is asked."""

    kind: type[CircuitError]
    message: str

    def error(self) -> CircuitError:
        """The error to raise."""
        return self.kind(self.message)


@dataclass(frozen=True)
class Program:
    """The compiled form. Immutable, picklable, and it needs nothing but itself to run.

    Attributes:
        exact: The exact engine, or why there is none.
        sampled: The trajectory engine, where it might be chosen.
        num_qubits: Active qubits.
        depth: Depth of the device's circuit.
        two_qubit_gates: Number of its two-qubit gates.
        layout: Physical qubit of each virtual qubit.
    """

    exact: PricedEngine | Refusal
    sampled: PricedEngine | None
    num_qubits: int
    depth: int
    two_qubit_gates: int
    layout: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """Approximate size in bytes."""
        engines = (self.exact, self.sampled)
        return 1000 + sum(e.engine.nbytes for e in engines if isinstance(e, PricedEngine))

    def engine(self, shots: int | None) -> PricedEngine:
        """The engine that runs evaluations of so many shots: always the same one.

        Raises:
            CircuitError: Exact values were asked for, and the exact engine cannot give them.
        """
        if isinstance(self.exact, Refusal):
            if self.sampled is None or shots is None:
                raise self.exact.error()
            return self.sampled
        if self.sampled is None or shots is None:
            return self.exact
        return min(self.exact, self.sampled, key=lambda priced: priced.costs.seconds(shots))

    def run(
        self,
        angles: NDArray[np.float64],
        shots: int | None,
        seeds: Sequence[int],
        wanted: Sequence[tuple[int, ...]] | None = None,
    ) -> Estimates | Samples:
        """The results at every point.

        Args:
            angles: Slot angles, shape ``(points, slots)``.
            shots: Shots of each setting, or None for exact expectation values.
            seeds: One per point.
            wanted: For each point the observables to estimate; None for all.
        """
        return self.engine(shots).engine.run(angles, shots, seeds, wanted)
