"""What a type checker sees of the public names: `make check` fails where a type gets lost.

Nothing here is run. ``assert_type`` holds only for the very type: ``Any`` in its place is an error.
"""

from __future__ import annotations

from typing import Any, assert_type

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import OptimizeResult

import efaas
from efaas.backends import AerBackend, Drift, RuntimeBackend
from efaas.cloud.what_if import WhatIf
from efaas.model.job import JobSnapshot
from efaas.model.profile import CacheInfo, CircuitProfile
from efaas.model.record import Spend
from efaas.observe import SessionReport, Trace, load_trace
from efaas.observe.view import View
from efaas.policies.placement import Explanation
from efaas.primitives import SessionEstimator, SessionSampler


def sessions(circuit: Any) -> None:
    with efaas.EFScheduler(["aer"], fairness=efaas.FairSettings()) as scheduler:
        assert_type(scheduler, efaas.EFScheduler)
        assert_type(scheduler.session(tenant="ada", weight=2), efaas.EFSession)
        assert_type(scheduler.backends, tuple[str, ...])
    with efaas.EFSession("aer", seed=1, journal=efaas.Journal("run.efaas")) as session:
        assert_type(session, efaas.EFSession)
        assert_type(session.objective(circuit, "ZZ"), efaas.Objective)
        assert_type(session.estimator(), SessionEstimator)
        assert_type(session.sampler(), SessionSampler)
        assert_type(session.report(), SessionReport)
        assert_type(session.trace, Trace)
        assert_type(session.watch(), View)
        assert_type(session.what_if(), WhatIf)
        assert_type(session.spend, Spend | None)
        assert_type(session.events, tuple[efaas.LoopEvent, ...])
        assert_type(session.cache_info(), CacheInfo)
        assert_type(session.seed, int)


def objectives(session: efaas.EFSession, energy: efaas.Objective, theta: list[float]) -> None:
    assert_type(energy(theta), float)
    assert_type(energy.submit(theta), efaas.QuantumFuture[float])
    assert_type(energy.submit_many([theta]), list[efaas.QuantumFuture[float]])
    assert_type(energy.gradient(theta), efaas.QuantumFuture[NDArray[np.float64]])
    assert_type(energy.profile, CircuitProfile)
    assert_type(energy.num_parameters, int)
    assert_type(energy.shots, int | None)
    assert_type(session.explain(energy), Explanation)


def futures(future: efaas.QuantumFuture[float], energy: efaas.Objective) -> None:
    def words(value: float) -> str:
        return f"{value}"

    def again(value: float) -> efaas.QuantumFuture[float]:
        return energy.submit([value])

    assert_type(future.result(), float)
    assert_type(future.std_error, float | None)
    assert_type(future.job, JobSnapshot | None)
    assert_type(future.then(words), efaas.QuantumFuture[str])
    assert_type(future.then(again), efaas.QuantumFuture[float])
    assert_type(future.speculate(words, guess=1.0), efaas.QuantumFuture[str])
    assert_type(future.speculate(again, guesses=[1.0, 2.0]), efaas.QuantumFuture[float])
    assert_type(future.cancel(), bool)


async def awaiting(future: efaas.QuantumFuture[float]) -> None:
    assert_type(await future, float)


def optimizing(energy: efaas.Objective, theta: list[float]) -> None:
    assert_type(efaas.minimize(energy, theta, speculation=efaas.Speculation()), OptimizeResult)
    assert_type(efaas.minimize(energy, theta, method=efaas.optimize.rotosolve), OptimizeResult)
    assert_type(efaas.optimize.spsa(energy, theta), OptimizeResult)


def reports(report: SessionReport, result: efaas.SpeculationReport) -> None:
    assert_type(report.trace, Trace | None)
    assert_type(report.seconds, float)
    assert_type(load_trace("run.jsonl"), Trace)
    assert_type(load_trace("run.jsonl").seconds, float)
    assert_type(result.rounds, int)
    assert_type(result.saved_seconds, float)


def backends() -> None:
    assert_type(AerBackend("fake_torino", drift=Drift(seed=1)).name, str)
    assert_type(RuntimeBackend("ibm_torino", budget=efaas.Budget(jobs=3)), RuntimeBackend)
