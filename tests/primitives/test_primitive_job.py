from __future__ import annotations

from concurrent.futures import CancelledError

import pytest
from qiskit import QuantumCircuit
from qiskit.primitives import BasePrimitiveJob
from qiskit.providers import JobStatus

from efaas.primitives import SessionEstimator

PUB = (QuantumCircuit(1), "Z")


def waiting_job(session, pubs: int):
    session.is_manual = True
    return SessionEstimator(session).run([PUB] * pubs)


def finish(session, index: int) -> None:
    future, outcome = session.waiting[index]
    future.set_result(outcome)


def test_a_job_is_queued_then_running_then_done(session) -> None:
    job = waiting_job(session, 2)
    assert isinstance(job, BasePrimitiveJob)
    assert job.status() is JobStatus.QUEUED
    assert not job.in_final_state()

    session.waiting[0][0].set_running_or_notify_cancel()
    assert job.status() is JobStatus.RUNNING
    assert job.running()

    finish(session, 0)
    assert job.running()

    finish(session, 1)
    assert job.done()
    assert job.in_final_state()
    assert not job.running()
    assert len(job.result()) == 2
    assert job.result() is job.result()


def test_all_pubs_are_queued_before_any_is_waited_for(session) -> None:
    waiting_job(session, 3)
    assert len(session.requests) == 3


def test_jobs_have_ids_of_their_own(session) -> None:
    assert waiting_job(session, 1).job_id() != waiting_job(session, 1).job_id()


def test_cancelling_cancels_what_has_not_run_and_says_whether_it_was_all(session) -> None:
    job = waiting_job(session, 2)
    session.waiting[0][0].set_running_or_notify_cancel()

    assert job.cancel() is False
    assert session.waiting[1][0].cancelled()
    assert not job.cancelled()

    finish(session, 0)
    assert job.cancelled()
    with pytest.raises(CancelledError):
        job.result()


def test_a_cancelled_job_that_never_ran_is_cancelled(session) -> None:
    job = waiting_job(session, 2)
    assert job.cancel() is True
    assert job.status() is JobStatus.CANCELLED


def test_a_failed_pub_is_the_jobs_error(session) -> None:
    job = waiting_job(session, 2)
    finish(session, 0)
    session.waiting[1][0].set_exception(ZeroDivisionError("broken"))

    assert job.status() is JobStatus.ERROR
    assert not job.done()
    with pytest.raises(ZeroDivisionError, match="broken"):
        job.result()


def test_a_result_that_does_not_come_in_time_is_a_timeout(session) -> None:
    job = waiting_job(session, 1)
    with pytest.raises(TimeoutError):
        job.result(timeout=0)
    finish(session, 0)
    assert len(job.result(timeout=0)) == 1


def test_a_session_that_refuses_a_pub_has_the_earlier_ones_cancelled(session) -> None:
    session.is_manual = True
    session.most_requests = 1
    with pytest.raises(RuntimeError, match="full"):
        SessionEstimator(session).run([PUB, PUB])
    assert session.waiting[0][0].cancelled()


def test_no_pubs_make_an_empty_result(session) -> None:
    job = SessionEstimator(session).run([])
    assert job.done()
    assert list(job.result()) == []
