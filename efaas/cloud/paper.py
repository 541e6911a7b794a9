"""The experiment of EFaaS once more: its parameters, its bands, every policy on the same loops.

Two parts. *Cycles*: a loop of plain steps under every policy; this is where closed forms are held
against. *Loops*: real optimizers on the paper's problems; each is run once, guessing as it goes,
and then played again under every policy, so that all have the very same loop.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from efaas.cloud.claims import ARTIFACT, CLAIMS, TARGETS
from efaas.cloud.closed_forms import closed_cycle, closed_duty
from efaas.cloud.measures import Convergence, Interval, converged_at, interval, measured, weakly
from efaas.cloud.policies import POLICIES
from efaas.cloud.scenario import Scenario
from efaas.cloud.tables import Table
from efaas.cloud.trace import LoopTrace, TraceStep
from efaas.cloud.traced_loop import TracedLoop
from efaas.cloud.twin import Twin

if TYPE_CHECKING:
    from efaas.cloud.study import Row

__all__ = ["PaperTask", "paper_tables", "paper_tasks", "run_paper_task"]

_RULE = Convergence()
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
        seed: Of everything.
        band: Of qubits; "" for plain steps.
        method: The optimizer; "" for plain steps.
        steps: Most steps of the loop.
    """

    seed: int
    band: str = ""
    method: str = ""
    steps: int = 1000

    def __str__(self) -> str:
        return f"seed {self.seed} {self.band} {self.method}"


def paper_tasks(seeds: int, *, quick: bool) -> list[PaperTask]:
    """All parts; quick ones are of the small band, and shorter."""
    bands = ("small",) if quick else ("small", "medium", "large")
    steps = {"spsa": 120, "nelder-mead": 60} if quick else {"spsa": 500, "nelder-mead": 250}
    plain = [PaperTask(seed, steps=300 if quick else 1000) for seed in range(seeds)]
    real = [
        PaperTask(seed, band, method, number)
        for seed in range(seeds)
        for band in bands
        for method, number in steps.items()
    ]
    return plain + real


def run_paper_task(task: PaperTask) -> list[Row]:
    """A row for each policy."""
    scenario = Scenario()
    scenario = replace(scenario, loops=replace(scenario.loops, max_steps=task.steps))
    if task.band:
        trace = _recorded(task, scenario)
        policies: Iterable[str] = _COMPARED
    else:
        trace = LoopTrace("plain steps", "", task.seed, 0, 0.0, (TraceStep(),) * task.steps)
        policies = POLICIES
    best = min((step.gap for step in trace.steps if step.gap is not None), default=0.0)
    rows: list[Row] = []
    for name in policies:
        twin = Twin(scenario, POLICIES[name], [TracedLoop(trace)], seed=task.seed)
        outcome = twin.run()
        loop = outcome.loops[0]
        rows.append(
            asdict(task)
            | {"policy": name, "problem": trace.name, "best_gap": best}
            | asdict(measured(outcome, scenario))
            | {
                "converged": converged_at(loop, best, _RULE) if task.band else None,
                "weakly_converged": weakly(loop, trace.span) if task.band else None,
            }
        )
    return rows


def _recorded(task: PaperTask, scenario: Scenario) -> LoopTrace:
    """The loop as it goes under our own policy, guesses included."""
    from efaas.cloud.live_loop import LiveLoop
    from efaas.cloud.problems import METHODS, drawn_problem

    problem = drawn_problem(task.band, task.seed, scenario)
    loop = LiveLoop(problem, METHODS[task.method], method_name=task.method, seed=task.seed)
    Twin(scenario, POLICIES["efaas"], [loop], seed=task.seed).run()
    return loop.trace


# The tables.


def paper_tables(rows: Sequence[Row]) -> list[Table]:
    """What the terminal shows, and the document holds."""
    scenario = Scenario()
    plain = [row for row in rows if not row["band"]]
    tables = [_cycles(plain, scenario)] if plain else []
    for method in dict.fromkeys(row["method"] for row in rows if row["band"]):
        chosen = [row for row in rows if row["method"] == method]
        tables += [_loops(method, chosen), _headline(method, chosen)]
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
        "one small change s",
        "artifact",
    )
    notes = (
        f"Converged: within {100 * _RULE.tolerance:.0f} % of the span of the best point of the "
        f"run, for {_RULE.window} steps in a row. One small change: the paper's own criterion, "
        "|dE| < 0.05 once, which is weak.",
    )
    return Table(f"Real loops by {method}", head, tuple(body), notes)


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
            reached = "yes" if ours.mean >= aim else "no, nor can any" if best.mean < aim else "no"
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
    return Table(f"Ours against the paper's baselines, {method}", head, tuple(body))


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


def _by(rows: Sequence[Row], key: str) -> dict[str, list[Row]]:
    found: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[row[key]].append(row)
    return dict(found)


def _of(rows: Sequence[Row], key: str, factor: float = 1.0) -> Interval | None:
    return interval([None if row[key] is None else factor * row[key] for row in rows])


def _text(found: Any) -> str:
    return "" if found is None else str(found)


def _percent(found: Interval) -> str:
    return f"{100 * found.mean:.1f} ±{100 * found.half_width:.1f}"
