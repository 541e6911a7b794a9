"""The limits of plans, through the unmodified client."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from qiskit import QuantumCircuit
from qiskit_ibm_runtime import Batch, Session
from qiskit_ibm_runtime.api.exceptions import RequestsApiError
from qiskit_ibm_runtime.exceptions import IBMRuntimeError
from qiskit_ibm_runtime.executor_sampler import Sampler
from small_jobs import DEVICE, measured, submitted

from efaas.errors import InputError
from efaas.testing.runtime_service import PLANS, QpuTiming, RuntimeService

TIGHT = replace(
    PLANS["open"],
    max_pubs=3,
    max_shots=5000,
    max_executions=6000,
    max_payload_bytes=20_000,
    max_job_seconds=2.2,
    usage_limit_seconds=10.0,
)


@pytest.fixture
def service() -> Iterator[RuntimeService]:
    with RuntimeService(devices=["fake_manila"], seed=5, plan=TIGHT, poll_seconds=2.0) as service:
        yield service


@pytest.fixture
def device(service: RuntimeService) -> Any:
    return service.client().backend(DEVICE)


def test_the_open_plan_opens_batches_and_no_sessions(device: Any) -> None:
    with pytest.raises(RequestsApiError) as caught:
        Session(backend=device)
    assert caught.value.status_code == 400
    assert '"code":1352' in caught.value.message
    assert "not authorized to run a session when using the open plan" in caught.value.message
    with Batch(backend=device) as batch:
        submitted(batch).result(timeout=60)


def test_the_status_of_that_refusal_can_be_chosen() -> None:
    rules = replace(TIGHT, session_refusal_status=403)
    with RuntimeService(devices=["fake_manila"], plan=rules) as service:
        with pytest.raises(RequestsApiError) as caught:
            Session(backend=service.client().backend(DEVICE))
        assert caught.value.status_code == 403


def test_at_most_three_jobs_are_pending_on_the_open_plan(
    service: RuntimeService, device: Any
) -> None:
    service.pause(DEVICE)
    jobs = [submitted(device) for _ in range(3)]
    with pytest.raises(IBMRuntimeError, match="3458"):
        submitted(device)
    jobs[0].cancel()
    submitted(device)


def test_a_job_has_so_many_pubs_shots_and_bytes_and_no_more(
    service: RuntimeService, device: Any
) -> None:
    sampler = Sampler(mode=device)
    with pytest.raises(IBMRuntimeError, match="4 pubs; at most 3"):
        sampler.run([measured()] * 4, shots=10)
    with pytest.raises(IBMRuntimeError, match="more than 5000 shots"):
        sampler.run([measured()], shots=5001)
    with pytest.raises(IBMRuntimeError, match="6002 executions; at most 6000"):
        sampler.run([measured()] * 2, shots=3001)
    long = QuantumCircuit(1, 1)
    for angle in range(4000):
        long.rz(1.0 / (1 + angle), 0)
    long.measure(0, 0)
    with pytest.raises(IBMRuntimeError, match=r"413 .*at most 20000"):
        sampler.run([long], shots=10)
    assert len(service.jobs) == 0
    sampler.run([measured()] * 3, shots=1500).result(timeout=60)


def test_the_plans_limit_of_a_jobs_time_holds_whatever_it_asks_for(
    service: RuntimeService, device: Any
) -> None:
    job = submitted(device, shots=5000, max_execution_time=1000)  # 2.25 s
    assert job.wait_for_final_state(timeout=60) is None
    assert job.status() == "ERROR"
    assert service.jobs[-1].reason_code == 1305


def test_jobs_no_longer_start_when_the_plans_seconds_are_used_up(
    service: RuntimeService, device: Any
) -> None:
    for _ in range(5):
        submitted(device, shots=4000).wait_for_final_state(timeout=60)  # 2 s each
    usage = device.service.usage()
    assert usage["usage_limit_reached"]
    assert usage["usage_remaining_seconds"] == 0
    with pytest.warns(UserWarning, match="usage limit"):
        job = submitted(device)
    assert job.status() == "QUEUED"


def test_a_circuit_that_the_device_does_not_have_is_refused(device: Any) -> None:
    circuit = QuantumCircuit(1, 1)
    circuit.h(0)
    circuit.measure(0, 0)
    with pytest.raises(IBMRuntimeError, match=r'400 .*"code":1517.*instruction h'):
        Sampler(mode=device).run([circuit])


@pytest.mark.parametrize(
    "change",
    [{"max_pubs": 0}, {"max_job_seconds": 0.0}, {"interactive_seconds": -1.0},
     {"session_refusal_status": 200}],
)  # fmt: skip
def test_rules_that_make_no_sense_are_refused(change: dict[str, Any]) -> None:
    [name] = change
    with pytest.raises(InputError, match=name):
        replace(TIGHT, **change)


def test_an_unknown_plan_is_refused() -> None:
    with pytest.raises(InputError, match="open, flex, premium"):
        RuntimeService(devices=["fake_manila"], plan="gold")
    with pytest.raises(InputError, match="poll_seconds"):
        RuntimeService(devices=["fake_manila"], poll_seconds=-1.0)
    with pytest.raises(InputError, match="finite and at least 0"):
        QpuTiming(job_seconds=-1.0)
