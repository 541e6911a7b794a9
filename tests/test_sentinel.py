"""The test behind the drift sentinel: its false alarms, and what it finds."""

from __future__ import annotations

import math

import numpy as np
import pytest

from efaas.errors import InputError
from efaas.policies.sentinel import Sentinel, SentinelTest, ln_damping


def alarms(rate: float, *, checks: int, runs: int, drift: float = 0.0) -> int:
    """Alarms in runs whose expectation moves by ``drift`` standard errors after half of them."""
    generator = np.random.default_rng(7)
    found = 0
    for _ in range(runs):
        test = SentinelTest(false_alarm_rate=rate)
        stds = generator.uniform(0.005, 0.02, checks)
        moved = np.where(np.arange(checks) >= checks // 2, drift * stds, 0.0)
        for value, std in zip(
            -1.0 + moved + stds * generator.normal(size=checks), stds, strict=True
        ):
            shift = test.check(float(value), float(std))
            found += shift is not None and shift.is_alarm
    return found


@pytest.mark.parametrize("rate", [0.05, 0.01])
def test_false_alarms_are_as_frequent_as_stated(rate: float) -> None:
    checks, runs = 11, 4000
    expected = rate * (checks - 1) * runs  # nearly: after an alarm a check is without a reference
    assert alarms(rate, checks=checks, runs=runs) == pytest.approx(expected, rel=0.12)


def test_a_drift_of_six_standard_errors_is_nearly_always_found() -> None:
    assert alarms(0.001, checks=12, runs=300, drift=6.0) >= 290


def test_exact_expectations_tell_any_change_but_rounding() -> None:
    test = SentinelTest(false_alarm_rate=0.001)
    test.check(-1.25, 0.0)
    same, other = test.check(-1.25 + 1e-12, 0.0), test.check(-1.2499, 0.0)
    assert same is not None
    assert other is not None
    assert (same.is_alarm, other.is_alarm) == (False, True)


def test_after_an_alarm_the_next_value_is_the_reference() -> None:
    test = SentinelTest(false_alarm_rate=0.001)
    found = [test.check(value, 0.01) for value in (-1.0, -0.8, -0.9, -0.9, -0.8)]
    assert [shift and shift.is_alarm for shift in found] == [None, True, None, False, True]


def test_another_point_is_not_compared() -> None:
    test = SentinelTest(false_alarm_rate=0.001)
    test.check(-1.0, 0.01)
    test.restart()
    assert test.check(3.0, 0.01) is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"every_rounds": 0},
        {"shots": 0},
        {"shots": 10.5},
        {"most_share": 0.0},
        {"most_share": 1.5},
        {"false_alarm_rate": 0.0},
        {"false_alarm_rate": 0.7},
    ],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        Sentinel(**wrong)  # type: ignore[arg-type]


def test_damping_is_read_off_the_distance_from_the_mixed_state() -> None:
    assert ln_damping(-1.5, -1.0, mixed=-0.5, std=0.01) == pytest.approx(math.log(0.5))
    assert ln_damping(1.0, 1.1, mixed=0.0, std=0.01) == pytest.approx(math.log(1.1))


@pytest.mark.parametrize(("before", "after"), [(0.001, -0.5), (-1.0, 0.3), (-1.0, 0.0)])
def test_what_damping_does_not_explain_counts_as_lost(before: float, after: float) -> None:
    assert ln_damping(before, after, mixed=0.0, std=0.01) == pytest.approx(-math.log(100.0))
