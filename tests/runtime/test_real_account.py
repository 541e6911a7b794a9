"""A loop on a real device: only where somebody names one, since it costs QPU time.

    EFAAS_IBM_DEVICE=ibm_torino python -m pytest -m ibm

It takes the account that is saved, or that ``QISKIT_IBM_TOKEN`` and ``QISKIT_IBM_INSTANCE`` name,
and spends half a minute of QPU time at most.
"""

from __future__ import annotations

import os

import numpy as np
import pytest

import efaas
from efaas.backends import RuntimeBackend
from efaas.optimize.limits import BUDGET_REACHED
from tests.runtime.conftest import objective

DEVICE = os.environ.get("EFAAS_IBM_DEVICE")

pytestmark = [
    pytest.mark.ibm,
    pytest.mark.timeout(4 * 3600),
    pytest.mark.skipif(DEVICE is None, reason="EFAAS_IBM_DEVICE names no device"),
]


def test_a_loop_runs_on_hardware_within_its_budget() -> None:
    budget = efaas.Budget(qpu_seconds=30, jobs=4, session_seconds=300)
    backend = RuntimeBackend(DEVICE, budget=budget, options={"resilience_level": 0})
    try:
        with efaas.EFSession(backend, seed=7) as session:
            energy = objective(session, shots=256)
            result = efaas.minimize(energy, [0.4, -0.3], method="COBYLA", options={"maxiter": 3})
            print(backend.status(), session.report(), sep="\n")
        assert np.isfinite(result.fun) or result.status == BUDGET_REACHED
        assert backend.spending().qpu_seconds <= 30
        assert backend.calibration_age_seconds() is not None
        assert {event.kind for event in backend.events} >= (
            set() if backend.mode == "job" else {"opened", "closed"}
        )
    finally:
        backend.close()
