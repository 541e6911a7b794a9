"""Loops and batch jobs of three tenants on three devices, under each order of the queue.

Run it with ``make bench`` or ``python benchmarks/contention.py [--quick]``. The scheduler is driven
on simulated time; every order gets the same load. The load is synthetic: mechanisms and orders of
magnitude, not predictions. The exit status is 1 if the fair order does not beat first come first
served on TTNS, or a batch job waits for longer than ageing allows.

TTNS, the time to next shot: from when a loop's next job is ready until it starts, without the
loop's first job. QDC, the quantum duty cycle: the share of the devices' time in which they run,
until 80 % of the loops are done. Batch wait: from submission to the end, less what the job ran.
Jain's index: of the service by weight that the tenants got while
each of them had a job to run.
"""

from __future__ import annotations

import argparse
import heapq
import math
import platform
import random
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from statistics import mean

from efaas.model.job import CPU, Demand, Job, Usage
from efaas.policies.fair_settings import FairSettings
from efaas.policies.orderings import ORDERINGS, Surroundings
from efaas.scheduler import (
    AttemptEnded,
    Delivered,
    Dispatch,
    Event,
    LoopClosed,
    LoopOpened,
    Pin,
    Place,
    Resolve,
    Scheduler,
    Submitted,
    Wake,
    Woken,
)

WEIGHTS = {"ada": 1.0, "bob": 2.0, "eve": 4.0}
DEVICES = ("north", "east", "west")
LOOPS_EACH, ITERATIONS = 4, 100
STREAM_SECONDS = 1800.0  # how long batch jobs keep coming
LOADS = (0.25, 0.60)  # of the devices' capacity, by batch jobs
POINT_SECONDS = 0.5  # of a batch job, which is a sweep of points
# By name the order, its settings, and whether batch jobs may be cut between points.
ORDERS: dict[str, tuple[str, FairSettings | None, bool]] = {
    "fifo": ("fifo", None, True),
    "paper": ("paper", None, True),
    "fair": ("fair", FairSettings(), True),
    "fair, no holding": ("fair", FairSettings(max_hold_seconds=0.0), True),
    "fair, jobs whole": ("fair", FairSettings(), False),
}


@dataclass(slots=True)
class Ran:
    """A job on a device, or a piece of one that was cut; instants and durations in seconds.

    Attributes:
        job: The job.
        seconds: How long it takes.
        submitted_at: When it was submitted, or the piece before it ended.
        place: The device.
        started_at: When it began.
        is_first: Whether it is a loop's first job.
        is_begun: Whether a piece of the job went before.
    """

    job: Job
    seconds: float
    submitted_at: float
    place: str = ""
    started_at: float = math.inf
    is_first: bool = False
    is_begun: bool = False

    @property
    def wait_seconds(self) -> float:
        """From submission to start."""
        return self.started_at - self.submitted_at

    @property
    def ended_at(self) -> float:
        """When its place was free again."""
        return self.started_at + self.seconds


class Cloud:
    """Three devices, twelve loops from the start, and a Poisson stream of batch jobs.

    Attributes:
        ran: Every job, or its pieces, in order of start.
        waits: How long each batch job waited in all, from submission to its end.
        converged_at: When each loop's last result was in.
    """

    def __init__(self, order: str, load: float, seed: int) -> None:
        """Run it to the end.

        Args:
            order: A key of ``ORDERS``.
            load: Batch jobs' share of the devices' capacity, from 0 to 1.
            seed: Of the load; the same for every order.
        """
        name, settings, self._is_divisible = ORDERS[order]
        ordering = ORDERINGS[name](Surroundings(DEVICES, settings=settings))
        places = {name: Place() for name in DEVICES} | {CPU: Place()}
        self._scheduler = Scheduler(places, ordering=ordering)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._now = 0.0
        self._order = 0
        self._by_id: dict[int, Ran] = {}  # what waits or runs of each job
        self._submitted: dict[int, tuple[float, float]] = {}  # when, and its whole service
        self.ran: list[Ran] = []
        self.waits: list[float] = []
        self._then: dict[int, Callable[[], None]] = {}
        self._pins: dict[str, str] = {}
        self.converged_at: dict[str, float] = {}
        # A tenant's loops one after the other, so that they are pinned to different devices.
        for index, tenant in enumerate(name for name in WEIGHTS for _ in range(LOOPS_EACH)):
            self._open_loop(index, tenant, random.Random(f"{seed} loop {index}"))
        self._stream(load, random.Random(f"{seed} batch"))
        while self._events:
            self._now, _, what = heapq.heappop(self._events)
            what()
        self._scheduler.check_invariants()

    def _open_loop(self, session: int, tenant: str, draw: random.Random) -> None:
        quantum, think = log_uniform(draw, 0.5, 5.0), log_uniform(draw, 0.05, 2.0)
        loop_id = f"{tenant}'s loop {session}"
        self._handle(LoopOpened(loop_id, DEVICES))

        def submit(left: int) -> None:
            seconds = quantum * jitter(draw, 0.1)
            job = self._job(tenant, session, (self._pins[loop_id],), quantum, loop_id)
            self._then[job.id] = lambda: ended(left - 1)
            self._submit(job, seconds, is_first=left == ITERATIONS)

        def ended(left: int) -> None:
            if left:
                self._at(self._now + think * jitter(draw, 0.3), lambda: submit(left))
            else:
                self.converged_at[loop_id] = self._now
                self._handle(LoopClosed(loop_id))

        self._at(draw.uniform(0.0, 1.0), lambda: submit(ITERATIONS))

    def _stream(self, load: float, draw: random.Random) -> None:
        median, sigma, longest = 8.0, 0.8, 300.0
        rate = load * len(DEVICES) / (median * math.exp(sigma**2 / 2))
        when = draw.expovariate(rate)
        while when < STREAM_SECONDS:
            seconds = min(draw.lognormvariate(math.log(median), sigma), longest)
            declared = seconds * draw.uniform(0.7, 1.3)
            tenant = draw.choice(list(WEIGHTS))

            def arrive(tenant: str = tenant, it: float = seconds, said: float = declared) -> None:
                session = 100 + list(WEIGHTS).index(tenant)
                points = math.ceil(said / POINT_SECONDS) if self._is_divisible else 1
                self._submit(self._job(tenant, session, DEVICES, said, points=points), it)

            self._at(when, arrive)
            when += draw.expovariate(rate)

    def _job(
        self,
        tenant: str,
        session: int,
        places: tuple[str, ...],
        declared: float,
        loop_id: str | None = None,
        points: int = 1,
    ) -> Job:
        number = len(self._by_id) + 1
        demand, weight = Demand(qpu_seconds=declared), WEIGHTS[tenant]
        return Job(
            number, session, tenant, places, loop_id, demand=demand, weight=weight, points=points
        )

    def _submit(self, job: Job, seconds: float, *, is_first: bool = False) -> None:
        self._by_id[job.id] = Ran(job, seconds, self._now, is_first=is_first)
        self._submitted[job.id] = self._now, seconds
        self._handle(Submitted((job,)))

    def _handle(self, event: Event) -> None:
        for action in self._scheduler.handle(event, self._now):
            match action:
                case Dispatch(attempt_id, place, (job_id,)):
                    ran = self._by_id[job_id]
                    if action.cut:
                        ran = self._cut(ran, action.cut[job_id])
                    ran.place, ran.started_at = place, self._now
                    self.ran.append(ran)
                    self._at(ran.ended_at, partial(self._end, attempt_id, ran))
                case Wake(place, at):
                    self._at(at, partial(self._handle, Woken(place)))
                case Pin(loop_id, place):
                    self._pins[loop_id] = place
                case Resolve(job_id):
                    submitted_at, seconds = self._submitted[job_id]
                    if self._by_id[job_id].job.loop_id is None:
                        self.waits.append(self._now - submitted_at - seconds)
                    self._then.pop(job_id, lambda: None)()

    def _cut(self, ran: Ran, points: int) -> Ran:
        """The next points of a job; the others will wait from when these have ended."""
        share = points / ran.job.points
        piece = replace(ran, seconds=ran.seconds * share)
        self._by_id[ran.job.id] = replace(
            ran,
            job=ran.job.part(ran.job.points - points),
            seconds=ran.seconds * (1.0 - share),
            submitted_at=self._now + piece.seconds,
            is_begun=True,
        )
        return piece

    def _end(self, attempt_id: int, ran: Ran) -> None:
        usage = {ran.job.id: Usage(qpu_seconds=ran.seconds)}
        self._handle(AttemptEnded(attempt_id, usage=usage))
        self._handle(Delivered((ran.job.id,)))

    def _at(self, when: float, what: Callable[[], None]) -> None:
        self._order += 1
        heapq.heappush(self._events, (when, self._order, what))


def log_uniform(draw: random.Random, low: float, high: float) -> float:
    return math.exp(draw.uniform(math.log(low), math.log(high)))


def jitter(draw: random.Random, deviation: float) -> float:
    return max(draw.gauss(1.0, deviation), 0.1)


def jain_index(values: Iterable[float]) -> float:
    """From 1 / n, where one has all, to 1, where all have the same."""
    found = list(values)
    return sum(found) ** 2 / (len(found) * sum(x * x for x in found))


def weighted_jain_index(ran: Iterable[Ran]) -> float:
    """Of service over weight, while every tenant has a job that waits or runs."""
    changes: list[tuple[float, str, int, int]] = []  # instant, tenant, jobs there, jobs running
    for it in ran:
        tenant = it.job.tenant
        changes.append((it.submitted_at, tenant, 1, 0))
        changes.append((it.started_at, tenant, 0, 1))
        changes.append((it.ended_at, tenant, -1, -1))
    there: Counter[str] = Counter()
    running: Counter[str] = Counter()
    served: defaultdict[str, float] = defaultdict(float)
    before = 0.0
    for at, tenant, came, began in sorted(changes):
        if all(there[name] for name in WEIGHTS):
            for name in WEIGHTS:
                served[name] += running[name] * (at - before)
        there[tenant] += came
        running[tenant] += began
        before = at
    return jain_index(served[name] / weight for name, weight in WEIGHTS.items())


def duty_cycle(cloud: Cloud) -> float:
    ends = sorted(cloud.converged_at.values())
    until = ends[math.ceil(0.8 * len(ends)) - 1]
    busy = sum(min(it.ended_at, until) - it.started_at for it in cloud.ran if it.started_at < until)
    return busy / (len(DEVICES) * until)


def longest_wait_allowed(it: Ran, ran: Sequence[Ran], settings: FairSettings) -> float:
    """What ageing promises: then only older jobs go before it, what runs, and one hold."""
    aged_at = it.submitted_at + settings.max_wait_seconds
    older = sum(o.seconds for o in ran if o.job.id < it.job.id and o.ended_at > aged_at)
    longest = max(o.seconds for o in ran)
    return settings.max_wait_seconds + older + longest + settings.max_hold_seconds


def percentile_95(values: Sequence[float]) -> float:
    return sorted(values)[math.ceil(0.95 * len(values)) - 1]


@dataclass(frozen=True, slots=True)
class Measured:
    """Means over the seeds, except for the percentiles, which are of all seeds' jobs."""

    ttns: float
    ttns_95: float
    convergence: float
    duty_cycle: float
    batch_wait: float
    batch_wait_95: float
    jain: float
    is_in_time: bool


def measured(order: str, load: float, seeds: range) -> Measured:
    ttns: list[float] = []
    waits: list[float] = []
    clouds = [Cloud(order, load, seed) for seed in seeds]
    settings = ORDERS[order][1]
    is_in_time = True
    for cloud in clouds:
        batch = [it for it in cloud.ran if it.job.loop_id is None and not it.is_begun]
        ttns += [it.wait_seconds for it in cloud.ran if it.job.loop_id and not it.is_first]
        waits += cloud.waits
        is_in_time &= settings is None or all(
            it.wait_seconds <= longest_wait_allowed(it, cloud.ran, settings)
            for it in batch
            if it.wait_seconds > settings.max_wait_seconds
        )
    return Measured(
        mean(ttns),
        percentile_95(ttns),
        mean(at for cloud in clouds for at in cloud.converged_at.values()),
        mean(map(duty_cycle, clouds)),
        mean(waits),
        percentile_95(waits),
        mean(weighted_jain_index(cloud.ran) for cloud in clouds),
        is_in_time,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description="The same load under each order of the queue.")
    parser.add_argument("--quick", action="store_true", help="two seeds instead of ten")
    seeds = range(2 if parser.parse_args().quick else 10)
    weights = ", ".join(f"{name} {weight:g}" for name, weight in WEIGHTS.items())
    print(f"Python {platform.python_version()}; {len(DEVICES)} devices, {LOOPS_EACH} loops each of")
    print(f"{weights}; {ITERATIONS} iterations; {len(seeds)} seeds; all times in simulated seconds")
    holds = True
    for load in LOADS:
        print(f"\nBatch jobs ask for {load:.0%} of the devices")
        print(f"{'':<18}{'TTNS':>8}{'95 %':>8}{'converged':>11}{'QDC %':>8}", end="")
        print(f"{'batch wait':>12}{'95 %':>8}{'Jain':>7}")
        found = {order: measured(order, load, seeds) for order in ORDERS}
        for order, it in found.items():
            print(f"{order:<18}{it.ttns:8.2f}{it.ttns_95:8.2f}{it.convergence:11.0f}", end="")
            print(f"{100 * it.duty_cycle:8.1f}{it.batch_wait:12.1f}{it.batch_wait_95:8.1f}", end="")
            print(f"{it.jain:7.3f}")
        is_quicker = found["fair"].ttns < found["fifo"].ttns
        is_in_time = all(it.is_in_time for it in found.values())
        print(f"fair has a shorter TTNS than fifo: {'yes' if is_quicker else 'NO'};", end=" ")
        print(f"no batch job waits longer than ageing allows: {'yes' if is_in_time else 'NO'}")
        holds &= is_quicker and is_in_time
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
