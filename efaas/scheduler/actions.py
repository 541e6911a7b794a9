"""What the scheduler asks to be done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

__all__ = ["Action", "Dispatch", "Fail", "Pin", "Resolve", "Wake"]


@dataclass(slots=True)
class Dispatch:
    """Start an attempt: send these jobs to this place in one round.

    Attributes:
        attempt_id: Names it when it ends.
        place: Where.
        job_ids: The jobs.
        cut: For jobs of which only the next points go now, how many; the rest goes later.
    """

    attempt_id: int
    place: str
    job_ids: tuple[int, ...]
    cut: Mapping[int, int] | None = field(default=None, repr=False)


@dataclass(slots=True)
class Resolve:
    """The job's result is in: give it to whoever waits."""

    job_id: int


@dataclass(slots=True)
class Fail:
    """The job's last attempt failed: give its error to whoever waits."""

    job_id: int


@dataclass(slots=True)
class Pin:
    """The loop runs on this backend from now on."""

    loop_id: str
    place: str


@dataclass(slots=True)
class Wake:
    """Tell the scheduler when that instant has come: it keeps the place free until then."""

    place: str
    at: float


Action: TypeAlias = Dispatch | Resolve | Fail | Pin | Wake
