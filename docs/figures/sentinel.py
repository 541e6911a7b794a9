"""Draws sentinel.svg: a device that changes between calibrations, and how often the test errs.

    python docs/figures/sentinel.py

On the left a loop's best point on ``fake_manila``, checked while the device drifts under a
calibration that does not say so. On the right the test itself, on normal deviates.
"""

from __future__ import annotations

import numpy as np
from qiskit.circuit.library import efficient_su2
from scipy.stats import norm
from style import BLUE, GREEN, GREY, ORANGE, RED, save, sheet

from efaas.backends import AerBackend, Drift
from efaas.backends.experiment import Experiment
from efaas.backends.protocol import Estimates, Evaluation
from efaas.policies.sentinel import SentinelTest

CHECKS, CHANGES_AT, SHOTS = 30, 18, 4096
RATES = (0.3, 0.1, 0.03, 0.01, 0.003, 0.001)
TRIALS, RUN = 40_000, 11

figure, left, right = sheet(9)

# A device that changes, looked at again and again.
device = AerBackend("fake_manila", drift=Drift(seed=1, scale=1.5))
circuit = efficient_su2(2, reps=1)
experiment = Experiment.estimate(circuit, ["ZZ"])
angles = np.zeros((1, experiment.num_slots))
test = SentinelTest(false_alarm_rate=0.001)
values, stds, alarms, reference = [], [], [], []
for number in range(CHECKS):
    if number == CHANGES_AT:
        device.recalibrate()
    [outcome] = device.execute([Evaluation(experiment, angles, SHOTS, (number + 1,))])
    if isinstance(outcome, Exception):
        raise outcome
    assert isinstance(outcome.value, Estimates)
    value, std = float(outcome.value.evs[0, 0]), float(outcome.value.stds[0, 0])
    shift = test.check(value, std)
    values.append(value)
    stds.append(std)
    reference.append(np.nan if shift is None else value - shift.difference)
    if shift is not None and shift.is_alarm:
        alarms.append(number)
        print(f"alarm at check {number}: {shift.difference:+.4f}, p = {shift.p:.1e}")
numbers = np.arange(CHECKS)
left.axvline(CHANGES_AT - 0.5, color=GREY, linestyle=":")
left.annotate(
    "the device changes,\nits calibration does not",
    (CHANGES_AT - 0.9, 0.862),
    color=GREY,
    fontsize=8,
    ha="right",
)
left.errorbar(numbers, values, stds, fmt="o", color=BLUE, markersize=3, linewidth=1, label="check")
left.step(numbers, reference, where="mid", color=GREEN, linewidth=1.2, label="reference")
left.plot(
    alarms,
    [values[a] for a in alarms],
    "o",
    color=RED,
    markersize=9,
    fillstyle="none",
    label="alarm",
)
left.set(title="the best point of a loop, checked", xlabel="check", ylabel="<ZZ>")
left.legend(fontsize=8, frameon=False, loc="upper right")

# How often it is wrong, and what it finds.
draw = np.random.default_rng(1)


def alarms_in(rate: float, drift: float) -> tuple[int, int]:
    """Alarms and comparisons; with drift, of the comparison right after it."""
    found = compared = 0
    for row in draw.normal(size=(TRIALS // RUN, RUN)):
        test = SentinelTest(false_alarm_rate=rate)
        for index, value in enumerate(row):
            shift = test.check(value + (drift if drift and index == RUN - 1 else 0.0), 1.0)
            if shift is not None and (not drift or index == RUN - 1):
                compared += 1
                found += shift.is_alarm
    return found, compared


stated = np.array(RATES)
measured = [alarms_in(rate, 0.0) for rate in RATES]
for rate, (found, compared) in zip(RATES, measured, strict=True):
    print(f"stated {rate:g}: {found} alarms in {compared} checks, {found / compared:.4f}")
shares = np.array([found / compared for found, compared in measured])
errors = [1.96 * np.sqrt(s * (1 - s) / n) for s, (_, n) in zip(shares, measured, strict=True)]
right.plot(stated, stated, color=GREY, linewidth=1, linestyle=":")
right.errorbar(
    stated,
    shares,
    errors,
    fmt="o",
    color=BLUE,
    markersize=4,
    linewidth=1,
    label="false alarms, measured",
)
for drift, colour in ((4.0, ORANGE), (6.0, GREEN)):
    power = [found / compared for found, compared in (alarms_in(rate, drift) for rate in RATES)]
    right.plot(
        stated,
        power,
        "s-",
        color=colour,
        markersize=4,
        linewidth=1,
        label=f"found, for a drift of {drift:g} standard errors",
    )
    expected = norm.sf(norm.isf(RATES[-1] / 2) - drift / np.sqrt(1.0 + 1.0 / (RUN - 1)))
    print(
        f"drift of {drift:g}, stated {RATES[-1]:g}: found {power[-1]:.3f}, by theory {expected:.3f}"
    )
right.set(
    xscale="log",
    yscale="log",
    ylim=(5e-4, 2.0),
    title="how often it alarms, at one check",
    xlabel="stated rate of false alarms",
    ylabel="share of checks",
)
right.legend(fontsize=8, frameon=False, loc="lower right")
save(figure, __file__)
