"""The backend contract, through the vendor's primitives in their local testing mode."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qiskit.providers.fake_provider import GenericBackendV2

from efaas.backends import RuntimeBackend
from efaas.testing.backend_contract import BackendContract

if TYPE_CHECKING:
    from efaas.backends.protocol import Backend


class TestLocalTestingMode(BackendContract):
    shots = 16
    has_exact_values = False

    def make_backend(self) -> Backend:
        return RuntimeBackend(GenericBackendV2(2, seed=3), options={"resilience_level": 0})
