"""The library's own policies, each part of them off, and the bound that nothing can beat."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from efaas.cloud.policies.protocol import Traits
from efaas.cloud.prices import JOBS, SESSION
from efaas.policies.fair_queue import FairQueue
from efaas.policies.fair_settings import FairSettings
from efaas.policies.ordering import FirstComeFirstServed
from efaas.policies.placement import Best

if TYPE_CHECKING:
    import random

    from efaas.cloud.scenario import Scenario
    from efaas.policies.ordering import Ordering
    from efaas.policies.placement import Placement

__all__ = ["ABLATIONS", "ORACLE", "OURS", "Ours"]

_ALL = Traits(
    is_warm=True,
    speculates=True,
    renews_by_running=False,
    places_background=True,
    billing=(JOBS, SESSION),
)

_FAIR = FairSettings()


@dataclass(frozen=True, slots=True)
class Ours:
    """Fair queueing with slots for loops, placement by score, warm forms, and speculation.

    Attributes:
        name: What it is called.
        title: What it is.
        traits: The terms.
        settings: Of the fair order; None for first come first served.
    """

    name: str
    title: str
    traits: Traits = _ALL
    settings: FairSettings | None = _FAIR

    def ordering(self, scenario: Scenario) -> Ordering:
        """The library's, as sessions use it."""
        if self.settings is None:
            return FirstComeFirstServed()
        return FairQueue(
            scenario.device_names, cpu_slots=scenario.classical_nodes, settings=self.settings
        )

    def placement(self) -> Placement:
        """By expected fidelity and wait."""
        return Best()

    def access_seconds(self, scenario: Scenario, draw: random.Random, *, is_first: bool) -> float:
        """A cold start at first; at every job, if nothing is kept warm."""
        is_cold = not self.traits.is_warm or is_first
        if self.traits.knows_the_future or not is_cold:
            return 0.0
        return draw.uniform(*scenario.loops.cold_start_seconds)


def _traits(**changed: Any) -> Traits:
    return replace(_ALL, **changed)


OURS = Ours("efaas", "this library")
ABLATIONS = (
    Ours("efaas-no-speculation", "without speculation", _traits(speculates=False)),
    Ours("efaas-no-warm-cache", "without the warm cache", _traits(is_warm=False)),
    Ours("efaas-no-pinning", "without pinning", _traits(pins=False)),
    Ours("efaas-no-priority", "without active-loop priority", settings=None),
    Ours(
        "efaas-no-ageing",
        "without ageing",
        settings=FairSettings(max_overtakes=10**9, max_wait_seconds=math.inf),
    ),
    Ours(
        "efaas-no-anticipation",
        "without anticipation",
        settings=FairSettings(max_hold_seconds=0.0),
    ),
)
"""Ours, each time with one part off."""

ORACLE = Ours(
    "oracle", "oracle: no wait, no thinking", _traits(knows_the_future=True, billing=(JOBS,))
)
"""The next point is always known, and devices are always ready: the lower bound of a lone loop.

With several loops it is our order without waits and classical steps; another may favour some."""
