"""The backend contracts, through the real client and HTTP, on the loopback service."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from efaas.backends import Limits, RuntimeBackend
from efaas.testing.backend_contract import BackendContract
from efaas.testing.reattach_contract import ReattachContract
from tests.runtime.conftest import FAST, ServiceClock, opened_service

if TYPE_CHECKING:
    from efaas.backends.protocol import Backend
    from efaas.testing.runtime_service import RuntimeService


@pytest.fixture(scope="module")
def running() -> Iterator[RuntimeService]:
    with opened_service() as service:
        yield service


class TestOnAService(BackendContract):
    """The service takes seeds, so values are to be what they are on any simulator."""

    shots = 16
    has_exact_values = False

    @pytest.fixture(autouse=True)
    def connect(self, running: RuntimeService) -> None:
        self.running = running

    def make_backend(self) -> Backend:
        clock = ServiceClock(self.running)
        return RuntimeBackend("ibm_manila", options=FAST, seeded=True, mode="job", clock=clock)


class TestJobsOutliveTheirClient(ReattachContract):
    """An evaluation goes in a job where it fits, and in two where it does not."""

    @pytest.fixture(autouse=True)
    def connect(self, running: RuntimeService) -> None:
        self.running = running

    def make_backend(self) -> Backend:
        clock = ServiceClock(self.running)
        limits = Limits(points=2)
        return RuntimeBackend("ibm_manila", options=FAST, limits=limits, mode="job", clock=clock)

    def jobs_at_provider(self) -> int:
        return len(self.running.jobs)
