"""Devices that vanish, go back in time, or do not say what they should: nothing wedges."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from qiskit.circuit import Parameter
from qiskit.circuit.library import CXGate, Measure, RZGate, SXGate, XGate, efficient_su2
from qiskit.providers import BackendV2, Options, QubitProperties
from qiskit.transpiler import InstructionProperties, Target

import efaas
from efaas.backends import AerBackend
from efaas.errors import BackendError, CircuitError, InputError, JobFailedError
from efaas.model.job import Demand, Usage
from efaas.testing import FakeBackend

if TYPE_CHECKING:
    from collections.abc import Sequence

    from efaas.backends.experiment import Experiment
    from efaas.backends.protocol import Evaluation, Outcome
    from efaas.model.calibration import Calibration
    from efaas.model.profile import CircuitProfile

ANSATZ = efficient_su2(2, reps=1)
ZEROS = np.zeros(ANSATZ.num_parameters)


class Vanishing(FakeBackend):
    """Once it is gone, whatever is asked of it raises."""

    is_gone = False

    def _require(self) -> None:
        if self.is_gone:
            raise ConnectionError("no route to the device")

    def calibration(self) -> Calibration:
        self._require()
        return super().calibration()

    def profile(self, experiment: Experiment) -> CircuitProfile:
        self._require()
        return super().profile(experiment)

    def execute(self, evaluations: Sequence[Evaluation]) -> Sequence[Outcome | Exception]:
        self._require()
        return super().execute(evaluations)


class TestAVanishedDevice:
    def test_a_loop_goes_on_elsewhere(self) -> None:
        here, there = Vanishing("here"), FakeBackend("there", ln_esp=-2.0)
        with efaas.EFSession([here, there], seed=1) as session:
            energy = session.objective(ANSATZ, "ZZ")
            energy(ZEROS)
            here.is_gone = True
            with pytest.raises(JobFailedError, match="no route to the device"):
                energy(ZEROS)
            assert math.isfinite(energy(ZEROS))
            [event] = session.events
            session._dispatcher.check_invariants()
        assert (event.kind, event.cause, event.to_backend) == ("failed over", "failure", "there")

    def test_a_new_loop_does_not_go_there(self) -> None:
        here, there = Vanishing("here"), FakeBackend("there", ln_esp=-2.0)
        here.is_gone = True
        with efaas.EFSession([here, there], seed=1) as session:
            energy = session.objective(ANSATZ, "ZZ")
            assert energy.profile.backend == "there"
            assert math.isfinite(energy(ZEROS))

    def test_alone_it_is_named_by_the_error_and_comes_back(self) -> None:
        device = Vanishing("device")
        device.is_gone = True
        with efaas.EFSession(device, seed=1) as session:
            with pytest.raises(BackendError, match=r"device cannot be asked .*no route") as error:
                session.objective(ANSATZ, "ZZ")
            assert error.value.backend == "device"
            assert isinstance(error.value.__cause__, ConnectionError)
            device.is_gone = False
            assert math.isfinite(session.objective(ANSATZ, "ZZ")(ZEROS))

    def test_guesses_and_a_sentinel_do_not_hide_it(self) -> None:
        device = Vanishing("device")
        sentinel = efaas.Sentinel(every_rounds=1, most_share=1.0)
        with efaas.EFSession(device, seed=1, sentinel=sentinel) as session:
            energy = session.objective(ANSATZ, "ZZ")
            energy(ZEROS)
            seen = 0

            def callback(*_: Any) -> None:
                nonlocal seen
                seen += 1
                device.is_gone = seen >= 3

            with pytest.raises(JobFailedError, match="no route to the device"):
                efaas.minimize(energy, ZEROS + 0.3, method="Nelder-Mead", callback=callback)
            device.is_gone = False
            assert math.isfinite(energy(ZEROS))
            session._dispatcher.check_invariants()


def test_a_calibration_older_than_the_last_is_followed_like_any_other() -> None:
    """What is in force is the device's to say; a loop does what it does at any change."""

    class Rewound(FakeBackend):
        days = 0

        def calibration(self) -> Calibration:
            date = datetime(2024, 5, 1, tzinfo=UTC) + timedelta(days=self.days)
            return replace(super().calibration(), taken_at=date)

    device = Rewound("device", ln_esp=-0.1)
    with efaas.EFSession(device, seed=1) as session:
        energy = session.objective(ANSATZ, "ZZ")
        energy(ZEROS)
        device.days = -3
        device.recalibrate(-0.4)
        for _ in range(3):
            assert math.isfinite(energy(ZEROS))
        assert [event.kind for event in session.events] == ["recompiled"]


class Patchy(BackendV2):
    """Five qubits in a line; T1 is known of none, one coupling is broken, one qubit is off."""

    def __init__(self) -> None:
        super().__init__(name="patchy")
        known = [QubitProperties(t2=5e-5) if q == 2 else QubitProperties() for q in range(5)]
        self._target = Target(num_qubits=5, qubit_properties=known, dt=1e-9)
        live = [0, 1, 2, 3]  # qubit 4 has no gate at all
        short = InstructionProperties(duration=3e-8, error=2e-4)
        unknown = InstructionProperties()
        for gate in (SXGate(), XGate(), RZGate(Parameter("angle"))):
            self._target.add_instruction(gate, {(q,): short if q else unknown for q in live})
        couplings = {
            (0, 1): InstructionProperties(duration=3e-7, error=1.0),
            (1, 2): InstructionProperties(duration=3e-7, error=8e-3),
            (2, 3): InstructionProperties(error=None),
        }
        self._target.add_instruction(CXGate(), couplings)
        readout = InstructionProperties(duration=1e-6, error=0.02)
        self._target.add_instruction(Measure(), {(q,): readout for q in live})

    @property
    def target(self) -> Target:
        return self._target

    @property
    def max_circuits(self) -> int | None:
        return None

    @classmethod
    def _default_options(cls) -> Options:
        return Options()

    def run(self, run_input: Any, **options: Any) -> Any:
        raise NotImplementedError("a description only")


def test_a_device_with_missing_data_runs_where_it_can() -> None:
    with efaas.EFSession(AerBackend(Patchy()), seed=1) as session:
        energy = session.objective(ANSATZ, "ZZ", shots=256)
        assert math.isfinite(energy(ZEROS))
        assert math.isfinite(energy.profile.ln_esp)
        assert not energy.profile.has_dead_gate
        assert set(energy.profile.layout) <= {1, 2, 3}
        assert "patchy" in str(session.explain(energy))


class TestNumbersThatAreNone:
    @pytest.mark.parametrize("seconds", [math.nan, math.inf, -1.0])
    def test_a_demand_is_refused(self, seconds: float) -> None:
        with pytest.raises(InputError, match="finite seconds"):
            Demand(qpu_seconds=seconds)
        with pytest.raises(InputError, match="finite seconds"):
            Demand(cpu_seconds=seconds)

    @pytest.mark.parametrize("wrong", [{"seconds": math.nan}, {"ln_gates": math.nan}])
    def test_a_device_that_predicts_nan_is_left_out(self, wrong: dict[str, float]) -> None:
        class Odd(FakeBackend):
            def profile(self, experiment: Experiment) -> CircuitProfile:
                return replace(super().profile(experiment), **wrong)  # type: ignore[arg-type]

        with efaas.EFSession([Odd("odd"), FakeBackend("even", ln_esp=-2.0)], seed=1) as session:
            assert session.objective(ANSATZ, "ZZ").profile.backend == "even"
        with (
            efaas.EFSession(Odd("odd"), seed=1) as session,
            pytest.raises(CircuitError, match=r"odd predicts .* = nan"),
        ):
            session.objective(ANSATZ, "ZZ")

    def test_measured_seconds_of_nan_fail_the_job_and_leave_the_queue_as_it_was(self) -> None:
        class Odd(FakeBackend):
            is_odd = True

            def execute(self, evaluations: Sequence[Evaluation]) -> Sequence[Outcome | Exception]:
                outcomes = super().execute(evaluations)
                usage = Usage(qpu_seconds=math.nan if self.is_odd else 1e-3)
                return [
                    each if isinstance(each, Exception) else replace(each, usage=usage)
                    for each in outcomes
                ]

        device = Odd("odd")
        with efaas.EFSession(device, seed=1) as session:
            energy = session.objective(ANSATZ, "ZZ")
            with pytest.raises(JobFailedError, match="usage is finite seconds"):
                energy(ZEROS)
            device.is_odd = False
            assert math.isfinite(energy(ZEROS))
            session._dispatcher.check_invariants()
