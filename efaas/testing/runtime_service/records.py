"""What the service knows of a job: a frozen record, replaced at every change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Charge", "JobRecord", "JobStatus"]

JobStatus = Literal["Queued", "Running", "Completed", "Cancelled", "Failed"]


@dataclass(frozen=True, slots=True)
class JobRecord:
    """A job at one instant. Instants are seconds of the service's clock.

    Attributes:
        id: Its id.
        device: The name of the device it was sent to.
        program: "estimator", "sampler" or "executor".
        status: As the service names it.
        created_at: When it was submitted.
        number: How many jobs had been submitted before it.
        tags: In the order given.
        session_id: Its session or batch, or None.
        is_private: Whether inputs and results are kept from the job's description.
        max_seconds: QPU seconds after which it is stopped.
        estimated_seconds: QPU seconds it is expected to take.
        num_pubs: Pubs, or items of its quantum program.
        num_circuits: Circuits, bound to their parameters, that it executes.
        executions: Shots over all of them.
        payload_bytes: Size of its submission.
        evaluations: One digest for each point of each pub: the same circuit, observables, angles
            and shots give the same digest.
        started_at: When it began to run, or None.
        finished_at: When it reached its last status, or None.
        qpu_seconds: What it took.
        calibration_id: The calibration that it asked for, or ran under, or None.
        reason: Why it failed or was cancelled, or "".
        reason_code: The service's code of that, or None.
    """

    id: str
    device: str
    program: str
    status: JobStatus
    created_at: float
    number: int
    tags: tuple[str, ...]
    session_id: str | None
    is_private: bool
    max_seconds: float
    estimated_seconds: float
    num_pubs: int
    num_circuits: int
    executions: int
    payload_bytes: int
    evaluations: tuple[str, ...]
    started_at: float | None = None
    finished_at: float | None = None
    qpu_seconds: float = 0.0
    calibration_id: str | None = None
    reason: str = ""
    reason_code: int | None = None

    @property
    def is_final(self) -> bool:
        """Whether nothing more happens to it."""
        return self.status not in ("Queued", "Running")


@dataclass(frozen=True, slots=True)
class Charge:
    """One entry of the bill.

    Attributes:
        what: "job" or "session".
        id: Of the job or session.
        seconds: What is paid for: the job's QPU seconds, or the session's time on the wall.
        at: When it was entered, in seconds of the service's clock.
    """

    what: Literal["job", "session"]
    id: str
    seconds: float
    at: float
