"""The runs whose traces the figures of the page on observing show.

A VQE of four qubits runs on two fake devices that drift. Its values have the noise of the
calibration in force. The time of its rounds is simulated, on a virtual clock: 600 s for a round, as
in a public queue, and 2 s for each evaluation. Predicting is measured in steps, so that the same is
guessed on every machine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from qiskit.circuit.library import efficient_su2
from style import save

import efaas
from efaas.backends import AerBackend
from efaas.backends.drift import Drift
from efaas.clock import VirtualClock
from efaas.testing import FakeBackend

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from efaas.observe import Trace

ANSATZ = efficient_su2(4, reps=1)
HAMILTONIAN = {"ZZII": 1.0, "IZZI": 1.0, "IIZZ": 1.0, "XIII": 0.5, "IXII": 0.5}
START = np.linspace(-0.5, 0.5, ANSATZ.num_parameters)
ROUND, EVALUATION = 600.0, 2.0


class Paced:
    """A backend whose rounds take simulated time, one after the other."""

    def __init__(self, backend: AerBackend, clock: VirtualClock) -> None:
        self._backend = backend
        self._clock = clock

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def execute(self, evaluations: Sequence[Any]) -> Sequence[Any]:
        """Run them, and let the time go by."""
        outcomes = self._backend.execute(evaluations)
        points = sum(len(evaluation.seeds) for evaluation in evaluations)
        self._clock.advance(ROUND + EVALUATION * points)
        timed = []
        for evaluation, outcome in zip(evaluations, outcomes, strict=True):
            seconds = EVALUATION * len(evaluation.seeds)
            timed.append(
                type(outcome)(
                    outcome.value,
                    type(outcome.usage)(qpu_seconds=seconds),
                    outcome.calibration_id,
                )
            )
        return timed


def vqe() -> Trace:
    """One loop with guesses, on devices that are calibrated every two hours."""
    clock = VirtualClock()
    devices = [
        Paced(AerBackend(name, drift=Drift(seed=seed, every_seconds=7200.0), clock=clock), clock)
        for name, seed in (("fake_torino", 3), ("fake_sherbrooke", 4))
    ]
    guesses = efaas.Speculation(effort="steps")
    with efaas.EFSession(devices, seed=7, clock=clock) as session:
        energy = session.objective(ANSATZ, HAMILTONIAN, shots=2048)
        options = {"maxfev": 240}
        efaas.minimize(energy, START, method="Powell", options=options, speculation=guesses)
        return session.trace


def tenants() -> list[Trace]:
    """Two tenants that always have work for one device, of weights 2 and 1."""
    clock = VirtualClock()
    device = FakeBackend("lab", manual=True, clock=clock, evaluation_seconds=EVALUATION)
    with efaas.EFScheduler(device, clock=clock) as scheduler:
        sessions = [
            scheduler.session(tenant="ada", weight=2, seed=1),
            scheduler.session(tenant="bo", weight=1, seed=2),
        ]
        loops = [s.objective(ANSATZ, HAMILTONIAN) for s in sessions for _ in range(3)]
        waiting = {loop: loop.submit(START) for loop in loops}
        for _ in range(60):
            device.wait_for_round()
            for loop, future in waiting.items():
                if future.done():
                    waiting[loop] = loop.submit(START)
            device.release(1)
        device.release(100)
        for future in waiting.values():
            future.result()
        return [session.trace for session in sessions]


def draw(plot: Callable[..., Axes], what: Any, script: str, height: float = 3.2) -> None:
    """Save one plot beside the script that draws it."""
    figure = Figure(figsize=(9, height), layout="constrained")
    plot(what, figure.subplots())
    save(figure, script)
