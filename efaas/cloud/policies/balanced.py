"""A periodic balancer in the manner of Qonductor: jobs are placed together, every so often.

At each trigger the jobs that have come since the last one are placed one after the other, each on
the device where half of its share of the longest predicted wait and half of its share of the
greatest loss of fidelity add up to least: the middle of the Pareto front, found greedily. Here all
devices are alike unless the scenario says otherwise, and then only waits are balanced.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from efaas.cloud.policies.protocol import Defaults, Traits

if TYPE_CHECKING:
    from efaas.cloud.scenario import Scenario
    from efaas.model.job import Job, Usage
    from efaas.policies.ordering import Ordering

__all__ = ["Balancing", "Qonductor"]


class Balancing:
    """The order of a periodic balancer."""

    def __init__(self, places: Sequence[str], *, period_seconds: float) -> None:
        """Begin with nobody waiting.

        Args:
            places: The devices.
            period_seconds: From one trigger to the next.
        """
        self._period_seconds = period_seconds
        self._lines: dict[str, dict[int, Job]] = {place: {} for place in places}
        self._new: dict[int, Job] = {}
        self._running = dict.fromkeys(places, 0.0)
        self._trigger_at = 0.0

    def add(self, job: Job, now: float) -> None:
        """It is placed at the next trigger."""
        self._new[job.id] = job

    def discard(self, job_id: int) -> Job | None:
        """Take a job out of the queue; None if it was not there."""
        for line in (self._new, *self._lines.values()):
            if job_id in line:
                return line.pop(job_id)
        return None

    def take(self, place: str, limit: int, now: float, *, speculative: bool = True) -> list[Job]:
        """The oldest of those that were placed here."""
        if now >= self._trigger_at:
            self._place_all()
            self._trigger_at = (now // self._period_seconds + 1) * self._period_seconds
        line = self._lines[place]
        return [line.pop(job_id) for job_id in list(line)[:limit]]

    def start_at_once(self, job: Job, place: str, now: float) -> bool:
        """Never: jobs wait for the next trigger."""
        return False

    def held_until(self, place: str) -> float | None:
        """The next trigger: what waits was placed elsewhere, or is not placed yet."""
        return self._trigger_at if len(self) else None

    def started(self, jobs: Sequence[Job], place: str, now: float) -> None:
        """Its service is what others wait for."""
        self._running[place] = sum(job.demand.qpu_seconds for job in jobs)

    def ended(
        self, job: Job, place: str, usage: Usage, now: float, *, goes_on: bool = False
    ) -> None:
        """The place is free."""
        self._running[place] = 0.0

    def forget(self, loop_id: str) -> None:
        """Nothing is remembered of loops."""

    def __len__(self) -> int:
        """How many jobs wait."""
        return len(self._new) + sum(map(len, self._lines.values()))

    def _place_all(self) -> None:
        waits = {
            place: self._running[place] + sum(job.demand.qpu_seconds for job in line.values())
            for place, line in self._lines.items()
        }
        for job in self._new.values():
            place = min(job.places, key=lambda it: waits[it])
            self._lines[place][job.id] = job
            waits[place] += job.demand.qpu_seconds
        self._new.clear()


class Qonductor(Defaults):
    """Every job of every loop is placed anew at the next trigger."""

    name = "qonductor"
    title = "periodic balancer"
    traits = Traits(pins=False, renews_by_running=False, places_background=True)

    def ordering(self, scenario: Scenario) -> Ordering:
        """As above."""
        return Balancing(scenario.device_names, period_seconds=scenario.provider.balance_seconds)
