"""A trace in tables: per loop where the time went, what was guessed, what it cost, and why there.

The tables are data; the report prints them, a notebook and the saved page show them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from statistics import median
from typing import TYPE_CHECKING, TypeAlias

from efaas.model.job import CPU
from efaas.observe.waterfall import Iteration, iterations, median_ttns, total

if TYPE_CHECKING:
    from efaas.model.trace import TracedAttempt
    from efaas.observe.trace import Trace

__all__ = ["Cell", "Column", "Table", "tables"]

Cell: TypeAlias = "float | int | str | None"

_MOST_LINES = 30
"""Of a table in text: a terminal shows no more at once."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Attributes:
        name: Its head.
        form: How numbers are written, as for ``format``; "" for text.
        explained: What it says, in a sentence.
    """

    name: str
    form: str = ""
    explained: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of numbers and texts.

    Attributes:
        name: A word, for links.
        title: What it shows.
        columns: Its columns.
        rows: A cell for each column; None where there is nothing to say.
        note: What has to be known to read it, or "".
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""

    def texts(self) -> list[list[str]]:
        """The cells as texts, the heads first."""
        body = [
            [_text(cell, c.form) for cell, c in zip(row, self.columns, strict=True)]
            for row in self.rows
        ]
        return [[column.name for column in self.columns], *body]

    def __str__(self) -> str:
        rows = self.texts()
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join(
                text.rjust(width) if column.form else text.ljust(width)
                for text, width, column in zip(row, widths, self.columns, strict=True)
            ).rstrip()
            for row in rows[: _MOST_LINES + 1]
        ]
        if len(self.rows) > _MOST_LINES:
            lines.append(f"and {len(self.rows) - _MOST_LINES:,} more, which a saved page has")
        note = [self.note] if self.note else []
        return "\n".join([f"{self.title}:", *[f"  {line}" for line in [*lines, *note]]])

    def html(self) -> str:
        """The table for a page or a notebook; numbers carry their value for sorting."""
        heads = "".join(
            f"<th scope='col'{' class=number' if c.form else ''} "
            f"title='{escape(c.explained, quote=True)}'>{escape(c.name)}</th>"
            for c in self.columns
        )
        body = "".join(
            "<tr>"
            + "".join(
                _html(cell, text, column)
                for cell, text, column in zip(row, texts, self.columns, strict=True)
            )
            + "</tr>"
            for row, texts in zip(self.rows, self.texts()[1:], strict=True)
        )
        note = f"<p class='note'>{escape(self.note)}</p>" if self.note else ""
        return (
            f"<table class='efaas'><caption>{escape(self.title)}</caption>"
            f"<thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>{note}"
        )


_BUSIER = (
    "QDC of more than 100%: jobs ran side by side, or the device goes by a clock of its own, as "
    "that of a service on this computer."
)


def tables(trace: Trace) -> list[Table]:
    """The tables of a trace that have rows."""
    found = iterations(trace)
    made = [
        _waterfall(trace, found),
        _speculation(trace),
        _cost(trace),
        _recalled(trace),
        _devices(trace),
        _loops(trace),
        _events(trace),
    ]
    return [table for table in made if table.rows]


def _waterfall(trace: Trace, found: Sequence[Iteration]) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for loop_id in trace.loop_ids:
        mine = [it for it in found if it.loop_id == loop_id]
        if mine:
            phases = total(mine)
            rows.append(
                (
                    trace.loop_names[loop_id],
                    len(mine),
                    median_ttns(mine),
                    median([it.cycle_seconds for it in mine]),
                    phases.classical,
                    phases.awaiting,
                    phases.guessing,
                    phases.calibration,
                    phases.queue,
                    phases.compile,
                    phases.qpu,
                    phases.transfer,
                    phases.masked,
                )
            )
    seconds = ".3g"
    return Table(
        "waterfall",
        "Where the time went, in seconds",
        (
            Column("loop"),
            Column("rounds", ",", "Waits for quantum results."),
            Column("TTNS", seconds, "Median time from parameters ready to their first shot."),
            Column("cycle", seconds, "Median time of a whole turn of the loop."),
            Column("classical", seconds, "The optimizer between waits."),
            Column("awaiting", seconds, "Waiting for guesses under way."),
            Column("guessing", seconds, "Finding out what may be asked for next."),
            Column("calibration", seconds, "Following changed calibrations."),
            Column("queue", seconds, "From submission to the first shot."),
            Column("compile", seconds, "Compiling in an attempt."),
            Column("QPU", seconds, "Shots, guesses in the rounds included."),
            Column("transfer", seconds, "Network, unpacking, handing over."),
            Column("masked", seconds, "What waiting for guessed evaluations would have taken."),
        ),
        tuple(rows),
        "Masked is an estimate, and no part of the sum: each guess that was used saved a round "
        "like the one before it, without that round's guesses.",
    )


def _speculation(trace: Trace) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for loop_id in trace.loop_ids:
        guesses = [a for a in trace.attempts if a.loop_id == loop_id and a.is_guess]
        if guesses:
            hits = _evaluations(guesses, lambda a: a.fate == "hit")
            misses = _evaluations(guesses, lambda a: a.fate == "miss")
            missed = [a for a in guesses if a.fate == "miss"]
            rows.append(
                (
                    trace.loop_names[loop_id],
                    hits,
                    misses,
                    _evaluations(guesses, lambda a: a.fate == "pending"),
                    hits / (hits + misses) if hits + misses else None,
                    sum(a.evaluations * (a.shots or 0) for a in missed),
                    sum(a.qpu_seconds for a in missed),
                )
            )
    return Table(
        "speculation",
        "Guesses, in evaluations",
        (
            Column("loop"),
            Column("hits", ",", "Guessed and used."),
            Column("misses", ",", "Guessed, run and not used."),
            Column("pending", ",", "Not known yet."),
            Column("hit rate", ".0%", "Hits over hits and misses."),
            Column("wasted shots", ",", "Shots of each measurement setting spent on misses."),
            Column("wasted QPU s", ".3g", "QPU seconds spent on misses."),
        ),
        tuple(rows),
    )


def _cost(trace: Trace) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for loop_id in trace.loop_ids:
        mine = [a for a in trace.attempts if a.loop_id == loop_id]
        values = [s for s in trace.steps if s.loop_id == loop_id and s.value is not None]
        best = min(values, key=lambda s: s.value or 0.0, default=None)
        rows.append(
            (
                trace.loop_names[loop_id],
                _evaluations(mine, lambda a: a.state == "done"),
                sum(a.evaluations * (a.shots or 0) for a in mine),
                sum(a.qpu_seconds for a in mine),
                len({(a.place, a.dispatched_at, a.finished_at) for a in mine}),
                _evaluations(mine, lambda a: a.state == "failed"),
                None if best is None else best.value,
                None if best is None else best.std,
            )
        )
    return Table(
        "cost",
        "What it took",
        (
            Column("loop"),
            Column("evaluations", ",", "Points evaluated, guesses included."),
            Column("shots", ",", "Shots of each measurement setting."),
            Column("QPU s", ".3g", "QPU seconds."),
            Column("attempts", ",", "Rounds of a backend."),
            Column("failed", ",", "Points whose attempt failed."),
            Column("best value", ".6g", "Lowest value that an optimizer was given."),
            Column("± std", ".2g", "Its standard error."),
        ),
        tuple(rows),
    )


def _recalled(trace: Trace) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for loop_id, name in trace.loop_names.items():
        mine = [recall for recall in trace.recalled if recall.loop_id == loop_id]
        if mine:
            rows.append(
                (
                    name,
                    sum(recall.evaluations for recall in mine),
                    sum(recall.evaluations * (recall.shots or 0) for recall in mine),
                    ", ".join(dict.fromkeys(recall.backend for recall in mine)),
                )
            )
    return Table(
        "recalled",
        "Taken from the journal",
        (
            Column("loop"),
            Column("evaluations", ",", "Points that an earlier run had measured."),
            Column("shots spared", ",", "Shots of each measurement setting that they had taken."),
            Column("backend", explained="Where the loop was."),
        ),
        tuple(rows),
    )


def _devices(trace: Trace) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for place in trace.places:
        mine = [a for a in trace.attempts if a.place == place]
        busy = sum(a.cpu_seconds if place == CPU else a.qpu_seconds for a in mine)
        span = max(a.finished_at for a in mine) - min(a.submitted_at for a in mine)
        rows.append(
            (
                "classical steps" if place == CPU else place,
                len(mine),
                sum(a.evaluations for a in mine),
                busy,
                busy / span if span > 0 else None,
                len({a.calibration_id for a in mine if a.calibration_id}),
                median([a.dispatched_at - a.queued_at for a in mine]),
            )
        )
    return Table(
        "devices",
        "Devices",
        (
            Column("where"),
            Column("jobs", ",", "Attempts, one for each job."),
            Column("evaluations", ",", "Points evaluated."),
            Column("busy s", ".3g", "Seconds that it computed for this session."),
            Column("QDC", ".1%", "Busy time over the time from first submission to last result."),
            Column("calibrations", ",", "Calibrations that it ran under."),
            Column("queued s", ".3g", "Median time in the queue."),
        ),
        tuple(rows),
        _BUSIER if any(isinstance(qdc, float) and qdc > 1.0 for *_, qdc, _, _ in rows) else "",
    )


def _loops(trace: Trace) -> Table:
    return Table(
        "loops",
        "Where the loops are, and why",
        (
            Column("loop"),
            Column("backend"),
            Column("qubits", ",", "Active physical qubits."),
            Column("2q gates", ",", "Two-qubit gates of the compiled circuit."),
            Column("ESP", ".3f", "Estimated success probability of the circuit there."),
            Column("calibration"),
            Column("reason"),
        ),
        tuple(
            [
                (
                    trace.loop_names.get(loop.id, loop.id),
                    loop.backend,
                    loop.num_qubits,
                    loop.two_qubit_gates,
                    loop.esp,
                    loop.calibration_taken_at or loop.calibration_id[:8],
                    loop.reason,
                )
                for loop in trace.loops
            ]
        ),
    )


def _events(trace: Trace) -> Table:
    return Table(
        "events",
        "Calibrations and failures",
        (
            Column("at s", ".3f", "Seconds since the session was opened."),
            Column("loop"),
            Column("what"),
            Column("backend"),
            Column("shift of ln ESP", "+.3g", "Since the loop was placed, recompiled or moved."),
            Column("reason"),
        ),
        tuple(
            [
                (
                    event.at - trace.opened_at,
                    trace.loop_names.get(event.loop_id, event.loop_id),
                    event.kind,
                    event.to_backend,
                    event.ln_esp_shift,
                    event.reason,
                )
                for event in trace.events
            ]
        ),
    )


def _evaluations(attempts: Sequence[TracedAttempt], counts: Callable[[TracedAttempt], bool]) -> int:
    return sum(a.evaluations for a in attempts if counts(a))


def _text(cell: Cell, form: str) -> str:
    if cell is None:
        return ""
    if isinstance(cell, str):
        return cell
    text = format(cell, form)
    return f"{cell:,.0f}" if "e+" in text and abs(cell) < 1e15 else text  # 1,220, not 1.22e+03


def _html(cell: Cell, text: str, column: Column) -> str:
    if not column.form:
        return f"<td>{escape(text)}</td>"
    value = "" if cell is None else f" data-value='{cell}'"
    return f"<td class='number'{value}>{escape(text)}</td>"
