"""Jobs of many points are cut where a loop may want to go next."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from concurrent.futures import wait
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit.circuit.library import real_amplitudes
from qiskit.quantum_info import SparsePauliOp

import efaas
from efaas.model.job import Demand, Job, Usage
from efaas.policies.fair_queue import FairQueue
from efaas.policies.fair_settings import FairSettings
from efaas.policies.ordering import FirstComeFirstServed
from efaas.policies.orderings import ORDERINGS
from efaas.scheduler import (
    AttemptEnded,
    Cancelled,
    Delivered,
    Dispatch,
    Event,
    Fail,
    Place,
    Resolve,
    Scheduler,
    Submitted,
    Wake,
    Woken,
)
from efaas.testing import FakeBackend


class AlwaysCut(FirstComeFirstServed):
    """First come first served, never more than two points of a job at once."""

    def start_at_once(self, job: Job, place: str, now: float) -> bool:
        return False

    def take(self, place: str, limit: int, now: float, *, speculative: bool = True) -> list[Job]:
        taken = super().take(place, limit, now, speculative=speculative)
        return [job.part(2) if job.points > 2 else job for job in taken]


def sweep(points: int, seconds: float, *, job_id: int = 1, tenant: str = "ada") -> Job:
    return Job(job_id, 1, tenant, ("qpu",), demand=Demand(seconds), points=points)


def test_the_rest_of_a_cut_job_follows_and_it_ends_once() -> None:
    scheduler = Scheduler({"qpu": Place()}, ordering=AlwaysCut())
    [first] = scheduler.handle(Submitted((sweep(5, 10.0),)), 0.0)
    assert isinstance(first, Dispatch)
    assert (first.job_ids, first.cut) == ((1,), {1: 2})
    scheduler.check_invariants()
    [second] = scheduler.handle(AttemptEnded(1), 4.0)
    assert isinstance(second, Dispatch)
    assert second.cut == {1: 2}
    [third] = scheduler.handle(AttemptEnded(2), 8.0)
    assert isinstance(third, Dispatch)
    assert third.cut is None
    assert scheduler.handle(AttemptEnded(3), 10.0) == [Resolve(1)]
    scheduler.check_invariants()


def test_a_piece_that_fails_fails_the_job() -> None:
    scheduler = Scheduler({"qpu": Place()}, ordering=AlwaysCut())
    scheduler.handle(Submitted((sweep(5, 10.0),)), 0.0)
    assert scheduler.handle(AttemptEnded(1, (1,)), 4.0) == [Fail(1)]
    scheduler.check_invariants()


def test_the_rest_of_a_cancelled_job_does_not_run() -> None:
    scheduler = Scheduler({"qpu": Place()}, ordering=AlwaysCut())
    scheduler.handle(Submitted((sweep(5, 10.0),)), 0.0)
    scheduler.handle(Cancelled((1,)), 1.0)
    assert scheduler.handle(AttemptEnded(1), 4.0) == []
    scheduler.check_invariants()


def test_a_cut_job_whose_round_failed_as_a_whole_is_tried_again_whole() -> None:
    scheduler = Scheduler({"qpu": Place(batch_limit=8)}, ordering=AlwaysCut())
    scheduler.handle(Submitted((sweep(5, 10.0), sweep(1, 1.0, job_id=2))), 0.0)
    [again] = scheduler.handle(AttemptEnded(1, (1, 2), is_batch_failure=True), 1.0)
    assert isinstance(again, Dispatch)
    assert (again.job_ids, again.cut) == ((1,), {1: 2})
    ended = list(
        itertools.chain.from_iterable(
            scheduler.handle(AttemptEnded(attempt_id), 2.0) for attempt_id in range(2, 6)
        )
    )
    assert [it for it in ended if isinstance(it, Resolve)] == [Resolve(1), Resolve(2)]


class Device:
    """One device on simulated time, under the fair order."""

    def __init__(self, fairness: FairSettings) -> None:
        self.queue = FairQueue(("qpu",), settings=fairness)
        self.scheduler = Scheduler({"qpu": Place()}, ordering=self.queue)
        self.now = 0.0
        self.events: list[tuple[float, int, Callable[[], None]]] = []
        self.order = itertools.count()
        self.ids = itertools.count(1)
        self.left: dict[int, Job] = {}
        self.ends: dict[int, Callable[[], None]] = {}
        self.resolved: list[int] = []
        self.pieces: list[tuple[int, int]] = []  # job and points, in order of start
        self.started_at: dict[int, float] = {}

    def at(self, when: float, what: Callable[[], None]) -> None:
        heapq.heappush(self.events, (when, next(self.order), what))

    def submit(self, job: Job, then: Callable[[], None] = lambda: None) -> None:
        self.left[job.id] = job
        self.ends[job.id] = then
        self.perform(Submitted((job,)))

    def perform(self, event: Event) -> None:
        for action in self.scheduler.handle(event, self.now):
            match action:
                case Dispatch(attempt_id, _, (job_id,)):
                    self.start(attempt_id, job_id, (action.cut or {}).get(job_id))
                case Wake(place, at):
                    self.at(at, lambda place=place: self.perform(Woken(place)))  # type: ignore[misc]
                case Resolve(job_id):
                    self.resolved.append(job_id)
                    self.ends[job_id]()

    def start(self, attempt_id: int, job_id: int, points: int | None) -> None:
        job = self.left[job_id]
        going = job if points is None else job.part(points)
        self.pieces.append((job_id, going.points))
        self.started_at.setdefault(job_id, self.now)
        if going.points < job.points:
            self.left[job_id] = job.part(job.points - going.points)
        seconds = going.demand.qpu_seconds
        usage = {job_id: Usage(qpu_seconds=seconds)}
        self.at(self.now + seconds, lambda: self.end(attempt_id, job_id, usage))

    def end(self, attempt_id: int, job_id: int, usage: dict[int, Usage]) -> None:
        self.perform(AttemptEnded(attempt_id, usage=usage))
        self.perform(Delivered((job_id,)))
        self.scheduler.check_invariants()

    def run(self) -> None:
        while self.events:
            self.now, _, what = heapq.heappop(self.events)
            what()

    def loop(self, rounds: int, *, quantum: float, think: float) -> list[float]:
        """An optimizer; returns the waits of its jobs, as they come."""
        waits: list[float] = []

        def step(left: int) -> None:
            asked_at, number = self.now, next(self.ids)
            job = Job(number, 2, "bob", ("qpu",), "vqe", demand=Demand(quantum))

            def done() -> None:
                waits.append(self.started_at[number] - asked_at)
                if left > 1:
                    self.at(self.now + think, lambda: step(left - 1))

            self.submit(job, done)

        self.at(self.now, lambda: step(rounds))
        return waits


@settings(max_examples=40, deadline=None)
@given(
    most=st.sampled_from([1.0, 3.0]),
    quantum=st.floats(0.2, 2.0),
    think=st.floats(0.05, 6.0),
    sweeps=st.lists(st.tuples(st.integers(1, 400), st.floats(0.01, 0.9)), min_size=1, max_size=8),
)
def test_a_loop_in_its_slot_never_waits_behind_more_than_the_longest_round(
    most: float, quantum: float, think: float, sweeps: list[tuple[int, float]]
) -> None:
    """However long a single job is: it is cut, and every point of it runs once."""
    device = Device(FairSettings(max_round_seconds=most))
    waits = device.loop(30, quantum=quantum, think=think)
    came = 4 * (quantum + think)

    def arrive() -> None:
        for points, seconds in sweeps:
            device.submit(sweep(points, points * seconds, job_id=next(device.ids)))

    device.at(came, arrive)
    device.run()
    assert len(waits) == 30
    # When the sweeps come the loop has its slot, so only a round of theirs can be in its way.
    assert max(waits[5:]) <= most + 1e-6
    done = sorted(device.resolved)
    assert done == sorted(set(done))
    points_of = dict.fromkeys(done, 0)
    for job_id, points in device.pieces:
        points_of[job_id] += points
    assert sorted(points_of.values()) == sorted([1] * 30 + [points for points, _ in sweeps])


def test_where_no_loop_is_about_a_job_stays_whole() -> None:
    device = Device(FairSettings(max_round_seconds=1.0))
    device.submit(sweep(100, 50.0, job_id=next(device.ids)))
    device.submit(sweep(100, 50.0, job_id=next(device.ids)))
    device.run()
    assert device.pieces == [(1, 100), (2, 100)]


def test_being_cut_is_not_iterating() -> None:
    """A job that calls itself a loop, cut into many pieces, gets no slot by that."""
    queue = FairQueue(("qpu",), settings=FairSettings(max_round_seconds=1.0))
    pretender = Job(1, 1, "ada", ("qpu",), "sweep", demand=Demand(10.0), points=10)
    now = 0.0
    queue.add(pretender, now)
    for left in range(9, -1, -1):
        [taken] = queue.take("qpu", 1, now)
        piece = taken.part(1) if taken.points > 1 else taken
        queue.started([piece], "qpu", now)
        now += 1.0
        queue.ended(piece, "qpu", Usage(qpu_seconds=1.0), now, goes_on=left > 0)
        if left:
            queue.add(pretender.part(left), now)
    assert not queue._loops.any_at("qpu")


@pytest.fixture
def cutting(monkeypatch: pytest.MonkeyPatch) -> None:
    orders = {**ORDERINGS, "always cut": lambda around: AlwaysCut()}
    monkeypatch.setattr("efaas.session.ORDERINGS", MappingProxyType(orders))


@pytest.mark.usefixtures("cutting")
def test_results_of_cut_jobs_are_those_of_whole_ones() -> None:
    circuit = real_amplitudes(2, reps=1)
    observable = SparsePauliOp(["ZZ", "XI"], [1.0, 0.5])
    points = np.linspace(0.0, 1.0, 7 * circuit.num_parameters).reshape(7, -1)
    measured = circuit.copy()
    measured.measure_all()

    def results(ordering: str) -> list[object]:
        with (
            efaas.EFScheduler("aer", ordering=ordering) as scheduler,
            scheduler.session(seed=3) as session,
        ):
            pub = session.estimate(circuit, observable, points)
            sampled = session.sample(measured, points, 64)
            energy = session.objective(circuit, observable, shots=100)
            many = energy.submit_many(points)
            gradient = energy.gradient(points[0])
            found: list[object] = [
                pub.result().data.evs.tolist(),
                pub.result().data.stds.tolist(),
                [sampled.result().data.meas.get_counts(row) for row in range(7)],
                [future.result() for future in many],
                gradient.result().tolist(),
            ]
            attempts = len(pub.job.attempts)
            assert attempts == (4 if ordering == "always cut" else 1)
            assert many[0].job.id == many[6].job.id
            return found

    assert results("always cut") == results("fifo")


@pytest.mark.usefixtures("cutting")
def test_points_of_a_cut_job_can_be_cancelled() -> None:
    circuit = real_amplitudes(2, reps=1)
    with (
        efaas.EFScheduler("aer", ordering="always cut") as scheduler,
        scheduler.session(seed=3) as session,
    ):
        energy = session.objective(circuit, SparsePauliOp("ZZ"), shots=None)
        points = np.zeros((9, circuit.num_parameters))
        futures = energy.submit_many(points)
        for future in futures[1::2]:
            future.cancel()
        assert all(
            future.cancelled() or future.result() == pytest.approx(1.0) for future in futures
        )


@pytest.mark.usefixtures("cutting")
def test_the_trace_has_each_piece_of_a_cut_job_with_what_it_evaluated() -> None:
    circuit = real_amplitudes(2, reps=1)
    with (
        efaas.EFScheduler("aer", ordering="always cut") as scheduler,
        scheduler.session(seed=3) as session,
    ):
        energy = session.objective(circuit, SparsePauliOp("ZZ"), shots=100)
        futures = energy.submit_many(np.zeros((7, circuit.num_parameters)))
        wait(futures)
        attempts = session.trace.attempts
        job = futures[0].job
    assert job is not None
    assert [a.number for a in attempts] == list(range(1, len(job.attempts) + 1))
    assert [a.state for a in attempts] == ["done"] * len(attempts)
    assert [len(a.values) for a in attempts] == [a.evaluations for a in attempts]
    assert sum(a.evaluations for a in attempts) == 7
    assert sum(a.qpu_seconds for a in attempts) == pytest.approx(job.usage.qpu_seconds)
    assert [a.calibration_id for a in attempts] == [job.calibration_id] * len(attempts)


@pytest.mark.usefixtures("cutting")
def test_the_pieces_that_a_cut_job_ran_are_recorded_and_only_the_rest_runs_again(
    tmp_path: Path,
) -> None:
    circuit = real_amplitudes(2, reps=1)
    points = np.linspace(0.0, 1.0, 7 * circuit.num_parameters).reshape(7, -1)

    def life(device: FakeBackend, ordering: str, journal: Path | None) -> list[float]:
        with (
            efaas.EFScheduler(device, ordering=ordering) as scheduler,
            scheduler.session(seed=3, journal=journal) as session,
        ):
            pub = session.estimate(circuit, "ZZ", points)
            evs: list[float] = [] if pub.exception() else pub.result().data.evs.tolist()
            return evs

    breaks = FakeBackend(
        round_error=lambda _: ConnectionError("gone") if len(breaks.rounds) > 2 else None
    )
    assert life(breaks, "always cut", tmp_path / "cut.efaas") == []
    ran = sum(breaks.rounds[:2])
    assert 0 < ran < 7
    device = FakeBackend()
    assert life(device, "fifo", tmp_path / "cut.efaas") == life(FakeBackend(), "fifo", None)
    assert device.rounds == [7 - ran]
