"""What came of loops that compete, in tables: by policy, by load, in money, part by part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from efaas.cloud.contention import CROWD, CROWDS
from efaas.cloud.measures import Interval, interval
from efaas.cloud.policies import BASELINES
from efaas.cloud.prices import published_prices
from efaas.cloud.rows import grouped, interval_of, percent, text_of
from efaas.cloud.tables import Table

if TYPE_CHECKING:
    from efaas.cloud.study import Row

__all__ = ["MIDDLE_LOAD", "contention_tables"]

MIDDLE_LOAD = 0.5
"""The load at which crowds are told of in full."""

_BY_LOAD = ("sbq", "sr", "pq", "session", "efaas-paper", "efaas", "oracle")
_NAMES = tuple(policy.name for policy in BASELINES)


def contention_tables(rows: Sequence[Row]) -> list[Table]:
    """What the terminal shows, and the document holds; of whatever was finished."""
    parts = grouped(rows, "part")
    grid = parts.get("grid", [])
    crowds = grouped(grid, "loops", "devices")
    tables = [_crowd(*key, crowds[key]) for key in CROWDS if key in crowds]
    told = crowds.get(CROWD) or next(iter(crowds.values()), [])
    if len({row["load"] for row in told}) > 1:
        tables += [_by_load(told, key) for key in ("converged", "background_wait", "duty")]
    if told:
        middle = [row for row in told if row["load"] == MIDDLE_LOAD]
        tables += [_money(middle), _ablations(middle)] if middle else []
        tables.append(_against(grid))
    for what, found in grouped(parts.get("sensitivity", []), "what").items():
        tables.append(_sensitivity(what, found))
    if "drift" in parts:
        tables.append(_drift(parts["drift"]))
    return tables


def _crowd(loops: int, devices: int, rows: Sequence[Row]) -> Table:
    """Every policy at the middle load."""
    rows = [row for row in rows if row["load"] == MIDDLE_LOAD]
    head = (
        "policy",
        "TTNS s",
        "wait to start s",
        "converged s",
        "did %",
        "whole loop s",
        "fairness",
        "QDC %",
        "wasted %",
        "batch wait s",
        "95 % of them s",
        "QPU s a converged loop",
    )
    columns = (
        ("ttns", 1.0),
        ("start_wait", 1.0),
        ("converged", 1.0),
        ("converged_share", 100.0),
        ("loop_seconds", 1.0),
        ("fairness", 1.0),
        ("duty", 100.0),
        ("wasted_duty", 100.0),
        ("background_wait", 1.0),
        ("background_p95", 1.0),
        ("qpu_seconds", 1.0),
    )
    body = tuple(
        (name, *(text_of(interval_of(found, key, factor)) for key, factor in columns))
        for name, found in grouped(rows, "policy").items()
    )
    notes = (
        "Converged: from arrival until the loop is within 5 % of the span of the least energy that "
        "any optimizer reached from that start, and stays there for 10 steps or ends there. "
        "Whoever has not by the end of eight hours counts with eight hours. With several loops the "
        "oracle has our order without waits and classical steps; another order may be better.",
        "Fairness: Jain's index of how much longer loops took than alone. QDC until 80 % of the "
        "loops have ended.",
    )
    title = f"{loops} loops on {devices} devices, batch load {MIDDLE_LOAD:g}"
    return Table(title, head, body, notes)


_TITLES = {
    "converged": ("Time to convergence in seconds", 1.0),
    "background_wait": ("Mean wait of batch jobs in seconds", 1.0),
    "duty": ("QDC in percents", 100.0),
}


def _by_load(rows: Sequence[Row], key: str) -> Table:
    title, factor = _TITLES[key]
    loads = sorted({row["load"] for row in rows})
    body = []
    by_policy = grouped(rows, "policy")
    for policy in [name for name in _BY_LOAD if name in by_policy]:
        of_load = grouped(by_policy[policy], "load")
        cells = [text_of(interval_of(of_load.get(load, []), key, factor)) for load in loads]
        body.append((policy, *cells))
    first = rows[0]
    where = f"{first['loops']} loops on {first['devices']} devices"
    head = ("policy", *(f"batch load {load:g}" for load in loads))
    return Table(f"{title}: {where}", head, tuple(body))


def _money(rows: Sequence[Row]) -> Table:
    """Dollars for a converged loop, where a policy may be sold so."""
    prices = published_prices()
    providers = list(dict.fromkeys(price.provider for price in prices))
    body = []
    for name, found in grouped(rows, "policy").items():
        cells = [
            "; ".join(
                f"{cell} as {price.mode}"
                for price in prices
                if price.provider == provider
                and (cell := text_of(interval([row["dollars"].get(price.key) for row in found])))
            )
            for provider in providers
        ]
        body.append((name, *cells))
    head = ("policy", *providers)
    sources = "; ".join(f"{it.key}: {it.as_of}, {it.source}" for it in prices)
    notes = (
        "Jobs: what runs is billed, guesses that missed included. Session: the time that a loop "
        "has its device. Ours is in both: as a scheduler inside of a cloud it bills what runs; the "
        "other figure is what it would be if the gaps in which nobody else ran were billed, too.",
        f"Published prices in dollars, as of: {sources}.",
    )
    first = rows[0]
    where = f"{first['loops']} loops on {first['devices']} devices, batch load {MIDDLE_LOAD:g}"
    return Table(f"Dollars a converged loop: {where}", head, tuple(body), notes)


def _ablations(rows: Sequence[Row]) -> Table:
    """Ours with each part off, against ours, seed by seed."""
    by_policy = grouped(rows, "policy")
    whole = by_policy.get("efaas", [])
    body = []
    for name, found in by_policy.items():
        if name.startswith("efaas-no-"):
            cells = [
                *(_change(whole, found, key) for key in ("converged", "loop_seconds", "ttns")),
                _difference(whole, found, "duty"),
                *(_change(whole, found, key) for key in ("background_wait", "qpu_seconds")),
            ]
            body.append((name.removeprefix("efaas-no-"), *cells))
    head = (
        "part off",
        "converged",
        "whole loop",
        "TTNS",
        "QDC, points",
        "batch wait",
        "QPU time a converged loop",
    )
    first = rows[0]
    where = f"{first['loops']} loops on {first['devices']} devices, batch load {MIDDLE_LOAD:g}"
    notes = (
        "By how many percent more with the part off than with it; more is worse, but for QDC.",
    )
    return Table(f"Ours without each of its parts: {where}", head, tuple(body), notes)


def _against(rows: Sequence[Row]) -> Table:
    """How often, over all crowds, loads and seeds, ours is ahead of each of the others."""
    place = {_cell(row): row for row in rows if row["policy"] == "efaas"}
    body = []
    for name, found in grouped(rows, "policy").items():
        if name not in _NAMES:
            continue
        cells = []
        for key in ("converged", "loop_seconds", "background_wait"):
            pairs = [
                (place[_cell(row)][key], row[key])
                for row in found
                if _cell(row) in place and None not in (place[_cell(row)][key], row[key])
            ]
            ahead = sum(ours <= theirs for ours, theirs in pairs)
            worst = max((ours / theirs for ours, theirs in pairs if theirs), default=None)
            mean = interval([1.0 - ours / theirs for ours, theirs in pairs if theirs])
            cells += [
                f"{ahead}/{len(pairs)}",
                "" if mean is None else percent(mean),
                "" if worst is None else f"{worst:.2f}",
            ]
        body.append((name, *cells))
    head = ("against", *(f"{what}{unit}" for what in _JUDGED for unit in _AHEAD))
    notes = (
        "Ahead: in so many of all crowds, loads and seeds. Worst: the largest ratio of ours to "
        "theirs; above 1 ours is behind.",
    )
    return Table("Ours against each of the others, everywhere", head, tuple(body), notes)


_JUDGED = ("convergence", "whole loop", "batch wait")
_AHEAD = (": ahead", ": less by %", ": worst")


def _sensitivity(what: str, rows: Sequence[Row]) -> Table:
    """Time to convergence, and where it is telling the wait of batch jobs."""
    values = list(dict.fromkeys(row["to"] for row in rows))
    body = []
    for name, found in grouped(rows, "policy").items():
        of_value = grouped(found, "to")
        cells = [
            f"{text_of(interval_of(of_value[to], 'converged'))}; "
            f"{text_of(interval_of(of_value[to], 'ttns'))}; "
            f"{text_of(interval_of(of_value[to], 'background_wait'))}"
            for to in values
            if to in of_value
        ]
        body.append((name, *cells))
    first = rows[0]
    where = f"{first['loops']} loops on {first['devices']} devices, batch load {first['load']:g}"
    notes = ["Converged s; TTNS s; batch wait s."]
    if what == "calibration":
        ours = grouped([row for row in rows if row["policy"] == "efaas"], "to")
        made = [f"{to}: {text_of(interval_of(runs, what + 's'))}" for to, runs in ours.items()]
        notes.append(f"Calibrations made in a run under ours: {'; '.join(made)}.")
    return Table(f"Sensitivity to {what}: {where}", ("policy", *values), tuple(body), tuple(notes))


def _drift(rows: Sequence[Row]) -> Table:
    values = list(dict.fromkeys(row["to"] for row in rows))
    body = []
    for name, found in grouped(rows, "policy").items():
        of_value = grouped(found, "to")
        cells = [text_of(interval_of(of_value[to], "last_gap", 100.0)) for to in values]
        stale = text_of(interval_of(found, "drifted", 100.0))
        body.append((name, *cells, stale))
    head = ("policy", *(f"drift {value}" for value in values), "on stale calibration %")
    first = rows[0]
    where = f"{first['loops']} loops of SPSA on {first['devices']} devices"
    notes = (
        "Energy above the ground state where the loops end, in percents of the span. Drift: by how "
        "much errors grow in the time that a calibration is valid for; 1 doubles them.",
    )
    return Table(f"Sensitivity to drift, run live: {where}", head, tuple(body), notes)


def _cell(row: Row) -> tuple[int, int, float, int]:
    return row["loops"], row["devices"], row["load"], row["seed"]


def _paired(whole: Sequence[Row], part: Sequence[Row], key: str) -> list[tuple[float, float]]:
    before = {_cell(row): row[key] for row in whole}
    pairs = [(before.get(_cell(row)), row[key]) for row in part]
    return [(a, b) for a, b in pairs if a is not None and b is not None]


def _change(whole: Sequence[Row], part: Sequence[Row], key: str) -> str:
    found: Interval | None = interval([b / a - 1.0 for a, b in _paired(whole, part, key) if a])
    return "" if found is None else percent(found)


def _difference(whole: Sequence[Row], part: Sequence[Row], key: str) -> str:
    found = interval([b - a for a, b in _paired(whole, part, key)])
    return "" if found is None else percent(found)
