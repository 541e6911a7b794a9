"""The experiment of EFaaS once more: its parameters, its bands, every policy on the same loops.

*Cycles*: a loop of plain steps under every policy; this is what closed forms are held against.
*Loops*: real optimizers on the paper's problems; each is run once, guessing as it goes, and then
played again under every policy, so that all have the very same loop. *Background*: others' jobs at
several loads. *Drift*: SPSA live, each policy with the noise of its own calibrations.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from efaas.cloud.live_loop import LiveLoop
from efaas.cloud.measures import Convergence, converged_at, measured, weakly
from efaas.cloud.policies import POLICIES
from efaas.cloud.problems import METHODS, drawn_problem
from efaas.cloud.scenario import Scenario
from efaas.cloud.trace import LoopTrace, TraceStep
from efaas.cloud.traced_loop import TracedLoop
from efaas.cloud.twin import Twin

if TYPE_CHECKING:
    from efaas.cloud.study import Row
    from efaas.cloud.twin import LoopRun

__all__ = ["RULE", "PaperTask", "paper_tasks", "run_paper_task"]

RULE = Convergence()
"""What counts as converged."""

_LOADS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5)
"""Background jobs per second; beside a loop that keeps one device busy, 0.4 is the most."""
_LOADED = ("sr", "pq", "efaas-paper", "efaas", "efaas-no-ageing")
_DRIFTING = ("sr", "pq", "efaas-paper", "exclusive", "efaas", "oracle")
_COMPARED = (
    "sbq",
    "pf",
    "sr",
    "pq",
    "efaas-paper",
    "exclusive",
    "session",
    "batch",
    "efaas",
    "efaas-no-speculation",
    "oracle",
)
"""Policies of the second part; the ablations that a lone loop does not feel are left out."""


@dataclass(frozen=True, slots=True)
class PaperTask:
    """A part of the experiment, done in one go.

    Attributes:
        part: "cycles", "loops", "background" or "drift".
        seed: Of everything.
        steps: Most steps of the loop.
        band: Of qubits, for real loops.
        method: The optimizer, for real loops.
        load: Background jobs per second; None for the paper's.
    """

    part: str
    seed: int
    steps: int = 1000
    band: str = ""
    method: str = ""
    load: float | None = None

    def __str__(self) -> str:
        words = [self.part, self.band, self.method, "" if self.load is None else f"{self.load:g}/s"]
        return " ".join([*filter(None, words), f"seed {self.seed}"])


def paper_tasks(seeds: int, *, quick: bool) -> list[PaperTask]:
    """All parts; quick ones are of the small band, and shorter.

    The larger bands' loops that guess are run for a third of the seeds: rehearsing a step of a
    hundred parameters takes longer than simulating it.
    """
    numbers = range(seeds)
    if quick:
        cycles = [PaperTask("cycles", seed, 300) for seed in numbers]
        loops = [
            PaperTask("loops", seed, steps, "small", method)
            for seed in numbers
            for method, steps in (("spsa", 100), ("nelder-mead", 50))
        ]
        loads = [PaperTask("background", seed, 300, load=0.2) for seed in numbers]
        return cycles + loops + loads
    cycles = [PaperTask("cycles", seed) for seed in numbers]
    fewer = range(-(-seeds // 3))
    loops = [
        PaperTask("loops", seed, steps, band, method)
        for band in ("small", "medium", "large")
        for method, steps, guesses in (
            ("spsa", 300, False),
            ("rotosolve", 300, False),
            ("nelder-mead", 150, True),
            ("powell", 150, True),
        )
        for seed in (fewer if guesses and band != "small" else numbers)
    ]
    loads = [PaperTask("background", seed, load=load) for load in _LOADS for seed in numbers]
    drifts = [PaperTask("drift", seed, 300, "small", "spsa") for seed in numbers]
    return cycles + loops + loads + drifts


def run_paper_task(task: PaperTask) -> list[Row]:
    """A row for each policy."""
    scenario = Scenario()
    scenario = replace(scenario, loops=replace(scenario.loops, max_steps=task.steps))
    if task.load is not None:
        background = replace(scenario.background, jobs_per_second=task.load)
        scenario = replace(scenario, background=background)
    trace: LoopTrace
    policies: Sequence[str]
    best = math.inf
    if task.part == "drift":
        return [_row(task, name, scenario, _live(task, scenario)) for name in _DRIFTING]
    if task.part == "loops":
        loop = _live(task, scenario)
        Twin(scenario, POLICIES["efaas"], [loop], seed=task.seed).run()
        trace, policies, best = loop.trace, _COMPARED, loop.problem.reachable_gap
    elif task.part == "background":
        trace, policies = _steps(task, guessed=True), _LOADED
    else:
        trace, policies = _steps(task, guessed=False), tuple(POLICIES)
    best = min([best, *[step.gap for step in trace.steps if step.gap is not None]])
    return [_row(task, name, scenario, TracedLoop(trace), best, trace.span) for name in policies]


def _row(
    task: PaperTask,
    policy: str,
    scenario: Scenario,
    loop: LoopRun,
    best_gap: float = 0.0,
    span: float = 0.0,
) -> Row:
    """What one policy makes of a loop."""
    twin = Twin(scenario, POLICIES[policy], [loop], seed=task.seed)
    # At a load that nobody can serve, loops of some policies would never end.
    outcome = twin.run(until=scenario.horizon_seconds if task.load is not None else math.inf)
    done = outcome.loops[0]
    gaps = [step.gap for step in done.steps if step.gap is not None]
    return (
        asdict(task)
        | {"policy": policy, "problem": done.name}
        | asdict(measured(outcome, scenario))
        | {
            "last_gap": gaps[-1] if gaps else None,
            "converged": converged_at(done, best_gap, RULE) if gaps else None,
            "weakly_converged": weakly(done, span) if gaps and span else None,
        }
    )


def _steps(task: PaperTask, *, guessed: bool) -> LoopTrace:
    """Plain steps; six of seven guessed, or none."""
    kinds = [("miss" if number % 7 == 0 else "hit") for number in range(task.steps)]
    steps = [TraceStep(guess=kind if guessed else "none") for kind in kinds]
    return LoopTrace("plain steps", "", task.seed, 0, 0.0, tuple(steps))


def _live(task: PaperTask, scenario: Scenario) -> LiveLoop:
    """A real loop."""
    problem = drawn_problem(task.band, task.seed, scenario)
    return LiveLoop(problem, METHODS[task.method], method_name=task.method, seed=task.seed)
