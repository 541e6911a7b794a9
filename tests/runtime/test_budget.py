"""What may be spent: a treasury never lets a budget be passed."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

import efaas
from efaas.errors import BudgetError, InputError
from efaas.policies.budget import Budget, Grant, Treasury

amounts = st.floats(0, 500, allow_nan=False)


class SpendingWithinABudget(RuleBasedStateMachine):
    """Theorem: if the provider ends each job at its cap, no sum ever passes the budget."""

    def __init__(self) -> None:
        super().__init__()
        self.budget = Budget(qpu_seconds=300.0, jobs=12, money=200.0, price_per_second=1.6)
        self.treasury = Treasury(self.budget, bills_sessions=False)
        self.open: list[Grant] = []
        self.real = 0.0

    @rule(expected=amounts)
    def ask(self, expected: float) -> None:
        refusal = None
        try:
            self.open.append(self.treasury.grant(expected))
        except BudgetError as error:
            refusal = error
        if refusal is not None:
            # Caps are whole seconds, so up to one more may be missing.
            assert refusal.spent + refusal.needed > refusal.allowed - 1.6

    @rule(share=st.floats(0, 1), is_told=st.booleans())
    def end(self, share: float, is_told: bool) -> None:
        if not self.open:
            return
        grant = self.open.pop(0)
        assert grant.cap_seconds is not None
        took = share * grant.cap_seconds
        if not is_told:
            self.treasury.settle(grant, None)
        self.treasury.settle(grant, took)
        self.real += took

    @rule()
    def never_sent(self) -> None:
        if self.open:
            self.treasury.withdraw(self.open.pop())

    @invariant()
    def nothing_passes_the_budget(self) -> None:
        assert self.budget.qpu_seconds is not None
        assert self.budget.money is not None
        worst = self.real + sum(grant.cap_seconds or 0 for grant in self.open)
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
    treasury.grant(10.0)
    treasury.note_session_seconds(45.0)
    assert treasury.spending().money == 90.0
    with pytest.raises(BudgetError) as refused:
        treasury.grant(10.0)
    assert refused.value.limit == "money"
    treasury.grant(4.0)
    treasury.note_session_seconds(49.5)
    with pytest.raises(BudgetError):
        treasury.seconds_for_a_session()


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
