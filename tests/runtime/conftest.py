"""A loopback service with one small device, and backends that live by its clock."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector

from efaas.backends import RuntimeBackend, WarmCache
from efaas.backends.experiment import Experiment
from efaas.backends.protocol import Evaluation
from efaas.testing.runtime_service import RuntimeService

if TYPE_CHECKING:
    from numpy.typing import NDArray

    import efaas
    from tests.runtime.doomed import Doomed

    Make = Callable[..., RuntimeBackend]

FAST = {"resilience_level": 0}
_FORMS = WarmCache()  # the same circuit is not compiled for every test


class ServiceClock:
    """The service's clock; a pause moves it on, and takes a moment of real time.

    Attributes:
        pauses: How long each was.
    """

    def __init__(self, service: RuntimeService) -> None:
        self._service = service
        self.pauses: list[float] = []

    def now(self) -> float:
        return self._service.clock.now()

    def pause(self, seconds: float, wake: threading.Event | None = None) -> None:
        self.pauses.append(seconds)
        (wake or threading.Event()).wait(0.002)
        self._service.advance(seconds)


def opened_service(**settings: Any) -> RuntimeService:
    settings = {"plan": "premium", "poll_seconds": 0.02, **settings}
    return RuntimeService(devices=["fake_manila"], seed=1, **settings)


@pytest.fixture
def service() -> Iterator[RuntimeService]:
    with opened_service() as opened:
        yield opened


@pytest.fixture
def make(service: RuntimeService) -> Iterator[Callable[..., RuntimeBackend]]:
    """Makes backends on the service; they are closed after the test."""
    made: list[RuntimeBackend] = []

    def backend(**settings: Any) -> RuntimeBackend:
        settings.setdefault("clock", ServiceClock(service))
        settings.setdefault("options", FAST)
        settings.setdefault("cache", _FORMS)
        made.append(RuntimeBackend("ibm_manila", **settings))
        return made[-1]

    yield backend
    for each in made:
        each.close()


@pytest.fixture
def doom(service: RuntimeService, make: Make, tmp_path: Path) -> Iterator[Callable[..., Doomed]]:
    """Begins runs that will be killed."""
    from tests.runtime.doomed import Doomed

    doomed: list[Doomed] = []

    def begin(**settings: Any) -> Doomed:
        doomed.append(Doomed(make, service, tmp_path, **settings))
        return doomed[-1]

    yield begin
    for each in doomed:
        each.bury()


def ansatz() -> QuantumCircuit:
    theta = ParameterVector("t", 2)
    circuit = QuantumCircuit(2)
    circuit.ry(theta[0], 0)
    circuit.cx(0, 1)
    circuit.ry(theta[1], 1)
    return circuit


def objective(session: efaas.EFSession, shots: int = 64) -> efaas.Objective:
    return session.objective(ansatz(), {"ZZ": 1.0, "XI": 0.5}, shots=shots)


def evaluation(points: int = 1, shots: int = 64, first: float = 0.1) -> Evaluation:
    experiment = Experiment.estimate(ansatz(), [{"ZZ": 1.0, "XI": 0.5}])
    values: NDArray[np.float64] = first + np.arange(2.0 * points).reshape(points, 2)
    return Evaluation(experiment, experiment.slot_angles(values), shots, tuple(range(points)))


def kinds(backend: RuntimeBackend) -> list[str]:
    return [event.kind for event in backend.events]


def endpoints(service: RuntimeService) -> list[str]:
    return [request.endpoint for request in service.requests]


def until(holds: Callable[[], Any]) -> None:
    """Wait for what another thread brings about."""
    for _ in range(60_000):
        if holds():
            return
        threading.Event().wait(0.001)
    raise AssertionError("it did not come about within a minute")
