"""A run whose trace the tests look at: two loops, guesses, a classical step, a calibration."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from qiskit.circuit.library import efficient_su2

import efaas
from efaas.clock import VirtualClock
from efaas.optimize.asks import Ask
from efaas.testing import FakeBackend

if TYPE_CHECKING:
    from efaas.observe import SessionReport, Trace

ANSATZ = efficient_su2(2, reps=1)
START = np.linspace(0.1, 0.8, ANSATZ.num_parameters)


@cache
def observed_run() -> tuple[Trace, SessionReport]:
    """Nelder-Mead and COBYLA on one device whose rounds cost ten evaluations."""
    clock = VirtualClock()
    device = FakeBackend("lab", clock=clock, round_seconds=1.0, evaluation_seconds=0.1)
    with efaas.EFSession(device, seed=5, tenant="ada", clock=clock) as session:
        first = session.objective(ANSATZ, "ZZ")
        second = session.objective(ANSATZ, "ZZ")
        efaas.minimize(
            first, START, method="Nelder-Mead", options={"maxfev": 40}, speculation="off"
        )
        device.recalibrate(-0.4)
        efaas.minimize(second, START, method="COBYLA", options={"maxiter": 12}, speculation="off")
        _, (used, unused) = first.submit_round(
            [Ask(START)], [(Ask(START + k), None) for k in (1, 2)]
        )
        used.future.result()
        assert used.confirm()
        unused.withdraw()
        first.gradient(START).result()
        assert session.call(sum, [1, 2]).result() == 3
        return session.trace, session.report()
