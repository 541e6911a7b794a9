"""The backend contract, on every kind of backend."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel, ReadoutError, depolarizing_error

from efaas.backends.aer import AerBackend
from efaas.testing import DurableBackend, FakeBackend
from efaas.testing.backend_contract import BackendContract

if TYPE_CHECKING:
    from efaas.backends.protocol import Backend


class TestNoisyDevice(BackendContract):
    def make_backend(self) -> Backend:
        return AerBackend("fake_manila")


class TestFakeBackend(BackendContract):
    """What tests stand on keeps the same contract as the real thing."""

    def make_backend(self) -> Backend:
        return FakeBackend(num_qubits=10)


class TestDurableBackend(BackendContract):
    @pytest.fixture(autouse=True)
    def _provider(self, tmp_path: Path) -> None:
        self.path = tmp_path / "provider.jsonl"

    def make_backend(self) -> Backend:
        return DurableBackend(self.path, num_qubits=10)


class TestIdealSimulator(BackendContract):
    def make_backend(self) -> Backend:
        return AerBackend("aer")


class TestPureStates(BackendContract):
    def make_backend(self) -> Backend:
        return AerBackend("aer", method="statevector")


class TestTrajectories(BackendContract):
    shots = 16
    has_exact_values = False

    def make_backend(self) -> Backend:
        return AerBackend("fake_manila", method="trajectories")


class TestHandMadeNoise(BackendContract):
    def make_backend(self) -> Backend:
        model = NoiseModel()
        model.add_all_qubit_quantum_error(depolarizing_error(0.02, 1), ["rx", "ry", "h"])
        model.add_quantum_error(depolarizing_error(0.05, 2), "cx", [0, 1])
        model.add_all_qubit_readout_error(ReadoutError([[0.97, 0.03], [0.06, 0.94]]))
        return AerBackend(AerSimulator(noise_model=model))


class TestWholeSimulator(BackendContract):
    """Noise on measurements cannot be lowered: the simulator is run as it is."""

    shots = 16

    @pytest.fixture(autouse=True)
    def _quiet(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level("ERROR")

    def make_backend(self) -> Backend:
        model = NoiseModel()
        model.add_all_qubit_quantum_error(depolarizing_error(0.02, 1), ["ry", "measure"])
        return AerBackend(AerSimulator(noise_model=model))
