"""Which points go into which job of the provider: as few jobs as its limits allow, in order.

Pure. Points of one experiment that want the same observables share a pub, whoever asked for them:
its circuit is then prepared and sent once. Pubs share a job if they are estimates, or samples, of
the same number of shots, since the vendor's primitives take one for a job. What comes first is
what is committed, and guesses come after it; jobs keep that order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from efaas.errors import InputError
from efaas.model.quantities import is_count, is_number

__all__ = ["Limits", "Load", "PlannedJob", "PlannedPub", "Request", "packed"]

Wanted = tuple[int, ...] | None


@dataclass(frozen=True, slots=True)
class Limits:
    """What the provider takes in one job; None for no limit.

    The defaults are below what IBM documents or enforces.

    Attributes:
        pubs: Most pubs.
        executions: Most circuits times shots.
        payload_bytes: Largest job, as it is sent.
        job_seconds: Most QPU time.
        points: Most points.
        pending_jobs: Most jobs of one round that wait at the provider at a time.
    """

    pubs: int | None = 500
    executions: int | None = 10_000_000
    payload_bytes: int | None = 40_000_000
    job_seconds: float | None = 3 * 3600.0
    points: int | None = None
    pending_jobs: int = 3

    def __post_init__(self) -> None:
        for name in ("pubs", "executions", "payload_bytes", "job_seconds", "points"):
            value = getattr(self, name)
            if value is not None and not (is_number(value) and value > 0):
                raise InputError(f"{name} of the limits is more than 0, or None; got {value!r}")
        if not is_count(self.pending_jobs):
            raise InputError(f"pending_jobs is at least 1; got {self.pending_jobs!r}")


@dataclass(frozen=True, slots=True)
class Load:
    """What an amount of work takes of the limits."""

    executions: int = 0
    payload_bytes: int = 0
    seconds: float = 0.0

    def plus(self, other: Load) -> Load:
        """Both together."""
        return Load(
            self.executions + other.executions,
            self.payload_bytes + other.payload_bytes,
            self.seconds + other.seconds,
        )

    def fits(self, limits: Limits) -> bool:
        """Whether the limits allow it."""
        return (
            self.executions <= _or_infinity(limits.executions)
            and self.payload_bytes <= _or_infinity(limits.payload_bytes)
            and self.seconds <= _or_infinity(limits.job_seconds)
        )


@dataclass(frozen=True, slots=True)
class Request:
    """One evaluation, as far as packing cares.

    Attributes:
        experiment: Which experiment; equal for those that can share a pub.
        kind: What is asked for.
        shots: Shots of each measurement setting.
        wanted: For each point which observables; None for all. A point that wants none is left out.
        per_point: What each point takes, in the same order.
        per_pub: What a pub of the experiment takes beside its points.
        is_alone: Whether each point needs a pub of its own.
    """

    experiment: str
    kind: Literal["estimate", "sample"]
    shots: int
    wanted: tuple[Wanted, ...]
    per_point: tuple[Load, ...]
    per_pub: Load = Load()
    is_alone: bool = False


@dataclass(slots=True)
class PlannedPub:
    """One pub.

    Attributes:
        experiment: Which experiment.
        wanted: The observables at all of its points; None for all.
        members: Its points, as (request, point).
    """

    experiment: str
    wanted: Wanted
    members: list[tuple[int, int]] = field(default_factory=list)


@dataclass(slots=True)
class PlannedJob:
    """One job.

    Attributes:
        kind: What is asked for.
        shots: Shots of each measurement setting.
        pubs: Its pubs.
        load: What it takes.
    """

    kind: Literal["estimate", "sample"]
    shots: int
    load: Load
    pubs: list[PlannedPub] = field(default_factory=list)

    @property
    def members(self) -> list[tuple[int, int]]:
        """Its points, as (request, point), in the order of its pubs."""
        return [member for pub in self.pubs for member in pub.members]


def packed(
    requests: Sequence[Request], limits: Limits, *, per_job: Load = Load()
) -> tuple[list[PlannedJob], dict[int, str]]:
    """The jobs for all points of the requests, and what no job could hold.

    Args:
        requests: The evaluations, the committed ones first.
        limits: What a job may hold.
        per_job: What a job takes beside its pubs.

    Returns:
        The jobs, in the order of their first points; and for each request of which a point alone
        passes the limits, which limit that is. Of those requests nothing is planned.

    Example:
        >>> ask = Request("bell", "estimate", 100, wanted=(None,), per_point=(Load(100),))
        >>> jobs, refused = packed([ask, ask, ask], Limits(executions=200))
        >>> [job.members for job in jobs]
        [[(0, 0), (1, 0)], [(2, 0)]]
    """
    jobs: list[PlannedJob] = []
    open_jobs: dict[tuple[str, int], _Open] = {}
    refused: dict[int, str] = {}
    for index, request in enumerate(requests):
        alone = per_job.plus(request.per_pub)
        too_much = [load for load in request.per_point if not alone.plus(load).fits(limits)]
        if too_much:
            refused[index] = _passed(alone.plus(too_much[0]), limits)
            continue
        key = request.kind, request.shots
        opened = open_jobs.get(key)
        if opened is not None and not opened.holds(request, limits):
            # An evaluation that fits into one job goes into one: what is recorded of a job is
            # then recorded of whole evaluations.
            fresh = _Open(PlannedJob(request.kind, request.shots, per_job))
            if fresh.holds(request, limits):
                del open_jobs[key]
        for point, (wanted, load) in enumerate(zip(request.wanted, request.per_point, strict=True)):
            if wanted == ():
                continue
            opened = open_jobs.get(key)
            if opened is None or not opened.takes(request, wanted, load, limits):
                opened = open_jobs[key] = _Open(PlannedJob(request.kind, request.shots, per_job))
                jobs.append(opened.job)
            opened.add(index, point, request, wanted, load)
    return jobs, refused


class _Open:
    """A job that still takes points."""

    def __init__(self, job: PlannedJob) -> None:
        self.job = job
        self._points = 0
        self._pubs: dict[tuple[str, Wanted], PlannedPub] = {}

    def holds(self, request: Request, limits: Limits) -> bool:
        """Whether all points of a request are within the limits."""
        trial = _Open(PlannedJob(self.job.kind, self.job.shots, self.job.load, list(self.job.pubs)))
        trial._points = self._points
        trial._pubs = {
            key: PlannedPub(pub.experiment, pub.wanted) for key, pub in self._pubs.items()
        }
        for wanted, load in zip(request.wanted, request.per_point, strict=True):
            if wanted == ():
                continue
            if not trial.takes(request, wanted, load, limits):
                return False
            trial.add(0, 0, request, wanted, load)
        return True

    def takes(self, request: Request, wanted: Wanted, load: Load, limits: Limits) -> bool:
        """Whether one more point is within the limits."""
        shares = not request.is_alone and (request.experiment, wanted) in self._pubs
        after = self.job.load.plus(load)
        if not shares:
            after = after.plus(request.per_pub)
        return (
            self._points + 1 <= _or_infinity(limits.points)
            and len(self.job.pubs) + (not shares) <= _or_infinity(limits.pubs)
            and after.fits(limits)
        )

    def add(self, index: int, point: int, request: Request, wanted: Wanted, load: Load) -> None:
        """Take it."""
        key = request.experiment, wanted
        pub = None if request.is_alone else self._pubs.get(key)
        if pub is None:
            pub = PlannedPub(request.experiment, wanted)
            self.job.pubs.append(pub)
            if not request.is_alone:
                self._pubs[key] = pub
            self.job.load = self.job.load.plus(request.per_pub)
        pub.members.append((index, point))
        self.job.load = self.job.load.plus(load)
        self._points += 1


def _passed(load: Load, limits: Limits) -> str:
    for name, value, limit in (
        ("executions", load.executions, limits.executions),
        ("payload_bytes", load.payload_bytes, limits.payload_bytes),
        ("job_seconds", load.seconds, limits.job_seconds),
    ):
        if value > _or_infinity(limit):
            return f"a single point takes {value:,.0f} of {name}, and a job may take {limit:,.0f}"
    return "a single point passes the limits of a job"


def _or_infinity(limit: float | None) -> float:
    return math.inf if limit is None else limit
