"""What many loops are judged by that compete with each other and with batch jobs."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from efaas.cloud.measures import Convergence, converged_at, converged_step, mean_of
from efaas.cloud.prices import Bill, published_prices

if TYPE_CHECKING:
    from efaas.cloud.outcome import Busy, LoopOutcome, Outcome
    from efaas.cloud.scenario import Scenario
    from efaas.cloud.trace import LoopTrace

__all__ = ["bill_of", "contended", "dollars_of", "fairness", "held_seconds"]

_RULE = Convergence()
_MOST = 0.8
"""Duty is measured until so many of the loops have ended: what a few stragglers leave idle says
nothing of a policy."""


def contended(
    outcome: Outcome,
    scenario: Scenario,
    traces: Sequence[LoopTrace],
    best_gaps: Sequence[float],
    billing: Sequence[str],
) -> dict[str, Any]:
    """The measures of a run as a row, in virtual seconds, shares from 0 to 1, and dollars.

    Args:
        outcome: Of a run whose loops had no more time than until it ended.
        scenario: The cloud.
        traces: What each loop did.
        best_gaps: The least gap that is reachable, for each loop.
        billing: How the policy is sold.
    """
    until = outcome.ended_at
    ends = sorted(min(loop.ended_at, until) for loop in outcome.loops)
    window = ends[math.ceil(_MOST * len(ends)) - 1] or until
    waits = sorted(
        min(job.started_at, until) - job.arrived_at
        for job in outcome.background
        if job.arrived_at < ends[-1]
    )
    steps = [step for loop in outcome.loops for step in loop.steps[1:]]
    times = [
        converged_at(loop, gap, _RULE, counts_end=True)
        for loop, gap in zip(outcome.loops, best_gaps, strict=True)
    ]
    # Whoever converges when it runs alone does so here, too, if it has the time.
    able = [
        converged_step([step.gap for step in trace.steps], gap, _RULE, counts_end=True) is not None
        for trace, gap in zip(traces, best_gaps, strict=True)
    ]
    late = [
        until if time is None else time
        for time, is_able in zip(times, able, strict=True)
        if is_able
    ]
    done = sum(time is not None for time in times)
    bill = bill_of(outcome.busy, traces)
    return {
        "loops_ended": sum(loop.ended_at < math.inf for loop in outcome.loops),
        "ttns": mean_of([max(step.first_shot_at - step.ready_at, 0.0) for step in steps]),
        "start_wait": mean_of([_start_wait(loop, until) for loop in outcome.loops]),
        "loop_seconds": mean_of(
            [min(loop.ended_at, until) - loop.arrived_at for loop in outcome.loops]
        ),
        "converged": mean_of(late),
        "unconverged": len(late) - done,
        "converged_share": done / max(len(late), 1),
        "duty": _duty(outcome, ("loop", "background"), window),
        "wasted_duty": _duty(outcome, ("waste", "lost"), window),
        "fairness": fairness(
            [
                (min(loop.ended_at, until) - loop.arrived_at) / _alone_seconds(trace, scenario)
                for loop, trace in zip(outcome.loops, traces, strict=True)
            ]
        ),
        "background_wait": mean_of(waits),
        "background_p95": waits[int(0.95 * len(waits))] if waits else None,
        "hit_rate": mean_of([float(step.was_hit) for step in steps]),
        "drifted": mean_of(
            [float(s.age_seconds > scenario.calibrations.valid_seconds) for s in steps]
        ),
        "qpu_seconds": bill.executed_seconds / done if done else None,
        "held_seconds": bill.held_seconds / done if done else None,
        "calibrations": outcome.calibrations,
        "dollars": dollars_of(bill.per(done), billing) if done else {},
    }


def fairness(slowdowns: Sequence[float]) -> float | None:
    """Jain's index: 1 if all are slowed down alike, ``1 / n`` if one bears it all.

    Source: Jain, Chiu, Hawe, A Quantitative Measure of Fairness (DEC-TR-301, 1984).

    Example:
        >>> fairness([2.0, 2.0, 2.0]), fairness([1.0, 0.0])
        (1.0, 0.5)
    """
    squares = sum(it * it for it in slowdowns)
    return sum(slowdowns) ** 2 / (len(slowdowns) * squares) if squares else None


def bill_of(busy: Sequence[Busy], traces: Sequence[LoopTrace]) -> Bill:
    """What all loops together are billed for, guesses that missed included."""
    executed = circuits = 0.0
    for it in busy:
        if it.loop:
            executed += it.ended_at - it.began_at
            circuits += it.points * traces[it.loop - 1].circuits
    is_known = all(trace.circuits and trace.shots for trace in traces)
    shots = max((trace.shots for trace in traces), default=0)
    return Bill(executed, held_seconds(busy), circuits if is_known else None, shots)


def held_seconds(busy: Sequence[Busy]) -> float:
    """Time that devices were loops' own: their jobs, and gaps in which nobody else ran."""
    by_place: defaultdict[str, list[Busy]] = defaultdict(list)
    for it in busy:
        by_place[it.place].append(it)
    held = 0.0
    for line in by_place.values():
        line.sort()
        before: Busy | None = None
        for it in line:
            if it.loop:
                is_same = before is not None and before.loop == it.loop
                held += it.ended_at - (before.ended_at if is_same and before else it.began_at)
            before = it
    return held


def dollars_of(bill: Bill, billing: Sequence[str]) -> dict[str, float]:
    """What it comes to with each provider and mode in which it may be sold."""
    found = {
        price.key: price.dollars(bill) for price in published_prices() if price.mode in billing
    }
    return {key: dollars for key, dollars in found.items() if dollars is not None}


def _start_wait(loop: LoopOutcome, until: float) -> float:
    first = loop.steps[0].first_shot_at if loop.steps else until
    return first - loop.arrived_at


def _alone_seconds(trace: LoopTrace, scenario: Scenario) -> float:
    """What the loop takes on an idle cloud, without guesses."""
    devices = scenario.devices
    jobs = sum(-(-step.evaluations // devices.points_per_job) for step in trace.steps)
    return jobs * devices.evaluation_seconds + len(trace.steps) * scenario.loops.think_seconds


def _duty(outcome: Outcome, kinds: Sequence[str], until: float) -> float:
    useful = sum(
        max(min(it.ended_at, until) - it.began_at, 0.0) for it in outcome.busy if it.kind in kinds
    )
    return useful / (outcome.device_count * until)
