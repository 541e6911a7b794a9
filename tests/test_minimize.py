"""``efaas.minimize``: scipy's result to the bit, in fewer rounds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.optimize
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit.circuit import ParameterVector, QuantumCircuit

import efaas
from efaas.errors import JobFailedError, OptimizerError, ParameterError
from efaas.testing import FakeBackend

FREE = ["Nelder-Mead", "Powell", "COBYLA", "COBYQA"]
DIFFERENCES = ["CG", "BFGS", "L-BFGS-B", "TNC", "SLSQP", "trust-constr"]
NEED_GRADIENT = ["Newton-CG", "trust-ncg", "trust-krylov", "trust-exact", "dogleg"]


def at_most(iterations: int, method: str | None) -> dict[str, Any]:
    """Options that end a run early; TNC counts evaluations instead."""
    return {"maxfun": 12 * iterations} if method == "TNC" else {"maxiter": iterations}


def circuit(parameters: int = 3) -> QuantumCircuit:
    angles = ParameterVector("t", parameters)
    made = QuantumCircuit(2)
    for index, angle in enumerate(angles):
        made.ry(angle, index % 2)
    return made


def bowl(angles: np.ndarray, seed: int) -> float:
    """Smooth, with noise that the seed decides."""
    noise = np.random.Generator(np.random.Philox(key=seed)).normal(scale=1e-3)
    return float(np.sum(1.0 - np.cos(angles - 0.3)) + 0.1 * np.sin(angles).prod() + noise)


def convex(angles: np.ndarray, seed: int) -> float:
    return float(np.sum(1.0 - np.cos(angles)))


class Trace:
    """Everything that a caller of ``minimize`` can see."""

    def __init__(self) -> None:
        self.called_back: list[bytes] = []

    def run(self, minimize: Any, energy: Any, **arguments: Any) -> dict[str, Any]:
        jac = arguments.pop("jac", None)
        if jac == "parameter-shift" and minimize is scipy.optimize.minimize:

            def jac(x: np.ndarray) -> np.ndarray:
                return energy.gradient(x).result()  # type: ignore[no-any-return]

        def callback(xk: np.ndarray, *_: Any) -> None:
            self.called_back.append(np.asarray(xk).tobytes())

        with np.errstate(all="ignore"):
            result = minimize(energy, callback=callback, jac=jac, **arguments)
        fields = {key: value for key, value in result.items() if key != "speculation"}
        return {"fields": fields, "callbacks": self.called_back}


def same(left: Any, right: Any) -> bool:
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[k], right[k]) for k in left)
    if isinstance(left, np.ndarray):
        return left.dtype == right.dtype and left.tobytes() == right.tobytes()
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, float):
        return np.float64(left).tobytes() == np.float64(right).tobytes()
    if hasattr(left, "todense"):  # an inverse Hessian that is kept as an operator
        return same(left.todense(), right.todense())
    return (
        left is right
        or type(left) is not type(right)
        or bool(left == right)
        or not hasattr(left, "__eq__")
    )


def compare(value: Any, seed: int, **arguments: Any) -> efaas.SpeculationReport:
    """Run both on sessions of one seed; they must agree in all there is to see."""
    with efaas.EFSession(FakeBackend(value=value), seed=seed) as session:
        ours = Trace().run(efaas.minimize, session.objective(circuit(), "ZZ"), **dict(arguments))
    with efaas.EFSession(FakeBackend(value=value), seed=seed) as session:
        theirs = Trace().run(
            scipy.optimize.minimize, session.objective(circuit(), "ZZ"), **dict(arguments)
        )
    ours["fields"].pop("execution_time", None)  # trust-constr's, in seconds
    theirs["fields"].pop("execution_time", None)
    assert same(ours, theirs)
    with efaas.EFSession(FakeBackend(value=value), seed=seed) as session:
        result = efaas.minimize(session.objective(circuit(), "ZZ"), **arguments)
    return result.speculation  # type: ignore[no-any-return]


@pytest.mark.parametrize("method", [*FREE, *DIFFERENCES, None])
@settings(max_examples=4)
@given(seed=st.integers(0, 2**32), start=st.floats(-1.0, 1.0))
def test_the_result_is_scipys_to_the_bit(method: str | None, seed: int, start: float) -> None:
    """Same points, values, fields and callbacks for every method without derivatives."""
    options = {} if method is None else at_most(12, method)
    report = compare(bowl, seed, x0=np.full(3, start), method=method, options=options)
    assert report.rounds <= report.evaluations


@pytest.mark.parametrize("method", [*DIFFERENCES, *NEED_GRADIENT])
def test_parameter_shift_gradients_leave_scipy_unchanged(method: str) -> None:
    arguments: dict[str, Any] = {"options": at_most(8, method)}
    if method in NEED_GRADIENT[1:]:
        arguments["hess"] = lambda x: np.diag(np.cos(x))
    compare(convex, 1, x0=[0.4, -0.3, 0.2], method=method, jac="parameter-shift", **arguments)


@pytest.mark.parametrize("scheme", ["2-point", "3-point"])
def test_differences_of_parameter_shift_gradients_make_a_hessian(scheme: str) -> None:
    compare(
        convex,
        1,
        x0=[0.4, -0.3, 0.2],
        method="trust-constr",
        jac="parameter-shift",
        hess=scheme,
        options={"maxiter": 5},
    )


@pytest.mark.parametrize("method", ["L-BFGS-B", "Powell", "trust-constr", "SLSQP"])
def test_bounds_mean_what_they_mean_in_scipy(method: str) -> None:
    bounds = [(-0.2, 0.2), (0.1, None), (None, 0.4)]
    compare(bowl, 5, x0=[0.0, 0.2, 0.3], method=method, bounds=bounds, options={"maxiter": 8})


def test_constraints_mean_what_they_mean_in_scipy() -> None:
    constraint = {"type": "ineq", "fun": lambda x: x[0] - 0.1}
    compare(bowl, 5, x0=[0.4, 0.2, 0.3], method="SLSQP", constraints=constraint)


def test_a_callable_method_is_called_as_scipy_would() -> None:
    def method(fun: Any, x0: Any, args: Any = (), **kwargs: Any) -> scipy.optimize.OptimizeResult:
        return scipy.optimize.OptimizeResult(x=x0, fun=fun(x0), nfev=1, success=True)

    compare(bowl, 5, x0=[0.4, 0.2, 0.3], method=method)


def two_spsa_runs(energy: efaas.Objective, **options: Any) -> list[list[float]]:
    options |= {"maxiter": 3}
    runs = [efaas.minimize(energy, [0.1] * 3, method="SPSA", options=options) for _ in range(2)]
    return [run.x.tolist() for run in runs]


def test_spsas_random_numbers_follow_from_the_sessions_seed(tmp_path: Path) -> None:
    def runs(seed: int | None, **given: Any) -> list[list[float]]:
        device = FakeBackend(value=convex)  # without noise: only the optimizer's numbers differ
        with efaas.EFSession(device, seed=seed, **given) as session:
            return two_spsa_runs(session.objective(circuit(), "ZZ"))

    first, second = runs(5)
    assert runs(5) == [first, second]
    assert first != second, "each run has numbers of its own"
    assert runs(6) != [first, second]
    journal = tmp_path / "spsa.efaas"
    assert runs(5, journal=journal) == [first, second]
    assert runs(None, journal=journal) == [first, second], "the journal has the seed"


def test_random_numbers_given_to_spsa_are_taken() -> None:
    with efaas.EFSession(FakeBackend(value=convex), seed=5) as session:
        first, second = two_spsa_runs(session.objective(circuit(), "ZZ"), rng=3)
    assert first == second


@pytest.mark.parametrize("method", [efaas.optimize.spsa, efaas.optimize.rotosolve])
def test_methods_of_ours_have_names_too(method: Callable[..., Any]) -> None:
    def fun(x: Any) -> float:
        return float(np.sin(x).sum())

    options = {"maxiter": 2} | ({"rng": 1} if method is efaas.optimize.spsa else {})
    expected = efaas.minimize(fun, [0.1, 0.2], method=method, options=options)
    for name in (method.__name__.upper(), method.__name__.capitalize()):
        found = efaas.minimize(fun, [0.1, 0.2], method=name, options=options)
        assert found.x.tolist() == expected.x.tolist()


@pytest.mark.parametrize("method", DIFFERENCES)
def test_all_points_of_a_gradient_are_one_round(method: str) -> None:
    arguments = {"x0": [0.5, 0.1, -0.4], "method": method, "options": at_most(5, method)}
    with efaas.EFSession(FakeBackend(value=bowl), seed=3) as session:
        objective = session.objective(circuit(), "ZZ")
        report = efaas.minimize(objective, speculation="off", **arguments).speculation
    gradients = (report.evaluations - report.rounds) / 2  # three points a round instead of one
    assert gradients == int(gradients) > 0


def test_a_plain_function_is_handed_to_scipy_as_it_is() -> None:
    ours = efaas.minimize(scipy.optimize.rosen, [0.5, 0.5], method="Nelder-Mead", tol=1e-3)
    theirs = scipy.optimize.minimize(
        scipy.optimize.rosen, [0.5, 0.5], method="Nelder-Mead", tol=1e-3
    )
    assert ours.x.tobytes() == theirs.x.tobytes()
    assert ours.speculation.rounds == ours.nfev == theirs.nfev


def test_args_reach_a_plain_function() -> None:
    result = efaas.minimize(lambda x, a: float((x[0] - a) ** 2), [0.0], args=(2.0,))
    assert abs(result.x[0] - 2.0) < 1e-5


def test_plain_scipy_takes_an_objective_too() -> None:
    with efaas.EFSession(FakeBackend(value=convex)) as session:
        energy = session.objective(circuit(), "ZZ")
        result = scipy.optimize.minimize(energy, [0.3, 0.3, 0.3], method="COBYLA")
    assert result.fun < 1e-3


def test_an_error_of_a_job_comes_out_of_minimize() -> None:
    backend = FakeBackend(round_error=lambda evaluations: OSError("down"))
    with efaas.EFSession(backend) as session, pytest.raises(JobFailedError, match="down"):
        efaas.minimize(session.objective(circuit(), "ZZ"), [0.0, 0.0, 0.0], method="BFGS")


def test_stopping_in_a_callback_stops_as_in_scipy() -> None:
    def stop(intermediate_result: scipy.optimize.OptimizeResult) -> None:
        raise StopIteration

    with efaas.EFSession(FakeBackend(value=bowl), seed=1) as session:
        energy = session.objective(circuit(), "ZZ")
        result = efaas.minimize(energy, [0.5, 0.5, 0.5], method="BFGS", callback=stop)
    assert result.nit == 1


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"x0": [0.0]}, ParameterError, r"expected shape \(3,\)"),
        ({"x0": [0.0, float("nan"), 0.0]}, ParameterError, "not finite at index 1"),
        ({"x0": ["a", "b", "c"]}, ParameterError, "numbers"),
        ({"method": "COBILA"}, OptimizerError, "did you mean 'COBYLA'"),
        ({"args": (1,)}, OptimizerError, "parameters only"),
        ({"jac": True}, OptimizerError, "parameter-shift"),
        ({"jac": "cs"}, OptimizerError, "complex"),
        ({"jac": "4-point"}, OptimizerError, "expected 'parameter-shift'"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_runs(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    backend = FakeBackend()
    with efaas.EFSession(backend) as session:
        energy = session.objective(circuit(), "ZZ")
        with pytest.raises(error, match=message):
            efaas.minimize(energy, **({"x0": [0.0, 0.0, 0.0]} | arguments))
    assert backend.rounds == []


def test_a_plain_function_has_no_circuit_to_shift() -> None:
    with pytest.raises(OptimizerError, match="session"):
        efaas.minimize(lambda x: 0.0, [0.0], jac="parameter-shift")
