"""Who is next on a device, and when: decisions over the books, used under the cloud's lock."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from efaas.testing.runtime_service.job_book import JobBook
    from efaas.testing.runtime_service.records import JobRecord
    from efaas.testing.runtime_service.session_book import SessionBook

__all__ = ["Queueing"]


class Queueing:
    """The order of every device's jobs.

    Jobs of active sessions and batches go first; each kind goes as it came. While a dedicated
    session is active, its device takes no other jobs.

    Attributes:
        stalled: Running jobs that make no progress.
    """

    def __init__(self, jobs: JobBook, sessions: SessionBook) -> None:
        self.stalled: set[str] = set()
        self._jobs = jobs
        self._sessions = sessions

    def waiting(self, device: str) -> Sequence[JobRecord]:
        """The queued jobs of a device, in the order in which it will take them."""
        return self._jobs.queue(device, self._is_privileged)

    def next_job(self, device: str) -> JobRecord | None:
        """The job that an idle device takes now, or None."""
        return next((job for job in self.waiting(device) if not self._is_held(job)), None)

    def estimated_start(self, job: JobRecord, now: float) -> float:
        """When a queued job will start, if every job takes what is expected."""
        start = now
        running = self._jobs.running(job.device)
        if running is not None and running.started_at is not None:
            start = max(start, running.started_at + running.estimated_seconds)
        for ahead in self.waiting(job.device):
            if ahead.id == job.id:
                break
            start += ahead.estimated_seconds
        return start

    def is_at_rest(self, job_id: str, *, is_device_taking: bool) -> bool:
        """Whether nothing will happen to a job unless somebody does something.

        Args:
            job_id: The job.
            is_device_taking: Whether its device takes jobs from the queue.
        """
        if not self._jobs.is_live(job_id) or job_id in self.stalled:
            return True
        job = self._jobs.get(job_id)
        if job.status == "Running":
            return False
        running = self._jobs.running(job.device)
        if running is not None:
            return running.id in self.stalled
        return not is_device_taking or self._is_held(job)

    def _is_privileged(self, job: JobRecord) -> bool:
        """Whether it is in a session or batch that is active."""
        return job.session_id is not None and self._sessions.get(job.session_id).state == "active"

    def _is_held(self, job: JobRecord) -> bool:
        """Whether another's session has its device to itself."""
        holder = self._sessions.holder(job.device)
        return holder is not None and holder.id != job.session_id
