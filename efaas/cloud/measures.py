"""What a run is judged by, and what many runs say together."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, stdev
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from efaas.cloud.outcome import LoopOutcome, Outcome
    from efaas.cloud.scenario import Scenario

__all__ = [
    "Convergence",
    "Interval",
    "Measures",
    "converged_at",
    "converged_step",
    "interval",
    "mean_of",
    "measured",
    "weakly",
]


@dataclass(frozen=True, slots=True)
class Measures:
    """One run, in virtual seconds and shares from 0 to 1; None where there is nothing to measure.

    Attributes:
        ttns: Mean time to next shot: from when a step's parameters are ready to its first shot.
        cycle: Mean time from the end of one step to the end of the next.
        duty: Quantum duty cycle while loops run: time with useful shots over capacity.
        wasted_duty: Further time with shots of guesses that missed, over capacity.
        background_wait: Mean wait of background jobs that arrived while loops ran.
        drifted: Share of the loops' steps that ran on a calibration older than is valid.
        hit_rate: Share of steps that had been guessed.
        steps: Steps of all loops within the horizon.
    """

    ttns: float | None
    cycle: float | None
    duty: float
    wasted_duty: float
    background_wait: float | None
    drifted: float | None
    hit_rate: float | None
    steps: int


def measured(outcome: Outcome, scenario: Scenario) -> Measures:
    """The measures of a run, within the horizon, and as long as its loops run."""
    last = max((loop.ended_at for loop in outcome.loops), default=math.inf)
    until = min(scenario.horizon_seconds, last, outcome.ended_at)
    capacity = outcome.device_count * until
    shares = dict.fromkeys(("loop", "background", "waste", "lost"), 0.0)
    for busy in outcome.busy:
        shares[busy.kind] += max(min(busy.ended_at, until) - min(busy.began_at, until), 0.0)
    lines = [[step for step in loop.steps if step.ended_at <= until] for loop in outcome.loops]
    later = [step for line in lines for step in line[1:]]
    cycles = [
        after.ended_at - before.ended_at for line in lines for before, after in pairwise(line)
    ]
    waits = [
        min(job.started_at, outcome.ended_at) - job.arrived_at
        for job in outcome.background
        if job.arrived_at < until
    ]
    valid = scenario.calibrations.valid_seconds
    return Measures(
        ttns=mean_of(max(step.first_shot_at - step.ready_at, 0.0) for step in later),
        cycle=mean_of(cycles),
        duty=(shares["loop"] + shares["background"]) / capacity,
        wasted_duty=shares["waste"] / capacity,
        background_wait=mean_of(waits),
        drifted=mean_of(float(step.age_seconds > valid) for step in later),
        hit_rate=mean_of(float(step.was_hit) for step in later),
        steps=sum(map(len, lines)),
    )


@dataclass(frozen=True, slots=True)
class Convergence:
    """When a loop counts as converged.

    Attributes:
        tolerance: How far from the best reachable its point may be, over the span from the ground
            state to the maximally mixed state.
        window: For so many steps in a row.
    """

    tolerance: float = 0.05
    window: int = 10


def converged_at(
    loop: LoopOutcome, best_gap: float, rule: Convergence, *, counts_end: bool = False
) -> float | None:
    """When it had converged, since its arrival; None if it never did.

    Args:
        loop: The loop.
        best_gap: The least gap that is reachable.
        rule: What counts.
        counts_end: Whether a loop that ended there, by its optimizer's own rule, had converged,
            too, though its last steps are fewer than the window.
    """
    at = converged_step(
        [step.gap for step in loop.steps],
        best_gap,
        rule,
        counts_end=counts_end and loop.ended_at < math.inf,
    )
    return None if at is None else loop.steps[at].used_at - loop.arrived_at


def converged_step(
    gaps: Sequence[float | None], best_gap: float, rule: Convergence, *, counts_end: bool = False
) -> int | None:
    """The first of the steps that are within the tolerance for the window; None if there is none.

    Args:
        gaps: After each step; None where the optimizer has not moved on, which counts for nothing.
        best_gap: The least gap that is reachable.
        rule: What counts.
        counts_end: Whether steps within the tolerance at the end are enough, however few.

    Example:
        >>> converged_step([0.5, 0.01, 0.3, 0.02, 0.01], 0.0, Convergence(0.05, window=2))
        3
    """
    since: int | None = None
    count = 0
    for at, gap in enumerate(gaps):
        if gap is None:
            continue
        if gap > best_gap + rule.tolerance:
            since, count = None, 0
            continue
        since = at if since is None else since
        count += 1
        if count == rule.window:
            return since
    return since if counts_end else None


def weakly(loop: LoopOutcome, span: float, *, change: float = 0.05) -> float | None:
    """When the energy first changed by less than that from one step to the next.

    That is the paper's criterion. It says little: a step that fails ends it as well.
    """
    before: float | None = None
    for step in loop.steps:
        if step.gap is None:
            continue
        if before is not None and abs(step.gap - before) * span < change:
            return step.used_at - loop.arrived_at
        before = step.gap
    return None


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean and its 95 % confidence interval.

    Attributes:
        mean: The mean.
        half_width: Half of the interval; 0 for one value.
        count: Of values.
    """

    mean: float
    half_width: float
    count: int

    def __str__(self) -> str:
        digits = 3 if abs(self.mean) < 1 else 2 if abs(self.mean) < 100 else 0
        return f"{self.mean:.{digits}f} ±{self.half_width:.{digits}f}"


def interval(values: Iterable[float | None]) -> Interval | None:
    """Of the values that there are, by Student's distribution; None without any."""
    from scipy.special import stdtrit

    there = [value for value in values if value is not None]
    if not there:
        return None
    if len(there) == 1:
        return Interval(there[0], 0.0, 1)
    factor = float(stdtrit(len(there) - 1, 0.975))
    return Interval(fmean(there), factor * stdev(there) / math.sqrt(len(there)), len(there))


def mean_of(values: Iterable[float]) -> float | None:
    """Their mean; None without any."""
    found = list(values)
    return fmean(found) if found else None
