"""Draws placement.svg: where loops go, and what becomes of one as calibrations change.

    python docs/figures/placement.py

On the left nine loops are opened one after the other on three fake devices. On the right one loop
lives through twenty daily calibrations of two devices of one kind, which drift.
"""

from __future__ import annotations

import numpy as np
from matplotlib.lines import Line2D
from qiskit.circuit.library import efficient_su2
from style import BLUE, GREEN, GREY, ORANGE, RED, save, sheet

import efaas
from efaas.backends import AerBackend, Drift
from efaas.clock import VirtualClock
from efaas.testing import FakeBackend

LOOPS, DAYS = 9, 20
KINDS = {"stayed": (GREY, "o"), "recompiled": (ORANGE, "s"), "moved": (RED, "D")}
clock = VirtualClock()
DEVICES = {
    "best": (-0.1, 0.20, BLUE),
    "middling": (-0.25, 0.20, GREEN),
    "worst": (-0.5, 0.15, ORANGE),
}

figure, left, right = sheet(9.5)

fakes = [
    FakeBackend(name, ln_esp=ln_esp, clock=clock, evaluation_seconds=seconds)
    for name, (ln_esp, seconds, _) in DEVICES.items()
]
chosen: list[str] = []
scores: dict[str, list[float]] = {name: [] for name in DEVICES}
with efaas.EFSession(fakes, seed=1, clock=clock) as session:
    for number in range(LOOPS):
        energy = session.objective(efficient_su2(2, reps=1), "ZZ", shots=1000 + number)
        why = session.explain(energy)
        chosen.append(why.backend)
        for score in why.candidates:
            scores[score.backend].append(score.total_seconds)
for name, (ln_esp, _, colour) in DEVICES.items():
    left.plot(
        range(1, LOOPS + 1),
        scores[name],
        color=colour,
        linewidth=1.2,
        label=f"{name}, ESP {np.exp(ln_esp):.2f}",
    )
    at = [number for number in range(LOOPS) if chosen[number] == name]
    left.plot([n + 1 for n in at], [scores[name][n] for n in at], "o", color=colour)
    print(f"{name}: {len(at)} of {LOOPS} loops")
left.set(
    xlabel="loops opened one after the other",
    ylabel="score in seconds an evaluation",
    title="a new loop goes where the score is lowest",
    ylim=(0, None),
)
left.legend(fontsize=8, frameon=False, loc="lower right")

clock = VirtualClock()
devices = [
    AerBackend("fake_manila", name=name, drift=Drift(seed=seed), clock=clock)
    for name, seed in (("first", 1), ("second", 2))
]
ansatz = efficient_su2(3, reps=2)
point = np.zeros(ansatz.num_parameters)
seen: dict[str, list[float]] = {device.name: [] for device in devices}
with efaas.EFSession(devices, seed=3, clock=clock) as session:
    energy = session.objective(ansatz, "ZZZ", shots=256)
    experiment = energy._experiment
    for _ in range(DAYS):
        clock.advance(86400.0)
        energy(point)
        for device in devices:
            seen[device.name].append(device.profile(experiment).ln_esp)
    events = session.events
for (name, values), colour in zip(seen.items(), (BLUE, GREEN), strict=True):
    right.step(range(1, DAYS + 1), values, where="mid", color=colour, linewidth=1, alpha=0.7)
    right.annotate(name, (DAYS + 0.6, values[-1]), color=colour, fontsize=8, va="center")
for day, event in enumerate(events, start=1):
    colour, marker = KINDS[event.kind]
    right.plot(day, seen[event.to_backend][day - 1], marker, color=colour, markersize=5)
counts = {kind: sum(event.kind == kind for event in events) for kind in KINDS}
print(", ".join(f"{kind}: {count}" for kind, count in counts.items()))
handles = [
    Line2D([], [], color=colour, marker=marker, linestyle="", markersize=5, label=kind)
    for kind, (colour, marker) in KINDS.items()
]
right.legend(handles=handles, fontsize=8, frameon=False, loc="lower left", ncols=3)
right.set(
    xlabel="days, a calibration each",
    ylabel="ln ESP of the loop's circuit",
    title="where one loop is, and what was decided",
)
right.margins(y=0.2)
right.set_xticks([1, 5, 10, 15, 20])
save(figure, __file__)
