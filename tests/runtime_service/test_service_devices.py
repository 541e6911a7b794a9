"""What the unmodified client learns of account and devices."""

from __future__ import annotations

import json
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from qiskit import QuantumCircuit
from qiskit.providers.exceptions import QiskitBackendNotFoundError
from qiskit_ibm_runtime.accounts.exceptions import InvalidAccountError
from qiskit_ibm_runtime.exceptions import IBMNotAuthorizedError
from qiskit_ibm_runtime.executor_sampler import Sampler
from qiskit_ibm_runtime.fake_provider import FakeManilaV2
from qiskit_ibm_runtime.utils.backend_converter import convert_to_target
from small_jobs import DEVICE, submitted

from efaas.errors import InputError, UnknownBackendError
from efaas.testing.runtime_service import PLANS, Request, RuntimeService
from efaas.testing.runtime_service.identity import Identity
from efaas.testing.runtime_service.messages import Refusal

if TYPE_CHECKING:
    from qiskit_ibm_runtime import QiskitRuntimeService


def test_the_account_has_one_instance_of_the_services_plan(
    account: QiskitRuntimeService,
) -> None:
    [instance] = account.instances()
    assert instance["plan"] == "premium"
    assert instance["crn"] == account.active_instance()


def test_a_wrong_key_is_refused_before_anything_else(service: RuntimeService) -> None:
    with pytest.raises(InvalidAccountError):
        service.client(token="not the key")
    assert service.requests[-1].endpoint == "token"
    assert service.requests[-1].status == 400


def test_a_request_without_a_token_is_unauthorized(service: RuntimeService) -> None:
    import requests

    answer = requests.get(f"{service.url}/backends", timeout=10)
    forged = requests.get(
        f"{service.url}/backends", timeout=10, headers={"Authorization": "Bearer a.b.c"}
    )
    assert (answer.status_code, forged.status_code) == (401, 401)


def test_a_token_is_worth_something_for_an_hour() -> None:
    now = [1_000_000.0]
    identity = Identity(1, PLANS["open"], wall_time=lambda: now[0])
    body = f"apikey={identity.api_key}".encode()
    token = identity.token(Request("POST", "/identity/token", {}, {}, body, "token")).body
    headers = {
        "authorization": f"Bearer {json.loads(token)['access_token']}",
        "service-crn": identity.crn,
    }
    request = Request("GET", "/backends", {}, headers, b"", "backends")
    now[0] += 3599.0
    identity.check(request)
    now[0] += 1.0
    with pytest.raises(Refusal, match="401"):
        identity.check(request)


def test_tokens_may_be_given_for_a_shorter_time() -> None:
    import jwt

    with RuntimeService(devices=["fake_manila"], seed=1, token_seconds=2) as service:
        token = service.client()._active_api_client._session.auth.tm.get_token()
        claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] == 2
    with pytest.raises(InputError, match="token_seconds"):
        RuntimeService(token_seconds=1)


def test_revoked_tokens_are_unauthorized_until_a_client_logs_in_again() -> None:
    with RuntimeService(devices=["fake_manila"], seed=1) as service:
        before = service.client()
        service.revoke_tokens()
        with pytest.raises(IBMNotAuthorizedError, match="401"):
            before.usage()
        assert service.client().usage()["usage_limit_reached"] is False


def test_another_accounts_instance_is_forbidden(
    service: RuntimeService, account: QiskitRuntimeService
) -> None:
    import requests

    headers = account._active_api_client._session.auth.get_headers()
    answer = requests.get(
        f"{service.url}/backends", timeout=10, headers={**headers, "Service-CRN": "crn:other"}
    )
    assert answer.status_code == 403
    assert answer.json()["errors"][0]["code"] == 1200


def test_the_clients_target_is_that_of_the_fake(device: Any) -> None:
    fake = FakeManilaV2()
    expected = convert_to_target(fake.configuration(), fake.properties())
    assert device.num_qubits == 5
    for name in ("cx", "sx", "measure"):
        for qubits, properties in expected[name].items():
            assert device.target[name][qubits].error == properties.error


def test_an_unknown_device_is_not_found(account: QiskitRuntimeService) -> None:
    with pytest.raises(QiskitBackendNotFoundError):
        account.backend("ibm_nowhere")


def test_an_unknown_fake_is_refused_with_names_that_resemble_it() -> None:
    with pytest.raises(UnknownBackendError, match="fake_torino"):
        RuntimeService(devices=["fake_turino"])
    with pytest.raises(InputError, match="at least one device"):
        RuntimeService(devices=[])


def test_a_recalibration_dates_and_changes_every_number(
    service: RuntimeService, account: QiskitRuntimeService
) -> None:
    device = account.backend(DEVICE)
    before = device.properties()
    service.advance(3600.0)

    new_id = service.recalibrate(DEVICE)

    after = device.properties(refresh=True)
    assert after.last_update_date - before.last_update_date > timedelta(days=1)
    assert after.gate_error("cx", [0, 1]) != before.gate_error("cx", [0, 1])
    assert after.t1(2) != before.t1(2)
    assert service.calibration_id(DEVICE) == new_id


def test_old_calibrations_are_found_by_date_and_by_id(
    service: RuntimeService, account: QiskitRuntimeService
) -> None:
    first_id = service.recalibrate(DEVICE)
    device = account.backend(DEVICE)
    first = device.properties(refresh=True)
    service.advance(7200.0)
    service.recalibrate(DEVICE)

    between = first.last_update_date + timedelta(hours=1)
    by_date = device.properties(datetime=between)
    by_id = account.backend(DEVICE, calibration_id=first_id).properties()
    now = device.properties(refresh=True)

    assert by_date.t1(0) == by_id.t1(0) == first.t1(0)
    assert now.t1(0) != first.t1(0)


def test_a_calibration_can_be_made_by_hand_and_jobs_run_under_it(
    service: RuntimeService, account: QiskitRuntimeService
) -> None:
    def misread(properties: dict[str, Any]) -> None:
        for entry in properties["qubits"][0]:
            if entry["name"] in ("prob_meas0_prep1", "prob_meas1_prep0", "readout_error"):
                entry["value"] = 0.5

    device = account.backend(DEVICE)
    circuit = QuantumCircuit(1, 1)
    circuit.measure(0, 0)

    def ones() -> float:
        job = Sampler(mode=device).run([circuit], shots=1000)
        counts = job.result(timeout=60)[0].data.c.get_counts()
        assert job.metrics()["calibration_id"] == service.calibration_id(DEVICE)
        return counts.get("1", 0) / 1000

    before = ones()
    service.recalibrate(DEVICE, spread=0.0, change=misread)
    assert before < 0.2 < ones()


def test_a_device_that_is_down_says_so_and_keeps_its_queue(
    service: RuntimeService, account: QiskitRuntimeService
) -> None:
    device = account.backend(DEVICE)
    service.take_down(DEVICE, "maintenance")

    job = submitted(device)
    status = device.status()

    assert (status.operational, status.status_msg, status.pending_jobs) == (False, "maintenance", 1)
    assert job.status() == "QUEUED"
    with pytest.raises(QiskitBackendNotFoundError):
        service.client().least_busy()
    service.resume(DEVICE)
    assert job.result(timeout=60)[0].data.c.num_shots == 100


def test_a_paused_device_shows_positions_and_expected_starts(
    service: RuntimeService, device: Any
) -> None:
    service.pause(DEVICE)
    jobs = [submitted(device) for _ in range(3)]

    metrics = [job.metrics() for job in jobs]

    assert [m["position_in_queue"] for m in metrics] == [1, 2, 3]
    starts = [m["estimated_start_time"] for m in metrics]
    assert starts == sorted(set(starts))
    assert device.status().pending_jobs == 3
    service.resume(DEVICE)
    for job in jobs:
        job.result(timeout=60)
    runs = [(job.started_at, job.finished_at) for job in service.jobs[-3:]]
    assert all(before[1] <= after[0] for before, after in pairwise(runs))
