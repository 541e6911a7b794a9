"""What a loop's watch sees: devices that change between calibrations, and values after a move."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import scipy.optimize
from qiskit.circuit.library import efficient_su2
from scipy.stats import binom

import efaas
from efaas.backends import AerBackend
from efaas.backends.drift import Drift
from efaas.errors import InputError
from efaas.optimize.asks import Ask
from efaas.testing import FakeBackend

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from efaas.backends.experiment import Experiment
    from efaas.backends.protocol import Evaluation, Outcome
    from efaas.model.calibration import Calibration
    from efaas.model.events import LoopEvent
    from efaas.model.profile import CircuitProfile

ANSATZ = efficient_su2(2, reps=1)
ZEROS = np.zeros(ANSATZ.num_parameters)
START = np.linspace(-0.4, 0.6, ANSATZ.num_parameters)

FINE = efaas.Sentinel(every_rounds=4, most_share=1.0, false_alarm_rate=1e-9)
"""Checks often, and believes little."""


class Shaky(FakeBackend):
    """A device whose signal can be damped without a word of its calibration."""

    def __init__(self, name: str, *, ln_esp: float = -0.1, noise: float = 1.0) -> None:
        super().__init__(name, value=self._damped, ln_esp=ln_esp)
        self.damping = 1.0
        self.asked: list[tuple[bytes, int]] = []
        self._noise = noise

    def _damped(self, angles: NDArray[np.float64], seed: int) -> float:
        self.asked.append((angles.tobytes(), seed))
        noise = np.random.Generator(np.random.Philox(key=seed)).normal() if seed else 0.0
        return float(-self.damping * 10.0 * np.cos(angles).sum() + self._noise * noise)


def test_without_drift_a_sentinel_changes_no_value_and_costs_no_round() -> None:
    def run(sentinel: efaas.Sentinel | None) -> tuple[list[float], FakeBackend, Any]:
        device = FakeBackend()
        with efaas.EFSession(device, seed=3, sentinel=sentinel) as session:
            energy = session.objective(ANSATZ, "ZZ")
            values = [energy(START * step) for step in range(40)]
            values += [future.result() for future in energy.submit_many([ZEROS, ZEROS, START])]
            assert session.events == ()
            return values, device, session.report()

    plain, alone, without = run(None)
    watched, checked, report = run(FINE)
    assert watched == plain
    assert len(checked.rounds) == len(alone.rounds)
    assert sum(checked.rounds) == sum(alone.rounds) + report.checks.evaluations
    assert report.checks.evaluations > 10
    assert report.checks.shots == 4096 * report.checks.evaluations
    assert report.checks.busy_seconds == pytest.approx(1e-3 * report.checks.evaluations)
    assert without.checks.evaluations == 0
    assert "checks: " in str(report)
    assert "checks: " not in str(without)


@pytest.mark.parametrize("method", ["COBYLA", "Nelder-Mead", "L-BFGS-B"])
@pytest.mark.parametrize("mode", ["off", "exact"])
def test_minimize_is_scipys_with_a_sentinel(method: str, mode: str) -> None:
    def run(minimize: Any, sentinel: efaas.Sentinel | None, **further: Any) -> Any:
        with efaas.EFSession(Shaky("device"), seed=3, sentinel=sentinel) as session:
            energy = session.objective(ANSATZ, "ZZ")
            result = minimize(energy, START, method=method, options={"maxiter": 25}, **further)
            assert session.events == ()
            return result, session.report().checks

    theirs, _ = run(scipy.optimize.minimize, None)
    ours, checks = run(efaas.minimize, FINE, speculation=efaas.Speculation(mode=mode))
    assert checks.evaluations > 0
    assert np.array_equal(ours.x, theirs.x)
    assert (ours.fun, ours.nfev) == (theirs.fun, theirs.nfev)


def test_false_alarms_are_as_frequent_as_stated() -> None:
    """Of many checks of a device that does not change; within a binomial interval of 99.9 %."""
    rate = 0.05
    sentinel = efaas.Sentinel(every_rounds=1, most_share=1.0, false_alarm_rate=rate)
    with efaas.EFSession(Shaky("device"), seed=11, sentinel=sentinel) as session:
        energy = session.objective(ANSATZ, "ZZ")
        for _ in range(2500):
            energy(ZEROS)
        checks = session.report().checks
        events = session.events
    assert checks.tests > 2000
    low, high = binom.interval(0.999, checks.tests, rate)
    assert low <= checks.alarms <= high
    assert sum(event.cause == "sentinel" for event in events) == checks.alarms
    assert all(event.shift is not None and event.shift.p < rate for event in events)


class TestAnAlarm:
    def run(self, *, recalibrates: bool = False) -> tuple[list[Shaky], tuple[LoopEvent, ...], Any]:
        devices = [Shaky("here", ln_esp=-0.1), Shaky("there", ln_esp=-0.2)]
        with efaas.EFSession(devices, seed=5, sentinel=FINE) as session:
            energy = session.objective(ANSATZ, "ZZ")
            for step in range(12):
                energy(0.01 * START * step)
            devices[0].damping = 0.5
            for step in range(12):
                energy(0.01 * START * step)
            if recalibrates:
                devices[1].recalibrate(-0.23)
                energy(ZEROS)
            text = str(session.explain(energy))
            return devices, session.events, (text, session.report().checks)

    def test_a_device_that_changes_between_calibrations_is_left(self) -> None:
        devices, [event], (text, checks) = self.run()
        assert (event.kind, event.cause) == ("moved", "sentinel")
        assert (event.from_backend, event.to_backend) == ("here", "there")
        assert event.from_calibration_id == devices[0].calibration().id
        assert event.shift is not None
        assert event.shift.p < 1e-9
        assert event.shift.difference == pytest.approx(40.0, abs=5.0)
        assert event.shift.std < 2.0
        assert event.ln_esp_shift == pytest.approx(math.log(0.5), abs=0.1)
        assert event.reason.startswith("one point changed by +")
        assert "pinned to there: moved" in text
        assert checks.alarms == 1

    def test_the_best_point_is_told_on_both_sides(self) -> None:
        _, [event], _ = self.run()
        assert event.comparison is not None
        assert event.comparison.before == pytest.approx(-80.0, abs=5.0)
        assert event.comparison.after == pytest.approx(-80.0, abs=5.0)
        assert event.comparison.std == pytest.approx(math.sqrt(2.0))

    def test_what_was_measured_is_not_forgotten_until_the_device_is_calibrated(self) -> None:
        """The other one gets worse by itself, but not as bad as the first was found to be."""
        _, events, _ = self.run(recalibrates=True)
        assert [event.kind for event in events] == ["moved", "recompiled"]
        assert events[-1].to_backend == "there"

    def test_the_same_seed_gives_the_same_events(self) -> None:
        def told(events: tuple[LoopEvent, ...]) -> list[LoopEvent]:
            return [replace(event, at=0.0) for event in events]

        assert told(self.run()[1]) == told(self.run()[1])

    def test_with_one_device_the_loop_goes_on_there_and_is_told_once(self) -> None:
        device = Shaky("only")
        with efaas.EFSession(device, seed=5, sentinel=FINE) as session:
            energy = session.objective(ANSATZ, "ZZ")
            for _ in range(12):
                energy(ZEROS)
            device.damping = 0.5
            for _ in range(40):
                energy(ZEROS)
            [event] = session.events
        assert (event.kind, event.cause, event.to_backend) == ("recompiled", "sentinel", "only")


def test_checks_stay_within_their_share_of_the_shots() -> None:
    sentinel = efaas.Sentinel(every_rounds=1, shots=2000, most_share=0.05)
    with efaas.EFSession(Shaky("device"), seed=5, sentinel=sentinel) as session:
        energy = session.objective(ANSATZ, "ZZ", shots=1000)
        for step in range(200):
            energy(START * step)
        checks = session.report().checks
    assert 0.9 * 0.05 * 200_000 <= checks.shots <= 0.05 * 200_000


@pytest.mark.parametrize("comes_true", [True, False])
def test_a_guess_is_looked_after_only_once_it_was_asked_for(*, comes_true: bool) -> None:
    device = Shaky("device", noise=0.0)
    sentinel = efaas.Sentinel(every_rounds=2, most_share=1.0)
    with efaas.EFSession(device, seed=5, sentinel=sentinel) as session:
        energy = session.objective(ANSATZ, "ZZ")
        [future], [guess] = energy.submit_round([Ask(START)], [(Ask(ZEROS), None)])
        assert future.result() > guess.future.result()
        if comes_true:
            assert guess.confirm()
        else:
            guess.withdraw()
        for _ in range(8):
            energy(2 * START)
        ran = Counter(point for point, _ in device.asked)
        checks = session.report().checks.evaluations
    best, other = (ZEROS, START) if comes_true else (START, ZEROS)
    assert checks == 4
    assert ran == {best.tobytes(): 5, other.tobytes(): 1, (2 * START).tobytes(): 8}


def test_a_sentinel_of_the_wrong_type_is_refused() -> None:
    with pytest.raises(InputError, match="sentinel must be a Sentinel or None, got 20"):
        efaas.EFSession(FakeBackend(), sentinel=20)  # type: ignore[arg-type]


class TestAfterAMove:
    @pytest.mark.parametrize("reevaluate", [True, False])
    def test_values_and_the_trajectory_do_not_depend_on_the_comparison(
        self, *, reevaluate: bool
    ) -> None:
        devices = [Shaky("here", ln_esp=-0.1), Shaky("there", ln_esp=-0.2)]
        settings = efaas.RepinSettings(reevaluate=reevaluate)
        with (
            efaas.EFScheduler(devices, repinning=settings) as scheduler,
            scheduler.session(seed=5) as session,
        ):
            energy = session.objective(ANSATZ, "ZZ")
            values = [energy(START * step) for step in range(5)]
            devices[0].recalibrate(-3.0)
            values += [energy(START * step) for step in range(5)]
            [event] = session.events
            checks = session.report().checks
        with efaas.EFSession(Shaky("alone"), seed=5) as session:
            energy = session.objective(ANSATZ, "ZZ")
            alone = [energy(START * (step % 5)) for step in range(10)]
        assert values == alone
        assert (event.kind, event.cause) == ("moved", "calibration")
        assert checks.evaluations == reevaluate
        assert (event.comparison is not None) == reevaluate
        if event.comparison is not None:
            assert event.comparison.before == min(values[:5])
            assert event.comparison.after not in values

    def test_a_loop_that_stays_is_not_evaluated_again(self) -> None:
        device = Shaky("device")
        with efaas.EFSession(device, seed=5) as session:
            energy = session.objective(ANSATZ, "ZZ")
            energy(ZEROS)
            device.recalibrate(-0.11)
            energy(ZEROS)
            [event] = session.events
            assert session.report().checks.evaluations == 0
        assert (event.kind, event.comparison) == ("stayed", None)

    def test_the_result_says_which_answers_came_from_where(self) -> None:
        devices = [Shaky("here", ln_esp=-0.1), Shaky("there", ln_esp=-0.2)]
        seen = 0

        def callback(intermediate_result: Any) -> None:
            nonlocal seen
            seen += 1
            if seen == 5:
                devices[0].recalibrate(-3.0)

        with efaas.EFSession(devices, seed=5) as session:
            energy = session.objective(ANSATZ, "ZZ")
            result = efaas.minimize(
                energy, START, method="COBYLA", callback=callback, options={"maxiter": 30}
            )
        first, second = result.speculation.origins
        assert (first.backend, first.calibration_id) == ("here", "fake")
        assert (second.backend, second.calibration_id) == ("there", "fake")
        assert first.answers + second.answers == result.nfev
        assert "on there" in repr(result.speculation)


class Sworn(AerBackend):
    """A simulated device that drifts, and goes on showing the calibration that it came with."""

    _sworn: Calibration | None = None
    _first: CircuitProfile | None = None

    def calibration(self) -> Calibration:
        self._sworn = self._sworn or super().calibration()
        return self._sworn

    def profile(self, experiment: Experiment) -> CircuitProfile:
        self._first = self._first or super().profile(experiment)
        return self._first

    def execute(self, evaluations: Sequence[Evaluation]) -> Sequence[Outcome | Exception]:
        sworn = self.calibration().id
        return [
            outcome if isinstance(outcome, Exception) else replace(outcome, calibration_id=sworn)
            for outcome in super().execute(evaluations)
        ]


def test_a_simulated_device_that_drifts_within_a_calibration_is_noticed() -> None:
    device = Sworn("fake_manila", drift=Drift(seed=1, scale=1.5))
    with efaas.EFSession(device, seed=5, sentinel=efaas.Sentinel(every_rounds=5)) as session:
        energy = session.objective(ANSATZ, "ZZ", shots=4096)
        for _ in range(60):
            energy(ZEROS)
        assert session.events == ()
        device.recalibrate()
        for _ in range(60):
            energy(ZEROS)
        event = session.events[0]
    assert event.cause == "sentinel"
    assert event.from_calibration_id == event.to_calibration_id
    assert event.shift is not None
    assert event.shift.p < 1e-3
