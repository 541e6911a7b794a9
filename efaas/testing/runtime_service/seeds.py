"""Where the randomness of a job comes from: its request, or the service's own seed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

from efaas.testing.runtime_service.messages import refuse

__all__ = ["SeedSource", "requested_seed"]


class SeedSource:
    """Seeds of points: the n-th time that a point is asked for always gets the same one.

    So what a job gives depends on the service's seed and on what was asked for before, and not
    on when it ran, or next to what.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._asked: Counter[str] = Counter()

    def of_points(
        self, items: Sequence[Sequence[str]], requested: Any
    ) -> tuple[tuple[int, ...], ...]:
        """One 128-bit seed for each point of each item of a job.

        Args:
            items: The digests of each item's points.
            requested: What ``requested_seed`` gave.

        Raises:
            Refusal: The requested seeds do not fit the items.
        """
        if isinstance(requested, list):
            return _given(items, requested)
        if requested is not None and (not isinstance(requested, int) or requested < 0):
            raise refuse(400, 1210, f"A seed must be an integer of 0 or more, got {requested!r}.")
        if requested is None:
            return tuple(tuple(self._drawn(digest) for digest in digests) for digests in items)
        asked: Counter[str] = Counter()
        seeds = []
        for digests in items:
            row = []
            for digest in digests:
                row.append(_hashed("request", requested, digest, asked[digest]))
                asked[digest] += 1
            seeds.append(tuple(row))
        return tuple(seeds)

    def _drawn(self, digest: str) -> int:
        occurrence = self._asked[digest]
        self._asked[digest] += 1
        return _hashed("service", self._seed, digest, occurrence)


def requested_seed(options: dict[str, Any]) -> Any:
    """The seed in a job's options: an int, a list with an entry for each item, or None.

    It is ``experimental["seed_simulator"]`` if given, which every kind of primitive passes on;
    otherwise ``simulator.seed_simulator`` or ``seed_estimator``. In a list each entry is an int
    for the item's one point, or a list with one for each of its points; those are used as they
    are.
    """
    experimental = options.get("experimental") or {}
    if "seed_simulator" in experimental:
        return experimental["seed_simulator"]
    simulator = options.get("simulator") or {}
    seed = simulator.get("seed_simulator")
    return options.get("seed_estimator") if seed is None else seed


def _given(items: Sequence[Sequence[str]], requested: list[Any]) -> tuple[tuple[int, ...], ...]:
    seeds = [tuple(entry) if isinstance(entry, list) else (entry,) for entry in requested]
    shape, wanted = [len(entry) for entry in seeds], [len(digests) for digests in items]
    are_seeds = all(isinstance(seed, int) and seed >= 0 for row in seeds for seed in row)
    if shape != wanted or not are_seeds:
        raise refuse(
            400,
            1210,
            "experimental.seed_simulator must be an integer, or a list with the seeds of each "
            f"pub's points: expected counts {wanted}, got {shape}.",
        )
    return tuple(tuple(int(seed) for seed in row) for row in seeds)


def _hashed(*parts: Any) -> int:
    return int.from_bytes(blake2b(repr(parts).encode(), digest_size=16).digest(), "little")
