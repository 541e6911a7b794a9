"""The exact engine: an experiment compiled to matrices, run without any simulator."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from efaas.backends.estimation import ShotPlan, exact_terms, settings_of, weighted
from efaas.backends.measurement import Z, probabilities
from efaas.backends.protocol import Estimates, Samples
from efaas.backends.sampling import draw_outcomes, point_generator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from efaas.backends.angles import AngleMap
    from efaas.backends.channels import Matrix
    from efaas.backends.estimation import Terms
    from efaas.backends.evolution import Evolution
    from efaas.backends.measurement import Readings
    from efaas.backends.registers import RegisterPacking

__all__ = ["ExactEstimate", "ExactSample"]

_CHUNK_NUMBERS = 2**16
"""States are held in chunks of about this many numbers: half a megabyte, what a cache holds."""

_MOST_PLANS = 64


@dataclass(frozen=True)
class ExactEstimate:
    """Expectation values from the exact state. Picklable.

    Attributes:
        evolution: Gives the state.
        angle_map: From the experiment's slots to the evolution's angles.
        terms: The observables.
        readings: How the device reads qubits.
    """

    evolution: Evolution
    angle_map: AngleMap
    terms: Terms
    readings: Readings
    _plans: dict[tuple[int, ...], ShotPlan] = field(default_factory=dict, compare=False)

    @property
    def nbytes(self) -> int:
        """Approximate size."""
        return self.evolution.nbytes + int(self.terms.coefficients.nbytes) + 2**14

    def run(
        self,
        angles: NDArray[np.float64],
        shots: int | None,
        seeds: Sequence[int],
        wanted: Sequence[tuple[int, ...]] | None,
    ) -> Estimates:
        """Estimate the wanted observables at every point.

        Args:
            angles: Slot angles, shape ``(points, slots)``.
            shots: Shots of each setting, or None for exact values.
            seeds: One per point.
            wanted: For each point the observables to estimate; None for all.
        """
        points = len(angles)
        num_observables = len(self.terms.constants)
        turned = self.angle_map(angles)
        evs = np.full((points, num_observables), np.nan)
        stds = np.full((points, num_observables), np.nan)
        every = tuple(range(num_observables))
        chunk = chunk_points(self.evolution)
        for start in range(0, points, chunk):
            stop = min(start + chunk, points)
            states = self.evolution.states(turned[start:stop])
            for asked, rows in _by_wanted(wanted, start, stop, every):
                if not asked:
                    continue
                part = states if len(rows) == stop - start else states[[r - start for r in rows]]
                found, errors = self._estimate(part, shots, [seeds[r] for r in rows], asked)
                if asked == every and len(rows) == stop - start:
                    evs[start:stop], stds[start:stop] = found, errors
                else:
                    evs[np.ix_(rows, asked)], stds[np.ix_(rows, asked)] = found, errors
        return Estimates(evs, stds)

    def plan(self, asked: tuple[int, ...]) -> ShotPlan:
        """The measurement plan of the given observables."""
        plan = self._plans.get(asked)
        if plan is None:
            used = self.terms.of_observables(asked)
            plan = ShotPlan(self.terms, used, self.evolution.order, self.readings)
            if len(self._plans) >= _MOST_PLANS:
                self._plans.clear()
            self._plans[asked] = plan
        return plan

    def _estimate(
        self, states: Matrix, shots: int | None, seeds: Sequence[int], asked: tuple[int, ...]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        coefficients = self.terms.coefficients
        constants = self.terms.constants
        if len(asked) < len(constants):
            coefficients, constants = coefficients[list(asked)], constants[list(asked)]
        order = self.evolution.order
        if shots is None:
            settings = []
            if self.evolution.space.is_pure:
                settings = settings_of(self.terms, self.terms.of_observables(asked))
            values = exact_terms(states, order, self.terms, settings, self.readings)
            evs = weighted(values, coefficients) + constants
            return evs, np.zeros_like(evs)
        plan = self.plan(asked)
        if not len(plan.used):
            evs = np.tile(constants, (len(states), 1))
            return evs, np.zeros_like(evs)
        if len(plan.used) < coefficients.shape[1]:
            coefficients = coefficients[:, plan.used]
        means = plan.means(states, shots, seeds)
        return statistics(means, coefficients, constants, shots)


@dataclass(frozen=True)
class ExactSample:
    """Measured bits from the exact distribution. Picklable.

    Attributes:
        evolution: Gives the state.
        angle_map: From the experiment's slots to the evolution's angles.
        measured: Qubits that are read, in the computational basis.
        readings: How the device reads qubits.
        packing: From outcomes to registers.
    """

    evolution: Evolution
    angle_map: AngleMap
    measured: tuple[int, ...]
    readings: Readings
    packing: RegisterPacking

    @property
    def nbytes(self) -> int:
        """Approximate size."""
        return self.evolution.nbytes + 2**13

    def run(
        self,
        angles: NDArray[np.float64],
        shots: int | None,
        seeds: Sequence[int],
        wanted: Sequence[tuple[int, ...]] | None,
    ) -> Samples:
        """Draw the shots of every point; see ``ExactEstimate.run``."""
        if shots is None:
            raise AssertionError("a sample without shots is refused before it gets here")
        points = len(angles)
        turned = self.angle_map(angles)
        registers = self.packing.empty(points, shots)
        bases = dict.fromkeys(self.measured, Z)
        chunk = chunk_points(self.evolution)
        for start in range(0, points, chunk):
            states = self.evolution.states(turned[start : start + chunk])
            weights = probabilities(states, self.evolution.order, bases, self.readings)
            for row, share in enumerate(weights, start):
                outcomes = draw_outcomes(point_generator(seeds[row]), share, shots)
                for name, packed in self.packing.pack(outcomes).items():
                    registers[name][row] = packed
        return Samples(registers, dict(self.packing.num_bits))


def chunk_points(evolution: Evolution) -> int:
    """Points whose states are held at once."""
    return max(1, _CHUNK_NUMBERS // int(evolution.space.dim**evolution.num_qubits))


def statistics(
    means: NDArray[np.float64],
    coefficients: NDArray[np.float64],
    constants: NDArray[np.float64],
    shots: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Expectation values and their standard errors, as ``BackendEstimatorV2`` gives them.

    ``ev = sum a <P>`` and ``std = sum |a| sqrt(1 - <P>^2) / sqrt(shots)``.
    """
    spread = np.sqrt(np.maximum(1.0 - means * means, 0.0))
    evs = weighted(means, coefficients) + constants
    stds = weighted(spread, np.abs(coefficients)) / np.sqrt(shots)
    return evs, stds


def _by_wanted(
    wanted: Sequence[tuple[int, ...]] | None, start: int, stop: int, every: tuple[int, ...]
) -> list[tuple[tuple[int, ...], list[int]]]:
    """The points from ``start`` to ``stop`` grouped by the observables that they want."""
    if wanted is None:
        return [(every, list(range(start, stop)))]
    groups: dict[tuple[int, ...], list[int]] = {}
    for row in range(start, stop):
        groups.setdefault(tuple(sorted(set(wanted[row]))), []).append(row)
    return list(groups.items())
