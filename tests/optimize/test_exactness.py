"""Speculation changes when evaluations begin, and nothing that a caller of scipy can see."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import scipy.optimize
from hypothesis import given, settings
from hypothesis import strategies as st
from shuffled import ShuffledObjective

import efaas
import efaas.optimize.drive
from efaas.optimize.asks import Ask, Oracle, Step
from efaas.optimize.predictor import Candidate
from efaas.policies.tolerance import Substitution

FREE = ["Nelder-Mead", "Powell", "COBYLA", "COBYQA"]
DIFFERENCES = ["CG", "BFGS", "L-BFGS-B", "TNC", "SLSQP", "trust-constr"]
NEED_GRADIENT = ["Newton-CG", "trust-ncg", "trust-krylov", "trust-exact", "dogleg"]
BOUNDED = ["Nelder-Mead", "Powell", "L-BFGS-B", "TNC", "COBYLA", "COBYQA", "SLSQP", "trust-constr"]
CONSTRAINED = ["COBYLA", "COBYQA", "SLSQP", "trust-constr"]

ALWAYS = efaas.Speculation(predictor_share=2e-3, extra_shots=1e9)
# Where a guess has to come true, whatever else the machine does.
PATIENT = efaas.Speculation(effort="steps", predictor_share=5e-3, extra_shots=1e9)


def at_most(iterations: int, method: Any) -> dict[str, Any]:
    if method == "TNC":
        return {"maxfun": 12 * iterations}
    if method == "COBYQA":
        return {"maxfev": 4 * iterations}
    if method == "COBYLA":
        return {"maxiter": 3 * iterations}
    return {"maxiter": iterations}


class Landscape:
    """Cosines with a coupling, and noise that point and occurrence decide."""

    def __init__(self, n: int, seed: int, noise: float, fails_at: int | None = None) -> None:
        generator = np.random.default_rng(seed)
        self._shift = generator.uniform(-1, 1, n)
        self._weight = generator.uniform(0.5, 1.5, n)
        self._seed, self._noise, self._fails_at = seed, noise, fails_at
        self._answers = 0

    def __call__(self, ask: Ask, occurrence: int) -> Any:
        x = np.asarray(ask.x, dtype=float)
        if self._fails_at is not None and x.sum() > self._fails_at:
            raise ArithmeticError(f"no value at {x.tolist()}")
        if ask.kind == "gradient":
            return self._weight * np.sin(x - self._shift)
        value = self._weight @ (1.0 - np.cos(x - self._shift)) + 0.1 * np.prod(np.sin(x))
        key = [self._seed, occurrence, *np.frombuffer(x.tobytes(), dtype=np.uint32)]
        return float(value + self._noise * np.random.default_rng(key).normal())


class WrongPredictor:
    """Sure of points that nobody will ever ask for, and of some twice."""

    def __init__(self, oracle: Oracle, **settings: Any) -> None:
        self._random = np.random.default_rng(settings.get("seed", 0))

    def observe(self, ask: Ask, answer: Any) -> None: ...

    def absorb(self, seconds: float) -> None: ...

    def settle(self, candidate: Candidate, is_hit: bool) -> None: ...

    def substitution(self, origin: Any, target: Any, *, best: float) -> Substitution:
        return Substitution(0.0, 0.0, noise=1.0, gap=0.0)

    def candidates(
        self, pending: Step, *, known: Mapping[Any, Any], depth: int, limit: int, seconds: float
    ) -> list[Candidate]:
        x = np.asarray(pending[0].x)
        wrong = [Ask(x + self._random.normal(size=x.shape), pending[0].kind) for _ in range(3)]
        again = [Candidate((ask,), 0.9, 1, "wrong", 0) for ask in (*pending, *wrong)]
        return [*again, Candidate((wrong[0],), 0.9, 2, "wrong", 1)]


class Seen:
    """Everything that a caller of ``minimize`` can see of a run."""

    def __init__(self, minimize: Callable[..., Any], objective: Any, **arguments: Any) -> None:
        form = arguments.pop("form", "x")
        stops_after = arguments.pop("stops_after", None)
        self.called_back: list[Any] = []

        def note(x: Any, value: Any) -> None:
            self.called_back.append((np.array(x).tobytes(), value))
            if len(self.called_back) == stops_after:
                raise StopIteration

        if form == "x":

            def callback(xk: Any, *state: Any) -> None:
                note(xk, None)
        else:

            def callback(intermediate_result: Any) -> None:  # type: ignore[misc]
                note(intermediate_result.x, intermediate_result.fun)

        self.error: str | None = None
        self.fields: dict[str, Any] = {}
        self.report: efaas.SpeculationReport | None = None
        with warnings.catch_warnings(record=True) as heard, np.errstate(all="ignore"):
            warnings.simplefilter("always")
            try:
                result = minimize(objective, callback=callback, **arguments)
            except Exception as error:
                self.error = repr(error)
            else:
                self.report = result.get("speculation")
                self.fields = {
                    name: value
                    for name, value in result.items()
                    if name not in ("speculation", "execution_time")
                }
        self.warnings = [(str(w.message), w.category) for w in heard]
        self.asked = objective.asked


def same(left: Any, right: Any) -> bool:
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[k], right[k]) for k in left)
    if isinstance(left, np.ndarray):
        return left.dtype == right.dtype and left.tobytes() == right.tobytes()
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, float):
        return np.float64(left).tobytes() == np.float64(right).tobytes()
    if hasattr(left, "todense"):
        return same(left.todense(), right.todense())
    if type(left).__module__.startswith("scipy"):
        return type(left) is type(right)
    return bool(left == right)


def compare(
    make: Callable[[], ShuffledObjective], speculation: Any, **arguments: Any
) -> efaas.SpeculationReport | None:
    """Both must agree in all there is to see."""
    ours = Seen(efaas.minimize, make(), speculation=speculation, **arguments)
    plain = dict(arguments)
    objective = make()
    if plain.get("jac") == "parameter-shift":
        plain["jac"] = objective.gradient_at
    theirs = Seen(scipy.optimize.minimize, objective, **plain)
    assert ours.asked == theirs.asked, "the points that were asked for, in order"
    assert ours.called_back == theirs.called_back
    assert ours.error == theirs.error
    assert ours.warnings == theirs.warnings
    assert same(ours.fields, theirs.fields)
    if ours.report is not None:
        assert not any("guessing ended early" in note for note in ours.report.notes)
    return ours.report


def arguments_for(method: str, n: int, start: float) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "x0": np.linspace(start, start + 0.5, n),
        "method": method,
        "options": at_most(8, method),
    }
    if method in NEED_GRADIENT:
        arguments["jac"] = "parameter-shift"
    if method in NEED_GRADIENT[1:]:
        arguments["hess"] = lambda x: np.diag(1.5 + np.cos(x))
    return arguments


@pytest.mark.parametrize("method", [*FREE, *DIFFERENCES, *NEED_GRADIENT])
@settings(max_examples=4)
@given(
    n=st.integers(1, 4),
    start=st.floats(-1, 1),
    seed=st.integers(0, 2**20),
    noise=st.sampled_from([0.0, 1e-3, 0.05]),
    share=st.sampled_from([0.0, 1e-4, 1e-3, 4e-3]),
    width=st.integers(1, 12),
    form=st.sampled_from(["x", "intermediate_result"]),
    stops_after=st.sampled_from([None, None, 1, 3]),
)
def test_every_method_does_what_it_does_in_scipy(
    method: str,
    n: int,
    start: float,
    seed: int,
    noise: float,
    share: float,
    width: int,
    form: str,
    stops_after: int | None,
) -> None:
    """Theorem: points, values, fields, callbacks and errors are scipy's to the bit.

    For every method, problem, seed, order of completion, budget and width.
    """
    compare(
        lambda: ShuffledObjective(Landscape(n, seed, noise), n, seed=seed),
        efaas.Speculation(predictor_share=share, width=width, extra_shots=1e9),
        form=form,
        stops_after=stops_after,
        **arguments_for(method, n, start),
    )


@pytest.mark.parametrize("method", [*FREE, *DIFFERENCES, *NEED_GRADIENT])
def test_guesses_that_are_always_wrong_change_nothing(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(efaas.optimize.drive, "Predictor", WrongPredictor)
    report = compare(
        lambda: ShuffledObjective(Landscape(3, 1, 0.01), 3), ALWAYS, **arguments_for(method, 3, 0.4)
    )
    assert report is not None
    assert report.misses > 0


class BrokenPredictor(WrongPredictor):
    """Fails after a while."""

    def candidates(self, pending: Step, **_: Any) -> list[Candidate]:
        if self._random.random() < 0.2:
            raise OverflowError("too large a number")
        return []


def test_a_predictor_that_fails_costs_no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(efaas.optimize.drive, "Predictor", BrokenPredictor)
    objective = ShuffledObjective(Landscape(3, 1, 0.01), 3)
    expected = ShuffledObjective(Landscape(3, 1, 0.01), 3)
    arguments = arguments_for("Powell", 3, 0.4)
    ours = efaas.minimize(objective, **arguments)
    theirs = scipy.optimize.minimize(expected, **arguments)
    assert ours.x.tobytes() == theirs.x.tobytes()
    assert "too large a number" in ours.speculation.notes[0]


@pytest.mark.parametrize("method", ["Nelder-Mead", "Powell", "BFGS"])
def test_a_guess_that_was_lost_is_evaluated_when_it_is_asked_for(method: str) -> None:
    report = compare(
        lambda: ShuffledObjective(Landscape(3, 1, 0.01), 3, lost=0.5),
        PATIENT,
        **arguments_for(method, 3, 0.4),
    )
    assert report is not None
    assert report.hits > 0


@pytest.mark.parametrize("method", [*FREE, *DIFFERENCES])
@pytest.mark.parametrize("mode", ["off", ALWAYS])
def test_an_error_of_the_objective_comes_out_as_in_scipy(method: str, mode: Any) -> None:
    compare(
        lambda: ShuffledObjective(Landscape(2, 1, 0.0, fails_at=1), 2),
        mode,
        **arguments_for(method, 2, 0.2),
    )


@pytest.mark.parametrize("method", BOUNDED)
def test_bounds_are_scipys(method: str) -> None:
    bounds = [(-0.5, 0.5), (0.2, 0.2) if method in ("L-BFGS-B", "SLSQP", "TNC") else (0.1, 0.9)]
    arguments = arguments_for(method, 2, 0.2) | {"bounds": bounds, "x0": np.array([0.3, 0.2])}
    compare(lambda: ShuffledObjective(Landscape(2, 3, 0.01), 2), ALWAYS, **arguments)


@pytest.mark.parametrize("method", CONSTRAINED)
@pytest.mark.parametrize("kind", ["function", "linear"])
def test_constraints_are_scipys(method: str, kind: str) -> None:
    constraint: Any = scipy.optimize.LinearConstraint([[1.0, 1.0]], -1.0, 0.7)
    if kind == "function":
        constraint = {"type": "ineq", "fun": lambda x: 0.7 - x[0] - x[1]}
        if method == "trust-constr":
            constraint = scipy.optimize.NonlinearConstraint(lambda x: x[0] + x[1], -1.0, 0.7)
    arguments = arguments_for(method, 2, 0.2) | {"constraints": constraint}
    compare(lambda: ShuffledObjective(Landscape(2, 3, 0.01), 2), ALWAYS, **arguments)


@pytest.mark.parametrize("method", ["BFGS", "trust-constr", "L-BFGS-B", "SLSQP"])
@pytest.mark.parametrize("jac", ["2-point", "3-point", "parameter-shift"])
def test_gradients_are_scipys(method: str, jac: str) -> None:
    arguments = arguments_for(method, 3, 0.2) | {"jac": jac}
    report = compare(lambda: ShuffledObjective(Landscape(3, 3, 0.0), 3), PATIENT, **arguments)
    assert report is not None
    if method != "trust-constr":  # which asks for a gradient only where it accepts a step
        assert report.hits > 0, "the gradient's points are known while the value is in flight"


def test_a_method_of_ones_own_is_speculated_on_where_that_is_asked_for() -> None:
    def coordinates(fun: Any, x0: Any, args: Any = (), **_: Any) -> Any:
        x, value, evaluations = np.array(x0), fun(x0), 1
        for index in range(len(x)):
            for step in (0.3, -0.3):
                trial = x.copy()
                trial[index] += step
                found = fun(trial)
                evaluations += 1
                if found < value:
                    x, value = trial, found
        return scipy.optimize.OptimizeResult(x=x, fun=value, nfev=evaluations, success=True)

    arguments = {"x0": np.zeros(3), "method": coordinates}
    silent = compare(lambda: ShuffledObjective(Landscape(3, 3, 0.0), 3), None, **arguments)
    assert silent is not None
    assert silent.hits == 0
    assert "speculation=" in silent.notes[0]
    report = compare(lambda: ShuffledObjective(Landscape(3, 3, 0.0), 3), PATIENT, **arguments)
    assert report is not None
    assert report.hits > 0


class Plain:
    """A plain function that remembers its calls in the order in which they were consumed."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def __call__(self, x: Any, scale: float = 1.0) -> Any:
        return float(scale * np.sum(1 - np.cos(np.asarray(x) - 0.3)))


def with_gradient(x: Any, scale: float = 1.0) -> Any:
    return float(scale * np.sum(1 - np.cos(x - 0.3))), scale * np.sin(x - 0.3)


@pytest.mark.parametrize("method", [*FREE, *DIFFERENCES])
@pytest.mark.parametrize("jac", [None, "callable", "cs"])
def test_plain_functions_are_speculated_on_where_that_is_asked_for(
    method: str, jac: str | None
) -> None:
    if jac is not None and method in FREE:
        pytest.skip("it uses no derivatives")
    arguments = arguments_for(method, 2, 0.2) | {"args": (2.0,)}
    fun: Any = lambda x, scale: np.sum(scale * (1 - np.cos(x - 0.3)))  # noqa: E731
    arguments["jac"] = (lambda x, scale: scale * np.sin(x - 0.3)) if jac == "callable" else jac
    ours = efaas.minimize(fun, speculation=efaas.Speculation(predictor_share=1e5), **arguments)
    theirs = scipy.optimize.minimize(fun, **arguments)
    report = ours.pop("speculation")
    for result in (ours, theirs):
        result.pop("execution_time", None)
    assert same(dict(ours), dict(theirs))
    assert report.hits > 0


def test_a_function_that_gives_value_and_gradient_is_scipys() -> None:
    arguments = {"x0": np.zeros(3), "jac": True, "args": (2.0,), "method": "L-BFGS-B"}
    ours = efaas.minimize(with_gradient, speculation="exact", **arguments)
    theirs = scipy.optimize.minimize(with_gradient, **arguments)
    ours.pop("speculation")
    assert same(dict(ours), dict(theirs))
