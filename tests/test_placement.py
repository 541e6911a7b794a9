"""Where a new loop goes, and what a session says about it."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qiskit.circuit import QuantumCircuit
from qiskit.circuit.library import efficient_su2

import efaas
from efaas.backends import AerBackend
from efaas.backends.experiment import Experiment
from efaas.backends.fidelity import ErrorTable, OperationCounts, operations_of
from efaas.clock import VirtualClock
from efaas.errors import CircuitTooWideError, InputError
from efaas.model.job import Demand, Job
from efaas.model.profile import CircuitProfile
from efaas.policies.placement import (
    PLACEMENTS,
    BackendLoad,
    Best,
    Explanation,
    LeastLoaded,
    PlacementWeights,
    Score,
    scores,
)
from efaas.scheduler import (
    AttemptEnded,
    Cancelled,
    LoopClosed,
    LoopOpened,
    Place,
    Scheduler,
    Submitted,
)
from efaas.testing import FakeBackend

ANSATZ = efficient_su2(2, reps=1)
ZEROS = [0.0] * ANSATZ.num_parameters
DAY = 86400.0


def profile(
    backend: str,
    ln_esp: float = 0.0,
    *,
    seconds: float = 1.0,
    age: float = 0.0,
    cold: float = 0.0,
) -> CircuitProfile:
    return CircuitProfile(
        backend=backend,
        num_qubits=2,
        depth=1,
        two_qubit_gates=1,
        layout=(0, 1),
        seconds=seconds,
        is_warm=True,
        ln_gates=ln_esp,
        calibration_age_seconds=age,
        cold_seconds=cold,
    )


def load(
    name: str, ln_esp: float = 0.0, *, loops: int = 0, wait: float = 0.0, **rest: float
) -> BackendLoad:
    return BackendLoad(name, loops, 0, wait, profile(name, ln_esp, **rest))


@pytest.mark.parametrize(
    ("a", "b", "chosen"),
    [
        pytest.param({}, {}, "a", id="equals: the first listed"),
        pytest.param({"loops": 1}, {}, "b", id="equals: the least loaded"),
        pytest.param({"ln_esp": -0.3}, {"ln_esp": -0.2}, "b", id="the better fidelity"),
        pytest.param({"ln_esp": -0.3}, {"ln_esp": -0.2, "wait": 9.0}, "a", id="a long queue"),
        pytest.param({"seconds": 3.0}, {"ln_esp": -0.3}, "b", id="speed beats some fidelity"),
        pytest.param({"cold": 50.0}, {"ln_esp": -0.1}, "b", id="a long cold start"),
        pytest.param({"cold": 5.0}, {"ln_esp": -0.1}, "a", id="a short cold start"),
        pytest.param({"age": DAY}, {}, "b", id="the younger calibration"),
        pytest.param({"ln_esp": -5000.0}, {"wait": 1e9}, "b", id="dead gates"),
    ],
)
def test_the_best_score_is_chosen(a: dict[str, Any], b: dict[str, Any], chosen: str) -> None:
    assert Best().choose([load("a", **a), load("b", **b)]) == chosen


def test_the_score_is_the_sum_of_its_published_terms() -> None:
    weights = PlacementWeights(evaluations=10, wait_weight=2.0, age_share_per_day=0.1)
    loads = [
        load("good", -0.1, wait=3.0),
        load("bad", -0.4, seconds=2.0, age=5 * DAY, cold=20.0),
    ]
    service = 2.0 * math.exp(2 * 0.3)
    assert scores(loads, weights) == (
        Score("good", pytest.approx(math.exp(-0.1)), 1.0, 6.0, 0.0, 0.0),
        Score(
            "bad",
            pytest.approx(math.exp(-0.4)),
            pytest.approx(service),
            0.0,
            2.0,
            pytest.approx(0.3 * service),  # three days at most
        ),
    )


def test_backends_that_were_not_looked_at_are_left_out_unless_all_are() -> None:
    unseen = BackendLoad("unseen", 0, 0)
    assert Best().choose([unseen, load("seen", -1.0, loops=3, wait=3.0)]) == "seen"
    assert Best().choose([BackendLoad("busy", 1, 0), unseen]) == "unseen"


@given(
    st.lists(
        st.tuples(st.floats(-30, 0), st.floats(0, 100), st.floats(0, 100), st.integers(0, 5)),
        min_size=1,
        max_size=6,
    ),
    st.floats(1e-3, 1e3),
)
def test_the_choice_has_the_lowest_score_and_time_has_no_unit(
    values: list[tuple[float, float, float, int]], unit: float
) -> None:
    """All times k-fold, scores k-fold; and no candidate is cheaper than the chosen one."""

    def loads(k: float) -> list[BackendLoad]:
        return [
            load(f"b{i}", ln, seconds=(q + 1) * k, wait=wait * k, loops=loops)
            for i, (ln, q, wait, loops) in enumerate(values)
        ]

    once = {s.backend: s.total_seconds for s in scores(loads(1.0), PlacementWeights())}
    scaled = {s.backend: s.total_seconds for s in scores(loads(unit), PlacementWeights())}
    assert scaled == pytest.approx({name: unit * total for name, total in once.items()})
    assert once[Best().choose(loads(1.0))] <= min(once.values()) * (1 + 1e-8)


def test_loops_spread_over_equal_backends_and_prefer_better_ones() -> None:
    scheduler = Scheduler({"a": Place(), "b": Place()}, placement=Best())
    profiles = (profile("a", -0.2), profile("b", -0.1))
    for number in range(9):
        scheduler.handle(LoopOpened(f"loop {number}", ("a", "b"), profiles), 0.0)
    chosen = [scheduler.explanation(f"loop {number}").backend for number in range(9)]
    assert chosen[0] == "b"
    assert chosen.count("a") == 4
    scheduler.check_invariants()
    for number in range(9):
        scheduler.handle(LoopClosed(f"loop {number}"), 0.0)
    scheduler.handle(LoopOpened("late", ("a", "b"), profiles), 0.0)
    assert [s.wait_seconds for s in scheduler.explanation("late").candidates] == [0.0, 0.0]


def test_the_expected_wait_is_what_runs_and_waits() -> None:
    scheduler = Scheduler({"a": Place(), "b": Place()}, placement=Best())
    jobs = [Job(i, 1, "ada", ("a",), demand=Demand(0.1 * i)) for i in range(1, 6)]
    scheduler.handle(Submitted(tuple(jobs)), 0.0)
    scheduler.handle(Cancelled((5,)), 0.0)
    scheduler.check_invariants()
    wait = _wait_at_a(scheduler, "first")
    assert wait == pytest.approx(0.1 + 0.2 + 0.3 + 0.4)
    scheduler.handle(AttemptEnded(1), 1.0)
    assert _wait_at_a(scheduler, "second") == pytest.approx(0.9)
    for attempt in (2, 3, 4):
        scheduler.handle(AttemptEnded(attempt), 2.0)
    scheduler.check_invariants()
    assert _wait_at_a(scheduler, "third") == 0.0


def _wait_at_a(scheduler: Scheduler, loop_id: str) -> float:
    profiles = (profile("a"), profile("b", seconds=0.0))
    scheduler.handle(LoopOpened(loop_id, ("a", "b"), profiles), 0.0)
    found = scheduler.explanation(loop_id).candidates
    scheduler.handle(LoopClosed(loop_id), 0.0)
    return next(score.wait_seconds for score in found if score.backend == "a")


@pytest.mark.parametrize(
    "bad",
    [
        {"fidelity_power": -1.0},
        {"wait_weight": math.nan},
        {"cold_weight": math.inf},
        {"age_share_per_day": "much"},
        {"evaluations": 0},
        {"most_candidates": 1.5},
    ],
)
def test_weights_out_of_range_are_refused_by_name(bad: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(bad))):
        PlacementWeights(**bad)


@pytest.mark.parametrize("bad", [{"weights": 3}, {"repinning": "often"}])
def test_settings_of_the_wrong_type_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(bad))):
        efaas.EFScheduler(FakeBackend(), **bad)


class TestInASession:
    def test_a_loop_goes_to_the_better_device_and_the_table_says_why(self) -> None:
        devices = [FakeBackend("poor", ln_esp=-0.5), FakeBackend("good", ln_esp=-0.1)]
        with efaas.EFSession(devices, seed=1) as session:
            energy = session.objective(ANSATZ, "ZZ")
            explanation = session.explain(energy)
        assert energy.profile.backend == "good"
        text = str(explanation)
        assert text.splitlines()[0].startswith("pinned to good: its score is")
        assert "fidelity and speed" in text
        assert [line.split()[0] for line in text.splitlines()[2:]] == ["good", "poor"]
        assert "chosen" in text.splitlines()[2]
        assert "chosen" not in text.splitlines()[3]
        assert "<td>poor</td><td>0.607</td>" in explanation._repr_html_()

    def test_least_loaded_asks_no_device_for_more_than_it_needs(self) -> None:
        devices = [FakeBackend("poor", ln_esp=-0.5), FakeBackend("good", ln_esp=-0.1)]
        with (
            efaas.EFScheduler(devices, placement="least-loaded") as scheduler,
            scheduler.session(seed=1) as session,
        ):
            energy = session.objective(ANSATZ, "ZZ")
            assert "least loaded" in str(session.explain(energy))
        assert energy.profile.backend == "poor"
        assert [device.cache.info().misses for device in devices] == [1, 0]

    def test_a_circuit_is_compiled_for_a_bounded_number_of_devices(self) -> None:
        devices = [FakeBackend(f"device {i}") for i in range(12)]
        with efaas.EFSession(devices, seed=1) as session:
            session.objective(ANSATZ, "ZZ")
        assert sum(device.cache.info().misses for device in devices) == 8

    def test_a_device_that_cannot_run_the_circuit_is_no_candidate(self) -> None:
        class Broken(FakeBackend):
            def profile(self, experiment: Experiment) -> CircuitProfile:
                raise CircuitTooWideError("no", num_qubits=2, available=1)

        devices = [Broken("broken"), FakeBackend("fine", ln_esp=-3.0)]
        with efaas.EFSession(devices, seed=1) as session:
            energy = session.objective(ANSATZ, "ZZ")
            assert energy.profile.backend == "fine"
        with efaas.EFSession(devices[0]) as session, pytest.raises(CircuitTooWideError):
            session.objective(ANSATZ, "ZZ")

    def test_a_waiting_job_says_behind_how_many(self) -> None:
        backend = FakeBackend(manual=True)
        with efaas.EFSession(backend, seed=1) as session:
            energy = session.objective(ANSATZ, "ZZ")
            first = energy.submit(ZEROS)
            backend.wait_for_round()
            later = [energy.submit(ZEROS) for _ in range(3)]
            assert "is running on fake" in session.explain(first).job
            words = session.explain(later[2]).job
            assert "waits for fake among 3 committed jobs, 2 of which came before" in words
            assert words in session.explain(later[2])._repr_html_()
            backend.close()
            later[2].result()
            assert session.explain(later[2]).job == ""

    def test_what_cannot_be_explained_is_refused(self) -> None:
        with efaas.EFSession(FakeBackend()) as session, efaas.EFSession(FakeBackend()) as other:
            with pytest.raises(InputError, match="objective or the future"):
                session.explain(3)  # type: ignore[arg-type]
            with pytest.raises(InputError, match="objective or the future"):
                session.explain(session.call(pow, 2, 3))
            other.objective(QuantumCircuit(1), "Z")
            with pytest.raises(InputError, match="another session"):
                session.explain(other.objective(ANSATZ, "ZZ"))


class TestAerProfiles:
    def test_a_profile_holds_the_fidelity_of_the_compiled_circuit(self) -> None:
        backend = AerBackend("fake_manila")
        experiment = Experiment.estimate(ANSATZ, ["ZI"])
        found = backend.profile(experiment)
        isa = backend.isa(experiment)
        target = backend.expected_target()
        table = ErrorTable.of(target)
        counts = OperationCounts.of(
            operations_of(isa.circuit, target.dt), table, read=[isa.layout[1]]
        )
        expected = table.fidelity(counts)
        assert expected.gates < 0 > expected.readout
        assert (found.ln_gates, found.ln_readout, found.ln_idle) == pytest.approx(
            (expected.gates, expected.readout, expected.idle)
        )
        assert not found.has_dead_gate

    def test_the_fidelity_is_what_is_expected_at_the_age_of_the_calibration(self) -> None:
        experiment = Experiment.estimate(ANSATZ, ["ZZ"])
        readouts = []
        for wait in (0.0, 0.9 * DAY):
            clock = VirtualClock()
            backend = AerBackend("fake_manila", drift=3, clock=clock)
            backend.recalibrate()
            clock.advance(wait)
            found = backend.profile(experiment)
            table = ErrorTable.of(backend.expected_target())
            readout = sum(table.ln_success["measure", (qubit,)] for qubit in found.layout)
            assert found.ln_readout == pytest.approx(readout)
            assert found.calibration_age_seconds == wait
            readouts.append(readout)
        assert readouts[0] != pytest.approx(readouts[1])

    def test_an_ideal_device_loses_nothing(self) -> None:
        assert AerBackend("aer").profile(Experiment.estimate(ANSATZ, ["ZZ"])).esp == 1.0

    def test_loops_prefer_the_device_that_is_expected_to_do_better(self) -> None:
        devices = [AerBackend("fake_torino"), AerBackend("fake_manila"), AerBackend("fake_lagos")]
        experiment = Experiment.estimate(ANSATZ, ["ZZ"])
        with efaas.EFSession(devices, seed=1) as session:
            energy = session.objective(ANSATZ, "ZZ")
            explanation = session.explain(energy)
        esp = {device.name: device.profile(experiment).esp for device in devices}
        assert {s.backend: s.esp for s in explanation.candidates} == pytest.approx(esp)
        assert isinstance(explanation, Explanation)
        assert explanation.candidates[0].backend == energy.profile.backend


def test_placements_are_known_by_name() -> None:
    assert isinstance(PLACEMENTS["best"](None), Best)
    assert isinstance(PLACEMENTS["least-loaded"](None), LeastLoaded)
