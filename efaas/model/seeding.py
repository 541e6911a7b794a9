"""The random seed of an evaluation: a function of what is asked, not of when it runs."""

from __future__ import annotations

import hashlib

__all__ = ["Stream"]


class Stream:
    """The seeds of one loop's evaluations.

    A seed depends on the session's seed, the loop, the point and its occurrence number (how often
    that point was asked for, this time included), so a value is the same whatever it was batched
    with, whenever it ran, speculative or not.

    Example:
        >>> stream = Stream(session_seed=7, name="energy")
        >>> stream.seed(b"point", 1) == stream.seed(b"point", 1)
        True
        >>> stream.seed(b"point", 1) == stream.seed(b"point", 2)
        False
    """

    __slots__ = ("_prefix", "name")

    def __init__(self, session_seed: int, name: str) -> None:
        self.name = name
        key = hashlib.blake2b(str(session_seed).encode(), digest_size=32).digest()
        self._prefix = hashlib.blake2b(name.encode(), key=key, digest_size=16)

    def key(self, point: bytes) -> bytes:
        """A short name of the point within this stream, 16 bytes."""
        digest = self._prefix.copy()
        digest.update(point)
        return digest.digest()

    def seed(self, point: bytes, occurrence: int) -> int:
        """The 128-bit seed of the ``occurrence``-th evaluation of the point."""
        return self.keyed_seed(self.key(point), occurrence)

    @staticmethod
    def keyed_seed(key: bytes, occurrence: int) -> int:
        """As ``seed``, for the name that ``key`` gave."""
        digest = hashlib.blake2b(occurrence.to_bytes(8, "little"), key=key, digest_size=16)
        return int.from_bytes(digest.digest(), "little")
