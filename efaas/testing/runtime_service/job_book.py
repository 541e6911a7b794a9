"""All jobs of a service, with what was submitted and what came out; used under the cloud's lock."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from efaas.testing.runtime_service.messages import refuse

if TYPE_CHECKING:
    from efaas.testing.runtime_service.records import JobRecord
    from efaas.testing.runtime_service.work import Work

__all__ = ["JobBook", "Task"]


@dataclass(frozen=True)
class Task:
    """What a device is given to run.

    Attributes:
        job: The job.
        work: What it asks for.
        seeds: One for each point of each item.
    """

    job: JobRecord
    work: Work
    seeds: tuple[tuple[int, ...], ...]


class JobBook:
    """Jobs by id. Those that have not ended are kept apart, since every rule asks for them."""

    def __init__(self) -> None:
        self._jobs: dict[str, JobRecord] = {}
        self._live: dict[str, JobRecord] = {}
        self._bodies: dict[str, bytes] = {}
        self._work: dict[str, tuple[Work, tuple[tuple[int, ...], ...]]] = {}
        self._results: dict[str, str] = {}

    def __iter__(self) -> Iterator[JobRecord]:
        """All jobs, in the order in which they were submitted."""
        return iter(self._jobs.values())

    def __contains__(self, job_id: str) -> bool:
        return job_id in self._jobs

    @property
    def live(self) -> Sequence[JobRecord]:
        """Jobs that have not ended, in the order in which they were submitted."""
        return tuple(self._live.values())

    def is_live(self, job_id: str) -> bool:
        """Whether a job is queued or running."""
        return job_id in self._live

    def get(self, job_id: str) -> JobRecord:
        """A job.

        Raises:
            Refusal: 404.
        """
        if job_id not in self._jobs:
            raise refuse(
                404,
                1291,
                f"Job not found. Job ID: {job_id}",
                "Verify that the correct job ID was specified.",
            )
        return self._jobs[job_id]

    def add(
        self, job: JobRecord, body: bytes, work: Work, seeds: tuple[tuple[int, ...], ...]
    ) -> None:
        """Add a job that was submitted."""
        self._bodies[job.id] = body
        self._work[job.id] = (work, seeds)
        self.put(job)

    def put(self, job: JobRecord, result: str = "") -> None:
        """Replace the record of a job; what is left to run is forgotten when it has ended."""
        self._jobs[job.id] = job
        if result:
            self._results[job.id] = result
        if job.is_final:
            self._live.pop(job.id, None)
            self._work.pop(job.id, None)
        else:
            self._live[job.id] = job

    def remove(self, job_id: str) -> None:
        """Forget a job that has ended."""
        del self._jobs[job_id], self._bodies[job_id]
        self._results.pop(job_id, None)

    def task(self, job: JobRecord) -> Task:
        """What a job that has not ended asks for."""
        return Task(job, *self._work[job.id])

    def body(self, job_id: str) -> bytes:
        """A job's submission."""
        return self._bodies[job_id]

    def result(self, job: JobRecord) -> str:
        """A job's result; "" where it has none. A private one can be read once."""
        if job.is_private:
            return self._results.pop(job.id, "")
        return self._results.get(job.id, "")

    def waiting(self, session_id: str) -> Sequence[JobRecord]:
        """The queued jobs of a session."""
        return [
            job
            for job in self._live.values()
            if job.session_id == session_id and job.status == "Queued"
        ]

    def queue(self, device: str, is_privileged: Callable[[JobRecord], bool]) -> list[JobRecord]:
        """The queued jobs of a device, privileged ones first, each kind as it came."""
        queued = [
            job for job in self._live.values() if job.device == device and job.status == "Queued"
        ]
        return sorted(queued, key=lambda job: (not is_privileged(job), job.number))

    def running(self, device: str) -> JobRecord | None:
        """The job that a device runs, or None."""
        for job in self._live.values():
            if job.device == device and job.status == "Running":
                return job
        return None
