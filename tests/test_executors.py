"""Simulations and classical steps on threads, on processes, on a cluster: the same numbers."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import numpy as np
import pytest
from qiskit.circuit.library import efficient_su2

import efaas
from efaas.backends import AerBackend
from efaas.errors import InputError

ANSATZ = efficient_su2(2, reps=1)
POINTS = np.linspace(0.0, 1.0, 6 * 8).reshape(6, 8)


def values(executor: Executor | None, **settings: Any) -> list[float]:
    backend = AerBackend("fake_manila", executor=executor, worker_seconds=0.0, **settings)
    with efaas.EFSession(backend, seed=3) as session:
        futures = session.objective(ANSATZ, "ZZ", shots=64).submit_many(POINTS)
        return [future.result() for future in futures]


@pytest.fixture(scope="module")
def expected() -> list[float]:
    return values(None)


class Noting(Executor):
    """Passes on to another executor, and notes what."""

    def __init__(self, inner: Executor, act: Callable[[], None] | None = None) -> None:
        self.submitted: list[str] = []
        self._inner = inner
        self._act = act

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.submitted.append(fn.__name__)
        if self._act is not None:
            self._act()
        return self._inner.submit(fn, *args, **kwargs)


@pytest.fixture(scope="module")
def processes() -> Iterator[Executor]:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        yield pool


def test_threads_give_the_same_numbers(expected: list[float]) -> None:
    with ThreadPoolExecutor(3) as pool:
        noting = Noting(pool)
        assert values(noting, workers=3) == expected
        assert noting.submitted[:3] == ["_run_known"] * 3
        assert pool.submit(int).result() == 0, "it is not shut down"


def test_processes_give_the_same_numbers(processes: Executor, expected: list[float]) -> None:
    assert values(processes) == expected


def test_short_runs_stay_here(processes: Executor) -> None:
    noting = Noting(processes)
    backend = AerBackend("fake_manila", executor=noting, worker_seconds=60.0)
    with efaas.EFSession(backend, seed=3) as session:
        session.objective(ANSATZ, "ZZ", shots=64)(POINTS[0])
    assert noting.submitted == []


def test_a_pool_that_breaks_in_mid_run_loses_nothing(expected: list[float]) -> None:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        pool.submit(int).result()

        def kill() -> None:
            for pid in list(pool._processes or {}):
                os.kill(pid, signal.SIGKILL)

        assert values(Noting(pool, kill)) == expected
        with pytest.raises(BrokenProcessPool):
            pool.submit(int).result()


def test_a_step_runs_on_the_executor(processes: Executor) -> None:
    with efaas.EFSession("aer", executor=processes) as session:
        assert session.call(os.getpid).result() != os.getpid()
        assert session.call(divmod, 7, 2).then(sum).result() == 4
        assert isinstance(session.call(divmod, 1, 0).exception(), ZeroDivisionError)
        assert session.report().classical.jobs == 4


def test_a_session_sends_long_runs_of_its_own_backends_there(
    processes: Executor, expected: list[float]
) -> None:
    noting = Noting(processes)
    with efaas.EFSession("fake_manila", seed=3, executor=noting) as session:
        energy = session.objective(ANSATZ, "ZZ", shots=64)
        many = np.tile(POINTS, (400, 1))
        assert [f.result() for f in energy.submit_many(many)][:6] == expected
    assert "_run_known" in noting.submitted


@pytest.mark.parametrize("given", [3, object(), "dask"])
def test_what_is_no_executor_is_refused(given: Any) -> None:
    with pytest.raises(InputError, match="submit"):
        efaas.EFSession("aer", executor=given)
    with pytest.raises(InputError, match="submit"):
        AerBackend("aer", executor=given)


# A cluster.


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs="ERROR"
        ) as cluster,
        distributed.Client(cluster) as opened,
    ):
        yield opened


def test_a_cluster_gives_the_same_numbers(client: Any, expected: list[float]) -> None:
    with client.get_executor() as executor:
        assert values(executor, workers=2) == expected
        with efaas.EFSession("aer", executor=executor) as session:
            pids = set(client.run(os.getpid).values())
            assert {session.call(os.getpid).result() for _ in range(4)} <= pids


def test_a_worker_killed_in_mid_run_costs_nothing(client: Any, expected: list[float]) -> None:
    """Its pieces run on the other one, and come back with the same numbers."""
    killed: list[int] = []
    lock = threading.Lock()

    def kill_once() -> None:
        with lock:
            if not killed:
                killed.append(next(iter(client.run(os.getpid).values())))
                os.kill(killed[0], signal.SIGKILL)

    with client.get_executor() as executor:
        noting = Noting(executor, kill_once)
        assert values(noting, workers=4) == expected
        assert killed
        assert values(executor, workers=2) == expected
