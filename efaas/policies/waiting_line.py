"""Who waits at one place: by tenant and session, by loop, and by age."""

from __future__ import annotations

import heapq
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, TypeVar

if TYPE_CHECKING:
    from efaas.model.job import Job

__all__ = ["ByTenant", "Waiting", "WaitingLine"]

_GARBAGE = 256
"""Ids of jobs that are gone which a heap may hold before it is cleared of them."""

K = TypeVar("K", str, int)

ByTenant: TypeAlias = dict[str, dict[int, list[int]]]
"""By tenant and session heaps of the ids of jobs."""


@dataclass(slots=True)
class Waiting:
    """A job in the queue.

    Attributes:
        job: The job.
        since: When it was queued.
    """

    job: Job
    since: float


class WaitingLine:
    """The jobs that may run at a place, in heaps of ids.

    A heap may hold ids of jobs that are gone, but never as the first, and none is empty.

    Attributes:
        committed: By tenant and session the ids of committed jobs.
        speculative: The same of speculative ones.
        loops: By loop the ids of its committed jobs.
    """

    __slots__ = ("_by_age", "_entries", "_overtaking", "committed", "loops", "speculative")

    def __init__(self, entries: Mapping[int, Waiting]) -> None:
        """Begin empty.

        Args:
            entries: All that wait anywhere; jobs that are not in it are gone.
        """
        self._entries = entries
        self.committed: ByTenant = {}
        self.speculative: ByTenant = {}
        self.loops: dict[str, list[int]] = {}
        self._by_age: list[int] = []
        self._overtaking: list[int] = []  # ids that started, larger than the oldest that waits

    def is_empty(self) -> bool:
        """Whether nobody waits here."""
        return not self._by_age and not self.speculative

    def add(self, job: Job) -> None:
        """One more waits."""
        by_tenant = self.speculative if job.speculative else self.committed
        by_session = by_tenant.get(job.tenant)
        if by_session is None:
            # One string a tenant, not one a job: whoever compares tenants reads less memory.
            by_session = by_tenant[sys.intern(job.tenant)] = {}
        _push(by_session, job.session_id, job.id)
        if not job.speculative:
            heapq.heappush(self._by_age, job.id)
            if job.loop_id is not None:
                _push(self.loops, job.loop_id, job.id)

    def gone(self, job: Job) -> None:
        """A job that waited here is gone from the entries."""
        by_tenant = self.speculative if job.speculative else self.committed
        by_session = by_tenant[job.tenant]
        if not self._settled(by_session[job.session_id], job):
            del by_session[job.session_id]
            if not by_session:
                del by_tenant[job.tenant]
        if not job.speculative:
            self._settled(self._by_age, job)
            loop = self.loops.get(job.loop_id) if job.loop_id is not None else None
            if loop is not None and job.loop_id is not None and not self._settled(loop, job):
                del self.loops[job.loop_id]

    def oldest(self) -> Waiting | None:
        """The committed job that has waited longest: none was overtaken more often."""
        if not self._by_age:
            self._overtaking.clear()
            return None
        first, overtaking = self._by_age[0], self._overtaking
        while overtaking and overtaking[0] < first:
            heapq.heappop(overtaking)
        return self._entries[first]

    def overtakes(self) -> int:
        """How many jobs started that are younger than ``oldest``, as of when that was called."""
        return len(self._overtaking)

    def started(self, job: Job) -> None:
        """A job that has left the line starts here; counted if it overtakes the oldest."""
        if not job.speculative and self._by_age and job.id > self._by_age[0]:
            heapq.heappush(self._overtaking, job.id)

    def head(self, ids: list[int]) -> Waiting:
        """The first of one of this line's heaps."""
        return self._entries[ids[0]]

    def _settled(self, ids: list[int], left: Job) -> bool:
        """Drop the jobs that are gone from the head of a heap; whether anybody is left in it."""
        is_speculative = left.speculative
        if len(ids) > _GARBAGE + 4 * len(self._entries):
            ids[:] = [i for i in ids if self._waits(i, is_speculative)]
            heapq.heapify(ids)
        while ids and not self._waits(ids[0], is_speculative):
            heapq.heappop(ids)
        return bool(ids)

    def _waits(self, job_id: int, is_speculative: bool) -> bool:
        """A promoted job has left its old class's heaps, though it waits."""
        entry = self._entries.get(job_id)
        return entry is not None and entry.job.speculative == is_speculative


def _push(heaps: dict[K, list[int]], key: K, job_id: int) -> None:
    ids = heaps.get(key)
    if ids is None:
        heaps[key] = [job_id]
    else:
        heapq.heappush(ids, job_id)
