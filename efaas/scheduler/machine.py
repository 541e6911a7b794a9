"""The scheduler: every decision about a job's life is made here, and nothing is done here.

A job is queued, then running (perhaps twice), then gone. ``Scheduler.handle`` takes what
happened and returns what to do about it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from efaas.errors import InvariantError
from efaas.model.job import Demand, Usage
from efaas.policies.ordering import FirstComeFirstServed, Ordering
from efaas.scheduler.actions import Action, Dispatch, Fail, Pin, Resolve, Wake
from efaas.scheduler.events import (
    AttemptEnded,
    Cancelled,
    Delivered,
    Event,
    LoopClosed,
    LoopOpened,
    LoopReconsidered,
    Promoted,
    StepPaused,
    StepResumed,
    Submitted,
    Woken,
)
from efaas.scheduler.pins import Pins

if TYPE_CHECKING:
    from collections.abc import Sequence

    from efaas.model.job import Job
    from efaas.policies.placement import Explanation, Placement
    from efaas.policies.repinning import RepinSettings, Verdict

__all__ = ["Place", "Scheduler"]

_NO_USAGE = Usage()


@dataclass(frozen=True, slots=True)
class Place:
    """Somewhere that jobs run.

    Attributes:
        slots: Attempts that run there side by side; at least 1.
        batch_limit: Most jobs in one attempt; at least 1.
    """

    slots: int = 1
    batch_limit: int = 1


@dataclass(slots=True)
class _Running:
    """An attempt under way: its jobs, and those of them that were cancelled meanwhile."""

    place: str
    jobs: dict[int, Job]
    cancelled: set[int] = field(default_factory=set)
    is_paused: bool = False


@dataclass(slots=True)
class _Crowd:
    """The committed jobs that wait for a place: how many, and how many of each session."""

    jobs: int = 0
    by_session: dict[int, int] = field(default_factory=dict)

    def came(self, session_id: int) -> None:
        self.jobs += 1
        self.by_session[session_id] = self.by_session.get(session_id, 0) + 1

    def went(self, session_id: int) -> None:
        self.jobs -= 1
        if self.by_session[session_id] == 1:
            del self.by_session[session_id]
        else:
            self.by_session[session_id] -= 1


class Scheduler:
    """Decides which job runs where and when.

    Example:
        >>> from efaas.model.job import Job
        >>> scheduler = Scheduler({"qpu": Place()})
        >>> job = Job(id=1, session_id=1, tenant="ada", places=("qpu",))
        >>> scheduler.handle(Submitted((job,)), now=0.0)
        [Dispatch(attempt_id=1, place='qpu', job_ids=(1,))]
        >>> scheduler.handle(AttemptEnded(1), now=2.0)
        [Resolve(job_id=1)]
        >>> scheduler.handle(Delivered((1,)), now=2.0)
        []
    """

    def __init__(
        self,
        places: Mapping[str, Place],
        *,
        ordering: Ordering | None = None,
        placement: Placement | None = None,
        repinning: RepinSettings | None = None,
    ) -> None:
        """Start with every place idle.

        Args:
            places: Where jobs run, by name.
            ordering: Who goes first; first come first served by default.
            placement: Where a new loop goes; the least loaded backend by default.
            repinning: When a loop moves.
        """
        self._places = dict(places)
        self._ordering = FirstComeFirstServed() if ordering is None else ordering
        self._busy = dict.fromkeys(self._places, 0)
        self._queued: dict[int, Job] = {}
        self._crowds = {place: _Crowd() for place in self._places}
        self._guesses: dict[str, int] = {}  # speculative jobs that wait, by place
        self._attempts: dict[int, _Running] = {}
        self._attempt_of: dict[int, int] = {}
        self._alone: set[int] = set()
        self._rests: dict[int, Job] = {}  # of a running job that was cut: its other points
        self._riders: dict[int, list[int]] = {}  # of a queued job: who would share its round
        self._undelivered: set[int] = set()
        self._pins = Pins(self._places, placement=placement, repinning=repinning)
        self._traffic = self._pins.traffic
        self._last_attempt_id = 0
        self._now = float("-inf")

    def handle(self, event: Event, now: float) -> list[Action]:
        """Take in what happened at ``now`` and return what to do, in order.

        Args:
            event: What happened.
            now: The instant, in seconds; never earlier than in the call before.
        """
        self._now = max(self._now, now)
        match event:
            case Submitted():
                return self._submitted(event)
            case AttemptEnded():
                return self._attempt_ended(event)
            case Delivered():
                return self._delivered(event)
            case Cancelled():
                return self._cancelled(event)
            case Promoted():
                return self._promoted(event)
            case LoopOpened():
                place = self._pins.pin(event.loop_id, event.places, event.profiles)
                return [Pin(event.loop_id, place)]
            case LoopReconsidered():
                return [self._reconsidered(event)]
            case LoopClosed():
                self._pins.unpin(event.loop_id)
                self._ordering.forget(event.loop_id)
                return []
            case Woken():
                return self._fill((event.place,))
            case StepPaused() | StepResumed():
                return self._step_changed(event)

    def least_loaded(self, places: Sequence[str], count: int) -> list[str]:
        """At most ``count`` of the places, those with the fewest loops and jobs first."""
        return self._pins.least_loaded(places, count)

    def explanation(self, loop_id: str) -> Explanation:
        """Why a loop that is open is where it is."""
        return self._pins.explanation(loop_id)

    def verdict(self, loop_id: str) -> Verdict | None:
        """What was decided when an open loop was last reconsidered; None if it never was."""
        return self._pins.verdict(loop_id)

    def wait_of(self, job_id: int) -> str:
        """Why a job is not finished yet, in words; "" if nothing is known of it."""
        job = self._queued.get(job_id)
        if job is None:
            attempt = self._attempts.get(self._attempt_of.get(job_id, 0))
            return "" if attempt is None else f"job {job_id} is running on {attempt.place}"
        places = set(job.places)
        rivals = [other for other in self._queued.values() if not places.isdisjoint(other.places)]
        committed = sum(not other.speculative for other in rivals)
        older = sum(not other.speculative and other.id < job_id for other in rivals)
        kind = "speculative" if job.speculative else "committed"
        words = (
            f"job {job_id} is {kind} and waits for {' or '.join(job.places)} among "
            f"{committed} committed jobs, {older} of which came before it"
        )
        held = [self._ordering.held_until(place) for place in job.places]
        until = max([instant for instant in held if instant is not None], default=self._now)
        if until > self._now:
            words += f"; kept free for a loop's next job for {until - self._now:.3g} s at most"
        return words

    def check_invariants(self) -> None:
        """Raise ``InvariantError`` if the bookkeeping contradicts itself."""
        busy = dict.fromkeys(self._places, 0)
        running: set[int] = set()
        for attempt_id, attempt in self._attempts.items():
            busy[attempt.place] += not attempt.is_paused
            for job_id, job in attempt.jobs.items():
                _require(self._attempt_of.get(job_id) == attempt_id, f"job {job_id} is lost")
                _require(attempt.place in job.places, f"job {job_id} runs where it may not")
                _require(job_id not in running, f"job {job_id} runs twice")
                running.add(job_id)
        _require(running == set(self._attempt_of), "a job that does not run has an attempt")
        _require(busy == self._busy, f"slots in use are {busy}, the books say {self._busy}")
        _require(running.isdisjoint(self._queued), "a running job waits in the queue")
        _require(len(self._ordering) == len(self._queued), "queue and books differ in length")
        _require(set(self._riders) <= set(self._queued), "riders wait for a job that has gone")
        _require(set(self._rests) <= running, "the rest of a job waits that does not run")
        _require(self._alone <= running | set(self._queued), "a finished job is remembered")
        for place, traffic in self._traffic.items():
            jobs = sum(job.places == (place,) for job in self._queued.values())
            jobs += sum(len(a.jobs) for a in self._attempts.values() if a.place == place)
            loops = self._pins.loops_at(place)
            counted = (traffic.jobs, traffic.loops)
            _require((jobs, loops) == counted, f"{place} has {jobs, loops}, booked are {counted}")
        for place, spec in self._places.items():
            if busy[place] < spec.slots:
                idle_while = [
                    job.id
                    for job in self._queued.values()
                    if place in job.places and not (job.speculative and self._undelivered)
                ]
                if self._ordering.held_until(place) is not None:
                    continue
                _require(not idle_while, f"{place} idles while jobs {idle_while[:5]} wait for it")

    def _submitted(self, event: Submitted) -> list[Action]:
        if len(event.jobs) == 1 and not event.is_alone:
            [job] = event.jobs
            dispatch = self._started_at_once(job)
            return [dispatch] if dispatch is not None else self._fill(self._came(job))
        touched: dict[str, None] = {}
        for job in event.jobs:
            touched.update(dict.fromkeys(self._came(job)))
            if event.is_alone:
                self._alone.add(job.id)
        return self._fill(touched)

    def _came(self, job: Job) -> tuple[str, ...]:
        """Queue a job that was submitted; returns where it may run."""
        if job.loop_id is not None and len(job.places) > 1:
            job = replace(job, places=(self._pins.pin(job.loop_id, job.places),))
        self._enqueue(job)
        if job.rides_with is not None and job.rides_with in self._queued:
            self._riders.setdefault(job.rides_with, []).append(job.id)
        return job.places

    def _cancelled(self, event: Cancelled) -> list[Action]:
        for job_id in event.job_ids:
            if job_id in self._queued:
                self._ordering.discard(job_id)
                self._dequeue(job_id)
                self._alone.discard(job_id)
                self._riders.pop(job_id, None)
            elif job_id in self._attempt_of:
                self._attempts[self._attempt_of[job_id]].cancelled.add(job_id)
        return []

    def _promoted(self, event: Promoted) -> list[Action]:
        touched: dict[str, None] = {}
        for job_id in event.job_ids:
            if job_id in self._queued:
                self._ordering.discard(job_id)
                self._enqueue(replace(self._dequeue(job_id), speculative=False))
                touched.update(dict.fromkeys(self._queued[job_id].places))
            elif job_id in self._attempt_of:
                attempt = self._attempts[self._attempt_of[job_id]]
                attempt.jobs[job_id] = replace(attempt.jobs[job_id], speculative=False)
        return self._fill(touched)

    def _attempt_ended(self, event: AttemptEnded) -> list[Action]:
        attempt = self._attempts.pop(event.attempt_id)
        self._busy[attempt.place] -= not attempt.is_paused
        failed = set(event.failed_ids) if event.failed_ids else ()
        retry = event.is_batch_failure and len(attempt.jobs) > 1
        actions: list[Action] = []
        place = attempt.place
        touched = {place: None}
        traffic = self._traffic[place]
        for job_id, job in attempt.jobs.items():
            del self._attempt_of[job_id]
            traffic.count(job, -1)
            left = self._rests.pop(job_id, None) if self._rests else None
            if job_id in failed:
                left = (job if left is None else _joined(job, left)) if retry else None
            if job_id in attempt.cancelled:
                left = None
            usage = event.usage.get(job_id, _NO_USAGE)
            self._ordering.ended(job, place, usage, self._now, goes_on=left is not None)
            if left is not None:
                if job_id in failed:
                    self._alone.add(job_id)
                self._enqueue(left)
                touched.update(dict.fromkeys(left.places))
                continue
            self._alone.discard(job_id)
            if job_id not in attempt.cancelled:
                actions.append(Fail(job_id) if job_id in failed else Resolve(job_id))
                self._undelivered.add(job_id)
        return actions + self._fill(touched) if self._queued else actions

    def _delivered(self, event: Delivered) -> list[Action]:
        """Let speculative jobs go again once no guess can be about to turn out wrong."""
        self._undelivered.difference_update(event.job_ids)
        if self._undelivered or not self._guesses:
            return []
        return self._fill(tuple(self._guesses))

    def _step_changed(self, event: StepPaused | StepResumed) -> list[Action]:
        attempt = self._attempts.get(event.attempt_id)
        is_paused = isinstance(event, StepPaused)
        if attempt is None or attempt.is_paused == is_paused:
            return []
        attempt.is_paused = is_paused
        self._busy[attempt.place] += -1 if is_paused else 1
        return self._fill((attempt.place,))

    def _reconsidered(self, event: LoopReconsidered) -> Pin:
        before, place = self._pins.repin(event)
        if place != before:
            jobs = [job for attempt in self._attempts.values() for job in attempt.jobs.values()]
            if all(job.loop_id != event.loop_id for job in [*jobs, *self._queued.values()]):
                self._ordering.forget(event.loop_id)  # nothing is kept free for it where it was
        return Pin(event.loop_id, place)

    def _started_at_once(self, job: Job) -> Dispatch | None:
        """Start a job that nobody has to be asked about: its place is free, and nobody waits."""
        place = job.places[0]
        if (
            job.speculative
            or len(job.places) > 1
            or self._busy[place] >= self._places[place].slots
            or self._crowds[place].jobs
            or place in self._guesses
            or not self._ordering.start_at_once(job, place, self._now)
        ):
            return None
        self._traffic[place].count(job, 1)
        return self._begun(place, [job])

    def _enqueue(self, job: Job) -> None:
        self._queued[job.id] = job
        if len(job.places) == 1:
            self._traffic[job.places[0]].count(job, 1)
        self._crowd(job, 1)
        self._ordering.add(job, self._now)

    def _dequeue(self, job_id: int) -> Job:
        """A job that is withdrawn, or queued anew."""
        job = self._queued.pop(job_id)
        if len(job.places) == 1:
            self._traffic[job.places[0]].count(job, -1)
        self._crowd(job, -1)
        return job

    def _crowd(self, job: Job, change: int) -> None:
        """Keep count of the jobs that wait: of the committed ones also by session."""
        for place in job.places:
            if job.speculative:
                self._guesses[place] = self._guesses.get(place, 0) + change
                if not self._guesses[place]:
                    del self._guesses[place]
            elif change > 0:
                self._crowds[place].came(job.session_id)
            else:
                self._crowds[place].went(job.session_id)

    def _fill(self, places: Mapping[str, None] | tuple[str, ...]) -> list[Action]:
        """Start attempts wherever one of ``places`` has a free slot and a job for it."""
        actions: list[Action] = []
        for place in places:
            spec = self._places[place]
            while self._queued and self._busy[place] < spec.slots:
                jobs = self._ordering.take(
                    place,
                    # While some job must go alone, all do: it is soon over.
                    1 if self._alone else spec.batch_limit,
                    self._now,
                    speculative=not self._undelivered,
                )
                if not jobs:
                    held_until = self._ordering.held_until(place)
                    if held_until is not None:
                        actions.append(Wake(place, held_until))
                    break
                actions.append(self._start(place, jobs))
        return actions

    def _riders_of(self, jobs: list[Job], place: str) -> list[Job]:
        """Speculative jobs that share the round of these; none where that would delay others."""
        waiting = [rider for job in jobs for rider in self._riders.pop(job.id, ())]
        session_id = jobs[0].session_id
        crowd = self._crowds[place]
        others = crowd.jobs - crowd.by_session.get(session_id, 0)
        mine = sum(job.session_id == session_id for job in jobs)
        if not waiting or self._alone or mine < len(jobs) or others:
            return []
        room = self._places[place].batch_limit - len(jobs)
        riders = [self._queued[job_id] for job_id in waiting if job_id in self._queued]
        return [job for job in riders if job.speculative and place in job.places][:room]

    def _start(self, place: str, jobs: list[Job]) -> Dispatch:
        for job in jobs:
            queued = self._queued.pop(job.id)
            self._crowd(queued, -1)
            if job.points < queued.points:
                self._rests[job.id] = queued.part(queued.points - job.points)
                if len(job.places) == 1:
                    self._traffic[place].recount(queued, job)
        if self._riders:
            riders = self._riders_of(jobs, place)
            for rider in riders:
                self._ordering.discard(rider.id)
                self._crowd(self._queued.pop(rider.id), -1)
            jobs = jobs + riders
        self._ordering.started(jobs, place, self._now)
        dispatch = self._begun(place, jobs)
        if self._rests:
            cut = {job.id: job.points for job in jobs if job.id in self._rests}
            return replace(dispatch, cut=cut) if cut else dispatch
        return dispatch

    def _begun(self, place: str, jobs: list[Job]) -> Dispatch:
        """Put an attempt into the books that has left the queue."""
        self._last_attempt_id += 1
        attempt_id = self._last_attempt_id
        self._attempts[attempt_id] = _Running(place, {job.id: job for job in jobs})
        self._busy[place] += 1
        traffic = self._traffic[place]
        for job in jobs:
            self._attempt_of[job.id] = attempt_id
            if len(job.places) > 1:  # otherwise it was counted when it came
                traffic.count(job, 1)
        return Dispatch(attempt_id, place, tuple([job.id for job in jobs]))


def _joined(job: Job, rest: Job) -> Job:
    """A job whose first points failed, whole again."""
    demand = Demand(
        job.demand.qpu_seconds + rest.demand.qpu_seconds,
        job.demand.cpu_seconds + rest.demand.cpu_seconds,
    )
    return replace(job, points=job.points + rest.points, demand=demand)


def _require(holds: bool, claim: str) -> None:
    if not holds:
        raise InvariantError(f"the scheduler is inconsistent: {claim}")
