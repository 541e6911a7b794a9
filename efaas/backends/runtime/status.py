"""What is going on at the provider, as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from efaas.errors import ProviderError

if TYPE_CHECKING:
    from efaas.backends.runtime.client import RuntimeClient
    from efaas.backends.runtime.session_state import SessionState
    from efaas.clock import Clock

__all__ = ["PendingJob", "QueueWatch", "RuntimeStatus"]

_SECONDS_PER_PENDING_JOB = 10.0
_DOWN_SECONDS = 3600.0
_LOOK_AGAIN_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class PendingJob:
    """A job on its way.

    Attributes:
        id: The provider's.
        tag: What it is found by.
        state: QUEUED, RUNNING, DONE, ERROR or CANCELLED.
        queue_position: How many are before it; None where the provider does not say.
        expected_start: When it is expected to run, as the provider writes it; None likewise.
        qpu_seconds: What it took so far; None likewise.
        points: How many points are in it.
    """

    id: str
    tag: str
    state: str
    queue_position: int | None
    expected_start: str | None
    qpu_seconds: float | None
    points: int


@dataclass(frozen=True, slots=True)
class RuntimeStatus:
    """A device and what was sent to it; print it for a table.

    Attributes:
        backend: The device.
        is_operational: Whether it takes jobs.
        message: What the provider says of it.
        pending_jobs: Jobs of all users that wait for it.
        mode: What is used now.
        session: The provider session that is open; None if none is.
        session_seconds: How long provider sessions have lasted so far.
        jobs: This program's jobs on their way.
    """

    backend: str
    is_operational: bool
    message: str
    pending_jobs: int
    mode: str
    session: SessionState | None
    session_seconds: float
    jobs: tuple[PendingJob, ...]

    def __str__(self) -> str:
        works = "works" if self.is_operational else "is down"
        lines = [f"{self.backend} {works} ({self.message}); {self.pending_jobs} jobs wait for it"]
        opened = "none open" if self.session is None else f"{self.session.id} open"
        lines.append(f"mode {self.mode}, {opened}, {self.session_seconds:.1f} s of sessions so far")
        for job in self.jobs:
            place = "" if job.queue_position is None else f", place {job.queue_position}"
            start = "" if job.expected_start is None else f", expected at {job.expected_start}"
            lines.append(f"job {job.id}: {job.state}{place}{start}, {job.points} points")
        return "\n".join(lines)


class QueueWatch:
    """How long a new loop would wait at a device, roughly: what it is placed by.

    The provider tells how many jobs wait, not how long they take.
    """

    def __init__(self, client: RuntimeClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._known: tuple[float, float] | None = None  # when it was asked, and the answer

    def seconds(self) -> float:
        """Expected wait; asks the service once in a while, 0 where it does not answer."""
        if self._client.is_local:
            return 0.0
        now = self._clock.now()
        if self._known is None or now >= self._known[0] + _LOOK_AGAIN_SECONDS:
            try:
                status = self._client.device_status()
            except ProviderError:
                self._known = now, 0.0
            else:
                queue = status.pending_jobs * _SECONDS_PER_PENDING_JOB
                self._known = now, queue + (0.0 if status.is_operational else _DOWN_SECONDS)
        return self._known[1]
