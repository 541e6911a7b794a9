"""EFaaS as the paper has it: its priority rule, sticky devices, background jobs thrown out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from efaas.cloud.policies.protocol import Defaults, Traits
from efaas.policies.paper_priority import PaperPriority

if TYPE_CHECKING:
    from efaas.cloud.scenario import Scenario
    from efaas.policies.ordering import Ordering

__all__ = ["PaperEFaaS"]

_STRICT = 1e9
"""The artifact's queue never holds two jobs to compare, so that its weights have no effect: loops
throw out whatever runs. With the paper's ``alpha`` of 100 a job that has waited for two minutes
would go before a loop."""


class PaperEFaaS(Defaults):
    """The classical step is always paid: its speculation has no effect in the artifact."""

    name = "efaas-paper"
    title = "EFaaS as in the paper"
    traits = Traits(preempts=True, places_background=True)

    def ordering(self, scenario: Scenario) -> Ordering:
        """Loops first, strictly."""
        return PaperPriority(alpha=_STRICT, validity_seconds=scenario.calibrations.valid_seconds)
