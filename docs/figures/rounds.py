"""Draws rounds.svg: the first seconds of Nelder-Mead on H2, one at a time and speculated.

    python docs/figures/rounds.py

A simulated device takes 1 s a round and 0.2 s an evaluation, on a virtual clock; everything
else is real: the optimizer, the guesses, and which of them came true.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
import scipy.optimize
from matplotlib.figure import Figure
from matplotlib.patches import Patch

HERE = Path(__file__).parent
sys.path.append(str(HERE.parents[1] / "benchmarks"))

from problems import PROBLEMS  # noqa: E402

import efaas  # noqa: E402
from efaas.clock import VirtualClock  # noqa: E402

OVERHEAD, EACH, SHOWN = 1.0, 0.2, 30.0
COLOURS = {
    "overhead of a round": "#d9dde3",
    "asked for": "#1f4e8c",
    "guessed, and used": "#3f9b6b",
    "guessed, not used": "#e3a44f",
}


def run(minimize: Any) -> list[list[tuple[bytes, int]]]:
    """What each round evaluated: points with their seeds."""
    problem, clock = PROBLEMS["h2"], VirtualClock()
    device = problem.device(0.005, clock=clock, round_seconds=OVERHEAD, evaluation_seconds=EACH)
    rounds: list[list[tuple[bytes, int]]] = []
    execute = device.execute

    def watched(evaluations: Any) -> Any:
        rounds.append(
            [
                (row.tobytes(), seed)
                for evaluation in evaluations
                for row, seed in zip(evaluation.angles, evaluation.seeds, strict=True)
            ]
        )
        return execute(evaluations)

    device.execute = watched
    with efaas.EFSession(device, seed=7, clock=clock) as session:
        energy = session.objective(problem.circuit, problem.observable)
        minimize(energy, problem.x0(1), method="Nelder-Mead", options={"maxfev": 120})
    return rounds


one_by_one = run(scipy.optimize.minimize)
used = {point for points in one_by_one for point in points}
speculated = run(efaas.minimize)

mpl.rcParams["svg.hashsalt"] = "efaas"  # the same file at every run
axes = (figure := Figure(figsize=(8, 2.9), layout="constrained")).subplots()
for lane, rounds in enumerate((speculated, one_by_one)):
    at, asked = 0.0, 0
    for points in rounds:
        if at > SHOWN:
            break
        axes.broken_barh([(at, OVERHEAD)], (lane - 0.3, 0.6), color=COLOURS["overhead of a round"])
        at += OVERHEAD
        for place, point in enumerate(points):
            kind = "guessed, and used" if point in used else "guessed, not used"
            kind = "asked for" if place == 0 else kind
            axes.broken_barh([(at, 0.93 * EACH)], (lane - 0.3, 0.6), color=COLOURS[kind])
            at += EACH
            asked += point in used
    axes.text(SHOWN, lane + 0.36, f"{asked} evaluations so far", ha="right", fontsize=9)
axes.set(xlim=(0, SHOWN), ylim=(-0.5, 1.65), xlabel="seconds on the device's clock")
axes.set_yticks([0, 1], ["efaas.minimize", "scipy.optimize.minimize"])
axes.spines[["top", "right", "left"]].set_visible(False)
axes.tick_params(axis="y", length=0)
figure.legend(
    handles=[Patch(color=colour, label=label) for label, colour in COLOURS.items()],
    loc="outside upper center",
    ncols=4,
    frameon=False,
)
figure.savefig(HERE / "rounds.svg", metadata={"Date": None})
print(f"{len(speculated)} rounds for {len(one_by_one)}; first {SHOWN:g} s drawn")
