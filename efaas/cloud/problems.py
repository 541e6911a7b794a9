"""What the loops optimize: the paper's ansätze and observables, drawn by band and seed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from efaas.cloud.energies import ANSATZE, Ansatz, NoisyEnergy, ising_energy, lih_energy
from efaas.cloud.kernel import random_stream
from efaas.optimize.rotosolve import rotosolve
from efaas.optimize.spsa import spsa

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from efaas.cloud.scenario import Scenario

__all__ = ["BANDS", "METHODS", "Method", "Problem", "drawn_problem", "on_aer"]

BANDS: Mapping[str, tuple[int, int]] = MappingProxyType(
    {"small": (3, 5), "medium": (6, 10), "large": (10, 14)}
)
"""Least and most qubits [P]."""

_REPS = (1, 8)  # [P]

_MOST_ERRORS = 1.0
"""A circuit in whose run more gates err than this is drawn again: nothing is left to optimize."""

_SWEEPS = 3
"""Of Rotosolve, to learn what energy is reachable; further ones gain little."""

_STEP = 0.5
"""Side of the first simplex, in radians: the noise of a value is small against what it changes."""


@dataclass(frozen=True)
class Problem:
    """An energy and where its search begins.

    Attributes:
        name: Ansatz, width, depth and observable, in short.
        energy: What a device gives.
        x0: The start, shape ``(parameters,)``.
    """

    name: str
    energy: NoisyEnergy
    x0: NDArray[np.float64]

    @cached_property
    def reachable_gap(self) -> float:
        """The gap that sweeps of Rotosolve without noise reach from the start."""
        evaluations = _SWEEPS * 2 * self.x0.size
        result = rotosolve(self.energy.exact, self.x0, maxfev=evaluations)
        return self.energy.gap(result.x)


def drawn_problem(band: str, seed: int, scenario: Scenario) -> Problem:
    """The problem of a band and a seed: ansatz, width, depth, entanglement and start are drawn.

    At four qubits the observable is the LiH-like one, else an Ising chain [P].
    """
    draw = random_stream(seed, "problem", band)
    while True:
        kind = draw.choice(ANSATZE)
        width = draw.randint(*BANDS[band])
        ansatz = Ansatz(kind, width, draw.randint(*_REPS), draw.choice(("linear", "full")))
        observable = lih_energy() if width == 4 else ising_energy(width)
        devices = scenario.devices
        energy = NoisyEnergy(ansatz, observable, devices.one_qubit_error, devices.two_qubit_error)
        if energy.expected_errors <= _MOST_ERRORS:
            break
    start = np.random.default_rng([seed, list(BANDS).index(band)])
    x0 = start.uniform(-math.pi, math.pi, ansatz.num_parameters)
    what = "lih" if width == 4 else "ising"
    name = f"{kind}({width}, reps={ansatz.reps}, {ansatz.entanglement}) {what}"
    return Problem(name, energy, x0)


def on_aer(problem: Problem) -> Problem:
    """The same with real circuits on Aer: slower by some milliseconds an evaluation."""
    from efaas.cloud.aer_energy import AerEnergy  # Qiskit takes seconds to import

    return replace(problem, energy=AerEnergy.of(problem.energy))


@dataclass(frozen=True)
class Method:
    """An optimizer as the loops run it.

    Attributes:
        method: What ``minimize`` takes.
        options: Of a run: of the start, the steps it may take, the number of runs before it of the
            same loop, and the seed.
        can_guess: Whether its next point can be guessed exactly at all: not if it follows the last
            value continuously.
        tells_its_point: Whether its callback comes after every step; else the best point measured
            so far is taken for where it is. Rotosolve tells it after every sweep.
    """

    method: Any
    options: Callable[[NDArray[np.float64], int, int, int], dict[str, Any]] = field(repr=False)
    can_guess: bool = True
    tells_its_point: bool = False


def _simplex(x: NDArray[np.float64], steps: int, runs: int, seed: int) -> dict[str, Any]:
    side = _STEP / 2.0 ** min(runs, 3)
    simplex = np.vstack([x, x + side * np.eye(x.size)])
    return {
        "maxfev": steps,
        "maxiter": steps,
        "adaptive": True,
        "initial_simplex": simplex,
        "xatol": 1e-2,
        "fatol": 1e-3,
    }


METHODS: Mapping[str, Method] = MappingProxyType(
    {
        "nelder-mead": Method("Nelder-Mead", _simplex),
        "powell": Method(
            "Powell", lambda x, steps, runs, seed: {"maxfev": steps, "xtol": 1e-2, "ftol": 1e-4}
        ),
        "cobyla": Method(
            "COBYLA",
            lambda x, steps, runs, seed: {
                "maxiter": max(steps, x.size + 2),  # the least that it takes
                "rhobeg": _STEP,
                "tol": 1e-2,
            },
        ),
        "l-bfgs-b": Method(
            "L-BFGS-B",
            lambda x, steps, runs, seed: {"maxiter": steps, "eps": _STEP / 2, "ftol": 1e-3},
            can_guess=False,
        ),
        "spsa": Method(
            spsa,
            lambda x, steps, runs, seed: {"maxiter": max(steps - 1, 1), "rng": seed + runs},
            can_guess=False,
            tells_its_point=True,
        ),
        "rotosolve": Method(
            rotosolve,
            lambda x, steps, runs, seed: {"maxfev": 2 * steps, "ftol": None},
            can_guess=False,
            tells_its_point=True,
        ),
    }
)
"""The optimizers, by name. SPSA is the paper's, made two-sided and with calibrated gains."""
