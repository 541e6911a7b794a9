"""The experiment of EFaaS once more: its parameters, its bands, every policy on the same loops.

*Cycles*: a loop of plain steps under every policy; this is what closed forms are held against.
*Loops*: real optimizers on the paper's problems; each is run once, guessing as it goes, and then
played again under every policy, so that all have the very same loop. *Background*: others' jobs at
several loads. *Drift*: SPSA live, each policy with the noise of its own calibrations.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from types import MappingProxyType
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
    from efaas.cloud.problems import Problem
    from efaas.cloud.study import Row
    from efaas.cloud.twin import LoopRun

__all__ = [
    "METHODS_OF",
    "RULE",
    "WHOLE",
    "PaperTask",
    "one_at_a_time",
    "paper_tasks",
    "run_paper_task",
]

RULE = Convergence()
"""What counts as converged. Two standard deviations of an evaluation's shots are 2.6 % of the span
that noise leaves on the median of the problems, and 6 % at the most."""

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


METHODS_OF: Mapping[str, Mapping[str, int]] = MappingProxyType(
    {
        "small": {
            "spsa": 1000,
            "rotosolve": 1000,
            "nelder-mead": 1000,
            "powell": 1000,
            "l-bfgs-b": 150,
        },
        "medium": {"spsa": 300, "rotosolve": 300, "nelder-mead": 150, "powell": 150},
        "large": {"spsa": 300, "rotosolve": 300, "nelder-mead": 150, "powell": 150},
    }
)
"""Optimizers of real loops by band, with most steps of each; L-BFGS-B's are gradients.

In the small band they have the paper's own limit of 1,000 [P]. In the larger ones, with up to 250
parameters, Nelder-Mead and Powell came nowhere near in 1,000 steps on any of the problems that were
tried, and the others take more than a study can simulate; there a part of them tells the cycle. It
must not be shorter: a loop of 100 guessed steps ends before its first calibration is due, and would
look better than it is.
"""

WHOLE = "l-bfgs-b, whole gradients"
"""L-BFGS-B where every policy is given all points of a finite difference at once."""

_QUICK = {"small": {"spsa": 100, "nelder-mead": 50}}


@dataclass(frozen=True, slots=True)
class PaperTask:
    """A part of the experiment, done in one go.

    Attributes:
        part: "cycles", "loops", "background" or "drift".
        seed: Of everything.
        steps: Most steps of the loop; for real loops see ``methods``.
        band: Of qubits, for real loops.
        methods: The optimizers of real loops, with most steps of each. All are judged by the least
            energy that any of them, or a search without noise, came to.
        load: Background jobs per second; None for the paper's.
    """

    part: str
    seed: int
    steps: int = 1000
    band: str = ""
    methods: tuple[tuple[str, int], ...] = ()
    load: float | None = None

    def __str__(self) -> str:
        words = [self.part, self.band, "" if self.load is None else f"{self.load:g}/s"]
        return " ".join([*filter(None, words), f"seed {self.seed}"])


def paper_tasks(seeds: int, *, quick: bool) -> list[PaperTask]:
    """All parts, seed by seed; quick ones are of the small band, and shorter."""
    tasks = []
    for seed in range(seeds):
        if quick:
            tasks += [
                PaperTask("loops", seed, band=band, methods=tuple(methods.items()))
                for band, methods in _QUICK.items()
            ]
            tasks.append(PaperTask("cycles", seed, 300))
            tasks.append(PaperTask("background", seed, 300, load=0.2))
            continue
        tasks += [
            PaperTask("loops", seed, band=band, methods=tuple(methods.items()))
            for band, methods in reversed([*METHODS_OF.items()])
        ]
        tasks.append(PaperTask("cycles", seed))
        tasks += [PaperTask("background", seed, load=load) for load in _LOADS]
        tasks.append(PaperTask("drift", seed, 300, "small", (("spsa", 300),)))
    return tasks


def run_paper_task(task: PaperTask) -> list[Row]:
    """A row for each policy, and each optimizer."""
    if task.part == "loops":
        return _loops(task)
    scenario = _scenario(task.steps, task.load)
    if task.part == "drift":
        [(method, _)] = task.methods
        problem = drawn_problem(task.band, task.seed, scenario)
        return [
            _row(task, method, name, scenario, _live(problem, method, task.seed))
            for name in _DRIFTING
        ]
    policies: Sequence[str] = tuple(POLICIES)
    trace = _steps(task, guessed=task.part == "background")
    if task.part == "background":
        policies = _LOADED
    return [_row(task, "", name, scenario, TracedLoop(trace)) for name in policies]


def _loops(task: PaperTask) -> list[Row]:
    """Real optimizers on one problem, each run once and then played under every policy."""
    problem = drawn_problem(task.band, task.seed, Scenario())
    played = []
    for method, steps in task.methods:
        scenario = _scenario(steps)
        loop = _live(problem, method, task.seed)
        Twin(scenario, POLICIES["efaas"], [loop], seed=task.seed).run()
        played.append((method, scenario, loop.trace))
    gaps = [step.gap for _, _, trace in played for step in trace.steps if step.gap is not None]
    best_gap = min([problem.reachable_gap, *gaps])
    rows = []
    for method, scenario, trace in played:
        plain = one_at_a_time(trace) if method == "l-bfgs-b" else trace
        for name in _COMPARED:
            asked = trace if POLICIES[name].traits.speculates else plain
            rows.append(_row(task, method, name, scenario, TracedLoop(asked), best_gap, trace.span))
        if plain is not trace:
            rows += [
                _row(task, WHOLE, name, scenario, TracedLoop(trace), best_gap, trace.span)
                for name in _COMPARED
            ]
    return rows


def one_at_a_time(trace: LoopTrace) -> LoopTrace:
    """The same loop where each point of a finite difference is a job, as scipy asks for them.

    Nothing is computed between two points of the same difference.
    """
    steps: list[TraceStep] = []
    for step in trace.steps:
        first = TraceStep(think_seconds=step.think_seconds)
        each = [first, *[TraceStep(think_seconds=0.0)] * (step.evaluations - 1)]
        steps += [*each[:-1], replace(each[-1], gap=step.gap)]
    return replace(trace, steps=tuple(steps))


def _scenario(steps: int, load: float | None = None) -> Scenario:
    scenario = Scenario()
    scenario = replace(scenario, loops=replace(scenario.loops, max_steps=steps))
    if load is None:
        return scenario
    background = replace(scenario.background, jobs_per_second=load)
    return replace(scenario, background=background)


def _row(
    task: PaperTask,
    method: str,
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
        {"part": task.part, "seed": task.seed, "band": task.band, "load": task.load}
        | {"method": method, "policy": policy, "problem": done.name}
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


def _live(problem: Problem, method: str, seed: int) -> LiveLoop:
    """A real loop."""
    return LiveLoop(problem, METHODS[method], method_name=method, seed=seed)
