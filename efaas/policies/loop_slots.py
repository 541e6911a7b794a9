"""Which loops keep a device between their jobs, and for whom it is kept free at the moment.

A loop in a slot goes first there. While it computes its next step, holding the device for it is
the question of anticipatory scheduling (Iyer, Druschel: Anticipatory scheduling, SOSP 2001): idle
now, or let a long job go and the loop wait for it.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from efaas.policies.loop_pace import LoopPace

if TYPE_CHECKING:
    from efaas.model.job import Job
    from efaas.policies.fair_settings import FairSettings

__all__ = ["LoopSlots"]

_NONE: Mapping[str, None] = {}


class LoopSlots:
    """The loops' paces, the slots that they hold, and the holds.

    Attributes:
        held_seconds: How long each place was kept free for a loop's next job.
    """

    def __init__(self, settings: FairSettings) -> None:
        """Begin without loops."""
        self._settings = settings
        self._paces: dict[str, LoopPace] = {}
        self._slots: dict[str, dict[str, None]] = {}  # by place, the oldest slot first
        self._held: dict[str, tuple[str, float, float]] = {}  # loop, since, until
        self.held_seconds: defaultdict[str, float] = defaultdict(float)

    # What happens to loops.

    def submitted(self, loop_id: str, now: float) -> None:
        """A committed job of it is queued."""
        pace = self._paces.get(loop_id)
        if pace is None:
            pace = self._paces[loop_id] = LoopPace()
        pace.submitted(now, self._settings.loop_idle_seconds)

    def withdrawn(self, loop_id: str, now: float) -> None:
        """One of its jobs will not run."""
        pace = self._paces.get(loop_id)
        if pace is not None:
            pace.withdrawn(now)

    def ended(self, loop_id: str, place: str, seconds: float, now: float, *, goes_on: bool) -> bool:
        """An attempt of one of its jobs has; whether it has used up a slot that it holds there.

        Args:
            loop_id: The loop.
            place: Where.
            seconds: The service that it got.
            now: The present instant.
            goes_on: Whether the same job comes again: the loop has seen no result.
        """
        pace = self._paces.get(loop_id)
        if pace is None:
            return False
        pace.served(seconds)
        if goes_on:
            pace.withdrawn(now)
        else:
            pace.finished(now)
        return pace.slot_seconds > self._settings.slot_seconds and self.holds(loop_id, place)

    def forget(self, loop_id: str) -> None:
        """It will submit nothing more."""
        self._paces.pop(loop_id, None)
        for place in [place for place, slots in self._slots.items() if loop_id in slots]:
            self.give_back(loop_id, place)

    # Slots.

    def any_at(self, place: str) -> bool:
        """Whether a loop holds a slot there."""
        return place in self._slots

    def holds(self, loop_id: str | None, place: str) -> bool:
        """Whether the loop holds a slot there."""
        return loop_id in self._slots.get(place, _NONE)

    def active(self, place: str, now: float) -> Iterator[str]:
        """The loops in slots there, the oldest slot first; who has fallen silent loses it."""
        for loop_id in list(self._slots.get(place, _NONE)):
            pace = self._paces.get(loop_id)
            if pace is None or not pace.is_active(now, self._settings.loop_idle_seconds):
                self.give_back(loop_id, place)
            else:
                yield loop_id

    def give(self, loop_id: str, place: str, now: float) -> None:
        """Let an active loop keep the device between its jobs, if there is room."""
        pace = self._paces.get(loop_id)  # none if it was closed while a job of it waited
        if pace is None or not pace.is_active(now, self._settings.loop_idle_seconds):
            return
        slots = self._slots.get(place, _NONE)
        if loop_id in slots:
            return
        used = sum(self._paces[other].utilisation() for other in slots)
        if not slots or used + pace.utilisation() <= self._settings.max_utilisation:
            self._slots.setdefault(place, {})[loop_id] = None
            pace.slot_seconds = 0.0

    def give_back(self, loop_id: str, place: str) -> None:
        """The loop has to wait its turn again there."""
        slots = self._slots[place]
        del slots[loop_id]
        if not slots:
            del self._slots[place]

    # Holds.

    def thinking(self, place: str, now: float) -> tuple[str, LoopPace] | None:
        """The loop in a slot there whose next job is expected first, if any is still expected."""
        if not self._settings.max_hold_seconds or place not in self._slots:
            return None
        found: tuple[str, LoopPace] | None = None
        soonest = math.inf
        for loop_id in self._slots[place]:
            pace = self._paces[loop_id]
            if pace.idle_since is not None and pace.latest_at() > now:
                expected_at = pace.expected_at()
                if expected_at < soonest:
                    found, soonest = (loop_id, pace), expected_at
        return found

    def hold(
        self, place: str, loop_id: str, pace: LoopPace, wait_seconds: float, now: float
    ) -> bool:
        """Keep the place free for the loop if that pays, or go on doing so; whether it is kept.

        Args:
            place: Where nothing fits into the time that the loop still thinks.
            loop_id: The loop.
            pace: What is known of it.
            wait_seconds: How long it would wait for who goes now otherwise.
            now: The present instant.
        """
        held = self._held.get(place)
        if held is not None and held[0] == loop_id:
            return held[2] > now
        since = now if held is None else held[1]
        until = min(pace.latest_at(), since + self._settings.max_hold_seconds)
        if until <= now or not pace.hold_pays(until - now, wait_seconds):
            return False
        self._held[place] = (loop_id, since, until)
        return True

    def held_until(self, place: str) -> float | None:
        """Until when the place is kept free."""
        held = self._held.get(place)
        return None if held is None else held[2]

    def release(self, place: str, now: float, jobs: Sequence[Job]) -> None:
        """End a hold: it has been of use if the loop has come back. Its time is the loop's."""
        held = self._held.pop(place, None)
        if held is None:
            return
        loop_id, since, _until = held
        self.held_seconds[place] += now - since
        pace = self._paces.get(loop_id)
        if pace is not None:
            pace.settled(any(job.loop_id == loop_id for job in jobs))
            pace.slot_seconds += now - since
