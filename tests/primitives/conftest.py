"""A session that evaluates exactly, at once, in the calling thread."""

from __future__ import annotations

from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from qiskit.quantum_info import Statevector

from efaas.backends.protocol import Estimates, Outcome, Samples
from efaas.model.job import Usage

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from efaas.backends.experiment import Experiment


class StatevectorSession:
    """Ideal values from statevectors; remembers what it was asked."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.is_manual = False
        self.waiting: list[tuple[Future[Outcome], Outcome]] = []
        self.most_requests = 10**6

    def submit_evaluation(
        self,
        experiment: Experiment,
        angles: NDArray[np.float64],
        *,
        shots: int | None,
        wanted: tuple[tuple[int, ...], ...] | None = None,
        loop: str | None = None,
    ) -> Future[Outcome]:
        if len(self.requests) == self.most_requests:
            raise RuntimeError("full")
        self.requests.append(
            {"experiment": experiment, "angles": angles, "shots": shots, "wanted": wanted}
        )
        run = self._samples if experiment.is_sample else self._estimates
        outcome = Outcome(run(experiment, angles, shots, wanted), Usage())
        future: Future[Outcome] = Future()
        if self.is_manual:
            self.waiting.append((future, outcome))
        else:
            future.set_result(outcome)
        return future

    def _estimates(self, experiment, angles, shots, wanted) -> Estimates:
        evs = np.full((len(angles), len(experiment.observables)), np.nan)
        for point, row in enumerate(angles):
            state = Statevector(bound(experiment, row))
            for index in range(evs.shape[1]) if wanted is None else wanted[point]:
                evs[point, index] = state.expectation_value(experiment.observables[index]).real
        return Estimates(evs, np.zeros_like(evs) if shots is None else 0 * evs + shots**-0.5)

    def _samples(self, experiment, angles, shots, wanted) -> Samples:
        generator = np.random.default_rng(1)
        circuit = experiment.circuit
        registers = {
            register.name: np.zeros((len(angles), shots, -(-register.size // 8)), dtype=np.uint8)
            for register in circuit.cregs
        }
        measured = [
            (circuit.find_bit(step.qubits[0]).index, circuit.find_bit(step.clbits[0]))
            for step in circuit.data
            if step.operation.name == "measure"
        ]
        for point, row in enumerate(angles):
            state = Statevector(bound(experiment, row).remove_final_measurements(inplace=False))
            drawn = generator.choice(2**circuit.num_qubits, shots, p=state.probabilities())
            for qubit, location in measured:
                for register, index in location.registers:
                    bit = ((drawn >> qubit) & 1).astype(np.uint8)
                    registers[register.name][point, :, -1 - index // 8] |= bit << (index % 8)
        return Samples(registers, {register.name: register.size for register in circuit.cregs})


def bound(experiment: Experiment, row: NDArray[np.float64]) -> Any:
    return experiment.circuit.assign_parameters(dict(zip(experiment.slots, row, strict=True)))


@pytest.fixture
def session() -> StatevectorSession:
    return StatevectorSession()


@pytest.fixture(scope="session")
def make_session() -> type[StatevectorSession]:
    """For property tests, which want a new session for every example."""
    return StatevectorSession
