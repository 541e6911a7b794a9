"""What goes wrong at a service, and what becomes of a loop then."""

from __future__ import annotations

import itertools
import logging
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import efaas
from efaas.backends import RetryPolicy, RuntimeBackend, TimeLimits
from efaas.backends.runtime.client import Order
from efaas.errors import (
    AccessError,
    ProviderError,
    ProviderJobError,
    UnavailableError,
)
from efaas.testing.runtime_service import (
    Disconnect,
    Garble,
    Hang,
    HttpError,
    JobCancelled,
    JobFails,
    JobNeverEnds,
    RuntimeService,
    Truncate,
)
from tests.runtime.conftest import (
    FAST,
    ServiceClock,
    endpoints,
    evaluation,
    kinds,
    objective,
    until,
)

if TYPE_CHECKING:
    Make = Callable[..., RuntimeBackend]

START = np.array([0.4, -0.3])
QUICK = TimeLimits(answer=0.3, submission=0.3)


def submissions(service: RuntimeService) -> int:
    return endpoints(service).count("submit")


class TestALostSubmission:
    @pytest.mark.parametrize(
        "fault",
        [
            Disconnect(after=True),
            HttpError(504, after=True),
            HttpError(500, after=True),
            Hang(2.0, after=True),
            Truncate(),
            Garble("json"),
            Garble("schema"),
        ],
        ids=repr,
    )
    def test_a_job_whose_acceptance_was_lost_is_found_and_not_sent_again(
        self, service: RuntimeService, make: Make, fault: Any
    ) -> None:
        injection = service.inject(fault, "submit")
        # Only where the answer hangs is it given up: a busy machine may take as long for any other.
        limits = QUICK if isinstance(fault, Hang) else None
        [outcome] = make(time_limits=limits).execute([evaluation()])
        assert injection.fired == 1
        assert np.isfinite(outcome.value.evs).all()
        assert len(service.jobs) == submissions(service) == 1

    @pytest.mark.parametrize(
        "fault", [Disconnect(), HttpError(500), HttpError(503), HttpError(429)], ids=repr
    )
    def test_a_job_that_was_not_accepted_is_sent_again(
        self, service: RuntimeService, make: Make, fault: Any
    ) -> None:
        service.inject(fault, "submit", count=2)
        [outcome] = make().execute([evaluation()])
        assert np.isfinite(outcome.value.evs).all()
        assert (len(service.jobs), submissions(service)) == (1, 3)

    def test_if_it_cannot_be_found_out_nothing_is_sent_and_the_tag_is_told(
        self, service: RuntimeService, make: Make
    ) -> None:
        service.inject(Disconnect(after=True), "submit")
        service.inject(HttpError(503), "jobs", count=100)
        backend = make(retries=RetryPolicy(attempts=3))
        [error] = backend.execute([evaluation()])
        assert isinstance(error, UnavailableError)
        assert error.is_in_doubt
        [job] = service.jobs
        assert job.tags[-1] in str(error)
        assert submissions(service) == 1
        # What it may have cost is in the books.
        spending = backend.spending()
        assert spending.jobs == 1
        assert spending.reserved_seconds == spending.expected_seconds > 0

    def test_a_list_of_jobs_that_cannot_be_read_is_not_taken_for_an_empty_one(
        self, service: RuntimeService, make: Make
    ) -> None:
        service.inject(Disconnect(after=True), "submit")
        garbled = service.inject(Garble("schema"), "jobs", count=2)
        [outcome] = make().execute([evaluation()])
        assert np.isfinite(outcome.value.evs).all()
        assert garbled.fired == 2
        assert len(service.jobs) == submissions(service) == 1

    def test_one_that_was_accepted_twice_all_the_same_is_cancelled_once(
        self, service: RuntimeService, make: Make
    ) -> None:
        """The look-up came too early, so that there are two of one tag in the end."""
        client = make(mode="job")._client
        service.pause("ibm_manila")
        order = Order("estimate", [_bell()], 10, "twice")
        first, second = [client.submit(order, client.device) for _ in range(2)]
        kept = client._only("twice", second)
        assert kept.job_id() == first.job_id()
        assert [job.status for job in service.jobs] == ["Queued", "Cancelled"]


class TestRefusals:
    @pytest.mark.parametrize(
        ("status", "kind", "says"),
        [
            (401, AccessError, "save_account"),
            (403, AccessError, "plan"),
            (404, ProviderError, "refused"),
            (409, ProviderError, "refused"),
            (422, ProviderError, "refused"),
        ],
    )
    def test_a_refused_submission_is_not_repeated(
        self,
        service: RuntimeService,
        make: Make,
        status: int,
        kind: type[ProviderError],
        says: str,
    ) -> None:
        service.inject(HttpError(status), "submit", count=50)
        [error] = make(mode="job").execute([evaluation()])
        assert type(error) is kind
        assert says in str(error)
        assert submissions(service) == 1

    def test_the_rest_of_the_round_is_not_even_tried(
        self, service: RuntimeService, make: Make
    ) -> None:
        service.inject(HttpError(401), "submit", count=50)
        errors = make().execute([evaluation(shots=10), evaluation(shots=20)])
        assert [type(error) for error in errors] == [AccessError, AccessError]
        assert submissions(service) == 1

    def test_a_loop_that_is_refused_ends_with_the_providers_words(
        self, service: RuntimeService, make: Make
    ) -> None:
        service.inject(HttpError(403, message="not for you"), "submit", count=50)
        with efaas.EFSession(make(mode="job"), seed=7) as session:
            energy = objective(session)
            with pytest.raises(efaas.errors.JobFailedError, match="not for you") as caught:
                energy.submit_many([START, 2 * START])[1].result()
        assert isinstance(caught.value.__cause__, AccessError)
        assert submissions(service) == 1  # nor is each of its points tried alone


class TestLoggingIn:
    def test_a_key_that_is_not_taken_is_said_with_what_to_do(
        self, service: RuntimeService, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("QISKIT_IBM_TOKEN", "wrong-key-of-mine")
        with pytest.raises(AccessError, match="save_account") as caught:
            RuntimeBackend("ibm_manila")
        assert "does not take the account" in str(caught.value)

    def test_a_service_that_does_not_answer_is_not_waited_for_for_ever(
        self, service: RuntimeService
    ) -> None:
        hanging = service.inject(Hang(), "backends", count=5)
        with pytest.raises(UnavailableError, match=r"within 0\.5 s"):
            RuntimeBackend("ibm_manila", time_limits=TimeLimits(connection=0.5))
        hanging.release()

    @pytest.mark.parametrize(
        ("endpoint", "fault"),
        [
            ("instances", HttpError(503)),
            ("backends", HttpError(503)),
            ("backends", Garble("schema")),
            ("configuration", HttpError(503)),
            ("configuration", Garble("schema")),
        ],
        ids=repr,
    )
    def test_what_passes_is_waited_for(
        self, service: RuntimeService, make: Make, endpoint: str, fault: Any
    ) -> None:
        injection = service.inject(fault, endpoint)
        assert make().name == "ibm_manila"
        assert injection.fired == 1

    def test_what_comes_instead_of_a_token_is_not_said_to_be_a_wrong_key(
        self, service: RuntimeService, make: Make
    ) -> None:
        for fault in (Garble("schema"), Garble("json")):
            garbled = service.inject(fault, "token", count=None)
            with pytest.raises(UnavailableError, match="logging in"):
                make()
            garbled.remove()

    @pytest.mark.parametrize("endpoint", ["backends", "configuration"])
    @pytest.mark.parametrize(
        ("status", "kind", "says"),
        [(401, AccessError, "save a new one"), (403, AccessError, "instance"), (503, None, "503")],
    )
    def test_devices_that_cannot_be_listed_are_not_said_not_to_be_there(
        self, service: RuntimeService, make: Make, endpoint: str, status: int, kind: Any, says: str
    ) -> None:
        refused = service.inject(HttpError(status), endpoint, count=None)
        with pytest.raises(kind or UnavailableError, match=says):
            make()
        if kind is not None:
            assert refused.fired <= 4, "it is not asked for again and again"

    def test_a_device_that_seems_not_to_be_there_at_a_submission_is_looked_for_again(
        self, service: RuntimeService, make: Make
    ) -> None:
        backend = make(mode="job")
        service.inject(HttpError(409), "backends")
        [outcome] = backend.execute([evaluation()])
        assert np.isfinite(outcome.value.evs).all()
        assert len(service.jobs) == 1


class TestTokens:
    """The vendor's SDK waits a minute of the machine's time where a token was asked for in vain."""

    FAULTS: Sequence[Any] = (HttpError(503), Disconnect(), Garble("schema"), Hang(0.1))

    @pytest.fixture(autouse=True)
    def nobody_sleeps(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from ibm_cloud_sdk_core.token_managers import token_manager

        class Time:
            time = staticmethod(time.time)

            def sleep(self, seconds: float) -> None:
                raise AssertionError("it waits for a request that has failed")

        monkeypatch.setattr(token_manager, "time", Time())

    @pytest.mark.parametrize("fault", FAULTS, ids=repr)
    @pytest.mark.parametrize("which", [1, 2])
    def test_logging_in_goes_on_at_once(
        self, service: RuntimeService, make: Make, fault: Any, which: int
    ) -> None:
        asked = itertools.count(1)
        injection = service.inject(fault, "token", when=lambda _: next(asked) == which)
        with warnings.catch_warnings(action="ignore"):  # the client's, of what went wrong
            [outcome] = make(mode="job").execute([evaluation()])
        assert injection.fired == 1
        assert np.isfinite(outcome.value.evs).all()

    @pytest.mark.parametrize("fault", FAULTS, ids=repr)
    def test_so_does_a_loop_whose_token_runs_out(self, service: RuntimeService, fault: Any) -> None:
        from qiskit_ibm_runtime import QiskitRuntimeService

        account = QiskitRuntimeService(**service.credentials())
        backend = RuntimeBackend(
            "ibm_manila", service=account, options=FAST, mode="job", clock=ServiceClock(service)
        )
        injection = service.inject(fault, "token", count=2)
        account._active_api_client._session.auth.tm.expire_time = 0
        with warnings.catch_warnings(action="ignore"):
            [outcome] = backend.execute([evaluation()])
        backend.close()
        assert injection.fired == 2
        assert np.isfinite(outcome.value.evs).all()

    def test_the_vendors_class_is_as_it_was_after_a_login(self, make: Make) -> None:
        from ibm_cloud_sdk_core import IAMTokenManager
        from qiskit_ibm_runtime.api import auth

        make()
        assert auth.IAMTokenManager is IAMTokenManager


class TestWhatPasses:
    @pytest.mark.parametrize(
        "fault",
        [
            HttpError(429, retry_after=3),
            Disconnect(),
            Hang(2.0),
            Garble("json"),
        ],
        ids=["429", "disconnect", "hang", "garbled"],
    )
    def test_a_loop_goes_on_wherever_it_happens(
        self, service: RuntimeService, make: Make, fault: Any
    ) -> None:
        backend = make(time_limits=QUICK, mode="job")
        places = ["job", "results", "status", "metrics"]
        for endpoint in places:
            injection = service.inject(fault, endpoint, count=1)
            [outcome] = backend.execute([evaluation()])
            assert injection.fired == 1
            assert np.isfinite(outcome.value.evs).all()
        assert [job.status for job in service.jobs] == ["Completed"] * len(places)

    def test_what_the_server_asks_for_is_waited(self, service: RuntimeService, make: Make) -> None:
        clock = ServiceClock(service)
        service.inject(HttpError(429, retry_after=17), "submit")
        make(clock=clock, mode="job").execute([evaluation()])
        assert any(17.0 <= pause <= 17.5 for pause in clock.pauses)

    def test_what_never_passes_ends_with_the_jobs_id(
        self, service: RuntimeService, make: Make
    ) -> None:
        service.inject(Garble("json"), "results", count=100)
        [error] = make(retries=RetryPolicy(attempts=3)).execute([evaluation()])
        assert isinstance(error, UnavailableError)
        assert error.job_id == service.jobs[0].id
        assert error.job_id in str(error)


class TestProviderSessions:
    def test_one_whose_state_cannot_be_read_is_not_let_go(
        self, service: RuntimeService, make: Make
    ) -> None:
        backend = make(mode="session")
        backend.execute([evaluation()])
        garbled = service.inject(Garble("schema"), "session", count=1)
        assert not backend._sessions.has_ended()
        assert garbled.fired == 1

    @pytest.mark.parametrize(
        "fault",
        [
            Garble("schema"),
            Garble("json"),
            Truncate(),
            Disconnect(after=True),
            HttpError(502, after=True),
            Hang(2.0, after=True),
        ],
        ids=repr,
    )
    def test_one_whose_id_did_not_come_gets_no_job_and_costs_nothing(
        self, service: RuntimeService, make: Make, fault: Any
    ) -> None:
        """Nothing tells it from one that another program has just opened, so it is let alone."""
        injection = service.inject(fault, "open_session")
        backend = make(mode="session", time_limits=QUICK if isinstance(fault, Hang) else None)
        backend.execute([evaluation()])
        backend.close()
        assert injection.fired == 1
        lost, ours = service.sessions
        assert [job.session_id for job in service.jobs] == [ours.id]
        assert lost.state == "open"
        billed = service.billed_seconds
        service.advance(lost.max_seconds)
        assert service.sessions[0].state == "closed", "it ends by itself"
        assert service.billed_seconds == billed == pytest.approx(ours.elapsed_seconds(0.0))


class TestJobsThatGoWrong:
    def test_one_that_fails_says_why(self, service: RuntimeService, make: Make) -> None:
        service.inject(JobFails("the control system is on fire"))
        backend = make()
        [error] = backend.execute([evaluation()])
        assert isinstance(error, ProviderJobError)
        assert "on fire" in str(error)
        assert error.job_id == service.jobs[0].id
        assert backend.spending().qpu_seconds == pytest.approx(service.jobs[0].qpu_seconds)

    def test_one_that_is_cancelled_from_outside_is_not_sent_again(
        self, service: RuntimeService, make: Make
    ) -> None:
        service.inject(JobCancelled())
        [error] = make().execute([evaluation()])
        assert isinstance(error, ProviderJobError)
        assert "from outside" in str(error)
        assert len(service.jobs) == 1

    def test_one_that_never_ends_is_cancelled(self, service: RuntimeService, make: Make) -> None:
        service.inject(JobNeverEnds())
        [error] = make(time_limits=TimeLimits(run=8.0)).execute([evaluation()])
        assert isinstance(error, ProviderJobError)
        assert "did not end within 8 s" in str(error)
        assert [job.status for job in service.jobs] == ["Cancelled"]

    def test_one_that_never_begins_is_cancelled_if_that_was_asked_for(
        self, service: RuntimeService, make: Make
    ) -> None:
        service.pause("ibm_manila")
        [error] = make(time_limits=TimeLimits(queue=20.0)).execute([evaluation()])
        assert isinstance(error, ProviderJobError)
        assert "did not begin within 20 s" in str(error)
        assert [job.status for job in service.jobs] == ["Cancelled"]

    def test_a_device_that_is_down_for_too_long_is_given_up(
        self, service: RuntimeService, make: Make
    ) -> None:
        service.take_down("ibm_manila", "maintenance")
        backend = make(time_limits=TimeLimits(outage=50.0))
        [error] = backend.execute([evaluation()])
        assert isinstance(error, UnavailableError)
        assert "maintenance" in str(error)
        assert "down" in kinds(backend)
        assert [job.status for job in service.jobs] == ["Cancelled"]

    def test_a_loop_survives_a_device_that_comes_back(
        self, service: RuntimeService, make: Make
    ) -> None:
        backend = make()
        with efaas.EFSession(backend, seed=7) as session:
            energy = objective(session)
            energy(START)
            service.take_down("ibm_manila", "maintenance")
            future = energy.submit(START)
            until(lambda: "down" in kinds(backend))
            service.resume("ibm_manila")
            assert np.isfinite(future.result())
        assert [job.status for job in service.jobs] == ["Completed"] * 2


def test_a_storm_of_faults_costs_no_value_and_bills_nothing_twice(
    service: RuntimeService, make: Make
) -> None:
    everything = ("submit", "jobs", "job", "results", "metrics", "status", "usage", "session")
    faults = [HttpError(429, retry_after=1), HttpError(503), HttpError(500, after=True)]
    faults += [Disconnect(), Disconnect(after=True), Truncate(), Garble("json")]
    for fault in faults:
        service.inject(fault, *everything, count=10_000, probability=0.2 / len(faults))
    retries = RetryPolicy(attempts=12, first_seconds=0.1)
    with efaas.EFSession(make(retries=retries), seed=7) as session:
        energy = objective(session)
        result = efaas.minimize(energy, START, method="COBYLA", options={"maxiter": 10})
    service.clear_faults()
    assert result.nfev == 10
    assert np.isfinite(result.fun)
    assert all(len(jobs) == 1 for jobs in service.evaluations().values())
    assert {job.status for job in service.jobs} == {"Completed"}


def test_a_secret_is_in_no_text_whatever_goes_wrong(
    service: RuntimeService, caplog: pytest.LogCaptureFixture
) -> None:
    """The service sends the token back in its errors, and everything is logged."""
    from qiskit_ibm_runtime import QiskitRuntimeService

    caplog.set_level(logging.DEBUG)
    canary = service.credentials()["token"]
    account = QiskitRuntimeService(**service.credentials())
    backend = RuntimeBackend(
        "ibm_manila",
        service=account,
        options=FAST,
        clock=ServiceClock(service),
        retries=RetryPolicy(attempts=2),
        budget=efaas.Budget(jobs=9),
    )
    leak = f"who is {canary}? Authorization: Bearer {canary}"
    texts = [repr(backend), str(backend.status())]
    for fault, endpoint in [
        (HttpError(401, message=leak), "submit"),
        (HttpError(422, message=leak), "submit"),
        (HttpError(503, message=leak), "submit"),
        (HttpError(500, message=leak), "results"),
        (HttpError(500, message=leak), "open_session"),
        (JobFails(leak), None),
    ]:
        places = [] if endpoint is None else [endpoint]
        injection = service.inject(fault, *places, count=20)
        backend.release()
        [error] = backend.execute([evaluation()])
        injection.remove()
        assert isinstance(error, Exception)
        texts += [repr(error), "".join(traceback.format_exception(error)), repr(vars(error))]
        texts += [repr(error.__cause__), repr(error.__context__)]
    with efaas.EFSession(backend, seed=7) as session:
        energy = objective(session)
        energy(START)
        texts += [str(session.report()), repr(session.events), str(session.explain(energy))]
    texts += [repr(backend.events), repr(backend.spending()), str(backend.status())]
    backend.close()
    ours = [r for r in caplog.records if r.name.startswith("efaas")]
    texts += [record.getMessage() for record in ours]
    assert ours
    assert not [text for text in texts if canary in text]
    assert any("[secret]" in text for text in texts)


def _bell() -> Any:
    from qiskit import QuantumCircuit
    from qiskit.quantum_info import SparsePauliOp

    circuit = QuantumCircuit(5)
    circuit.x(0)
    return circuit, SparsePauliOp("ZIIII")
