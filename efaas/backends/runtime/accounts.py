"""The books of one backend: for several threads, for usage told late, and for earlier runs."""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from efaas.errors import BudgetError
from efaas.policies.budget import Treasury

if TYPE_CHECKING:
    from efaas.backends.protocol import SpendingLog
    from efaas.policies.budget import Budget, Grant, SessionSeconds, Spending

__all__ = ["Accounts"]

_LEAST_SECONDS_BETWEEN = 5.0
_MOST_LATE = 1000
_MOST_ASKED_AT_ONCE = 100


class Accounts:
    """What may be spent, and what was. Safe to use from several threads.

    What jobs cost is written down where the sessions that use the backend have a journal, and what
    earlier runs of these journals have spent is spent.
    """

    def __init__(
        self,
        budget: Budget,
        *,
        bills_sessions: bool,
        measured: Callable[[Any], float | None],
        used: Callable[[str, str | None], float | None],
        learned: Callable[[float, float], None],
        now: Callable[[], float],
    ) -> None:
        """Open the books.

        Args:
            budget: The bounds.
            bills_sessions: Whether money goes by session seconds.
            measured: Asks the provider what a job took; None if it does not know yet.
            used: The same of a job of an earlier run, by its tag and its id, where that is known;
                None if it has not ended, too. A ``LookupError`` if it has never arrived.
            learned: Told of what a job was expected to take, and took.
            now: The present instant.
        """
        self._treasury = Treasury(budget, bills_sessions=bills_sessions)
        self._measured = measured
        self._used = used
        self._learned = learned
        self._now = now
        self._lock = threading.Lock()
        self._late: deque[tuple[str, Callable[[], float | None]]] = deque()
        # By the tags of the jobs; None once it is known what one took.
        self._grants: dict[str, Grant | None] = {}
        self._logs: weakref.WeakSet[SpendingLog] = weakref.WeakSet()
        self._asked_at = now()

    def keep_in(self, log: SpendingLog) -> None:
        """Write down there what jobs cost; what it knows of is spent already."""
        jobs = log.spent()
        with self._lock:
            self._logs.add(log)
            for job in jobs:
                if job.tag in self._grants:  # in the journal of another session, or of this run
                    continue
                grant = self._treasury.carry(job)
                self._grants[job.tag] = grant if job.qpu_seconds is None else None
                if job.qpu_seconds is None:
                    self._late.append((job.tag, partial(self._used, job.tag, job.job_id)))

    def bill_sessions(self, is_so: bool) -> None:
        """Set what money goes by."""
        with self._lock:
            self._treasury.bill_sessions(is_so)

    def grant(self, expected_seconds: float) -> Grant:
        """Leave to send a job.

        Before it is refused, the provider is asked for what it has not told yet.

        Raises:
            BudgetError: It might pass the budget.
        """
        try:
            with self._lock:
                return self._treasury.grant(expected_seconds)
        except BudgetError:
            late = min(len(self._late), _MOST_ASKED_AT_ONCE)
            if not sum([self._settle_one() for _ in range(late)]):
                raise
        with self._lock:
            return self._treasury.grant(expected_seconds)

    def sending(self, tag: str, grant: Grant) -> None:
        """A job of that tag is about to go out under a grant."""
        with self._lock:
            self._grants[tag] = grant

    def withdraw(self, tag: str, grant: Grant | None = None) -> None:
        """A job was never sent, or the provider has never got it.

        Args:
            tag: The job's; empty if it has none yet.
            grant: Its grant, where it may have no tag yet.
        """
        with self._lock:
            grant = self._grants.pop(tag, None) or grant
            if grant is not None:
                self._treasury.withdraw(grant)

    def settle(self, tag: str, seconds: float | None, *, job: Any = None) -> None:
        """A job has ended.

        Args:
            tag: The job's.
            seconds: What it took; None if the provider has not said so.
            job: The vendor's job object, to ask later.
        """
        with self._lock:
            grant = self._grants.get(tag)
            if grant is None:
                return
            self._treasury.settle(grant, seconds)
            if seconds is not None:
                self._grants[tag] = None
            elif job is not None and len(self._late) < _MOST_LATE:
                self._late.append((tag, partial(self._measured, job)))
            logs = list(self._logs)
        job_id = None if job is None else str(job.job_id())
        for log in logs:
            log.measured(tag, job_id, seconds)
        if seconds:
            self._learned(grant.expected_seconds, seconds)

    def settle_late(self, *, at_once: bool = False) -> bool:
        """Ask for one usage that the provider had not told; whether it was asked."""
        with self._lock:
            is_due = at_once or self._now() >= self._asked_at + _LEAST_SECONDS_BETWEEN
            if not self._late or not is_due:
                return False
            self._asked_at = self._now()
        self._settle_one()
        return True

    def note_sessions(self, lasted: SessionSeconds) -> None:
        """So long have provider sessions lasted by now."""
        with self._lock:
            self._treasury.note_session_seconds(lasted)

    def seconds_for_a_session(self, so_far: SessionSeconds) -> float | None:
        """How long a new provider session may last, or None for as long as it likes.

        Args:
            so_far: How long all before have lasted.

        Raises:
            BudgetError: The budget has nothing left for one.
        """
        with self._lock:
            self._treasury.note_session_seconds(so_far)
            return self._treasury.seconds_for_a_session()

    def spending(self) -> Spending:
        """What was spent so far."""
        with self._lock:
            return self._treasury.spending()

    def _settle_one(self) -> bool:
        """Ask for the usage that was missed first; whether it is known now."""
        with self._lock:
            if not self._late:
                return False
            tag, ask = self._late.popleft()
            if self._grants.get(tag) is None:
                return False  # it was found out in another way
        try:
            seconds = ask()
        except LookupError:
            self.withdraw(tag)
            return True
        if seconds is None:
            with self._lock:
                self._late.append((tag, ask))
            return False
        self.settle(tag, seconds)
        return True
