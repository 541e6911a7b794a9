"""Shares of two resources: how far each claimant is ahead of what it is entitled to.

Dominant resource fair queueing (Ghodsi, Sekar, Zaharia, Stoica: Multi-Resource Fair Queueing for
Packet Processing, SIGCOMM 2012) keeps a clock per resource and claimant. A claimant that arrives
begins at the resource's clock, ``S_r = max(V_r, F_r)``, so that idling banks nothing; service of
``l`` seconds moves it to ``F_r = S_r + l / (weight * capacity)``. Whoever is least ahead goes
first.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import Generic, TypeAlias, TypeVar

__all__ = ["CPU_SECONDS", "QPU_SECONDS", "FairShares"]

QPU_SECONDS, CPU_SECONDS = 0, 1
_RESOURCES = (QPU_SECONDS, CPU_SECONDS)

_FORGET_ABOVE = 1024
"""So many claimants are remembered at least."""

K = TypeVar("K", bound=Hashable)


@dataclass(slots=True)
class _Claim:
    """What runs of a claimant, in seconds of the whole resource, and its jobs that wait or run."""

    weight: float
    guests: int = 0  # jobs that do not make it present
    predicted: list[float] = field(default_factory=lambda: [0.0, 0.0])
    present: list[int] = field(default_factory=lambda: [0, 0])
    is_listed: list[bool] = field(default_factory=lambda: [False, False])


_Served: TypeAlias = tuple[float, int, K, _Claim]


class FairShares(Generic[K]):
    """Weighted service of each claimant, per resource.

    Example:
        >>> shares = FairShares()
        >>> shares.arrive("ada", QPU_SECONDS, weight=1.0)
        >>> shares.arrive("bob", QPU_SECONDS, weight=2.0)
        >>> shares.end("ada", QPU_SECONDS, 4.0)
        >>> shares.end("bob", QPU_SECONDS, 4.0)
        >>> shares.leads(["ada", "bob"], QPU_SECONDS)
        [2.0, 0.0]
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
        # By resource the claimants' clocks, in seconds of the whole resource.
        self._finish: tuple[dict[K, float], dict[K, float]] = ({}, {})
        self._clocks = [0.0, 0.0]
        # By resource a heap of the present claimants' service, with a number that tells equals
        # apart. Service only grows, so what was noted is a lower bound; it is brought up to date,
        # and the absent are dropped, at the top.
        self._served: tuple[list[_Served[K]], list[_Served[K]]] = ([], [])
        self._present = [0, 0]  # by resource, claimants with jobs there
        self._last_noted = 0
        self._forget_above = _FORGET_ABOVE

    def arrive(self, key: K, resource: int, *, weight: float = 1.0) -> None:
        """One more job of the claimant waits for the resource."""
        claim = self._claims.get(key)
        if claim is None:
            claim = self._new(key)
        claim.weight = weight
        if not claim.present[resource]:
            self._present[resource] += 1
            finish = self._finish[resource]
            clock = self._clock(resource)
            if finish[key] < clock:
                finish[key] = clock
            if not claim.is_listed[resource]:
                claim.is_listed[resource] = True
                self._last_noted += 1
                noted = (finish[key], self._last_noted, key, claim)
                heapq.heappush(self._served[resource], noted)
        claim.present[resource] += 1

    def arrive_aside(self, key: K, resource: int, *, weight: float = 1.0) -> None:
        """As ``arrive``, but it does not make the claimant present: the clock goes on without it.

        It is charged for what it gets all the same. To be followed by ``leave_aside``.
        """
        claim = self._claims.get(key)
        if claim is None:
            claim = self._new(key)
        claim.weight = weight
        claim.guests += 1
        finish = self._finish[resource]
        finish[key] = max(finish[key], self._clock(resource))

    def leave_aside(self, key: K) -> None:
        """What came by ``arrive_aside`` has ended, or waits no more."""
        self._claims[key].guests -= 1

    def leave(self, key: K, resource: int) -> None:
        """One of its jobs has ended, or waits no more."""
        self._leave(key, self._claims[key], resource)

    def end_and_leave(self, key: K, resource: int, seconds: float, *, begun: float) -> None:
        """``end`` and ``leave`` of a job."""
        claim = self._claims[key]
        if begun:
            claim.predicted[resource] -= begun
            self._finish[resource][key] -= begun
        self._move(key, resource, seconds / claim.weight)
        self._leave(key, claim, resource)

    def _leave(self, key: K, claim: _Claim, resource: int) -> None:
        if claim.present[resource] == 1:
            self._present[resource] -= 1
            if not self._present[resource]:
                self._last_leaves(key, claim, resource)
            else:
                self._clock(resource)
        claim.present[resource] -= 1
        if len(self._claims) > self._forget_above:
            self._forget()
            self._forget_above = _FORGET_ABOVE + 2 * len(self._claims)

    def begin(self, key: K, resource: int, seconds: float) -> float:
        """Charge service that begins now by its prediction; returns what to ``end`` it with."""
        if not seconds:
            return 0.0
        claim = self._claims[key]
        moved = self._move(key, resource, seconds / claim.weight)
        claim.predicted[resource] += moved
        return moved

    def end(self, key: K, resource: int, seconds: float, *, begun: float = 0.0) -> None:
        """Charge service that was got, instead of what was predicted when it began."""
        claim = self._claims[key]
        if begun:
            claim.predicted[resource] -= begun
            self._finish[resource][key] -= begun
        self._move(key, resource, seconds / claim.weight)

    def leads(self, keys: Iterable[K], resource: int) -> list[float]:
        """How far ahead each is where it wants that resource, in seconds; comparable among keys.

        Being ahead at the other resource counts as well, beyond what that may differ.
        """
        clock, other = self._clock(resource), 1 - resource
        finish = self._finish[resource]
        if not self._served[other]:
            return [finish[key] - clock for key in keys]
        most_elsewhere = self._clocks[other] + self._most_lead
        elsewhere = self._finish[other]
        return [
            max(finish[key] - clock, elsewhere[key] - most_elsewhere)
            if self._claims[key].present[other]
            else finish[key] - clock
            for key in keys
        ]

    def least_ahead(self, keys: Collection[K], resource: int) -> list[K]:
        """Those of ``keys`` that are least ahead: one, or several that are equal."""
        if len(keys) == 1:
            return list(keys)
        lead_of = self._lead_of(keys, resource)
        least = min(map(lead_of, keys))
        return [key for key in keys if lead_of(key) == least]

    def ranked(self, keys: Collection[K], resource: int) -> tuple[list[K], bool]:
        """All of ``keys``, the least ahead first, and whether any two are equal."""
        lead_of = self._lead_of(keys, resource)
        ranked = sorted(keys, key=lead_of)
        return ranked, len(set(map(lead_of, ranked))) < len(ranked)

    def equals(self, ranked: Collection[K], resource: int) -> Iterator[list[K]]:
        """What ``ranked`` gave, those that are equal together."""
        for _, equals in groupby(ranked, self._lead_of(ranked, resource)):
            yield list(equals)

    def _lead_of(self, keys: Collection[K], resource: int) -> Callable[[K], float]:
        """Tells numbers that are in the order of the leads of ``keys``."""
        if self._served[1 - resource]:
            return dict(zip(keys, self.leads(keys, resource), strict=True)).__getitem__
        return self._finish[resource].__getitem__  # without what all have in common

    def finish(self, key: K, resource: int) -> float:
        """Its clock: weighted seconds of the whole resource, absences included."""
        return self._finish[resource][key]

    def __contains__(self, key: object) -> bool:
        return key in self._claims

    def __len__(self) -> int:
        """Claimants that are remembered."""
        return len(self._claims)

    def _new(self, key: K) -> _Claim:
        claim = self._claims[key] = _Claim(1.0)
        for finish in self._finish:
            finish[key] = 0.0
        return claim

    def _move(self, key: K, resource: int, weighted_seconds: float) -> float:
        finish = self._finish[resource]
        before = finish[key]
        after = before + weighted_seconds / self._capacities[resource]
        if after > self._clocks[resource] + self._most_lead and self._served[resource]:
            after = max(min(after, self._clock(resource) + self._most_lead), before)
        finish[key] = after
        return after - before

    def _last_leaves(self, key: K, claim: _Claim, resource: int) -> None:
        """The clock stands where the last of the present has left it."""
        served = self._finish[resource][key] - claim.predicted[resource]
        if served > self._clocks[resource]:
            self._clocks[resource] = served
        for _, _, _, noted in self._served[resource]:
            noted.is_listed[resource] = False
        self._served[resource].clear()

    def _forget(self) -> None:
        """Drop the absent who are ahead nowhere: they would come back as newcomers."""
        for key, claim in list(self._claims.items()):
            is_ahead = any(self._finish[r][key] > self._clocks[r] for r in _RESOURCES)
            if not is_ahead and not claim.guests and not any(claim.present):
                del self._claims[key]
                for finish in self._finish:
                    del finish[key]

    def _clock(self, resource: int) -> float:
        """The least of the present claimants' clocks; it never goes back.

        What runs is not in it: a prediction that turns out wrong must move nobody else.
        """
        heap, finish = self._served[resource], self._finish[resource]
        while heap:
            noted, number, key, claim = heap[0]
            if not claim.present[resource]:
                heapq.heappop(heap)
                claim.is_listed[resource] = False
                continue
            served = finish[key] - claim.predicted[resource]
            if served <= noted:
                self._clocks[resource] = max(self._clocks[resource], served)
                break
            heapq.heapreplace(heap, (served, number, key, claim))
        return self._clocks[resource]
