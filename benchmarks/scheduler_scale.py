"""What a decision costs as the queue grows: submit, choose, start and complete, job by job.

Run it with ``make bench`` or ``python benchmarks/scheduler_scale.py [--quick]``. The fair ordering
decides for 500 backends and 10,000 sessions of 100 tenants. Time is simulated, so that loops come
back after their results and devices are held for them; what is timed is the scheduler alone. One
job goes in each attempt: rounds of several would share the cost of a choice. The exit status is 1
if a target is missed.
"""

from __future__ import annotations

import argparse
import heapq
import importlib
import platform
import queue
import random
import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from efaas.model.job import CPU, Demand, Job, Usage
from efaas.policies.fair_queue import FairQueue
from efaas.scheduler import (
    Action,
    AttemptEnded,
    Delivered,
    Dispatch,
    Event,
    Place,
    Resolve,
    Scheduler,
    Submitted,
    Wake,
    Woken,
)

QUEUED = (1_000, 10_000, 100_000)
TENANTS, SESSIONS, BACKENDS = 100, 10_000, 500
LOOPS_OF_JOBS = 0.3  # of the queued jobs, those of loops
MOST_RATIO, MOST_MICROSECONDS, MOST_BYTES = 3.0, 60.0, 2048.0


class Load:
    """A queue that keeps its length: whatever ends, another job follows.

    A loop's next job is submitted when it has thought; for a batch job another one of any
    session, on any backend.
    """

    def __init__(self, queued: int) -> None:
        self.random = random.Random(7)
        self.places = [f"qpu {index}" for index in range(BACKENDS)]
        places = {name: Place() for name in self.places} | {CPU: Place()}
        self.scheduler = Scheduler(places, ordering=FairQueue(self.places))
        self.events: list[tuple[float, int, Callable[[], None]]] = []
        self.now = 0.0
        self.jobs: dict[int, Job] = {}
        self.spent: dict[int, float] = {}
        self.costs: list[float] = []
        self.last_id = self.order = 0
        for index in range(queued + BACKENDS):
            if index < LOOPS_OF_JOBS * queued:
                self.submit(index % SESSIONS, self.places[index % BACKENDS], f"loop {index}")
            else:
                self.submit_batch()

    def submit(self, session: int, place: str, loop: str | None, seconds: float = 1.0) -> None:
        """One more job waits."""
        self.last_id += 1
        job = Job(
            self.last_id,
            session,
            f"tenant {session % TENANTS}",
            (place,),
            loop,
            demand=Demand(seconds),
            weight=1.0 + session % TENANTS % 3,
        )
        self.jobs[job.id] = job
        self.spent[job.id] = 0.0
        self.handle(Submitted((job,)), job.id)

    def submit_batch(self) -> None:
        """One more job of no loop waits: of any session, for any backend."""
        draw = self.random
        seconds = draw.lognormvariate(0.7, 0.8)
        self.submit(draw.randrange(SESSIONS), draw.choice(self.places), None, seconds)

    def handle(self, event: Event, job_id: int) -> None:
        """Let the scheduler decide, and charge the time to the job."""
        began = time.perf_counter()
        actions = self.scheduler.handle(event, self.now)
        self.spent[job_id] += time.perf_counter() - began
        for action in actions:
            self.perform(action, job_id)

    def perform(self, action: Action, job_id: int) -> None:
        """Do what the scheduler says because of that job."""
        match action:
            case Dispatch(attempt_id, _, (started,)):
                job = self.jobs[started]
                seconds = job.demand.qpu_seconds * self.random.uniform(0.7, 1.3)
                self.at(self.now + seconds, lambda: self.end(attempt_id, job, seconds))
            case Wake(place, at):
                self.at(at, lambda: self.handle(Woken(place), job_id))
            case Resolve():
                pass

    def end(self, attempt_id: int, job: Job, seconds: float) -> None:
        """A job has ended, and another one follows."""
        usage = {job.id: Usage(qpu_seconds=seconds)}
        self.handle(AttemptEnded(attempt_id, usage=usage), job.id)
        self.handle(Delivered((job.id,)), job.id)
        del self.jobs[job.id]
        self.costs.append(self.spent[job.id])
        self.spent[job.id] = 0.0  # a wake-up that it asked for may come late
        if job.loop_id is None:
            self.submit_batch()
        else:
            think = self.random.uniform(0.05, 0.5)
            again = job.session_id, job.places[0], job.loop_id
            self.at(self.now + think, lambda: self.submit(*again))

    def at(self, when: float, what: Callable[[], None]) -> None:
        """Do that at a later instant."""
        self.order += 1
        heapq.heappush(self.events, (when, self.order, what))

    def run(self, jobs: int) -> list[float]:
        """Seconds of the scheduler for each of the next jobs that end."""
        self.costs.clear()
        while len(self.costs) < jobs:
            self.now, _, what = heapq.heappop(self.events)
            what()
        return sorted(self.costs)


def bytes_per_job(queued: int) -> float:
    """Memory of the scheduler with that many jobs, the jobs themselves included."""
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    load = Load(queued)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return (after - before) / len(load.jobs)


def of_priority_queue(jobs: int, queued: int) -> list[float]:
    line: queue.PriorityQueue[tuple[float, int]] = queue.PriorityQueue()
    draw = random.Random(7)
    for index in range(queued):
        line.put((draw.random(), index))

    def cycle() -> None:
        line.put((draw.random(), 0))
        line.get()

    return timed(cycle, jobs)


def of_threads(jobs: int) -> list[float]:
    with ThreadPoolExecutor(1) as pool:
        return timed(lambda: pool.submit(int).result(), jobs)


def of_dask(jobs: int) -> list[float] | None:
    try:
        distributed: Any = importlib.import_module("distributed")
    except ImportError:
        return None
    options = {"processes": False, "n_workers": 1, "threads_per_worker": 1}
    with distributed.Client(**options, dashboard_address=None) as client:
        return timed(lambda: client.submit(int, pure=False).result(), jobs)


def timed(call: Callable[[], object], times: int) -> list[float]:
    costs = []
    for _ in range(times):
        began = time.perf_counter()
        call()
        costs.append(time.perf_counter() - began)
    return sorted(costs)


def row(label: str, costs: list[float]) -> float:
    middle, high = 1e6 * statistics.median(costs), 1e6 * costs[int(0.99 * len(costs))]
    print(f"  {label:<32}{middle:10.1f}{high:10.1f}", flush=True)
    return middle


def main() -> int:
    parser = argparse.ArgumentParser(description="What a decision costs as the queue grows.")
    parser.add_argument("--quick", action="store_true", help="a tenth of the jobs")
    is_quick = parser.parse_args().quick
    jobs = 3_000 if is_quick else 30_000
    print(f"Python {platform.python_version()}; {BACKENDS} backends,", end=" ")
    print(f"{SESSIONS:,} sessions of {TENANTS} tenants")
    print(f"  {'microseconds a job':<32}{'median':>10}{'99 %':>10}")
    medians = []
    for queued in QUEUED:
        load = Load(queued)
        load.run(jobs // 5)  # loops have to iterate before they are given slots
        medians.append(row(f"fair, {queued:,} queued", load.run(jobs)))
        load.scheduler.check_invariants()
    row(f"queue.PriorityQueue, {QUEUED[-1]:,}", of_priority_queue(jobs, QUEUED[-1]))
    row("ThreadPoolExecutor", of_threads(jobs))
    dask = of_dask(jobs // 20)
    if dask is None:
        print(f"  {'dask.distributed':<32}{'not installed':>20}")
    else:
        row("dask.distributed", dask)
    del load
    size = bytes_per_job(QUEUED[-1] // (10 if is_quick else 1))
    verdicts = [
        ("the dearest median, us", max(medians), MOST_MICROSECONDS),
        (f"{QUEUED[-1]:,} queued over {QUEUED[0]:,}", medians[-1] / medians[0], MOST_RATIO),
        ("bytes a queued job", size, MOST_BYTES),
    ]
    for label, value, most in verdicts:
        holds = "yes" if value <= most else "NO"
        print(f"  {label:<32}{value:10.1f}   at most {most:g}: {holds}")
    return 0 if all(value <= most for _, value, most in verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
