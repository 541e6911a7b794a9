"""The life of a session or batch, as a function of the clock."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

__all__ = ["SessionRecord", "SessionState"]

SessionState = Literal["open", "active", "inactive", "closed"]


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """A session or batch at one instant. Instants are seconds of the service's clock.

    It is *open* until its first job starts, then *active*. Without a job for the interactive
    time it becomes *inactive*, and active again when its next job starts. It is *closed* when
    its maximum time has passed, or when it accepts no more jobs and none is left.

    Attributes:
        id: Its id.
        device: The name of its device.
        mode: "dedicated" or "batch".
        created_at: When it was opened.
        interactive_seconds: Time without a job after which it becomes inactive.
        max_seconds: Time after which it is closed, counted from its first start.
        state: See above.
        history: Every state with the instant it began.
        spans: Times during which it was active: (start, end), whose last end may be None.
        jobs_running: How many of its jobs run now.
        last_started_at: When a job of it last started, or None.
        last_finished_at: When a job of it last ended, or None.
        stopped_at: When it began to accept no more jobs, or None.
        closed_at: When it was closed, or None.
    """

    id: str
    device: str
    mode: Literal["dedicated", "batch"]
    created_at: float
    interactive_seconds: float
    max_seconds: float
    state: SessionState = "open"
    history: tuple[tuple[SessionState, float], ...] = ()
    spans: tuple[tuple[float, float | None], ...] = ()
    jobs_running: int = 0
    last_started_at: float | None = None
    last_finished_at: float | None = None
    stopped_at: float | None = None
    closed_at: float | None = None

    @property
    def accepts_jobs(self) -> bool:
        """Whether jobs may be submitted to it."""
        return self.stopped_at is None

    @property
    def first_started_at(self) -> float | None:
        """When its first job started, or None."""
        return self.spans[0][0] if self.spans else None

    @property
    def expires_at(self) -> float:
        """When its maximum time has passed."""
        first = self.first_started_at
        return (self.created_at if first is None else first) + self.max_seconds

    @property
    def idle_until(self) -> float | None:
        """When it becomes inactive if no job comes, or None where that is not ahead."""
        if self.state != "active" or self.jobs_running or self.last_finished_at is None:
            return None
        return self.last_finished_at + self.interactive_seconds

    @property
    def holds_its_device(self) -> bool:
        """Whether its device runs nothing else."""
        return self.state == "active" and self.mode == "dedicated"

    def elapsed_seconds(self, now: float) -> float:
        """Time during which it was active, up to ``now``."""
        return sum((now if end is None else end) - start for start, end in self.spans)

    def settled(self, now: float, jobs_waiting: int) -> SessionRecord:
        """What has become of it by ``now``, with that many of its jobs queued.

        A running job is finished whatever happens to its session. How often, and when, this is
        asked changes nothing.
        """
        if self.state == "closed":
            return self
        session = self
        is_quiet = not jobs_waiting and not self.jobs_running
        ends = []
        if self.stopped_at is not None and is_quiet:
            last = self.last_finished_at
            ends.append(self.stopped_at if last is None else max(self.stopped_at, last))
        if now >= self.expires_at:
            session = session.stopped(self.expires_at)
            if not self.jobs_running:
                ends.append(self.expires_at)
        end, idle_until = min(ends, default=math.inf), self.idle_until
        if idle_until is not None and is_quiet and idle_until <= min(now, end):
            session = session._left_active(idle_until)._in("inactive", idle_until)
        return session._closed(end) if ends else session

    def job_started(self, now: float) -> SessionRecord:
        """With one more job running."""
        session = replace(self, jobs_running=self.jobs_running + 1, last_started_at=now)
        if session.state == "active":
            return session
        return replace(session, spans=(*session.spans, (now, None)))._in("active", now)

    def job_ended(self, now: float) -> SessionRecord:
        """With one job less running."""
        return replace(self, jobs_running=self.jobs_running - 1, last_finished_at=now)

    def stopped(self, at: float) -> SessionRecord:
        """Accepting no more jobs from an instant on, or from before it."""
        return self if self.stopped_at is not None else replace(self, stopped_at=at)

    def states(self) -> Sequence[tuple[str, float]]:
        """Every state with the instant it began."""
        return (("open", self.created_at), *self.history)

    def _closed(self, at: float) -> SessionRecord:
        # A job that outlasted the session's time is still part of its time.
        last = self.last_finished_at
        end = at if last is None else max(at, last)
        session = self._left_active(end) if self.state == "active" else self
        return replace(session.stopped(end), closed_at=end)._in("closed", end)

    def _left_active(self, at: float) -> SessionRecord:
        return replace(self, spans=(*self.spans[:-1], (self.spans[-1][0], at)))

    def _in(self, state: SessionState, at: float) -> SessionRecord:
        return replace(self, state=state, history=(*self.history, (state, at)))
