"""Loops of many kinds on small problems, each run once by its real optimizer and recorded."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from efaas.cloud.energies import ANSATZE, Ansatz, NoisyEnergy, ising_energy, lih_energy
from efaas.cloud.kernel import random_stream
from efaas.cloud.live_loop import LiveLoop
from efaas.cloud.policies import POLICIES
from efaas.cloud.problems import METHODS, Problem
from efaas.cloud.qaoa import Qaoa, cut_energy, ring_with_chords
from efaas.cloud.scenario import Scenario
from efaas.cloud.twin import Twin

if TYPE_CHECKING:
    from collections.abc import Sequence

    from efaas.cloud.trace import LoopTrace

__all__ = ["KINDS", "LoopKind", "drawn_kinds", "recorded", "small_problem"]

KINDS = tuple(
    (problem, method)
    for problem in ("vqe", "qaoa")
    for method in ("cobyla", "spsa", "nelder-mead", "l-bfgs-b")
)
"""Problems and optimizers that compete."""

_NODES = (4, 6, 8)
_LAYERS = (2, 3)
_WIDTHS = (3, 4, 5)
_REPS = (1, 2)


@dataclass(frozen=True, slots=True)
class LoopKind:
    """A loop that can be recorded.

    Attributes:
        problem: "vqe" or "qaoa".
        method: The optimizer.
        number: Which problem of the kind, with its start and its noise.
    """

    problem: str
    method: str
    number: int

    def __str__(self) -> str:
        return f"{self.problem} {self.method} {self.number}"


def drawn_kinds(count: int, recorded_each: int, seed: int) -> Sequence[LoopKind]:
    """The loops of a seed: every kind as often as any other, give or take one, in random order.

    Args:
        count: How many.
        recorded_each: Recordings that there are of each kind.
        seed: Of the order.
    """
    draw = random_stream(seed, "loops")
    found: list[LoopKind] = []
    while len(found) < count:
        turn = list(KINDS)
        draw.shuffle(turn)
        found += [LoopKind(*kind, draw.randrange(recorded_each)) for kind in turn]
    return found[:count]


def recorded(kind: LoopKind, steps: int) -> LoopTrace:
    """The loop as it runs alone, guessing as it goes, on an idle cloud whose noise does not drift.

    It ends when its optimizer does.

    Args:
        kind: Which.
        steps: Most jobs of it.
    """
    scenario = Scenario()
    scenario = replace(
        scenario,
        loops=replace(scenario.loops, max_steps=steps),
        background=replace(scenario.background, jobs_per_second=0.0),
        calibrations=replace(scenario.calibrations, drift=0.0),
        horizon_seconds=1.0,
    )
    method = METHODS[kind.method]
    problem = small_problem(kind.problem, kind.number)
    loop = LiveLoop(problem, method, method_name=kind.method, seed=kind.number, restarts=False)
    Twin(scenario, POLICIES["efaas"], [loop], seed=kind.number).run()
    return loop.trace


def small_problem(problem: str, number: int) -> Problem:
    """A problem that an optimizer gets somewhere with in a hundred steps.

    Args:
        problem: "vqe": a layered ansatz of 3 to 5 qubits on an Ising chain or the LiH-like
            operator; "qaoa": MaxCut on 4 to 8 nodes, 2 or 3 layers.
        number: Which; the same circuit and start for every optimizer.
    """
    draw = random_stream(number, "small", problem)
    uniform = np.random.default_rng([number, len(problem)]).uniform
    if problem == "qaoa":
        nodes, layers = draw.choice(_NODES), draw.choice(_LAYERS)
        edges = ring_with_chords(nodes, draw)
        energy = NoisyEnergy(Qaoa(nodes, edges, layers), cut_energy(nodes, edges))
        x0 = uniform(0.1, math.pi / 2 - 0.1, 2 * layers)
        return Problem(f"qaoa({nodes}, p={layers})", energy, x0)
    kind, width, reps = draw.choice(ANSATZE), draw.choice(_WIDTHS), draw.choice(_REPS)
    ansatz = Ansatz(kind, width, reps, "linear")
    observable = lih_energy() if width == 4 else ising_energy(width)
    x0 = uniform(-math.pi / 2, math.pi / 2, ansatz.num_parameters)
    name = f"{kind}({width}, reps={reps}) {'lih' if width == 4 else 'ising'}"
    return Problem(name, NoisyEnergy(ansatz, observable), x0)
