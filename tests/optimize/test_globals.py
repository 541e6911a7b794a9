"""The rest of ``scipy.optimize``: scipy's results to the bit, in rounds where it can be."""

from __future__ import annotations

import functools
import inspect
import pickle
import random
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.optimize
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit.circuit import ParameterVector, QuantumCircuit
from shuffled import ShuffledObjective
from starts import RealRun
from test_exactness import Landscape, same

import efaas
import efaas.optimize.drive
from efaas.errors import OptimizerError, ParameterError
from efaas.optimize.asks import Ask
from efaas.optimize.oracle import oracle_for
from efaas.optimize.sources import SubmitsPoints
from efaas.testing import FakeBackend

BRIEFLY = efaas.Speculation(predictor_share=1e-3)
"""With rounds of 20 s, the predictor has 20 ms."""

BOX = [(-2.0, 1.5)] * 2
FEW = {"maxiter": 3, "popsize": 3, "rng": 7}
SUM_BELOW_ONE = scipy.optimize.NonlinearConstraint(lambda x: x.sum(), -np.inf, 1.0)

# Name of the function, its parameters, its arguments.
CASES: dict[str, tuple[str, int, dict[str, Any]]] = {
    "brent": ("minimize_scalar", 1, {"bracket": (0, 1)}),
    "golden": ("minimize_scalar", 1, {"bracket": (0.0, 1.0), "method": "golden"}),
    "bounded": ("minimize_scalar", 1, {"bounds": (-1, 2)}),
    "immediate": ("differential_evolution", 2, {"bounds": BOX, **FEW}),
    "deferred": ("differential_evolution", 2, {"bounds": BOX, "updating": "deferred", **FEW}),
    "sobol": (
        "differential_evolution",
        2,
        {"bounds": BOX, "init": "sobol", "seed": 3, "maxiter": 1},
    ),
    "constrained": (
        "differential_evolution",
        2,
        {"bounds": BOX, "constraints": SUM_BELOW_ONE, "updating": "deferred", **FEW},
    ),
    "annealing": ("dual_annealing", 2, {"bounds": BOX, "maxiter": 4, "rng": 5, "maxfun": 90}),
    "annealing with Powell": (
        "dual_annealing",
        2,
        {"bounds": BOX, "maxiter": 2, "seed": 5, "minimizer_kwargs": {"method": "Powell"}},
    ),
    "hopping": ("basinhopping", 2, {"x0": [0.5, -0.2], "niter": 2, "rng": 2}),
    "hopping simplices": (
        "basinhopping",
        2,
        {
            "x0": [0.5, -0.2],
            "niter": 1,
            "seed": 2,
            "minimizer_kwargs": {"method": "Nelder-Mead", "options": {"maxfev": 20}},
        },
    ),
    "simplicial": ("shgo", 2, {"bounds": BOX, "n": 12}),
    "halton": ("shgo", 2, {"bounds": BOX, "n": 9, "iters": 2, "sampling_method": "halton"}),
    "grid of one": ("brute", 1, {"ranges": BOX[:1], "Ns": 7, "full_output": True}),
    "grid": ("brute", 2, {"ranges": (slice(-1, 1, 0.5), (0.0, 1.0)), "Ns": 4, "full_output": True}),
}  # fmt: skip


class Seen:
    """Everything that a caller can see of a run."""

    def __init__(self, function: Callable[..., Any], objective: Any, asked: Any, **arguments: Any):
        self.fields: dict[str, Any] = {}
        self.error = ""
        self.report: efaas.SpeculationReport | None = None
        with warnings.catch_warnings(record=True) as heard, np.errstate(all="ignore"):
            warnings.simplefilter("always")
            try:
                result = function(objective, **arguments)
            except Exception as error:
                self.error = repr(error)
            else:
                if isinstance(result, dict):
                    self.report = result.get("speculation")
                    self.fields = {k: v for k, v in result.items() if k != "speculation"}
                else:
                    self.fields = {"returned": result}
        self.warnings = [(str(w.message), w.category) for w in heard]
        self.asked = list(asked)


def as_point(objective: Any) -> Callable[[Any], Any]:
    """For a function of a number."""
    return lambda x: objective(np.atleast_1d(np.asarray(x)))


def compare(name: str, make: Callable[[], ShuffledObjective], arguments: Any, **ours: Any) -> Seen:
    """Both must agree in all there is to see; ``arguments`` makes them anew."""
    objective = make()
    mine = Seen(getattr(efaas.optimize, name), objective, objective.asked, **arguments(), **ours)
    objective = make()
    function = getattr(scipy.optimize, name)
    plain = as_point(objective) if name == "minimize_scalar" else objective
    theirs = Seen(function, plain, objective.asked, **arguments())
    if theirs.error:  # the rest of its round has begun by then
        assert not Counter(theirs.asked) - Counter(mine.asked)
    elif ours["speculation"] == "off":
        assert mine.asked == theirs.asked
    else:  # of a generation, what was guessed is committed first
        assert Counter(mine.asked) == Counter(theirs.asked)
    assert mine.error == theirs.error
    assert mine.warnings == theirs.warnings
    assert same(mine.fields, theirs.fields)
    return mine


@pytest.mark.parametrize("case", CASES)
@settings(max_examples=2)
@given(
    seed=st.integers(0, 2**20),
    noise=st.sampled_from([0.0, 0.01]),
    share=st.sampled_from([0.0, 2e-4, 1e-3]),
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
    "case", ["golden", "immediate", "deferred", "annealing", "hopping simplices", "halton"]
)
def test_guesses_save_rounds(case: str) -> None:
    name, n, arguments = CASES[case]
    make = lambda: ShuffledObjective(Landscape(n, 3, 0.0), n)  # noqa: E731
    chosen = efaas.Speculation(predictor_share=2e-3, extra_shots=1e9)
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
        ("differential_evolution", {"bounds": [(-1, 1)] * 3, "updating": "deferred", **FEW}, 2.0),
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


class Plain:
    """A plain function of several parameters."""

    def __call__(self, x: Any, scale: float = 1.0) -> Any:
        return float(scale * np.sum(1 - np.cos(np.asarray(x) - 0.3)))


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
        speculation = efaas.Speculation(workers=2, predictor_share=20.0)
    ours = Seen(getattr(efaas.optimize, name), Plain(), [], speculation=speculation, **arguments)
    theirs = Seen(getattr(scipy.optimize, name), Plain(), [], **arguments)
    assert ours.error == theirs.error == ""
    assert same(ours.fields, theirs.fields)
    assert name == "brute" or ours.report is not None


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
