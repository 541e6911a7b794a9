"""Dual-resource fair queueing: active loops first within their share, and nobody starves.

Between tenants, and between the sessions of a tenant, whoever is least ahead of its share of QPU
and CPU time goes first (``FairShares``). A loop that iterates is given a slot on its device when
its turn comes: until the slot's service is used up its jobs go at once, and while it computes its
next step the device may be kept for it. Ageing bounds every wait.
"""

from __future__ import annotations

import heapq
import math
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from efaas.errors import InputError
from efaas.model.job import CPU
from efaas.policies.fair_shares import CPU_SECONDS, QPU_SECONDS, FairShares
from efaas.policies.loop_pace import LoopPace

if TYPE_CHECKING:
    from efaas.model.job import Job, Usage

__all__ = ["FairQueue", "FairSettings"]

K = TypeVar("K", str, int)

_GAIN = 0.25
_GARBAGE = 256
"""Ids of jobs that are gone which a heap may hold before it is cleared of them."""

_HEADS = 6
"""Tenants whose next job is looked at for one that fits a gap."""


@dataclass(frozen=True, slots=True)
class FairSettings:
    """The bounds and times of ``FairQueue``; all times in seconds.

    Attributes:
        max_overtakes: Most jobs that are submitted later and start earlier at a place, for any
            committed job; at least 1.
        max_wait_seconds: A committed job that has waited for longer goes before all younger ones.
        loop_idle_seconds: A loop that has been idle for longer is not active any more.
        slot_seconds: Service, idle time held for it included, after which a loop gives its slot
            back while others wait.
        max_utilisation: Loops share a device as long as they are predicted to use no more of it.
        max_hold_seconds: Most time that a device is kept free for a loop's next job; 0 for never.
        max_round_seconds: Predicted service up to which jobs share a round where a loop that
            holds a slot may want to go next; it never waits behind more, unless a single job is
            longer.
        most_lead_seconds: As in ``FairShares``.
    """

    max_overtakes: int = 1000
    max_wait_seconds: float = 1800.0
    loop_idle_seconds: float = 30.0
    slot_seconds: float = 900.0
    max_utilisation: float = 0.8
    max_hold_seconds: float = 5.0
    max_round_seconds: float = 10.0
    most_lead_seconds: float = 60.0

    def __post_init__(self) -> None:
        if self.max_overtakes < 1:
            raise InputError(f"max_overtakes must be at least 1, got {self.max_overtakes}")
        for name in ("max_wait_seconds", "loop_idle_seconds", "slot_seconds", "max_utilisation"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} must be positive, got {getattr(self, name)!r}")
        for name in ("max_hold_seconds", "max_round_seconds", "most_lead_seconds"):
            if not 0 <= getattr(self, name) < math.inf:
                raise InputError(f"{name} must be finite, 0 or more, got {getattr(self, name)!r}")
        if self.max_hold_seconds > self.loop_idle_seconds:
            raise InputError(
                f"max_hold_seconds ({self.max_hold_seconds}) must not exceed loop_idle_seconds "
                f"({self.loop_idle_seconds}): a device is held for active loops only"
            )


@dataclass(slots=True)
class _Waiting:
    """A job in the queue."""

    job: Job
    since: float
    is_counted: bool  # among its loop's unfinished ones


@dataclass(frozen=True, slots=True)
class _Charge:
    """By how much a running job has moved its tenant's and its session's clock."""

    tenant: float
    session: float
    is_counted: bool  # among its loop's unfinished ones


class _Line:
    """Who waits at one place, by class, tenant and session.

    Its heaps may hold ids of jobs that are gone, but never as the first; none is empty.
    """

    __slots__ = ("by_age", "committed", "loops", "overtaking", "slots", "speculative")

    def __init__(self) -> None:
        self.committed: dict[str, dict[int, list[int]]] = {}
        self.speculative: dict[str, dict[int, list[int]]] = {}
        self.loops: dict[str, list[int]] = {}
        self.by_age: list[int] = []
        self.overtaking: list[int] = []  # ids that started, larger than the oldest that waits
        self.slots: dict[str, None] = {}  # loops that hold one, the oldest slot first


class FairQueue:
    """The order of DESIGN's scheduler: slots for loops, fair shares between them, ageing.

    Example:
        >>> from efaas.model.job import Demand, Job, Usage
        >>> queue = FairQueue(places=("qpu",))
        >>> for job_id, tenant in enumerate(["ada", "ada", "bob"], 1):
        ...     queue.add(Job(job_id, job_id, tenant, ("qpu",), demand=Demand(2.0)), now=0.0)
        >>> [job] = queue.take("qpu", 1, now=0.0)
        >>> queue.started([job], "qpu", now=0.0)
        >>> queue.ended(job, "qpu", Usage(qpu_seconds=2.0), now=2.0)
        >>> [job.tenant, queue.take("qpu", 1, now=2.0)[0].tenant]
        ['ada', 'bob']
    """

    def __init__(
        self,
        places: Sequence[str] = (),
        *,
        cpu_slots: int = 1,
        settings: FairSettings | None = None,
        can_hold: bool = True,
    ) -> None:
        """Begin with nobody waiting.

        Args:
            places: The backends' names; their number is the capacity in QPU seconds per second.
            cpu_slots: The capacity in CPU seconds per second.
            settings: Bounds and times.
            can_hold: Whether somebody will ask again when a hold ends.
        """
        self._settings = settings or FairSettings()
        self._can_hold = can_hold
        qpus = sum(place != CPU for place in places)
        self._capacities = (float(max(qpus, 1)), float(max(cpu_slots, 1)))
        self._tenants = self._shares()
        self._sessions: dict[str, FairShares[int]] = {}
        self._lines: dict[str, _Line] = {}
        self._waiting: dict[int, _Waiting] = {}
        self._present: set[int] = set()  # jobs that wait or run
        self._paces: dict[str, LoopPace] = {}
        self._charged: dict[int, _Charge] = {}  # for a running job
        self._learned: dict[str, tuple[float, float]] = {}
        self._held: dict[str, tuple[str, float, float]] = {}  # loop, since, until
        self.held_seconds: defaultdict[str, float] = defaultdict(float)
        """How long each place was kept free for a loop's next job."""

    def add(self, job: Job, now: float) -> None:
        """Queue a job; a committed one of a loop is what its thinking was about."""
        self._come(job)
        is_counted = job.loop_id is not None and not job.speculative
        if job.loop_id is not None and is_counted:
            pace = self._paces.setdefault(job.loop_id, LoopPace())
            pace.submitted(now, self._settings.loop_idle_seconds)
        self._waiting[job.id] = _Waiting(job, now, is_counted)
        for place in job.places:
            line = self._lines.setdefault(place, _Line())
            by_tenant = line.speculative if job.speculative else line.committed
            by_session = by_tenant.setdefault(job.tenant, {})
            heapq.heappush(by_session.setdefault(job.session_id, []), job.id)
            if not job.speculative:
                heapq.heappush(line.by_age, job.id)
                if job.loop_id is not None:
                    heapq.heappush(line.loops.setdefault(job.loop_id, []), job.id)

    def discard(self, job_id: int) -> Job | None:
        """Take a job out of the queue; None if it was not there."""
        entry = self._waiting.get(job_id)
        if entry is None:
            return None
        self._remove(entry)
        self._left(entry.job)
        if entry.is_counted and entry.job.loop_id is not None:
            pace = self._paces.get(entry.job.loop_id)
            if pace is not None:
                pace.unfinished -= 1
        return entry.job

    def take(self, place: str, limit: int, now: float, *, speculative: bool = True) -> list[Job]:
        """What has waited too long, or a loop in its slot, or whoever is least ahead."""
        line = self._lines.get(place)
        if line is None:
            return []
        oldest = self._oldest(line)
        if oldest is None:
            self._release(line, place, now, ())
        else:
            allowed = self._settings.max_overtakes - len(line.overtaking)
            if allowed <= 0 or now - oldest.since > self._settings.max_wait_seconds:
                return self._round(line, place, oldest, 1, now)
            head = self._in_slot(line, now) or self._next(line, place, now)
            if head is not None:
                return self._round(line, place, head, min(limit, allowed), now)
        if speculative and place not in self._held:
            guess = next(self._least_ahead(line.speculative, place), None)
            if guess is not None:
                return self._round(line, place, guess, limit, now)
        return []

    def held_until(self, place: str) -> float | None:
        """Until when the place is kept free for a loop's next job."""
        held = self._held.get(place)
        return None if held is None else held[2]

    def started(self, jobs: Sequence[Job], place: str, now: float) -> None:
        """Charge what the jobs are expected to take, and count whom they overtake."""
        line = self._lines.setdefault(place, _Line())
        self._release(line, place, now, jobs)
        resource = CPU_SECONDS if place == CPU else QPU_SECONDS
        oldest = self._oldest(line)
        for job in jobs:
            if job.id not in self._present:  # it rides along
                self._come(job)
            seconds = self._estimate(job, resource)
            self._charged[job.id] = _Charge(
                self._tenants.begin(job.tenant, resource, seconds),
                self._sessions[job.tenant].begin(job.session_id, resource, seconds),
                is_counted=job.loop_id is not None and not job.speculative,
            )
            if oldest is not None and not job.speculative and job.id > oldest.job.id:
                heapq.heappush(line.overtaking, job.id)

    def ended(self, job: Job, place: str, usage: Usage, now: float) -> None:
        """Correct the charge by what the job really took."""
        resource = CPU_SECONDS if place == CPU else QPU_SECONDS
        seconds = usage.cpu_seconds if place == CPU else usage.qpu_seconds
        before = self._charged.pop(job.id)
        self._tenants.end(job.tenant, resource, seconds, begun=before.tenant)
        sessions = self._sessions[job.tenant]
        sessions.end(job.session_id, resource, seconds, begun=before.session)
        self._learn(job, resource, seconds)
        self._left(job)
        pace = self._paces.get(job.loop_id or "") if before.is_counted else None
        if pace is not None and job.loop_id is not None:
            pace.served(seconds)
            pace.finished(now)
            line = self._lines[place]
            if pace.slot_seconds > self._settings.slot_seconds and self._oldest(line) is not None:
                line.slots.pop(job.loop_id, None)

    def forget(self, loop_id: str) -> None:
        """A loop will submit nothing more."""
        self._paces.pop(loop_id, None)
        self._learned.pop(loop_id, None)
        for line in self._lines.values():
            line.slots.pop(loop_id, None)
            line.loops.pop(loop_id, None)

    def __len__(self) -> int:
        """How many jobs wait."""
        return len(self._waiting)

    # Who goes first.

    def _oldest(self, line: _Line) -> _Waiting | None:
        """The committed job that has waited longest: none was overtaken more often."""
        ages, overtaking = line.by_age, line.overtaking
        if not ages:
            overtaking.clear()
            return None
        while overtaking and overtaking[0] < ages[0]:
            heapq.heappop(overtaking)
        return self._waiting[ages[0]]

    def _in_slot(self, line: _Line, now: float) -> _Waiting | None:
        """The next job of a loop that holds a slot here, the oldest slot first."""
        for loop_id in list(line.slots):
            pace = self._paces.get(loop_id)
            if pace is None or not pace.is_active(now, self._settings.loop_idle_seconds):
                del line.slots[loop_id]
                continue
            if loop_id in line.loops:
                return self._waiting[line.loops[loop_id][0]]
        return None

    def _next(self, line: _Line, place: str, now: float) -> _Waiting | None:
        """Whoever is least ahead, unless that would not be over when a loop comes back."""
        thinking = self._thinking(line, now)
        entries = self._least_ahead(line.committed, place)
        if thinking is None:
            return next(entries, None)
        loop_id, pace = thinking
        gap = max(pace.expected_at() - now, 0.0)
        until = min(pace.latest_at(), now + self._settings.max_hold_seconds)
        first: _Waiting | None = None
        for count, entry in enumerate(entries, 1):
            seconds = self._estimate(entry.job, QPU_SECONDS)
            if seconds <= gap:
                return entry
            first = first or entry
            if count == _HEADS:
                break
        if first is None:
            return None
        held = self._held.get(place)
        if held is not None and held[0] == loop_id:
            until = held[2]
        wait = max(self._estimate(first.job, QPU_SECONDS) - gap, 0.0)
        if until > now and (held is not None or pace.hold_pays(until - now, wait)):
            self._held[place] = (loop_id, held[1] if held else now, until)
            return None
        return first

    def _thinking(self, line: _Line, now: float) -> tuple[str, LoopPace] | None:
        """The loop in a slot here whose next job is expected first, if any is still expected."""
        if not self._can_hold or not self._settings.max_hold_seconds:
            return None
        paces = [(loop_id, self._paces[loop_id]) for loop_id in line.slots]
        paces = [
            (loop_id, pace)
            for loop_id, pace in paces
            if pace.idle_since is not None and pace.latest_at() > now
        ]
        return min(paces, key=lambda item: item[1].expected_at(), default=None)

    def _least_ahead(
        self, waiting: dict[str, dict[int, list[int]]], place: str
    ) -> Iterator[_Waiting]:
        """The next job of each tenant, whoever is least ahead first.

        A tenant's is that of its session which is least ahead of its others.
        """
        resource = CPU_SECONDS if place == CPU else QPU_SECONDS

        def head(tenant: str) -> _Waiting:
            by_session = waiting[tenant]
            return next(
                _by_lead(
                    self._sessions[tenant],
                    by_session,
                    resource,
                    lambda session_id: self._waiting[by_session[session_id][0]],
                )
            )

        return _by_lead(self._tenants, waiting, resource, head)

    def _waits(self, job_id: int, *, speculative: bool) -> bool:
        entry = self._waiting.get(job_id)
        return entry is not None and entry.job.speculative == speculative

    # Rounds and slots.

    def _round(self, line: _Line, place: str, head: _Waiting, limit: int, now: float) -> list[Job]:
        """The job, and others of its loop or session and class that fit into a round."""
        job = head.job
        by_tenant = line.speculative if job.speculative else line.committed
        is_in_slot = job.loop_id in line.slots and not job.speculative
        ids = line.loops.get(job.loop_id or "") if is_in_slot else None
        if ids is None:
            ids = by_tenant[job.tenant][job.session_id]
        if job.loop_id is not None and not job.speculative:
            self._give_slot(line, job.loop_id, now)
        taken = [job]
        self._remove(head)
        resource = CPU_SECONDS if place == CPU else QPU_SECONDS
        # Nobody's loop waits behind a long round of others; a loop's own steps stay whole.
        is_cut = job.loop_id not in line.slots and bool(line.slots)
        left = self._settings.max_round_seconds if is_cut else math.inf
        left -= self._estimate(job, resource)
        while ids and len(taken) < limit:
            further = self._waiting[ids[0]]
            left -= self._estimate(further.job, resource)
            if left < 0.0:
                break
            taken.append(further.job)
            self._remove(further)
        return taken

    def _give_slot(self, line: _Line, loop_id: str, now: float) -> None:
        """Let an active loop keep the device between its jobs, if there is room."""
        pace = self._paces[loop_id]
        if loop_id in line.slots or not pace.is_active(now, self._settings.loop_idle_seconds):
            return
        used = sum(self._paces[other].utilisation() for other in line.slots)
        if not line.slots or used + pace.utilisation() <= self._settings.max_utilisation:
            line.slots[loop_id] = None
            pace.slot_seconds = 0.0

    def _release(self, line: _Line, place: str, now: float, jobs: Sequence[Job]) -> None:
        """End a hold: it has been of use if the loop has come back. Its time is the loop's."""
        held = self._held.pop(place, None)
        if held is None:
            return
        loop_id, since, _until = held
        self.held_seconds[place] += now - since
        pace = self._paces.get(loop_id)
        if pace is not None:
            pace.settled(any(job.loop_id == loop_id for job in jobs))
            pace.slot_seconds += now - since

    def _remove(self, entry: _Waiting) -> None:
        job = entry.job
        del self._waiting[job.id]
        for place in job.places:
            line = self._lines[place]
            by_tenant = line.speculative if job.speculative else line.committed
            by_session = by_tenant[job.tenant]
            if not self._settled(by_session[job.session_id], speculative=job.speculative):
                del by_session[job.session_id]
                if not by_session:
                    del by_tenant[job.tenant]
            if job.speculative:
                continue
            self._settled(line.by_age, speculative=False)
            loop_id = job.loop_id
            if loop_id in line.loops and not self._settled(line.loops[loop_id], speculative=False):
                del line.loops[loop_id]

    def _settled(self, ids: list[int], *, speculative: bool) -> bool:
        """Drop the jobs that are gone from the head of a heap; whether anybody is left in it."""
        if len(ids) > _GARBAGE + 4 * len(self._waiting):
            ids[:] = [i for i in ids if self._waits(i, speculative=speculative)]
            heapq.heapify(ids)
        while ids and not self._waits(ids[0], speculative=speculative):
            heapq.heappop(ids)
        return bool(ids)

    def _come(self, job: Job) -> None:
        resource = _resource(job)
        self._present.add(job.id)
        self._tenants.arrive(job.tenant, resource, weight=job.weight)
        sessions = self._sessions.get(job.tenant)
        if sessions is None:
            sessions = self._sessions[job.tenant] = self._shares()
        sessions.arrive(job.session_id, resource)

    def _left(self, job: Job) -> None:
        resource = _resource(job)
        self._present.discard(job.id)
        self._tenants.leave(job.tenant, resource)
        self._sessions[job.tenant].leave(job.session_id, resource)

    # What jobs take.

    def _estimate(self, job: Job, resource: int) -> float:
        """Predicted service in seconds: what was declared, corrected by what was learned."""
        declared = job.demand.cpu_seconds if resource == CPU_SECONDS else job.demand.qpu_seconds
        factor, typical = self._learned.get(_kind(job), (1.0, 0.0))
        return declared * factor if declared > 0.0 else typical

    def _learn(self, job: Job, resource: int, seconds: float) -> None:
        declared = job.demand.cpu_seconds if resource == CPU_SECONDS else job.demand.qpu_seconds
        factor, typical = self._learned.get(_kind(job), (0.0, 0.0))
        if declared > 0.0:
            ratio = seconds / declared
            factor += (_GAIN if factor else 1.0) * (ratio - factor)
        typical += (_GAIN if typical else 1.0) * (seconds - typical)
        self._learned[_kind(job)] = (factor or 1.0, typical)

    def _shares(self) -> FairShares[Any]:
        return FairShares(self._capacities, most_lead=self._settings.most_lead_seconds)


def _by_lead(
    shares: FairShares[K], keys: Collection[K], resource: int, head: Callable[[K], _Waiting]
) -> Iterator[_Waiting]:
    """The head of each claimant, whoever is least ahead first; of equals the older job."""
    if len(keys) == 1:
        yield from map(head, keys)
        return
    claimants = list(keys)
    leads = shares.leads(claimants, resource)
    while (least := min(leads, default=math.inf)) < math.inf:
        if leads.count(least) == 1:
            index = leads.index(least)
            leads[index] = math.inf
            yield head(claimants[index])
        else:
            equals = [index for index, lead in enumerate(leads) if lead == least]
            for index in equals:
                leads[index] = math.inf
            yield from sorted([head(claimants[i]) for i in equals], key=lambda it: it.job.id)


def _resource(job: Job) -> int:
    return CPU_SECONDS if job.places == (CPU,) else QPU_SECONDS


def _kind(job: Job) -> str:
    """Jobs whose service is alike: those of a loop, or the other ones of a tenant."""
    return job.loop_id or f"{job.tenant} on {job.places[0]}"
