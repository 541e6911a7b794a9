"""Bad input gets a clear error of ours at the call, with nothing queued."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from qiskit.circuit import Gate, Parameter, QuantumCircuit
from qiskit.circuit.library import efficient_su2
from qiskit.quantum_info import SparsePauliOp

import efaas
from efaas import errors

ANSATZ = efficient_su2(2, reps=1)
THETA = Parameter("theta")


@pytest.fixture(scope="module")
def session() -> Iterator[efaas.EFSession]:
    with efaas.EFSession("fake_manila", seed=1) as opened:
        yield opened


def with_gate(gate: Gate) -> QuantumCircuit:
    circuit = QuantumCircuit(gate.num_qubits)
    circuit.append(gate, range(gate.num_qubits))
    return circuit


def controlled_rotation() -> QuantumCircuit:
    circuit = QuantumCircuit(2)
    circuit.crx(THETA, 0, 1)
    return circuit


def measured() -> QuantumCircuit:
    circuit = QuantumCircuit(2)
    circuit.rx(THETA, 0)
    circuit.measure_all()
    return circuit


CASES: dict[str, tuple[Callable[[efaas.EFSession], Any], type[Exception], str]] = {
    "a circuit wider than every device": (
        lambda s: s.objective(QuantumCircuit(9), "Z" * 9),
        errors.CircuitTooWideError,
        "9 qubits.*5",
    ),
    "a parameter vector of the wrong length": (
        lambda s: s.objective(ANSATZ, "ZZ")([0.0]),
        errors.ParameterError,
        "expected 8 parameter values",
    ),
    "NaN among the parameters": (
        lambda s: s.objective(ANSATZ, "ZZ")([np.nan] * 8),
        errors.ParameterError,
        "finite",
    ),
    "infinity in one row of many": (
        lambda s: s.objective(ANSATZ, "ZZ").submit_many([[0.0] * 8, [0.0] * 7 + [np.inf]]),
        errors.ParameterError,
        "finite.*point 1",
    ),
    "complex parameters": (
        lambda s: s.objective(ANSATZ, "ZZ")([1j] * 8),
        errors.ParameterError,
        "real",
    ),
    "several points where one is expected": (
        lambda s: s.objective(ANSATZ, "ZZ")(np.zeros((2, 8))),
        errors.ParameterError,
        "submit_many",
    ),
    "one point where several are expected": (
        lambda s: s.objective(ANSATZ, "ZZ").submit_many(np.zeros(8)),
        errors.ParameterError,
        "one point per row",
    ),
    "parameters by name": (
        lambda s: s.objective(ANSATZ, "ZZ")(dict.fromkeys(ANSATZ.parameters, 0.0)),
        errors.ParameterError,
        r"in that order, as in .*circuit\.parameters",
    ),
    "an observable of the wrong width": (
        lambda s: s.objective(ANSATZ, "ZZZ"),
        errors.ObservableError,
        "3.*2|2.*3",
    ),
    "complex coefficients": (
        lambda s: s.objective(ANSATZ, SparsePauliOp(["ZZ"], [1j])),
        errors.ObservableError,
        "ZZ",
    ),
    "something that is no observable": (
        lambda s: s.objective(ANSATZ, 3.5),
        errors.ObservableError,
        "observable",
    ),
    "something that is no circuit": (
        lambda s: s.objective("circuit", "ZZ"),
        errors.CircuitError,
        "QuantumCircuit",
    ),
    "zero shots": (lambda s: s.objective(ANSATZ, "ZZ", shots=0), errors.ShotsError, "at least 1"),
    "negative shots in a sample": (
        lambda s: s.sample(measured(), [0.1], -5),
        errors.InputError,
        "shots",
    ),
    "negative precision": (
        lambda s: s.estimate(ANSATZ, "ZZ", np.zeros(8), precision=-0.1),
        errors.ShotsError,
        "precision",
    ),
    "unbound parameters in a sample": (
        lambda s: s.sample(measured()),
        errors.ParameterError,
        "theta",
    ),
    "a sample that measures nothing": (
        lambda s: s.sample(QuantumCircuit(2)),
        errors.MeasurementError,
        "measure",
    ),
    "an objective that ends in measurements": (
        lambda s: s.objective(measured(), "ZZ"),
        errors.MeasurementError,
        "remove_final_measurements",
    ),
    "a gate that the device cannot run": (
        lambda s: s.objective(with_gate(Gate("magic", 1, [])), "Z"),
        errors.UnsupportedGateError,
        "magic",
    ),
    "a gradient through a gate without the rule": (
        lambda s: s.objective(controlled_rotation(), "ZZ").gradient([0.1]),
        errors.GradientError,
        "crx",
    ),
    "an empty pub": (lambda s: s.estimate(), errors.InputError, "expected a pub"),
    "a method that scipy does not know": (
        lambda s: efaas.minimize(s.objective(ANSATZ, "ZZ"), np.zeros(8), method="COBILA"),
        errors.OptimizerError,
        "COBYLA",
    ),
    "a jac that contradicts the objective": (
        lambda s: efaas.minimize(s.objective(ANSATZ, "ZZ"), np.zeros(8), jac=True),
        errors.OptimizerError,
        "parameter-shift",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_is_refused_at_the_call(session: efaas.EFSession, case: str) -> None:
    call, error, message = CASES[case]
    with pytest.raises(error, match=message) as caught:
        call(session)
    assert isinstance(caught.value, ValueError), "also the builtin that Python would raise"
    assert session.report().backends == {}, "nothing was queued"


def test_an_unknown_backend_is_named_with_its_close_matches() -> None:
    with pytest.raises(errors.UnknownBackendError, match="fake_torino") as caught:
        efaas.EFSession("fake_tornio")
    assert caught.value.name == "fake_tornio"
    assert "fake_torino" in caught.value.close_matches


@pytest.mark.parametrize("spec", [3, object(), [None], ["aer", 3]])
def test_what_is_no_backend_is_refused(spec: Any) -> None:
    with pytest.raises(errors.InputError, match="name of a fake device"):
        efaas.EFSession(spec)
