"""What a journal holds, as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = [
    "Answer",
    "JobSpend",
    "LoopRecord",
    "ProviderSessionRecord",
    "Question",
    "Reservation",
    "Spend",
    "Submission",
    "SubmissionState",
]

SubmissionState: TypeAlias = Literal["sent", "accepted", "done", "failed", "lost"]
"""``sent``: about to go out; whether it arrived is not known. ``accepted``: the provider gave it an
id. ``done``: its values are in the journal. ``failed``: it ended without them. ``lost``: the
provider has never heard of it."""


@dataclass(frozen=True, slots=True)
class Question:
    """A point that was asked for.

    Attributes:
        key: Its seed, 16 bytes: a function of the session's seed, the loop's name with the
            experiment's fingerprint in it, the point, the shots, and the occurrence.
        occurrence: How often the point had been asked for, this time included.
        shots: Shots of each measurement setting, or None for exact expectations.
        angles: The slots' angles, as bytes of float64.
        parameters: The user's parameters, as bytes of float64; None where there are none.
        wanted: The indices of the observables that were asked for; None for all of them.
    """

    key: bytes
    occurrence: int
    shots: int | None
    angles: bytes
    parameters: bytes | None = None
    wanted: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for a point.

    Attributes:
        key: Which one.
        value: The value as ``efaas.journal.values`` writes it, without loss.
        backend: Where it ran.
        calibration_id: The calibration that it ran under.
        qpu_seconds: The point's share of what its evaluation used.
        cpu_seconds: Likewise.
    """

    key: bytes
    value: bytes
    backend: str
    calibration_id: str | None = None
    qpu_seconds: float = 0.0
    cpu_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Submission:
    """Work that was handed to a provider, as it was written down before anybody waited for it.

    Attributes:
        tag: Unique, and put on the provider's job, so that it is found even if its id was lost.
        job_id: The provider's id; None if its answer never arrived.
        backend: The backend that sent it.
        payload: What the backend wrote down to be able to read the result later.
        parts: The number of points of each of its evaluations, in the job's order.
    """

    tag: str
    job_id: str | None
    backend: str
    payload: str
    parts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Reservation:
    """What a job at a provider may take.

    Attributes:
        expected_seconds: The QPU time that it is expected to take.
        reserved_seconds: The QPU time that is set aside for it.
        is_billed: Whether its QPU time is what money goes for, not that of its session.
    """

    expected_seconds: float
    reserved_seconds: float
    is_billed: bool = True


@dataclass(frozen=True, slots=True)
class JobSpend:
    """What a job of an earlier run has cost.

    Attributes:
        tag: The job's.
        job_id: The provider's id; None if its answer never arrived.
        reservation: What it was given.
        qpu_seconds: What it took; None where the provider had not said so.
        has_ended: Whether it was seen to end.
    """

    tag: str
    job_id: str | None
    reservation: Reservation
    qpu_seconds: float | None
    has_ended: bool


@dataclass(frozen=True, slots=True)
class ProviderSessionRecord:
    """A provider session of an earlier run.

    Attributes:
        id: The provider's.
        mode: "session" or "batch".
        seconds: How long it lasted from its first job on, as far as that was seen.
        has_ended: Whether it was seen to end; otherwise it may be open still.
    """

    id: str
    mode: str
    seconds: float
    has_ended: bool


@dataclass(frozen=True, slots=True)
class LoopRecord:
    """A loop that was opened.

    Attributes:
        name: Its name in its session.
        fingerprint: Its experiment's.
        backend: Where it is pinned.
        calibration_id: The calibration that it was compiled for.
        parameter_names: Of the user's parameters.
    """

    name: str
    fingerprint: str
    backend: str
    calibration_id: str
    parameter_names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Spend:
    """What everything in a journal has cost, over all runs.

    Attributes:
        evaluations: Points with a value.
        submissions: Rounds that were handed to a backend.
        qpu_seconds: Measured QPU seconds of those points.
        cpu_seconds: Measured CPU seconds of those points.
    """

    evaluations: int = 0
    submissions: int = 0
    qpu_seconds: float = 0.0
    cpu_seconds: float = 0.0
