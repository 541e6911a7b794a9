"""A program: an experiment compiled for one device, ready to run at any point."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from efaas.errors import CircuitError, ResourceLimitError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    import numpy as np

    from efaas.backends.cost import Costs
    from efaas.backends.protocol import Estimates, Samples

__all__ = ["Engine", "Program"]


class Engine(Protocol):
    """One way of running an experiment."""

    def run(
        self,
        angles: NDArray[np.float64],
        shots: int | None,
        seeds: Sequence[int],
        wanted: Sequence[tuple[int, ...]] | None,
    ) -> Estimates | Samples:
        """The results at every point, each a function of its angles and seed alone."""
        ...


@dataclass(frozen=True)
class Program:
    """The compiled form. Immutable, picklable, and it needs nothing but itself to run.

    Attributes:
        exact: The exact engine with its costs, where the circuit allows it.
        sampled: The trajectory engine with its costs, where it might be chosen.
        refusal: What to tell where neither engine can do what is asked.
        num_qubits: Active qubits.
        depth: Depth of the device's circuit.
        two_qubit_gates: Number of its two-qubit gates.
        layout: Physical qubit of each virtual qubit.
        nbytes: Approximate size.
    """

    exact: tuple[Engine, Costs] | None
    sampled: tuple[Engine, Costs] | None
    refusal: str
    num_qubits: int
    depth: int
    two_qubit_gates: int
    layout: tuple[int, ...]
    nbytes: int

    def engine(self, shots: int | None) -> tuple[Engine, Costs]:
        """The engine that runs an evaluation of so many shots: always the same one.

        Raises:
            CircuitError: Exact values were asked for and the exact engine cannot give them.
        """
        if self.exact is None:
            if self.sampled is None or shots is None:
                kind = ResourceLimitError if "memory" in self.refusal else CircuitError
                raise kind(self.refusal)
            return self.sampled
        if self.sampled is None or shots is None:
            return self.exact
        return min(self.exact, self.sampled, key=lambda engine: engine[1].seconds(shots))

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
        return self.engine(shots)[0].run(angles, shots, seeds, wanted)
