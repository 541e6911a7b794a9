"""What may be spent: a treasury never lets a budget be passed."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

import efaas
from efaas.errors import BudgetError, InputError
from efaas.model.record import JobSpend, Reservation
from efaas.policies.budget import Budget, Grant, SessionSeconds, Treasury

amounts = st.floats(0, 500, allow_nan=False)


class SpendingWithinABudget(RuleBasedStateMachine):
    """Theorem: if the provider ends each job at its cap, no sum ever passes the budget.

    However often the process that keeps the accounts is killed, and its journal resumed.
    """

    def __init__(self) -> None:
        super().__init__()
        self.budget = Budget(qpu_seconds=300.0, jobs=12, money=200.0, price_per_second=1.6)
        self.treasury = Treasury(self.budget, bills_sessions=False)
        self.open: list[Grant] = []
        self.caps: dict[str, int] = {}  # of those that are open, by tag
        self.tags: dict[int, str] = {}  # by grant
        self.written: dict[str, JobSpend] = {}  # what a journal has
        self.real = 0.0

    @rule(expected=amounts)
    def ask(self, expected: float) -> None:
        refusal = None
        try:
            grant = self.treasury.grant(expected)
        except BudgetError as error:
            refusal = error
        else:
            tag = self.tags[grant.id] = f"job {len(self.written)}"
            given = Reservation(grant.expected_seconds, grant.reserved_seconds)
            self.written[tag] = JobSpend(tag, tag, given, None, has_ended=False)
            self.caps[tag] = grant.cap_seconds or 0
            self.open.append(grant)
        if refusal is not None:
            # Caps are whole seconds, so up to one more may be missing.
            assert refusal.spent + refusal.needed > refusal.allowed - 1.6

    @rule(share=st.floats(0, 1), is_told=st.booleans())
    def end(self, share: float, is_told: bool) -> None:
        if not self.open:
            return
        grant = self.open.pop(0)
        tag = self.tags[grant.id]
        took = share * self.caps.pop(tag)
        if not is_told:
            self.treasury.settle(grant, None)
        self.treasury.settle(grant, took)
        self.written[tag] = replace(self.written[tag], qpu_seconds=took, has_ended=True)
        self.real += took

    @rule(which=st.integers(0, 20))
    def never_sent(self, which: int) -> None:
        if self.open:
            grant = self.open.pop(which % len(self.open))
            self.treasury.withdraw(grant)
            tag = self.tags[grant.id]
            del self.caps[tag]
            # A gap, as in a journal: what was never sent is not spent.
            self.written[tag] = replace(self.written[tag], job_id=None, has_ended=True)

    @rule()
    def killed_and_resumed(self) -> None:
        self.treasury = Treasury(self.budget, bills_sessions=False)
        self.open, self.tags = [], {}
        for tag, job in self.written.items():
            if job.has_ended and job.job_id is None:
                continue
            grant = self.treasury.carry(job)
            self.tags[grant.id] = tag
            if not job.has_ended:
                self.open.append(grant)

    @invariant()
    def nothing_passes_the_budget(self) -> None:
        assert self.budget.qpu_seconds is not None
        assert self.budget.money is not None
        worst = self.real + sum(self.caps.values())
        spending = self.treasury.spending()
        assert worst <= self.budget.qpu_seconds + 1e-6
        assert 1.6 * worst <= self.budget.money + 1e-6
        assert spending.jobs <= 12
        assert math.isclose(spending.qpu_seconds, self.real, abs_tol=1e-6)
        assert spending.money == pytest.approx(1.6 * self.real, abs=1e-6)


TestSpendingWithinABudget = SpendingWithinABudget.TestCase
TestSpendingWithinABudget.settings = settings(max_examples=60, stateful_step_count=20)


@given(expected=amounts, allowed=amounts)
def test_a_job_is_let_through_only_if_what_is_expected_fits(
    expected: float, allowed: float
) -> None:
    treasury = Treasury(Budget(qpu_seconds=allowed), bills_sessions=False)
    try:
        grant = treasury.grant(expected)
    except BudgetError:
        assert max(1.0, expected) > math.floor(allowed)
    else:
        assert expected <= (grant.cap_seconds or 0) <= allowed


def test_a_job_that_was_never_sent_costs_nothing() -> None:
    treasury = Treasury(Budget(qpu_seconds=20, jobs=1), bills_sessions=False)
    before = treasury.spending()
    treasury.withdraw(treasury.grant(15.0))
    assert treasury.spending() == before
    treasury.grant(15.0)


def test_sessions_are_what_money_goes_for_where_they_are_billed() -> None:
    budget = Budget(money=100.0, price_per_second=2.0, session_seconds=80.0)
    treasury = Treasury(budget, bills_sessions=True)
    assert treasury.seconds_for_a_session() == 50.0
    first = treasury.grant(10.0)
    assert first.cap_seconds == 20
    assert treasury.grant(10.0).cap_seconds == 20
    with pytest.raises(BudgetError, match="set aside"):
        treasury.grant(11.0)
    treasury = Treasury(budget, bills_sessions=True)
    treasury.note_session_seconds(SessionSeconds(45.0, 45.0))
    assert treasury.spending().money == 90.0
    with pytest.raises(BudgetError) as refused:
        treasury.grant(10.0)
    assert refused.value.limit == "money"
    assert treasury.grant(4.0).cap_seconds == 5
    treasury.note_session_seconds(SessionSeconds(49.5, 49.5))
    with pytest.raises(BudgetError):
        treasury.seconds_for_a_session()


def test_what_was_withdrawn_leaves_what_is_set_aside_for_others() -> None:
    treasury = Treasury(Budget(qpu_seconds=60), bills_sessions=False)
    first, _second = treasury.grant(10.0), treasury.grant(10.0)
    treasury.withdraw(first)
    treasury.grant(10.0)
    assert treasury.spending().reserved_seconds == 40.0


class TestEarlierRuns:
    GIVEN = Reservation(expected_seconds=5.0, reserved_seconds=15.0)

    def treasury(self, *jobs: JobSpend, **budget: float) -> Treasury:
        treasury = Treasury(Budget(**budget), bills_sessions=False)  # type: ignore[arg-type]
        for job in jobs:
            treasury.carry(job)
        return treasury

    def test_what_they_have_spent_counts_and_is_told(self) -> None:
        treasury = self.treasury(
            JobSpend("a", "1", self.GIVEN, 7.0, has_ended=True), qpu_seconds=30.0
        )
        treasury.settle(treasury.grant(6.0), 6.0)
        spending = treasury.spending()
        assert (spending.jobs, spending.earlier_jobs) == (2, 1)
        assert (spending.qpu_seconds, spending.earlier_qpu_seconds) == (13.0, 7.0)
        assert "of these 1 jobs, 7.0 QPU s in earlier runs" in str(spending)
        with pytest.raises(BudgetError, match="by earlier runs of the journal too"):
            treasury.grant(18.0)

    def test_a_job_that_may_still_run_has_set_aside_what_it_may_take(self) -> None:
        treasury = self.treasury(
            JobSpend("a", "1", self.GIVEN, None, has_ended=False), qpu_seconds=30.0
        )
        assert treasury.spending().reserved_seconds == 15.0
        with pytest.raises(BudgetError):
            treasury.grant(16.0)

    def test_one_that_was_never_measured_counts_as_expected_until_it_is(self) -> None:
        treasury = Treasury(Budget(), bills_sessions=False)
        grant = treasury.carry(JobSpend("a", "1", self.GIVEN, None, has_ended=True))
        assert (treasury.spending().qpu_seconds, treasury.spending().unmeasured) == (5.0, 1)
        treasury.settle(grant, 4.0)
        assert treasury.spending().earlier_qpu_seconds == 4.0

    def test_money_is_what_each_run_was_billed_for_whichever_mode_it_used(self) -> None:
        in_session = Reservation(5.0, 5.0, is_billed=False)
        treasury = self.treasury(
            JobSpend("a", "1", in_session, 7.0, has_ended=True),
            JobSpend("b", "2", self.GIVEN, 4.0, has_ended=True),
            money=200.0,
            price_per_second=2.0,
        )
        treasury.note_session_seconds(SessionSeconds(total=50.0, billed=30.0, earlier=50.0))
        assert treasury.spending().money == 2.0 * (4.0 + 30.0)


def test_without_a_budget_everything_is_allowed_and_counted() -> None:
    treasury = Treasury(Budget(), bills_sessions=False)
    grant = treasury.grant(1e6)
    assert grant.cap_seconds is None
    treasury.settle(grant, 2e6)
    assert treasury.spending().qpu_seconds == 2e6
    assert treasury.seconds_for_a_session() is None


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"qpu_seconds": -1}, "qpu_seconds"),
        ({"jobs": 1.5}, "whole number"),
        ({"money": 10}, "price_per_second"),
        ({"session_seconds": math.nan}, "session_seconds"),
        ({"jobs": True}, "jobs"),
        ({"qpu_seconds": "10"}, "qpu_seconds"),
    ],
)
def test_a_budget_that_makes_no_sense_is_refused(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        efaas.Budget(**fields)
