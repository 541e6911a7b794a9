"""Cycles and duty cycles on paper, to hold the simulation against."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from efaas.cloud.scenario import Scenario

__all__ = ["closed_cycle", "closed_duty"]


def closed_cycle(policy: str, scenario: Scenario, *, hit_rate: float = 0.0) -> float | None:
    """Mean seconds from one step of a lone loop to the next; None where no formula is known.

    A loop whose calibrations go by age loses ``duration`` in every ``valid - margin`` seconds of
    work. Static reservation also gives way to its share of the background.

    Args:
        policy: Its name.
        scenario: The cloud.
        hit_rate: Share of steps that were guessed, where guesses are run; the others are taken
            for misses.
    """
    loops, devices, provider = scenario.loops, scenario.devices, scenario.provider
    calibrations = scenario.calibrations
    plain = loops.think_seconds + devices.evaluation_seconds
    queue = provider.mean_queue_seconds
    work = calibrations.valid_seconds - calibrations.margin_seconds
    calibrating = calibrations.duration_seconds / (work + calibrations.duration_seconds)
    background = scenario.background.load / devices.count
    once = queue + provider.pilot_start_seconds
    hidden = min(loops.think_seconds, devices.evaluation_seconds)
    beyond = max(devices.evaluation_seconds - loops.think_seconds, 0.0)
    guessed = plain - hit_rate * hidden + (1.0 - hit_rate) * beyond
    tasks = plain + provider.pilot_task_seconds
    forms = {
        "efaas-paper": plain,
        "sbq": plain + queue,
        "pf": plain + queue + sum(loops.cold_start_seconds) / 2,
        "sr": plain / (1.0 - calibrating - background),
        "pq": tasks * scenario.horizon_seconds / (scenario.horizon_seconds - once),
        "exclusive": plain / (1.0 - calibrating),
        "efaas-no-speculation": plain / (1.0 - calibrating),
        "efaas": guessed / (1.0 - calibrating),
        "oracle": devices.evaluation_seconds,
    }
    return forms.get(policy)


def closed_duty(cycle: float, scenario: Scenario) -> float:
    """The share of the devices' time with useful shots, for a lone loop of that cycle."""
    devices = scenario.devices
    loop = devices.evaluation_seconds / (devices.count * cycle)
    return loop + scenario.background.load / devices.count
