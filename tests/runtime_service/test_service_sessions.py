"""Sessions and batches, through the unmodified client."""

from __future__ import annotations

from typing import Any

import pytest
from qiskit_ibm_runtime import Batch, QiskitRuntimeService, Session
from qiskit_ibm_runtime.exceptions import IBMInputValueError, IBMRuntimeError
from small_jobs import DEVICE, submitted

from efaas.testing.runtime_service import JobNeverEnds, RuntimeService


def test_a_session_goes_from_pending_to_closed(service: RuntimeService, device: Any) -> None:
    session = Session(backend=device)
    assert session.status() == "Pending"
    submitted(session).result(timeout=60)
    assert session.status() == "In progress, accepting new jobs"
    details = session.details()
    assert (details["mode"], details["backend_name"]) == ("dedicated", DEVICE)
    assert (details["interactive_timeout"], details["max_time"]) == (60.0, 28_800.0)
    session.close()
    assert session.status() == "Closed"
    states = [entry["status"] for entry in session.details()["timestamps"]]
    assert states == ["open", "active", "closed"]


def test_a_closed_session_refuses_jobs_with_the_services_code(
    service: RuntimeService, device: Any
) -> None:
    with Session(backend=device) as session:
        submitted(session).result(timeout=60)
        service.close_session(session.session_id)
        with pytest.raises(IBMRuntimeError, match=r'400 .*"code":1217.*closed'):
            submitted(session)


def test_thinking_is_paid_for_in_a_session(service: RuntimeService, device: Any) -> None:
    before = service.billed_seconds
    session = Session(backend=device)
    submitted(session, shots=1000).result(timeout=60)  # 1.25 s
    service.advance(10.0)
    submitted(session, shots=1000).result(timeout=60)
    session.close()

    assert session.usage() == pytest.approx(12.5)
    assert service.billed_seconds - before == pytest.approx(12.5)
    charge = service.charges[-1]
    assert (charge.what, charge.id) == ("session", session.session_id)


def test_without_jobs_a_session_is_paid_for_until_it_becomes_inactive(
    service: RuntimeService, device: Any
) -> None:
    session = Session(backend=device)
    submitted(session, shots=1000).result(timeout=60)
    service.advance(10_000.0)

    assert session.details()["state"] == "inactive"
    assert session.usage() == pytest.approx(1.25 + 60.0)
    submitted(session, shots=1000).result(timeout=60)
    assert session.details()["state"] == "active"
    session.close()
    assert session.usage() == pytest.approx(1.25 + 60.0 + 1.25)


def test_a_session_that_never_ran_costs_nothing(service: RuntimeService, device: Any) -> None:
    before = service.billed_seconds
    with Session(backend=device):
        service.advance(100.0)
    assert service.billed_seconds == before


def test_a_session_ends_at_its_maximum_time_and_takes_its_queue_along(
    service: RuntimeService, device: Any
) -> None:
    session = Session(backend=device, max_time="2m")
    submitted(session).result(timeout=60)
    service.pause(DEVICE)
    waiting = submitted(session)
    service.advance(120.0)

    assert session.status() == "Closed"
    assert waiting.status() == "CANCELLED"
    assert "maximum time" in service.jobs[-1].reason
    with pytest.raises(IBMRuntimeError, match="1217"):
        submitted(session)


def test_a_running_job_outlasts_its_session(service: RuntimeService, device: Any) -> None:
    injection = service.inject(JobNeverEnds())
    session = Session(backend=device, max_time=60)
    job = submitted(session)
    assert job.status() == "RUNNING"
    service.advance(100.0)
    assert session.details()["accepting_jobs"] is False
    injection.release()
    assert job.result(timeout=60)[0].data.c.num_shots == 100
    assert session.status() == "Closed"
    assert session.usage() >= 100.0


def test_closing_lets_queued_jobs_finish_and_cancelling_drops_them(
    service: RuntimeService, device: Any
) -> None:
    service.pause(DEVICE)
    kept, dropped = Session(backend=device), Session(backend=device)
    kept_job, dropped_job = submitted(kept), submitted(dropped)
    kept.close()
    dropped.cancel()

    assert dropped_job.status() == "CANCELLED"
    assert dropped.status() == "Closed"
    service.resume(DEVICE)
    assert kept_job.result(timeout=60)[0].data.c.num_shots == 100
    assert kept.status() == "Closed"


def test_an_active_session_has_the_device_to_itself(service: RuntimeService, device: Any) -> None:
    session = Session(backend=device)
    submitted(session).result(timeout=60)
    outside = submitted(device)
    inside = submitted(session)
    inside.result(timeout=60)
    assert outside.status() == "QUEUED"
    service.advance(60.0)
    assert outside.result(timeout=60)[0].data.c.num_shots == 100
    assert service.jobs[-2].started_at >= service.jobs[-1].finished_at + 60.0


def test_a_batch_is_paid_for_by_its_jobs_and_runs_them_in_one_go(
    service: RuntimeService, device: Any
) -> None:
    before = service.billed_seconds
    service.pause(DEVICE)
    batch = Batch(backend=device)
    jobs = [submitted(batch, shots=1000)]
    outside = submitted(device, shots=1000)
    jobs.append(submitted(batch, shots=1000))
    batch.close()
    service.resume(DEVICE)
    for job in [*jobs, outside]:
        job.result(timeout=60)

    assert batch.usage() == pytest.approx(2.5)
    assert service.billed_seconds - before == pytest.approx(3.75)
    first, between, second = service.jobs[-3:]
    assert first.started_at < second.started_at < between.started_at


def test_a_session_is_found_again_by_its_id(
    service: RuntimeService, account: QiskitRuntimeService, device: Any
) -> None:
    session = Session(backend=device)
    again = Session.from_id(session.session_id, service=account)
    submitted(again).result(timeout=60)
    [job] = account.jobs(session_id=session.session_id)
    assert job.session_id == session.session_id
    with pytest.raises(IBMInputValueError, match="execution mode dedicated"):
        Batch.from_id(session.session_id, service=account)


def test_a_maximum_time_beyond_the_plans_is_refused(service: RuntimeService, device: Any) -> None:
    with pytest.raises(Exception, match="max_ttl must be"):
        Session(backend=device, max_time="9h")
