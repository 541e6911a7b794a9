"""What goes on now, as tables that are read anew each time that they are shown."""

from __future__ import annotations

import importlib
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from efaas.model.job import CPU
from efaas.observe.summary import Cell, Column, Table

__all__ = ["LoopNow", "UnfinishedJob", "View", "present_tables"]


class UnfinishedJob(NamedTuple):
    """A job that waits or runs now.

    Attributes:
        place: Where it runs, or will.
        tenant: Who is charged.
        loop_id: Its loop, or None.
        is_running: Whether an attempt of it runs.
        is_guess: Whether it hangs on a guess.
        queued_at: When it came into the queue; None if it is about to.
    """

    place: str
    tenant: str
    loop_id: str | None
    is_running: bool
    is_guess: bool
    queued_at: float | None


class LoopNow(NamedTuple):
    """A loop of the session that looks.

    Attributes:
        id: The loop.
        name: Its short name.
        backend: Where it is pinned.
        rounds: Rounds that its optimizers sent out.
        evaluations: What they were given.
        best: The lowest value of the present run, or None.
        qpu_seconds: What it has used.
    """

    id: str
    name: str
    backend: str
    rounds: int
    evaluations: int
    best: float | None
    qpu_seconds: float


def present_tables(
    *,
    now: float,
    places: Sequence[str],
    loops: Sequence[LoopNow],
    jobs: Sequence[UnfinishedJob],
    served: dict[str, float],
    weights: dict[str, float],
) -> list[Table]:
    """Loops, devices and shares as they are.

    Args:
        now: The instant.
        places: All backends.
        loops: Those of the session that looks.
        jobs: The unfinished ones of every session.
        served: QPU seconds by tenant.
        weights: Weight of each tenant.
    """
    by_loop = Counter(job.loop_id for job in jobs)
    loop_rows: list[tuple[Cell, ...]] = [
        (
            loop.name,
            loop.backend,
            loop.rounds,
            loop.evaluations,
            loop.best,
            by_loop[loop.id],
            loop.qpu_seconds,
        )
        for loop in loops
    ]
    device_rows: list[tuple[Cell, ...]] = []
    for place in places:
        here = [job for job in jobs if job.place == place]
        waiting = [job for job in here if not job.is_running]
        since = [job.queued_at for job in waiting if job.queued_at is not None]
        device_rows.append(
            (
                "classical steps" if place == CPU else place,
                len(here) - len(waiting),
                sum(not job.is_guess for job in waiting),
                sum(job.is_guess for job in waiting),
                max(0.0, now - min(since)) if since else None,
            )
        )
    every = sum(served.values())
    weighed = sum(weights.values())
    share_rows: list[tuple[Cell, ...]] = [
        (
            tenant,
            seconds,
            seconds / every if every else None,
            weights[tenant] / weighed if tenant in weights else None,
        )
        for tenant, seconds in sorted(served.items())
    ]
    return [
        Table(
            "loops",
            "Loops of this session",
            (
                Column("loop"),
                Column("backend"),
                Column("rounds", ",", "Rounds sent out by optimizers."),
                Column("evaluations", ",", "What optimizers were given."),
                Column("best", ".6g", "Lowest value of the present run."),
                Column("unfinished", ",", "Jobs that wait or run."),
                Column("QPU s", ".3g", "QPU seconds used."),
            ),
            tuple(loop_rows),
        ),
        Table(
            "devices",
            "Devices and queues, of all sessions",
            (
                Column("where"),
                Column("running", ",", "Jobs in the present attempts."),
                Column("waiting", ",", "Jobs that were asked for."),
                Column("guesses waiting", ",", "Jobs that hang on guesses."),
                Column("longest wait s", ".3g", "Of those that wait now."),
            ),
            tuple(device_rows),
        ),
        Table(
            "shares",
            "Shares of tenants",
            (
                Column("tenant"),
                Column("QPU s", ".3g", "Received by sessions that are not forgotten."),
                Column("share", ".0%", "Of all that."),
                Column("entitled to", ".0%", "By weight, while all open sessions have work."),
            ),
            tuple(share_rows),
        ),
    ]


class View:
    """Tables of what goes on; ``print`` it, or look at it in a notebook, to see the present state.

    In a notebook, as a cell's last line or given to ``display``, it refreshes itself until its
    session is closed, or ``stop`` is called.
    """

    def __init__(
        self,
        read: Callable[[], list[Table]],
        is_over: Callable[[], bool],
        every_seconds: float,
    ) -> None:
        """Show nothing yet.

        Args:
            read: Gives the tables as they are now.
            is_over: Whether there will be no more to see.
            every_seconds: How often a notebook shows them anew.
        """
        self._read = read
        self._is_over = is_over
        self._every_seconds = every_seconds
        self._stopped = threading.Event()

    def tables(self) -> list[Table]:
        """What goes on now; tables without rows are left out."""
        return [table for table in self._read() if table.rows]

    def stop(self) -> None:
        """Refresh no more."""
        self._stopped.set()

    def refresh(self, handle: Any) -> threading.Thread:
        """Begin to show the present state anew, on a thread of its own.

        Args:
            handle: Its ``update`` shows what a notebook takes; as IPython's display handles.
        """
        thread = threading.Thread(
            target=self._refresh, args=(handle,), name="efaas-watch", daemon=True
        )
        thread.start()
        return thread

    def __str__(self) -> str:
        return "\n\n".join(map(str, self.tables())) or "nothing yet"

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return "".join(table.html() for table in self.tables()) or "<p>nothing yet</p>"

    def _ipython_display_(self) -> None:
        """Show it in the notebook that this runs in, and keep it fresh."""
        display: Any = importlib.import_module("IPython.display")
        self.refresh(display.display(self._present(), raw=True, display_id=True))

    def _present(self) -> dict[str, str]:
        return {"text/plain": str(self), "text/html": self._repr_html_()}

    def _refresh(self, handle: Any) -> None:
        is_last = False
        while not is_last:
            is_last = self._stopped.wait(self._every_seconds) or self._is_over()
            handle.update(self._present(), raw=True)
