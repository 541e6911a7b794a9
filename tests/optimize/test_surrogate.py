"""The surrogate against dense linear algebra, and its draws against the posterior's moments."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from efaas.optimize.asks import GRADIENT, Ask
from efaas.optimize.kernels import Kernel, Rbf, Trigonometric
from efaas.optimize.scenarios import FrequencyDraw, PosteriorDraw, Scenario, Seen
from efaas.optimize.surrogate import GaussianProcess

if TYPE_CHECKING:
    from numpy.typing import NDArray

KERNELS: list[Kernel] = [Trigonometric(), Rbf()]


def smooth(x: NDArray[np.float64]) -> float:
    return float(np.cos(x).prod() + 0.5 * np.sin(x).sum())


def fitted(kernel: Kernel, count: int = 40, dimension: int = 3, noise: float = 0.0, seed: int = 0):
    rng = np.random.default_rng(seed)
    process = GaussianProcess(kernel)
    for x in rng.uniform(-1.5, 1.5, (count, dimension)):
        process.add(x, smooth(x) + noise * rng.standard_normal())
        if process.is_due:
            process.refit()
    return process


def dense(kernel: Kernel, a: NDArray[np.float64], b: NDArray[np.float64], shape: float):
    """The kernel matrix by its formula."""
    gaps = a[:, None, :] - b[None, :, :]
    if kernel.name == "trigonometric":
        return ((shape + 2 * np.cos(gaps)) / (shape + 2)).prod(axis=2)
    return np.exp(-0.5 * (gaps**2).sum(axis=2) / shape**2)


def posterior(process: GaussianProcess, at: NDArray[np.float64]):
    """Mean, covariance and log likelihood by solving with the full matrices."""
    points, values = process.points, process.values
    count, shape = len(points), process.shape
    K = dense(process.kernel, points, points, shape) + process.noise_ratio * np.eye(count)
    k = dense(process.kernel, points, at, shape)
    ones = np.ones(count)
    mean = ones @ np.linalg.solve(K, values) / (ones @ np.linalg.solve(K, ones))
    residual = values - mean
    variance = residual @ np.linalg.solve(K, residual) / count
    covariance = dense(process.kernel, at, at, shape) - k.T @ np.linalg.solve(K, k)
    likelihood = -0.5 * (
        count * np.log(2 * np.pi * variance) + np.linalg.slogdet(K)[1] + float(count)
    )
    return mean + k.T @ np.linalg.solve(K, residual), variance * covariance, likelihood


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)
@pytest.mark.parametrize("appended", [0, 1, 7])
def test_posterior_and_likelihood_are_those_of_dense_algebra_also_after_appending(kernel, appended):
    process = fitted(kernel, noise=0.05)
    rng = np.random.default_rng(5)
    for x in rng.uniform(-1.5, 1.5, (appended, 3)):
        process.add(x, smooth(x) + 0.05)
    at = rng.uniform(-2, 2, (6, 3))

    mean, covariance, likelihood = posterior(process, at)

    got = np.array([process.predict(x) for x in at])
    np.testing.assert_allclose(got[:, 0], mean, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(got[:, 1] ** 2, np.diagonal(covariance), rtol=1e-6, atol=1e-10)
    assert process.log_likelihood() == pytest.approx(likelihood, rel=1e-9)


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)
def test_the_gradient_is_that_of_the_mean(kernel):
    process = fitted(kernel, noise=0.02)
    x = np.array([0.3, -0.7, 1.1])
    step = 1e-5
    differences = [
        (process.predict(x + step * unit)[0] - process.predict(x - step * unit)[0]) / (2 * step)
        for unit in np.eye(3)
    ]
    np.testing.assert_allclose(process.gradient(x), differences, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)
def test_refitting_never_lowers_the_likelihood_by_more_than_its_prior_asks(kernel):
    process = fitted(kernel, count=25, noise=0.1)
    process.noise_ratio = 1.0
    process.refit()
    first = process.log_likelihood()
    process.refit()
    assert process.log_likelihood() == pytest.approx(first)
    assert process.noise == pytest.approx(0.1, rel=0.7)


def test_a_sinusoid_along_one_angle_is_known_from_three_values():
    """What the trigonometric kernel is for: three values on a line fix the whole line."""
    process = GaussianProcess(Trigonometric())
    for angle in (0.0, 1.0, -2.0, 2.5, 0.4):
        process.add(np.array([angle, 0.3]), 1.0 + 0.7 * np.cos(angle - 0.4))
        process.refit()
    mean, _ = process.predict(np.array([1.9, 0.3]))
    assert mean == pytest.approx(1.0 + 0.7 * np.cos(1.5), abs=1e-4)


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)
def test_the_number_of_points_stays_bounded(kernel):
    process = GaussianProcess(kernel, capacity=30)
    rng = np.random.default_rng(1)
    for x in rng.uniform(-3, 3, (200, 2)):
        process.add(x, smooth(x))
        assert len(process) <= 36
    assert len(process) > 20
    mean, _, _ = posterior(process, process.points[:3])
    got = [process.predict(x)[0] for x in process.points[:3]]
    np.testing.assert_allclose(got, mean, rtol=1e-4, atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(
    kernel=st.sampled_from(KERNELS),
    scale=st.sampled_from([1e-8, 1.0, 1e8]),
    size=st.sampled_from([1e-8, 1e-3, 1.0, 1e8]),
    values=st.lists(st.sampled_from([0.0, 1.0, -2.0, 1e-3, np.nan, np.inf]), max_size=30),
    apart=st.sampled_from([0.0, 1e-8, 1.0]),
)
def test_any_values_leave_a_finite_posterior(kernel, scale, size, values, apart):
    """Equal values, equal points, points 1e-8 apart, no numbers: no exception and no warning."""
    process = GaussianProcess(kernel)
    for index, value in enumerate(values):
        process.add(size * np.array([1.0 + apart * index, 0.5]), scale * value)
        if process.is_due:
            process.refit()
    if len(process):
        for x in (np.zeros(2), np.full(2, 1e9 * size), process.points[0] + 1e-9):
            mean, deviation = process.predict(x)
            assert np.isfinite(mean)
            assert deviation >= 0.0
            assert np.isfinite(process.gradient(x)).all()
            assert np.isfinite(PosteriorDraw(process, 0.3, 1).value(x))


@settings(max_examples=20, deadline=None)
@given(scale=st.sampled_from([1e-8, 1e-3, 1e4, 1e8]))
def test_predictions_scale_with_the_values(scale):
    rng = np.random.default_rng(2)
    plain, scaled = GaussianProcess(Rbf()), GaussianProcess(Rbf())
    for x in rng.uniform(-1, 1, (20, 2)):
        plain.add(x, smooth(x))
        scaled.add(x, scale * smooth(x))
    plain.refit()
    scaled.refit()
    at = np.array([0.2, 0.1])
    np.testing.assert_allclose(
        scaled.predict(at), scale * np.array(plain.predict(at)), rtol=1e-4, atol=1e-7 * scale
    )


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)
def test_draws_have_the_moments_of_the_joint_posterior(kernel):
    process = fitted(kernel, count=8, noise=0.05)
    at = np.array([[1.2, -1.0, 0.4], [1.0, -1.1, 0.5], [-1.9, 1.8, 0.2]])
    mean, covariance, _ = posterior(process, at)
    covariance = covariance + process.noise**2 * np.eye(3)
    draws = [PosteriorDraw(process, (i + 0.5) / 4000, i) for i in range(4000)]
    sample = np.array([[draw.value(x) for x in at] for draw in draws])
    deviation = np.sqrt(np.diagonal(covariance))
    assert np.abs((sample.mean(axis=0) - mean) / deviation).max() < 0.08
    got = np.cov(sample.T) / np.outer(deviation, deviation)
    assert np.abs(got - covariance / np.outer(deviation, deviation)).max() < 0.1


def test_a_draw_of_a_noiseless_surrogate_is_smooth_over_a_finite_difference():
    process = fitted(Trigonometric(), count=40)
    assert process.is_noiseless
    draw = PosteriorDraw(process, 0.8, 3)
    x = np.array([0.5, 0.1, -0.2])
    base = draw.value(x)
    slopes = [(draw.value(x + 1.5e-8 * unit) - base) / 1.5e-8 for unit in np.eye(3)]
    np.testing.assert_allclose(slopes, process.gradient(x), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)
def test_draws_beside_a_known_value_keep_to_it_and_differ_from_each_other(kernel):
    process = fitted(kernel, count=40)
    assert process.is_noiseless
    beside = process.points[7] + 1e-7
    values = [PosteriorDraw(process, (i + 0.5) / 16, i).value(beside) for i in range(16)]
    np.testing.assert_allclose(values, process.values[7], atol=1e-6)
    assert len(set(values)) > 12


def test_noise_is_found_and_a_repetition_draws_it_anew():
    process = fitted(Trigonometric(), count=80, dimension=2, noise=0.1)
    assert process.noise == pytest.approx(0.1, rel=0.5)
    ask = Ask(np.array([0.2, 0.3]))
    scenario = Scenario(Seen({}, {}, is_repeatable=False), PosteriorDraw(process, 0.5, 0))
    assert scenario(ask) != scenario(ask)


def test_a_scenario_gives_known_answers_once_and_repeatable_ones_again():
    ask, other = Ask(np.array([0.2])), Ask(np.array([0.4]))
    draw = FrequencyDraw(0.0, 1.0, (0.3, 0.3), 0.5, 0)
    noisy = Scenario(Seen({ask.key: 7.0}, {}, is_repeatable=False), draw)
    assert [noisy(ask), noisy(ask) == 7.0] == [7.0, False]
    exact = Scenario(Seen({ask.key: 7.0}, {other.key: 3.0}, is_repeatable=True), draw)
    assert [exact(ask), exact(ask), exact(other)] == [7.0, 7.0, 3.0]


def test_a_scenario_answers_in_the_form_of_the_users_function():
    process = fitted(Rbf())
    x = np.array([0.1, 0.2, 0.3])
    seen = Seen({}, {}, is_repeatable=True, returns_pair=True, shape=(1,))
    value, gradient = Scenario(seen, PosteriorDraw(process, 0.5, 0))(Ask(x))
    assert value.shape == (1,)
    np.testing.assert_allclose(gradient, process.gradient(x), rtol=1e-7)
    slope = Scenario(Seen({}, {}, is_repeatable=True), PosteriorDraw(process, 0.5, 0))
    np.testing.assert_allclose(slope(Ask(x, GRADIENT)), process.gradient(x), rtol=1e-7)
    stepped = slope(Ask(x + 1e-20j * np.array([1.0, 0.0, 0.0])))
    assert stepped.imag == pytest.approx(1e-20 * process.gradient(x)[0])


def test_pickled_scenarios_share_one_surrogate_and_answer_the_same():
    process = fitted(Trigonometric(), count=200)
    seen = Seen({}, {}, is_repeatable=True)
    scenarios = [Scenario(seen, PosteriorDraw(process, 0.1 + 0.02 * i, i)) for i in range(32)]
    pickled = pickle.dumps(scenarios)
    assert len(pickled) < len(pickle.dumps(process)) + 100_000
    ask = Ask(np.array([0.3, 0.4, 0.5]))
    assert [copy(ask) for copy in pickle.loads(pickled)] == [each(ask) for each in scenarios]


def test_frequencies_are_followed():
    draws = [FrequencyDraw(0.0, 1.0, (0.2, 0.5), (i + 0.5) / 100, i) for i in range(100)]
    values = np.array([draw.value(np.zeros(1)) for draw in draws])
    assert [(values < 0).sum(), (values > 1).sum()] == [20, 50]
