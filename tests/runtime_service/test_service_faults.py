"""Every fault that can be injected, as the unmodified client meets it."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
import requests
from qiskit_ibm_runtime import QiskitRuntimeService, Session
from qiskit_ibm_runtime.api.exceptions import RequestsApiError
from qiskit_ibm_runtime.exceptions import (
    IBMNotAuthorizedError,
    IBMRuntimeError,
    RuntimeJobFailureError,
)
from small_jobs import DEVICE, submitted

from efaas.errors import InputError
from efaas.testing.runtime_service import (
    Disconnect,
    Garble,
    Hang,
    HttpError,
    JobFails,
    RuntimeService,
    Truncate,
)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, IBMNotAuthorizedError),
        (403, IBMRuntimeError),
        (404, IBMRuntimeError),
        (409, IBMRuntimeError),
        (429, IBMRuntimeError),
    ],
)
def test_a_refused_submission_makes_no_job(
    service: RuntimeService, device: Any, status: int, error: type[Exception]
) -> None:
    before = len(service.jobs)
    service.inject(HttpError(status), "submit")
    with pytest.raises(error, match=str(status) if status != 404 else "Program not found"):
        submitted(device)
    assert len(service.jobs) == before
    assert service.requests[-1].injected == "HttpError"
    submitted(device).result(timeout=60)


def test_the_client_repeats_a_submission_after_a_server_error(
    service: RuntimeService, device: Any
) -> None:
    injection = service.inject(HttpError(503), "submit")
    submitted(device, "once").result(timeout=60)
    assert injection.fired == 1
    assert [len(jobs) for jobs in service.jobs_by_tag("once").values()] == [1]


def test_a_server_error_after_the_submission_makes_the_client_submit_twice(
    service: RuntimeService, device: Any
) -> None:
    service.inject(HttpError(502, after=True), "submit")
    submitted(device, "twice").result(timeout=60)
    assert [len(jobs) for jobs in service.jobs_by_tag("twice").values()] == [2]


def test_an_answer_that_is_lost_leaves_a_job_that_its_tag_finds(
    service: RuntimeService, account: QiskitRuntimeService, device: Any
) -> None:
    service.inject(Disconnect(after=True), "submit")
    with pytest.raises(IBMRuntimeError, match="Failed to run program"):
        submitted(device, "lost")
    [found] = account.jobs(job_tags=["lost"])
    assert found.result(timeout=60)[0].data.c.num_shots == 100


def test_a_connection_that_breaks_before_makes_no_job(
    service: RuntimeService, account: QiskitRuntimeService, device: Any
) -> None:
    service.inject(Disconnect(), "submit")
    with pytest.raises(IBMRuntimeError, match="Failed to run program"):
        submitted(device, "never")
    assert account.jobs(job_tags=["never"]) == []
    assert not service.requests[-2].was_processed


def test_too_many_requests_come_with_retry_after(service: RuntimeService) -> None:
    service.inject(HttpError(429, retry_after=7), "backends")
    answer = requests.get(f"{service.url}/backends", timeout=10)
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "7")
    assert answer.json()["errors"][0]["message"] == "Too many requests."


def test_the_client_repeats_a_question_that_comes_with_retry_after(
    service: RuntimeService, account: QiskitRuntimeService
) -> None:
    injection = service.inject(HttpError(429, retry_after=0), "usage", count=2)
    assert account.usage()["usage_limit_reached"] is False
    assert injection.fired == 2


def test_a_poll_that_is_refused_leaves_the_job_alive(service: RuntimeService, device: Any) -> None:
    job = submitted(device)
    service.inject(HttpError(429), "job")
    with pytest.raises(RequestsApiError, match="429"):
        job.result(timeout=60)
    assert job.result(timeout=60)[0].data.c.num_shots == 100


def test_a_call_that_hangs_is_let_go(service: RuntimeService, device: Any) -> None:
    job = submitted(device)
    job.wait_for_final_state(timeout=60)
    injection = service.inject(Hang(), "results")
    caught: list[BaseException] = []

    def ask() -> None:
        # A repeated question, as the client repeats those for what is lost, is answered.
        caught.append(job.result(timeout=60)[0].data.c.num_shots)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    while not injection.fired:
        time.sleep(0.005)
    thread.join(0.05)
    assert thread.is_alive()
    injection.release()
    thread.join(30)
    assert caught == [100]


def test_a_call_can_hang_for_a_time(service: RuntimeService) -> None:
    service.inject(Hang(seconds=0.05), "backends")
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{service.url}/backends", timeout=10)


def test_a_client_with_a_timeout_gives_up_on_a_call_that_hangs(service: RuntimeService) -> None:
    service.inject(Hang(), "backends")
    with pytest.raises(requests.ReadTimeout):
        requests.get(f"{service.url}/backends", timeout=0.05)


def test_a_truncated_body_is_an_error_and_the_result_is_still_there(
    service: RuntimeService, device: Any
) -> None:
    job = submitted(device)
    job.wait_for_final_state(timeout=60)
    service.inject(Truncate(0.5), "results")
    with pytest.raises(RequestsApiError):
        job.result(timeout=60)
    assert job.result(timeout=60)[0].data.c.num_shots == 100


@pytest.mark.parametrize("how", ["json", "schema"])
def test_a_garbled_result_is_no_result(service: RuntimeService, device: Any, how: Any) -> None:
    job = submitted(device)
    job.wait_for_final_state(timeout=60)
    service.inject(Garble(how), "results")
    with pytest.raises((ValueError, TypeError)):
        job.result(timeout=60)
    assert job.result(timeout=60)[0].data.c.num_shots == 100


@pytest.mark.parametrize("how", ["json", "schema"])
def test_a_garbled_answer_to_a_submission_loses_the_jobs_id(
    service: RuntimeService, account: QiskitRuntimeService, device: Any, how: Any
) -> None:
    service.inject(Garble(how), "submit")
    with pytest.raises((ValueError, KeyError, RequestsApiError, IBMRuntimeError)):
        submitted(device, f"garbled-{how}")
    [found] = account.jobs(job_tags=[f"garbled-{how}"])
    assert found.result(timeout=60)[0].data.c.num_shots == 100


def test_every_endpoint_that_the_client_uses_can_fail(
    service: RuntimeService, account: QiskitRuntimeService, device: Any
) -> None:
    job = submitted(device)
    job.result(timeout=60)
    calls = {
        "backends": lambda: account._active_api_client.list_backends(),
        "configuration": lambda: account._active_api_client.backend_configuration(DEVICE, True),
        "properties": lambda: device.properties(refresh=True),
        "status": lambda: device.status(),
        "usage": lambda: account.usage(),
        "jobs": lambda: account.jobs(),
        "job": lambda: account.job(job.job_id()),
        "metrics": lambda: job.metrics(),
        "logs": lambda: job.logs(),
        "cancel": lambda: account.job(job.job_id()).cancel(),
        "tags": lambda: job.update_tags(["x"]),
        "delete": lambda: account.delete_job(job.job_id()),
        "open_session": lambda: Session(backend=device),
    }
    for endpoint, call in calls.items():
        injection = service.inject(HttpError(418, message=f"no {endpoint}"), endpoint)
        with pytest.raises(Exception, match=f"no {endpoint}"):
            call()
        assert injection.fired == 1, endpoint


def test_faults_strike_by_count_by_probability_and_by_predicate(service: RuntimeService) -> None:
    def statuses(count: int) -> list[int]:
        url = f"{service.url}/nowhere"
        return [requests.get(url, timeout=10).status_code for _ in range(count)]

    twice = service.inject(HttpError(500), "*", count=2)
    assert statuses(3) == [500, 500, 404]
    assert (twice.fired, twice.is_spent) == (2, True)
    chosen = service.inject(HttpError(501), "*", count=None, when=lambda r: r.path.endswith("re"))
    assert statuses(2) == [501, 501]
    chosen.remove()
    service.inject(HttpError(502), "*", count=None, probability=0.5)
    drawn = statuses(20)
    assert 3 < drawn.count(502) < 17
    service.clear_faults()
    assert statuses(1) == [404]


def test_the_same_seed_draws_the_same_faults() -> None:
    def drawn() -> list[int]:
        with RuntimeService(devices=["fake_manila"], seed=11) as service:
            service.inject(HttpError(502), "*", count=None, probability=0.5)
            url = f"{service.url}/nowhere"
            return [requests.get(url, timeout=10).status_code for _ in range(20)]

    assert drawn() == drawn()


def test_a_fault_that_makes_no_sense_is_refused(service: RuntimeService) -> None:
    with pytest.raises(InputError, match="'submitt'"):
        service.inject(HttpError(500), "submitt")
    with pytest.raises(InputError, match="endpoints must be"):
        service.inject(HttpError(500))
    with pytest.raises(InputError, match="name no endpoint"):
        service.inject(JobFails(), "submit")
    with pytest.raises(InputError, match="probability"):
        service.inject(HttpError(500), "submit", probability=0.0)
    with pytest.raises(InputError, match="count"):
        service.inject(HttpError(500), "submit", count=0)
    with pytest.raises(InputError, match="status"):
        HttpError(200)
    with pytest.raises(InputError, match="retry_after"):
        HttpError(429, retry_after=-1)
    with pytest.raises(InputError, match="keep"):
        Truncate(1.0)


def test_a_predicate_that_fails_is_told_and_harms_nothing(
    service: RuntimeService, device: Any
) -> None:
    def fails(subject: Any) -> bool:
        raise KeyError("no such thing")

    injection = service.inject(HttpError(503), "backends", when=fails)
    answer = requests.get(f"{service.url}/backends", timeout=10)
    assert (answer.status_code, "no such thing" in answer.text) == (500, True)
    injection.remove()
    injection = service.inject(JobFails(), when=fails)
    with pytest.raises(RuntimeJobFailureError, match="no such thing"):
        submitted(device).result(timeout=60)
    injection.remove()
    submitted(device).result(timeout=60)
