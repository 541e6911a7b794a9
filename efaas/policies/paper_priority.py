"""The priority rule of EFaaS (arXiv 2605.27540), for comparison.

``rho = alpha [in a loop] + beta max(0, tau - dt) / tau + gamma W``: ``dt`` is the time since the
loop's last shot, ``tau`` how long a calibration counts as valid, ``W`` how long the job has waited.
It is strict: a batch job waits as long as loops keep the device busy, or its ``W`` outgrows alpha.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from efaas.errors import InputError

if TYPE_CHECKING:
    from efaas.model.job import Job, Usage

__all__ = ["PaperPriority"]


class PaperPriority:
    """The job of greatest ``rho`` first, and others of its session with it.

    Example:
        >>> from efaas.model.job import Job
        >>> queue = PaperPriority()
        >>> queue.add(Job(1, 1, "ada", ("qpu",)), now=0.0)
        >>> queue.add(Job(2, 2, "bob", ("qpu",), loop_id="vqe"), now=1.0)
        >>> [job.id for job in queue.take("qpu", 2, now=1.0)]
        [2]
    """

    def __init__(
        self,
        *,
        alpha: float = 100.0,
        beta: float = 5.0,
        gamma: float = 1.0,
        validity_seconds: float = 300.0,
    ) -> None:
        """Begin with nobody waiting; the defaults are the paper's.

        Args:
            alpha: What a job of a loop has over others.
            beta: What it has more if its loop ran just now.
            gamma: What a second of waiting adds.
            validity_seconds: After which a calibration is taken for invalid, ``tau``; positive.
        """
        if not validity_seconds > 0:
            raise InputError(f"validity_seconds must be positive, got {validity_seconds!r}")
        for name, value in (("alpha", alpha), ("beta", beta), ("gamma", gamma)):
            if not 0 <= value < math.inf:
                raise InputError(f"{name} must be finite, 0 or more, got {value!r}")
        self._alpha, self._beta, self._gamma = alpha, beta, gamma
        self._validity_seconds = validity_seconds
        self._waiting: dict[int, tuple[Job, float]] = {}
        # By place, class and loop (None for jobs of none): ids, the oldest first.
        self._lines: dict[tuple[str, bool], dict[str | None, list[int]]] = {}
        self._last_shot_at: dict[str, float] = {}

    def add(self, job: Job, now: float) -> None:
        """Queue a job."""
        self._waiting[job.id] = (job, now)
        for place in job.places:
            lines = self._lines.setdefault((place, job.speculative), {})
            heapq.heappush(lines.setdefault(job.loop_id, []), job.id)

    def discard(self, job_id: int) -> Job | None:
        """Take a job out of the queue; None if it was not there."""
        entry = self._waiting.pop(job_id, None)
        return None if entry is None else entry[0]

    def take(self, place: str, limit: int, now: float, *, speculative: bool = True) -> list[Job]:
        """The committed job of greatest priority at ``place``, or else the speculative one."""
        return self._taken(place, limit, now, is_speculative=False) or (
            self._taken(place, limit, now, is_speculative=True) if speculative else []
        )

    def priority(self, job: Job, since: float, now: float) -> float:
        """``rho`` of a job that has waited since then."""
        waited = self._gamma * (now - since)
        if job.loop_id is None:
            return waited
        fresh = 0.0
        if job.loop_id in self._last_shot_at:
            left = self._validity_seconds - (now - self._last_shot_at[job.loop_id])
            fresh = max(left, 0.0) / self._validity_seconds
        return self._alpha + self._beta * fresh + waited

    def start_at_once(self, job: Job, place: str, now: float) -> bool:
        """Always: nothing is counted before the shot."""
        return True

    def held_until(self, place: str) -> float | None:
        """Never: whoever waits goes."""
        return None

    def started(self, jobs: Sequence[Job], place: str, now: float) -> None:
        """Nothing is counted."""

    def ended(
        self, job: Job, place: str, usage: Usage, now: float, *, goes_on: bool = False
    ) -> None:
        """The loop has had its last shot now."""
        if job.loop_id is not None:
            self._last_shot_at[job.loop_id] = now

    def forget(self, loop_id: str) -> None:
        """A loop will submit nothing more."""
        self._last_shot_at.pop(loop_id, None)

    def __len__(self) -> int:
        """How many jobs wait."""
        return len(self._waiting)

    def _taken(self, place: str, limit: int, now: float, *, is_speculative: bool) -> list[Job]:
        lines = self._lines.get((place, is_speculative), {})
        taken: list[Job] = []
        while len(taken) < limit:
            best: tuple[float, int] | None = None
            for loop_id, ids in list(lines.items()):
                head = self._head(ids, is_speculative=is_speculative)
                if head is None:
                    del lines[loop_id]
                    continue
                job, since = head
                if taken and job.session_id != taken[0].session_id:
                    continue
                rank = (-self.priority(job, since, now), job.id)
                best = rank if best is None else min(best, rank)
            if best is None:
                break
            taken.append(self._waiting.pop(best[1])[0])
        return taken

    def _head(self, ids: list[int], *, is_speculative: bool) -> tuple[Job, float] | None:
        """Who has waited longest: within a loop nothing else tells jobs apart."""
        while ids:
            entry = self._waiting.get(ids[0])
            if entry is not None and entry[0].speculative == is_speculative:
                return entry
            heapq.heappop(ids)
        return None
