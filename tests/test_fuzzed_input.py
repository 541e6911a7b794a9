"""Whatever is passed in: a clear error of ours, or success; no other exception, and no hang."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.circuit.library import efficient_su2
from qiskit.quantum_info import SparsePauliOp

import efaas
from efaas.errors import EfaasError
from efaas.testing import FakeBackend

ANSATZ = efficient_su2(1, reps=0)
MEASURED = ANSATZ.copy()
MEASURED.measure_all()
BOUND = MEASURED.assign_parameters([0.1, 0.2])
WIDE = QuantumCircuit(9)
LOOSE = QuantumCircuit(1, 1)
LOOSE.rx(Parameter("loose"), 0)

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.integers(-3, 5),
    st.floats(),
    st.complex_numbers(),
    st.text(max_size=5),
    st.binary(max_size=3),
    st.builds(object),
)
ARRAYS = hnp.arrays(
    st.sampled_from([np.float64, np.int64, np.complex128, np.bool_, np.dtype("U2"), np.dtype("O")]),
    hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3),
)
ANYTHING = st.one_of(
    SCALARS,
    ARRAYS,
    st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3), max_leaves=6),
    st.dictionaries(st.text(max_size=3), SCALARS, max_size=2),
    st.sampled_from([ANSATZ, MEASURED, BOUND, WIDE, LOOSE, SparsePauliOp("Z"), int, np.array]),
)
CIRCUITS = st.one_of(st.sampled_from([ANSATZ, MEASURED, BOUND, WIDE, LOOSE]), ANYTHING)
OBSERVABLES = st.one_of(st.sampled_from(["Z", "ZZ", "Q", ["Z", "X"], SparsePauliOp("X")]), ANYTHING)
POINTS = st.one_of(st.lists(st.floats(), min_size=1, max_size=3), ANYTHING)


@pytest.fixture(scope="module")
def session() -> Iterator[efaas.EFSession]:
    with efaas.EFSession(FakeBackend(), seed=1, cpu_slots=1) as opened:
        yield opened


def ended(outcome: Any) -> None:
    """Every future in it ends within a minute, in a value or an error of ours."""
    if isinstance(outcome, Future):
        error = outcome.exception(60)
        assert error is None or isinstance(error, EfaasError | CancelledError), repr(error)
    elif isinstance(outcome, list | tuple):
        for part in outcome:
            ended(part)


def refused_or_done(call: Callable[[], Any]) -> None:
    with suppress(EfaasError):
        ended(call())


@given(circuit=CIRCUITS, observable=OBSERVABLES, shots=SCALARS)
def test_objective(session: efaas.EFSession, circuit: Any, observable: Any, shots: Any) -> None:
    refused_or_done(lambda: session.objective(circuit, observable, shots=shots))


@given(point=POINTS, name=st.sampled_from(["submit", "submit_many", "gradient", "__call__"]))
def test_evaluations(session: efaas.EFSession, point: Any, name: str) -> None:
    energy = session.objective(ANSATZ, "Z")
    refused_or_done(lambda: getattr(energy, name)(point))


@given(shots=ANYTHING)
def test_shots_of_one_evaluation(session: efaas.EFSession, shots: Any) -> None:
    energy = session.objective(ANSATZ, "Z")
    refused_or_done(lambda: energy.submit([0.1, 0.2], shots=shots))


@given(circuit=CIRCUITS, observable=OBSERVABLES, point=POINTS, precision=SCALARS)
def test_estimates(
    session: efaas.EFSession, circuit: Any, observable: Any, point: Any, precision: Any
) -> None:
    refused_or_done(lambda: session.estimate(circuit, observable, point, precision=precision))


@given(circuit=CIRCUITS, point=POINTS, shots=st.one_of(st.integers(-2, 9), st.floats(), st.none()))
def test_samples(session: efaas.EFSession, circuit: Any, point: Any, shots: Any) -> None:
    refused_or_done(lambda: session.sample(circuit, point, shots))


@given(pub=st.lists(ANYTHING, max_size=4))
def test_pubs_of_all_kinds(session: efaas.EFSession, pub: Any) -> None:
    refused_or_done(lambda: session.estimate(*pub))
    refused_or_done(lambda: session.sample(*pub))


@given(fn=ANYTHING, guess=ANYTHING)
def test_steps_and_guesses(session: efaas.EFSession, fn: Any, guess: Any) -> None:
    if not callable(fn):
        refused_or_done(lambda: session.call(fn))
    future = session.objective(ANSATZ, "Z").submit([0.1, 0.2])
    refused_or_done(lambda: future.speculate(lambda value: value, guess=guess))


@settings(max_examples=60)
@given(x0=POINTS, limit=SCALARS, name=st.sampled_from(["max_rounds", "max_seconds", "max_shots"]))
def test_starts_and_limits(session: efaas.EFSession, x0: Any, limit: Any, name: str) -> None:
    energy = session.objective(ANSATZ, "Z")
    settings: dict[str, Any] = {name: limit, "options": {"maxiter": 8}}
    refused_or_done(lambda: efaas.minimize(energy, x0, method="COBYLA", **settings))


@settings(max_examples=60)
@given(
    how=ANYTHING,
    name=st.sampled_from(["speculation", "jac", "method", "args", "final_shots"]),
)
def test_ways_to_minimize(session: efaas.EFSession, how: Any, name: str) -> None:
    if callable(how):
        return  # a method or gradient of the caller's own, whose errors are the caller's
    energy = session.objective(ANSATZ, "Z")
    passed: dict[str, Any] = {"method": "BFGS", "options": {"maxiter": 1}, name: how}
    refused_or_done(lambda: efaas.minimize(energy, [0.1, 0.2], **passed))


@given(
    name=st.sampled_from(
        ["seed", "weight", "cpu_slots", "tenant", "clock", "journal", "scheduler"]
    ),
    value=ANYTHING,
)
def test_settings_of_a_session(
    tmp_path_factory: pytest.TempPathFactory, name: str, value: Any
) -> None:
    if name == "journal" and isinstance(value, str) and value:
        value = tmp_path_factory.mktemp("fuzz") / "a.efaas"

    def opened() -> None:
        efaas.EFSession(FakeBackend(), **{name: value}).close()

    refused_or_done(opened)


@given(value=ANYTHING, name=st.sampled_from(["ordering", "placement", "fairness", "weights"]))
def test_settings_of_a_scheduler(value: Any, name: str) -> None:
    refused_or_done(lambda: efaas.EFScheduler(FakeBackend(), **{name: value}).close())


@given(value=ANYTHING, name=st.sampled_from(["path", "durability", "mode", "on_failure"]))
def test_settings_of_a_journal(value: Any, name: str) -> None:
    refused_or_done(lambda: efaas.Journal(**({"path": "a.efaas"} | {name: value})))
