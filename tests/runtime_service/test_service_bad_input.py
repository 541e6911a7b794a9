"""Whatever is sent to the service, it answers with a refusal and goes on."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit_ibm_runtime import QiskitRuntimeService, RuntimeEncoder
from small_jobs import DEVICE, measured

if TYPE_CHECKING:
    from efaas.testing.runtime_service import RuntimeService

JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(), inner)),
    max_leaves=6,
)
GOOD: dict[str, Any] = {
    "program_id": "sampler",
    "backend": DEVICE,
    "params": {"pubs": [[measured(), [], 10]], "version": 2},
    "tags": ["x"],
    "cost": 5,
    "private": False,
}


class Sender:
    """Sends what the client would not."""

    def __init__(self, service: RuntimeService, account: QiskitRuntimeService) -> None:
        self._url = service.url
        self._session = requests.Session()
        self._session.headers.update(account._active_api_client._session.auth.get_headers())

    def status(self, method: str, path: str, body: Any) -> int:
        data = body if isinstance(body, bytes) else json.dumps(body, cls=RuntimeEncoder)
        return self._session.request(method, self._url + path, data=data, timeout=30).status_code


@pytest.fixture(scope="module")
def sender(opened: RuntimeService, account: QiskitRuntimeService) -> Sender:
    return Sender(opened, account)


def test_the_good_submission_is_taken(service: RuntimeService, sender: Sender) -> None:
    assert sender.status("POST", "/jobs", GOOD) == 200


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("program_id", value) for value in (None, 3, "vqe", ["sampler"])],
        *[("backend", value) for value in (None, 3, "ibm_nowhere")],
        *[("params", value) for value in (None, [], {}, {"pubs": []}, {"pubs": 3})],
        *[("params", {"pubs": [pub], "version": 2}) for pub in (None, [], [3], [None, [], 10])],
        ("params", {"pubs": [[measured(), [1.0, 2.0], 10]], "version": 2}),
        ("params", {"pubs": [[measured(), [], -1]], "version": 2}),
        ("params", {"pubs": [[measured(), [], "many"]], "version": 2}),
        ("params", {"pubs": [[measured(), [], 10]], "version": 1}),
        ("params", {**GOOD["params"], "options": {"experimental": {"seed_simulator": ["x"]}}}),
        ("params", {**GOOD["params"], "options": {"experimental": {"seed_simulator": [1, 2]}}}),
        ("params", {**GOOD["params"], "options": {"simulator": {"seed_simulator": "x"}}}),
        ("params", {**GOOD["params"], "options": {"execution": {"rep_delay": -1}}}),
        ("params", {**GOOD["params"], "options": {"execution": {"rep_delay": "long"}}}),
        ("params", {**GOOD["params"], "options": 7}),
        *[("tags", value) for value in (3, ["a", 3], "a")],
        *[("cost", value) for value in (-1, "10", True, [])],
        ("session_id", 7),
        ("session_id", "d0nothing"),
    ],
)
def test_a_submission_with_one_bad_field_is_refused(
    service: RuntimeService, sender: Sender, name: str, value: Any
) -> None:
    before = len(service.jobs)
    assert sender.status("POST", "/jobs", {**GOOD, name: value}) in (400, 404)
    assert len(service.jobs) == before


@given(program=st.sampled_from(["estimator", "sampler", "executor"]), params=JSON, options=JSON)
@settings(max_examples=40)
def test_no_inputs_however_senseless_are_an_error_of_the_services(
    sender: Sender, program: str, params: Any, options: Any
) -> None:
    """Theorem: garbage is refused with a status of 400 to 499."""
    inputs = params if isinstance(params, dict) else {"pubs": params, "options": options}
    for pubs in (inputs, {"pubs": [[measured(), params]], "options": options, "version": 2}):
        body = {"program_id": program, "backend": DEVICE, "params": pubs}
        assert 200 <= sender.status("POST", "/jobs", body) < 500


@given(body=st.one_of(st.binary(max_size=40), JSON))
@settings(max_examples=40)
def test_no_body_is_an_error_of_the_services(sender: Sender, body: Any) -> None:
    """Theorem: the same, for whole bodies and every endpoint that reads one."""
    for method, path in (("POST", "/jobs"), ("POST", "/sessions"), ("PUT", "/jobs/d0/tags")):
        assert 400 <= sender.status(method, path, body) < 500


@pytest.mark.parametrize(
    "path",
    ["/jobs?limit=x", "/jobs?created_after=soon", "/jobs/d0", "/sessions/d0", "/nowhere",
     f"/backends/{DEVICE}/properties?updated_before=soon", "/backends/ibm_nowhere/status"],
)  # fmt: skip
def test_a_question_that_makes_no_sense_is_refused(
    service: RuntimeService, sender: Sender, path: str
) -> None:
    assert sender.status("GET", path, b"") in (400, 404)
