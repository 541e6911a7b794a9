"""Shares of two resources: how far each claimant is ahead of what it is entitled to.

Dominant resource fair queueing (Ghodsi, Sekar, Zaharia, Stoica: Multi-Resource Fair Queueing for
Packet Processing, SIGCOMM 2012) keeps a clock per resource and claimant. A claimant that arrives
begins at the resource's clock, ``S_r = max(V_r, F_r)``, so that idling banks nothing; service of
``l`` seconds moves it to ``F_r = S_r + l / (weight * capacity)``. Whoever is least ahead goes
first.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

__all__ = ["CPU_SECONDS", "QPU_SECONDS", "FairShares"]

QPU_SECONDS, CPU_SECONDS = 0, 1
_RESOURCES = (QPU_SECONDS, CPU_SECONDS)

_FORGET_ABOVE = 1024
"""So many absent claimants are remembered at least."""

K = TypeVar("K", bound=Hashable)


@dataclass(slots=True)
class _Claim:
    """A claimant's clocks, in seconds of the whole resource, and its jobs that wait or run."""

    weight: float
    finish: list[float] = field(default_factory=lambda: [0.0, 0.0])
    predicted: list[float] = field(default_factory=lambda: [0.0, 0.0])  # of that, for what runs
    present: list[int] = field(default_factory=lambda: [0, 0])


class FairShares(Generic[K]):
    """Weighted service of each claimant, per resource.

    Example:
        >>> shares = FairShares()
        >>> shares.arrive("ada", QPU_SECONDS, weight=1.0)
        >>> shares.arrive("bob", QPU_SECONDS, weight=2.0)
        >>> shares.end("ada", QPU_SECONDS, 4.0)
        >>> shares.end("bob", QPU_SECONDS, 4.0)
        >>> shares.refresh(QPU_SECONDS)
        >>> shares.lead("ada", QPU_SECONDS), shares.lead("bob", QPU_SECONDS)
        (2.0, 0.0)
    """

    def __init__(
        self, capacities: tuple[float, float] = (1.0, 1.0), *, most_lead: float = 60.0
    ) -> None:
        """Begin without claimants.

        Args:
            capacities: Seconds of service per second of each resource: its devices, its slots.
            most_lead: How far ahead a claimant can get, in seconds of the whole resource. Who had
                devices for itself while nobody else could use them owes no more than this to who
                comes later; and by so much may one resource be ahead before it counts against
                the claimant at the other.
        """
        self._capacities = capacities
        self._most_lead = most_lead
        self._claims: dict[K, _Claim] = {}
        self._present: tuple[dict[K, _Claim], dict[K, _Claim]] = ({}, {})
        self._clocks = [0.0, 0.0]

    def arrive(self, key: K, resource: int, *, weight: float = 1.0) -> None:
        """One more job of the claimant waits for the resource."""
        claim = self._claims.get(key)
        if claim is None:
            claim = self._claims[key] = _Claim(weight)
        claim.weight = weight
        claim.present[resource] += 1
        if claim.present[resource] == 1:
            clock = self._clock(resource)
            claim.finish[resource] = max(claim.finish[resource], clock)
            self._present[resource][key] = claim

    def leave(self, key: K, resource: int) -> None:
        """One of its jobs has ended, or waits no more."""
        claim = self._claims[key]
        claim.present[resource] -= 1
        if not claim.present[resource]:
            self._clock(resource)
            del self._present[resource][key]
            if len(self._claims) > _FORGET_ABOVE + 2 * sum(map(len, self._present)):
                self._forget()

    def begin(self, key: K, resource: int, seconds: float) -> float:
        """Charge service that begins now by its prediction; returns what to ``end`` it with."""
        claim = self._claims[key]
        moved = self._move(claim, resource, seconds)
        claim.predicted[resource] += moved
        return moved

    def end(self, key: K, resource: int, seconds: float, *, begun: float = 0.0) -> None:
        """Charge service that was got, instead of what was predicted when it began."""
        claim = self._claims[key]
        claim.predicted[resource] -= begun
        claim.finish[resource] -= begun
        self._move(claim, resource, seconds)

    def lead(self, key: K, resource: int) -> float:
        """How far ahead it is where it wants that resource, in seconds; comparable among keys.

        Being ahead at the other resource counts as well, beyond what that may differ.
        """
        claim, other = self._claims[key], 1 - resource
        lead = claim.finish[resource] - self._clocks[resource]
        if claim.present[other]:
            lead = max(lead, claim.finish[other] - self._clocks[other] - self._most_lead)
        return lead

    def refresh(self, resource: int) -> None:
        """Bring the resource's clock up to date, before leads are compared."""
        self._clock(resource)

    def finish(self, key: K, resource: int) -> float:
        """Its clock: weighted seconds of the whole resource, absences included."""
        return self._claims[key].finish[resource]

    def __contains__(self, key: object) -> bool:
        return key in self._claims

    def __len__(self) -> int:
        """Claimants that are remembered."""
        return len(self._claims)

    def _move(self, claim: _Claim, resource: int, seconds: float) -> float:
        before = claim.finish[resource]
        after = before + seconds / (claim.weight * self._capacities[resource])
        if after > self._clocks[resource] + self._most_lead and self._present[resource]:
            after = max(min(after, self._clock(resource) + self._most_lead), before)
        claim.finish[resource] = after
        return after - before

    def _forget(self) -> None:
        """Drop the absent who are ahead nowhere: they would come back as newcomers."""
        for key, claim in list(self._claims.items()):
            is_ahead = any(claim.finish[r] > self._clocks[r] for r in _RESOURCES)
            if not is_ahead and not any(claim.present):
                del self._claims[key]

    def _clock(self, resource: int) -> float:
        """The least of the present claimants' clocks; it never goes back.

        What runs is not in it: a prediction that turns out wrong must move nobody else.
        """
        present = self._present[resource]
        if present:
            least = min([c.finish[resource] - c.predicted[resource] for c in present.values()])
            self._clocks[resource] = max(self._clocks[resource], least)
        return self._clocks[resource]
