"""NumPy's integers and floats are taken wherever Python's are: to the same result."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from qiskit.circuit.library import efficient_su2

import efaas
from efaas.backends import AerBackend

ANSATZ = efficient_su2(2, reps=1)
Number = Callable[[Any], Any]


def a_run(whole: Number, real: Number) -> tuple[float, float]:
    """A loop in which each number that can be given is one of these types."""
    backend = AerBackend(
        "fake_manila",
        optimization_level=whole(2),
        seed_transpiler=whole(5),
        drift=whole(3),
        worker_seconds=real(3.0),
    )
    scheduler = efaas.EFScheduler(
        backend,
        cpu_slots=whole(2),
        fairness=efaas.FairSettings(max_overtakes=whole(10), max_wait_seconds=real(60.0)),
        weights=efaas.PlacementWeights(evaluations=whole(10), wait_weight=real(1.0)),
    )
    sentinel = efaas.Sentinel(every_rounds=whole(2))
    with (
        scheduler,
        scheduler.session(seed=whole(4), weight=real(2.0), sentinel=sentinel) as session,
    ):
        result = efaas.minimize(
            session.objective(ANSATZ, "ZZ", shots=whole(64)),
            np.zeros(ANSATZ.num_parameters),
            method="SPSA",
            options={"maxiter": 3},
            speculation=efaas.Speculation(width=whole(3), depth=whole(2), seed=whole(1)),
            max_rounds=whole(20),
            max_shots=whole(10**6),
            max_seconds=real(600.0),
            final_shots=whole(128),
        )
        again = session.estimate(ANSATZ, "ZZ", result.x, precision=real(0.1)).result()
        return result.fun, float(again.data.evs)


def test_numpys_numbers_are_numbers() -> None:
    assert a_run(np.int64, np.float64) == a_run(int, float)
