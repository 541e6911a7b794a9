"""The quick energies against Qiskit's circuits, and against Aer's noise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from qiskit.quantum_info import SparsePauliOp, Statevector

from efaas.cloud.aer_energy import AerEnergy
from efaas.cloud.energies import ANSATZE, Ansatz, NoisyEnergy, ising_energy, lih_energy


@pytest.mark.parametrize("kind", ANSATZE)
@pytest.mark.parametrize("entanglement", ["linear", "full"])
@pytest.mark.parametrize("width", [3, 4])
def test_energies_are_those_of_qiskit_s_circuits(kind: str, entanglement: str, width: int) -> None:
    observable = lih_energy() if width == 4 else ising_energy(width)
    energy = AerEnergy(Ansatz(kind, width, 2, entanglement), observable)
    theta = np.random.default_rng(5).uniform(-3, 3, energy.ansatz.num_parameters)
    state = Statevector(energy.circuit.assign_parameters(theta))
    operator = SparsePauliOp.from_list(list(observable.terms.items()))
    assert energy.exact(theta) == pytest.approx(state.expectation_value(operator).real, abs=1e-12)
    counts = energy.circuit.count_ops()
    assert energy.ansatz.two_qubit_gates == counts.get("cx", 0) + counts.get("cz", 0)


def test_ground_energies_are_the_least_eigenvalues() -> None:
    assert lih_energy().ground == pytest.approx(-8.465, abs=1e-3)
    for width in (4, 8):
        terms = list(ising_energy(width).terms.items())
        matrix = SparsePauliOp.from_list(terms).to_matrix()
        least = np.linalg.eigvalsh(matrix)[0]
        assert ising_energy(width).ground == pytest.approx(least, abs=1e-8)


def test_noise_shifts_energies_as_on_aer_within_a_third_of_the_shift() -> None:
    quick = NoisyEnergy(Ansatz("efficient_su2", 4, 2, "linear"), lih_energy(), shots=10**7)
    real = AerEnergy.of(replace(quick, shots=4096))
    theta = np.random.default_rng(2).uniform(-0.3, 0.3, quick.ansatz.num_parameters)
    exact = quick.exact(theta)
    on_aer = np.mean([real.measured(theta, 2.0, seed) for seed in range(1, 9)])
    shift = on_aer - exact
    assert abs(shift) > 0.02
    assert quick.measured(theta, 2.0, 1) - exact == pytest.approx(shift, rel=0.35)


def test_aer_s_value_depends_on_point_noise_and_seed_alone() -> None:
    real = AerEnergy(Ansatz("real_amplitudes", 3, 1, "linear"), ising_energy(3), shots=256)
    theta = np.full(real.ansatz.num_parameters, 0.4)
    assert real.measured(theta, 1.0, 7) == real.measured(theta, 1.0, 7)
    assert real.measured(theta, 1.0, 7) != real.measured(theta, 1.0, 8)
