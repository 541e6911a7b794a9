"""``spsa``: after Spall's papers, in as few rounds as it can, and as careful as scipy's methods."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from typing import Any

import numpy as np
import pytest
import scipy.optimize
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import OptimizeResult, OptimizeWarning

from efaas.errors import OptimizerError, ParameterError
from efaas.optimize.box import Box
from efaas.optimize.gains import GainLaw
from efaas.optimize.perturbation import Perturbation
from efaas.optimize.spsa import spsa

CURVED = np.array([[2.0, 0.5, 0.0], [0.5, 1.0, -0.3], [0.0, -0.3, 3.0]])


def waves(x: np.ndarray) -> float:
    """Lowest, at minus the number of parameters, where all angles are 0.3."""
    return float(-np.cos(x - 0.3).sum())


def bowl(x: np.ndarray) -> float:
    return float(0.5 * x @ CURVED @ x)


class Noisy:
    """``waves`` plus noise, the same for the same sequence of calls."""

    def __init__(self, scale: float, seed: int) -> None:
        self.scale = scale
        self.generator = np.random.default_rng(seed)
        self.calls = 0

    def __call__(self, x: np.ndarray) -> float:
        self.calls += 1
        return waves(x) + self.scale * float(self.generator.normal())


class Rounds:
    """A map that keeps how many points it was given, and evaluates the last ones first."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.points: list[np.ndarray] = []

    def __call__(self, fn: Callable[[Any], Any], points: Iterable[Any]) -> list[Any]:
        rows = list(points)
        self.sizes.append(len(rows))
        self.points += [row.copy() for row in rows]
        return [fn(row) for row in reversed(rows)][::-1]


def run(fun: Any, x0: Any, **options: Any) -> OptimizeResult:
    keyword = {
        name: options.pop(name) for name in ("callback", "bounds", "args") if name in options
    }
    return scipy.optimize.minimize(fun, x0, method=spsa, options={"rng": 3} | options, **keyword)


def fields(result: OptimizeResult) -> dict[str, Any]:
    return {
        name: np.asarray(value).tobytes() if name != "message" else value
        for name, value in result.items()
    }


class TestMinimum:
    @pytest.mark.parametrize("noise", [0.0, 0.02, 0.1])
    @pytest.mark.parametrize("seed", [0, 1, 2])
    def test_it_is_found_through_noise(self, noise: float, seed: int) -> None:
        start = np.random.default_rng(seed).uniform(-1.2, 1.2, 6)
        found = run(Noisy(noise, seed), start, rng=seed, maxiter=300)
        assert found.success
        assert waves(found.x) < -6.0 + 0.02 + noise

    def test_resampling_reaches_it_in_fewer_rounds(self) -> None:
        start = np.full(8, -0.9)
        single, averaged = Rounds(), Rounds()
        one = run(Noisy(0.05, 1), start, maxiter=320, workers=single)
        eight = run(Noisy(0.05, 1), start, maxiter=40, resamplings=8, workers=averaged)
        assert one.nfev == eight.nfev
        assert len(averaged.sizes) < len(single.sizes) / 7
        assert waves(eight.x) < -8.0 + 0.15

    def test_second_order_learns_the_hessian(self) -> None:
        found = run(bowl, [1.0, -1.0, 0.5], second_order=True, maxiter=400, resamplings=4)
        np.testing.assert_allclose(found.hess, CURVED, atol=0.2)
        assert bowl(found.x) < 1e-4

    @pytest.mark.parametrize("seed", range(6))
    def test_second_order_is_ahead_in_a_narrow_valley_at_equal_evaluations(self, seed: int) -> None:
        def valley(x: np.ndarray) -> float:
            return float(0.5 * np.array([20.0, 1.0]) @ x**2)

        options = {"rng": seed, "perturbation": 0.05}
        first = run(valley, [0.3, 2.0], maxiter=800, **options)
        second = run(valley, [0.3, 2.0], maxiter=400, second_order=True, **options)
        assert first.nfev == second.nfev
        assert second.fun < first.fun

    def test_averaged_iterates_are_the_mean_of_the_last_ones(self) -> None:
        found = run(Noisy(0.1, 0), [0.5, 0.5], maxiter=30, averaged_iterates=10, return_all=True)
        np.testing.assert_allclose(found.x, np.mean(found.allvecs[-10:], axis=0), rtol=1e-14)

    def test_blocking_never_accepts_a_rise(self) -> None:
        found = run(
            waves, [1.4, -1.0], blocking=True, allowed_increase=0.0, maxiter=60, return_all=True
        )
        energies = [waves(x) for x in found.allvecs]
        assert energies == sorted(energies, reverse=True)
        assert found.fun == energies[-1]

    def test_blocking_takes_the_noise_for_the_increase_that_it_allows(self) -> None:
        noisy = run(Noisy(0.5, 0), [0.3] * 4, blocking=True, maxiter=60, return_all=True)
        strict = run(
            Noisy(0.5, 0),
            [0.3] * 4,
            blocking=True,
            allowed_increase=0.0,
            maxiter=60,
            return_all=True,
        )
        accepted = [len({x.tobytes() for x in found.allvecs}) for found in (noisy, strict)]
        assert accepted[0] > 2 * accepted[1]

    @pytest.mark.parametrize("second_order", [False, True])
    def test_no_step_is_longer_than_max_step(self, second_order: bool) -> None:
        options: dict[str, Any] = {"learning_rate": 50.0, "second_order": second_order}
        found = run(waves, [0.9] * 3, max_step=0.05, maxiter=20, return_all=True, **options)
        steps = np.abs(np.diff(found.allvecs, axis=0)).max(axis=1)
        assert steps.max() == pytest.approx(0.05)


class TestFormulas:
    def test_gains_fall_as_spalls(self) -> None:
        law = GainLaw("learning_rate", 0.602, 10.0)
        steps = np.arange(50)
        np.testing.assert_allclose(law.over(50, 2.0), 2.0 * (11.0 / (steps + 11.0)) ** 0.602)

    def test_gains_may_be_given_one_by_one(self) -> None:
        law = GainLaw("learning_rate", 0.602, 10.0)
        np.testing.assert_array_equal(law.over(2, [3.0, 1.0, 5.0]), [3.0, 1.0])

    @pytest.mark.parametrize("target", [0.1, 1.0])
    def test_the_first_step_is_as_long_as_the_calibration_aims_at(self, target: float) -> None:
        found = run(
            lambda x: 7.0 * x[0], [0.0], maxiter=1, target_step=target, rng=0, return_all=True
        )
        np.testing.assert_allclose(found.x, [-target], rtol=1e-9)
        np.testing.assert_allclose(found.learning_rate, target / 7.0, rtol=1e-9)

    def test_a_step_is_the_papers(self) -> None:
        seen = Rounds()
        found = run(waves, [0.1, 0.9], maxiter=1, learning_rate=0.4, perturbation=0.2, workers=seen)
        plus, minus, final = seen.points
        signs = (plus - minus) / 0.4
        np.testing.assert_allclose(np.abs(signs), 1.0)
        slope = (waves(plus) - waves(minus)) / 0.4
        np.testing.assert_allclose(found.x, np.array([0.1, 0.9]) - 0.4 * slope / signs)
        np.testing.assert_array_equal(final, found.x)

    def test_the_mean_over_all_signs_of_a_linear_function_is_its_gradient(self) -> None:
        slopes = np.array([1.0, -2.0, 0.5])
        u = 0.1 * np.array(list(product([-1.0, 1.0], repeat=3)))
        every = Perturbation(np.concatenate([u, -u]), u, np.empty((0, 3)))
        np.testing.assert_allclose(every.gradient(every.points @ slopes), slopes)

    def test_the_mean_over_all_signs_of_a_quadratic_is_its_hessian(self) -> None:
        signs = list(product([-1.0, 1.0], repeat=3))
        u = 0.1 * np.array([a for a in signs for _ in signs])
        v = 0.2 * np.array([b for _ in signs for b in signs])
        x = np.array([0.3, 0.1, -0.2])
        every = Perturbation(np.concatenate([x + u, x - u, x + u + v, x - u + v]), u, v)
        values = np.array([bowl(point) for point in every.points])
        np.testing.assert_allclose(every.hessian(values), CURVED, atol=1e-10)


class TestRounds:
    def test_calibration_and_every_step_take_one(self) -> None:
        seen = Rounds()
        found = run(waves, [0.1] * 5, maxiter=4, workers=seen)
        assert seen.sizes == [50, 2, 2, 2, 2, 1]
        assert found.nfev == sum(seen.sizes)

    def test_resamplings_of_second_order_share_one(self) -> None:
        seen = Rounds()
        run(waves, [0.1] * 5, maxiter=2, second_order=True, resamplings=3, workers=seen)
        assert seen.sizes == [50, 12, 12, 1]

    def test_nothing_is_calibrated_that_is_given(self) -> None:
        seen = Rounds()
        run(waves, [0.1] * 2, maxiter=2, learning_rate=0.1, workers=seen)
        assert seen.sizes == [2, 2, 1]

    def test_blocking_takes_one_more_a_step_and_needs_none_at_the_end(self) -> None:
        seen = Rounds()
        run(waves, [0.1] * 2, maxiter=2, blocking=True, workers=seen)
        assert seen.sizes == [75, 2, 1, 2, 1]

    def test_long_runs_take_at_most_half_a_round_an_evaluation(self) -> None:
        seen = Rounds()
        found = run(waves, [0.1] * 6, maxiter=100, workers=seen)
        assert len(seen.sizes) <= 0.5 * found.nfev

    @settings(max_examples=40)
    @given(
        n=st.integers(1, 5),
        options=st.fixed_dictionaries(
            {
                "rng": st.integers(0, 99),
                "maxiter": st.integers(0, 12),
                "resamplings": st.integers(1, 3),
                "second_order": st.booleans(),
                "blocking": st.booleans(),
                "averaged_iterates": st.integers(1, 3),
                "maxfev": st.none() | st.integers(1, 150),
            }
        ),
    )
    def test_workers_change_nothing_and_maxfev_is_kept(
        self, n: int, options: dict[str, Any]
    ) -> None:
        """Any order of evaluation gives the same result, and as many evaluations as it says."""
        calls = 0

        def counted(x: np.ndarray) -> float:
            nonlocal calls
            calls += 1
            value = waves(x)
            x += 1.0  # the method's own points must not notice
            return value

        start = np.linspace(-0.5, 0.9, n)
        one_by_one = run(counted, start, **options)
        assert one_by_one.nfev == calls
        assert calls <= (options["maxfev"] or np.inf)
        assert fields(run(waves, start, workers=Rounds(), **options)) == fields(one_by_one)

    def test_a_thread_pools_map_will_do(self) -> None:
        with ThreadPoolExecutor(3) as pool:
            threaded = run(waves, [0.1] * 5, maxiter=20, workers=pool.map)
        assert fields(threaded) == fields(run(waves, [0.1] * 5, maxiter=20))


class TestBounds:
    @settings(max_examples=60)
    @given(
        data=st.data(),
        seed=st.integers(0, 99),
        second_order=st.booleans(),
        as_pairs=st.booleans(),
    )
    def test_no_point_lies_outside(
        self, data: st.DataObject, seed: int, second_order: bool, as_pairs: bool
    ) -> None:
        n = data.draw(st.integers(1, 4))
        edge = st.floats(-1.0, 1.0)
        low, width = (
            np.array(data.draw(st.lists(values, min_size=n, max_size=n)))
            for values in (edge, st.sampled_from([0.0, 1e-9, 0.1, 0.5, 3.0, np.inf]))
        )
        high = low + width
        low[data.draw(st.lists(st.booleans(), min_size=n, max_size=n))] = -np.inf
        seen = Rounds()
        start = np.clip(np.zeros(n), low, high)
        pairs = [
            (a if np.isfinite(a) else None, b if np.isfinite(b) else None)
            for a, b in zip(low, high, strict=True)
        ]
        found = run(
            waves,
            start,
            bounds=pairs if as_pairs else scipy.optimize.Bounds(low, high),
            rng=seed,
            maxiter=6,
            second_order=second_order,
            workers=seen,
        )
        assert all(((low <= x) & (x <= high)).all() for x in [*seen.points, found.x])

    @pytest.mark.parametrize("second_order", [False, True])
    def test_next_to_a_bound_the_middle_gives_way_and_not_the_distance(
        self, second_order: bool
    ) -> None:
        box = Box.of([(0.0, 9.0), (0.0, 0.2)], 2)
        trial = Perturbation.around(
            np.zeros(2),
            0.3,
            box,
            np.random.default_rng(0),
            directions=20,
            second_order=second_order,
        )
        apart = np.abs(trial.points[:20] - trial.points[20:40])
        np.testing.assert_allclose(apart, [[0.6, 0.1 if second_order else 0.2]] * 20)

    def test_a_minimum_on_the_edge_is_found(self) -> None:
        found = run(waves, [1.0, 1.0], bounds=[(0.8, 2.0), (None, None)], maxiter=200)
        assert found.x[0] == 0.8
        assert abs(found.x[1] - 0.3) < 0.1

    def test_a_start_outside_is_moved_in_with_scipys_warning(self) -> None:
        with pytest.warns(OptimizeWarning, match="Initial guess is not within"):
            found = run(waves, [5.0], bounds=[(0.0, 1.0)], maxiter=0)
        np.testing.assert_array_equal(found.x, [1.0])

    @pytest.mark.parametrize("bounds", [[(0, 1)], [(1, 0), (0, 1)], [(0, 1), (np.nan, 1)], 7])
    def test_impossible_ones_are_refused(self, bounds: Any) -> None:
        with pytest.raises(OptimizerError, match="bounds"):
            run(waves, [0.5, 0.5], bounds=bounds)

    def test_a_box_says_whether_it_bounds_anything(self) -> None:
        assert not Box.of(scipy.optimize.Bounds(), 2).is_finite
        assert Box.of([(None, 1.0), (None, None)], 2).is_finite


class TestEnding:
    def test_a_run_without_tolerance_makes_all_its_steps(self) -> None:
        found = run(waves, [0.1], maxiter=7)
        assert (found.status, found.success, found.nit) == (0, True, 7)

    def test_small_steps_end_a_run_with_a_tolerance(self) -> None:
        found = run(lambda x: 1.0, [0.1], maxiter=50, tol=1e-9)
        assert (found.status, found.success, found.nit) == (0, True, 5)

    def test_minimizes_tol_is_that_tolerance(self) -> None:
        found = scipy.optimize.minimize(lambda x: 1.0, [0.1], method=spsa, tol=1e-9)
        assert found.nit == 5

    def test_steps_that_stay_large_use_up_maxiter(self) -> None:
        found = run(waves, [0.9], maxiter=6, tol=1e-12)
        assert (found.status, found.success) == (2, False)

    def test_maxfev_ends_it(self) -> None:
        found = run(waves, [0.9], maxfev=60, maxiter=100)
        assert (found.status, found.success, found.nfev, found.nit) == (1, False, 59, 4)

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    @pytest.mark.parametrize("after", [0, 10, 55, 62, 77])
    @pytest.mark.parametrize("options", [{}, {"second_order": True}, {"blocking": True}])
    def test_a_value_that_is_not_finite_ends_it(
        self, bad: float, after: int, options: dict[str, Any]
    ) -> None:
        calls = 0

        def broken(x: np.ndarray) -> float:
            nonlocal calls
            calls += 1
            return bad if calls > after else waves(x)

        found = run(broken, [0.1, 0.2], **options)
        assert (found.status, found.success) == (3, False)
        assert "NaN or infinite" in found.message
        assert np.isfinite(found.x).all()
        assert calls <= after + 80

    def test_huge_values_end_it_without_a_warning(self) -> None:
        found = run(lambda x: 1e308 * np.sign(x[0]), [0.05], learning_rate=1.0)
        assert found.status == 3

    @pytest.mark.parametrize("options", [{}, {"second_order": True}, {"blocking": True}])
    def test_no_parameters_are_one_evaluation(self, options: dict[str, Any]) -> None:
        found = run(lambda x: 2.5, np.empty(0), **options)
        assert (found.fun, found.nfev, found.x.shape, found.success) == (2.5, 1, (0,), True)

    def test_no_steps_are_one_evaluation(self) -> None:
        found = run(waves, [0.3], maxiter=0)
        assert (found.fun, found.nfev, found.nit) == (-1.0, 1, 0)

    def test_disp_says_how_it_ended(self, capsys: pytest.CaptureFixture[str]) -> None:
        run(waves, [0.3], maxiter=2, disp=True)
        printed = capsys.readouterr().out
        assert "All iterations asked for were made." in printed
        assert "Function evaluations: 55" in printed


class TestCallback:
    def test_it_sees_every_iterate(self) -> None:
        seen: list[np.ndarray] = []
        found = run(
            waves, [0.1, 0.2], maxiter=5, callback=lambda xk: seen.append(xk), return_all=True
        )
        np.testing.assert_array_equal(seen, found.allvecs[1:])

    def test_it_may_take_scipys_intermediate_result(self) -> None:
        seen: list[OptimizeResult] = []

        def callback(intermediate_result: OptimizeResult) -> None:
            seen.append(intermediate_result)
            intermediate_result.x[:] = 9.0  # a copy

        found = run(waves, [0.1, 0.2], maxiter=5, callback=callback)
        assert [(r.nit, r.nfev) for r in seen] == [(k, 50 + 2 * k) for k in range(1, 6)]
        assert all(-2.0 <= r.fun <= 2.0 for r in seen)
        assert fields(found) == fields(run(waves, [0.1, 0.2], maxiter=5))

    def test_with_blocking_it_sees_the_iterates_own_values(self) -> None:
        seen: list[OptimizeResult] = []

        def callback(*, intermediate_result: OptimizeResult) -> None:
            seen.append(intermediate_result)

        run(waves, [0.1, 0.2], maxiter=5, blocking=True, callback=callback)
        assert [r.fun for r in seen] == [waves(r.x) for r in seen]

    def test_stop_iteration_ends_the_run_as_in_scipy(self) -> None:
        def callback(xk: np.ndarray) -> None:
            raise StopIteration

        found = run(waves, [0.1, 0.2], callback=callback)
        assert (found.status, found.success, found.nit) == (99, False, 1)
        assert found.message == "`callback` raised `StopIteration`."

    def test_other_errors_pass(self) -> None:
        with pytest.raises(ZeroDivisionError):
            run(waves, [0.1], callback=lambda xk: 1 / 0)


class TestDoor:
    def test_args_reach_the_function(self) -> None:
        found = run(lambda x, a, b: a * x[0] ** 2 + b, [0.5], args=(2.0, 7.0), maxiter=60)
        assert found.fun == pytest.approx(7.0, abs=1e-3)

    def test_it_is_called_without_minimize_too(self) -> None:
        found = spsa(lambda x, a: a - np.cos(x[0]), 0.4, 1.0, rng=0)
        assert found.x.shape == (1,)
        assert found.fun == pytest.approx(0.0, abs=1e-3)

    def test_a_seed_decides_everything(self) -> None:
        runs = [run(waves, [0.1, 0.2], rng=seed) for seed in (5, np.random.default_rng(5), 6)]
        assert fields(runs[0]) == fields(runs[1])
        assert fields(runs[0]) != fields(runs[2])

    def test_it_says_that_it_takes_workers(self) -> None:
        assert spsa.takes_workers

    @pytest.mark.parametrize(
        ("argument", "what"),
        [
            ({"jac": lambda x: x}, "gradient"),
            ({"hess": lambda x: x}, "Hessian information"),
            ({"hessp": lambda x, p: p}, "Hessian-vector"),
        ],
    )
    def test_derivatives_are_warned_of_as_in_scipy(
        self, argument: dict[str, Any], what: str
    ) -> None:
        with pytest.warns(RuntimeWarning, match=f"Method spsa does not use {what}"):
            scipy.optimize.minimize(waves, [0.1], method=spsa, options={"maxiter": 1}, **argument)

    def test_an_unknown_option_is_warned_of_as_in_scipy(self) -> None:
        with pytest.warns(OptimizeWarning, match="Unknown solver options: maxitre"):
            run(waves, [0.1], maxitre=3)

    def test_constraints_are_refused(self) -> None:
        constraint = {"type": "ineq", "fun": lambda x: x[0]}
        with pytest.raises(OptimizerError, match=r"cannot handle constraints.*COBYQA"):
            scipy.optimize.minimize(waves, [0.1], method=spsa, constraints=constraint)

    @pytest.mark.parametrize(
        "options",
        [
            {"maxiter": -1},
            {"maxiter": 2.5},
            {"maxiter": True},
            {"maxfev": 0},
            {"tol": -1.0},
            {"tol": np.nan},
            {"learning_rate": 0.0},
            {"learning_rate": [0.1, 0.1]},
            {"learning_rate": "fast"},
            {"perturbation": -0.1},
            {"perturbation": np.nan},
            {"perturbation": np.ones((100, 2))},
            {"alpha": -1.0},
            {"gamma": np.inf},
            {"stability": -1.0},
            {"target_step": 0.0},
            {"calibration_pairs": 0},
            {"max_step": 0.0},
            {"resamplings": 0},
            {"averaged_iterates": 0},
            {"initial_hessian": np.eye(3)},
            {"initial_hessian": [[np.nan, 0.0], [0.0, 1.0]]},
            {"regularization": 0.0},
            {"allowed_increase": -1.0},
            {"workers": 2},
            {"workers": "all"},
            {"rng": -1},
            {"rng": "seed"},
        ],
        ids=lambda options: "-".join(map(str, *options.items())).replace("\n", ""),
    )
    def test_an_option_out_of_range_is_refused_by_name(self, options: dict[str, Any]) -> None:
        calls = Noisy(0.0, 0)
        with pytest.raises(OptimizerError, match=next(iter(options))):
            run(calls, [0.1, 0.2], **options)
        assert calls.calls == 0

    @pytest.mark.parametrize("x0", [[np.nan], [0.0, np.inf], [[0.0]], ["a"], [1j]])
    def test_a_start_that_is_no_point_is_refused(self, x0: Any) -> None:
        with pytest.raises(ParameterError, match="x0"):
            spsa(waves, x0)

    @pytest.mark.parametrize("value", [np.zeros(2), "low", 1j, None])
    def test_an_objective_that_returns_no_number_is_refused(self, value: Any) -> None:
        with pytest.raises(OptimizerError, match="one real number"):
            run(lambda x: value, [0.1])

    def test_workers_that_lose_values_are_refused(self) -> None:
        with pytest.raises(OptimizerError, match="50 points and returned 49 values"):
            run(waves, [0.1], workers=lambda fn, points: [fn(point) for point in points[1:]])

    def test_errors_of_the_objective_pass(self) -> None:
        with pytest.raises(ZeroDivisionError):
            run(lambda x: 1 / 0, [0.1])
