"""Where a new loop goes: the protocol of placements, and the least loaded backend."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

__all__ = ["PLACEMENTS", "BackendLoad", "LeastLoaded", "Placement"]


@dataclass(frozen=True, slots=True)
class BackendLoad:
    """What a placement may know of a backend.

    Attributes:
        name: The backend.
        loops: Loops pinned to it.
        jobs: Jobs that run on it or wait for it alone.
    """

    name: str
    loops: int
    jobs: int


class Placement(Protocol):
    """Chooses the backend of a new loop."""

    def choose(self, candidates: Sequence[BackendLoad]) -> str:
        """The name of one of ``candidates``, which are never empty."""
        ...


class LeastLoaded:
    """The backend with the fewest loops, then the fewest jobs, then the first listed."""

    def choose(self, candidates: Sequence[BackendLoad]) -> str:
        """The name of the least loaded candidate."""
        return min(candidates, key=lambda load: (load.loops, load.jobs)).name


PLACEMENTS: Mapping[str, Callable[[], Placement]] = MappingProxyType({"least-loaded": LeastLoaded})
"""The placements, by the name that a scheduler is given."""
