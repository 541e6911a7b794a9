"""One service, and one client of it, for all tests of a module; made clean after each of them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from small_jobs import DEVICE

from efaas.testing.runtime_service import RuntimeService

if TYPE_CHECKING:
    from qiskit_ibm_runtime import QiskitRuntimeService


@pytest.fixture(scope="module")
def opened() -> Iterator[RuntimeService]:
    logging.getLogger("qiskit_ibm_runtime").setLevel(logging.ERROR)
    with RuntimeService(devices=["fake_manila"], seed=3, poll_seconds=2.0) as service:
        yield service


@pytest.fixture(scope="module")
def account(opened: RuntimeService) -> QiskitRuntimeService:
    return opened.client()


@pytest.fixture(scope="module")
def device(account: QiskitRuntimeService) -> Any:
    return account.backend(DEVICE)


@pytest.fixture
def service(opened: RuntimeService) -> Iterator[RuntimeService]:
    """The service, left without faults, pending jobs and open sessions."""
    yield opened
    opened.clear_faults()
    for job in opened.jobs:
        if not job.is_final:
            opened.cancel_job(job.id)
    for session in opened.sessions:
        if session.state != "closed":
            opened.close_session(session.id)
    opened.resume(DEVICE)
