"""The experiment of EFaaS once more: its parameters, its bands, every policy on the same loops.

*Cycles*: a loop of plain steps under every policy; this is what closed forms are held against.
*Loops*: real optimizers on the paper's problems; each is run once, guessing as it goes, and then
played again under every policy, so that all have the very same loop. *Background*: others' jobs at
several loads. *Drift*: SPSA live, each policy with the noise of its own calibrations.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from efaas.cloud.claims import ARTIFACT, CLAIMS, TARGETS
from efaas.cloud.closed_forms import closed_cycle, closed_duty
from efaas.cloud.live_loop import LiveLoop
from efaas.cloud.measures import Convergence, Interval, converged_at, interval, measured, weakly
from efaas.cloud.policies import POLICIES
from efaas.cloud.problems import METHODS, drawn_problem
from efaas.cloud.scenario import Scenario
from efaas.cloud.tables import Table
from efaas.cloud.trace import LoopTrace, TraceStep
from efaas.cloud.traced_loop import TracedLoop
from efaas.cloud.twin import Twin

if TYPE_CHECKING:
    from efaas.cloud.study import Row
    from efaas.cloud.twin import LoopRun

__all__ = ["PaperTask", "paper_tables", "paper_tasks", "run_paper_task"]

_RULE = Convergence()
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

    The larger bands' loops that guess are run for a sixth of the seeds: rehearsing a step of a
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
    fewer = range(-(-seeds // 6))
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
            "converged": converged_at(done, best_gap, _RULE) if gaps else None,
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


# The tables.


def paper_tables(rows: Sequence[Row]) -> list[Table]:
    """What the terminal shows, and the document holds."""
    scenario = Scenario()
    parts = _by(rows, "part")
    tables = [_cycles(parts["cycles"], scenario)] if "cycles" in parts else []
    for method, found in _by(parts.get("loops", []), "method").items():
        tables += [_loops(method, found), _headline(method, found)]
    if "loops" in parts:
        tables.append(_whole(parts["loops"]))
    if "background" in parts:
        tables.append(_background(parts["background"]))
    if "drift" in parts:
        tables.append(_drift(parts["drift"]))
    return tables


def _cycles(rows: Sequence[Row], scenario: Scenario) -> Table:
    by_policy = _by(rows, "policy")
    body = []
    for name, found in by_policy.items():
        cycle = _of(found, "cycle")
        form = closed_cycle(name, scenario) if name != "efaas" else None
        duty = _of(found, "duty", 100.0)
        claim = ARTIFACT.get(name)
        body.append(
            (
                f"{name}",
                _text(_of(found, "ttns")),
                _text(cycle),
                "" if form is None else f"{form:.2f}",
                "" if claim is None else f"{claim.cycle:.2f}",
                _text(duty),
                "" if form is None else f"{100 * closed_duty(form, scenario):.1f}",
                "" if claim is None else f"{100 * claim.duty:.1f}",
                _text(_of(found, "background_wait")),
                _text(_of(found, "drifted", 100.0)),
            )
        )
    head = (
        "policy",
        "TTNS s",
        "cycle s",
        "closed form",
        "artifact",
        "QDC %",
        "closed form",
        "artifact",
        "background wait s",
        "on stale calibration %",
    )
    claims = "; ".join(f"{what} {claim}" for what, claim in CLAIMS.items())
    notes = (
        f"{len(by_policy['sbq'])} seeds; plain steps, nothing to guess.",
        f"The paper claims: {claims}.",
        "TTNS: from parameters ready to the first shot. The paper's code calls the cycle TTNS.",
    )
    return Table("A lone loop of plain steps", head, tuple(body), notes)


def _loops(method: str, rows: Sequence[Row]) -> Table:
    body = []
    for name, found in _by(rows, "policy").items():
        claim = ARTIFACT.get(name)
        body.append(
            (
                name,
                _text(_of(found, "hit_rate", 100.0)),
                _text(_of(found, "ttns")),
                _text(_of(found, "cycle")),
                _text(_of(found, "duty", 100.0)),
                _text(_of(found, "wasted_duty", 100.0)),
                _text(_of(found, "converged")),
                f"{sum(row['converged'] is not None for row in found)}/{len(found)}",
                _text(_of(found, "weakly_converged")),
                "" if claim is None else f"{claim.converged:.0f}",
            )
        )
    head = (
        "policy",
        "guessed %",
        "TTNS s",
        "cycle s",
        "QDC %",
        "wasted %",
        "converged s",
        "did",
        "one small change s",
        "artifact",
    )
    notes = (
        f"Converged: within {100 * _RULE.tolerance:.0f} % of the span of the best reachable "
        f"energy, for {_RULE.window} steps in a row; the mean is of those that did. One small "
        "change: the paper's own criterion, |dE| < 0.05 once, which is weak.",
    )
    return Table(f"Real loops by {method}", head, tuple(body), notes)


def _background(rows: Sequence[Row]) -> Table:
    """Waits of others, and cycles, by load."""
    body = []
    for load, found in _by(rows, "load").items():
        for policy, runs in _by(found, "policy").items():
            body.append(
                (
                    f"{load:g} jobs/s, {policy}",
                    _text(_of(runs, "background_wait")),
                    _text(_of(runs, "cycle")),
                    _text(_of(runs, "ttns")),
                    _text(_of(runs, "duty", 100.0)),
                )
            )
    head = ("load and policy", "background wait s", "cycle s", "TTNS s", "QDC %")
    notes = ("Six of seven steps guessed, where guesses are run. Three devices, 5 s a job.",)
    return Table("Background jobs beside a loop", head, tuple(body), notes)


def _drift(rows: Sequence[Row]) -> Table:
    """Where SPSA ends, each policy with the noise of its own calibrations."""
    body = [
        (
            policy,
            _text(_of(found, "drifted", 100.0)),
            _text(_of(found, "last_gap", 100.0)),
            _text(_of(found, "cycle")),
        )
        for policy, found in _by(rows, "policy").items()
    ]
    head = ("policy", "on stale calibration %", "energy above ground, % of span", "cycle s")
    return Table("What drift does to SPSA, run live under each policy", head, tuple(body))


def _headline(method: str, rows: Sequence[Row]) -> Table:
    """Ours against each baseline, with the target, and the oracle for what is possible."""
    by_policy = _by(rows, "policy")
    body = []
    for target in TARGETS:
        base = by_policy[target.baseline]
        for what, key, aim in (
            ("cycle", "cycle", target.cycle_cut),
            ("QDC, points", "duty", target.duty_gain),
            ("convergence", "converged", target.convergence_cut),
        ):
            ours, best = (_gain(key, base, by_policy[name]) for name in ("efaas", "oracle"))
            if ours is None or best is None:
                continue
            short = "no" if best.mean >= aim else "no, nor the oracle"
            reached = "yes" if ours.mean >= aim else short
            body.append(
                (
                    f"{what}, against {target.baseline}",
                    _percent(ours),
                    f"{100 * aim:.1f}",
                    reached,
                    _percent(best),
                )
            )
    head = ("gain", "ours %", "aim %", "reached", "oracle %")
    notes = [_GUESSABLE if METHODS[method].can_guess else _CONTINUOUS]
    if all(row["converged"] is None for row in rows):
        notes.append("No run converged in the steps that it had, so there is nothing to compare.")
    else:
        notes.append(_SAME_STEPS)
    title = f"Ours against the paper's baselines, {method}"
    return Table(title, head, tuple(body), tuple(notes))


_GUESSABLE = (
    "What bounds it: a step that was guessed takes t_qpu, a miss t_qpu and what the guess runs on "
    "beyond the classical step; and calibrations go by age, 30 s in 320, which the paper's own "
    "rule saves by never calibrating."
)
_CONTINUOUS = (
    "What bounds it: the next point follows the last value continuously, so no guess is that "
    "point, and the classical step is paid as in the paper: only the queue, overheads and lost "
    "turns can be saved."
)
_SAME_STEPS = (
    "Convergence: all have the same steps, and nobody can do a step in less than t_qpu; the oracle "
    "shows what that leaves. More would take fewer steps, that is, another optimizer."
)


def _whole(rows: Sequence[Row]) -> Table:
    """Ours with the optimizer that converges first, against the paper's on the baseline."""
    first: dict[tuple[str, int, str], float] = {}
    for row in rows:
        key = (row["policy"], row["seed"], row["band"])
        if row["converged"] is not None:
            first[key] = min(row["converged"], first.get(key, math.inf))
    body = []
    for target in TARGETS:
        cuts: dict[str, list[float]] = {"efaas": [], "oracle": []}
        for row in rows:
            is_paper_s = row["policy"] == target.baseline and row["method"] == "spsa"
            for policy, found in cuts.items():
                mine = first.get((policy, row["seed"], row["band"]))
                if is_paper_s and row["converged"] is not None and mine is not None:
                    found.append(1.0 - mine / row["converged"])
        ours, best = interval(cuts["efaas"]), interval(cuts["oracle"])
        if ours is not None and best is not None:
            aim = f"{100 * target.convergence_cut:.1f}"
            body.append(
                (f"convergence, against {target.baseline}", _percent(ours), aim, _percent(best))
            )
    head = ("gain", "ours %", "aim %", "oracle %")
    notes = ("Not the same steps: this is what changing the optimizer brings, beside the policy.",)
    title = "Ours with the optimizer that converges first, against SPSA on the baseline"
    return Table(title, head, tuple(body), notes)


def _gain(key: str, base: Sequence[Row], other: Sequence[Row]) -> Interval | None:
    """By how much less time, or how many more points, seed by seed."""
    gains = []
    place = {(row["seed"], row["band"]): row for row in base}
    for row in other:
        before = place.get((row["seed"], row["band"]))
        if before is None or before[key] is None or row[key] is None:
            continue
        gains.append(row[key] - before[key] if key == "duty" else 1.0 - row[key] / before[key])
    return interval(gains)


def _by(rows: Sequence[Row], key: str) -> dict[Any, list[Row]]:
    found: defaultdict[Any, list[Row]] = defaultdict(list)
    for row in rows:
        found[row[key]].append(row)
    return dict(found)


def _of(rows: Sequence[Row], key: str, factor: float = 1.0) -> Interval | None:
    return interval([None if row[key] is None else factor * row[key] for row in rows])


def _text(found: Any) -> str:
    return "" if found is None else str(found)


def _percent(found: Interval) -> str:
    return f"{100 * found.mean:.1f} ±{100 * found.half_width:.1f}"
