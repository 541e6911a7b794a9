"""The random seed of an evaluation: a function of what is asked, not of when it runs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

__all__ = ["Stream"]


class Stream:
    """The seeds of one loop's evaluations.

    A seed depends on the session's seed, the loop, the point and its occurrence number (how often
    that point was asked for, this time included), so a value is the same whatever it was batched
    with, whenever it ran, speculative or not.

    Example:
        >>> stream = Stream(session_seed=7, name="energy")
        >>> [key] = stream.keys([b"point"], [b"4096"])
        >>> stream.seed(key, 1) == stream.seed(key, 1)
        True
        >>> stream.seed(key, 1) == stream.seed(key, 2)
        False
    """

    __slots__ = ("_prefix", "name")

    def __init__(self, session_seed: int, name: str) -> None:
        self.name = name
        key = hashlib.blake2b(str(session_seed).encode(), digest_size=32).digest()
        self._prefix = hashlib.blake2b(name.encode(), key=key, digest_size=16)

    def keys(self, points: Iterable[bytes], asked_for: Iterable[bytes]) -> list[bytes]:
        """Short names of points and what is asked for there, 16 bytes each.

        Args:
            points: The bytes of each point.
            asked_for: What tells evaluations of one point apart, such as the number of shots.
        """
        names = []
        for point, what in zip(points, asked_for, strict=True):
            digest = self._prefix.copy()
            digest.update(point)
            digest.update(what)
            names.append(digest.digest())
        return names

    @staticmethod
    def seed(key: bytes, occurrence: int) -> int:
        """The 128-bit seed of the ``occurrence``-th evaluation of what ``keys`` named."""
        digest = hashlib.blake2b(occurrence.to_bytes(8, "little"), key=key, digest_size=16)
        return int.from_bytes(digest.digest(), "little")
