"""Ways to run a cloud, by name: the paper's baselines, what providers sell, and ours."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from efaas.cloud.policies.balanced import Qonductor
from efaas.cloud.policies.efaas_paper import PaperEFaaS
from efaas.cloud.policies.ours import ABLATIONS, ORACLE, OURS
from efaas.cloud.policies.protocol import Policy, Traits
from efaas.cloud.policies.queued import ProviderBatch, PureFaaS, StandardBatchQueue
from efaas.cloud.policies.reserved import (
    ExclusiveSession,
    PilotQuantum,
    ProviderSession,
    StaticReservation,
)

__all__ = ["BASELINES", "POLICIES", "Policy", "Traits"]

BASELINES: tuple[Policy, ...] = (
    StandardBatchQueue(),
    PureFaaS(),
    StaticReservation(),
    PilotQuantum(),
    PaperEFaaS(),
    ExclusiveSession(),
    ProviderSession(),
    ProviderBatch(),
    Qonductor(),
)
"""What others do; the paper's five first."""

POLICIES: Mapping[str, Policy] = MappingProxyType(
    {policy.name: policy for policy in (*BASELINES, OURS, *ABLATIONS, ORACLE)}
)
"""All of them, by name."""
