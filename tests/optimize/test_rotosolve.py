"""``rotosolve``: exact minima block by block, in one round each."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import scipy.optimize
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import OptimizeResult, OptimizeWarning

from efaas.errors import OptimizerError, ParameterError
from efaas.optimize.rotosolve import rotosolve
from efaas.optimize.trigonometric import TrigonometricPolynomial, sample_angles

HARMONICS = [(1,), (2,), (3,), (6,), (1, 1), (2, 1), (1, 3), (2, 2), (1, 1, 1), (1, 2, 1)]


class Coupled:
    """A random sum of products of sinusoids, one harmonic in each parameter; with noise."""

    def __init__(self, n: int, seed: int, *, noise: float = 0.0) -> None:
        generator = np.random.default_rng(seed)
        self.weights = generator.normal(size=8)
        self.phases = generator.uniform(-np.pi, np.pi, (8, n))
        self.enters = generator.random((8, n)) < 0.6
        self.noise = noise
        self.generator = generator
        self.calls = 0

    def __call__(self, x: np.ndarray) -> float:
        self.calls += 1
        waves = np.where(self.enters, np.cos(x + self.phases), 1.0)
        exact = float(self.weights @ waves.prod(axis=1))
        return exact + (self.noise * float(self.generator.normal()) if self.noise else 0.0)


class Rounds:
    """A map that keeps how many points it was given, and evaluates the last ones first."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def __call__(self, fn: Callable[[Any], Any], points: Iterable[Any]) -> list[Any]:
        rows = list(points)
        self.sizes.append(len(rows))
        return [fn(row) for row in reversed(rows)][::-1]


def run(fun: Any, x0: Any, **options: Any) -> OptimizeResult:
    keyword = {
        name: options.pop(name) for name in ("callback", "bounds", "args") if name in options
    }
    return scipy.optimize.minimize(fun, x0, method=rotosolve, options=options, **keyword)


def fields(result: OptimizeResult) -> dict[str, Any]:
    return {
        name: np.asarray(value).tobytes() if name != "message" else value
        for name, value in result.items()
    }


def random_polynomial(harmonics: tuple[int, ...], seed: int) -> TrigonometricPolynomial:
    count = int(np.prod([2 * r + 1 for r in harmonics]))
    return TrigonometricPolynomial.through(
        np.random.default_rng(seed).normal(size=count), harmonics
    )


class TestPolynomial:
    @pytest.mark.parametrize("harmonics", HARMONICS)
    def test_it_goes_through_its_values(self, harmonics: tuple[int, ...]) -> None:
        values = np.random.default_rng(0).normal(size=len(sample_angles(harmonics)))
        polynomial = TrigonometricPolynomial.through(values, harmonics)
        got = [polynomial.at(angles) for angles in sample_angles(harmonics)]
        np.testing.assert_allclose(got, values, atol=1e-12)

    def test_it_is_the_function_that_gave_the_values(self) -> None:
        def f(a: float, b: float) -> float:
            return float(1.0 + np.sin(2 * a + 0.3) * np.cos(b) - 0.4 * np.cos(a))

        polynomial = TrigonometricPolynomial.through(
            np.array([f(*angles) for angles in sample_angles((2, 1))]), (2, 1)
        )
        for angles in np.random.default_rng(1).uniform(-7, 7, (20, 2)):
            assert polynomial.at(angles) == pytest.approx(f(*angles), abs=1e-12)

    @pytest.mark.parametrize("harmonics", HARMONICS)
    @pytest.mark.parametrize("seed", range(6))
    def test_no_point_of_a_fine_mesh_is_lower_than_its_minimum(
        self, harmonics: tuple[int, ...], seed: int
    ) -> None:
        polynomial = random_polynomial(harmonics, seed)
        angles, value = polynomial.minimum()
        assert value == pytest.approx(polynomial.at(angles), abs=1e-13)
        assert ((-np.pi < angles) & (angles <= np.pi)).all()
        size = {1: 2000, 2: 128, 3: 48}[len(harmonics)]
        mesh = np.zeros([size] * len(harmonics), dtype=complex)
        mesh[np.ix_(*[np.arange(-r, r + 1) for r in harmonics])] = polynomial.coefficients
        assert value <= np.fft.ifftn(mesh, norm="forward").real.min() + 1e-12

    @pytest.mark.parametrize("harmonics", HARMONICS)
    def test_scipy_finds_no_lower_one_nearby(self, harmonics: tuple[int, ...]) -> None:
        polynomial = random_polynomial(harmonics, 99)
        angles, value = polynomial.minimum()
        polished = scipy.optimize.minimize(polynomial.at, angles, method="BFGS")
        assert polished.fun >= value - 1e-12
        np.testing.assert_allclose(polished.x, angles, atol=1e-5)

    @given(
        offset=st.floats(-10, 10),
        a=st.floats(-10, 10),
        b=st.floats(-10, 10),
    )
    def test_one_harmonic_has_the_closed_form(self, offset: float, a: float, b: float) -> None:
        grid = sample_angles((1,))[:, 0]
        values = offset + a * np.cos(grid) + b * np.sin(grid)
        _, value = TrigonometricPolynomial.through(values, (1,)).minimum()
        assert value == pytest.approx(offset - np.hypot(a, b), abs=1e-11)

    @pytest.mark.parametrize("harmonics", HARMONICS)
    @pytest.mark.parametrize("level", [0.0, 0.1, -1e6])
    def test_a_constant_gives_no_reason_to_move(
        self, harmonics: tuple[int, ...], level: float
    ) -> None:
        values = np.full(len(sample_angles(harmonics)), level)
        angles, value = TrigonometricPolynomial.through(values, harmonics).minimum()
        np.testing.assert_array_equal(angles, np.zeros(len(harmonics)))
        assert value == pytest.approx(level, rel=1e-14)


class TestMinimum:
    def test_independent_angles_are_done_in_one_sweep(self) -> None:
        generator = np.random.default_rng(0)
        weights, phases = generator.normal(size=7), generator.uniform(-3, 3, 7)
        found = run(lambda x: float(weights @ np.cos(x + phases)), np.zeros(7), maxiter=1)
        assert found.fun == pytest.approx(-np.abs(weights).sum(), abs=1e-12)

    @pytest.mark.parametrize("block_size", [1, 2, 3])
    @pytest.mark.parametrize("reuse", [False, True])
    @pytest.mark.parametrize("order", ["cyclic", "random"])
    @pytest.mark.parametrize("seed", [0, 1])
    def test_no_sweep_goes_up_and_the_end_is_a_minimum(
        self, block_size: int, reuse: bool, order: str, seed: int
    ) -> None:
        energy = Coupled(5, seed)
        found = run(
            energy,
            np.full(5, 0.1),
            block_size=block_size,
            reuse=reuse,
            order=order,
            rng=3,
            ftol=1e-12,
            maxiter=400,
            return_all=True,
        )
        values = np.array([energy(x) for x in found.allvecs])
        assert (np.diff(values) <= 1e-12).all()
        assert found.success
        assert found.fun == energy(found.x)
        polished = scipy.optimize.minimize(energy, found.x, method="BFGS")
        assert polished.fun >= found.fun - 1e-8

    def test_a_block_of_all_parameters_is_the_global_minimum_at_once(self) -> None:
        for seed in range(5):
            energy = Coupled(3, seed)
            found = run(energy, np.zeros(3), block_size=3, maxiter=1)
            globally = scipy.optimize.shgo(energy, [(-np.pi, np.pi)] * 3, n=200)
            assert found.fun <= globally.fun + 1e-9

    def test_noise_is_lived_with(self) -> None:
        for seed in range(3):
            exact = Coupled(5, seed)
            quiet = run(exact, np.zeros(5), maxiter=30)
            noisy = run(Coupled(5, seed, noise=0.02), np.zeros(5), maxiter=30)
            assert exact(noisy.x) < quiet.fun + 0.15

    def test_frequencies_scale_the_angles(self) -> None:
        speeds = np.array([1.0, 2.0, 0.5])
        found = run(
            lambda x: float(np.cos(speeds * x + 0.4).sum()),
            np.zeros(3),
            frequencies=speeds,
            maxiter=1,
        )
        assert found.fun == pytest.approx(-3.0, abs=1e-12)
        np.testing.assert_allclose(np.abs(speeds * found.x), np.pi - 0.4, atol=1e-7)

    @pytest.mark.parametrize("block_size", [1, 2])
    def test_a_parameter_of_several_gates_takes_its_harmonics(self, block_size: int) -> None:
        def energy(x: np.ndarray) -> float:
            return float(np.cos(3 * x[0]) + np.cos(x[0] + 0.5) + np.sin(2 * x[1] - x[0]))

        start = np.array([0.2, 0.1])
        seen = Rounds()
        found = run(
            energy,
            start,
            harmonics=[3, 2],
            block_size=block_size,
            maxiter=200,
            ftol=1e-13,
            workers=seen,
        )
        assert set(seen.sizes[:-1]) == ({7, 5} if block_size == 1 else {35})
        line = np.linspace(-np.pi, np.pi, 20001)
        lowest = (np.cos(3 * line) + np.cos(line + 0.5)).min() - 1.0
        assert found.fun == pytest.approx(lowest, abs=1e-6)


class TestRounds:
    @pytest.mark.parametrize(
        ("options", "sizes"),
        [
            ({}, [3, 3, 3, 3, 3, 3, 1]),
            ({"reuse": True}, [3, 2, 2, 2, 2, 2, 1]),
            ({"reuse": True, "reset_interval": 2}, [3, 2, 3, 2, 3, 2, 1]),
            ({"block_size": 2}, [9, 3, 9, 3, 1]),
            ({"block_size": 2, "reuse": True}, [9, 2, 8, 2, 1]),
            ({"block_size": 3}, [27, 27, 1]),
            ({"harmonics": 2}, [5, 5, 5, 5, 5, 5, 1]),
        ],
    )
    def test_a_step_is_one(self, options: dict[str, Any], sizes: list[int]) -> None:
        seen = Rounds()
        found = run(Coupled(3, 0), np.zeros(3), maxiter=2, ftol=None, workers=seen, **options)
        assert seen.sizes == sizes
        assert found.nfev == sum(sizes)

    @pytest.mark.parametrize(("block_size", "most"), [(1, 0.34), (2, 0.12)])
    def test_the_ratio_of_rounds_to_evaluations_is_small(
        self, block_size: int, most: float
    ) -> None:
        seen = Rounds()
        run(Coupled(16, 0), np.zeros(16), maxiter=4, ftol=None, block_size=block_size, workers=seen)
        assert len(seen.sizes) <= most * sum(seen.sizes)

    @settings(max_examples=40)
    @given(
        n=st.integers(0, 5),
        seed=st.integers(0, 99),
        options=st.fixed_dictionaries(
            {
                "rng": st.integers(0, 99),
                "maxiter": st.integers(0, 4),
                "block_size": st.integers(1, 3),
                "harmonics": st.integers(1, 2),
                "reuse": st.booleans(),
                "order": st.sampled_from(["cyclic", "random"]),
                "maxfev": st.none() | st.integers(1, 60),
            }
        ),
    )
    def test_workers_change_nothing_and_maxfev_is_kept(
        self, n: int, seed: int, options: dict[str, Any]
    ) -> None:
        """Any order of evaluation gives the same result, and as many evaluations as it says."""
        energy = Coupled(n, seed)

        def writes(x: np.ndarray) -> float:
            value = energy(x)
            x[:] = 0.0  # the method's own points must not notice
            return value

        start = np.linspace(-0.5, 0.9, n)
        one_by_one = run(writes, start, **options)
        assert one_by_one.nfev == energy.calls
        assert energy.calls <= (options["maxfev"] or np.inf)
        assert fields(run(energy, start, workers=Rounds(), **options)) == fields(one_by_one)

    def test_a_thread_pools_map_will_do(self) -> None:
        with ThreadPoolExecutor(3) as pool:
            threaded = run(Coupled(4, 0), np.zeros(4), workers=pool.map)
        assert fields(threaded) == fields(run(Coupled(4, 0), np.zeros(4)))


class TestEnding:
    def test_a_sweep_that_changes_nothing_ends_it(self) -> None:
        found = run(lambda x: float(np.cos(x).sum()), np.zeros(3))
        assert (found.status, found.success, found.nit) == (0, True, 2)

    def test_both_tolerances_must_hold_where_both_are_given(self) -> None:
        loose = run(Coupled(5, 1), np.zeros(5), ftol=1e-3)
        both = run(Coupled(5, 1), np.zeros(5), ftol=1e-3, xtol=1e-6, maxiter=1000)
        assert both.success
        assert both.nit > loose.nit

    def test_minimizes_tol_stands_for_ftol(self) -> None:
        by_tol = scipy.optimize.minimize(Coupled(5, 1), np.zeros(5), method=rotosolve, tol=1e-3)
        assert fields(by_tol) == fields(run(Coupled(5, 1), np.zeros(5), ftol=1e-3))

    def test_maxiter_ends_it(self) -> None:
        found = run(Coupled(5, 1), np.zeros(5), maxiter=1)
        assert (found.status, found.success, found.nit) == (2, False, 1)

    def test_without_tolerances_all_sweeps_are_made(self) -> None:
        found = run(lambda x: 1.0, np.zeros(2), ftol=None, maxiter=4)
        assert (found.status, found.success, found.nit) == (0, True, 4)

    def test_maxfev_ends_it_within_a_sweep(self) -> None:
        found = run(Coupled(5, 1), np.zeros(5), maxfev=12)
        assert (found.status, found.success, found.nfev, found.nit) == (1, False, 10, 0)
        assert found.x[2] != 0.0
        assert found.x[3] == 0.0

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    @pytest.mark.parametrize("after", [0, 1, 10, 16])
    @pytest.mark.parametrize("options", [{}, {"block_size": 2}, {"reuse": True}])
    def test_a_value_that_is_not_finite_ends_it(
        self, bad: float, after: int, options: dict[str, Any]
    ) -> None:
        energy = Coupled(4, 0)
        found = run(
            lambda x: bad if energy.calls >= after else energy(x), np.zeros(4), ftol=None, **options
        )
        assert (found.status, found.success) == (3, False)
        assert "NaN or infinite" in found.message
        assert np.isfinite(found.x).all()

    def test_no_parameters_are_one_evaluation(self) -> None:
        found = run(lambda x: 2.5, np.empty(0))
        assert (found.fun, found.nfev, found.x.shape, found.success) == (2.5, 1, (0,), True)

    def test_disp_says_how_it_ended(self, capsys: pytest.CaptureFixture[str]) -> None:
        run(lambda x: float(np.cos(x).sum()), np.zeros(3), disp=True)
        assert "Current function value: -3.000000" in capsys.readouterr().out

    def test_return_all_has_every_sweep(self) -> None:
        found = run(Coupled(5, 1), np.zeros(5), maxiter=3, return_all=True)
        assert len(found.allvecs) == 4
        np.testing.assert_array_equal(found.allvecs[-1], found.x)


class TestCallback:
    def test_it_sees_every_sweep(self) -> None:
        seen: list[np.ndarray] = []

        def callback(xk: np.ndarray) -> None:
            seen.append(xk)

        found = run(Coupled(5, 1), np.zeros(5), maxiter=3, callback=callback, return_all=True)
        np.testing.assert_array_equal(seen, found.allvecs[1:])

    def test_it_may_take_scipys_intermediate_result(self) -> None:
        seen: list[OptimizeResult] = []

        def callback(intermediate_result: OptimizeResult) -> None:
            seen.append(OptimizeResult(intermediate_result))
            seen[-1].x = intermediate_result.x.copy()
            intermediate_result.x[:] = 9.0  # a copy

        energy = Coupled(5, 1)
        found = run(energy, np.zeros(5), maxiter=3, callback=callback)
        assert [(r.nit, r.nfev) for r in seen] == [(1, 15), (2, 30), (3, 45)]
        np.testing.assert_allclose([r.fun for r in seen], [energy(r.x) for r in seen], atol=1e-12)
        assert fields(found) == fields(run(Coupled(5, 1), np.zeros(5), maxiter=3))

    def test_stop_iteration_ends_the_run_as_in_scipy(self) -> None:
        def callback(xk: np.ndarray) -> None:
            raise StopIteration

        found = run(Coupled(5, 1), np.zeros(5), callback=callback)
        assert (found.status, found.success, found.nit) == (99, False, 1)
        assert found.message == "`callback` raised `StopIteration`."


class TestDoor:
    def test_args_reach_the_function(self) -> None:
        found = run(lambda x, a, b: a * np.cos(x[0]) + b, [0.5], args=(2.0, 7.0))
        assert found.fun == pytest.approx(5.0)

    def test_it_is_called_without_minimize_too(self) -> None:
        assert rotosolve(lambda x, a: a * np.sin(x[0]), 0.4, 2.0).fun == pytest.approx(-2.0)

    def test_it_says_that_it_takes_workers(self) -> None:
        assert rotosolve.takes_workers

    def test_a_seed_decides_the_random_order(self) -> None:
        runs = [
            run(Coupled(8, 1), np.zeros(8), maxiter=2, order="random", rng=seed)
            for seed in (5, np.random.default_rng(5), 6)
        ]
        assert fields(runs[0]) == fields(runs[1])
        assert fields(runs[0]) != fields(runs[2])

    def test_bounds_that_bound_nothing_pass(self) -> None:
        found = run(Coupled(2, 1), np.zeros(2), bounds=[(None, None)] * 2)
        assert fields(found) == fields(run(Coupled(2, 1), np.zeros(2)))

    def test_bounds_are_refused(self) -> None:
        with pytest.raises(OptimizerError, match="cannot handle bounds"):
            run(Coupled(2, 1), np.zeros(2), bounds=[(0, 1), (None, None)])

    def test_constraints_are_refused(self) -> None:
        constraint = {"type": "ineq", "fun": lambda x: x[0]}
        with pytest.raises(OptimizerError, match="cannot handle constraints"):
            scipy.optimize.minimize(np.sum, [0.1], method=rotosolve, constraints=[constraint])

    def test_derivatives_are_warned_of_as_in_scipy(self) -> None:
        with pytest.warns(RuntimeWarning, match="Method rotosolve does not use gradient"):
            scipy.optimize.minimize(Coupled(2, 1), np.zeros(2), method=rotosolve, jac=np.cos)

    def test_an_unknown_option_is_warned_of_as_in_scipy(self) -> None:
        with pytest.warns(OptimizeWarning, match="Unknown solver options: blocks"):
            run(Coupled(2, 1), np.zeros(2), blocks=3)

    @pytest.mark.parametrize(
        "options",
        [
            {"maxiter": -1},
            {"maxfev": 0},
            {"ftol": -1.0},
            {"xtol": np.nan},
            {"block_size": 0},
            {"block_size": 4},
            {"block_size": 1.5},
            {"frequencies": 0.0},
            {"frequencies": [1.0, -1.0]},
            {"frequencies": [1.0, 1.0, 1.0]},
            {"frequencies": "fast"},
            {"harmonics": 0},
            {"harmonics": 1.5},
            {"harmonics": [1, 2, 3]},
            {"harmonics": 100_000},
            {"order": "shuffled"},
            {"reset_interval": 0, "reuse": True},
            {"workers": 2},
            {"rng": "seed", "order": "random"},
        ],
        ids=lambda options: "-".join(map(str, next(iter(options.items())))),
    )
    def test_an_option_out_of_range_is_refused_by_name(self, options: dict[str, Any]) -> None:
        energy = Coupled(2, 1)
        with pytest.raises(OptimizerError, match=next(iter(options))):
            run(energy, np.zeros(2), **options)
        assert energy.calls == 0

    @pytest.mark.parametrize("x0", [[np.nan], [0.0, np.inf], [[0.0]], ["a"]])
    def test_a_start_that_is_no_point_is_refused(self, x0: Any) -> None:
        with pytest.raises(ParameterError, match="x0"):
            rotosolve(np.sum, x0)
