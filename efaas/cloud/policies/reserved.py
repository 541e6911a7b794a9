"""A device of one's own: static reservation, exclusive and provider sessions, pilot jobs.

A device that somebody holds is not offered to others, so background jobs go to the rest of them.
Only the paper's static reservation gives its device back so often that they line up for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from efaas.cloud.policies.protocol import Defaults, Traits, queue_seconds
from efaas.cloud.policies.reserving import Reserving
from efaas.cloud.prices import SESSION

if TYPE_CHECKING:
    import random

    from efaas.cloud.scenario import Scenario
    from efaas.policies.ordering import Ordering

__all__ = ["ExclusiveSession", "PilotQuantum", "ProviderSession", "StaticReservation"]


class StaticReservation(Defaults):
    """The paper's: held during the classical step and the job, given back after each iteration.

    Its calibrations go by age: with them the cycle is the artifact's, and without them it is not.
    """

    name = "sr"
    title = "static reservation"
    traits = Traits(renews_by_running=False, billing=(SESSION,))

    def ordering(self, scenario: Scenario) -> Ordering:
        """Between two iterations whoever waits goes first."""
        return Reserving(lines_up_again=True)


class ExclusiveSession(Defaults):
    """A reservation as the word is used: the device is the loop's until the loop has ended."""

    name = "exclusive"
    title = "exclusive session"
    traits = Traits(renews_by_running=False, places_background=True, billing=(SESSION,))

    def ordering(self, scenario: Scenario) -> Ordering:
        """Nobody else runs there."""
        return Reserving(longest_seconds=scenario.provider.max_session_seconds)


class ProviderSession(Defaults):
    """What providers sell: one passage through the queue, closed where it is idle for too long."""

    name = "session"
    title = "provider session"
    traits = Traits(renews_by_running=False, places_background=True, billing=(SESSION,))

    def ordering(self, scenario: Scenario) -> Ordering:
        """Others wait until it is closed."""
        return Reserving(
            idle_seconds=scenario.provider.interactive_seconds,
            longest_seconds=scenario.provider.max_session_seconds,
        )

    def access_seconds(self, scenario: Scenario, draw: random.Random, *, is_first: bool) -> float:
        """The queue, once."""
        return queue_seconds(scenario, draw) if is_first else 0.0


class PilotQuantum(Defaults):
    """Pilot-Quantum: a pilot job waits once and holds the device; tasks go to the pilot."""

    name = "pq"
    title = "Pilot-Quantum"
    traits = Traits(places_background=True, billing=(SESSION,))

    def ordering(self, scenario: Scenario) -> Ordering:
        """Nobody else runs there."""
        return Reserving(longest_seconds=scenario.provider.max_session_seconds)

    def access_seconds(self, scenario: Scenario, draw: random.Random, *, is_first: bool) -> float:
        """The queue and the pilot's start, once; the pilot's own overhead, always."""
        provider = scenario.provider
        once = queue_seconds(scenario, draw) + provider.pilot_start_seconds if is_first else 0.0
        return once + provider.pilot_task_seconds
