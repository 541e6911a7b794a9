"""Copies that go on from a stage of the optimizer ask for what replays from its start ask for."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import scipy.optimize
from hypothesis import given, settings
from hypothesis import strategies as st
from starts import Always, Ripples, minimization

import efaas
from efaas.optimize.asks import Ask, Step
from efaas.optimize.replay import ReplayOracle
from efaas.optimize.resumed import ResumedOracle
from efaas.optimize.stages import first_stage
from efaas.optimize.start import MinimizeStart

AMPLE = 60.0
SPECULATION = efaas.Speculation(workers=2)


class Alone:
    """The objective of a real run; compares the oracles' paths at random moments."""

    def __init__(self, answer: Any, oracles: list[Any], often: float, seed: int) -> None:
        self.asked = self.compared = 0
        self._answer = answer
        self._oracles = oracles
        self._often = often
        self._draw = random.Random(seed)

    def value(self, x: np.ndarray, *_args: Any) -> float:
        ask = Ask(x)
        if self._draw.random() < self._often:
            self.compared += 1
            wrong = Always(self._draw.choice([0.0, 1e6, -1e6, 0.5]))
            told: list[list[list[Step]]] = [
                oracle.paths([self._answer, wrong, Ripples(0.3, self.asked)], 4, seconds=AMPLE)
                for oracle in self._oracles
            ]
            assert told[0] == told[1]
            assert told[1][0][0] == (ask,)
        self.asked += 1
        answer = self._answer(ask)
        for oracle in self._oracles:
            oracle.record(ask, answer)
        return float(answer)


def resuming(start: MinimizeStart) -> ResumedOracle:
    stage = first_stage(start)
    assert stage is not None
    return ResumedOracle(stage, ReplayOracle(start))


def run(
    method: str, options: Mapping[str, Any], answer: Any, size: int, often: float, seed: int = 0
) -> tuple[Alone, ResumedOracle]:
    x0 = 0.4 + 0.3 * np.arange(size)
    passed = {"method": method, "options": dict(options)}
    start = MinimizeStart.prepared(MinimizeStart(x0, (), passed))
    resumed = resuming(start)
    alone = Alone(answer, [resumed, ReplayOracle(start)], often, seed)
    with np.errstate(all="ignore"):
        start.run(alone)  # type: ignore[arg-type]
    assert resumed.broken == ""
    return alone, resumed


SIMPLEX = 0.4 + np.vstack([np.zeros(4), 0.5 * np.eye(4)])


@pytest.mark.parametrize(
    ("method", "options", "calls"),
    [
        ("Nelder-Mead", {"maxfev": 120}, 120),
        ("Nelder-Mead", {"maxfev": 90, "adaptive": True, "initial_simplex": SIMPLEX}, 90),
        ("Nelder-Mead", {"maxiter": 25}, 0),
        ("Nelder-Mead", {"xatol": 0.3, "fatol": 0.3}, 0),
        ("Nelder-Mead", {"maxfev": 3}, 3),
        ("Powell", {"maxfev": 150, "xtol": 1e-2, "ftol": 1e-4}, 150),
        ("Powell", {"maxiter": 2}, 0),
        ("Powell", {}, 0),
    ],
)
def test_a_resumed_copy_tells_the_paths_of_a_replay_to_the_end(
    method: str, options: dict[str, Any], calls: int
) -> None:
    alone, resumed = run(method, options, Ripples(0.05), size=4, often=0.5)
    assert alone.compared > 0
    assert resumed.is_resumed
    assert alone.asked == (calls or alone.asked)


class Steps:
    """Values that are equal at many points: the order of vertices is then anybody's."""

    def __call__(self, ask: Ask) -> float:
        return float(np.round(np.sum(1.0 - np.cos(ask.x)), 0))


@settings(max_examples=25, deadline=None)
@given(
    method=st.sampled_from(["Nelder-Mead", "Powell"]),
    size=st.integers(2, 20),
    noise=st.floats(0.0, 1.0),
    seed=st.integers(0, 2**16),
    has_ties=st.booleans(),
)
def test_no_size_noise_or_tie_leads_a_copy_astray(
    method: str, size: int, noise: float, seed: int, has_ties: bool
) -> None:
    answer = Steps() if has_ties else Ripples(noise, seed)
    alone, _ = run(method, {"maxfev": 80}, answer, size, often=0.15, seed=seed)
    assert alone.asked <= 80


def test_other_methods_are_replayed() -> None:
    assert first_stage(minimization("COBYLA")) is None
    x0 = np.zeros(2)
    for passed in (
        {"method": "COBYLA"},
        {"method": "Powell", "bounds": [(-1.0, 1.0)] * 2},
        {"method": "Nelder-Mead", "options": {"return_all": True}},
        {"method": "Nelder-Mead", "tol": 0.1},
    ):
        assert first_stage(MinimizeStart(x0, (), passed)) is None


def test_a_copy_that_is_told_of_another_point_gives_way_to_a_replay() -> None:
    start = MinimizeStart(np.zeros(2), (), {"method": "Nelder-Mead"})
    oracle = resuming(start)
    oracle.record(Ask(np.ones(2)), 1.0)
    assert not oracle.is_resumed
    assert oracle.paths([Always(1.0)], 2, seconds=AMPLE) == []
    assert "not deterministic" in oracle.broken


def far(x: Any, *args: Any) -> float:
    return float(np.sum((np.asarray(x) - sum(map(np.sum, args))) ** 2))


@pytest.mark.parametrize("method", ["Nelder-Mead", "Powell"])
@pytest.mark.parametrize(
    "given",
    [
        {"args": np.array([1.0, 2.0])},
        {"args": (np.array([1.0, 2.0]),)},
        {"options": {"maxfev": "many"}},
        {"options": {"maxiter": [1]}},
        {"options": {"initial_simplex": "wide", "xtol": "small"}},
        {"options": {"adaptive": np.array([1, 2])}},
        {"options": "few"},
        {"options": {"maxfev": np.nan}},
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore:Unknown solver options")
def test_what_scipy_is_given_is_taken_or_refused_as_by_scipy(
    method: str, given: dict[str, Any]
) -> None:
    def told(minimize: Any, **settings: Any) -> Any:
        try:
            result = minimize(far, [0.3, -0.2], method=method, **given, **settings)
        except Exception as error:
            return type(error), str(error)
        return result.x.tobytes(), result.nfev

    assert told(efaas.minimize, speculation=SPECULATION) == told(scipy.optimize.minimize)
