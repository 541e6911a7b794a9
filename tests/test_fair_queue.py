"""Dual-resource fair queueing, driven through the scheduler on simulated time."""

from __future__ import annotations

import heapq
import itertools
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import efaas
from efaas.errors import InputError
from efaas.model.job import CPU, Demand, Job, Usage
from efaas.policies.fair_queue import FairQueue
from efaas.policies.fair_settings import FairSettings
from efaas.policies.orderings import ORDERINGS, Surroundings
from efaas.policies.paper_priority import PaperPriority
from efaas.scheduler import (
    AttemptEnded,
    Cancelled,
    Delivered,
    Dispatch,
    Place,
    Resolve,
    Scheduler,
    Submitted,
    Wake,
    Woken,
)

NO_AGEING = FairSettings(max_overtakes=10**9, max_wait_seconds=1e12)


@dataclass
class Ran:
    """A job's start and end on its place."""

    job: Job
    place: str
    start: float
    end: float


@dataclass
class Simulation:
    """A scheduler on places whose attempts take the true time of their jobs."""

    places: tuple[str, ...] = ("qpu",)
    settings: FairSettings = NO_AGEING
    ordering: str = "fair"
    cpu_slots: int = 1
    batch_limit: int = 1
    now: float = 0.0
    ran: list[Ran] = field(default_factory=list)
    is_booked: bool = True  # the scheduler knows all that runs

    def __post_init__(self) -> None:
        fair = self.settings if self.ordering == "fair" else None
        around = Surroundings(self.places, cpu_slots=self.cpu_slots, settings=fair)
        self.order = ORDERINGS[self.ordering](around)
        specs = {name: Place(batch_limit=self.batch_limit) for name in self.places}
        self.scheduler = Scheduler(specs | {CPU: Place(self.cpu_slots)}, ordering=self.order)
        self.seconds: dict[int, float] = {}
        self.jobs: dict[int, Job] = {}
        self.finished: dict[int, Callable[[], None]] = {}
        self.events: list[tuple[float, int, object]] = []
        self.ids = itertools.count(1)
        self.order_of_events = itertools.count()
        self.started_at: dict[int, float] = {}
        self.submitted_at: dict[int, float] = {}
        self.running: dict[int, tuple[str, tuple[int, ...]]] = {}

    def submit(
        self,
        tenant: str = "ada",
        seconds: float = 1.0,
        *,
        declared: float | None = None,
        place: str = "qpu",
        session: int = 1,
        weight: float = 1.0,
        loop: str | None = None,
        speculative: bool = False,
        finished: Callable[[], None] | None = None,
    ) -> int:
        said = seconds if declared is None else declared
        demand = Demand(cpu_seconds=said) if place == CPU else Demand(qpu_seconds=said)
        job = Job(
            next(self.ids),
            session,
            tenant,
            (place,),
            loop,
            speculative=speculative,
            demand=demand,
            weight=weight,
        )
        self.jobs[job.id] = job
        self.seconds[job.id] = seconds
        self.submitted_at[job.id] = self.now
        if finished is not None:
            self.finished[job.id] = finished
        self.perform(Submitted((job,)))
        return job.id

    def at(self, when: float, what: Callable[[], None]) -> None:
        heapq.heappush(self.events, (when, next(self.order_of_events), what))

    def perform(self, event: object) -> None:
        for action in self.scheduler.handle(event, self.now):  # type: ignore[arg-type]
            match action:
                case Dispatch(attempt_id, place, job_ids):
                    seconds = sum(self.seconds[job_id] for job_id in job_ids)
                    self.running[attempt_id] = (place, job_ids)
                    for job_id in job_ids:
                        self.started_at[job_id] = self.now
                    self.at(self.now + seconds, lambda a=attempt_id: self.end(a))
                case Wake(place, at):
                    self.at(at, lambda p=place: self.perform(Woken(p)))
                case Resolve(job_id):
                    if job_id in self.finished:
                        self.at(self.now, self.finished[job_id])

    def end(self, attempt_id: int) -> None:
        place, job_ids = self.running.pop(attempt_id)
        start = self.started_at[job_ids[0]]
        for job_id in job_ids:
            self.ran.append(Ran(self.jobs[job_id], place, start, self.now))
        usage = {
            i: Usage(cpu_seconds=self.seconds[i])
            if place == CPU
            else Usage(qpu_seconds=self.seconds[i])
            for i in job_ids
        }
        self.perform(AttemptEnded(attempt_id, usage=usage))
        self.perform(Delivered(job_ids))
        if self.is_booked:
            self.scheduler.check_invariants()

    def run(self, until: float = 1e9) -> None:
        while self.events and self.events[0][0] <= until:
            when, _, what = heapq.heappop(self.events)
            self.now = max(self.now, when)
            what()  # type: ignore[operator]
        self.now = max(self.now, min(until, 1e8))

    def service(self, by: Callable[[Job], object], until: float = 1e9) -> Counter[object]:
        total: Counter[object] = Counter()
        for it in self.ran:
            if it.end <= until:
                total[by(it.job)] += self.seconds[it.job.id]  # type: ignore[assignment]
        return total

    def loop(
        self, name: str, rounds: int, *, quantum: float, think: float, tenant: str, session: int
    ) -> list[float]:
        """An optimizer: a job, its result, thinking, the next. Returns its waits, as they come."""
        waits: list[float] = []

        def step(left: int) -> None:
            asked_at = self.now

            def done() -> None:
                waits.append(self.now - quantum - asked_at)
                if left > 1:
                    self.at(self.now + think, lambda: step(left - 1))

            self.submit(tenant, quantum, loop=name, session=session, finished=done)

        self.at(self.now, lambda: step(rounds))
        return waits


lengths = st.floats(0.05, 8.0)


@settings(max_examples=60, deadline=None)
@given(
    devices=st.integers(1, 3),
    flows=st.lists(
        st.tuples(st.sampled_from([1.0, 2.0, 4.0]), st.lists(lengths, min_size=3)),
        min_size=2,
        max_size=5,
    ),
    error=st.floats(0.5, 2.0),
)
def test_backlogged_tenants_get_service_by_weight(
    devices: int, flows: list[tuple[float, list[float]]], error: float
) -> None:
    """Against a fluid server that gives each its weight at every instant.

    The bound, for M devices and the longest job L_i of each: (M + 1) (L_i / w_i + L_j / w_j).
    """
    names = tuple(f"qpu {d}" for d in range(devices))
    simulation = Simulation(places=names)
    longest = {}
    for tenant, (weight, jobs) in enumerate(flows):
        longest[str(tenant)] = max(jobs) / weight
        for seconds in itertools.islice(itertools.cycle(jobs), 150):
            job = Job(
                next(simulation.ids),
                tenant,
                str(tenant),
                names,
                demand=Demand(seconds * error),
                weight=weight,
            )
            simulation.jobs[job.id] = job
            simulation.seconds[job.id] = seconds
            heapq.heappush(
                simulation.events, (0.0, job.id, lambda j=job: simulation.perform(Submitted((j,))))
            )
    simulation.run()
    left = Counter(job.tenant for job in simulation.jobs.values())
    backlogged_until = float("inf")
    for it in sorted(simulation.ran, key=lambda it: it.start):
        left[it.job.tenant] -= 1
        if not left[it.job.tenant]:
            backlogged_until = min(backlogged_until, it.start)
    weights = {str(t): weight for t, (weight, _) in enumerate(flows)}
    served: dict[str, float] = defaultdict(float)
    for it in sorted(simulation.ran, key=lambda it: it.end):
        if it.end > backlogged_until:
            break
        served[it.job.tenant] += simulation.seconds[it.job.id] / weights[it.job.tenant]
        for one, other in itertools.combinations(longest, 2):
            bound = (devices + 1) * (longest[one] + longest[other]) * max(1.0, error)
            assert abs(served[one] - served[other]) <= bound + 1e-9


def test_shares_follow_the_weights() -> None:
    simulation = Simulation()
    for weight, tenant in ((1.0, "ada"), (2.0, "bob"), (4.0, "eve")):
        for _ in range(300):
            simulation.submit(tenant, 1.0, weight=weight, session=int(weight))
    simulation.run(until=350.0)
    service = simulation.service(lambda job: job.tenant)
    assert service["ada"] == pytest.approx(50, abs=2)
    assert service["bob"] == pytest.approx(100, abs=2)
    assert service["eve"] == pytest.approx(200, abs=2)


def test_splitting_into_sessions_gains_nothing() -> None:
    simulation = Simulation()
    for index in range(400):
        simulation.submit("one session", 1.0, session=1)
        simulation.submit("many sessions", 1.0, session=2 + index % 8)
    simulation.run(until=200.0)
    service = simulation.service(lambda job: job.tenant)
    assert abs(service["one session"] - service["many sessions"]) <= 2.0
    inside = simulation.service(lambda job: job.session_id)
    assert max(inside[s] for s in range(2, 10)) - min(inside[s] for s in range(2, 10)) <= 2.0


@settings(max_examples=60, deadline=None)
@given(
    factors=st.lists(st.sampled_from([0.0, 0.01, 0.5, 1.0, 3.0, 100.0]), min_size=1, max_size=4),
    weights=st.lists(st.sampled_from([1.0, 2.0, 4.0]), min_size=2, max_size=4),
    quantum=st.sampled_from([0.25, 1.0, 4.0]),
)
@example(factors=[0.01], weights=[1.0, 1.0], quantum=1.0)
@example(factors=[100.0], weights=[1.0, 1.0], quantum=1.0)
def test_a_false_declaration_pays_for_one_job_at_the_most(
    factors: list[float], weights: list[float], quantum: float
) -> None:
    """The first tenant's service is its share, and one job, whatever it declares in turn.

    All are backlogged, and the share is by weight. A job of another tenant's may be under way when
    the time is up, which is not counted.
    """
    simulation = Simulation()
    for index in range(120):
        for session, weight in enumerate(weights):
            is_liar = session == 0
            seconds = quantum if is_liar else 1.0
            declared = factors[index % len(factors)] * quantum if is_liar else seconds
            simulation.submit(
                f"tenant {session}", seconds, declared=declared, session=session, weight=weight
            )
    simulation.run(until=60.0)
    share = 60.0 * weights[0] / sum(weights)
    assert simulation.service(lambda job: job.tenant)["tenant 0"] <= share + quantum + 1e-9


def test_an_idle_tenant_banks_nothing_and_a_newcomer_is_served_at_once() -> None:
    simulation = Simulation()
    for _ in range(500):
        simulation.submit("busy", 1.0, session=1)
    first = simulation.submit("early", 1.0, session=2)
    simulation.run(until=200.0)
    assert simulation.started_at[first] <= 1.0
    late = [simulation.submit("early", 1.0, session=2) for _ in range(100)]
    new = [simulation.submit("new", 1.0, session=3) for _ in range(100)]
    simulation.run(until=260.0)
    assert simulation.started_at[late[0]] <= 203.0
    assert simulation.started_at[new[0]] <= 203.0
    served = Counter(it.job.tenant for it in simulation.ran if it.start >= 200.0)
    assert max(served.values()) - min(served.values()) <= 2


def test_who_had_a_device_alone_owes_little_to_who_comes_later() -> None:
    simulation = Simulation(places=("a", "b"))
    for _ in range(3000):
        simulation.submit("alone", 1.0, place="a", session=1)
    for tenant in ("x", "y"):
        for _ in range(3000):
            simulation.submit(tenant, 1.0, place="b", session=2)
    simulation.run(until=1000.0)
    for _ in range(3000):
        simulation.submit("new", 1.0, place="a", session=3)
    simulation.run(until=1400.0)
    recent = Counter(it.job.tenant for it in simulation.ran if it.place == "a" and it.start > 1000)
    assert recent["alone"] >= 100  # of 400: it waits for most_lead_seconds, on two devices


def test_cpu_time_counts_against_qpu_time_only_beyond_a_bound() -> None:
    simulation = Simulation(
        settings=FairSettings(max_overtakes=10**9, max_wait_seconds=1e9, most_lead_seconds=5.0)
    )
    for _ in range(400):
        for tenant in ("both", "other"):
            simulation.submit(tenant, 1.0, place=CPU, weight=1.0)
    for _ in range(400):
        simulation.submit("both", 1.0)
        simulation.submit("quantum", 1.0)
    simulation.run(until=300.0)
    service = Counter(it.job.tenant for it in simulation.ran if it.place == "qpu")
    assert abs(service["both"] - service["quantum"]) <= 12


@settings(max_examples=40, deadline=None)
@given(
    max_overtakes=st.integers(1, 20),
    arrivals=st.lists(
        st.tuples(
            st.floats(0.0, 3.0), st.sampled_from("abcd"), lengths, st.sampled_from([None, "loop"])
        ),
        min_size=5,
        max_size=120,
    ),
    batch_limit=st.integers(1, 5),
)
def test_no_job_is_overtaken_too_often_and_all_start_in_time(
    max_overtakes: int,
    arrivals: list[tuple[float, str, float, str | None]],
    batch_limit: int,
) -> None:
    """Whoever submits what and when: the bound on a wait follows from the settings.

    Once it has waited for ``max_wait_seconds``, only older jobs go before it, and what runs.
    """
    max_wait = 25.0
    simulation = Simulation(
        settings=FairSettings(max_overtakes=max_overtakes, max_wait_seconds=max_wait),
        batch_limit=batch_limit,
    )
    when = 0.0
    for gap, tenant, seconds, loop in arrivals:
        when += gap
        simulation.at(
            when,
            lambda t=tenant, s=seconds, n=loop: simulation.submit(
                t, s, session=ord(t), loop=n and f"{n} of {t}"
            ),
        )
    simulation.run()
    assert len(simulation.ran) == len(arrivals)
    starts = sorted(simulation.ran, key=lambda it: (it.start, it.job.id))
    longest = max(seconds for _, _, seconds, _ in arrivals)
    for it in simulation.ran:
        submitted_at = simulation.submitted_at[it.job.id]
        overtakers = [o for o in starts if o.start < it.start and o.job.id > it.job.id]
        assert len(overtakers) <= max_overtakes
        older = sum(
            simulation.seconds[o.job.id]
            for o in starts
            if o.job.id < it.job.id and o.end > submitted_at + max_wait
        )
        hold = simulation.settings.max_hold_seconds
        assert it.start - submitted_at <= max_wait + older + batch_limit * longest + hold + 1e-6


def test_a_loop_that_iterates_does_not_wait_behind_a_batch() -> None:
    simulation = Simulation(settings=FairSettings())
    for _ in range(200):
        simulation.submit("batch", 2.0, session=1)
    waits = simulation.loop("vqe", 40, quantum=0.5, think=0.2, tenant="ada", session=2)
    simulation.run()
    assert len(waits) == 40
    assert sum(waits[5:]) / len(waits[5:]) < 0.2
    assert simulation.order.held_seconds["qpu"] > 0  # type: ignore[attr-defined]


def test_a_batch_cannot_pretend_to_be_a_loop() -> None:
    simulation = Simulation(settings=FairSettings())
    for _ in range(50):
        simulation.submit("pretender", 1.0, loop="no loop", session=1)
        simulation.submit("honest", 1.0, session=2)
    simulation.run(until=40.0)
    service = simulation.service(lambda job: job.tenant)
    assert abs(service["pretender"] - service["honest"]) <= 2.0


def test_a_loop_gives_its_slot_back_when_it_is_used_up() -> None:
    simulation = Simulation(settings=FairSettings(slot_seconds=10.0))
    waits = simulation.loop("long", 100, quantum=1.0, think=0.1, tenant="ada", session=1)
    for _ in range(100):
        simulation.submit("batch", 1.0, session=2)
    simulation.run(until=150.0)
    service = simulation.service(lambda job: job.tenant)
    assert len(waits) > 50
    assert service["batch"] > 30


def test_short_jobs_fill_the_gaps_of_a_loop_that_thinks() -> None:
    simulation = Simulation(settings=FairSettings())
    waits = simulation.loop("vqe", 60, quantum=1.0, think=1.0, tenant="ada", session=1)
    for _ in range(200):
        simulation.submit("short", 0.2, session=2)
    simulation.run(until=120.0)
    between = [it for it in simulation.ran if it.job.tenant == "short"]
    assert len(between) >= 150
    assert sum(waits[5:]) / len(waits[5:]) < 0.2


def test_a_device_is_not_held_for_a_loop_whose_return_cannot_be_told() -> None:
    simulation = Simulation(settings=FairSettings())
    thoughts = itertools.cycle([0.01, 4.0, 25.0, 0.01, 9.0])

    def step(left: int) -> None:
        def done() -> None:
            if left:
                simulation.at(simulation.now + next(thoughts), lambda: step(left - 1))

        simulation.submit("ada", 0.1, loop="erratic", session=1, finished=done)

    step(60)
    for _ in range(300):
        simulation.submit("batch", 1.0, session=2)
    simulation.run()
    end = max(it.end for it in simulation.ran if it.job.tenant == "batch")
    held = simulation.order.held_seconds["qpu"]  # type: ignore[attr-defined]
    assert held < 0.2 * end


def test_rounds_of_a_batch_are_cut_where_a_loop_may_want_to_go() -> None:
    simulation = Simulation(settings=FairSettings(max_round_seconds=3.0), batch_limit=100)
    waits = simulation.loop("vqe", 40, quantum=0.5, think=8.0, tenant="ada", session=1)
    simulation.run(until=30.0)
    for _ in range(500):
        simulation.submit("batch", 0.5, session=2)
    simulation.run()
    assert len(waits) == 40
    rounds = {it.start: it.end - it.start for it in simulation.ran if it.job.tenant == "batch"}
    while_looping = [seconds for start, seconds in rounds.items() if 40.0 < start < 200.0]
    assert while_looping
    assert max(while_looping) <= 3.0
    assert max(waits[8:]) <= 3.0


def test_loops_of_a_session_share_the_rounds_of_the_one_in_its_slot() -> None:
    """Twelve loops of twenty steps on one device: two rounds a step at the most, not twelve."""
    sharing = Simulation(settings=FairSettings(), batch_limit=64)
    apart = Simulation(settings=FairSettings(), batch_limit=64)
    for index in range(12):
        for simulation, session in ((sharing, 1), (apart, index)):
            simulation.loop(
                f"loop {index}", 20, quantum=0.5, think=0.1, tenant="ada", session=session
            )
    sharing.run()
    apart.run()
    assert len({it.start for it in sharing.ran}) <= 40
    assert len({it.start for it in apart.ran}) > 200


def test_loops_share_no_round_where_a_loop_of_another_session_has_a_slot() -> None:
    simulation = Simulation(settings=FairSettings(), batch_limit=64)
    for index in range(4):
        simulation.loop(f"loop {index}", 40, quantum=0.5, think=0.1, tenant="ada", session=1)
    waits = simulation.loop("bob's", 40, quantum=0.5, think=0.1, tenant="bob", session=2)
    simulation.run()
    assert max(waits[-20:]) <= 2.0  # a job of each of the others at the most


def test_speculative_jobs_are_paid_for_and_only_run_where_nobody_else_would() -> None:
    simulation = Simulation()
    for _ in range(50):
        simulation.submit("guesser", 1.0, session=1, speculative=True)
    for _ in range(20):
        simulation.submit("other", 1.0, session=2)
    simulation.run(until=21.5)
    assert simulation.service(lambda job: job.tenant)["other"] >= 19
    simulation.run()
    shares = simulation.order._tenants  # type: ignore[attr-defined]
    assert shares.finish("guesser", 0) >= 49


@settings(max_examples=60, deadline=None)
@given(
    ordering=st.sampled_from(sorted(ORDERINGS)),
    arrivals=st.lists(
        st.tuples(
            st.floats(0.0, 4.0),
            st.sampled_from("ab"),
            lengths,
            st.sampled_from([None, "loop"]),
            st.integers(0, 3),
        ),
        min_size=3,
        max_size=40,
    ),
)
def test_guesses_that_wait_change_no_turn_of_a_committed_job(
    ordering: str, arrivals: list[tuple[float, str, float, str | None, int]]
) -> None:
    """Committed jobs start when and in the order in which they do without any guesses.

    The guesses are withdrawn before the place is free, as where each turns out wrong: they never
    run, so there is no running attempt to account for.
    """

    def starts(*, with_guesses: bool) -> list[tuple[int, float]]:
        simulation = Simulation(ordering=ordering, settings=FairSettings())
        named: dict[int, int] = {}

        def go(index: int) -> None:
            _, tenant, seconds, loop, guesses = arrivals[index]
            named[
                simulation.submit(
                    tenant, seconds, session=ord(tenant), loop=loop and f"{loop} of {tenant}"
                )
            ] = index
            made = [
                simulation.submit(who, 1.0, session=ord(who), speculative=True)
                for who in ("a", "b", "g")[: guesses if with_guesses else 0]
            ]
            # The place was given to the committed job, or was busy: none of these has begun.
            simulation.perform(Cancelled(tuple(made)))

        when = 0.0
        for index, (gap, *_) in enumerate(arrivals):
            when += gap
            simulation.at(when, lambda index=index: go(index))  # type: ignore[misc]
        simulation.run()
        begun = [(named[i], at) for i, at in simulation.started_at.items() if i in named]
        return sorted(begun, key=lambda it: (it[1], it[0]))

    assert starts(with_guesses=True) == starts(with_guesses=False)


@settings(max_examples=60, deadline=None)
@given(
    ordering=st.sampled_from(sorted(ORDERINGS)),
    devices=st.integers(1, 2),
    arrivals=st.lists(
        st.tuples(st.floats(0.0, 4.0), st.sampled_from("ab"), lengths, st.booleans()),
        min_size=3,
        max_size=60,
    ),
)
def test_speculation_delays_no_committed_job_by_more_than_a_running_attempt(
    ordering: str, devices: int, arrivals: list[tuple[float, str, float, bool]]
) -> None:
    """While a committed job waits, no guess starts where it could run.

    So only guesses that ran when it came are ahead of it: one at each place.
    """
    names = tuple(f"qpu {index}" for index in range(devices))
    simulation = Simulation(places=names, ordering=ordering, settings=FairSettings())
    when = 0.0
    for index, (gap, tenant, seconds, speculative) in enumerate(arrivals):
        when += gap
        place = names[index % devices]
        simulation.at(
            when,
            lambda t=tenant, s=seconds, g=speculative, p=place: simulation.submit(  # type: ignore[misc]
                t, s, session=ord(t), speculative=g, place=p
            ),
        )
    simulation.run()
    for it in simulation.ran:
        if it.job.speculative:
            continue
        came = simulation.submitted_at[it.job.id]
        between = [
            o
            for o in simulation.ran
            if o.job.speculative and o.place == it.place and came < o.start < it.start
        ]
        assert not between


@dataclass
class Unseen(Simulation):
    """The same devices, but what guesses do there is unknown to the scheduler.

    A device turns to its guesses, one after the other, where it has nothing else to do: no
    committed job waits for it, it is not kept for a loop, and no result is on its way. It takes
    no other job meanwhile, as one that is out of order.
    """

    guesses: dict[str, list[int]] = field(default_factory=dict)

    def guess(self, seconds: float, place: str) -> None:
        guess_id = next(self.ids)
        self.seconds[guess_id] = seconds
        self.guesses.setdefault(place, []).append(guess_id)
        self.turn_to_guesses()

    def perform(self, event: object) -> None:
        super().perform(event)
        self.turn_to_guesses()

    def turn_to_guesses(self) -> None:
        scheduler = self.scheduler
        for place, waiting in self.guesses.items():
            is_free = not scheduler._busy[place] and not scheduler._crowds[place].jobs
            if not waiting or not is_free or scheduler._undelivered:
                continue
            if self.order.held_until(place) is None:
                guess_id = waiting.pop(0)
                self.started_at[guess_id] = self.now
                scheduler._busy[place] = 1
                end = self.now + self.seconds[guess_id]
                self.at(end, lambda place=place: self.come_back(place))  # type: ignore[misc]

    def come_back(self, place: str) -> None:
        self.scheduler._busy[place] = 0
        super().perform(Woken(place))
        self.turn_to_guesses()


@settings(max_examples=100, deadline=None)
@given(
    ordering=st.sampled_from(sorted(ORDERINGS)),
    devices=st.integers(1, 2),
    loops=st.integers(0, 2),
    arrivals=st.lists(
        st.tuples(
            st.floats(0.0, 4.0), st.sampled_from(["a", "b", "guess"]), lengths, st.integers(0, 1)
        ),
        min_size=3,
        max_size=60,
    ),
)
def test_guesses_that_run_change_nothing_beyond_the_device_time_that_they_take(
    ordering: str, devices: int, loops: int, arrivals: list[tuple[float, str, float, int]]
) -> None:
    """All jobs start when they do on devices that are out of order while guesses run.

    The guesses are those of a tenant of their own: whoever launches them pays for them.
    """
    names = ("qpu", "other")[:devices]

    def starts(simulation: Simulation) -> dict[int, float]:
        def go(tenant: str, seconds: float, place: str) -> None:
            if tenant != "guess":
                simulation.submit(tenant, seconds, session=ord(tenant), place=place)
            elif isinstance(simulation, Unseen):
                simulation.guess(seconds, place)
            else:
                simulation.submit("guess", seconds, session=3, place=place, speculative=True)

        for index in range(loops):
            simulation.loop(f"loop {index}", 8, quantum=1.0, think=0.3, tenant="a", session=index)
        when = 0.0
        for gap, tenant, seconds, device in arrivals:
            when += gap
            place = names[device % devices]
            simulation.at(
                when,
                lambda t=tenant, s=seconds, p=place: go(t, s, p),  # type: ignore[misc]
            )
        simulation.run()
        assert len(simulation.started_at) == len(arrivals) + 8 * loops
        return simulation.started_at

    fair = FairSettings()
    seen = starts(Simulation(names, fair, ordering))
    assert seen == starts(Unseen(names, fair, ordering, is_booked=False))


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from(sorted(ORDERINGS)),
    st.lists(st.tuples(st.floats(0, 2), lengths, st.sampled_from("abc")), min_size=1, max_size=40),
    st.sampled_from([2.0, 8.0]),
)
def test_times_may_be_scaled(
    ordering: str, arrivals: list[tuple[float, float, str]], factor: float
) -> None:
    """All times multiplied: the same schedule multiplied, as the clock's unit does not matter."""
    if ordering == "paper":
        return  # its weights have units

    def order(scale: float) -> list[int]:
        settings = FairSettings(
            max_overtakes=1000,
            **{
                name: getattr(FairSettings(), name) * scale
                for name in (
                    "max_wait_seconds",
                    "loop_idle_seconds",
                    "slot_seconds",
                    "max_hold_seconds",
                    "max_round_seconds",
                    "most_lead_seconds",
                )
            },
        )
        simulation = Simulation(ordering=ordering, settings=settings)
        when = 0.0
        for gap, seconds, tenant in arrivals:
            when += gap
            simulation.at(
                when * scale,
                lambda s=seconds, t=tenant: simulation.submit(t, s * scale, session=ord(t)),
            )
        simulation.run()
        return [it.job.id for it in simulation.ran]

    assert order(1.0) == order(factor)


def test_the_papers_weights_decide_the_order() -> None:
    """Under contention each of alpha, beta and gamma changes who goes first."""

    def first(now: float, **weights: float) -> int:
        order = PaperPriority(**weights)
        shot = Job(0, 1, "ada", ("qpu",), "fresh")
        order.ended(shot, "qpu", Usage(), now - 1.0)
        order.add(Job(1, 1, "ada", ("qpu",)), 0.0)
        order.add(Job(2, 2, "bob", ("qpu",), "stale"), now - 2.0)
        order.add(Job(3, 3, "eve", ("qpu",), "fresh"), now - 1.0)
        return order.take("qpu", 1, now)[0].id

    assert first(50.0) == 3
    assert first(50.0, beta=0.0) == 2
    assert first(50.0, alpha=0.0) == 1
    assert first(50.0, alpha=0.0, gamma=0.0) == 3
    assert first(200.0) == 1


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"max_overtakes": 0}, "max_overtakes"),
        ({"max_overtakes": 2.5}, "whole number"),
        ({"max_overtakes": True}, "whole number"),
        ({"max_wait_seconds": "soon"}, "max_wait_seconds must be a number"),
        ({"max_utilisation": 0.0}, "max_utilisation"),
        ({"loop_idle_seconds": -1.0}, "loop_idle_seconds"),
        ({"max_round_seconds": float("nan")}, "max_round_seconds"),
        ({"max_wait_seconds": 0.0}, "max_wait_seconds"),
        ({"max_wait_seconds": float("nan")}, "max_wait_seconds"),
        ({"slot_seconds": -1.0}, "slot_seconds"),
        ({"max_hold_seconds": float("inf")}, "max_hold_seconds"),
        ({"max_hold_seconds": 40.0}, "loop_idle_seconds"),
        ({"most_lead_seconds": -1.0}, "most_lead_seconds"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(
    wrong: dict[str, float], told: str
) -> None:
    with pytest.raises(InputError, match=told):
        FairSettings(**wrong)  # type: ignore[arg-type]


def test_what_is_remembered_stays_bounded() -> None:
    queue = FairQueue(("qpu",))
    for index in range(20_000):
        job = Job(index + 1, index, f"tenant {index}", ("qpu",), demand=Demand(1.0))
        queue.add(job, float(index))
        if index % 2:
            queue.discard(job.id)
        else:
            [taken] = queue.take("qpu", 1, float(index))
            queue.started([taken], "qpu", float(index))
            queue.ended(taken, "qpu", Usage(qpu_seconds=1.0), index + 0.5)
    assert len(queue) == 0
    assert len(queue._tenants) < 3000


def test_guesses_of_a_loop_in_its_slot_run_while_it_thinks_and_cost_it_nothing() -> None:
    simulation = Simulation(settings=FairSettings())
    waits = simulation.loop("vqe", 30, quantum=1.0, think=5.0, tenant="ada", session=1)
    for when in range(20, 140, 6):
        simulation.at(
            float(when),
            lambda: simulation.submit("ada", 0.5, loop="vqe", session=1, speculative=True),
        )
    simulation.run()
    assert len(simulation.ran) == 50
    assert max(waits) <= 0.5


@pytest.mark.parametrize("kind", [Demand, Usage])
@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -1.0])
def test_service_that_is_no_number_of_seconds_is_refused(
    kind: type[Demand] | type[Usage], wrong: float
) -> None:
    with pytest.raises(InputError, match="finite seconds of 0 or more"):
        kind(qpu_seconds=wrong)
    with pytest.raises(InputError, match="finite seconds of 0 or more"):
        kind(cpu_seconds=wrong)


@pytest.mark.parametrize("name", ["alpha", "beta", "gamma"])
@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -1.0])
def test_weights_of_the_papers_rule_that_order_nothing_are_refused(name: str, wrong: float) -> None:
    with pytest.raises(InputError, match=name):
        PaperPriority(**{name: wrong})


def test_a_loop_whose_last_job_was_cancelled_does_not_keep_its_slot() -> None:
    """Silence after a cancellation is silence as after a result."""
    queue = FairQueue(("qpu",), settings=FairSettings(loop_idle_seconds=10.0))
    now = 0.0
    for number in range(1, 5):
        queue.add(Job(number, 1, "ada", ("qpu",), "vqe", demand=Demand(1.0)), now)
        taken = queue.take("qpu", 1, now)
        queue.started(taken, "qpu", now)
        queue.ended(taken[0], "qpu", Usage(qpu_seconds=1.0), now + 1.0)
        now += 2.0
    queue.add(Job(5, 1, "ada", ("qpu",), "vqe", demand=Demand(1.0)), now)
    assert queue._loops.holds("vqe", "qpu")
    queue.discard(5)
    queue.add(Job(6, 2, "bob", ("qpu",), demand=Demand(1.0)), now + 11.0)
    assert [job.id for job in queue.take("qpu", 1, now + 11.0)] == [6]
    assert not queue._loops.holds("vqe", "qpu")


def test_a_round_that_failed_as_a_whole_is_not_iterating() -> None:
    queue = FairQueue(("qpu",))
    job = Job(1, 1, "ada", ("qpu",), "vqe", demand=Demand(1.0))
    for now in (0.0, 1.0, 2.0, 3.0):
        queue.add(job, now)
        queue.started(queue.take("qpu", 1, now), "qpu", now)
        queue.ended(job, "qpu", Usage(), now + 0.5, goes_on=True)
    assert not queue._loops.any_at("qpu")


def test_several_loops_that_think_hold_a_place_no_longer_than_one() -> None:
    """One hold after another adds up to ``max_hold_seconds`` at the most."""
    simulation = Simulation(settings=FairSettings(max_hold_seconds=2.0, max_utilisation=5.0))
    for name in "xyz":
        simulation.loop(name, 25, quantum=0.1, think=1.9, tenant="ada", session=ord(name))
    simulation.run(until=20.0)
    for _ in range(20):
        simulation.submit("batch", 30.0, session=1)
    simulation.run()
    busy = sorted((it.start, it.end) for it in simulation.ran if it.start > 21.0)
    gaps = [later[0] - earlier[1] for earlier, later in itertools.pairwise(busy)]
    assert max(gaps) <= 2.0 + 1e-9


@pytest.mark.parametrize(("most", "both"), [(FairSettings().max_utilisation, True), (0.8, False)])
def test_loops_share_a_device_as_far_as_its_time_may_be_promised(most: float, both: bool) -> None:
    """Each uses 0.57 of it: more than all of it together, less than twice."""
    queue = FairQueue(("qpu",), settings=FairSettings(max_utilisation=most, max_hold_seconds=0.0))
    now = 0.0
    for number in range(12):  # in turn, each thinking while the other runs
        name, session = (("x", 1), ("y", 2))[number % 2]
        queue.add(Job(number, session, "ada", ("qpu",), name, demand=Demand(2.0)), now)
        taken = queue.take("qpu", 1, now)
        queue.started(taken, "qpu", now)
        queue.ended(taken[0], "qpu", Usage(qpu_seconds=2.0), now + 2.0)
        now += 2.0 if number % 2 else 1.5
    assert [queue._loops.holds(name, "qpu") for name in "xy"] == [True, both]


def test_jobs_of_a_loop_that_was_closed_still_run() -> None:
    queue = FairQueue(("qpu",))
    queue.add(Job(1, 1, "ada", ("qpu",), "vqe", demand=Demand(1.0)), 0.0)
    queue.forget("vqe")
    assert [job.id for job in queue.take("qpu", 1, 1.0)] == [1]


def test_fairness_that_is_no_settings_is_refused() -> None:
    with pytest.raises(InputError, match="fairness must be a FairSettings or None"):
        efaas.EFScheduler("aer", fairness={"max_wait_seconds": 10.0})  # type: ignore[arg-type]
