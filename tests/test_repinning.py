"""What becomes of a loop when its device's calibration changes, or the device fails."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from qiskit.circuit.library import efficient_su2

import efaas
from efaas.backends import AerBackend
from efaas.backends.drift import Drift
from efaas.clock import VirtualClock
from efaas.errors import InputError, JobFailedError
from efaas.model.profile import CircuitProfile
from efaas.policies.placement import BackendLoad, PlacementWeights
from efaas.policies.repinning import RepinSettings, Verdict, verdict
from efaas.testing import FakeBackend

if TYPE_CHECKING:
    from efaas.backends.protocol import Evaluation
    from efaas.model.calibration import Calibration

ANSATZ = efficient_su2(3, reps=2)
ZEROS = np.zeros(ANSATZ.num_parameters)
POINTS = np.linspace(-1.0, 1.0, 6 * ANSATZ.num_parameters).reshape(6, -1)


def profile(backend: str, ln_esp: float, *, is_dead: bool = False) -> CircuitProfile:
    return CircuitProfile(
        backend, 2, 1, 1, (0, 1), 1.0, True, ln_gates=ln_esp, has_dead_gate=is_dead
    )


def decide(
    before: float, now: float, other: float | None, *, is_dead: bool = False, wait: float = 0.0
) -> Verdict:
    candidates = [BackendLoad("here", 0, 0, 0.0, profile("here", now, is_dead=is_dead))]
    if other is not None:
        candidates.append(BackendLoad("there", 0, 0, wait, profile("there", other)))
    return verdict(profile("here", before), candidates, PlacementWeights(), RepinSettings())


@pytest.mark.parametrize(
    ("arguments", "kind", "backend"),
    [
        pytest.param((-0.10, -0.119, 0.0), "stayed", "here", id="a small loss"),
        pytest.param((-0.10, -0.081, 0.0), "stayed", "here", id="a small gain"),
        pytest.param((-0.50, -0.40, 0.0), "recompiled", "here", id="a gain asks nobody"),
        pytest.param((-0.10, -0.30, None), "recompiled", "here", id="nowhere to go"),
        pytest.param((-0.10, -0.30, -0.28), "recompiled", "here", id="within the hysteresis"),
        pytest.param((-0.10, -0.30, -0.10), "moved", "there", id="beyond the hysteresis"),
        pytest.param((-0.10, -30.0, -2.0), "moved", "there", id="a great loss"),
    ],
)
def test_the_shift_decides(
    arguments: tuple[float, float, float | None], kind: str, backend: str
) -> None:
    decided = decide(*arguments)
    assert (decided.kind, decided.backend) == (kind, backend)
    assert decided.ln_esp_shift == pytest.approx(arguments[1] - arguments[0])


def test_a_dead_gate_moves_a_loop_however_small_the_shift() -> None:
    decided = decide(-27.7, -27.7, -2.0, is_dead=True, wait=10.0)
    assert (decided.kind, decided.backend) == ("moved", "there")
    assert "a gate that is dead" in decided.reason


def test_a_long_queue_keeps_a_loop_where_it_is() -> None:
    assert decide(-0.1, -0.3, -0.1).kind == "moved"
    assert decide(-0.1, -0.3, -0.1, wait=1.0).kind == "recompiled"


@given(st.floats(-3, 0), st.floats(-3, 0), st.floats(-3, 0))
def test_a_loop_that_has_just_moved_does_not_move_back(
    before: float, now: float, other: float
) -> None:
    """The hysteresis: of two backends under one calibration each, at most one sends loops away."""
    if decide(before, now, other).kind == "moved":
        assert decide(before, other, now).kind != "moved"


@pytest.mark.parametrize(
    "bad",
    [
        {"stay_below": 0.0},
        {"stay_below": math.nan},
        {"move_share": 1.0},
        {"move_share": -0.1},
        {"bridge_evaluations": -1},
    ],
)
def test_settings_out_of_range_are_refused_by_name(bad: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(bad))):
        RepinSettings(**bad)


class TestFakeDevices:
    def test_a_loop_stays_recompiles_and_moves(self) -> None:
        here, there = FakeBackend("here", ln_esp=-0.1), FakeBackend("there", ln_esp=-0.2)
        with efaas.EFSession([here, there], seed=1) as session:
            energy = session.objective(ANSATZ, "ZZZ")
            values = [energy(ZEROS)]
            for ln_esp in (-0.11, -0.21, -0.5, -0.5):
                here.recalibrate(ln_esp)
                values.append(energy(ZEROS))
            events = session.events
            last = energy.submit(ZEROS)
            last.result()
            text = str(session.explain(energy))
        assert [event.kind for event in events] == ["stayed", "recompiled", "moved"]
        assert [event.to_backend for event in events] == ["here", "here", "there"]
        shifts = [event.ln_esp_shift for event in events]
        assert shifts == pytest.approx([-0.01, -0.11, -0.29])  # the second: since it was placed
        assert [event.from_calibration_id for event in events] == ["fake", "fake-1", "fake-2"]
        assert events[-1].to_calibration_id == "fake"
        assert {event.loop_id for event in events} == {energy.loop_id}
        assert energy.profile.backend == "there"
        # One more than asked for where it was compiled anew, and one where it moved.
        assert (sum(here.rounds), sum(there.rounds)) == (4, 4)
        assert last.job is not None
        assert last.job.backend == "there"
        assert text.startswith("pinned to there: moved: ln ESP changed by -0.290 there")

    def test_small_losses_add_up(self) -> None:
        here, there = FakeBackend("here", ln_esp=-0.1), FakeBackend("there", ln_esp=-0.12)
        with efaas.EFSession([here, there], seed=1) as session:
            energy = session.objective(ANSATZ, "ZZZ")
            for step in range(1, 12):
                here.recalibrate(-0.1 - 0.015 * step)
                energy(ZEROS)
            kinds = [event.kind for event in session.events]
        assert kinds[:2] == ["stayed", "recompiled"]
        assert kinds[-1] == "moved"

    def test_a_dead_gate_moves_a_loop(self) -> None:
        here, there = FakeBackend("here", ln_esp=-0.1), FakeBackend("there", ln_esp=-3.0)
        with efaas.EFSession([here, there], seed=1) as session:
            energy = session.objective(ANSATZ, "ZZZ")
            here.recalibrate(-27.7, has_dead_gate=True)
            energy(ZEROS)
            [event] = session.events
        assert (event.kind, event.from_backend, event.to_backend) == ("moved", "here", "there")

    def test_with_one_device_a_loop_never_moves(self) -> None:
        only = FakeBackend("only", ln_esp=-0.1)
        with efaas.EFSession(only, seed=1) as session:
            energy = session.objective(ANSATZ, "ZZZ")
            only.recalibrate(-27.7, has_dead_gate=True)
            energy(ZEROS)
            [event] = session.events
        assert (event.kind, event.to_backend) == ("recompiled", "only")

    def test_a_loop_placed_by_load_is_not_moved_for_fidelity(self) -> None:
        here, there = FakeBackend("here", ln_esp=-0.1), FakeBackend("there", ln_esp=-0.1)
        with (
            efaas.EFScheduler([here, there], placement="least-loaded") as scheduler,
            scheduler.session(seed=1) as session,
        ):
            energy = session.objective(ANSATZ, "ZZZ")
            here.recalibrate(-3.0)
            energy(ZEROS)
            [event] = session.events
        assert event.kind == "recompiled"
        assert there.cache.info().entries == 0

    def test_values_and_seeds_do_not_depend_on_a_move(self) -> None:
        def values(*, moves: bool) -> list[float]:
            devices = [FakeBackend("a", ln_esp=-0.1), FakeBackend("b", ln_esp=-0.2)]
            with efaas.EFSession(devices, seed=5) as session:
                energy = session.objective(ANSATZ, "ZZZ")
                found = [energy(point) for point in [*POINTS, POINTS[0]]]
                if moves:
                    devices[0].recalibrate(-2.0)
                found += [energy(point) for point in [*POINTS, POINTS[0]]]
                assert [event.kind for event in session.events] == ["moved"] * moves
            return found

        assert values(moves=True) == values(moves=False)

    def test_a_loop_leaves_a_device_that_fails_it(self) -> None:
        def fail(evaluation: Evaluation) -> Exception | None:
            return OSError("the device has vanished")

        here = FakeBackend("here", error=fail)
        there = FakeBackend("there", ln_esp=-2.0)
        with efaas.EFSession([here, there], seed=1) as session:
            energy = session.objective(ANSATZ, "ZZZ")
            with pytest.raises(JobFailedError, match="vanished"):
                energy(ZEROS)
            assert session.events == ()
            energy(ZEROS)
            energy(ZEROS)
            [event] = session.events
        assert (event.kind, event.to_backend) == ("failed over", "there")
        assert event.reason.startswith("here failed a job of it; ")

    def test_a_failure_with_nowhere_to_go_is_told_each_time(self) -> None:
        def fail(evaluation: Evaluation) -> Exception | None:
            return OSError("the device has vanished")

        with efaas.EFSession(FakeBackend(error=fail), seed=1) as session:
            energy = session.objective(ANSATZ, "ZZZ")
            for _ in range(3):
                with pytest.raises(JobFailedError, match="vanished"):
                    energy(ZEROS)
            assert session.events == ()

    def test_bad_input_is_not_the_devices_fault(self) -> None:
        def refuse(evaluation: Evaluation) -> Exception | None:
            return InputError("this cannot be run anywhere")

        devices = [FakeBackend("here", error=refuse), FakeBackend("there", ln_esp=-2.0)]
        with efaas.EFSession(devices, seed=1) as session:
            energy = session.objective(ANSATZ, "ZZZ")
            for _ in range(2):
                with pytest.raises(JobFailedError):
                    energy(ZEROS)
            assert session.events == ()

    def test_a_device_that_cannot_be_asked_does_not_stop_its_loop(self) -> None:
        class Shy(FakeBackend):
            is_gone = False

            def calibration(self) -> Calibration:
                if self.is_gone:
                    raise ConnectionError("no answer")
                return super().calibration()

        here, there = Shy("here"), FakeBackend("there", ln_esp=-1.0)
        with efaas.EFSession([here, there], seed=1) as session:
            energy = session.objective(ANSATZ, "ZZZ")
            here.is_gone = True
            assert math.isfinite(energy(ZEROS))
            assert session.events == ()

    def test_nothing_is_kept_for_a_loop_that_has_moved(self) -> None:
        here, there = FakeBackend("here", ln_esp=-0.1), FakeBackend("there", ln_esp=-0.2)
        with efaas.EFSession([here, there], seed=1) as session:
            energy = session.objective(ANSATZ, "ZZZ")
            for point in POINTS:
                energy(point)
            here.recalibrate(-2.0)
            for point in POINTS:
                energy(point)
            session._dispatcher.check_invariants()
            assert session.report().checks.evaluations == 1  # the best point, on the new device
            other = session.objective(ANSATZ, "XXX")
            waits = {s.backend: s.wait_seconds for s in session.explain(other).candidates}
        assert waits == {"here": 0.0, "there": 0.0}
        assert (sum(here.rounds), sum(there.rounds)) == (6, 7)


class TestDriftingDevices:
    def run(self, *, stay_below: float = 0.02) -> tuple[list[Any], list[float], list[Any]]:
        """A loop over twenty calibrations of two devices, one evaluation under each."""
        clock = VirtualClock()
        devices = [
            AerBackend("fake_manila", name=name, drift=Drift(seed=seed), clock=clock)
            for name, seed in (("first", 1), ("second", 2))
        ]
        settings = RepinSettings(stay_below=stay_below)
        with (
            efaas.EFScheduler(devices, repinning=settings, clock=clock) as scheduler,
            scheduler.session(seed=3) as session,
        ):
            energy = session.objective(ANSATZ, "ZZZ", shots=256)
            values, jobs = [], []
            for _ in range(20):
                clock.advance(86400.0)
                future = energy.submit(ZEROS)
                values.append(future.result())
                jobs.append(future.job)
            return list(session.events), values, jobs

    def test_a_loop_stays_recompiles_and_moves_and_each_is_told(self) -> None:
        events, values, jobs = self.run()
        assert {event.kind for event in events} == {"stayed", "recompiled", "moved"}
        assert len(events) == 20
        for event, job in zip(events, jobs, strict=True):
            assert job.backend == event.to_backend
            assert job.calibration_id == event.to_calibration_id
            assert (event.kind == "moved") == (event.from_backend != event.to_backend)
            assert (event.kind == "stayed") == (abs(event.ln_esp_shift) < 0.02)
        for before, after in pairwise(events):
            assert before.to_backend == after.from_backend
            assert before.to_calibration_id == after.from_calibration_id
        assert self.run()[:2] == (events, values)

    def test_a_loop_that_bears_everything_stays(self) -> None:
        events, _, jobs = self.run(stay_below=100.0)
        assert {event.kind for event in events} == {"stayed"}
        assert len({job.backend for job in jobs}) == 1
