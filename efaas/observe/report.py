"""The report of a session: where the time went."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Protocol

from efaas.errors import InputError
from efaas.observe.saving import target
from efaas.observe.spent import spent_table
from efaas.observe.summary import tables

if TYPE_CHECKING:
    import os

    from efaas.observe.summary import Table
    from efaas.observe.trace import Recording, Trace
    from efaas.policies.budget import Spending

__all__ = ["Alternatives", "BackendTotals", "CheckTotals", "SessionReport"]

_ELSEWHERE = "What its loops would have waited for and cost in other modes, simulated"
_MOST_PLAYED = 500
"""Evaluations up to which other modes are played whenever a report is printed."""


class Alternatives(Protocol):
    """What a session's loops would have waited for, and cost, under other policies."""

    def __str__(self) -> str:
        """A table in text."""
        ...

    def _repr_html_(self) -> str:
        """The same for a page or a notebook."""
        ...


@dataclass(frozen=True, slots=True)
class BackendTotals:
    """Sums over the jobs that one place ran for one session.

    Attributes:
        jobs: Jobs that ended there.
        evaluations: Points evaluated successfully.
        failed: Jobs whose every attempt failed.
        cancelled: Jobs cancelled after they were dispatched.
        speculative: Jobs that were still speculative when they ended.
        queue_seconds: Time that the jobs waited before dispatch.
        run_seconds: Time between dispatch and end; jobs of one round each count its length.
        busy_seconds: Time that the place computed.
    """

    jobs: int = 0
    evaluations: int = 0
    failed: int = 0
    cancelled: int = 0
    speculative: int = 0
    queue_seconds: float = 0.0
    run_seconds: float = 0.0
    busy_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class CheckTotals:
    """Evaluations that nobody asked for; the sums of their backends hold them too.

    Attributes:
        evaluations: By the sentinel, and of a loop's best point after it moved.
        shots: Of each measurement setting; 0 for exact evaluations.
        busy_seconds: QPU seconds of them.
        tests: How often the sentinel compared a value with those before.
        alarms: How often it found the device changed.
    """

    evaluations: int = 0
    shots: int = 0
    busy_seconds: float = 0.0
    tests: int = 0
    alarms: int = 0

    def __add__(self, other: CheckTotals) -> CheckTotals:
        """Sum over several loops."""
        return CheckTotals(
            self.evaluations + other.evaluations,
            self.shots + other.shots,
            self.busy_seconds + other.busy_seconds,
            self.tests + other.tests,
            self.alarms + other.alarms,
        )


@dataclass(frozen=True, slots=True)
class SessionReport:
    """What a session did so far; print it for tables, or ``save`` it as a page.

    Attributes:
        seconds: How long the session has been open.
        backends: Sums per backend.
        classical: Sums over the classical steps.
        hits: Guesses of ``speculate`` that came true.
        misses: Values of ``speculate`` for which no guess came true.
        checks: What looking after the devices took.
        recalled: Points whose values were taken from the session's journal.
        spending: What was spent at providers, by backend: expected before, measured after; by all
            sessions on them.
        recording: What it did, one by one.
        play: Plays a trace again under other policies; see ``what_if``.
    """

    seconds: float
    backends: Mapping[str, BackendTotals] = field(default_factory=dict)
    classical: BackendTotals = BackendTotals()
    hits: int = 0
    misses: int = 0
    checks: CheckTotals = CheckTotals()
    recalled: int = 0
    spending: Mapping[str, Spending] = field(default_factory=dict)
    recording: Recording | None = field(default=None, repr=False, compare=False)
    play: Callable[[Trace], Alternatives] | None = field(default=None, repr=False, compare=False)

    @property
    def trace(self) -> Trace | None:
        """What it did, one by one; None where that was not recorded."""
        return None if self.recording is None else self.recording.trace

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the report as one page that needs no network, with its drawings and tables.

        Args:
            path: A file whose name ends in ``.html``.

        Raises:
            InputError: Another ending, a folder that is not there, or nothing was recorded.
        """
        from efaas.observe.page import page

        file = target(path, "a report", ".html")
        if self.trace is None:
            raise InputError("this report holds sums only: there is nothing to draw")
        more = [("spent", table.title, table.html()) for table in self._spent()]
        played = self.what_if()
        if played is not None:
            more.append(("elsewhere", _ELSEWHERE, played._repr_html_()))
        file.write_text(page(self.trace, self.totals(), more), encoding="utf-8")

    def what_if(self) -> Alternatives | None:
        """What its loops would have waited for, and cost, in other modes; print it for a table.

        As ``EFSession.what_if()``, with its defaults. None where no loop has evaluated anything.
        """
        trace = self.trace
        if self.play is None or trace is None or not trace.attempts:
            return None
        try:
            return self.play(trace)
        except InputError:  # there is no loop in it that can be played
            return None

    def __str__(self) -> str:
        played = self._quickly_played()
        parts = [self.totals(), *map(str, self._tables())]
        return "\n\n".join(parts if played is None else [*parts, f"{_ELSEWHERE}:\n{played}"])

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        """The same for notebooks."""
        played = self._quickly_played()
        shown = [table.html() for table in self._tables()]
        shown += [] if played is None else [f"<p>{_ELSEWHERE}</p>", played._repr_html_()]
        return f"<pre>{escape(self.totals())}</pre>" + "".join(shown)

    def _tables(self) -> list[Table]:
        return [*([] if self.trace is None else tables(self.trace)), *self._spent()]

    def _spent(self) -> list[Table]:
        table = spent_table(self.spending)
        return [table] if table.rows else []

    def _quickly_played(self) -> Alternatives | None:
        """What other modes would have cost, unless playing it would take longer than a moment."""
        trace = self.trace
        if trace is None or sum(a.evaluations for a in trace.attempts) > _MOST_PLAYED:
            return None
        return self.what_if()

    def totals(self) -> str:
        """The sums, as a table in text."""
        rows = [("where", "jobs", "evaluations", "failed", "queued s", "busy s", "busy %")]
        places = [*self.backends.items(), ("classical steps", self.classical)]
        for name, totals in places:
            share = 100 * totals.busy_seconds / self.seconds if self.seconds else 0.0
            rows.append(
                (
                    name,
                    f"{totals.jobs:,}",
                    f"{totals.evaluations:,}",
                    f"{totals.failed:,}",
                    f"{totals.queue_seconds:.3f}",
                    f"{totals.busy_seconds:.3f}",
                    f"{share:.1f}",
                )
            )
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])])
            for row in rows
        ]
        lines.insert(0, f"session open for {self.seconds:.2f} s")
        if self.hits or self.misses:
            lines.append(f"guesses: {self.hits} came true, {self.misses} did not")
        if self.checks.evaluations:
            checks = self.checks
            lines.append(
                f"checks: {checks.evaluations} evaluations, {checks.shots:,} shots, "
                f"{checks.busy_seconds:.3f} QPU s; {checks.tests} tests, {checks.alarms} alarms"
            )
        if self.recalled:
            lines.append(f"taken from the journal: {self.recalled:,} evaluations")
        lines += [f"{name} was sent {spent}" for name, spent in self.spending.items()]
        return "\n".join(lines)
