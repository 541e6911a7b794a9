"""The life of a job, through the unmodified client."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from qiskit_ibm_runtime.exceptions import (
    IBMRuntimeError,
    RuntimeInvalidStateError,
    RuntimeJobFailureError,
    RuntimeJobMaxTimeoutError,
    RuntimeJobNotFound,
    RuntimeJobTimeoutError,
)
from qiskit_ibm_runtime.executor_sampler import Sampler
from small_jobs import DEVICE, measured, submitted

from efaas.testing.runtime_service import JobCancelled, JobFails, JobNeverEnds, RuntimeService

if TYPE_CHECKING:
    from qiskit_ibm_runtime import QiskitRuntimeService


def test_a_job_is_found_again_by_another_client(service: RuntimeService, device: Any) -> None:
    job = submitted(device, "again")
    counts = job.result(timeout=60)[0].data.c.get_counts()

    found = service.client().job(job.job_id())

    assert found.result(timeout=60)[0].data.c.get_counts() == counts
    assert found.tags == ["again"]
    assert found.session_id is None


def test_inputs_are_given_back(service: RuntimeService, device: Any) -> None:
    job = submitted(device)
    assert job.inputs["quantum_program"].shots == 100


def test_a_private_jobs_result_is_read_once_and_its_inputs_never(
    service: RuntimeService, device: Any
) -> None:
    from qiskit_ibm_runtime.executor_sampler import Sampler
    from small_jobs import measured

    sampler = Sampler(mode=device)
    sampler.options.environment.private = True
    job = sampler.run([measured()], shots=10)

    assert job.result(timeout=60)[0].data.c.num_shots == 10
    assert job.inputs == {}
    assert job.result(timeout=60) is None


def test_usage_is_seconds_of_the_qpu(service: RuntimeService, device: Any) -> None:
    before = service.billed_seconds
    job = submitted(device, shots=1000)
    job.result(timeout=60)

    # One second a job, and 250 us a shot on this device.
    assert job.usage() == pytest.approx(1.25)
    assert job.usage_estimation["quantum_seconds"] == pytest.approx(1.25)
    assert service.billed_seconds - before == pytest.approx(1.25)
    assert [charge.id for charge in service.charges][-1] == job.job_id()


def test_timestamps_follow_the_services_clock(service: RuntimeService, device: Any) -> None:
    job = submitted(device)
    job.result(timeout=60)
    created = job.creation_date
    service.advance(3600.0)
    later = submitted(device)
    assert timedelta(seconds=3600) <= later.creation_date - created < timedelta(seconds=3610)


def test_jobs_are_listed_by_tags_page_by_page(
    service: RuntimeService, account: QiskitRuntimeService, device: Any
) -> None:
    service.pause(DEVICE)
    ids = [submitted(device, "loop", f"n{n}").job_id() for n in range(21)]

    def listed(**filters: Any) -> list[str]:
        return [job.job_id() for job in account.jobs(**filters)]

    assert listed(job_tags=["loop"], limit=None) == ids[::-1]  # two pages
    assert listed(job_tags=["loop"], limit=3, skip=1) == ids[::-1][1:4]
    assert listed(job_tags=["loop", "n7"]) == [ids[7]]
    assert listed(job_tags=["nobody's"]) == []
    assert listed(job_tags=["loop"], limit=2, descending=False) == ids[:2]
    assert listed(job_tags=["loop"], pending=False) == []
    assert listed(job_tags=["loop"], pending=True, backend_name="ibm_other") == []
    assert [len(found) for found in service.jobs_by_tag("loop").values()] == [21]


def test_tags_can_be_replaced(
    service: RuntimeService, account: QiskitRuntimeService, device: Any
) -> None:
    job = submitted(device, "old")
    assert job.update_tags(["new"]) == ["new"]
    assert account.jobs(job_tags=["old"]) == []


def test_jobs_are_listed_by_date(
    service: RuntimeService, account: QiskitRuntimeService, device: Any
) -> None:
    early = submitted(device, "dated")
    early.result(timeout=60)
    service.advance(7200.0)
    late = submitted(device, "dated")
    between = early.creation_date + timedelta(hours=1)

    after = account.jobs(job_tags=["dated"], created_after=between)
    before = account.jobs(job_tags=["dated"], created_before=between)

    assert [job.job_id() for job in after] == [late.job_id()]
    assert [job.job_id() for job in before] == [early.job_id()]


def test_a_queued_job_is_cancelled_without_a_charge(service: RuntimeService, device: Any) -> None:
    service.pause(DEVICE)
    before = service.billed_seconds
    job = submitted(device)
    job.cancel()

    assert service.jobs[-1].status == "Cancelled"
    with pytest.raises(RuntimeInvalidStateError, match="cancelled"):
        service.client().job(job.job_id()).result(timeout=5)
    with pytest.raises(RuntimeInvalidStateError, match="cannot be cancelled"):
        service.client().job(job.job_id()).cancel()
    assert service.billed_seconds == before


def test_a_finished_job_can_be_deleted_and_a_pending_one_cannot(
    service: RuntimeService, account: QiskitRuntimeService, device: Any
) -> None:
    job = submitted(device)
    job.result(timeout=60)
    account.delete_job(job.job_id())
    with pytest.raises(RuntimeJobNotFound):
        account.job(job.job_id())
    service.pause(DEVICE)
    with pytest.raises(IBMRuntimeError, match="409"):
        account.delete_job(submitted(device).job_id())


def test_logs_exist_when_a_job_has_ended(service: RuntimeService, device: Any) -> None:
    service.pause(DEVICE)
    job = submitted(device)
    assert job.logs() == ""
    service.resume(DEVICE)
    job.result(timeout=60)
    assert "completed" in job.logs()


def test_a_job_that_fails_says_why_and_is_charged_for(service: RuntimeService, device: Any) -> None:
    before = service.billed_seconds
    service.inject(JobFails("The qubits are cold.", code=9707))
    job = submitted(device)
    with pytest.raises(RuntimeJobFailureError, match="9707; The qubits are cold"):
        job.result(timeout=60)
    assert service.billed_seconds > before
    submitted(device).result(timeout=60)  # only the one


def test_a_job_cancelled_by_somebody_else_is_cancelled(
    service: RuntimeService, device: Any
) -> None:
    service.inject(JobCancelled())
    with pytest.raises(RuntimeInvalidStateError, match="was cancelled"):
        submitted(device).result(timeout=60)


def test_a_job_that_never_ends_holds_the_device_until_it_is_cancelled(
    service: RuntimeService, device: Any
) -> None:
    injection = service.inject(JobNeverEnds(), when=lambda job: "stuck" in job.tags)
    stuck = submitted(device, "stuck")
    waiting = submitted(device)
    with pytest.raises(RuntimeJobTimeoutError):
        stuck.result(timeout=0.1)
    assert (stuck.status(), waiting.status()) == ("RUNNING", "QUEUED")
    service.advance(50.0)
    stuck.cancel()
    waiting.result(timeout=60)
    assert injection.fired == 1
    assert service.jobs[-2].qpu_seconds == 50.0


def test_a_job_that_never_ends_runs_when_it_is_let_go(service: RuntimeService, device: Any) -> None:
    injection = service.inject(JobNeverEnds())
    job = submitted(device)
    assert job.status() == "RUNNING"
    injection.release()
    assert job.result(timeout=60)[0].data.c.num_shots == 100


def test_a_job_is_stopped_at_its_own_limit(service: RuntimeService, device: Any) -> None:
    # 10,000 shots take 3.5 s here.
    job = submitted(device, shots=10_000, max_execution_time=2)
    with pytest.raises(RuntimeJobMaxTimeoutError):
        job.result(timeout=60)
    assert service.jobs[-1].qpu_seconds == 2.0


def test_an_unknown_job_is_not_found(account: QiskitRuntimeService) -> None:
    with pytest.raises(RuntimeJobNotFound):
        account.job("d0nothing")


def test_a_dry_run_is_checked_and_estimated_and_costs_nothing(
    service: RuntimeService, account: QiskitRuntimeService, device: Any
) -> None:
    before, instant = service.billed_seconds, service.clock.now()
    job = Sampler(mode=device).run([measured()], shots=1000, dry_run=True)
    counts = job.result(timeout=60)[0].data.c.get_counts()

    assert sum(counts.values()) == 1000
    assert job.backend().name == "mock_manila"
    assert job.usage_estimation["quantum_seconds"] == pytest.approx(1.25)
    assert (service.billed_seconds, service.clock.now()) == (before, instant)
    listed = [found.job_id() for found in account.jobs(limit=None)]
    assert job.job_id() not in listed
    assert job.job_id() in [found.job_id() for found in account.jobs(include_mocks=True)]
    assert [found.name for found in account.backends()] == [DEVICE]
