"""Tolerant mode: a guess nearby will do, its value corrected by the surrogate."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import scipy.optimize
from hypothesis import given
from hypothesis import strategies as st
from test_speculation import PATIENT, Device, smooth

import efaas
from efaas.optimize.asks import GRADIENT, Ask, Step
from efaas.optimize.clusters import merged


def step(*points: float, kind: str = "value") -> Step:
    return tuple(Ask(np.array([point]), kind) for point in points)


def test_points_nearby_stand_for_each_other() -> None:
    paths = [[step(0.0), step(1.0)], [step(0.0), step(1.01)], [step(0.0), step(2.0)]]
    first, second, third = merged(paths, 0.05)
    assert first == second
    assert third == paths[2]


def test_steps_that_follow_each_other_stay_apart() -> None:
    path = [step(0.0), step(1.0), step(1.001), step(1.002)]
    assert merged([path, path], 0.05) == [path, path]


def test_what_is_pending_and_finite_differences_are_never_moved() -> None:
    pending, difference = step(0.0), step(1.0, 1.001)
    slopes = [step(1.0, kind=GRADIENT), step(1.001, kind=GRADIENT)]
    paths = [[pending, difference, slopes[0]], [step(0.001), difference, slopes[1]]]
    assert merged(paths, 0.05) == paths


@given(
    st.lists(st.lists(st.floats(-1, 1), min_size=1, max_size=4), min_size=1, max_size=12),
    st.floats(0.001, 1.0),
)
def test_no_point_is_moved_farther_than_the_radius(drawn: list[list[float]], radius: float) -> None:
    paths = [[step(0.0), *(step(x) for x in row)] for row in drawn]
    for before, after in zip(paths, merged(paths, radius), strict=True):
        assert len(before) == len(after)
        for old, new in zip(before, after, strict=True):
            assert abs(float(old[0].x[0] - new[0].x[0])) <= radius + 1e-6


def test_it_takes_fewer_rounds_and_says_that_it_is_not_exact() -> None:
    with Device(value=smooth) as device:
        exact = device.minimize("COBYLA", options={"maxiter": 40})
    with Device(value=smooth) as device:
        speculation = replace(PATIENT, mode="tolerant", radius=0.02)
        loose = device.minimize("COBYLA", options={"maxiter": 40}, speculation=speculation)
        assert exact.speculation.tolerated == 0
        assert loose.speculation.tolerated > 3
        assert 0 < loose.speculation.largest_distance <= 0.02
        per_evaluation = loose.speculation.rounds_per_evaluation
        assert per_evaluation < 0.8 * exact.speculation.rounds_per_evaluation
        assert "not exact" in str(loose.speculation)
        assert abs(loose.fun - exact.fun) < 0.05


def test_the_final_value_is_that_of_the_final_point() -> None:
    with Device(value=smooth) as device:
        result = device.minimize(
            "COBYLA", speculation=replace(PATIENT, mode="tolerant"), options={"maxiter": 60}
        )
        assert result.speculation.tolerated > 0
        assert result.fun == device.energy(result.x)


def test_the_points_of_a_gradient_are_exact() -> None:
    """Only values that are asked for alone are taken from nearby."""
    with Device(value=smooth) as device:
        result = device.minimize("L-BFGS-B", speculation=efaas.Speculation("tolerant", radius=1e-6))
    with Device(value=smooth) as device:
        expected = scipy.optimize.minimize(
            device.energy, device.x0, method="L-BFGS-B", options={"maxiter": 25}
        )
    assert result.speculation.tolerated == 0
    assert result.x.tobytes() == expected.x.tobytes()
