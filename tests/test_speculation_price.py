"""How much to speculate, and when not at all."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from efaas.policies.speculation import Prospect, RoundTimes, worthwhile

LIKELY = [Prospect(0.9 - 0.05 * i, 1) for i in range(12)]


def chosen(
    prospects: list[Prospect],
    times: RoundTimes | None,
    *,
    width: int = 8,
    allowance: float = 100.0,
    asked: int = 1,
) -> list[int]:
    return worthwhile(prospects, asked=asked, times=times, width=width, allowance=allowance)


def test_without_overhead_and_idle_places_nothing_is_launched() -> None:
    assert chosen(LIKELY, RoundTimes(0.0, 0.1)) == []


def test_an_overhead_of_twenty_evaluations_fills_the_round() -> None:
    assert chosen(LIKELY, RoundTimes(2.0, 0.1)) == list(range(7))


def test_an_overhead_of_one_evaluation_takes_what_is_likely_only() -> None:
    picked = chosen(LIKELY, RoundTimes(0.1, 0.1))
    assert 0 < len(picked) < 7
    assert chosen([Prospect(0.3, 1)], RoundTimes(0.1, 0.1)) == []


def test_idle_places_are_used_without_overhead() -> None:
    assert chosen(LIKELY, RoundTimes(0.0, 0.1, idle=3)) == [0, 1, 2]


def test_before_anything_is_measured_only_what_is_certain_goes() -> None:
    assert chosen([Prospect(1.0, 1), Prospect(0.98, 1)], None) == [0]


def test_what_is_certain_takes_no_place_of_a_guess() -> None:
    prospects = [Prospect(1.0, 1)] * 20 + LIKELY
    picked = chosen(prospects, RoundTimes(100.0, 0.1), width=3)
    assert picked == [*range(20), 20, 21]


def test_a_whole_gradient_is_one_step() -> None:
    assert chosen([Prospect(0.8, 16)], RoundTimes(10.0, 0.1), width=2) == [0]
    assert chosen([Prospect(0.8, 16)], RoundTimes(0.3, 0.1), width=2) == []
    assert chosen([Prospect(1.0, 16)], RoundTimes(0.3, 0.1), width=2) == [0]


def test_the_allowance_bounds_the_expected_waste() -> None:
    assert chosen(LIKELY, RoundTimes(2.0, 0.1), allowance=0.2) == [0]
    assert chosen(LIKELY, RoundTimes(2.0, 0.1), allowance=0.0) == []


def overhead_per_step(prospects: list[Prospect], picked: list[int], times: RoundTimes) -> float:
    """Seconds beyond those of the evaluations that are used, per step that is served."""
    wasted = sum((1 - prospects[i].probability) * prospects[i].evaluations for i in picked)
    steps = 1 + sum(prospects[i].probability for i in picked)
    return (times.overhead_seconds + wasted * times.evaluation_seconds) / steps


@given(
    st.lists(st.tuples(st.floats(0, 1), st.integers(1, 20)), max_size=12),
    st.floats(0, 10),
    st.floats(0.01, 10),
)
def test_what_is_launched_shortens_the_run(
    drawn: list[tuple[float, int]], overhead: float, each: float
) -> None:
    """Overhead and waste per step are never more than with nothing launched."""
    prospects = [Prospect(*pair) for pair in drawn]
    times = RoundTimes(overhead, each)
    picked = chosen(prospects, times)
    before = overhead_per_step(prospects, [], times)
    assert overhead_per_step(prospects, picked, times) <= before * (1 + 1e-9)


@given(st.integers(1, 50), st.floats(0.001, 10), st.floats(0.01, 10))
def test_what_is_certain_always_pays_where_rounds_have_an_overhead(
    cost: int, overhead: float, each: float
) -> None:
    assert chosen([Prospect(1.0, cost)], RoundTimes(overhead, each)) == [0]


@given(
    st.lists(st.tuples(st.floats(0, 1), st.integers(1, 20)), max_size=20),
    st.floats(0, 10),
    st.integers(0, 30),
    st.integers(1, 8),
    st.floats(0, 5),
)
def test_width_and_allowance_are_kept(
    drawn: list[tuple[float, int]], overhead: float, idle: int, width: int, allowance: float
) -> None:
    prospects = [Prospect(*pair) for pair in drawn]
    times = RoundTimes(overhead, 0.1, idle)
    picked = chosen(prospects, times, width=width, allowance=allowance)
    guessed = [prospects[i] for i in picked if prospects[i].probability < 0.999]
    assert len(guessed) < width
    assert sum((1 - p.probability) * p.evaluations for p in guessed) <= allowance + 1e-9
