"""What EFaaS claims (arXiv 2605.27540), and what its artifact gives when it is run again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

__all__ = ["ARTIFACT", "CLAIMS", "TARGETS", "Claim", "Target"]


@dataclass(frozen=True, slots=True)
class Claim:
    """A row of the artifact's own output, 30 seeds.

    Attributes:
        cycle: Mean cycle in seconds, which the artifact calls TTNS.
        duty: Quantum duty cycle, from 0 to 1.
        converged: Mean time in seconds to its own criterion.
    """

    cycle: float
    duty: float
    converged: float


ARTIFACT: Mapping[str, Claim] = MappingProxyType(
    {
        "sbq": Claim(50.3, 0.096, 318.0),
        "pf": Claim(53.7, 0.094, 319.0),
        "sr": Claim(4.25, 0.225, 28.0),
        "pq": Claim(4.12, 0.228, 78.7),
        "efaas-paper": Claim(3.50, 0.248, 30.8),
    }
)
"""By policy."""

CLAIMS: Mapping[str, str] = MappingProxyType(
    {
        "TTNS": "11.4 to 94.3 % shorter",
        "QDC": "2.02 to 15.78 points more",
        "convergence": "83.2 to 98.3 % faster",
        "drift": "no penalty",
    }
)
"""The ranges that the paper's abstract states."""


@dataclass(frozen=True, slots=True)
class Target:
    """What ours should reach against a baseline.

    Attributes:
        baseline: The policy.
        cycle_cut: Share by which the cycle is shorter.
        duty_gain: By how much the duty cycle is greater.
        convergence_cut: Share by which the time to convergence is shorter.
    """

    baseline: str
    cycle_cut: float
    duty_gain: float
    convergence_cut: float


TARGETS = (
    Target("sbq", 0.943, 0.1578, 0.983),
    Target("pf", 0.943, 0.1578, 0.983),
    Target("sr", 0.35, 0.05, 0.50),
    Target("pq", 0.35, 0.05, 0.50),
)
"""Against queues the best of the paper's ranges, against reservations far more than it has."""
