"""Fake devices through the vendor's own primitives, without any service."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit.quantum_info import Operator

import efaas
from efaas.backends import Evaluation, Experiment, RuntimeBackend
from efaas.backends.device import device_of_backend
from efaas.backends.isa import Compiler
from efaas.backends.runtime.forms import Form
from efaas.backends.runtime.modes import default_mode, fallback_of
from efaas.backends.runtime.reading import JobReading, Part
from efaas.errors import InputError, JobFailedError
from tests.runtime.conftest import ansatz, evaluation

START = np.array([0.4, -0.3])


def test_a_loop_on_a_large_fake_device_is_reproducible() -> None:
    """The vendor's primitives measure every qubit: of 133 only the active ones are simulated."""
    points = []
    for _ in range(2):
        with efaas.EFSession(RuntimeBackend("fake_torino"), seed=5) as session:
            energy = session.objective(ansatz(), {"ZZ": 1.0, "XI": 0.5}, shots=64)
            result = efaas.minimize(energy, START, method="COBYLA", options={"maxiter": 4})
            points.append((result.x.tobytes(), result.fun))
            report = session.report()
    assert points[0] == points[1]
    assert report.spending["fake_torino"].jobs >= 4


@pytest.mark.parametrize(
    "options",
    [
        {"resilience_level": 0},
        {"resilience_level": 1},
        {"resilience_level": 2, "twirling": {"num_randomizations": 4}},
        {"resilience_level": 0, "dynamical_decoupling": {"enable": True, "sequence_type": "XY4"}},
    ],
    ids=["bare", "readout", "extrapolation", "decoupling"],
)
def test_the_vendors_options_are_passed_on_and_values_stay_right(options: dict[str, Any]) -> None:
    backend = RuntimeBackend("fake_manila", options=options)
    [outcome] = backend.execute([evaluation(shots=4096)])
    experiment = evaluation().experiment
    exact = efaas.backends.AerBackend("aer")
    [ideal] = exact.execute([Evaluation(experiment, evaluation().angles, None, (0,))])
    error = abs(outcome.value.evs[0, 0] - ideal.value.evs[0, 0])
    assert error < (0.2 if options["resilience_level"] == 0 else 0.12)
    assert outcome.value.stds[0, 0] > 0


def test_exact_values_are_refused_with_what_to_do() -> None:
    with efaas.EFSession(RuntimeBackend("fake_manila"), seed=1) as session:
        energy = session.objective(ansatz(), "ZZ", shots=None)
        with pytest.raises(JobFailedError, match="give a number of shots"):
            energy(START)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"mode": "dedicated"}, "mode is one of"),
        ({"rounds_ahead": 0}, "rounds_ahead"),
        ({"on_expiry": "ignore"}, "on_expiry"),
        ({"budget": 10}, "efaas.Budget"),
        ({"max_session_seconds": 0}, "max_session_seconds"),
        ({"calibration_seconds": 0}, "calibration_seconds"),
        ({"options": 3}, "mapping"),
        ({"options": {"twirling": {"group": "so3"}}}, "options"),
    ],
)
def test_bad_settings_are_refused_at_the_door(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        RuntimeBackend("fake_manila", **settings)


def test_angles_that_hardware_does_not_take_are_folded() -> None:
    """Fractional ZZ rotations go from 0 to pi/2: every other angle becomes an equal circuit."""
    angle, turn = Parameter("a"), Parameter("b")
    circuit = QuantumCircuit(2)
    circuit.rx(turn, 0)
    circuit.rzz(angle, 0, 1)
    experiment = Experiment.estimate(circuit, ["ZZ", "XX"])
    fractional = GenericBackendV2(2, basis_gates=["rz", "sx", "x", "rx", "rzz"], seed=1)
    device = device_of_backend(fractional)
    compiler = Compiler(device, optimization_level=0, seed_transpiler=1)
    form = Form.of(experiment, device, compiler, is_local=False)
    assert form.folds_angles
    assert form.is_alone
    slots = experiment.circuit.parameters
    for value in (-3.0, -0.4, 0.3, 1.9, 4.0, 7.0):
        angles = experiment.slot_angles(experiment.check_values([value, 0.7]))
        folded, _, values = form.pub(experiment, angles, None)
        assert values is None
        for instruction in folded.data:
            if instruction.operation.name == "rzz":
                assert -1e-9 <= float(instruction.operation.params[0]) <= np.pi / 2 + 1e-9
        column = {slot.name: index for index, slot in enumerate(experiment.slots)}
        bound = form.circuit.assign_parameters(
            {p: angles[0, column[p.name]] for p in form.circuit.parameters}
        )
        assert Operator(folded).equiv(Operator(bound))
    assert len(slots) == 2


def test_how_a_result_is_read_survives_as_text() -> None:
    parts = (Part(2, 3), Part(1, 0, (("meas", 9),)))
    pubs = ((((0, 0), (0, 1)), (0, 2)), (((1, 0),), ()))
    reading = JobReading(parts, pubs, "calibration")
    assert JobReading.from_text(reading.as_text()) == reading
    with pytest.raises(InputError, match="version"):
        JobReading.from_text(reading.as_text().replace('"version":1', '"version":99'))
    with pytest.raises(InputError, match="cannot be read"):
        JobReading.from_text("{}")


def test_the_mode_goes_by_the_plan() -> None:
    plans = ["open", "OPEN", "premium", "pay-as-you-go", None]
    assert [default_mode(plan, is_local=False) for plan in plans] == [
        "batch",
        "batch",
        "session",
        "session",
        "session",
    ]
    assert default_mode("premium", is_local=True) == "job"
    assert [fallback_of(mode) for mode in ("session", "batch", "job")] == ["batch", "job", "job"]
