"""Dual-resource fair queueing: active loops first within their share, and nobody starves.

Between tenants, and between the sessions of a tenant, whoever is least ahead of its share of QPU
and CPU time goes first (``FairShares``). A loop that iterates is given a slot on its device when
its turn comes: until the slot's service is used up its jobs go at once, and while it computes its
next step the device may be kept for it (``LoopSlots``). Ageing bounds every wait.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from efaas.model.job import CPU
from efaas.policies.fair_settings import FairSettings
from efaas.policies.fair_shares import CPU_SECONDS, QPU_SECONDS, FairShares
from efaas.policies.loop_slots import LoopSlots
from efaas.policies.service_prediction import ServicePrediction
from efaas.policies.waiting_line import ByTenant, Waiting, WaitingLine

if TYPE_CHECKING:
    from efaas.model.job import Job, Usage

__all__ = ["FairQueue"]

K = TypeVar("K", str, int)

_NOBODY: list[int] = []

_HEADS = 6
"""Tenants whose next job is looked at for one that fits a gap."""


@dataclass(slots=True)
class _Charge:
    """By how much a running job has moved its tenant's and its session's clock."""

    tenant: float
    session: float
    is_present: bool  # it did not start as a guess


class FairQueue:
    """Slots for loops, fair shares between them, ageing.

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
        self._tenants: FairShares[str] = self._shares()
        self._sessions: dict[str, FairShares[int]] = {}
        self._lines: dict[str, WaitingLine] = {}
        self._waiting: dict[int, Waiting] = {}
        self._present: set[int] = set()  # jobs that wait or run
        self._charged: dict[int, _Charge] = {}  # for a running job
        self._loops = LoopSlots(self._settings)
        self._owners: dict[str, tuple[int, float]] = {}  # the session served last, and since when
        self._prediction = ServicePrediction()
        self._now = -math.inf

    @property
    def held_seconds(self) -> defaultdict[str, float]:
        """How long each place was kept free for a loop's next job."""
        return self._loops.held_seconds

    def add(self, job: Job, now: float) -> None:
        """Queue a job; a committed one of a loop is what its thinking was about."""
        self._now = now
        self._come(job)
        if job.loop_id is not None and not job.speculative:
            self._loops.submitted(job.loop_id, now)
        self._waiting[job.id] = Waiting(job, now)
        for place in job.places:
            self._line(place).add(job)

    def discard(self, job_id: int) -> Job | None:
        """Take a job out of the queue; None if it was not there."""
        entry = self._waiting.get(job_id)
        if entry is None:
            return None
        job = entry.job
        self._remove(job)
        self._left(job)
        if job.loop_id is not None and not job.speculative:
            self._loops.withdrawn(job.loop_id, self._now)
        return job

    def take(self, place: str, limit: int, now: float, *, speculative: bool = True) -> list[Job]:
        """What has waited too long, or a loop in its slot, or whoever is least ahead."""
        line = self._lines.get(place)
        if line is None:
            return []
        oldest = line.oldest()
        if oldest is None:
            self._loops.release(place, now, ())
        else:
            allowed = self._settings.max_overtakes - line.overtakes()
            if allowed <= 0 or now - oldest.since > self._settings.max_wait_seconds:
                return self._round(line, place, oldest.job, 1, now)
            head = self._in_slot(line, place, now)
            if head is not None:
                return self._round(line, place, head.job, min(limit, allowed), now)
            following = self._next(line, place, now)
            if following is not None:
                entry, seconds = following
                return self._round(line, place, entry.job, min(limit, allowed), now, seconds)
        if speculative and line.speculative and self._loops.held_until(place) is None:
            guess = self._least_ahead(line, line.speculative, place)
            return self._round(line, place, guess.job, limit, now)
        return []

    def start_at_once(self, job: Job, place: str, now: float) -> bool:
        """The short way of ``add``, ``take`` and ``started``: no line, no heap, no comparison.

        Only where no loop holds a slot, or only its own does: the place could be held for it.
        """
        line = self._line(place)
        if not line.is_empty() or self._loops.held_until(place) is not None:
            return False
        loop_id = job.loop_id
        if self._loops.any_at(place):
            return False
        self._now = now
        self._come(job)
        if loop_id is not None:
            self._loops.submitted(loop_id, now)
            self._loops.give(loop_id, place, now)
        line.oldest()
        self._charge(job, CPU_SECONDS if place == CPU else QPU_SECONDS)
        self._own(place, job.session_id, now)
        return True

    def held_until(self, place: str) -> float | None:
        """Until when the place is kept free for a loop's next job."""
        return self._loops.held_until(place)

    def started(self, jobs: Sequence[Job], place: str, now: float) -> None:
        """Charge what the jobs are expected to take, and count whom they overtake."""
        line = self._line(place)
        self._loops.release(place, now, jobs)
        resource = CPU_SECONDS if place == CPU else QPU_SECONDS
        line.oldest()
        for job in jobs:
            if job.id not in self._present:  # it rides along
                self._come(job)
            self._charge(job, resource)
            self._own(place, job.session_id, now)
            line.started(job)

    def ended(
        self, job: Job, place: str, usage: Usage, now: float, *, goes_on: bool = False
    ) -> None:
        """Correct the charge by what the job really took."""
        self._now = now
        if place == CPU:
            resource, seconds = CPU_SECONDS, usage.cpu_seconds
        else:
            resource, seconds = QPU_SECONDS, usage.qpu_seconds
        before = self._charged.pop(job.id)
        sessions = self._sessions[job.tenant]
        if before.is_present:
            self._tenants.end_and_leave(job.tenant, resource, seconds, begun=before.tenant)
            sessions.end_and_leave(job.session_id, resource, seconds, begun=before.session)
        else:
            self._tenants.end(job.tenant, resource, seconds, begun=before.tenant)
            sessions.end(job.session_id, resource, seconds, begun=before.session)
            self._tenants.leave_aside(job.tenant)
            sessions.leave_aside(job.session_id)
        self._present.discard(job.id)
        self._prediction.learn(job, resource, seconds)
        if before.is_present and job.loop_id is not None:
            is_used_up = self._loops.ended(job.loop_id, place, seconds, now, goes_on=goes_on)
            if is_used_up and self._lines[place].oldest() is not None:
                self._loops.give_back(job.loop_id, place)

    def forget(self, loop_id: str) -> None:
        """A loop will submit nothing more."""
        self._loops.forget(loop_id)
        self._prediction.forget(loop_id)

    def __len__(self) -> int:
        """How many jobs wait."""
        return len(self._waiting)

    # Who goes first.

    def _in_slot(self, line: WaitingLine, place: str, now: float) -> Waiting | None:
        """The next job of a loop that holds a slot here, the oldest slot first."""
        if self._loops.any_at(place):
            for loop_id in self._loops.active(place, now):
                if loop_id in line.loops:
                    return line.head(line.loops[loop_id])
        return None

    def _next(self, line: WaitingLine, place: str, now: float) -> tuple[Waiting, float] | None:
        """Whoever is least ahead, unless that would not be over when a loop comes back.

        Returns:
            The job, of which one point at least goes now, and for how long a round with it may
            take; None to keep the place free.
        """
        most = self._settings.max_round_seconds
        thinking = self._loops.thinking(place, now) if self._can_hold else None
        if thinking is None:
            return self._least_ahead(line, line.committed, place), most
        loop_id, pace = thinking
        gap = max(pace.expected_at() - now, 0.0)
        first: tuple[Waiting, float] | None = None
        for entry in islice(self._by_lead(line, place), _HEADS):
            job = entry.job  # of which one point has to go before another job can
            least = self._prediction.seconds(job, QPU_SECONDS) / job.points
            if least <= gap:
                return entry, min(gap, most)
            first = first or (entry, least)
        if first is None:
            return None
        entry, least = first
        if self._loops.hold(place, loop_id, pace, max(least - gap, 0.0), now):
            return None
        return entry, min(least, most)  # no more: the loop may come at any time

    def _least_ahead(self, line: WaitingLine, waiting: ByTenant, place: str) -> Waiting:
        """The next job of the tenant that is least ahead; of equals the older one."""
        resource = CPU_SECONDS if place == CPU else QPU_SECONDS
        tenants = self._tenants.least_ahead(waiting, resource)
        return min([self._head(line, t, waiting[t], resource) for t in tenants], key=_id_of)

    def _by_lead(self, line: WaitingLine, place: str) -> Iterator[Waiting]:
        """The next job of each tenant, whoever is least ahead first."""
        resource = CPU_SECONDS if place == CPU else QPU_SECONDS
        waiting = line.committed
        ranked, some_are_equal = self._tenants.ranked(waiting, resource)
        if not some_are_equal:
            return (self._head(line, t, waiting[t], resource) for t in ranked)
        return (
            head
            for tenants in self._tenants.equals(ranked, resource)
            for head in sorted(
                [self._head(line, t, waiting[t], resource) for t in tenants], key=_id_of
            )
        )

    def _head(
        self, line: WaitingLine, tenant: str, by_session: dict[int, list[int]], resource: int
    ) -> Waiting:
        """A tenant's next job: that of its session which is least ahead of its others."""
        if len(by_session) == 1:
            [ids] = by_session.values()
            return line.head(ids)
        sessions = self._sessions[tenant].least_ahead(by_session, resource)
        return min([line.head(by_session[session_id]) for session_id in sessions], key=_id_of)

    # Rounds.

    def _round(
        self,
        line: WaitingLine,
        place: str,
        job: Job,
        limit: int,
        now: float,
        seconds: float | None = None,
    ) -> list[Job]:
        """The job, and others of its loop, session and class that fit into a round.

        Nobody's loop waits behind a long round of others: where one holds a slot, a round takes
        ``seconds`` at most, and a job of several points is cut. A loop's own steps stay whole.
        """
        loop_id = job.loop_id if not job.speculative else None
        own, others = self._companions(line, place, job, now) if limit > 1 else (_NOBODY, _NOBODY)
        if loop_id is not None:
            self._loops.give(loop_id, place, now)
        self._remove(job)
        is_contended = self._loops.any_at(place)
        is_cut = is_contended and not self._loops.holds(job.loop_id, place)
        if not own and not others and not (is_cut and job.points > 1):
            return [job]
        resource = CPU_SECONDS if place == CPU else QPU_SECONDS
        most = self._settings.max_round_seconds
        left = math.inf
        if is_cut:
            left = most if seconds is None else seconds
        taken: list[Job] = []
        further = job
        while True:
            predicted = self._prediction.seconds(further, resource)
            if predicted > left and further.points > 1 and not further.speculative:
                points = int(further.points * left / predicted)
                if points or not taken:
                    taken.append(further.part(max(points, 1)))
                    if taken[1:]:
                        self._remove(further)
                return taken
            if predicted > left and taken:
                return taken
            taken.append(further)
            if taken[1:]:
                self._remove(further)
            left -= predicted
            most -= predicted
            if len(taken) >= limit or not (own or others):
                return taken
            if is_contended and not own:
                left = min(left, most)
            further = line.head(own or others).job

    def _companions(
        self, line: WaitingLine, place: str, job: Job, now: float
    ) -> tuple[list[int], list[int]]:
        """Heaps of jobs that may share its round: of its loop, if in a slot, and of its session.

        A slot is that of one loop: others of its session go along where the device is that
        session's: nobody else waits, nor was served for as long as a loop may be idle.
        """
        by_tenant = line.speculative if job.speculative else line.committed
        by_session = by_tenant[job.tenant]
        of_session = by_session[job.session_id]
        if job.loop_id is None or job.speculative or not self._loops.holds(job.loop_id, place):
            return _NOBODY, of_session
        owner, since = self._owners.get(place, (job.session_id, -math.inf))
        was_alone = owner == job.session_id and now - since > self._settings.loop_idle_seconds
        is_alone = was_alone and len(by_tenant) == len(by_session) == 1
        return line.loops[job.loop_id], of_session if is_alone else _NOBODY

    # The books.

    def _line(self, place: str) -> WaitingLine:
        line = self._lines.get(place)
        if line is None:
            line = self._lines[place] = WaitingLine(self._waiting)
        return line

    def _remove(self, job: Job) -> None:
        del self._waiting[job.id]
        for place in job.places:
            self._lines[place].gone(job)

    def _come(self, job: Job) -> None:
        resource = CPU_SECONDS if job.places[0] == CPU else QPU_SECONDS
        self._present.add(job.id)
        sessions = self._sessions.get(job.tenant)
        if sessions is None:
            sessions = self._sessions[job.tenant] = self._shares()
        if job.speculative:  # no committed job's turn depends on guesses that wait
            self._tenants.arrive_aside(job.tenant, resource, weight=job.weight)
            sessions.arrive_aside(job.session_id, resource)
        else:
            self._tenants.arrive(job.tenant, resource, weight=job.weight)
            sessions.arrive(job.session_id, resource)

    def _left(self, job: Job) -> None:
        resource = CPU_SECONDS if job.places[0] == CPU else QPU_SECONDS
        self._present.discard(job.id)
        if job.speculative:
            self._tenants.leave_aside(job.tenant)
            self._sessions[job.tenant].leave_aside(job.session_id)
        else:
            self._tenants.leave(job.tenant, resource)
            self._sessions[job.tenant].leave(job.session_id, resource)

    def _charge(self, job: Job, resource: int) -> None:
        seconds = self._prediction.seconds(job, resource)
        self._charged[job.id] = _Charge(
            self._tenants.begin(job.tenant, resource, seconds),
            self._sessions[job.tenant].begin(job.session_id, resource, seconds),
            not job.speculative,
        )

    def _own(self, place: str, session_id: int, now: float) -> None:
        """Note that a session is served there."""
        owner = self._owners.get(place)
        if owner is None:
            self._owners[place] = (session_id, -math.inf)
        elif owner[0] != session_id:
            self._owners[place] = (session_id, now)

    def _shares(self) -> FairShares[Any]:
        return FairShares(self._capacities, most_lead=self._settings.most_lead_seconds)


def _id_of(entry: Waiting) -> int:
    return entry.job.id
