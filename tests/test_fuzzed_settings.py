"""Settings of all kinds, and what is asked of a session: an error of ours, or success."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import efaas
from efaas.backends import AerBackend, Limits, RetryPolicy, RuntimeBackend, TimeLimits, WarmCache
from efaas.policies.placement import PlacementWeights
from efaas.policies.repinning import RepinSettings
from efaas.testing import FakeBackend
from efaas.testing.runtime_service import HttpError, QpuTiming
from tests.test_fuzzed_input import ANSATZ, ANYTHING, POINTS, SCALARS, refused_or_done

CACHE = WarmCache()  # nothing is compiled twice
RECORDS: list[Any] = [
    efaas.Budget,
    efaas.FairSettings,
    efaas.Sentinel,
    efaas.Speculation,
    Limits,
    PlacementWeights,
    RepinSettings,
    RetryPolicy,
    TimeLimits,
]
OF_A_RUNTIME_BACKEND = (
    "mode", "options", "sampler_options", "budget", "limits", "time_limits", "retries",
    "rounds_ahead", "calibration_seconds", "max_session_seconds", "on_expiry", "seeded", "name",
    "cache", "optimization_level", "seed_transpiler", "clock", "calibration_id", "service",
    "use_fractional_gates", "instance",
)  # fmt: skip
NO_NAMES = ANYTHING.filter(lambda value: not isinstance(value, str))


@pytest.fixture(scope="module")
def session() -> Iterator[efaas.EFSession]:
    with efaas.EFSession(FakeBackend(), seed=1, cpu_slots=1) as opened:
        yield opened


@pytest.fixture(scope="module")
def backend() -> Iterator[RuntimeBackend]:
    opened = RuntimeBackend("fake_manila", cache=CACHE)
    yield opened
    opened.close()


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.__name__)
@given(data=st.data(), value=ANYTHING)
def test_fields_of_settings(record: Any, data: st.DataObject, value: Any) -> None:
    name = data.draw(st.sampled_from([field.name for field in fields(record)]))
    refused_or_done(lambda: repr(record(**{name: value})))


@settings(max_examples=80)
@given(name=st.sampled_from(OF_A_RUNTIME_BACKEND), value=ANYTHING)
def test_settings_of_a_runtime_backend(name: str, value: Any) -> None:
    def opened() -> None:
        backend = RuntimeBackend("fake_manila", **{"cache": CACHE, name: value})
        repr(backend)
        str(backend.spending())
        backend.close()

    refused_or_done(opened)


@given(device=NO_NAMES)
def test_devices_of_a_runtime_backend(device: Any) -> None:
    refused_or_done(lambda: RuntimeBackend(device).close())


@settings(max_examples=60)
@given(
    spec=st.one_of(NO_NAMES, st.just("fake_manila")),
    name=st.sampled_from(["name", "cache", "drift", "executor", "optimization_level"]),
    value=ANYTHING,
)
def test_settings_of_an_aer_backend(spec: Any, name: str, value: Any) -> None:
    refused_or_done(lambda: AerBackend(spec, **{name: value}).close())


@given(backends=ANYTHING)
def test_backends_of_a_session(backends: Any) -> None:
    if backends is not None:
        refused_or_done(lambda: efaas.EFSession(backends, seed=1).close())


@settings(max_examples=25)
@given(circuit=st.one_of(st.just(ANSATZ), ANYTHING), observables=ANYTHING, number=SCALARS)
def test_costs(backend: RuntimeBackend, circuit: Any, observables: Any, number: Any) -> None:
    refused_or_done(lambda: backend.cost(circuit, observables))
    refused_or_done(lambda: backend.cost(ANSATZ, "Z", shots=number))
    refused_or_done(lambda: backend.cost(ANSATZ, "Z", points=number))


@given(what=ANYTHING)
def test_what_is_asked_of_a_session(session: efaas.EFSession, what: Any) -> None:
    for ask in (session.explain, session.watch):
        refused_or_done(lambda ask=ask: str(ask(what)))
    refused_or_done(lambda: session.estimator(default_precision=what))
    refused_or_done(lambda: session.sampler(default_shots=what))


@settings(max_examples=60)
@given(pubs=ANYTHING, number=SCALARS)
def test_primitives(session: efaas.EFSession, pubs: Any, number: Any) -> None:
    refused_or_done(lambda: session.estimator().run(pubs, precision=number).result())
    refused_or_done(lambda: session.sampler().run(pubs, shots=number).result())


@given(fn=NO_NAMES, seconds=SCALARS)
def test_what_is_asked_of_a_future(session: efaas.EFSession, fn: Any, seconds: Any) -> None:
    future = session.objective(ANSATZ, "Z").submit([0.1, 0.2])
    if not callable(fn):
        refused_or_done(lambda: future.then(fn))
        refused_or_done(lambda: future.speculate(fn, guess=0.0))


@given(x0=POINTS, name=st.sampled_from(["spsa", "rotosolve"]), option=ANYTHING)
def test_methods_of_ours(session: efaas.EFSession, x0: Any, name: str, option: Any) -> None:
    energy = session.objective(ANSATZ, "Z")
    given_options: dict[str, Any] = {"maxiter": 2, "rng": option}
    method: Any = {"spsa": efaas.optimize.spsa, "rotosolve": efaas.optimize.rotosolve}[name]
    refused_or_done(lambda: efaas.minimize(energy, x0, method=method, options=given_options))


@given(value=ANYTHING, name=st.sampled_from(["status", "code", "retry_after", "after"]))
def test_faults_of_a_loopback_service(value: Any, name: str) -> None:
    refused_or_done(lambda: HttpError(**{"status": 500, name: value}))
    refused_or_done(lambda: QpuTiming(job_seconds=value))
