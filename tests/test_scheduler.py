"""The scheduler's state machine."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from efaas.errors import InvariantError
from efaas.model.job import CPU, Demand, Job, Usage
from efaas.model.profile import CircuitProfile
from efaas.policies.fair_settings import FairSettings
from efaas.policies.orderings import ORDERINGS, Surroundings
from efaas.policies.placement import BackendLoad, LeastLoaded
from efaas.scheduler import (
    Action,
    AttemptEnded,
    Cancelled,
    Delivered,
    Dispatch,
    Fail,
    LoopClosed,
    LoopOpened,
    Pin,
    Place,
    Promoted,
    Resolve,
    Scheduler,
    StepPaused,
    StepResumed,
    Submitted,
    Wake,
    Woken,
)
from efaas.scheduler.events import LoopReconsidered


def job(
    job_id: int,
    *places: str,
    loop: str | None = None,
    speculative: bool = False,
    rides_with: int | None = None,
    session: int = 1,
    seconds: float = 0.0,
    points: int = 1,
) -> Job:
    return Job(
        job_id,
        session,
        ("ada", "bob")[session % 2],
        places or ("a",),
        loop,
        speculative,
        rides_with,
        Demand(qpu_seconds=seconds),
        points=points,
    )


def rider(job_id: int, host: int) -> Job:
    return job(job_id, speculative=True, rides_with=host)


def submit(scheduler: Scheduler, *jobs: Job) -> list[Action]:
    return scheduler.handle(Submitted(jobs), 0.0)


def test_jobs_of_one_round_go_together() -> None:
    scheduler = Scheduler({"a": Place(batch_limit=8)})
    assert submit(scheduler, job(1), job(2)) == [Dispatch(1, "a", (1, 2))]


def test_a_round_is_cut_at_the_batch_limit() -> None:
    scheduler = Scheduler({"a": Place(batch_limit=2)})
    assert submit(scheduler, job(1), job(2), job(3)) == [Dispatch(1, "a", (1, 2))]
    actions = scheduler.handle(AttemptEnded(1), 1.0)
    assert actions == [Resolve(1), Resolve(2), Dispatch(2, "a", (3,))]


def test_committed_jobs_go_before_speculative_ones_that_came_earlier() -> None:
    scheduler = Scheduler({"a": Place()})
    submit(scheduler, job(1))
    submit(scheduler, job(2, speculative=True))
    submit(scheduler, job(3))
    assert Dispatch(2, "a", (3,)) in scheduler.handle(AttemptEnded(1), 1.0)


def test_speculative_jobs_wait_until_results_have_been_delivered() -> None:
    scheduler = Scheduler({"a": Place()})
    submit(scheduler, job(1))
    submit(scheduler, job(2, speculative=True))
    assert scheduler.handle(AttemptEnded(1), 1.0) == [Resolve(1)]
    scheduler.check_invariants()
    assert scheduler.handle(Delivered((1,)), 1.0) == [Dispatch(2, "a", (2,))]


def test_a_guess_that_a_result_proves_wrong_costs_no_attempt() -> None:
    scheduler = Scheduler({"a": Place()})
    submit(scheduler, job(1))
    submit(scheduler, job(2, speculative=True))
    scheduler.handle(AttemptEnded(1), 1.0)
    scheduler.handle(Cancelled((2,)), 1.0)
    assert scheduler.handle(Delivered((1,)), 1.0) == []


def test_a_promoted_job_goes_as_if_it_had_always_been_committed() -> None:
    scheduler = Scheduler({"a": Place()})
    submit(scheduler, job(1))
    submit(scheduler, job(2, speculative=True))
    submit(scheduler, job(3))
    scheduler.handle(Promoted((2,)), 0.5)
    assert Dispatch(2, "a", (2,)) in scheduler.handle(AttemptEnded(1), 1.0)


def test_guesses_share_the_round_of_the_job_they_ride_with() -> None:
    scheduler = Scheduler({"a": Place(batch_limit=3)})
    assert submit(scheduler, job(1), rider(2, 1), rider(3, 1), rider(4, 1)) == [
        Dispatch(1, "a", (1, 2, 3))
    ]
    scheduler.check_invariants()


def test_guesses_ride_though_other_results_are_not_delivered_yet() -> None:
    scheduler = Scheduler({"a": Place(batch_limit=8)})
    submit(scheduler, job(1))
    scheduler.handle(AttemptEnded(1), 1.0)
    assert submit(scheduler, job(2), rider(3, 2)) == [Dispatch(2, "a", (2, 3))]


def test_a_guess_does_not_ride_where_it_would_delay_another_session() -> None:
    scheduler = Scheduler({"a": Place(batch_limit=8)})
    submit(scheduler, job(1))
    submit(scheduler, job(2, session=2))
    submit(scheduler, job(3), rider(4, 3))
    assert scheduler.handle(AttemptEnded(1), 1.0) == [Resolve(1), Dispatch(2, "a", (2, 3))]
    scheduler.handle(Delivered((1,)), 1.0)
    assert Dispatch(3, "a", (4,)) in scheduler.handle(AttemptEnded(2), 2.0) + scheduler.handle(
        Delivered((2, 3)), 2.0
    )


def test_a_guess_whose_job_is_cancelled_waits_its_turn() -> None:
    scheduler = Scheduler({"a": Place(batch_limit=8)})
    submit(scheduler, job(1))
    submit(scheduler, job(2), rider(3, 2))
    scheduler.handle(Cancelled((2,)), 0.5)
    scheduler.handle(AttemptEnded(1), 1.0)
    assert scheduler.handle(Delivered((1,)), 1.0) == [Dispatch(2, "a", (3,))]


def test_a_cancelled_guess_does_not_ride() -> None:
    scheduler = Scheduler({"a": Place(batch_limit=8)})
    submit(scheduler, job(1))
    submit(scheduler, job(2), rider(3, 2), rider(4, 2))
    scheduler.handle(Cancelled((3,)), 0.5)
    assert Dispatch(2, "a", (2, 4)) in scheduler.handle(AttemptEnded(1), 1.0)


def test_a_cancelled_job_never_runs() -> None:
    scheduler = Scheduler({"a": Place()})
    submit(scheduler, job(1), job(2))
    scheduler.handle(Cancelled((2,)), 0.5)
    assert scheduler.handle(AttemptEnded(1), 1.0) == [Resolve(1)]


def test_the_result_of_a_job_cancelled_while_running_is_dropped() -> None:
    scheduler = Scheduler({"a": Place()})
    submit(scheduler, job(1))
    scheduler.handle(Cancelled((1,)), 0.5)
    assert scheduler.handle(AttemptEnded(1), 1.0) == []


def test_jobs_of_a_failed_round_are_tried_again_alone() -> None:
    scheduler = Scheduler({"a": Place(batch_limit=8)})
    submit(scheduler, job(1), job(2))
    assert scheduler.handle(AttemptEnded(1, (1, 2), is_batch_failure=True), 1.0) == [
        Dispatch(2, "a", (1,))
    ]
    assert scheduler.handle(AttemptEnded(2, (1,), is_batch_failure=True), 2.0) == [
        Fail(1),
        Dispatch(3, "a", (2,)),
    ]
    assert scheduler.handle(AttemptEnded(3), 3.0) == [Resolve(2)]
    scheduler.check_invariants()


def test_a_job_that_failed_by_itself_is_not_tried_again() -> None:
    scheduler = Scheduler({"a": Place(batch_limit=8)})
    submit(scheduler, job(1), job(2))
    assert scheduler.handle(AttemptEnded(1, (2,)), 1.0) == [Resolve(1), Fail(2)]


def test_all_jobs_of_a_loop_run_on_one_backend() -> None:
    scheduler = Scheduler({"a": Place(), "b": Place()})
    for job_id in range(1, 7):
        submit(scheduler, job(job_id, "a", "b", loop="vqe"))
    ran = []
    for attempt_id in range(1, 7):
        ran += scheduler.handle(AttemptEnded(attempt_id), 1.0)
    assert {action.place for action in ran if isinstance(action, Dispatch)} == {"a"}


def test_new_loops_go_to_the_backend_with_fewer_loops() -> None:
    scheduler = Scheduler({"a": Place(), "b": Place()})
    pins = [scheduler.handle(LoopOpened(f"loop {i}", ("a", "b")), 0.0)[0] for i in range(4)]
    assert [pin.place for pin in pins if isinstance(pin, Pin)] == ["a", "b", "a", "b"]


def test_a_closed_loop_no_longer_counts() -> None:
    scheduler = Scheduler({"a": Place(), "b": Place()})
    scheduler.handle(LoopOpened("first", ("a", "b")), 0.0)
    scheduler.handle(LoopClosed("first"), 0.0)
    assert scheduler.handle(LoopOpened("second", ("a", "b")), 0.0) == [Pin("second", "a")]


def test_the_least_loaded_backend_is_the_one_with_fewest_jobs_among_equal_loops() -> None:
    loads = [BackendLoad("a", loops=1, jobs=5), BackendLoad("b", loops=1, jobs=2)]
    assert LeastLoaded().choose(loads) == "b"


def test_a_step_that_waits_for_another_gives_its_slot_back() -> None:
    scheduler = Scheduler({CPU: Place(slots=1)})
    submit(scheduler, job(1, CPU), job(2, CPU))
    assert scheduler.handle(StepPaused(1), 0.1) == [Dispatch(2, CPU, (2,))]
    assert scheduler.handle(StepResumed(1), 0.2) == []
    scheduler.check_invariants()
    scheduler.handle(AttemptEnded(1), 0.3)
    scheduler.handle(AttemptEnded(2), 0.4)
    scheduler.check_invariants()


def test_bookkeeping_that_contradicts_itself_is_noticed() -> None:
    scheduler = Scheduler({"a": Place()})
    submit(scheduler, job(1))
    scheduler._busy["a"] = 0
    with pytest.raises(InvariantError, match="slots in use"):
        scheduler.check_invariants()


class SchedulerMachine(RuleBasedStateMachine):
    """Against a model that only knows what was submitted, cancelled and answered.

    No job is lost, none runs twice at once or after success, a cancelled job never starts, loops
    stay on one backend unless a calibration or a failure moves them, a cut job runs each point
    once, no committed job is passed over by a speculative one at dispatch, none is
    overtaken too often, and no place idles while a job that may run there waits, unless it is kept
    free for a loop until an instant that is asked for.
    """

    @initialize(
        slots=st.integers(1, 3),
        limit=st.integers(1, 4),
        ordering=st.sampled_from(sorted(ORDERINGS)),
        max_overtakes=st.integers(1, 6),
    )
    def start(self, slots: int, limit: int, ordering: str, max_overtakes: int) -> None:
        fair = FairSettings(max_overtakes=max_overtakes, max_wait_seconds=60.0)
        around = Surroundings(("a", "b"), cpu_slots=slots, settings=fair)
        self.scheduler = Scheduler(
            {"a": Place(1, limit), "b": Place(1, limit), CPU: Place(slots, 1)},
            ordering=ORDERINGS[ordering](around),
        )
        self.max_overtakes = max_overtakes if ordering == "fair" else None
        self.overtakes: Counter[tuple[int, str]] = Counter()
        self.wakes: dict[str, float] = {}
        self.now = 0.0
        self.last_id = 0
        self.jobs: dict[int, Job] = {}
        self.waiting: set[int] = set()
        self.speculative: set[int] = set()
        self.running: dict[int, Dispatch] = {}
        self.paused: set[int] = set()
        self.cancelled: set[int] = set()
        self.ended: set[int] = set()
        self.loop_places: dict[str, str] = {}
        self.placed: dict[int, str] = {}  # a loop's job: it stays where it was queued
        self.left_of: dict[int, int] = {}  # points of a job that was cut before
        self.rests: dict[int, int] = {}  # of a running job that was cut: points that are left
        self.attempts: dict[int, int] = {}
        self.undelivered: list[int] = []
        self.reordered: set[int] = set()  # queued anew: what overtook them before does not count

    def perform(self, event: object) -> None:
        self.now += 0.5
        for action in self.scheduler.handle(event, self.now):  # type: ignore[arg-type]
            match action:
                case Dispatch(attempt_id, place, job_ids):
                    self.dispatched(place, job_ids)
                    for job_id, points in (action.cut or {}).items():
                        left = self.left_of.get(job_id, self.jobs[job_id].points)
                        assert 0 < points < left
                        assert job_id not in self.speculative
                        self.rests[job_id] = left - points
                        self.attempts[job_id] -= 1
                    self.running[attempt_id] = action
                case Resolve(job_id) | Fail(job_id):
                    assert job_id not in self.ended | self.cancelled | self.waiting
                    self.ended.add(job_id)
                    self.undelivered.append(job_id)
                case Wake(place, at):
                    assert at > self.now
                    self.wakes[place] = at
                case Pin():
                    pass

    def dispatched(self, place: str, job_ids: tuple[int, ...]) -> None:
        assert job_ids
        for job_id in job_ids:
            assert job_id in self.waiting, "only a waiting job may start"
            assert job_id not in self.cancelled
            assert place in self.jobs[job_id].places
            self.attempts[job_id] = self.attempts.get(job_id, 0) + 1
            assert self.attempts[job_id] <= 2
            loop = self.jobs[job_id].loop_id
            if loop is not None:
                expected = self.placed.get(job_id) or self.loop_places.setdefault(loop, place)
                assert place == expected
                self.placed[job_id] = place
        self.waiting -= set(job_ids)
        self.count_overtakes(place, job_ids)
        hosts = set(job_ids) - self.speculative
        for job_id in set(job_ids) & self.speculative if hosts else ():
            assert self.jobs[job_id].rides_with in hosts, "it shares a round unasked"
            assert len({self.jobs[host].session_id for host in hosts}) == 1
        if set(job_ids) & self.speculative:
            mine = {self.jobs[host].session_id for host in hosts}
            passed_over = [
                other
                for other in self.waiting - self.speculative
                if self.jobs[other].places == (place,) and self.jobs[other].session_id not in mine
            ]
            assert not passed_over, "a speculative job ran before a committed one"

    def count_overtakes(self, place: str, job_ids: tuple[int, ...]) -> None:
        """No committed job is overtaken more often than allowed."""
        for other in self.waiting - self.speculative:
            loop = self.jobs[other].loop_id
            is_elsewhere = loop is not None and self.placed.get(other) != place
            may_run = place in self.jobs[other].places and not is_elsewhere
            if may_run and other not in self.reordered:
                self.overtakes[other, place] += sum(
                    job_id > other for job_id in set(job_ids) - self.speculative
                )
                if self.max_overtakes is not None:
                    assert self.overtakes[other, place] <= self.max_overtakes

    @rule(
        places=st.lists(
            st.sampled_from([("a",), ("b",), ("a", "b"), (CPU,)]), min_size=1, max_size=5
        ),
        loop=st.sampled_from([None, "x", "y"]),
        speculative=st.booleans(),
        seconds=st.sampled_from([0.0, 0.1, 1.0, 30.0]),
        session=st.integers(1, 4),
        points=st.sampled_from([1, 1, 3, 40]),
    )
    def submit(
        self,
        places: list[tuple[str, ...]],
        loop: str | None,
        speculative: bool,
        seconds: float,
        session: int,
        points: int,
    ) -> None:
        made = []
        for where in places:
            self.last_id += 1
            loop_id = loop if where == ("a", "b") else None
            new = job(
                self.last_id,
                *where,
                loop=loop_id,
                speculative=speculative,
                seconds=seconds,
                session=session,
                points=1 if where == (CPU,) else points,
            )
            self.jobs[new.id] = new
            self.waiting.add(new.id)
            if speculative:
                self.speculative.add(new.id)
            made.append(new)
        self.perform(Submitted(tuple(made)))
        for new in made:
            if new.loop_id is not None:
                pin = self.scheduler.explanation(new.loop_id).backend
                assert self.loop_places.setdefault(new.loop_id, pin) == pin
                self.placed[new.id] = pin

    @precondition(lambda self: {"x", "y"} & set(self.loop_places))
    @rule(data=st.data(), shift=st.sampled_from([0.0, -0.3, -30.0, None]))
    def recalibrate(self, data: st.DataObject, shift: float | None) -> None:
        """A loop's backend has a new calibration, or has failed it (None): it may move."""
        loop = data.draw(st.sampled_from(sorted({"x", "y"} & set(self.loop_places))))
        here = self.loop_places[loop]
        there = "b" if here == "a" else "a"
        before = CircuitProfile(here, 2, 1, 1, (0, 1), 1.0, True, ln_gates=-0.1)
        after = replace(before, ln_gates=-0.1 + (shift or 0.0))
        other = replace(before, backend=there)
        profiles = (after, other) if shift is not None else (other,)
        event = LoopReconsidered(loop, before, profiles, has_failed=shift is None)
        self.perform(event)
        self.loop_places[loop] = self.scheduler.explanation(loop).backend
        if shift in (0.0, None):
            assert self.loop_places[loop] == (here if shift == 0.0 else there)

    @precondition(lambda self: self.last_id > 6)
    @rule(loop=st.sampled_from(["x", "y", "x on a", "y on a"]))
    def close(self, loop: str) -> None:
        """A loop submits nothing more; one of its name that comes later is a new one."""
        self.loop_places.pop(loop, None)
        self.perform(LoopClosed(loop))

    @rule(place=st.sampled_from(["a", "b"]), riders=st.integers(1, 4), session=st.integers(1, 2))
    def submit_with_riders(self, place: str, riders: int, session: int) -> None:
        host = self.last_id + 1
        made = [job(host, place, session=session)]
        for _ in range(riders):
            made.append(
                job(host + len(made), place, speculative=True, rides_with=host, session=session)
            )
            self.speculative.add(made[-1].id)
        self.last_id += len(made)
        self.jobs.update({new.id: new for new in made})
        self.waiting.update(new.id for new in made)
        self.perform(Submitted(tuple(made)))

    @precondition(lambda self: self.running)
    @rule(data=st.data(), mode=st.sampled_from(["ok", "ok", "some fail", "round fails"]))
    def end_attempt(self, data: st.DataObject, mode: str) -> None:
        attempt_id = data.draw(st.sampled_from(sorted(self.running)))
        attempt = self.running.pop(attempt_id)
        self.paused.discard(attempt_id)
        failed: tuple[int, ...] = ()
        if mode == "some fail":
            failed = attempt.job_ids[:1]
        elif mode == "round fails":
            failed = attempt.job_ids
            if len(failed) > 1:
                self.waiting |= set(failed) - self.cancelled
                self.reordered |= set(failed)
                for job_id in failed:
                    self.rests.pop(job_id, None)
        self.go_on(attempt, failed)
        usage = {job_id: Usage(qpu_seconds=0.3, cpu_seconds=0.2) for job_id in attempt.job_ids}
        self.perform(AttemptEnded(attempt_id, failed, mode == "round fails", usage))

    def go_on(self, attempt: Dispatch, failed: tuple[int, ...] = ()) -> None:
        """What is left of the jobs that were cut waits again."""
        for job_id in attempt.job_ids:
            left = self.rests.pop(job_id, None)
            if left is not None and job_id not in self.cancelled | set(failed):
                self.left_of[job_id] = left
                self.waiting.add(job_id)
                self.reordered.add(job_id)

    @rule(loop=st.sampled_from(["x", "y"]), rounds=st.integers(1, 4))
    def iterate(self, loop: str, rounds: int) -> None:
        """A loop that submits, waits and submits again; whatever else runs meanwhile ends too."""
        for _ in range(rounds):
            self.last_id += 1
            new = job(self.last_id, "a", loop=f"{loop} on a", seconds=0.3, session=3)
            self.jobs[new.id] = new
            self.waiting.add(new.id)
            self.perform(Submitted((new,)))
            for _ in range(200):
                attempt_id = next((i for i, d in self.running.items() if d.place == "a"), None)
                if new.id not in self.waiting and all(
                    new.id not in d.job_ids for d in self.running.values()
                ):
                    break
                if attempt_id is None:
                    self.wake("a")
                    continue
                attempt = self.running.pop(attempt_id)
                self.go_on(attempt)
                usage = {job_id: Usage(qpu_seconds=0.3) for job_id in attempt.job_ids}
                self.perform(AttemptEnded(attempt_id, usage=usage))
                while self.undelivered:
                    self.perform(Delivered((self.undelivered.pop(0),)))
            else:
                raise AssertionError("a loop's job never ran")

    @precondition(lambda self: self.wakes)
    @rule(data=st.data())
    def wake_somewhere(self, data: st.DataObject) -> None:
        self.wake(data.draw(st.sampled_from(sorted(self.wakes))))

    def wake(self, place: str) -> None:
        """The instant comes until which a place is kept free."""
        self.now = max(self.now, self.wakes.pop(place))
        self.perform(Woken(place))

    @precondition(lambda self: self.undelivered)
    @rule()
    def deliver(self) -> None:
        self.perform(Delivered((self.undelivered.pop(0),)))

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        job_id = data.draw(st.sampled_from(sorted(self.jobs)))
        if job_id not in self.ended:
            self.cancelled.add(job_id)
            self.waiting.discard(job_id)
        self.perform(Cancelled((job_id,)))

    @precondition(lambda self: self.speculative)
    @rule(data=st.data())
    def promote(self, data: st.DataObject) -> None:
        job_id = data.draw(st.sampled_from(sorted(self.speculative)))
        self.speculative.discard(job_id)
        self.reordered.add(job_id)
        self.perform(Promoted((job_id,)))

    @precondition(lambda self: any(d.place == CPU for d in self.running.values()))
    @rule(data=st.data())
    def pause_or_resume(self, data: st.DataObject) -> None:
        steps = sorted(i for i, d in self.running.items() if d.place == CPU)
        attempt_id = data.draw(st.sampled_from(steps))
        if attempt_id in self.paused:
            self.paused.discard(attempt_id)
            self.perform(StepResumed(attempt_id))
        else:
            self.paused.add(attempt_id)
            self.perform(StepPaused(attempt_id))

    @invariant()
    def books_are_consistent(self) -> None:
        if hasattr(self, "scheduler"):
            self.scheduler.check_invariants()

    def teardown(self) -> None:
        if not hasattr(self, "scheduler"):
            return
        while self.running or self.undelivered or (self.waiting and self.wakes):
            if self.undelivered:
                self.perform(Delivered((self.undelivered.pop(),)))
            elif not self.running:
                self.wake(min(self.wakes))
            else:
                attempt = self.running.pop(min(self.running))
                self.go_on(attempt)
                self.perform(AttemptEnded(attempt.attempt_id))
        assert not self.waiting
        assert self.ended | self.cancelled == set(self.jobs), "a job was lost"
        self.scheduler.check_invariants()


SchedulerMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=40)
TestSchedulerMachine = SchedulerMachine.TestCase
