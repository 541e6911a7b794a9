"""Draws drift.svg: a qubit's numbers over two months, and what to expect of a number at an age.

python docs/figures/drift.py
"""

from __future__ import annotations

import numpy as np
from style import BLUE, GREEN, GREY, ORANGE, RED, save, sheet

from efaas.backends import Drift
from efaas.backends.specs import device_of
from efaas.model.drift import DAY_SECONDS, expected

DAYS, QUBIT = 60, 3
SHOWN = {"t1": ("T1", BLUE), "readout_error": ("readout error", ORANGE)}

figure, left, right = sheet(9)
device = device_of("fake_torino")
series = Drift(seed=4).series(device)
history = [series.numbers(day) for day in range(DAYS + 1)]
for quantity, (name, colour) in SHOWN.items():
    number = next(n for n in history[0] if n.quantity == quantity and n.qubits == (QUBIT,))
    ratios = [day[number] / history[0][number] for day in history]
    left.step(range(DAYS + 1), ratios, where="post", color=colour, linewidth=1.2, label=name)
    logs = np.diff(np.log(ratios))
    print(f"{name}: {np.mean(np.abs(logs) > np.log(1.5)):.0%} of days change it by 1.5 times")
left.axhline(1.0, color=GREY, linewidth=0.8, linestyle=":")
left.set(
    yscale="log",
    xlabel="days",
    ylabel="over the vendor's value",
    title=f"qubit {QUBIT} of fake_torino, calibrated daily",
)
left.set_yticks([0.25, 0.5, 1, 2, 4], ["1/4", "1/2", "1", "2", "4"])
left.minorticks_off()
left.legend(fontsize=8, frameon=False, loc="upper left", ncols=2)

MEAN = 0.02
ages = np.linspace(0.0, 10.0, 81)
for value, colour, name in ((0.005, GREEN, "a lucky calibration"), (0.06, RED, "an unlucky one")):
    found = [expected(value, MEAN, age * DAY_SECONDS, "readout_error") for age in ages]
    middle = np.array([each.value for each in found])
    spread = np.exp(np.array([each.ln_std for each in found]))
    right.fill_between(
        ages, 100 * middle / spread, 100 * middle * spread, color=colour, alpha=0.15, linewidth=0
    )
    right.plot(ages, 100 * middle, color=colour, linewidth=1.5, label=name)
right.axhline(100 * MEAN, color=GREY, linewidth=0.8, linestyle=":")
right.set(
    yscale="log",
    xlabel="age of the calibration in days",
    ylabel="readout error in %",
    title="what to expect, with one standard deviation",
)
right.set_yticks([0.5, 1, 2, 4, 8], ["0.5", "1", "2", "4", "8"])
right.minorticks_off()
right.legend(fontsize=8, frameon=False, loc="upper right")
save(figure, __file__)
