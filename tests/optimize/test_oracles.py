"""Oracles: what they say the optimizer would ask next, and what they do when they cannot."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from copying import (
    AMPLE,
    ROUGH,
    check_against_the_real_run,
    needs_fork,
    ready_mirror,
    recorded,
    wait_until,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from starts import (
    DIFFERENCES,
    FREE,
    NEED_GRADIENT,
    NEED_HESSIAN,
    Always,
    RealRun,
    Ripples,
    Stairs,
    minimization,
    step_at,
)

from efaas.optimize.asks import Ask, Asked, Step
from efaas.optimize.mirror_host import can_mirror, stop_mirror_host
from efaas.optimize.oracle import AdaptiveOracle
from efaas.optimize.path_cost import PathCost
from efaas.optimize.predictor import Predictor
from efaas.optimize.replay import ReplayOracle


@pytest.fixture(scope="module", autouse=True)
def _no_server_is_left() -> Iterator[None]:
    yield
    stop_mirror_host()


@pytest.mark.parametrize("method", FREE + DIFFERENCES + NEED_GRADIENT + NEED_HESSIAN)
def test_a_replay_asks_what_the_real_run_asks_next(method: str) -> None:
    start = minimization(method)
    answer = ROUGH if method in FREE else Ripples()
    check_against_the_real_run(ReplayOracle(start), start, answer, seed=1, depth=5, often=0.2)


@needs_fork
@pytest.mark.parametrize("method", FREE + DIFFERENCES + NEED_GRADIENT)
def test_a_mirror_asks_what_the_real_run_asks_next(method: str) -> None:
    start = minimization(method)
    answer = ROUGH if method in FREE else Ripples()
    mirror = ready_mirror(start)
    check_against_the_real_run(mirror, start, answer, seed=2, depth=5, often=0.1)
    mirror.close()


@settings(max_examples=12)
@given(
    method=st.sampled_from(FREE + DIFFERENCES),
    seed=st.integers(0, 2**16),
    depth=st.integers(1, 12),
    parameters=st.integers(1, 5),
    start=st.floats(-2.0, 2.0),
)
def test_no_start_noise_or_depth_leads_a_replay_astray(
    method: str, seed: int, depth: int, parameters: int, start: float
) -> None:
    """For any run, asked at any moments: the path under the true answers is the run's own."""
    run = minimization(method, max(parameters, 2), start)
    answer = Ripples(1e-3 if method in FREE else 0.0, seed)
    check_against_the_real_run(ReplayOracle(run), run, answer, seed=seed, depth=depth, often=0.1)


def either(kind: str, start: Any) -> Any:
    if kind == "mirror":
        if not can_mirror():
            pytest.skip("mirrors need os.fork")
        return ready_mirror(start)
    return ReplayOracle(start)


both = pytest.mark.parametrize("kind", ["replay", "mirror"])


@needs_fork
def test_next_steps_are_told_apart_by_the_value_wherever_their_stories_were_told() -> None:
    start = minimization("COBYLA")
    predictors = {kind: Predictor(either(kind, start), branches=3) for kind in ("replay", "mirror")}
    chosen: dict[str, list[Any]] = {kind: [] for kind in predictors}

    def before(step: Step) -> None:
        for kind, predictor in predictors.items():
            found = predictor.candidates(step, known={}, depth=2, limit=3, seconds=AMPLE)
            following = [predictor.given(value) for value in (0.1, 1.0, 3.0)]
            chosen[kind].append((found, following))

    def record(ask: Ask, answer: Any) -> None:
        for predictor in predictors.values():
            predictor.observe(ask, answer)

    start(RealRun(ROUGH, before=before, record=record))
    assert chosen["mirror"] == chosen["replay"]
    assert any(given for _, following in chosen["mirror"] for given in following)


@both
def test_a_path_ends_where_the_optimizer_does(kind: str) -> None:
    oracle = recorded(either(kind, Stairs(length=5)), 2)
    short, early = oracle.paths([Always(1.0), Always(200.0)], 10, seconds=AMPLE)
    assert short == [step_at(2.0), step_at(3.0), step_at(4.0)]
    assert early == [step_at(2.0)]
    oracle.close()


@both
def test_an_exception_ends_its_own_path_only(kind: str) -> None:
    oracle = recorded(either(kind, Stairs()), 3)
    found = oracle.paths([Always(1.0), Always(-1.0), Always(1.0)], 3, seconds=AMPLE)
    whole = [step_at(3.0), step_at(4.0), step_at(5.0)]
    assert found == [whole, [step_at(3.0)], whole]
    assert oracle.broken == ""
    oracle.close()


@both
def test_nothing_is_told_when_nothing_is_pending(kind: str) -> None:
    oracle = recorded(either(kind, Stairs(length=3)), 3)
    assert oracle.paths([Always(1.0)], 3, seconds=AMPLE) == []
    assert oracle.broken == ""
    oracle.close()


@both
def test_another_run_than_the_recorded_one_breaks_the_oracle(kind: str) -> None:
    oracle = recorded(either(kind, Stairs()), 2)
    oracle.record(Ask(np.array([7.0])), 1.0)
    assert oracle.paths([Always(1.0)], 3, seconds=AMPLE) == []
    assert "2" in oracle.broken
    assert "7" in oracle.broken
    assert oracle.paths([Always(1.0)], 3, seconds=AMPLE) == []
    oracle.close()


@both
def test_a_run_that_ends_before_its_record_breaks_the_oracle(kind: str) -> None:
    oracle = recorded(either(kind, Stairs(length=2)), 4)
    assert oracle.paths([Always(1.0)], 3, seconds=AMPLE) == []
    assert "ended" in oracle.broken
    oracle.close()


class Restless:
    """An optimizer that goes elsewhere each time, as with a random generator of its own."""

    is_data = False

    def __init__(self) -> None:
        self.runs = 0

    def __call__(self, asked: Asked) -> None:
        self.runs += 1
        for step in range(10):
            asked.value(np.array([self.runs + 0.1 * step]))


def test_an_optimizer_that_does_not_repeat_itself_is_found_out() -> None:
    start = Restless()
    oracle = ReplayOracle(start)
    runs: list[int] = []

    def before(step: Step) -> None:
        if len(real.steps) in (4, 6):
            assert oracle.paths([Always(0.0)] * 3, 3, seconds=AMPLE) == []
            runs.append(start.runs)

    real = RealRun(Always(0.0), before=before, record=oracle.record)
    start(real)
    assert len(real.steps) == 10
    assert "not deterministic" in oracle.broken
    assert runs == [2, 2]  # it is not run again once it is known to be different


class Counting:
    """Counts what it answers."""

    def __init__(self) -> None:
        self.asks = 0

    def __call__(self, ask: Ask) -> float:
        self.asks += 1
        return float(np.sum(np.asarray(ask.x) ** 2))


def test_a_finite_difference_is_one_step_and_the_last_step_needs_no_answers() -> None:
    oracle = ReplayOracle(minimization("L-BFGS-B", 6))
    answer = Counting()
    [[first, second]] = oracle.paths([answer], 2, seconds=AMPLE)
    assert (len(first), len(second)) == (1, 6)
    assert answer.asks == 1


class Overwriting:
    """An optimizer that uses the gradient's memory for its own purposes."""

    is_data = False

    def __call__(self, asked: Asked) -> None:
        x = np.zeros(2)
        for _ in range(4):
            gradient = asked.gradient(x)
            x = x - gradient
            gradient[:] = np.nan


def test_an_optimizer_that_overwrites_answers_does_not_spoil_the_record() -> None:
    start = Overwriting()
    oracle = ReplayOracle(start)

    def before(step: Step) -> None:
        for _ in range(2):
            [path] = oracle.paths([lambda ask: np.ones(2)], 2, seconds=AMPLE)
            assert path[0] == step

    start(RealRun(lambda ask: np.ones(2), before=before, record=oracle.record))
    assert oracle.broken == ""


class GlobalDice:
    """An optimizer of the user's with numpy's and Python's global random numbers."""

    is_data = False

    def __call__(self, asked: Asked) -> None:
        for _ in range(3):
            asked.value(np.array([random.random(), np.random.rand()]))  # noqa: NPY002


def test_a_replay_does_not_use_up_the_users_random_numbers() -> None:
    oracle = ReplayOracle(GlobalDice())
    before = (random.getstate(), str(np.random.get_state()))  # noqa: NPY002
    assert len(oracle.paths([Always(0.0)], 3, seconds=AMPLE)[0]) == 3
    assert (random.getstate(), str(np.random.get_state())) == before  # noqa: NPY002


def test_without_time_nothing_runs() -> None:
    start = Restless()
    oracle = ReplayOracle(start)
    assert oracle.paths([Always(0.0)], 3, seconds=0.0) == []
    assert start.runs == 0


def test_a_replay_that_takes_too_long_is_given_up_and_not_begun_again() -> None:
    class Slow(Restless):
        def __call__(self, asked: Asked) -> None:
            self.runs += 1
            Stairs(length=400, seconds=2e-3)(asked)

    start = Slow()
    oracle = recorded(ReplayOracle(start), 300)
    began_at = time.perf_counter()
    assert oracle.paths([Always(1.0)], 3, seconds=0.02) == []
    taken = time.perf_counter() - began_at
    assert taken < 0.3  # the whole replay takes 0.6 s at least
    assert oracle.seconds_per_path > 0.3
    assert oracle.paths([Always(1.0)], 3, seconds=0.02) == []
    assert start.runs == 1
    assert oracle.broken == ""


def test_what_was_recorded_since_the_measurement_counts() -> None:
    oracle = recorded(ReplayOracle(Stairs(length=400, seconds=1e-3)), 20)
    oracle.paths([Always(1.0)], 1, seconds=AMPLE)
    measured = oracle.seconds_per_path
    for step in range(20, 60):
        oracle.record(*step_at(float(step)), 1.0)
    assert oracle.seconds_per_path > measured + 0.03


def test_an_old_measurement_is_forgotten_at_last() -> None:
    cost = PathCost(unmeasured_seconds=0.001)
    cost.measured(1.0)
    assert not cost.fits(0.5)
    assert cost.fits(2.0)
    assert not all(cost.fits(0.01) for _ in range(10))
    assert any(cost.fits(0.01) for _ in range(100))


def test_one_hiccup_among_three_does_not_count() -> None:
    cost = PathCost(unmeasured_seconds=0.001)
    for seconds in (0.002, 5.0, 0.004):
        cost.measured(seconds)
    assert cost.seconds == 0.004


@needs_fork
def test_a_dear_optimizer_changes_over_to_a_mirror_and_back_when_that_dies() -> None:
    start = Stairs(length=100, seconds=1e-4)
    oracle = AdaptiveOracle(start, mirror_above_seconds=1e-9)
    sources = set()
    for step in range(60):
        pending = [step_at(float(step)), step_at(step + 1.0)]
        if step == 30:
            assert wait_until(lambda: oracle._mirror is not None and oracle._mirror.is_ready)
            oracle._mirror_above_seconds = 10.0
            assert oracle.is_mirroring
        if step == 45:
            stop_mirror_host()
        assert oracle.paths([Always(1.0)] * 2, 2, seconds=AMPLE) in ([pending, pending], [])
        sources.add((oracle.is_mirroring, step >= 45))
        oracle.record(*step_at(float(step)), 1.0)
    assert sources >= {(False, False), (True, False), (False, True)}
    assert oracle.broken == ""
    oracle.close()
    assert oracle.paths([Always(1.0)], 2, seconds=AMPLE) == []


@needs_fork
def test_a_cheap_optimizer_never_starts_a_process() -> None:
    stop_mirror_host()
    start = minimization("Nelder-Mead")
    oracle = AdaptiveOracle(start)
    check_against_the_real_run(oracle, start, Ripples(), seed=4, depth=3, often=0.5)
    assert not oracle.is_mirroring
    oracle.close()
