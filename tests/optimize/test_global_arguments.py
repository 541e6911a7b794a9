"""The rest of ``scipy.optimize``: every argument means what it means in scipy, or is refused."""

from __future__ import annotations

import functools
import inspect
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.optimize
from global_cases import BOX, BRIEFLY, CASES, Plain, as_point, compare
from shuffled import ShuffledObjective
from test_exactness import Landscape, same

import efaas
from efaas.errors import OptimizerError, ParameterError
from efaas.optimize.sources import SubmitsPoints


def test_a_users_generator_advances_as_in_scipy() -> None:
    states = []
    for module, more in ((efaas.optimize, {"speculation": BRIEFLY}), (scipy.optimize, {})):
        generator = np.random.default_rng(5)
        older = np.random.RandomState(5)
        objective = ShuffledObjective(Landscape(2, 1, 0.0), 2)
        module.differential_evolution(objective, BOX, maxiter=2, popsize=3, rng=generator, **more)
        module.dual_annealing(objective, BOX, maxiter=3, seed=older, **more)
        states.append((generator.bit_generator.state, older.get_state()))
    assert same(*states)


def test_numpys_global_generator_is_used_as_in_scipy_and_not_guessed_on() -> None:
    seen = []
    for module in (efaas.optimize, scipy.optimize):
        np.random.seed(5)  # noqa: NPY002 scipy's default
        random.seed(5)
        objective = ShuffledObjective(Landscape(2, 1, 0.0), 2)
        result = module.basinhopping(objective, [0.5, 0.1], niter=2)
        report = result.pop("speculation", None)
        state = np.random.get_state()  # noqa: NPY002 likewise
        seen.append((dict(result), state, random.getstate(), report))
    assert same(seen[0][:3], seen[1][:3])
    assert seen[0][3].notes == ("no seed: not guessed on",)
    assert seen[0][3].hits == seen[0][3].misses == 0


@pytest.mark.parametrize(
    "positional",
    [("best1bin", 2, 3, 0.01, (0.5, 1), 0.7, 7), ("best1bin", 2, 3, 0.01, (0.5, 1), 0.7, None)],
)
def test_a_seed_by_position_means_what_it_means_in_scipy(positional: tuple[Any, ...]) -> None:
    results = []
    for module, more in ((efaas.optimize, {"speculation": BRIEFLY}), (scipy.optimize, {})):
        np.random.seed(1)  # noqa: NPY002 scipy's default
        objective = ShuffledObjective(Landscape(2, 1, 0.0), 2)
        result = module.differential_evolution(objective, BOX, (), *positional, **more)
        result.pop("speculation", None)
        results.append(dict(result))
    assert same(*results)


def test_two_seeds_are_refused_by_scipy() -> None:
    objective = ShuffledObjective(Landscape(2, 1, 0.0), 2)
    with pytest.raises(TypeError, match="multiple values"):
        efaas.optimize.differential_evolution(objective, BOX, rng=1, seed=1)


class Wandering:
    """A step with random numbers of its own, which counts how often it is taken."""

    def __init__(self) -> None:
        self.calls = 0
        self._random = np.random.default_rng(3)

    def __call__(self, x: Any) -> Any:
        self.calls += 1
        return x + self._random.uniform(-0.3, 0.3, x.shape)


def test_functions_of_ones_own_are_called_as_often_as_in_scipy() -> None:
    steps = []

    def arguments() -> dict[str, Any]:
        steps.append(Wandering())
        return {"x0": np.array([0.5, 0.1]), "niter": 3, "rng": 2, "take_step": steps[-1]}

    report = compare(
        "basinhopping",
        lambda: ShuffledObjective(Landscape(2, 1, 0.0), 2),
        arguments,
        speculation=BRIEFLY,
    ).report
    assert report is not None
    assert report.notes[0].startswith("take_step: functions of one's own")
    assert steps[0].calls == steps[1].calls == 3


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("differential_evolution", {"strategy": lambda i, p, rng=None: p[i] * 0.9, "rng": 1}),
        (
            "differential_evolution",
            {"polish": functools.partial(scipy.optimize.minimize), "rng": 1},
        ),
        ("dual_annealing", {"minimizer_kwargs": {"method": "BFGS", "jac": np.sin}, "rng": 1}),
        ("shgo", {"constraints": {"type": "ineq", "fun": lambda x: 1 - x.sum()}}),
    ],
)
def test_a_note_says_where_nothing_is_guessed(name: str, arguments: dict[str, Any]) -> None:
    few = {} if name == "shgo" else {"maxiter": 2}
    report = compare(
        name,
        lambda: ShuffledObjective(Landscape(2, 1, 0.0), 2),
        lambda: {"bounds": BOX, **few, **arguments},
        speculation=BRIEFLY,
    ).report
    assert report is not None
    assert "not guessed on" in report.notes[0]
    assert report.hits == report.misses == 0


@pytest.mark.parametrize("stops", [True, False])
def test_callbacks_are_called_as_in_scipy(stops: bool) -> None:
    calls: list[list[Any]] = []

    def callback(*seen: Any) -> bool:
        calls[-1].append([np.array(item) for item in seen])
        return stops and len(calls[-1]) == 2

    for name, arguments in (
        ("dual_annealing", {"bounds": BOX, "maxiter": 4, "rng": 1}),
        ("basinhopping", {"x0": np.zeros(2), "niter": 3, "rng": 1}),
    ):
        calls.clear()

        def fresh(arguments: dict[str, Any] = arguments) -> dict[str, Any]:
            calls.append([])
            return {**arguments, "callback": callback}

        compare(
            name,
            lambda: ShuffledObjective(Landscape(2, 1, 0.0), 2),
            fresh,
            speculation=BRIEFLY,
        )
        assert calls[0]
        assert same(*calls)


def test_evolution_tells_its_callback_as_in_scipy() -> None:
    seen: list[Any] = []

    def callback(intermediate_result: Any) -> None:
        seen.append(dict(intermediate_result, population=intermediate_result.population.copy()))
        if len(seen) % 2 == 0:
            raise StopIteration

    compare(
        "differential_evolution",
        lambda: ShuffledObjective(Landscape(2, 1, 0.0), 2),
        lambda: {"bounds": BOX, "callback": callback, "rng": 1, "popsize": 3},
        speculation=BRIEFLY,
    )
    assert len(seen) == 4


@pytest.mark.parametrize("case", ["immediate", "hopping", "grid", "bounded"])
def test_only_the_real_run_prints(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    name, n, arguments = CASES[case]
    quiet = {"options": {"disp": 3}} if case == "bounded" else {"disp": True}
    printed = []
    make = lambda: ShuffledObjective(Landscape(n, 1, 0.0), n)  # noqa: E731
    getattr(efaas.optimize, name)(make(), speculation=BRIEFLY, **arguments, **quiet)
    printed.append(capsys.readouterr().out)
    plain = as_point(make()) if name == "minimize_scalar" else make()
    getattr(scipy.optimize, name)(plain, **arguments, **quiet)
    printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1] != ""


def test_limits_end_a_run_with_the_best_so_far() -> None:
    objective = ShuffledObjective(Landscape(2, 1, 0.0), 2)
    result = efaas.optimize.differential_evolution(
        objective, BOX, rng=1, max_rounds=3, speculation=BRIEFLY
    )
    assert result.status == 98
    assert result.speculation.rounds == 3
    assert "max_rounds" in result.message


def test_ctrl_c_in_a_grid_comes_out() -> None:
    class Interrupted(ShuffledObjective):
        def submit_round(self, *args: Any) -> Any:
            if self.rounds == 1:
                raise KeyboardInterrupt
            return super().submit_round(*args)

    with pytest.raises(KeyboardInterrupt):
        efaas.optimize.brute(Interrupted(Landscape(2, 1, 0.0), 2), BOX, Ns=5)


@pytest.mark.parametrize(
    ("name", "arguments", "error", "message"),
    [
        ("minimize_scalar", {}, OptimizerError, "one parameter, but the objective has 2"),
        ("differential_evolution", {"bounds": BOX * 2}, OptimizerError, "bounds is for 4"),
        (
            "differential_evolution",
            {"bounds": BOX, "args": (1,)},
            OptimizerError,
            "parameters only",
        ),
        ("differential_evolution", {"bounds": BOX, "workers": 2}, OptimizerError, "leave workers"),
        ("differential_evolution", {"bounds": BOX, "vectorized": True}, OptimizerError, "deferred"),
        ("differential_evolution", {"bounds": BOX, "x0": [1.0]}, ParameterError, r"shape \(2,\)"),
        ("dual_annealing", {"bounds": BOX[:1]}, OptimizerError, "bounds is for 1"),
        ("basinhopping", {"x0": [0.0] * 3}, ParameterError, r"expected shape \(2,\)"),
        ("basinhopping", {"x0": [0.0, np.nan]}, ParameterError, "not finite at index 1"),
        ("basinhopping", {"x0": [0, 0], "minimizer_kwargs": {"jac": True}}, OptimizerError, "jac"),
        ("basinhopping", {"x0": [0, 0], "minimizer_kwargs": {"args": 1}}, OptimizerError, "args=1"),
        ("shgo", {"bounds": BOX, "options": {"jac": True}}, OptimizerError, "parameter-shift"),
        ("brute", {"ranges": BOX[:1]}, OptimizerError, "ranges is for 1"),
        ("brute", {"ranges": BOX, "speculation": "tolerant"}, OptimizerError, "not exact"),
        ("shgo", {"bounds": BOX, "speculation": "maybe"}, OptimizerError, "mode is one of"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_runs(
    name: str, arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    objective = ShuffledObjective(Landscape(2, 1, 0.0), 2)
    assert isinstance(objective, SubmitsPoints)
    with pytest.raises(error, match=message):
        getattr(efaas.optimize, name)(objective, **arguments)
    assert objective.rounds == 0


def test_a_method_that_scipy_does_not_know_is_named() -> None:
    with pytest.raises(OptimizerError, match="did you mean 'golden'"):
        efaas.optimize.minimize_scalar(np.cos, method="goldn")


def test_a_plain_function_has_no_circuit_to_shift_and_no_shots() -> None:
    with pytest.raises(OptimizerError, match="session"):
        efaas.optimize.basinhopping(Plain(), [0.0], minimizer_kwargs={"jac": "parameter-shift"})
    with pytest.raises(OptimizerError, match="no shots"):
        efaas.optimize.shgo(Plain(), BOX, max_shots=100)


OURS = [name for name in efaas.optimize.__all__ if hasattr(scipy.optimize, name)]


@pytest.mark.parametrize("name", [name for name in OURS if name != "minimize"])
def test_signatures_are_scipys_with_keywords_added(name: str) -> None:
    ours = inspect.signature(getattr(efaas.optimize, name)).parameters
    theirs = inspect.signature(getattr(scipy.optimize, name)).parameters
    assert list(ours)[: len(theirs)] == list(theirs)
    added = {"speculation", "max_rounds", "max_seconds", "max_shots"}
    assert set(ours) - set(theirs) == (added if name != "brute" else {"speculation"})


def test_every_other_name_is_scipys_own() -> None:
    names = {name for name in dir(scipy.optimize) if not name.startswith("_")}
    assert names <= set(dir(efaas.optimize))
    for name in names - set(efaas.optimize.__all__):
        assert getattr(efaas.optimize, name) is getattr(scipy.optimize, name)
    with pytest.raises(AttributeError, match="nor has scipy"):
        efaas.optimize.no_such_name  # noqa: B018


def test_no_module_hides_a_name_of_scipys() -> None:
    files = {path.stem for path in Path(efaas.optimize.__file__).parent.glob("*.py")}
    assert files & set(dir(scipy.optimize)) <= {"minimize", "__init__"}
