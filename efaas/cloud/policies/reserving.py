"""The order of reservations: a device belongs to a loop for a while, whoever else waits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from efaas.model.job import Job, Usage

__all__ = ["Reserving"]


class Reserving:
    """First come first served, but a loop that has got a device keeps it.

    Example:
        >>> from efaas.model.job import Job
        >>> line = Reserving()
        >>> line.add(Job(1, 1, "ada", ("qpu",), loop_id="vqe"), now=0.0)
        >>> line.add(Job(2, 2, "bob", ("qpu",)), now=0.0)
        >>> [job] = line.take("qpu", 1, now=0.0)
        >>> line.started([job], "qpu", now=0.0)
        >>> line.take("qpu", 1, now=2.0), line.held_until("qpu")
        ([], inf)
    """

    def __init__(
        self,
        *,
        idle_seconds: float = math.inf,
        longest_seconds: float = math.inf,
        lines_up_again: bool = False,
    ) -> None:
        """Begin with nobody waiting.

        Args:
            idle_seconds: A device that its loop has left idle for longer is free again.
            longest_seconds: So it is when the loop has had it for longer.
            lines_up_again: Whether a loop gives its device back after every job, and stands in
                line for it again at once: it keeps the device, idle, as soon as its turn comes.
        """
        self._idle_seconds = idle_seconds
        self._longest_seconds = longest_seconds
        self._lines_up_again = lines_up_again
        self._waiting: dict[int, tuple[Job, float]] = {}
        self._of_loop: dict[str | None, dict[int, tuple[Job, float]]] = {}
        self._owner: dict[str, str] = {}
        self._since: dict[str, float] = {}  # the place belongs to its owner
        self._idle_since: dict[str, float] = {}
        self._next: dict[str, tuple[str, float]] = {}  # who lines up for the place, from when on

    def add(self, job: Job, now: float) -> None:
        """Queue a job."""
        self._waiting[job.id] = (job, now)
        self._of_loop.setdefault(job.loop_id, {})[job.id] = (job, now)

    def discard(self, job_id: int) -> Job | None:
        """Take a job out of the queue; None if it was not there."""
        entry = self._waiting.pop(job_id, None)
        if entry is None:
            return None
        del self._of_loop[entry[0].loop_id][job_id]
        return entry[0]

    def take(self, place: str, limit: int, now: float, *, speculative: bool = True) -> list[Job]:
        """A job of the owner; where there is none, the oldest that waits."""
        self._settle(place, now)
        owner = self._owner.get(place)
        line = self._waiting if owner is None else self._of_loop.get(owner, {})
        wanted = limit if owner is not None else min(limit, 1)
        chosen = (job for job, _ in line.values() if self._may_go(job, place, owner))
        taken = list(islice(chosen, wanted))
        for job in taken:
            self.discard(job.id)
        return taken

    def start_at_once(self, job: Job, place: str, now: float) -> bool:
        """Never: the place may be somebody's."""
        return False

    def held_until(self, place: str) -> float | None:
        """When the owner's time is up, if the place has one."""
        if place not in self._owner:
            return None
        idle = self._idle_since.get(place, math.inf)
        return min(idle + self._idle_seconds, self._since[place] + self._longest_seconds)

    def started(self, jobs: Sequence[Job], place: str, now: float) -> None:
        """A loop's job makes the place its loop's own."""
        loop_id = jobs[0].loop_id
        self._idle_since.pop(place, None)
        if loop_id is not None and self._owner.get(place) != loop_id:
            self._owner[place] = loop_id
            self._since[place] = now

    def ended(
        self, job: Job, place: str, usage: Usage, now: float, *, goes_on: bool = False
    ) -> None:
        """The owner thinks now, or stands in line again."""
        if job.loop_id is None or self._owner.get(place) != job.loop_id:
            return
        self._idle_since[place] = now
        if self._lines_up_again:
            del self._owner[place]
            self._next[place] = (job.loop_id, now)

    def forget(self, loop_id: str) -> None:
        """Its device is free."""
        for place in [place for place, owner in self._owner.items() if owner == loop_id]:
            del self._owner[place]
        for place in [place for place, (owner, _) in self._next.items() if owner == loop_id]:
            del self._next[place]
        if not self._of_loop.get(loop_id, True):
            del self._of_loop[loop_id]

    def __len__(self) -> int:
        """How many jobs wait."""
        return len(self._waiting)

    def _settle(self, place: str, now: float) -> None:
        """Whose the place is now."""
        until = self.held_until(place)
        if until is not None and until <= now:
            del self._owner[place]
        if place in self._next and place not in self._owner:
            loop_id, since = self._next[place]
            others = (at for job, at in self._waiting.values() if _is_other(job, place, loop_id))
            first = next(others, None)
            if first is None or first > since:
                del self._next[place]
                self._owner[place] = loop_id
                self._since[place] = now

    def _may_go(self, job: Job, place: str, owner: str | None) -> bool:
        """Nobody goes where another owns the place; owners go nowhere else."""
        if place not in job.places:
            return False
        if owner is not None:
            return job.loop_id == owner
        if job.loop_id is None or self._lines_up_again:
            lined_up = self._next.get(place)
            return lined_up is None or job.loop_id != lined_up[0]
        return job.loop_id not in self._owner.values()


def _is_other(job: Job, place: str, loop_id: str) -> bool:
    return job.loop_id != loop_id and place in job.places
