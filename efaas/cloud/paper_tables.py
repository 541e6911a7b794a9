"""What came of the experiment of EFaaS, in tables: beside its claims, and against its baselines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from efaas.cloud.claims import ARTIFACT, CLAIMS, TARGETS
from efaas.cloud.closed_forms import closed_cycle, closed_duty
from efaas.cloud.measures import Interval, interval
from efaas.cloud.paper import METHODS_OF, RULE, WHOLE
from efaas.cloud.problems import METHODS
from efaas.cloud.rows import grouped, interval_of, percent, text_of
from efaas.cloud.scenario import Scenario
from efaas.cloud.tables import Table

if TYPE_CHECKING:
    from efaas.cloud.study import Row

__all__ = ["paper_tables"]


def paper_tables(rows: Sequence[Row]) -> list[Table]:
    """What the terminal shows, and the document holds."""
    scenario = Scenario()
    parts = grouped(rows, "part")
    tables = [_cycles(parts["cycles"], scenario)] if "cycles" in parts else []
    for method, found in grouped(parts.get("loops", []), "method").items():
        tables += [_loops(method, found), _headline(method, found)]
    if "loops" in parts:
        tables += [_whole(parts["loops"]), _arrivals(parts["loops"])]
    if "background" in parts:
        tables.append(_background(parts["background"]))
    if "drift" in parts:
        tables.append(_drift(parts["drift"]))
    return tables


def _cycles(rows: Sequence[Row], scenario: Scenario) -> Table:
    by_policy = grouped(rows, "policy")
    body = []
    for name, found in by_policy.items():
        cycle = interval_of(found, "cycle")
        form = closed_cycle(name, scenario) if name != "efaas" else None
        duty = interval_of(found, "duty", 100.0)
        claim = ARTIFACT.get(name)
        body.append(
            (
                f"{name}",
                text_of(interval_of(found, "ttns")),
                text_of(cycle),
                "" if form is None else f"{form:.2f}",
                "" if claim is None else f"{claim.cycle:.2f}",
                text_of(duty),
                "" if form is None else f"{100 * closed_duty(form, scenario):.1f}",
                "" if claim is None else f"{100 * claim.duty:.1f}",
                text_of(interval_of(found, "background_wait")),
                text_of(interval_of(found, "drifted", 100.0)),
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
    for name, found in grouped(rows, "policy").items():
        claim = ARTIFACT.get(name)
        body.append(
            (
                name,
                text_of(interval_of(found, "hit_rate", 100.0)),
                text_of(interval_of(found, "ttns")),
                text_of(interval_of(found, "cycle")),
                text_of(interval_of(found, "duty", 100.0)),
                text_of(interval_of(found, "wasted_duty", 100.0)),
                text_of(interval_of(found, "converged")),
                f"{sum(row['converged'] is not None for row in found)}/{len(found)}",
                text_of(interval_of(found, "weakly_converged")),
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
    steps = {band: most.get(method) for band, most in METHODS_OF.items()}
    named = ", ".join(f"{most} ({band})" for band, most in steps.items() if most)
    notes = (
        *((f"Most steps, in a full run: {named}.",) if named else ()),
        f"Converged: within {100 * RULE.tolerance:.0f} % of the span of the best reachable "
        f"energy, the least that any of the optimizers, or a search without noise, came to from "
        f"that start, for {RULE.window} steps in a row; the mean is of those that did. One small "
        "change: the paper's own criterion, |dE| < 0.05 once, which is weak.",
    )
    return Table(f"Real loops by {method}", head, tuple(body), notes)


def _background(rows: Sequence[Row]) -> Table:
    """Waits of others, and cycles, by load."""
    body = []
    for load, found in grouped(rows, "load").items():
        for policy, runs in grouped(found, "policy").items():
            body.append(
                (
                    f"{load:g} jobs/s, {policy}",
                    text_of(interval_of(runs, "background_wait")),
                    text_of(interval_of(runs, "cycle")),
                    text_of(interval_of(runs, "ttns")),
                    text_of(interval_of(runs, "duty", 100.0)),
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
            text_of(interval_of(found, "drifted", 100.0)),
            text_of(interval_of(found, "last_gap", 100.0)),
            text_of(interval_of(found, "cycle")),
        )
        for policy, found in grouped(rows, "policy").items()
    ]
    head = ("policy", "on stale calibration %", "energy above ground, % of span", "cycle s")
    return Table("What drift does to SPSA, run live under each policy", head, tuple(body))


def _headline(method: str, rows: Sequence[Row]) -> Table:
    """Ours against each baseline, with the target, and the oracle for what is possible."""
    by_policy = grouped(rows, "policy")
    body = []
    for target in TARGETS:
        base = by_policy[target.baseline]
        for what, key, aim in (
            ("cycle", "cycle", target.cycle_cut),
            ("QDC, points", "duty", target.duty_gain),
            ("convergence", "converged", target.convergence_cut),
        ):
            if method == "l-bfgs-b" and key == "cycle":
                continue  # a step is a whole gradient for ours, and a point of it for the others
            ours, best = (_gain(key, base, by_policy[name]) for name in ("efaas", "oracle"))
            if ours is None or best is None:
                continue
            short = "no" if best.mean >= aim else "no, nor the oracle"
            reached = "yes" if ours.mean >= aim else short
            body.append(
                (
                    f"{what}, against {target.baseline}",
                    percent(ours),
                    f"{100 * aim:.1f}",
                    reached,
                    percent(best),
                    f"{ours.count}",
                )
            )
    head = ("gain", "ours %", "aim %", "reached", "oracle %", "loops")
    notes = [_BOUNDS.get(method) or (_GUESSABLE if METHODS[method].can_guess else _CONTINUOUS)]
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
_BOUNDS = {
    "l-bfgs-b": (
        "A gradient is a finite difference. Under the baselines each of its points is a job, as "
        "scipy asks for them, and nothing is computed between two of them. Ours knows them in "
        "advance and sends them as one job, two points in each t_qpu, as the paper has it for "
        "SPSA. What bounds it: the devices' time for the points."
    ),
    WHOLE: (
        "Here every policy is given all points of a difference in one job, as by scipy's option "
        "`workers`. What bounds it: the devices' time for the points; waits are paid once a "
        "gradient by everybody."
    ),
}
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
                (f"convergence, against {target.baseline}", percent(ours), aim, percent(best))
            )
    head = ("gain", "ours %", "aim %", "oracle %")
    notes = ("Not the same steps: this is what changing the optimizer brings, beside the policy.",)
    title = "Ours with the optimizer that converges first, against SPSA on the baseline"
    return Table(title, head, tuple(body), notes)


def _arrivals(rows: Sequence[Row]) -> Table:
    """How many loops converged at all, by band and optimizer."""
    ours = [row for row in rows if row["policy"] == "efaas" and row["method"] != WHOLE]
    bands = [band for band in METHODS_OF if any(row["band"] == band for row in ours)]
    body = []
    for method, found in grouped(ours, "method").items():
        of_band = {band: [row for row in found if row["band"] == band] for band in bands}
        cells = [
            f"{sum(row['converged'] is not None for row in runs)} of {len(runs)}" if runs else ""
            for runs in of_band.values()
        ]
        body.append((method, *cells))
    notes = ("Which loops arrive is the optimizer's affair: it is the same under every policy.",)
    return Table("Loops that converged, by band", ("optimizer", *bands), tuple(body), notes)


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
