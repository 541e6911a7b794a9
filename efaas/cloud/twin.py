"""The twin of a quantum cloud: the library's scheduler, on virtual time, under some policy."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Protocol

from efaas.cloud.background import background_jobs
from efaas.cloud.device import Device
from efaas.cloud.kernel import Kernel, random_stream
from efaas.cloud.outcome import Busy, LoopOutcome, Outcome, RanBackground, RanStep
from efaas.model.job import Demand, Job, Usage
from efaas.model.profile import CircuitProfile
from efaas.scheduler import (
    AttemptEnded,
    Cancelled,
    Delivered,
    Dispatch,
    Event,
    Fail,
    LoopClosed,
    LoopOpened,
    Pin,
    Place,
    Promoted,
    Resolve,
    Scheduler,
    Submitted,
    Wake,
    Woken,
)

if TYPE_CHECKING:
    from efaas.cloud.background import BackgroundJob
    from efaas.cloud.policies.protocol import Policy
    from efaas.cloud.scenario import Scenario

__all__ = ["LoopPort", "LoopRun", "Twin", "TwinJob"]

_BACKGROUND_SESSION = 0
_OFFERED = 8
"""Most devices that a background job may go to: with more choices it would wait hardly less
(Mitzenmacher, The power of two choices, 2001)."""

_BACKGROUND_TENANTS = 4
"""Users behind the background jobs, in turn."""


@dataclass(slots=True, eq=False)
class TwinJob:
    """A job in the twin.

    Attributes:
        seconds: Its service.
        places: Where it may run.
        port: Its loop's; None for background jobs.
        is_guess: Whether it hangs on a guess.
        points: Evaluations in it.
        ready_at: When it was asked for, or arrived; infinite for a guess nobody has asked for.
        then: Called when its result is there.
        job: What the scheduler knows of it; None while it is not in the queue.
        noise_scale: Of its device, at its first shot.
        is_delivered: Whether its loop has the result.
    """

    seconds: float
    places: tuple[str, ...]
    port: LoopPort | None = None
    is_guess: bool = False
    points: int = 1
    ready_at: float = math.inf
    then: Callable[[], None] = lambda: None
    job: Job | None = None
    is_withdrawn: bool = False
    is_delivered: bool = False
    was_guess: bool = False
    place: str = ""
    started_at: float = math.inf
    first_shot_at: float = math.inf
    ended_at: float = math.inf
    age_seconds: float = 0.0
    noise_scale: float = 1.0

    @property
    def is_done(self) -> bool:
        """Whether it has run."""
        return self.ended_at < math.inf


class LoopRun(Protocol):
    """An optimization, as the twin drives it."""

    @property
    def name(self) -> str:
        """What is optimized."""
        ...

    def begin(self, port: LoopPort) -> None:
        """It has arrived; it goes on by the port's callbacks, and ends with ``port.close``."""
        ...

    def stop(self) -> None:
        """The simulation has ended; nothing more will be called."""
        ...


@dataclass(slots=True)
class _Attempt:
    """What runs on a device."""

    id: int
    job: TwinJob
    will_fail: bool
    is_over: bool = False


class Twin:
    """One cloud under one policy, with one load.

    Example:
        >>> from efaas.cloud.policies import POLICIES
        >>> from efaas.cloud.scenario import Scenario
        >>> from efaas.cloud.trace import LoopTrace, TraceStep
        >>> from efaas.cloud.traced_loop import TracedLoop
        >>> trace = LoopTrace("vqe", "any", 0, 4, 1.0, (TraceStep(),) * 100)
        >>> twin = Twin(Scenario(), POLICIES["efaas-paper"], [TracedLoop(trace)], seed=1)
        >>> len(twin.run().loops[0].steps)
        100
    """

    def __init__(
        self, scenario: Scenario, policy: Policy, loops: Sequence[LoopRun], *, seed: int
    ) -> None:
        """Put it together; nothing happens yet.

        Args:
            scenario: The cloud and its load.
            policy: How it is run.
            loops: The optimizations, in order of arrival.
            seed: Of everything random; the load is the same under every policy.
        """
        self.scenario = scenario
        self.kernel = Kernel()
        self.policy = policy
        self.seed = seed
        names = self._names = scenario.device_names
        self.devices = {name: Device(name, scenario, seed) for name in names}
        self.outcome = Outcome(policy.name, seed, len(names))
        self._scheduler = Scheduler(
            {name: Place() for name in names},
            ordering=policy.ordering(scenario),
            placement=policy.placement(),
        )
        self._last_id = 0
        self._by_id: dict[int, TwinJob] = {}
        self._attempts: dict[int, _Attempt] = {}
        self._running: dict[str, _Attempt] = {}
        self._pins: dict[str, str] = {}
        self._background: list[TwinJob] = []
        self._free_nodes = scenario.classical_nodes
        self._thinking: deque[tuple[float, Callable[[], None]]] = deque()
        self._ports = [LoopPort(self, number, loop) for number, loop in enumerate(loops, 1)]
        self._open_loops = len(self._ports)
        is_near = policy.traits.knows_the_future
        self.network_seconds = 0.0 if is_near else scenario.provider.network_seconds

    def run(self, until: float = math.inf) -> Outcome:
        """Simulate until all loops have ended and the horizon has come, or that instant."""
        arrivals = random_stream(self.seed, "arrivals")
        rate = self.scenario.loops.arrivals_per_hour / 3600.0
        at = 0.0
        for port in self._ports:
            at += arrivals.expovariate(rate) if rate else 0.0
            self.kernel.at(at, port.begin)
        self._stream = background_jobs(self.scenario, self.seed)
        self._next_background()
        horizon = self.scenario.horizon_seconds
        self.kernel.run(until, while_=lambda: self._open_loops > 0 or self.kernel.now < horizon)
        for port in self._ports:
            port.stop()
        self._scheduler.check_invariants()
        self.outcome.ended_at = self.kernel.now
        self.outcome.loops = [port.outcome for port in self._ports]
        self.outcome.background = [
            RanBackground(it.ready_at, it.first_shot_at, it.ended_at) for it in self._background
        ]
        for attempt in self._running.values():  # what runs on beyond the end
            self._note_busy(attempt.job, attempt.job.first_shot_at, self.kernel.now)
        return self.outcome

    # What loops do.

    def open_loop(self, port: LoopPort) -> None:
        """Choose its device, if it is to stay on one."""
        if self.policy.traits.pins:
            profiles = tuple(map(self._profile, self._names))
            self._handle(LoopOpened(port.id, self._names, profiles))

    def close_loop(self, port: LoopPort) -> None:
        """It submits nothing more."""
        self._open_loops -= 1
        self._handle(LoopClosed(port.id))
        for place in self._names:
            self._handle(Woken(place))

    def places_of(self, port: LoopPort) -> tuple[str, ...]:
        """Where its jobs may run."""
        pin = self._pins.get(port.id)
        return self._names if pin is None else (pin,)

    def enqueue(self, twin_job: TwinJob) -> None:
        """It has come to the scheduler."""
        if twin_job.is_withdrawn:
            return
        self._last_id += 1
        port = twin_job.port
        if port is None:
            tenant = f"others {self._last_id % _BACKGROUND_TENANTS}"
            session, loop_id = _BACKGROUND_SESSION, None
        else:
            tenant, session = port.outcome.tenant, port.number
            loop_id = port.id if self.policy.traits.pins else None
        job = Job(
            self._last_id,
            session,
            tenant,
            twin_job.places,
            loop_id,
            speculative=twin_job.is_guess,
            demand=Demand(qpu_seconds=twin_job.seconds),
        )
        twin_job.job = job
        self._by_id[job.id] = twin_job
        self._handle(Submitted((job,)))
        if self.policy.traits.preempts and loop_id is not None:
            self._throw_out(twin_job)

    def promote(self, twin_job: TwinJob) -> None:
        """A guess is asked for."""
        twin_job.is_guess = False
        twin_job.ready_at = self.kernel.now
        if twin_job.job is not None and not twin_job.is_done:
            self._handle(Promoted((twin_job.job.id,)))

    def withdraw(self, twin_job: TwinJob) -> None:
        """A guess will not be asked for."""
        twin_job.is_withdrawn = True
        if twin_job.job is not None and not twin_job.is_done:
            self._handle(Cancelled((twin_job.job.id,)))

    def think(self, seconds: float, then: Callable[[], None]) -> None:
        """Compute for so long on a classical node, as soon as one is free."""
        if not self._free_nodes:
            self._thinking.append((seconds, then))
            return
        self._free_nodes -= 1
        self.kernel.after(seconds, partial(self._thought, then))

    def _thought(self, then: Callable[[], None]) -> None:
        self._free_nodes += 1
        if self._thinking:
            self.think(*self._thinking.popleft())
        then()

    # What the scheduler says.

    def _handle(self, event: Event) -> None:
        now = self.kernel.now
        for action in self._scheduler.handle(event, now):
            match action:
                case Dispatch(attempt_id, place, (job_id,)):
                    self._start(attempt_id, place, self._by_id[job_id])
                case Resolve(job_id):
                    self._resolved(self._by_id.pop(job_id))
                case Fail(job_id):
                    self._again(self._by_id.pop(job_id))
                case Wake(place, at):
                    self.kernel.at(at, partial(self._handle, Woken(place)))
                case Pin(loop_id, place):
                    self._pins[loop_id] = place

    def _start(self, attempt_id: int, place: str, it: TwinJob) -> None:
        now, device, traits = self.kernel.now, self.devices[place], self.policy.traits
        made, it.first_shot_at = device.scheduled_until(now)
        if traits.knows_the_future:
            made, it.first_shot_at = 0, now
        it.place, it.started_at = place, now
        self.outcome.calibrations += made
        if it.port is not None and not traits.knows_the_future:
            if device.is_due(it.first_shot_at):
                it.first_shot_at += self.scenario.calibrations.duration_seconds
                device.calibrate(it.first_shot_at)
                self.outcome.calibrations += 1
            if traits.is_warm and it.port.number not in device.warm:
                device.warm.add(it.port.number)
                it.first_shot_at += self.scenario.loops.recompile_seconds
        elif traits.knows_the_future:
            device.calibrated_at = now
        it.age_seconds = device.age_seconds(it.first_shot_at)
        it.noise_scale = device.noise_scale(it.first_shot_at)
        fails_after = device.fails_after()
        attempt = _Attempt(attempt_id, it, fails_after < it.seconds)
        self._running[place] = attempt
        seconds = min(it.seconds, fails_after)
        self.kernel.at(it.first_shot_at + seconds, partial(self._end, attempt))

    def _end(self, attempt: _Attempt) -> None:
        """The attempt has run to its end, or failed on the way; or it was thrown out before."""
        if attempt.is_over:
            return
        it = attempt.job
        self._finish(attempt, "lost" if attempt.will_fail else "")
        assert it.job is not None
        job_id = it.job.id
        usage = {job_id: Usage(qpu_seconds=self.kernel.now - it.started_at)}
        failed = (job_id,) if attempt.will_fail else ()
        if not attempt.will_fail:
            it.ended_at = self.kernel.now
            if it.port is not None and self.policy.traits.renews_by_running:
                self.devices[it.place].renewed_at = self.kernel.now
        self._handle(AttemptEnded(attempt.id, failed_ids=failed, usage=usage))
        self._handle(Delivered((job_id,)))

    def _finish(self, attempt: _Attempt, kind: str) -> None:
        attempt.is_over = True
        it = attempt.job
        del self._running[it.place]
        self.devices[it.place].idle(self.kernel.now)
        self._note_busy(it, it.first_shot_at, self.kernel.now, kind)

    def _note_busy(self, it: TwinJob, since: float, until: float, kind: str = "") -> None:
        if until <= since:
            return
        if not kind:
            kind = "background" if it.port is None else "waste" if it.is_withdrawn else "loop"
        loop = 0 if it.port is None else it.port.number
        self.outcome.busy.append(Busy(since, until, kind, it.place, loop, it.points))
        if it.port is not None and (kind == "loop" or kind == "waste"):
            it.port.busy_index[id(it)] = len(self.outcome.busy) - 1

    def _throw_out(self, twin_job: TwinJob) -> None:
        """Stop the background job that a loop's job would wait for."""
        for place in twin_job.places:
            attempt = self._running.get(place)
            if attempt is None or attempt.job.port is not None or twin_job.started_at < math.inf:
                continue
            self._finish(attempt, "lost")
            job = attempt.job.job
            assert job is not None
            usage = {job.id: Usage(qpu_seconds=self.kernel.now - attempt.job.started_at)}
            self._handle(AttemptEnded(attempt.id, failed_ids=(job.id,), usage=usage))
            self._handle(Delivered((job.id,)))

    def _resolved(self, it: TwinJob) -> None:
        """The result goes back to whoever waits for it."""
        if it.port is None or not self.network_seconds:
            self._deliver(it)
        else:
            self.kernel.after(self.network_seconds, partial(self._deliver, it))

    def _deliver(self, it: TwinJob) -> None:
        it.is_delivered = True
        it.then()

    def _again(self, it: TwinJob) -> None:
        """It was lost: it runs once more, behind those that wait now."""
        it.job = None
        it.started_at = it.first_shot_at = math.inf
        if not it.is_withdrawn:
            self.kernel.after(0.0, partial(self.enqueue, it))

    # What others do.

    def _next_background(self) -> None:
        coming = next(self._stream, None)
        if coming is not None:
            self.kernel.at(coming.arrives_at, partial(self._background_comes, coming))

    def _background_comes(self, coming: BackgroundJob) -> None:
        names = self._names
        chosen: tuple[str, ...] = (names[coming.device],)
        if self.policy.traits.places_background:
            stride = max(len(names) // _OFFERED, 1)
            offered = range(coming.device, coming.device + len(names), stride)
            chosen = tuple([names[index % len(names)] for index in offered][:_OFFERED])
            if len(names) <= _OFFERED:
                chosen = names
        it = TwinJob(coming.seconds, chosen, ready_at=self.kernel.now)
        self._background.append(it)
        self.enqueue(it)
        self._next_background()

    def _profile(self, place: str) -> CircuitProfile:
        """What placement may know: how long an evaluation takes, and how well it goes."""
        device = self.devices[place]
        return CircuitProfile(
            backend=place,
            num_qubits=1,
            depth=1,
            two_qubit_gates=1,
            layout=(0,),
            seconds=self.scenario.devices.evaluation_seconds,
            is_warm=False,
            ln_gates=-self.scenario.devices.two_qubit_error * device.error_scale,
        )


class LoopPort:
    """What a loop sees of the twin: it submits jobs, guesses, thinks, and ends.

    Attributes:
        number: Of the loop, from 1.
        id: Its name in the scheduler.
        outcome: What has come of it.
        twin: The twin.
    """

    def __init__(self, twin: Twin, number: int, loop: LoopRun) -> None:
        self.twin = twin
        self.number = number
        self.id = f"loop {number}"
        tenants = twin.scenario.loops.tenants
        self.outcome = LoopOutcome(loop.name, f"tenant {number % tenants}", 0.0)
        self.busy_index: dict[int, int] = {}
        self._loop = loop
        self._access = random_stream(twin.seed, self.id, "access")
        self._think = random_stream(twin.seed, self.id, "think")
        self._is_first = True
        self._is_closed = False

    @property
    def now(self) -> float:
        """The present instant."""
        return self.twin.kernel.now

    @property
    def speculates(self) -> bool:
        """Whether guesses are run."""
        return self.twin.policy.traits.speculates and not self.twin.policy.traits.knows_the_future

    def begin(self) -> None:
        """The loop has arrived."""
        self.outcome.arrived_at = self.now
        self.twin.open_loop(self)
        self._loop.begin(self)

    def stop(self) -> None:
        """The simulation is over."""
        if not self._is_closed:
            self._is_closed = True
            self._loop.stop()

    def service_seconds(self, step: int) -> float:
        """Service of the step's job: the same under every policy, guessed or not."""
        devices = self.twin.scenario.devices
        drawn = _service_drawn(self.twin.seed, self.id, step)
        return devices.evaluation_seconds + devices.jitter_seconds * drawn

    def submit(
        self,
        seconds: float,
        then: Callable[[TwinJob], None],
        *,
        points: int = 1,
        is_guess: bool = False,
    ) -> TwinJob:
        """A job, asked for or guessed; ``then`` is called with it when its result is there."""
        places = self.twin.places_of(self)
        it = TwinJob(seconds, places, self, is_guess, points, was_guess=is_guess)
        it.ready_at = math.inf if is_guess else self.now
        it.then = partial(then, it)
        wait = self.twin.network_seconds + self.twin.policy.access_seconds(
            self.twin.scenario, self._access, is_first=self._is_first
        )
        self._is_first = False
        if wait:
            self.twin.kernel.after(wait, partial(self.twin.enqueue, it))
        else:
            self.twin.enqueue(it)
        return it

    def promote(self, it: TwinJob) -> None:
        """A guess is what is asked for now."""
        self.twin.promote(it)

    def withdraw(self, it: TwinJob) -> None:
        """A guess was wrong; what it has run, or runs now, is wasted."""
        self.twin.withdraw(it)
        if it.started_at < math.inf:
            self.outcome.missed += 1
        if id(it) in self.busy_index:
            index = self.busy_index.pop(id(it))
            self.twin.outcome.busy[index] = self.twin.outcome.busy[index]._replace(kind="waste")

    def think(self, seconds: float | None, then: Callable[[], None]) -> None:
        """The classical step; None to draw its length of the scenario."""
        loops = self.twin.scenario.loops
        if self.twin.policy.traits.knows_the_future:
            seconds = 0.0
        elif seconds is None:
            factor = 1.0
            if loops.think_jitter:
                factor = max(self._think.gauss(1.0, loops.think_jitter), 0.1)
            seconds = loops.think_seconds * factor
        self.twin.think(seconds, then)

    def used(self, it: TwinJob, gap: float | None) -> None:
        """The optimizer has been given a job's result."""
        step = RanStep(
            it.ready_at,
            it.first_shot_at,
            it.ended_at,
            self.now,
            it.age_seconds,
            it.place,
            it.was_guess,
            gap,
        )
        self.outcome.steps.append(step)
        self.busy_index.pop(id(it), None)

    def close(self) -> None:
        """The loop has ended."""
        if not self._is_closed:
            self._is_closed = True
            self.outcome.ended_at = self.now
            self.twin.close_loop(self)


@lru_cache(maxsize=1 << 16)  # every policy asks for the same
def _service_drawn(seed: int, loop: str, step: int) -> float:
    """Where a step's service is in its spread, from -1 to 1."""
    return random_stream(seed, loop, "service", step).uniform(-1.0, 1.0)
