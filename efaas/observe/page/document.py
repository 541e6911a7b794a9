"""The page of a session: facts, drawings and tables put together."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from efaas.model.job import CPU
from efaas.observe.page.drawings import convergence_svg, timeline_svg, waterfall_svg
from efaas.observe.page.shell import scrolling, section, shell
from efaas.observe.summary import Column, Table, tables
from efaas.observe.waterfall import iterations, median_ttns

if TYPE_CHECKING:
    from efaas.observe.trace import Trace
    from efaas.observe.waterfall import Iteration

__all__ = ["page"]

_MOST_ROWS = 2000
"""Attempts in the table, the latest: more would make the page slow."""


def page(trace: Trace, totals: str = "", more: Sequence[tuple[str, str, str]] = ()) -> str:
    """A trace as an HTML document that loads nothing.

    Args:
        trace: What to show.
        totals: The report in text, to be shown as it is.
        more: Further tables: a word, a title, and the table in HTML.
    """
    found = iterations(trace)
    attempts = _attempts(trace)
    sections = [
        ("timeline", "Who ran where and when", _timeline(trace)),
        ("convergence", "Convergence", convergence_svg(trace)),
        ("waterfall", "Where the time of each iteration went", waterfall_svg(trace, found)),
        (
            "tables",
            "In numbers",
            "".join(scrolling(table.title, table.html()) for table in tables(trace)),
        ),
        *[(name, title, scrolling(title, html)) for name, title, html in more],
        ("attempts", "Attempts", scrolling(attempts.title, attempts.html())),
        ("totals", "Totals", f"<pre>{escape(totals)}</pre>" if totals else ""),
    ]
    body = [section(name, title, inside) for name, title, inside in sections if inside]
    return shell(
        "efaas report", "What a session did", _session(trace), [_facts(trace, found), *body]
    )


def _session(trace: Trace) -> str:
    places = ", ".join(place for place in trace.places if place != CPU) or "no backend"
    words = f"Tenant {trace.tenant} on {places}, seed {trace.seed}"
    words += f", until {trace.taken_on}" if trace.taken_on else ""
    if trace.dropped:
        words += f"; {trace.dropped:,} earlier jobs are not remembered"
    return words


def _facts(trace: Trace, found: Sequence[Iteration]) -> str:
    on_backends = [a for a in trace.attempts if a.place != CPU]
    hits = sum(a.evaluations for a in on_backends if a.fate == "hit")
    misses = sum(a.evaluations for a in on_backends if a.fate == "miss")
    ttns = median_ttns(found)
    facts = [
        ("open for", _duration(trace.seconds)),
        ("evaluations", f"{sum(a.evaluations for a in on_backends):,}"),
        ("rounds", f"{len(found):,}"),
        ("median TTNS", "none" if ttns is None else _duration(ttns)),
        ("guesses used", f"{hits:,} of {hits + misses:,}"),
        ("QPU time", _duration(sum(a.qpu_seconds for a in on_backends))),
        ("loops", f"{len(trace.loop_ids):,}"),
        ("calibration events", f"{len(trace.events):,}"),
    ]
    items = "".join(f"<li><span>{name}</span><b>{text}</b></li>" for name, text in facts)
    return f"<ul class='facts'>{items}</ul>"


def _duration(seconds: float) -> str:
    for unit, size in (("h", 3600.0), ("min", 60.0), ("s", 1.0)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{1e3 * seconds:.3g} ms"


def _timeline(trace: Trace) -> str:
    if not trace.attempts:
        return "<p>Nothing ran.</p>"
    return timeline_svg(trace)


def _attempts(trace: Trace) -> Table:
    shown = trace.attempts[-_MOST_ROWS:]
    left = len(trace.attempts) - len(shown)
    return Table(
        "attempts",
        f"The latest {len(shown):,} attempts" if left else "All attempts",
        (
            Column("at s", ".4f", "When it was handed over, since the session was opened."),
            Column("job", "d"),
            Column("loop"),
            Column("where"),
            Column("fate"),
            Column("state"),
            Column("evaluations", ",", "Points evaluated."),
            Column("queued ms", ".3g", "From submission to the hand-over."),
            Column("took ms", ".3g", "From the hand-over to the end."),
            Column("QPU ms", ".3g", "QPU service."),
            Column("calibration"),
        ),
        tuple(
            [
                (
                    a.dispatched_at - trace.opened_at,
                    a.job_id,
                    trace.loop_names.get(a.loop_id or "", ""),
                    a.place,
                    a.fate,
                    a.state,
                    a.evaluations,
                    1e3 * (a.dispatched_at - a.queued_at),
                    1e3 * a.seconds,
                    1e3 * a.qpu_seconds,
                    (a.calibration_id or "")[:8],
                )
                for a in shown
            ]
        ),
        f"{left:,} earlier ones are in the timeline only." if left else "",
    )
