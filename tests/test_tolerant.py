"""Tolerant mode: a guess nearby will do, its value corrected by the surrogate."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.optimize
from hypothesis import given
from hypothesis import strategies as st
from test_speculation import PATIENT, Device, smooth

import efaas
import efaas.optimize.drive
from efaas.optimize.asks import GRADIENT, Ask, Step
from efaas.optimize.clusters import merged
from efaas.optimize.kernels import Kernel, Rbf, Trigonometric
from efaas.optimize.predictor import Predictor
from efaas.optimize.surrogate import GaussianProcess
from efaas.policies.tolerance import Substitution, is_as_good


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


@given(
    st.builds(
        Substitution,
        difference=st.floats(-1, 1),
        deviation=st.floats(0, 10),
        noise=st.floats(0, 10),
        gap=st.floats(-10, 10),
    )
)
def test_no_stand_in_scatters_much_more_than_a_fresh_value(stand_in: Substitution) -> None:
    """Two in a hundred more shots make up for it, and without noise its error leaves the gap."""
    if is_as_good(stand_in):
        fresh = stand_in.noise**2
        assert fresh + stand_in.deviation**2 <= 1.025 * fresh or stand_in.noise == 0.0
        assert stand_in.noise > 0.0 or 20 * stand_in.deviation <= abs(stand_in.gap)


@pytest.mark.parametrize("kernel", [Trigonometric(), Rbf()])
def test_a_difference_is_believed_with_the_scatter_that_it_has(kernel: Kernel) -> None:
    """Errors over deviations have a mean square of one, over functions drawn as is believed."""
    random = np.random.default_rng(5)
    squares = []
    for _ in range(40):
        points = random.uniform(-1.0, 1.0, (32, 2))
        covariance = kernel.matrix(points, 2.0) + 1e-10 * np.eye(32)
        values = np.linalg.cholesky(covariance) @ random.normal(size=32)
        process = GaussianProcess(kernel)
        for x, value in zip(points[:12], values + 0.1 * random.normal(size=32), strict=False):
            process.add(x, value)
        process.shape, process.noise_ratio = 2.0, 0.01
        process._factorize()
        for left, right in zip(range(12, 22), range(22, 32), strict=True):
            mean, deviation = process.difference(points[left], points[right])
            deviation /= process.amplitude  # which is 1 in truth
            squares.append((values[right] - values[left] - mean) ** 2 / deviation**2)
    assert 0.7 < np.mean(squares) < 1.4


def test_near_data_a_difference_is_known_and_far_from_them_it_is_not() -> None:
    process = GaussianProcess(Rbf())
    for x in np.linspace(0.0, 1.0, 9):
        process.add(np.array([x]), float(np.sin(5.0 * x)))
    process.refit()
    step = np.array([0.01])
    among, known = process.difference(np.array([0.5]), np.array([0.5]) + step)
    _, unknown = process.difference(np.array([9.0]), np.array([9.0]) + step)
    assert abs(among - (np.sin(2.55) - np.sin(2.5))) < 1e-3
    assert known < 0.01 * abs(among) < unknown


class Unsure(Predictor):
    """Believes what it believes, but does not know how values differ."""

    refused = 0

    def substitution(self, *arguments: Any, **named: Any) -> Substitution | None:
        known = super().substitution(*arguments, **named)
        Unsure.refused += known is not None
        return None if known is None else replace(known, deviation=10.0)


def test_a_guess_whose_difference_the_surrogate_cannot_know_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(efaas.optimize.drive, "Predictor", Unsure)
    monkeypatch.setattr(Unsure, "refused", 0)
    loose = replace(PATIENT, mode="tolerant", radius=0.1, width=4, depth=2)
    # Long rounds: on a busy machine, too, there is time to guess.
    with Device(2, value=smooth, round_seconds=10.0) as device:
        result = device.minimize("COBYLA", options={"maxiter": 16}, speculation=loose)
    with Device(2, value=smooth) as device:
        expected = scipy.optimize.minimize(
            device.energy, device.x0, method="COBYLA", options={"maxiter": 16}
        )
    assert Unsure.refused > 0
    assert result.speculation.tolerated == 0
    assert result.x.tobytes() == expected.x.tobytes()


def test_it_takes_fewer_rounds_and_says_that_it_is_not_exact() -> None:
    with Device(value=smooth, round_seconds=10.0) as device:
        exact = device.minimize("COBYLA", options={"maxiter": 25})
    with Device(value=smooth, round_seconds=10.0) as device:
        speculation = replace(PATIENT, mode="tolerant", radius=0.02)
        loose = device.minimize("COBYLA", options={"maxiter": 25}, speculation=speculation)
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
