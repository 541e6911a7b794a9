"""Energies of real circuits: the library's Aer backend, with the noise that the device has now."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from qiskit.circuit.library import efficient_su2, n_local, real_amplitudes
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel, depolarizing_error

from efaas.backends.aer import AerBackend
from efaas.backends.experiment import Experiment
from efaas.backends.protocol import Estimates, Evaluation, Outcome
from efaas.cloud.energies import Ansatz, NoisyEnergy
from efaas.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from qiskit import QuantumCircuit

__all__ = ["AerEnergy"]

_SCALES = 8
"""Steps of the noise's scale per unit: the noise drifts all the time, and each step is compiled."""

_ONE_QUBIT = ["ry", "rz"]
_TWO_QUBIT = ["cx", "cz"]


class AerEnergy(NoisyEnergy):
    """As ``NoisyEnergy``, but every gate's noise is simulated, and every shot drawn."""

    @classmethod
    def of(cls, energy: NoisyEnergy) -> AerEnergy:
        """The same circuit and observable on Aer."""
        return cls(
            energy.ansatz,
            energy.observable,
            energy.one_qubit_error,
            energy.two_qubit_error,
            energy.shots,
        )

    def measured(self, theta: NDArray[np.float64], noise_scale: float, seed: int) -> float:
        """What the device says; see ``NoisyEnergy.measured``."""
        scale = round(noise_scale * _SCALES) / _SCALES
        if scale not in self._backends:
            self._backends[scale] = self._backend(scale)
        experiment = self._experiment
        angles = experiment.slot_angles(experiment.check_values(theta))
        evaluation = Evaluation(experiment, angles, self.shots, (seed,))
        [outcome] = self._backends[scale].execute([evaluation])
        if not isinstance(outcome, Outcome):
            raise outcome
        assert isinstance(outcome.value, Estimates)
        return float(outcome.value.evs[0, 0])

    @property
    def circuit(self) -> QuantumCircuit:
        """The ansatz, its parameters in the order of ``Ansatz``."""
        ansatz = self.ansatz
        if not isinstance(ansatz, Ansatz):
            raise InputError(f"Aer runs layered ansätze here; got {ansatz!r}: use quick energies")
        width, shape = ansatz.num_qubits, (ansatz.entanglement, ansatz.reps)
        if ansatz.kind == "two_local":
            return n_local(width, _ONE_QUBIT, "cz", shape[0], reps=shape[1])
        make = efficient_su2 if ansatz.kind == "efficient_su2" else real_amplitudes
        return make(width, entanglement=shape[0], reps=shape[1])

    @cached_property
    def _backends(self) -> dict[float, AerBackend]:
        return {}

    @cached_property
    def _experiment(self) -> Experiment:
        return Experiment.estimate(self.circuit, [self.observable.terms])

    def _backend(self, scale: float) -> AerBackend:
        noise = NoiseModel(basis_gates=[*_ONE_QUBIT, *_TWO_QUBIT])
        one, two = min(scale * self.one_qubit_error, 1.0), min(scale * self.two_qubit_error, 1.0)
        noise.add_all_qubit_quantum_error(depolarizing_error(one, 1), _ONE_QUBIT)
        noise.add_all_qubit_quantum_error(depolarizing_error(two, 2), _TWO_QUBIT)
        return AerBackend(AerSimulator(noise_model=noise), optimization_level=0)
