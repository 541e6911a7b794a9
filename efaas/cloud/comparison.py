"""The same loops under several policies: what ``run`` and ``replay`` print."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from statistics import fmean
from typing import TYPE_CHECKING

from efaas.cloud.contended import bill_of, dollars_of
from efaas.cloud.kernel import random_stream
from efaas.cloud.live_loop import LiveLoop
from efaas.cloud.measures import interval, measured
from efaas.cloud.policies import POLICIES
from efaas.cloud.prices import JOBS, SESSION, published_prices
from efaas.cloud.problems import METHODS, drawn_problem, on_aer
from efaas.cloud.recorded import lasting, read_loops
from efaas.cloud.rows import grouped, interval_of, text_of
from efaas.cloud.tables import Table
from efaas.cloud.trace import LoopTrace, TraceStep
from efaas.cloud.traced_loop import TracedLoop
from efaas.cloud.twin import Twin

if TYPE_CHECKING:
    from efaas.cloud.outcome import LoopOutcome
    from efaas.cloud.scenario import Scenario
    from efaas.cloud.scenario_file import RunFile
    from efaas.cloud.study import Row

__all__ = [
    "ComparisonTask",
    "compared",
    "comparison_table",
    "comparison_tasks",
    "run_comparison",
]


@dataclass(frozen=True, slots=True)
class ComparisonTask:
    """One seed of a scenario: all of its policies, with the same loops."""

    run: RunFile
    seed: int

    def __str__(self) -> str:
        return f"seed {self.seed}"


def comparison_tasks(run: RunFile) -> list[ComparisonTask]:
    """One a seed."""
    return [ComparisonTask(run, seed) for seed in range(run.seeds)]


def run_comparison(task: ComparisonTask) -> list[Row]:
    """A row for each policy."""
    return compared(_traces(task), task.run.scenario, task.run.policies, task.seed)


def compared(
    traces: Sequence[LoopTrace], scenario: Scenario, policies: Sequence[str], seed: int
) -> list[Row]:
    """What loops would have waited for, used and paid under each policy, a row each.

    Args:
        traces: The loops.
        scenario: The cloud.
        policies: Names of policies.
        seed: Of the load.
    """
    rows: list[Row] = []
    for name in policies:
        policy = POLICIES[name]
        loops = [TracedLoop(trace) for trace in traces]
        outcome = Twin(scenario, policy, loops, seed=seed).run()
        ends = [loop.ended_at - loop.arrived_at for loop in outcome.loops]
        done = [end for end in ends if end < math.inf]
        bill = bill_of(outcome.busy, traces).per(len(traces))
        rows.append(
            {"policy": name, "seed": seed, "loops": len(ends), "ended": len(done)}
            | asdict(measured(outcome, scenario))
            | {"loop_seconds": sum(done) / len(done) if done else None}
            | {"waited_seconds": fmean(map(_waited_seconds, outcome.loops))}
            | {"loop_qpu_seconds": bill.executed_seconds, "held_seconds": bill.held_seconds}
            | {"dollars": dollars_of(bill, policy.traits.billing)}
        )
    return rows


def comparison_table(rows: Sequence[Row]) -> Table:
    """What a loop waited for, used and paid under each policy."""
    columns = {
        "ttns": ("TTNS s", 1.0),
        "cycle": ("cycle s", 1.0),
        "waited_seconds": ("waited in all s", 1.0),
        "loop_seconds": ("whole loop s", 1.0),
        "loop_qpu_seconds": ("QPU s a loop", 1.0),
        "duty": ("QDC %", 100.0),
        "hit_rate": ("guessed %", 100.0),
        "background_wait": ("background wait s", 1.0),
    }
    told = [next(it for it in published_prices() if it.mode == mode) for mode in (JOBS, SESSION)]
    body = []
    for name, found in grouped(rows, "policy").items():
        cells = [interval_of(found, key, factor) for key, (_, factor) in columns.items()]
        cells += [interval([row["dollars"].get(price.key) for row in found]) for price in told]
        body.append((name, *map(text_of, cells)))
    head = (
        "policy",
        *(title for title, _ in columns.values()),
        *(f"$ a loop, {price.mode}" for price in told),
    )
    prices = "; ".join(f"{it.key}: {it.dollars_per_second:g} a second, {it.as_of}" for it in told)
    notes = (
        "Waited in all: from parameters ready to the first shot, over all steps of a loop.",
        f"Prices: {prices}. Others, and sources, are in efaas/cloud/prices.toml.",
    )
    return Table("The same loops under each policy", head, tuple(body), notes)


def _waited_seconds(loop: LoopOutcome) -> float:
    return sum(max(step.first_shot_at - step.ready_at, 0.0) for step in loop.steps)


def _traces(task: ComparisonTask) -> Sequence[LoopTrace]:
    """The loops of the workload; real ones are run once, alone, to be played again."""
    run, workload = task.run, task.run.workload
    count = run.scenario.loops.count
    if workload.trace:
        recorded = read_loops(run.folder / workload.trace)
        if workload.evaluation_seconds:
            recorded = [lasting(loop, workload.evaluation_seconds) for loop in recorded]
        return [recorded[number % len(recorded)] for number in range(max(count, len(recorded)))]
    seeds = [task.seed * count + number for number in range(count)]
    if not workload.band:
        steps = run.scenario.loops.max_steps
        return [_plain(steps, workload.hit_rate, seed) for seed in seeds]
    alone = replace(run.scenario, loops=replace(run.scenario.loops, count=1))
    traces = []
    for seed in seeds:
        problem = drawn_problem(workload.band, seed, alone)
        if workload.simulator == "aer":
            problem = on_aer(problem)
        method = METHODS[workload.method]
        loop = LiveLoop(problem, method, method_name=workload.method, seed=seed)
        Twin(alone, POLICIES["efaas"], [loop], seed=seed).run()
        traces.append(loop.trace)
    return traces


def _plain(steps: int, hit_rate: float, seed: int) -> LoopTrace:
    draw: random.Random = random_stream(seed, "guesses")
    guesses = [("hit" if draw.random() < hit_rate else "miss") for _ in range(steps)]
    made = [TraceStep(guess=guess if hit_rate else "none") for guess in guesses]
    return LoopTrace("plain steps", "", seed, 0, 0.0, tuple(made))
