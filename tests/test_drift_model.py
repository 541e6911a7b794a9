"""How a device's numbers wander, and what is expected of them at an age."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from efaas.errors import InputError
from efaas.model.calibration import Calibration
from efaas.model.drift import DAY_SECONDS, DEAD_GATES, FLUCTUATIONS, Quantity, expected

quantities = st.sampled_from(sorted(FLUCTUATIONS))
rates = st.floats(1e-6, 0.5)
ages = st.floats(0.0, 1e9)
MONDAY = datetime(2023, 1, 2, tzinfo=UTC)


def test_every_quantity_has_its_fluctuation() -> None:
    assert set(FLUCTUATIONS) == set(get_args(Quantity))


@given(quantities, st.floats(1.0, 1e8))
def test_a_step_has_the_variance_that_keeps_the_process_stationary(
    quantity: Quantity, seconds: float
) -> None:
    """memory^2 sigma^2 + Var(innovation) = sigma^2, for every length of the step."""
    fluctuation = FLUCTUATIONS[quantity]
    step = fluctuation.innovation(seconds)
    q, b = step.jump_probability, step.jump
    variance = step.core**2 + 2 * q * b**2 - (q * b) ** 2
    total = fluctuation.memory(seconds) ** 2 * fluctuation.ln_std**2 + variance
    assert total == pytest.approx(fluctuation.ln_std**2, rel=1e-9)
    assert 0 < q < 1 or seconds > 100 * DAY_SECONDS


@pytest.mark.parametrize("quantity", sorted(FLUCTUATIONS))
def test_the_memory_of_a_day_is_the_recorded_autocorrelation(quantity: Quantity) -> None:
    fluctuation = FLUCTUATIONS[quantity]
    assert fluctuation.memory(DAY_SECONDS) == pytest.approx(fluctuation.day_correlation)
    assert fluctuation.memory(fluctuation.correlation_seconds) == pytest.approx(1 / math.e)


@given(st.floats(0.0, 1e7), st.floats(0.0, 1e7))
def test_survival_of_a_gate_multiplies_over_intervals(first: float, second: float) -> None:
    survives = (1 - DEAD_GATES.dies(first)) * (1 - DEAD_GATES.dies(second))
    assert 1 - DEAD_GATES.dies(first + second) == pytest.approx(survives)


@given(rates, rates, ages, quantities)
def test_what_is_expected_lies_between_the_measured_and_the_mean(
    value: float, mean: float, age: float, quantity: Quantity
) -> None:
    expectation = expected(value, mean, age, quantity)
    low, high = min(value, mean), max(value, mean)
    assert low * (1 - 1e-12) <= expectation.value <= high * (1 + 1e-12)
    assert 0 <= expectation.ln_std <= FLUCTUATIONS[quantity].ln_std


@given(rates, rates, st.floats(0.0, 1e6), st.floats(0.0, 1e6), quantities)
def test_expecting_twice_is_expecting_once_over_both_times(
    value: float, mean: float, first: float, second: float, quantity: Quantity
) -> None:
    halfway = expected(value, mean, first, quantity)
    twice = expected(halfway.value, mean, second, quantity)
    once = expected(value, mean, first + second, quantity)
    assert twice.value == pytest.approx(once.value, rel=1e-9)
    memory = FLUCTUATIONS[quantity].memory(second)
    variance = memory**2 * halfway.ln_std**2 + twice.ln_std**2
    assert variance == pytest.approx(once.ln_std**2, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("quantity", sorted(FLUCTUATIONS))
def test_a_fresh_number_is_certain_and_an_old_one_is_the_mean(quantity: Quantity) -> None:
    fresh = expected(1e-3, 1e-2, 0.0, quantity)
    assert (fresh.value, fresh.ln_std) == (pytest.approx(1e-3), 0.0)
    old = expected(1e-3, 1e-2, 1e9, quantity)
    assert old.value == pytest.approx(1e-2)
    assert old.ln_std == pytest.approx(FLUCTUATIONS[quantity].ln_std)


def test_a_lucky_calibration_loses_to_a_better_device_once_it_is_old() -> None:
    def of(value: float, mean: float, days: float) -> float:
        return expected(value, mean, days * DAY_SECONDS, "two_qubit_gate_error").value

    assert of(0.004, mean=0.02, days=0.1) < of(0.01, mean=0.01, days=0.1)
    assert of(0.004, mean=0.02, days=2.0) > of(0.01, mean=0.01, days=2.0)


@pytest.mark.parametrize(
    ("value", "mean", "quantity"),
    [
        (1.0, 0.01, "two_qubit_gate_error"),
        (0.01, 1.0, "two_qubit_gate_error"),
        (0.0, 0.01, "one_qubit_gate_error"),
        (0.02, 0.0, "readout_error"),
    ],
)
def test_dead_gates_and_zeros_stay_as_they_were_measured(
    value: float, mean: float, quantity: Quantity
) -> None:
    assert expected(value, mean, 1e6, quantity).value == value


def test_a_coherence_time_of_a_second_and_more_is_not_a_dead_gate() -> None:
    assert expected(4.0, 2.0, 1e9, "t1").value == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"value": -0.1}, "value must be finite and 0 or more, got -0.1"),
        ({"value": math.nan}, "value must be finite"),
        ({"mean": math.inf}, "mean must be finite"),
        ({"age_seconds": -1.0}, "age_seconds must be finite and 0 or more, got -1.0"),
        ({"quantity": "t3"}, "quantity must be one of t1, t2, .*; got 't3'"),
    ],
)
def test_what_cannot_be_expected_of_is_refused(changed: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {
        "value": 0.01, "mean": 0.01, "age_seconds": 0.0, "quantity": "readout_error"
    }  # fmt: skip
    with pytest.raises(InputError, match=message):
        expected(**(arguments | changed))


def test_a_calibration_is_followed_by_one_that_is_not_older() -> None:
    first = Calibration("a", "perth", MONDAY)
    for taken_at in (MONDAY, MONDAY + timedelta(hours=1), None):
        later = Calibration("b", "perth", taken_at)
        assert first.followed_by(later) is later


@pytest.mark.parametrize(
    ("newer", "message"),
    [
        (Calibration("b", "perth", MONDAY - timedelta(seconds=1)), "b of 2023-01-01.* is older"),
        (Calibration("b", "lagos", MONDAY), "expected a calibration of perth, got one of lagos"),
    ],
)
def test_an_older_or_foreign_calibration_is_refused(newer: Calibration, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Calibration("a", "perth", MONDAY).followed_by(newer)
