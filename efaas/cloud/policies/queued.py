"""A queue at every iteration: a standard batch queue, pure FaaS, a provider's batch mode."""

from __future__ import annotations

from typing import TYPE_CHECKING

from efaas.cloud.policies.protocol import Defaults, Traits, queue_seconds
from efaas.policies.ordering import FirstComeFirstServed

if TYPE_CHECKING:
    import random

    from efaas.cloud.scenario import Scenario
    from efaas.policies.ordering import Ordering

__all__ = ["ProviderBatch", "PureFaaS", "StandardBatchQueue"]


class StandardBatchQueue(Defaults):
    """Every job of a loop goes through the provider's queue."""

    name = "sbq"
    title = "standard batch queue"

    def ordering(self, scenario: Scenario) -> Ordering:
        """First come first served, behind that queue."""
        return FirstComeFirstServed()

    def access_seconds(self, scenario: Scenario, draw: random.Random, *, is_first: bool) -> float:
        """The queue."""
        return queue_seconds(scenario, draw)


class PureFaaS(StandardBatchQueue):
    """The same, and every job finds a cold worker."""

    name = "pf"
    title = "pure FaaS"

    def access_seconds(self, scenario: Scenario, draw: random.Random, *, is_first: bool) -> float:
        """The queue, then a cold start."""
        return queue_seconds(scenario, draw) + draw.uniform(*scenario.loops.cold_start_seconds)


class ProviderBatch(StandardBatchQueue):
    """The batch mode of a provider: one passage through its queue, then no device of one's own."""

    name = "batch"
    title = "provider batch"
    traits = Traits(renews_by_running=False)

    def access_seconds(self, scenario: Scenario, draw: random.Random, *, is_first: bool) -> float:
        """The queue, once."""
        return queue_seconds(scenario, draw) if is_first else 0.0
