"""Draws layout_gains.svg: ESP of the transpiler's layout and of ours, on every device of 20 qubits.

    python docs/figures/layout_gains.py

The circuits are those of ``benchmarks/layouts.py``, which measures the energies' errors as well.
"""

from __future__ import annotations

import sys
from pathlib import Path
from statistics import median

from style import BLUE, GREEN, GREY, ORANGE, save, sheet

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

from layouts import LEAST_QUBITS, LEVEL, PROBLEMS, SEED

from efaas.backends.experiment import Experiment
from efaas.backends.isa import Compiler
from efaas.backends.specs import device_of, fake_device_names
from efaas.errors import UnsupportedGateError

COLOURS = dict(zip(PROBLEMS, (BLUE, GREEN, ORANGE), strict=True))

found: dict[str, list[tuple[float, float]]] = {name: [] for name in PROBLEMS}
for name in fake_device_names():
    device = device_of(name)
    if device.target.num_qubits < LEAST_QUBITS:
        continue
    compiler = Compiler(device, optimization_level=LEVEL, seed_transpiler=SEED)
    for problem, make in PROBLEMS.items():
        circuit, observable = make()
        try:
            candidates = compiler.candidates(Experiment.estimate(circuit, [observable]))
        except UnsupportedGateError:
            continue
        own = next(candidate for candidate in candidates if candidate.is_transpilers)
        found[problem].append((own.fidelity.esp, candidates[0].fidelity.esp))

figure, left, right = sheet(9, height=3.8)
left.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=":")
for problem, pairs in found.items():
    theirs, ours = zip(*pairs, strict=True)
    left.plot(theirs, ours, "o", markersize=3.5, color=COLOURS[problem], alpha=0.8, label=problem)
left.set(
    xlim=(0.2, 1),
    ylim=(0.2, 1),
    xlabel="ESP of the transpiler's layout",
    ylabel="ours",
    title="each circuit on each device",
)
left.set_aspect("equal")
left.legend(fontsize=8, frameon=False, loc="lower right")

for problem, pairs in found.items():
    gains = sorted((1 - theirs) / (1 - ours) for theirs, ours in pairs)
    share = [(index + 1) / len(gains) for index in range(len(gains))]
    right.step(gains, share, where="post", color=COLOURS[problem], linewidth=1.3, label=problem)
    print(f"{problem}: {len(gains)} devices, {median(gains):.2f} times fewer errors in the median")
right.set(
    xscale="log",
    xlabel="probability of an error, the transpiler's over ours",
    ylabel="share of devices",
    ylim=(0, 1),
    title="how much less goes wrong",
)
right.set_xticks([1, 1.5, 2, 3, 5], ["1", "1.5", "2", "3", "5"])
right.minorticks_off()
save(figure, __file__)
