"""Packetised service of the fair queue against an exact fluid server."""

from __future__ import annotations

import heapq
from collections import defaultdict
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from efaas.model.job import CPU, Demand, Job, Usage
from efaas.policies.fair_queue import FairQueue
from efaas.policies.fair_settings import FairSettings
from efaas.scheduler import AttemptEnded, Delivered, Dispatch, Event, Place, Scheduler, Submitted
from efaas.testing import FluidServer

MOST_ERROR = 4.0
# Ageing and the bound on leads are rules of their own; here the shares alone decide.
SHARES_ALONE = FairSettings(
    max_overtakes=10**9, max_wait_seconds=1e12, max_hold_seconds=0.0, most_lead_seconds=1e9
)


@dataclass(frozen=True)
class Burst:
    """Jobs of a tenant that come at once; seconds, and the prediction over the truth."""

    tenant: int
    at: float
    jobs: tuple[tuple[float, float], ...]
    is_classical: bool = False


@st.composite
def bursts(draw: st.DrawFn) -> list[Burst]:
    """Up to five tenants that come, are backlogged for a while, go, and come again."""
    made = []
    for tenant in range(draw(st.integers(2, 5))):
        at = draw(st.sampled_from([0.0, 0.0, 3.0, 20.0]))
        is_classical = draw(st.sampled_from([False, False, True]))
        for _ in range(draw(st.integers(1, 3))):
            longest = draw(st.sampled_from([0.2, 1.0, 8.0]))
            job = st.tuples(st.floats(0.05, longest), st.floats(1 / MOST_ERROR, MOST_ERROR))
            pattern = draw(st.lists(job, min_size=1, max_size=6))
            jobs = tuple(pattern * draw(st.sampled_from([1, 4, 12])))
            made.append(Burst(tenant, at, jobs, is_classical))
            at += draw(st.sampled_from([1.0, 10.0, 40.0]))
    return made


class Comparison:
    """Runs the fair queue and the fluid server side by side, for the jobs of one resource.

    Attributes:
        spread: For each tenant and backlog the greatest change, up or down, of how far the queue
            was ahead of the fluid server between any two instants of that backlog.
    """

    def __init__(self, servers: int, weights: list[float], load: list[Burst]) -> None:
        self.names = tuple(f"qpu {index}" for index in range(servers))
        places = {name: Place() for name in self.names} | {CPU: Place(slots=servers)}
        order = FairQueue(self.names, cpu_slots=servers, settings=SHARES_ALONE)
        self.scheduler = Scheduler(places, ordering=order)
        self.weights = weights
        self.now = 0.0
        self.events: list[tuple[float, int, Event | tuple[int, float, float, bool]]] = []
        self.fluid: tuple[FluidServer[int], FluidServer[int]] = (FluidServer(), FluidServer())
        self.jobs: dict[int, tuple[int, float, bool]] = {}
        self.running: dict[int, int] = {}
        self.waiting: defaultdict[tuple[int, bool], int] = defaultdict(int)
        self.served: defaultdict[tuple[int, bool], float] = defaultdict(float)
        self.backlogs: dict[tuple[int, bool], tuple[float, float]] = {}
        self.extremes: dict[tuple[int, bool], tuple[float, float]] = {}
        self.spread: dict[tuple[int, bool], float] = defaultdict(float)
        self.order = 0
        for burst in load:
            for seconds, error in burst.jobs:
                self.push(burst.at, (burst.tenant, seconds, error, burst.is_classical))

    def push(self, at: float, what: Event | tuple[int, float, float, bool]) -> None:
        self.order += 1
        heapq.heappush(self.events, (at, self.order, what))

    def run(self) -> None:
        while self.events:
            at, _, what = heapq.heappop(self.events)
            self.advance(at)
            if isinstance(what, AttemptEnded):
                job_id = self.running.pop(what.attempt_id)
                self.perform(what)
                self.perform(Delivered((job_id,)))
            else:
                self.submit(*what)  # type: ignore[misc]

    def advance(self, to: float) -> None:
        """Both serve until then; between events all is linear, so it is enough to look there."""
        for job_id in self.running.values():
            tenant, _, is_classical = self.jobs[job_id]
            self.served[tenant, is_classical] += to - self.now
        self.now = to
        for fluid in self.fluid:
            fluid.advance(to)
        for key, (served, flowed) in self.backlogs.items():
            tenant, is_classical = key
            ahead = self.served[key] - served - (self.fluid[is_classical].served(tenant) - flowed)
            low, high = self.extremes[key]
            low, high = self.extremes[key] = min(low, ahead), max(high, ahead)
            self.spread[key] = max(self.spread[key], high - low)

    def submit(self, tenant: int, seconds: float, error: float, is_classical: bool) -> None:
        job_id = len(self.jobs) + 1
        self.jobs[job_id] = tenant, seconds, is_classical
        said = seconds * error
        job = Job(
            job_id,
            tenant,
            str(tenant),
            (CPU,) if is_classical else self.names,
            demand=Demand(cpu_seconds=said) if is_classical else Demand(qpu_seconds=said),
            weight=self.weights[tenant],
        )
        self.wait(tenant, is_classical, 1)
        self.perform(Submitted((job,)))

    def wait(self, tenant: int, is_classical: bool, change: int) -> None:
        """A job more or less waits; a tenant is backlogged while any does."""
        key, fluid = (tenant, is_classical), self.fluid[is_classical]
        self.waiting[key] += change
        if self.waiting[key] and key not in self.backlogs:
            fluid.arrive(tenant, self.weights[tenant], self.now)
            self.backlogs[key] = self.served[key], fluid.served(tenant)
            self.extremes[key] = 0.0, 0.0
        elif not self.waiting[key]:
            fluid.leave(tenant, self.now)
            del self.backlogs[key], self.extremes[key]

    def perform(self, event: Event) -> None:
        for action in self.scheduler.handle(event, self.now):
            if isinstance(action, Dispatch):
                [job_id] = action.job_ids
                tenant, seconds, is_classical = self.jobs[job_id]
                self.running[action.attempt_id] = job_id
                self.wait(tenant, is_classical, -1)
                usage = Usage(cpu_seconds=seconds) if is_classical else Usage(seconds)
                end = AttemptEnded(action.attempt_id, usage={job_id: usage})
                self.push(self.now + seconds, end)
        # What the backlogged get together, the fluid server divides among them exactly.
        rates = [0, 0]
        for job_id in self.running.values():
            tenant, _, is_classical = self.jobs[job_id]
            rates[is_classical] += (tenant, is_classical) in self.backlogs
        for fluid, rate in zip(self.fluid, rates, strict=True):
            fluid.set_rate(rate, self.now)


@settings(max_examples=120, deadline=None)
@given(
    servers=st.integers(1, 4),
    weights=st.lists(st.sampled_from([0.5, 1.0, 2.0, 4.0]), min_size=5, max_size=5),
    load=bursts(),
)
def test_service_stays_within_the_bound_of_an_exact_fluid_server(
    servers: int, weights: list[float], load: list[Burst]
) -> None:
    """Theorem. While a tenant i is backlogged, over every interval, at each of two resources:

        |W_i - G_i| <= e (M + 1) (L_i + w_i max_j L_j / w_j)

    W_i is the service that the fair queue gives it on M servers, G_i that of a fluid server which
    divides, at every instant and exactly, what the backlogged get among them by weight. L is the
    longest job of a tenant, e >= 1 the greatest ratio of prediction and truth, whichever way.
    Tenants may come and go meanwhile.
    """
    both = Comparison(servers, weights, load)
    both.run()
    longest: defaultdict[tuple[int, bool], float] = defaultdict(float)
    error = 1.0
    for burst in load:
        for seconds, ratio in burst.jobs:
            key = burst.tenant, burst.is_classical
            longest[key] = max(longest[key], seconds)
            error = max(error, ratio, 1.0 / ratio)
    for (tenant, is_classical), spread in both.spread.items():
        weight = weights[tenant]
        others = max(
            seconds / weights[other]
            for (other, kind), seconds in longest.items()
            if kind == is_classical
        )
        bound = error * (servers + 1) * (longest[tenant, is_classical] + weight * others)
        assert spread <= bound + 1e-9


def test_the_comparison_notices_an_order_without_weights() -> None:
    """The same bound is far from what first come first served does."""
    load = [
        Burst(0, 0.0, ((1.0, 1.0),) * 60),
        Burst(1, 0.5, ((1.0, 1.0),) * 60),
    ]
    fair = Comparison(1, [1.0, 4.0], load)
    fair.run()
    assert max(fair.spread.values()) <= 2 * (1.0 + 4.0)
    unfair = Comparison(1, [1.0, 4.0], load)
    unfair.scheduler = Scheduler({"qpu 0": Place(), CPU: Place()})
    unfair.run()
    assert max(unfair.spread.values()) > 2 * (1.0 + 4.0)


def test_a_fluid_server_divides_by_weight_whoever_comes_and_goes() -> None:
    fluid: FluidServer[str] = FluidServer()
    fluid.set_rate(1.0, 0.0)
    fluid.arrive("ada", 1.0, 0.0)
    fluid.arrive("bob", 3.0, 4.0)
    fluid.leave("ada", 8.0)
    fluid.advance(10.0)
    assert fluid.served("ada") == pytest.approx(4.0 + 1.0)
    assert fluid.served("bob") == pytest.approx(3.0 + 2.0)
