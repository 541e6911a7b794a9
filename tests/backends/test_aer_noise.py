"""Noise models made by hand: restricted where that is exact, run whole where it is not."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Delay, Parameter
from qiskit.circuit.library import XGate
from qiskit.quantum_info import Kraus
from qiskit_aer import AerSimulator
from qiskit_aer.noise import (
    NoiseModel,
    ReadoutError,
    amplitude_damping_error,
    coherent_unitary_error,
    depolarizing_error,
    pauli_error,
    thermal_relaxation_error,
)
from qiskit_aer.noise.passes import LocalNoisePass, RelaxationNoisePass

from efaas.backends.aer import AerBackend
from efaas.backends.experiment import Experiment
from efaas.backends.protocol import Estimates, Evaluation, Outcome, Samples

LABELS = ["ZZZ", "XIY", "IXX", "YYI", "ZII"]


def _circuit() -> QuantumCircuit:
    circuit = QuantumCircuit(3)
    circuit.ry(Parameter("a"), 0)
    circuit.h(1)
    circuit.cx(0, 1)
    circuit.append(XGate(label="marked"), [2])
    circuit.delay(2.0, 1, "us")
    circuit.cx(1, 2)
    circuit.u(Parameter("b"), Parameter("c"), 0.3, 2)
    circuit.reset(0)
    circuit.rx(0.4, 0)
    circuit.cx(2, 0)
    return circuit


def _model() -> NoiseModel:
    model = NoiseModel()
    model.add_all_qubit_quantum_error(depolarizing_error(0.02, 1), ["h", "rx"])
    model.add_quantum_error(thermal_relaxation_error(50, 70, 1.0), "h", [1])
    model.add_quantum_error(amplitude_damping_error(0.1), "ry", [0])
    model.add_quantum_error(pauli_error([("XX", 0.03), ("II", 0.97)]), "cx", [0, 1])
    model.add_all_qubit_quantum_error(depolarizing_error(0.05, 2), "cx")
    model.add_all_qubit_quantum_error(pauli_error([("Y", 0.2), ("I", 0.8)]), "marked")
    turned = coherent_unitary_error(np.array([[1, 0], [0, np.exp(0.2j)]]))
    model.add_all_qubit_quantum_error(turned, "u")
    model.add_quantum_error(pauli_error([("X", 0.1), ("I", 0.9)]), "reset", [0])
    model.add_all_qubit_readout_error(ReadoutError([[0.98, 0.02], [0.05, 0.95]]))
    model.add_readout_error(ReadoutError([[0.9, 0.1], [0.2, 0.8]]), [2])
    return model


def _relaxing() -> NoiseModel:
    model = _model()
    relaxation = RelaxationNoisePass(
        [2e-5, 3e-5, 4e-5], [1e-5, 5e-5, 2e-5], 1e-9, Delay, [0.1, 0.05, 0.0]
    )
    model._custom_noise_passes.append(relaxation)
    return model


def _reference(simulator: AerSimulator, backend: AerBackend, experiment: Experiment) -> list[float]:
    isa = backend.isa(experiment)
    circuit = isa.circuit.assign_parameters(
        dict(zip(experiment.slots, _angles(experiment)[0], strict=False))
    )
    for index, observable in enumerate(isa.observables):
        circuit.save_expectation_value(observable, range(circuit.num_qubits), label=str(index))
    result = simulator.run(circuit, method="density_matrix").result()
    assert result.success, result.status
    return [float(np.real(result.data(0)[str(i)])) for i in range(len(isa.observables))]


def _angles(experiment: Experiment) -> np.ndarray:
    values = np.linspace(0.5, 2.0, experiment.num_parameters)[None, :]
    return experiment.slot_angles(values)


def _evs(
    backend: AerBackend, experiment: Experiment, shots: int | None, points: int = 1
) -> np.ndarray:
    angles = _angles(experiment).repeat(points, 0)
    [outcome] = backend.execute([Evaluation(experiment, angles, shots, tuple(range(points)))])
    assert isinstance(outcome, Outcome), outcome
    assert isinstance(outcome.value, Estimates)
    return outcome.value.evs


@pytest.mark.parametrize("make", [_model, _relaxing])
def test_exact_values_are_aer_s(make: object) -> None:
    """Local and default errors, labels, relaxation, resets: the whole simulator's values."""
    simulator = AerSimulator(noise_model=make())  # type: ignore[operator]
    backend = AerBackend(simulator)
    experiment = Experiment.estimate(_circuit(), LABELS)
    expected = _reference(simulator, backend, experiment)
    np.testing.assert_allclose(_evs(backend, experiment, None)[0], expected, rtol=0, atol=1e-9)


def test_trajectories_agree_with_the_exact_engine() -> None:
    """Means over 60,000 shots, within 5 standard errors; noise, readout and delays included."""
    simulator = AerSimulator(noise_model=_relaxing())
    experiment = Experiment.estimate(_circuit(), LABELS)
    exact = _evs(AerBackend(simulator), experiment, 4000, 15).mean(axis=0)
    sampled = _evs(AerBackend(simulator, method="trajectories"), experiment, 60_000)[0]
    np.testing.assert_allclose(exact, sampled, rtol=0, atol=5 * np.sqrt(2 / 60_000))


def test_readout_errors_alone_leave_the_state_pure() -> None:
    model = NoiseModel()
    model.add_all_qubit_readout_error(ReadoutError([[0.9, 0.1], [0.3, 0.7]]))
    circuit = QuantumCircuit(1)
    circuit.x(0)
    experiment = Experiment.estimate(circuit, ["Z"])
    backend = AerBackend(AerSimulator(noise_model=model))
    assert _evs(backend, experiment, None)[0, 0] == pytest.approx(-1.0)
    assert _evs(backend, experiment, 100_000)[0, 0] == pytest.approx(-0.4, abs=0.02)


def test_a_channel_in_the_circuit_is_applied() -> None:
    circuit = QuantumCircuit(1)
    circuit.x(0)
    damping = Kraus([np.diag([1, np.sqrt(0.7)]), np.array([[0, np.sqrt(0.3)], [0, 0]])])
    circuit.append(damping.to_instruction(), [0])
    experiment = Experiment.estimate(circuit, ["Z"])
    assert _evs(AerBackend("aer"), experiment, None)[0, 0] == pytest.approx(-0.4)


def _with_noisy_measurement() -> NoiseModel:
    model = NoiseModel()
    model.add_all_qubit_quantum_error(pauli_error([("X", 0.25), ("I", 0.75)]), "measure")
    return model


def _with_joint_readout() -> NoiseModel:
    model = NoiseModel()
    swapped = np.eye(4)[[0, 1, 3, 2]] * 0.5 + np.eye(4) * 0.5
    model.add_readout_error(ReadoutError(swapped), [0, 1])
    return model


def _with_custom_pass() -> NoiseModel:
    model = NoiseModel()
    flip = LocalNoisePass(lambda op, qubits: pauli_error([("X", 0.25), ("I", 0.75)]), Delay)
    model._custom_noise_passes.append(flip)
    return model


@pytest.mark.parametrize("make", [_with_noisy_measurement, _with_joint_readout, _with_custom_pass])
def test_what_cannot_be_restricted_is_run_whole_and_said(
    make: object, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="efaas.backends"):
        backend = AerBackend(AerSimulator(noise_model=make()))  # type: ignore[operator]
    assert "whole simulator" in caplog.text
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.delay(1, 0, "us")
    circuit.cx(0, 1)
    circuit.measure_all()
    [outcome] = backend.execute(
        [Evaluation(Experiment.sample(circuit), np.zeros((1, 0)), 400, (3,))]
    )
    assert isinstance(outcome, Outcome), outcome
    assert isinstance(outcome.value, Samples)
    assert outcome.value.registers["out0"].shape == (1, 400, 1)


def test_the_whole_simulator_s_noise_is_in_its_samples() -> None:
    backend = AerBackend(AerSimulator(noise_model=_with_noisy_measurement()))
    circuit = QuantumCircuit(1)
    circuit.measure_all()
    [outcome] = backend.execute(
        [Evaluation(Experiment.sample(circuit), np.zeros((1, 0)), 10_000, (3,))]
    )
    assert isinstance(outcome, Outcome)
    assert isinstance(outcome.value, Samples)
    assert outcome.value.registers["out0"].mean() == pytest.approx(0.25, abs=0.02)
    experiment = Experiment.estimate(QuantumCircuit(1), ["Z"])
    assert _evs(backend, experiment, None)[0, 0] == pytest.approx(1.0)
    assert _evs(backend, experiment, 10_000)[0, 0] == pytest.approx(0.5, abs=0.04)


def test_equal_noise_is_one_calibration_and_other_noise_another() -> None:
    ids = [
        AerBackend(AerSimulator(noise_model=make())).calibration().id
        for make in (_model, _model, _relaxing, NoiseModel)
    ]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 3
    assert ids[3] == AerBackend("aer").calibration().id == "ideal"
