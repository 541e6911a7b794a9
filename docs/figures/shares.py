"""Draws shares.svg: whom three devices serve over time, under each order of the queue.

    python docs/figures/shares.py

The load is that of ``benchmarks/contention.py``: four loops each of three tenants, and batch jobs
that ask for 60 % of the devices.
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

HERE = Path(__file__).parent
sys.path.append(str(HERE.parents[1] / "benchmarks"))

from contention import WEIGHTS, Cloud, Ran, weighted_jain_index  # noqa: E402

SHOWN, SEED, LOAD = 1200.0, 1, 0.6
COLOURS = dict(zip(WEIGHTS, ("#1f4e8c", "#3f9b6b", "#e3a44f"), strict=True))
TITLES = {"fifo": "first come, first served", "paper": "the paper's priority", "fair": "fair"}


def served(ran: list[Ran]) -> tuple[list[float], list[float]]:
    """Instants in seconds, and the service of all the jobs until then."""
    instants, total = [0.0], [0.0]
    for it in sorted(ran, key=lambda it: it.ended_at):
        instants.append(it.ended_at)
        total.append(total[-1] + it.seconds)
    return instants, total


mpl.rcParams["svg.hashsalt"] = "efaas"  # the same file at every run
figure = Figure(figsize=(9, 3.2), layout="constrained")
for axes, (order, title) in zip(
    figure.subplots(1, 3, sharex=True, sharey=True), TITLES.items(), strict=True
):
    cloud = Cloud(order, LOAD, SEED)
    for tenant, weight in WEIGHTS.items():
        ran = [it for it in cloud.ran if it.job.tenant == tenant]
        axes.plot(*served(ran), color=COLOURS[tenant], label=f"{tenant}, weight {weight:g}")
    axes.set_title(f"{title}\nJain's index {weighted_jain_index(cloud.ran):.2f}", fontsize=10)
    axes.set(xlim=(0, SHOWN), ylim=(0, 1600), xlabel="seconds")
    axes.spines[["top", "right"]].set_visible(False)
figure.axes[0].set_ylabel("QPU seconds received")
figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
figure.savefig(HERE / "shares.svg", metadata={"Date": None})
print(f"shares.svg: the first {SHOWN:g} s of a load of {LOAD:.0%} by batch jobs, seed {SEED}")
