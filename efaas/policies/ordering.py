"""Who goes first: the protocol of queue orders, and first come first served."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from efaas.model.job import Job, Usage

__all__ = ["FirstComeFirstServed", "Ordering"]


class Ordering(Protocol):
    """The queue of waiting jobs and the order in which they leave it.

    It is told of all that happens to a job: ``add``, then ``discard`` or ``take``, ``started``,
    ``ended``; or ``start_at_once``, then ``ended``. Instants are seconds of one clock and never go
    backwards.
    """

    def add(self, job: Job, now: float) -> None:
        """Queue a job; its class is ``job.speculative``, its places are ``job.places``."""
        ...

    def discard(self, job_id: int) -> Job | None:
        """Take a job out of the queue wherever it stands; None if it was not there."""
        ...

    def take(self, place: str, limit: int, now: float, *, speculative: bool = True) -> list[Job]:
        """Remove and return the jobs that go next at ``place``: at most ``limit``, one class.

        A committed job of several points may be returned with fewer: the rest will be added again
        when those have ended.

        Args:
            place: Where there is a free slot.
            limit: Most jobs.
            now: The present instant.
            speculative: Whether speculative jobs may go now.
        """
        ...

    def start_at_once(self, job: Job, place: str, now: float) -> bool:
        """Start a committed job that finds its one place free and nobody waiting there.

        What follows is the same as after ``add``, ``take`` and ``started``. False if nothing was
        done, and the job has to go that way.
        """
        ...

    def held_until(self, place: str) -> float | None:
        """When to ask again, if the latest ``take`` kept ``place`` free for a job to come."""
        ...

    def started(self, jobs: Sequence[Job], place: str, now: float) -> None:
        """An attempt begins with these jobs, those that ride along included."""
        ...

    def ended(
        self, job: Job, place: str, usage: Usage, now: float, *, goes_on: bool = False
    ) -> None:
        """A job's attempt has ended, well or not, after that much service.

        Args:
            job: The job, with as many points as went.
            place: Where it ran.
            usage: The service.
            now: The present instant.
            goes_on: Whether it is added again at once, because of points that are left or because
                a round failed as a whole.
        """
        ...

    def forget(self, loop_id: str) -> None:
        """A loop will submit nothing more."""
        ...

    def __len__(self) -> int:
        """How many jobs wait."""
        ...


class FirstComeFirstServed:
    """Committed before speculative; within a class in order of submission.

    A promoted job keeps the turn that its submission gave it.
    """

    def __init__(self) -> None:
        self._committed = _Lines()
        self._speculative = _Lines()

    def add(self, job: Job, now: float) -> None:
        """Queue a job behind all that were submitted before it."""
        (self._speculative if job.speculative else self._committed).add(job)

    def discard(self, job_id: int) -> Job | None:
        """Take a job out of the queue; None if it was not there."""
        return self._committed.discard(job_id) or self._speculative.discard(job_id)

    def take(self, place: str, limit: int, now: float, *, speculative: bool = True) -> list[Job]:
        """The oldest committed jobs that may run at ``place``, or else the speculative ones."""
        taken = self._committed.take(place, limit)
        return taken or (self._speculative.take(place, limit) if speculative else [])

    def start_at_once(self, job: Job, place: str, now: float) -> bool:
        """Always: nothing is counted."""
        return True

    def held_until(self, place: str) -> float | None:
        """Never: whoever waits goes."""
        return None

    def started(self, jobs: Sequence[Job], place: str, now: float) -> None:
        """Nothing is counted."""

    def ended(
        self, job: Job, place: str, usage: Usage, now: float, *, goes_on: bool = False
    ) -> None:
        """Nothing is counted."""

    def forget(self, loop_id: str) -> None:
        """Nothing is remembered of loops."""

    def __len__(self) -> int:
        """How many jobs wait."""
        return len(self._committed) + len(self._speculative)


class _Lines:
    """Jobs of one class: a line for each set of places, sorted by job id."""

    def __init__(self) -> None:
        self._jobs: dict[int, Job] = {}
        self._lines: dict[tuple[str, ...], list[int]] = {}

    def add(self, job: Job) -> None:
        self._jobs[job.id] = job
        heapq.heappush(self._lines.setdefault(job.places, []), job.id)

    def discard(self, job_id: int) -> Job | None:
        job = self._jobs.pop(job_id, None)
        if job is not None:
            self._compact(job.places)
        return job

    def take(self, place: str, limit: int) -> list[Job]:
        taken: list[Job] = []
        if not self._jobs:
            return taken
        lines = [line for places, line in self._lines.items() if place in places]
        while len(taken) < limit:
            heads = [line for line in lines if self._settle(line)]
            if not heads:
                break
            first = heads[0] if len(heads) == 1 else min(heads, key=lambda line: line[0])
            taken.append(self._jobs.pop(heapq.heappop(first)))
        for job in taken:
            if not self._lines.get(job.places, True):
                del self._lines[job.places]
        return taken

    def __len__(self) -> int:
        return len(self._jobs)

    def _settle(self, line: list[int]) -> bool:
        """Drop discarded jobs from the head of a line; whether anybody is left in it."""
        while line and line[0] not in self._jobs:
            heapq.heappop(line)
        return bool(line)

    def _compact(self, places: tuple[str, ...]) -> None:
        """Keep the discarded ids in a line fewer than the waiting ones."""
        line = self._lines[places]
        if len(line) > 32 + 2 * len(self._jobs) or not self._settle(line):
            kept = [job_id for job_id in line if job_id in self._jobs]
            if kept:
                heapq.heapify(kept)
                self._lines[places] = kept
            else:
                del self._lines[places]
