"""What may be spent at a provider, and what has been: nothing is sent that would pass it.

Every job is given a grant before it is sent. A grant reserves what the job may take at most, and
that maximum goes with the job, so that the provider ends a job that was expected to be shorter.
Whatever is true of the estimates, the sum cannot pass the budget.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from efaas.errors import BudgetError, InputError
from efaas.model.quantities import is_number
from efaas.model.standing import BudgetUse

if TYPE_CHECKING:
    from efaas.model.record import JobSpend

__all__ = ["NO_BUDGET", "Budget", "Grant", "SessionSeconds", "Spending", "Treasury"]

_HEADROOM = 2.0
_LEAST_HEADROOM_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Budget:
    """Bounds on what is spent at a provider; None for no bound.

    They hold for a run of a journal over all its lives: what was spent before it was resumed
    counts. To go on with a run that has reached its budget, resume it with a larger one.

    Attributes:
        qpu_seconds: QPU time of all jobs together.
        session_seconds: Wall-clock time of provider sessions, from the first job's start: what a
            dedicated session is billed for, thinking included.
        jobs: Jobs at the provider.
        money: In whatever currency ``price_per_second`` is in.
        price_per_second: What a billed second costs; needed with ``money``. Billed are session
            seconds in mode "session", QPU seconds otherwise.

    Example:
        >>> Budget(qpu_seconds=60, jobs=100).is_unlimited
        False
    """

    qpu_seconds: float | None = None
    session_seconds: float | None = None
    jobs: int | None = None
    money: float | None = None
    price_per_second: float | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is None:
                continue
            if not (is_number(value) and 0 <= value < math.inf):
                raise InputError(
                    f"{field.name} of a budget is a finite number of 0 or more; got {value!r}"
                )
        if self.jobs is not None and self.jobs != int(self.jobs):
            raise InputError(f"jobs of a budget is a whole number; got {self.jobs!r}")
        if self.money is not None and not self.price_per_second:
            raise InputError(
                "a budget of money needs to know what a second costs: give price_per_second, "
                "as your contract or the provider's price list has it"
            )

    @property
    def is_unlimited(self) -> bool:
        """Whether nothing is bounded."""
        return self.qpu_seconds is self.session_seconds is self.jobs is self.money is None


NO_BUDGET = Budget()


@dataclass(frozen=True, slots=True)
class Grant:
    """Leave to send one job.

    Attributes:
        id: Of the grant.
        expected_seconds: The QPU time that it is expected to take.
        reserved_seconds: The QPU time that is set aside for it.
        cap_seconds: What the provider must not let it pass, whole seconds; None for no cap.
        is_billed: Whether its QPU time is what money goes for, not that of its session.
        is_earlier: Whether the job was sent by an earlier run of the same journal.
    """

    id: int
    expected_seconds: float
    reserved_seconds: float
    cap_seconds: int | None
    is_billed: bool = True
    is_earlier: bool = False


@dataclass(frozen=True, slots=True)
class SessionSeconds:
    """How long provider sessions have lasted, all together.

    Attributes:
        total: All of them.
        billed: Those that are billed by the wall clock.
        earlier: Those of earlier runs of the same journal.
    """

    total: float = 0.0
    billed: float = 0.0
    earlier: float = 0.0


@dataclass(frozen=True, slots=True)
class Spending:
    """What was spent, by earlier runs of the same journal too.

    Attributes:
        jobs: Jobs that were sent.
        expected_seconds: QPU time that they were expected to take, before they were sent.
        qpu_seconds: QPU time that those which have ended took, as measured by the provider.
        session_seconds: Wall-clock time of provider sessions so far.
        money: What that costs; None where no price is known.
        reserved_seconds: QPU time set aside for jobs that have not ended.
        unmeasured: Jobs that ended without the provider having said what they took; their
            expected time is in ``qpu_seconds``.
        budget: The bounds.
        earlier_jobs: Of ``jobs``, those of earlier runs.
        earlier_qpu_seconds: The same of ``qpu_seconds``.
        earlier_session_seconds: The same of ``session_seconds``.
    """

    jobs: int = 0
    expected_seconds: float = 0.0
    qpu_seconds: float = 0.0
    session_seconds: float = 0.0
    money: float | None = None
    reserved_seconds: float = 0.0
    unmeasured: int = 0
    budget: Budget = NO_BUDGET
    earlier_jobs: int = 0
    earlier_qpu_seconds: float = 0.0
    earlier_session_seconds: float = 0.0

    @property
    def uses(self) -> tuple[BudgetUse, ...]:
        """What is gone of each thing that the budget bounds."""
        found = (
            ("jobs", float(self.jobs), self.budget.jobs),
            ("QPU s", self.qpu_seconds, self.budget.qpu_seconds),
            ("session s", self.session_seconds, self.budget.session_seconds),
            ("money", self.money or 0.0, self.budget.money),
        )
        bounded = [each for each in found if each[2] is not None]
        return tuple([BudgetUse(name, spent, allowed or 0.0) for name, spent, allowed in bounded])

    def __str__(self) -> str:
        parts = [
            f"{self.jobs:,} jobs",
            f"{self.qpu_seconds:,.1f} QPU s measured",
            f"{self.expected_seconds:,.1f} expected",
        ]
        if self.session_seconds:
            parts.append(f"{self.session_seconds:,.1f} session s")
        if self.money is not None:
            parts.append(f"costs {self.money:,.2f}")
        if self.unmeasured:
            parts.append(f"{self.unmeasured} not measured yet")
        if self.earlier_jobs or self.earlier_session_seconds:
            sessions = self.earlier_session_seconds
            lasted = f" and {sessions:,.1f} session s" if sessions else ""
            parts.append(
                f"of these {self.earlier_jobs:,} jobs, {self.earlier_qpu_seconds:,.1f} QPU s"
                f"{lasted} in earlier runs"
            )
        limits = [
            f"{field.name} {getattr(self.budget, field.name):g}"
            for field in fields(self.budget)
            if field.name != "price_per_second" and getattr(self.budget, field.name) is not None
        ]
        return ", ".join(parts) + (f" (budget: {', '.join(limits)})" if limits else "")


class Treasury:
    """Keeps the accounts of one budget. One thread at a time may use it.

    Example:
        >>> treasury = Treasury(Budget(qpu_seconds=30), bills_sessions=False)
        >>> grant = treasury.grant(10.0)
        >>> treasury.settle(grant, 12.0)
        >>> treasury.spending().qpu_seconds
        12.0
    """

    def __init__(self, budget: Budget, *, bills_sessions: bool) -> None:
        """Open the accounts.

        Args:
            budget: The bounds.
            bills_sessions: Whether money goes by session seconds, not by QPU seconds.
        """
        self.budget = budget
        self._bills_sessions = bills_sessions
        self._jobs = self._earlier_jobs = self._granted = 0
        self._expected = 0.0
        self._spent = self._billed = self._earlier = 0.0  # QPU seconds of jobs that have ended
        self._sessions = SessionSeconds()
        self._reserved: dict[int, Grant] = {}
        self._booked: dict[int, float] = {}  # of jobs that are not measured yet

    def bill_sessions(self, is_so: bool) -> None:
        """Set what money goes by, once it is known which mode the account may use."""
        self._bills_sessions = is_so

    def grant(self, expected_seconds: float) -> Grant:
        """Leave to send a job of which so much QPU time is expected.

        Raises:
            BudgetError: It might pass the budget.
        """
        budget = self.budget
        if budget.jobs is not None and self._jobs + 1 > budget.jobs:
            raise self._refusal("jobs", budget.jobs, self._jobs, 1)
        wished = max(_HEADROOM * expected_seconds, expected_seconds + _LEAST_HEADROOM_SECONDS)
        reserved, cap = expected_seconds, None
        least = max(1.0, expected_seconds)
        for limit, allowed, spent, seconds in self._bounds():
            # A provider takes caps in whole seconds.
            most = math.floor(min((allowed - spent) / seconds, wished))
            if most < least:
                raise self._refusal(limit, allowed, spent, least * seconds)
            cap = most if cap is None else min(cap, most)
            reserved = float(cap)
        return self._entered(expected_seconds, reserved, cap, is_billed=not self._bills_sessions)

    def carry(self, job: JobSpend) -> Grant:
        """Enter a job of an earlier run; what it may still take, if it has not ended, is set aside.

        Args:
            job: What is known of it.
        """
        given = job.reservation
        grant = self._entered(
            given.expected_seconds,
            given.reserved_seconds,
            None,
            is_billed=given.is_billed,
            is_earlier=True,
        )
        self._earlier_jobs += 1
        if job.has_ended or job.qpu_seconds is not None:
            self.settle(grant, job.qpu_seconds)
        return grant

    def settle(self, grant: Grant, measured_seconds: float | None) -> None:
        """A job has ended.

        Args:
            grant: Its grant.
            measured_seconds: QPU time that it took; None while the provider has not said.
        """
        self._reserved.pop(grant.id, None)
        self._book(grant, -self._booked.pop(grant.id, 0.0))
        if measured_seconds is None:
            measured_seconds = self._booked[grant.id] = grant.expected_seconds
        self._book(grant, measured_seconds)

    def withdraw(self, grant: Grant) -> None:
        """The job was never sent."""
        booked = self._booked.pop(grant.id, None)
        if booked is not None:
            self._book(grant, -booked)
        elif self._reserved.pop(grant.id, None) is None:
            return
        self._jobs -= 1
        self._earlier_jobs -= grant.is_earlier
        self._expected -= grant.expected_seconds

    def note_session_seconds(self, lasted: SessionSeconds) -> None:
        """So long have provider sessions lasted by now; less than before, once it is measured."""
        self._sessions = lasted

    def seconds_for_a_session(self) -> float | None:
        """How long a new provider session may last, or None for as long as it likes.

        Raises:
            BudgetError: Less than a second is left.
        """
        shortest = None
        for limit, allowed, spent, seconds in self._bounds(with_open=False):
            if limit == "session_seconds" or (limit == "money" and self._bills_sessions):
                left = (allowed - spent) / seconds
                if left < 1:
                    raise self._refusal(limit, allowed, spent, seconds)
                shortest = left if shortest is None else min(shortest, left)
        return shortest

    def spending(self) -> Spending:
        """What was spent so far."""
        price = self.budget.price_per_second
        return Spending(
            jobs=self._jobs,
            expected_seconds=self._expected,
            qpu_seconds=self._spent,
            session_seconds=self._sessions.total,
            money=None if price is None else price * (self._billed + self._sessions.billed),
            reserved_seconds=sum([grant.reserved_seconds for grant in self._reserved.values()]),
            unmeasured=len(self._booked),
            budget=self.budget,
            earlier_jobs=self._earlier_jobs,
            earlier_qpu_seconds=self._earlier,
            earlier_session_seconds=self._sessions.earlier,
        )

    def _entered(
        self,
        expected_seconds: float,
        reserved_seconds: float,
        cap_seconds: int | None,
        *,
        is_billed: bool,
        is_earlier: bool = False,
    ) -> Grant:
        self._jobs += 1
        self._granted += 1
        self._expected += expected_seconds
        grant = Grant(
            self._granted, expected_seconds, reserved_seconds, cap_seconds, is_billed, is_earlier
        )
        self._reserved[grant.id] = grant
        return grant

    def _book(self, grant: Grant, seconds: float) -> None:
        self._spent += seconds
        if grant.is_billed:
            self._billed += seconds
        if grant.is_earlier:
            self._earlier += seconds

    def _bounds(self, *, with_open: bool = True) -> list[tuple[str, float, float, float]]:
        """Each bound on seconds: its name, its value, what is gone, and how much a second is.

        Args:
            with_open: Whether what is set aside for jobs that have not ended is gone.
        """
        budget, price = self.budget, self.budget.price_per_second or 0.0
        grants = self._reserved.values() if with_open else ()
        in_sessions = sum([grant.reserved_seconds for grant in grants if not grant.is_billed])
        outside = sum([grant.reserved_seconds for grant in grants if grant.is_billed])
        gone = {
            "qpu_seconds": self._spent + in_sessions + outside,
            "session_seconds": self._sessions.total + in_sessions,
            "money": price * (self._billed + self._sessions.billed + in_sessions + outside),
        }
        return [
            (name, allowed, spent, price if name == "money" else 1.0)
            for name, spent in gone.items()
            if (allowed := getattr(budget, name)) is not None
        ]

    def _refusal(self, limit: str, allowed: float, spent: float, needed: float) -> BudgetError:
        is_resumed = self._earlier_jobs or self._sessions.earlier
        earlier = ", by earlier runs of the journal too" if is_resumed else ""
        return BudgetError(
            f"the budget is reached: {limit} may be {allowed:g}, {spent:.4g} are spent or set "
            f"aside{earlier}, and the next job needs {needed:.4g}; it was not submitted. Give a "
            "larger budget to go on",
            limit=limit,
            allowed=allowed,
            spent=spent,
            needed=needed,
        )
