"""Opening and closing services, several at once, and scripts that know nothing of them."""

from __future__ import annotations

import contextlib
import copy
import os
import subprocess
import sys
import threading
import time
from typing import Any

import numpy as np
import pytest
import requests
from qiskit import QuantumCircuit, generate_preset_pass_manager
from qiskit.circuit.library import efficient_su2
from qiskit.quantum_info import SparsePauliOp
from qiskit_ibm_runtime import EstimatorV2 as TutorialEstimator
from qiskit_ibm_runtime import QiskitRuntimeService, Session
from scipy.optimize import OptimizeResult, minimize
from small_jobs import DEVICE, submitted

from efaas.clock import SystemClock, VirtualClock
from efaas.errors import ClosedError, InputError
from efaas.testing.runtime_service import Hang, JobNeverEnds, RuntimeService


def test_the_environment_is_as_it_was_after_the_last_service() -> None:
    before = dict(os.environ)
    with RuntimeService(devices=["fake_manila"], seed=1) as outer:
        with RuntimeService(devices=["fake_quito"], seed=2) as inner:
            assert os.environ["QISKIT_IBM_URL"] == inner.url
        assert os.environ["QISKIT_IBM_URL"] == outer.url
    assert dict(os.environ) == before


def test_services_closed_in_any_order_restore_the_environment() -> None:
    before = dict(os.environ)
    first = RuntimeService(devices=["fake_manila"], seed=1).start()
    second = RuntimeService(devices=["fake_quito"], seed=2).start()
    first.close()
    assert os.environ["QISKIT_IBM_URL"] == second.url
    second.close()
    assert dict(os.environ) == before


def test_several_services_are_apart() -> None:
    with (
        RuntimeService(devices=["fake_manila"], seed=1) as first,
        RuntimeService(devices=["fake_quito"], seed=2, plan="open") as second,
    ):
        accounts = first.client(), second.client()
        assert [account.instances()[0]["plan"] for account in accounts] == ["premium", "open"]
        for account, name in zip(accounts, ("ibm_manila", "ibm_quito"), strict=True):
            submitted(account.backend(name)).result(timeout=60)
        assert [job.device for job in first.jobs] == ["ibm_manila"]
        assert [job.device for job in second.jobs] == ["ibm_quito"]


def test_every_thread_ends_whatever_hangs() -> None:
    before = set(threading.enumerate())
    with RuntimeService(devices=["fake_manila"], seed=1, poll_seconds=0.0) as service:
        device = service.client().backend(DEVICE)
        service.inject(JobNeverEnds())
        jobs = [submitted(device), submitted(device)]
        hanging = service.inject(Hang(), "backends")
        asking = threading.Thread(target=_ask, args=(f"{service.url}/backends",), daemon=True)
        asking.start()
        while not hanging.fired:
            time.sleep(0.005)
    asking.join(30)
    assert [job.job_id() for job in jobs] == [job.id for job in service.jobs]
    assert set(threading.enumerate()) <= before


_CONNECTED: list[Any] | None = None


def _listen(event: str, arguments: tuple[Any, ...]) -> None:
    if _CONNECTED is not None and event in ("socket.connect", "socket.getaddrinfo"):
        _CONNECTED.append(arguments[1][0] if event == "socket.connect" else arguments[0])


def test_nothing_leaves_the_machine() -> None:
    global _CONNECTED
    sys.addaudithook(_listen)  # it sees every connection of the process, whoever makes it
    _CONNECTED = []
    with RuntimeService(devices=["fake_manila"], seed=1, poll_seconds=2.0) as service:
        account = service.client()
        copied = copy.deepcopy(account.backend(DEVICE))  # a copy of a client logs in anew
        with Session(backend=account.backend(DEVICE)) as session:
            submitted(session).result(timeout=60)
        assert copied.status().operational
    hosts, _CONNECTED = set(_CONNECTED), None
    assert hosts == {"127.0.0.1"}


def _ask(url: str) -> None:
    with contextlib.suppress(requests.ConnectionError):  # the connection breaks, as it should
        requests.get(url, timeout=60)


def test_a_closed_service_says_so() -> None:
    service = RuntimeService(devices=["fake_manila"])
    with pytest.raises(ClosedError, match="with block"):
        service.client()
    with service:
        pass
    service.close()
    with pytest.raises(ClosedError, match="make a new one"):
        service.start()


def test_a_service_can_go_by_a_clock_of_the_tests_or_of_the_machine() -> None:
    clock = VirtualClock(start=100.0)
    with RuntimeService(devices=["fake_manila"], clock=clock) as service:
        session = Session(backend=service.client().backend(DEVICE))
        submitted(session).result(timeout=60)
        clock.advance(60.0)  # not through the service
        assert session.details()["state"] == "inactive"
    with (
        RuntimeService(devices=["fake_manila"], clock=SystemClock()) as service,
        pytest.raises(InputError, match="VirtualClock"),
    ):
        service.advance(1.0)


def test_another_process_finds_the_service_and_ends_without_closing_its_own(
    service: RuntimeService,
) -> None:
    script = (
        "from qiskit_ibm_runtime import QiskitRuntimeService\n"
        "from efaas.testing.runtime_service import RuntimeService\n"
        "print([device.name for device in QiskitRuntimeService().backends()])\n"
        "print(RuntimeService(devices=['fake_quito']).start().url[:17])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.split("\n")[:2] == ["['ibm_manila']", "http://127.0.0.1:"]
    assert [job.device for job in service.jobs] == []


def _tutorial(max_iterations: int) -> OptimizeResult:
    """The loop of the vendor's tutorial on VQE, as a user writes it."""
    service = QiskitRuntimeService()
    backend = service.least_busy(operational=True, simulator=False)
    hamiltonian = SparsePauliOp.from_list(
        [("YZ", 0.3980), ("ZI", -0.3980), ("ZZ", -0.0113), ("XX", 0.1810)]
    )
    ansatz = efficient_su2(hamiltonian.num_qubits)
    target_pm = generate_preset_pass_manager(target=backend.target, optimization_level=3)
    ansatz_isa = target_pm.run(ansatz)
    hamiltonian_isa = hamiltonian.apply_layout(layout=ansatz_isa.layout)
    history: dict[str, Any] = {"iters": 0, "costs": []}

    def cost_func(
        params: Any, ansatz: QuantumCircuit, hamiltonian: SparsePauliOp, estimator: Any
    ) -> float:
        result = estimator.run(pubs=[(ansatz, [hamiltonian], [params])]).result()
        energy = result[0].data.evs[0]
        history["iters"] += 1
        history["costs"].append(energy)
        return float(energy)

    x0 = 2 * np.pi * np.random.default_rng(0).random(ansatz_isa.num_parameters)
    with Session(backend=backend) as session:
        estimator = TutorialEstimator(mode=session)
        estimator.options.default_shots = 10000
        result = minimize(
            cost_func,
            x0,
            args=(ansatz_isa, hamiltonian_isa, estimator),
            method="cobyla",
            options={"maxiter": max_iterations},
        )
    assert len(history["costs"]) == history["iters"]
    return result


@pytest.mark.filterwarnings("ignore:.*EstimatorV2.*")
def test_the_tutorials_loop_runs_unchanged_and_converges() -> None:
    with RuntimeService(devices=["fake_torino"], seed=1, poll_seconds=2.0) as service:
        result = _tutorial(35)
        assert result.nfev == len(service.jobs)
        [session] = service.sessions
        assert session.state == "closed"
        assert service.billed_seconds == pytest.approx(sum(job.qpu_seconds for job in service.jobs))
        # The least eigenvalue is -0.702; the start is near 0.
        assert result.fun < -0.45
