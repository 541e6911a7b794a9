"""Which backend each loop is pinned to, and why: the books that placements are decided by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from efaas.policies.placement import BackendLoad, Explanation, LeastLoaded, Placement, scores
from efaas.policies.repinning import RepinSettings, Verdict, verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from efaas.model.job import Job
    from efaas.model.profile import CircuitProfile
    from efaas.scheduler.events import LoopReconsidered

__all__ = ["Pins", "Traffic"]


@dataclass(slots=True)
class Traffic:
    """What runs at a place or waits for it alone, and the loops that are pinned to it."""

    jobs: int = 0
    job_seconds: float = 0.0
    loops: int = 0
    loop_seconds: float = 0.0

    def count(self, job: Job, change: int) -> None:
        """A job comes to the place, or leaves it."""
        self.jobs += change
        # Sums of floats do not come back to 0 by themselves.
        self.job_seconds += change * job.demand.qpu_seconds
        if not self.jobs:
            self.job_seconds = 0.0

    def recount(self, before: Job, now: Job) -> None:
        """A job there has become another."""
        self.count(before, -1)
        self.count(now, 1)

    def count_loop(self, seconds: float, change: int) -> None:
        """A loop is pinned to the place, or leaves it."""
        self.loops += change
        self.loop_seconds += change * seconds
        if not self.loops:
            self.loop_seconds = 0.0


@dataclass(frozen=True, slots=True)
class _Pinned:
    """Where a loop is, and the predicted service of one of its evaluations there."""

    place: str
    seconds: float
    explanation: Explanation
    verdict: Verdict | None  # the last one, if it was ever reconsidered


class Pins:
    """Decides where loops go, and whether they stay; keeps count of who is where.

    Attributes:
        traffic: Of each place; whoever queues and runs jobs counts them here.
    """

    def __init__(
        self,
        places: Iterable[str],
        *,
        placement: Placement | None = None,
        repinning: RepinSettings | None = None,
    ) -> None:
        """Start without a loop.

        Args:
            places: Where jobs run.
            placement: Where a new loop goes; the least loaded backend by default.
            repinning: When a loop moves.
        """
        self.traffic = {place: Traffic() for place in places}
        self._placement = LeastLoaded() if placement is None else placement
        self._repinning = RepinSettings() if repinning is None else repinning
        self._pinned: dict[str, _Pinned] = {}

    def pin(
        self, loop_id: str, places: Sequence[str], profiles: Iterable[CircuitProfile] = ()
    ) -> str:
        """The loop's backend: the one it has, or else the one that the placement chooses."""
        pinned = self._pinned.get(loop_id)
        if pinned is not None and pinned.place in places:
            return pinned.place
        self.unpin(loop_id)
        loads = self._loads(places, profiles)
        place = self._placement.choose(loads)
        self._pin_to(loop_id, place, loads, self._placement.reason(loads, place))
        return place

    def repin(self, event: LoopReconsidered) -> tuple[str, str]:
        """Stay or move, as the verdict says; from a backend that failed, always move.

        Returns:
            Where the loop was, and where it is.
        """
        loop_id = event.loop_id
        before = self._pinned[loop_id].place
        self.unpin(loop_id)
        loads = self._loads([profile.backend for profile in event.profiles], event.profiles)
        if event.has_failed:
            place = self._placement.choose(loads)
            reason = f"{before} failed a job of it; {self._placement.reason(loads, place)}"
            decided = Verdict("failed over", place, 0.0, reason)
        else:
            decided = verdict(event.before, loads, self._placement.weights, self._repinning)
        reason = f"{decided.kind}: {decided.reason}"
        self._pin_to(loop_id, decided.backend, loads, reason, decided)
        return before, decided.backend

    def unpin(self, loop_id: str) -> None:
        """Forget where the loop is, if it is anywhere."""
        pinned = self._pinned.pop(loop_id, None)
        if pinned is not None:
            self.traffic[pinned.place].count_loop(pinned.seconds, -1)

    def explanation(self, loop_id: str) -> Explanation:
        """Why a loop that is open is where it is."""
        return self._pinned[loop_id].explanation

    def verdict(self, loop_id: str) -> Verdict | None:
        """What was decided when an open loop was last reconsidered; None if it never was."""
        return self._pinned[loop_id].verdict

    def least_loaded(self, places: Sequence[str], count: int) -> list[str]:
        """At most ``count`` of the places, those with the fewest loops and jobs first."""
        loads = sorted(self._loads(places, ()), key=lambda load: (load.loops, load.jobs))
        return [load.name for load in loads[:count]]

    def loops_at(self, place: str) -> int:
        """How many loops are pinned there, counted anew."""
        return sum(pinned.place == place for pinned in self._pinned.values())

    def _pin_to(
        self,
        loop_id: str,
        place: str,
        loads: Sequence[BackendLoad],
        reason: str,
        decided: Verdict | None = None,
    ) -> None:
        found = scores(loads, self._placement.weights)
        ranked = tuple(sorted(found, key=lambda score: score.total_seconds))
        load = next(load for load in loads if load.name == place)
        seconds = load.profile.seconds if load.profile is not None else 0.0
        explanation = Explanation(loop_id, place, reason, ranked)
        self._pinned[loop_id] = _Pinned(place, seconds, explanation, decided)
        self.traffic[place].count_loop(seconds, 1)

    def _loads(
        self, places: Sequence[str], profiles: Iterable[CircuitProfile]
    ) -> list[BackendLoad]:
        profile_of = {profile.backend: profile for profile in profiles}
        loads = []
        for place in places:
            traffic = self.traffic[place]
            seconds = traffic.job_seconds + traffic.loop_seconds
            loads.append(
                BackendLoad(place, traffic.loops, traffic.jobs, seconds, profile_of.get(place))
            )
        return loads
