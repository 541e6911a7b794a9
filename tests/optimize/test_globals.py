"""The rest of ``scipy.optimize``: scipy's results to the bit, in rounds where it can be."""

from __future__ import annotations

import pickle
from collections import Counter
from typing import Any

import numpy as np
import pytest
import scipy.optimize
from global_cases import BRIEFLY, CASES, FEW, Plain, Seen, as_point, compare
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit.circuit import ParameterVector, QuantumCircuit
from shuffled import ShuffledObjective
from starts import RealRun
from test_exactness import Landscape, WrongPredictor, same

import efaas
import efaas.optimize.drive
from efaas.optimize.asks import Ask
from efaas.optimize.oracle import oracle_for
from efaas.optimize.scipy_call import scipy_is
from efaas.testing import FakeBackend


@pytest.mark.parametrize("case", CASES)
@settings(max_examples=2)
@given(
    seed=st.integers(0, 2**20),
    noise=st.sampled_from([0.0, 0.01]),
    share=st.sampled_from([0.0, 2e-4, 5e-4]),
    width=st.integers(2, 12),
)
def test_every_function_does_what_it_does_in_scipy(
    case: str, seed: int, noise: float, share: float, width: int
) -> None:
    """Theorem: points, fields, warnings and errors are scipy's to the bit.

    For every function, problem, order of completion, budget and width, speculating or not.
    """
    name, n, arguments = CASES[case]
    chosen: Any
    if share:
        chosen = efaas.Speculation(predictor_share=share, width=width, extra_shots=1e9)
    else:
        chosen = "off"
    compare(
        name,
        lambda: ShuffledObjective(Landscape(n, seed, noise), n, seed=seed),
        lambda: dict(arguments),
        speculation=chosen,
    )


@pytest.mark.parametrize("case", CASES)
def test_guesses_that_are_always_wrong_change_nothing(
    case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(efaas.optimize.drive, "Predictor", WrongPredictor)
    name, n, arguments = CASES[case]
    compare(
        name,
        lambda: ShuffledObjective(Landscape(n, 1, 0.01), n),
        lambda: dict(arguments),
        speculation=efaas.Speculation(extra_shots=1e9),
    )


@pytest.mark.parametrize("case", CASES)
def test_an_error_of_the_objective_comes_out_as_in_scipy(case: str) -> None:
    name, n, arguments = CASES[case]
    errors = [
        compare(
            name,
            lambda: ShuffledObjective(Landscape(n, 1, 0.0, fails_at=limit), n),  # noqa: B023
            lambda: dict(arguments),
            speculation=BRIEFLY,
        ).error
        for limit in (-0.5, 1.2)
    ]
    assert "no value at" in errors[0]


@pytest.mark.parametrize(
    "case", ["golden", "immediate", "annealing", "hopping simplices", "halton"]
)
def test_guesses_save_rounds(case: str) -> None:
    name, n, arguments = CASES[case]
    make = lambda: ShuffledObjective(Landscape(n, 3, 0.0), n)  # noqa: E731
    chosen = efaas.Speculation(predictor_share=5e-2, extra_shots=1e9)
    report = compare(name, make, lambda: dict(arguments), speculation=chosen).report
    known = compare(name, make, lambda: dict(arguments), speculation="off").report
    assert report is not None
    assert known is not None
    assert report.hits > 0
    assert report.rounds < known.rounds


def circuit(parameters: int) -> QuantumCircuit:
    made = QuantumCircuit(2)
    for index, angle in enumerate(ParameterVector("t", parameters)):
        made.ry(angle, index % 2)
    return made


def bowl(angles: np.ndarray, seed: int) -> float:
    noise = np.random.Generator(np.random.Philox(key=seed)).normal(scale=1e-3)
    return float(np.sum(1.0 - np.cos(angles - 0.3)) + 0.1 * np.sin(angles).prod() + noise)


@pytest.mark.parametrize("case", CASES)
def test_objectives_of_a_session_give_what_scipy_gives(case: str) -> None:
    name, n, arguments = CASES[case]
    seen = []
    for module, speculation in ((efaas.optimize, {}), (scipy.optimize, None)):
        with efaas.EFSession(FakeBackend(value=bowl), seed=3) as session:
            objective = session.objective(circuit(n), "ZZ")
            fun: Any = objective
            if speculation is None and name == "minimize_scalar":
                fun = as_point(objective)
            seen.append(Seen(getattr(module, name), fun, [], **arguments))
    assert seen[0].error == seen[1].error == ""
    assert same(seen[0].fields, seen[1].fields)


def known(name: str, parameters: int, **arguments: Any) -> tuple[Any, list[int]]:
    """The result without guessing, and the points of each round."""
    backend = FakeBackend(value=bowl)
    with efaas.EFSession(backend, seed=3) as session:
        objective = session.objective(circuit(parameters), "ZZ")
        result = getattr(efaas.optimize, name)(objective, speculation="off", **arguments)
    return result, backend.rounds


@pytest.mark.parametrize("seed", [{}, {"rng": None}, {"rng": 1}, {"seed": 1}])
def test_the_first_population_is_one_round(seed: dict[str, Any]) -> None:
    _, rounds = known(
        "differential_evolution", 3, bounds=[(-1, 1)] * 3, maxiter=1, polish=False, **seed
    )
    assert rounds == [45] + [1] * 45


def test_a_generation_is_one_round() -> None:
    arguments = {"bounds": [(-1, 1)] * 3, "updating": "deferred", "maxiter": 4, "tol": 0}
    _, rounds = known("differential_evolution", 3, polish=False, **arguments)
    assert rounds == [45] * 5


@pytest.mark.parametrize(
    ("name", "arguments", "factor"),
    [
        ("differential_evolution", {"bounds": [(-1, 1)] * 3, "updating": "deferred", **FEW}, 1.2),
        ("dual_annealing", {"bounds": [(-1, 1)] * 3, "maxiter": 4, "rng": 1}, 1.2),
        ("basinhopping", {"x0": [0.5] * 3, "niter": 2, "rng": 1}, 1.6),
        ("basinhopping", {"x0": [0.5] * 3, "niter": 2, "rng": 1,
                          "minimizer_kwargs": {"jac": "parameter-shift"}}, 2.5),
        ("shgo", {"bounds": [(-1, 1)] * 3, "n": 64, "sampling_method": "sobol"}, 1.8),
    ],
)  # fmt: skip
def test_what_is_known_in_advance_takes_fewer_rounds_than_evaluations(
    name: str, arguments: dict[str, Any], factor: float
) -> None:
    _, rounds = known(name, 3, **arguments)
    assert sum(rounds) > factor * len(rounds)


@pytest.mark.skipif(not scipy_is("1.17", "1.18"), reason="this scipy's polishing takes no workers")
def test_the_finite_differences_of_polishing_are_one_round() -> None:
    bounds = [(-1, 1)] * 3
    _, rounds = known("differential_evolution", 3, bounds=bounds, maxiter=1, popsize=3, rng=1)
    _, without = known(
        "differential_evolution", 3, bounds=bounds, maxiter=1, popsize=3, rng=1, polish=False
    )
    polishing = rounds[len(without) :]
    assert polishing.count(3) >= 5
    assert len(polishing) <= 2 * polishing.count(3)


def test_a_grid_goes_out_in_rounds_of_a_thousand() -> None:
    _, rounds = known("brute", 1, ranges=[(-1, 1)], Ns=2_500, finish=None)
    assert rounds == [1_000, 1_000, 500]


def test_guessing_does_not_join_the_rounds_of_a_grid() -> None:
    ours = efaas.Speculation(predictor_share=0.01, extra_shots=1e9)
    objective = ShuffledObjective(Landscape(1, 1, 0.0), 1)
    x = efaas.optimize.brute(objective, [(-1, 1)], Ns=2_001, finish=None, speculation=ours)
    assert objective.rounds == 3
    assert same(x, scipy.optimize.brute(objective, [(-1, 1)], Ns=2_001, finish=None))


@pytest.mark.parametrize("n", [1, 3, 20])
def test_the_local_search_of_annealing_is_the_one_that_scipy_fills_in(n: int) -> None:
    """Scipy's own defaults are repeated here; they must be those of the scipy that is installed."""
    compare(
        "dual_annealing",
        lambda: ShuffledObjective(Landscape(n, 2, 0.0), n),
        lambda: {"bounds": scipy.optimize.Bounds([-1.0] * n, [2.0] * n), "maxiter": 2, "rng": 1},
        speculation="off",
    )


@pytest.mark.parametrize("case", [case for case in CASES if not case.startswith(("grid", "cons"))])
def test_a_copy_asks_for_what_the_real_run_asks_for(
    case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy can be pickled and made again, and leaves the next one as it was."""
    starts: list[Any] = []

    def noted(start: Any) -> Any:
        starts.append(start)
        return oracle_for(start)

    monkeypatch.setattr(efaas.optimize.drive, "oracle_for", noted)
    name, n, arguments = CASES[case]
    answer = Landscape(n, 3, 0.0)
    objective = ShuffledObjective(answer, n)
    getattr(efaas.optimize, name)(objective, speculation=BRIEFLY, **arguments)
    [start] = starts
    assert start.is_data
    for copied in (start, start, pickle.loads(pickle.dumps(start))):
        run = RealRun(lambda ask: answer(ask, 1))
        copied(run)
        asked = [Ask(np.atleast_1d(ask.x)).key for step in run.steps for ask in step]
        assert Counter(asked) == Counter(objective.asked)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("speculation", [None, "exact"])
def test_plain_functions_are_taken_with_their_arguments(case: str, speculation: Any) -> None:
    name, _, arguments = CASES[case]
    arguments = dict(arguments)
    if name == "basinhopping":
        arguments["minimizer_kwargs"] = {**arguments.get("minimizer_kwargs", {}), "args": (2.0,)}
    else:
        arguments["args"] = (2.0,)
    if speculation is not None:
        speculation = efaas.Speculation(workers=2, predictor_share=5.0)
    ours = Seen(getattr(efaas.optimize, name), Plain(), [], speculation=speculation, **arguments)
    theirs = Seen(getattr(scipy.optimize, name), Plain(), [], **arguments)
    assert ours.error == theirs.error == ""
    assert same(ours.fields, theirs.fields)
    assert name == "brute" or ours.report is not None
