"""The same loops under several policies: what ``run`` and ``replay`` print."""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from efaas.cloud.kernel import random_stream
from efaas.cloud.live_loop import LiveLoop
from efaas.cloud.measures import interval, measured
from efaas.cloud.policies import POLICIES
from efaas.cloud.problems import METHODS, drawn_problem, on_aer
from efaas.cloud.tables import Table
from efaas.cloud.trace import LoopTrace, TraceStep, read_traces
from efaas.cloud.traced_loop import TracedLoop
from efaas.cloud.twin import Twin

if TYPE_CHECKING:
    from efaas.cloud.scenario_file import RunFile
    from efaas.cloud.study import Row

__all__ = ["ComparisonTask", "comparison_table", "comparison_tasks", "run_comparison"]


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
    scenario = task.run.scenario
    traces = _traces(task)
    rows: list[Row] = []
    for name in task.run.policies:
        loops = [TracedLoop(trace) for trace in traces]
        outcome = Twin(scenario, POLICIES[name], loops, seed=task.seed).run()
        ends = [loop.ended_at - loop.arrived_at for loop in outcome.loops]
        done = [end for end in ends if end < math.inf]
        rows.append(
            {"policy": name, "seed": task.seed, "loops": len(ends), "ended": len(done)}
            | asdict(measured(outcome, scenario))
            | {"loop_seconds": sum(done) / len(done) if done else None}
            | {"loop_qpu_seconds": _used(outcome.busy) / len(ends)}
        )
    return rows


def comparison_table(rows: Sequence[Row]) -> Table:
    """What a loop waited for, and used, under each policy."""
    by_policy: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_policy[row["policy"]].append(row)
    columns = {
        "ttns": ("TTNS s", 1.0),
        "cycle": ("cycle s", 1.0),
        "loop_seconds": ("whole loop s", 1.0),
        "loop_qpu_seconds": ("QPU s a loop", 1.0),
        "duty": ("QDC %", 100.0),
        "hit_rate": ("guessed %", 100.0),
        "background_wait": ("background wait s", 1.0),
    }
    body = []
    for name, found in by_policy.items():
        cells = [
            interval([None if row[key] is None else factor * row[key] for row in found])
            for key, (_, factor) in columns.items()
        ]
        body.append((name, *("" if cell is None else str(cell) for cell in cells)))
    head = ("policy", *(title for title, _ in columns.values()))
    return Table("The same loops under each policy", head, tuple(body))


def _used(busy: Sequence[tuple[float, float, str]]) -> float:
    """QPU seconds of loops, guesses that missed included."""
    return sum(end - began for began, end, kind in busy if kind in ("loop", "waste"))


def _traces(task: ComparisonTask) -> Sequence[LoopTrace]:
    """The loops of the workload; real ones are run once, alone, to be played again."""
    run, workload = task.run, task.run.workload
    count = run.scenario.loops.count
    if workload.trace:
        recorded = read_traces(run.folder / workload.trace)
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
