"""The books of one backend: a treasury for several threads, and usage that is told late."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from efaas.policies.budget import Treasury

if TYPE_CHECKING:
    from efaas.policies.budget import Budget, Grant, Spending

__all__ = ["Accounts"]

_LEAST_SECONDS_BETWEEN = 5.0
_MOST_LATE = 1000


class Accounts:
    """What may be spent, and what was. Safe to use from several threads."""

    def __init__(
        self,
        budget: Budget,
        *,
        bills_sessions: bool,
        measured: Callable[[Any], float | None],
        learned: Callable[[float, float], None],
        now: Callable[[], float],
    ) -> None:
        """Open the books.

        Args:
            budget: The bounds.
            bills_sessions: Whether money goes by session seconds.
            measured: Asks the provider what a job took; None if it does not know yet.
            learned: Told of what a job was expected to take, and took.
            now: The present instant.
        """
        self._treasury = Treasury(budget, bills_sessions=bills_sessions)
        self._measured = measured
        self._learned = learned
        self._now = now
        self._lock = threading.Lock()
        self._late: list[tuple[Grant, Any]] = []
        self._asked_at = now()

    def bill_sessions(self, is_so: bool) -> None:
        """Set what money goes by."""
        with self._lock:
            self._treasury.bill_sessions(is_so)

    def grant(self, expected_seconds: float) -> Grant:
        """Leave to send a job.

        Raises:
            BudgetError: It might pass the budget.
        """
        with self._lock:
            return self._treasury.grant(expected_seconds)

    def withdraw(self, grant: Grant) -> None:
        """The job was never sent."""
        with self._lock:
            self._treasury.withdraw(grant)

    def settle(self, grant: Grant, seconds: float | None, *, job: Any = None) -> None:
        """A job has ended.

        Args:
            grant: Its grant.
            seconds: What it took; None if the provider has not said so.
            job: The vendor's job object, to ask later.
        """
        with self._lock:
            self._treasury.settle(grant, seconds)
            if seconds is None and job is not None and len(self._late) < _MOST_LATE:
                self._late.append((grant, job))
        if seconds:
            self._learned(grant.expected_seconds, seconds)

    def settle_late(self, *, at_once: bool = False) -> bool:
        """Ask for one usage that the provider had not told; whether it was asked."""
        with self._lock:
            is_due = at_once or self._now() >= self._asked_at + _LEAST_SECONDS_BETWEEN
            if not self._late or not is_due:
                return False
            self._asked_at = self._now()
            grant, job = self._late.pop(0)
        seconds = self._measured(job)
        self.settle(grant, seconds, job=job)
        return True

    def note_sessions(self, seconds: float) -> None:
        """So long have provider sessions lasted by now."""
        with self._lock:
            self._treasury.note_session_seconds(seconds)

    def seconds_for_a_session(self, so_far: float) -> float | None:
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
