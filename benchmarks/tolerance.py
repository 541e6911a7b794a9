"""Whether values taken from nearby, by tolerant mode's rule, lead searches to higher energies.

Run it with ``python benchmarks/tolerance.py [--starts N] [--repeats N]``. Scipy searches for the
energy of H2 with noise 0.005; most values that it asks for are replaced by stand-ins from random
points within the radius, as far as the rule accepts them. That is more, and from farther away, than
guesses come to; and as nothing is guessed, it depends on no clock. Beside them are as many searches
with values of their own, from the same starts. The exit status is 1 if the stand-ins' energies are
higher, by van Elteren's test: Wilcoxon's rank-sum test, stratified by the start, one-sided.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
from typing import Any

import numpy as np
import scipy.optimize
from problems import PROBLEMS
from speculated_run import METHODS
from stratified import van_elteren

import efaas
from efaas.optimize.asks import Ask
from efaas.optimize.predictor import Predictor
from efaas.policies.tolerance import is_as_good

NOISE = 0.005
SHARE = 0.8  # of the values that a stand-in is tried for
SIGNIFICANCE = 0.05
H2 = PROBLEMS["h2"]


class NoCopy:
    """In place of a copy of the optimizer: nothing is guessed."""

    broken = ""

    def record(self, ask: Ask, answer: Any) -> None:
        """Nobody will ask."""

    def paths(self, scenarios: Any, depth: int, *, seconds: float) -> list[Any]:
        """None."""
        return []

    def close(self) -> None:
        """Nothing was opened."""


class StoodIn:
    """A noisy energy, most of whose values are measured nearby and corrected.

    Attributes:
        errors: Of the corrections that were used, over what was believed to be their deviation
            and over the noise; shape ``(m, 2)``.
        tried: How many stand-ins were offered.
    """

    def __init__(self, random: np.random.Generator, *, share: float) -> None:
        self.errors: list[tuple[float, float]] = []
        self.tried = 0
        self._share = share
        self._random = random
        self._exact = H2.exact_energy()
        self._predictor = Predictor(NoCopy())
        self._best = np.inf
        self._radius = efaas.Speculation().radius

    def __call__(self, x: Any) -> float:
        """The value at ``x``, or a stand-in for it."""
        value = self._near(x) if self._random.random() < self._share else None
        value = self._measured(x) if value is None else value
        if self._share:
            self._predictor.observe(Ask(np.array(x)), value)
        self._best = min(self._best, value)
        return value

    def _measured(self, x: Any) -> float:
        return self._exact(x) + NOISE * self._random.standard_normal()

    def _near(self, x: Any) -> float | None:
        way = self._random.standard_normal(len(x))
        near = x + way * (self._radius * self._random.random() / np.linalg.norm(way))
        substitution = self._predictor.substitution(near, x, best=self._best)
        if substitution is None:
            return None
        self.tried += 1
        if not is_as_good(substitution):
            return None
        error = substitution.difference - (self._exact(x) - self._exact(near))
        self.errors.append((error / substitution.deviation, error / NOISE))
        return self._measured(near) + substitution.difference


def searched(case: tuple[str, int, int]) -> tuple[float, float, int, list[tuple[float, float]]]:
    """The final energies with stand-ins and without, over the ground state's; what was used."""
    method, start, repeat = case
    energies = []
    kept: list[StoodIn] = []
    for which, share in enumerate((SHARE, 0.0)):
        energy = StoodIn(np.random.default_rng([start, repeat, which]), share=share)
        arguments = METHODS[method].arguments(H2.num_parameters, NOISE, start)
        result = scipy.optimize.minimize(energy, H2.x0(start), **arguments)
        energies.append(H2.exact_energy()(result.x) - H2.ground_energy)
        kept.append(energy)
    return energies[0], energies[1], kept[0].tried, kept[0].errors


def main() -> int:
    parser = argparse.ArgumentParser(description="Whether stand-ins lead to higher energies.")
    parser.add_argument("--starts", type=int, default=30)
    parser.add_argument("--repeats", type=int, default=4, help="searches of each kind a start")
    parser.add_argument("--methods", nargs="+", default=["COBYLA", "COBYQA"])
    arguments = parser.parse_args()
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    names = ("", "used of tried", "error/deviation", "error/noise", "medians", "P(higher)", "p")
    print(
        f"H2, noise {NOISE}, {arguments.starts} starts x {arguments.repeats} searches of each kind"
    )
    print(f"{names[0]:<8}" + "".join(f"{name:>17}" for name in names[1:]), flush=True)
    holds = True
    with multiprocessing.get_context("spawn").Pool(os.cpu_count()) as pool:
        for method in arguments.methods:
            cases = [
                (method, s, r) for s in range(arguments.starts) for r in range(arguments.repeats)
            ]
            found = pool.map(searched, cases, chunksize=1)
            errors = np.array([row for it in found for row in it[3]])
            strata = [
                found[at : at + arguments.repeats] for at in range(0, len(found), arguments.repeats)
            ]
            ours = [[it[0] for it in stratum] for stratum in strata]
            theirs = [[it[1] for it in stratum] for stratum in strata]
            higher, p = van_elteren(ours, theirs)
            of_deviation, of_noise = np.sqrt(np.mean(errors**2, axis=0))
            medians = [np.median(np.concatenate(side)) for side in (ours, theirs)]
            cells = (
                f"{len(errors) / sum(it[2] for it in found):.2f}",
                f"{of_deviation:.2f}",
                f"{of_noise:.3f}",
                f"{medians[0]:.4f} {medians[1]:.4f}",
                f"{higher:.3f}",
                f"{p:.3f}",
            )
            print(f"{method:<8}" + "".join(f"{cell:>17}" for cell in cells), flush=True)
            holds &= p >= SIGNIFICANCE
    print("errors are root mean squares; not higher:", "yes" if holds else "NO")
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
