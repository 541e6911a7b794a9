"""The warm calibration cache: compiled forms, bounded in number, bytes and age."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, get_args

from efaas.clock import Clock, SystemClock
from efaas.errors import InputError
from efaas.model.profile import CacheInfo

__all__ = ["Validity", "WarmCache"]

T = TypeVar("T")

Validity = Literal["absolute", "sliding"]
"""What the age of an entry counts from: when it was built, or when it was last used."""


@dataclass(slots=True)
class _Entry:
    form: Any
    size: int
    counts_from: float


class WarmCache:
    """A bounded mapping from (experiment, device, calibration) to a compiled form.

    The least recently used entry goes first. With a time to live, entries that outlived it count as
    absent; the look-up that would have found one is a miss.

    Safe to use from several threads. A form that two threads want at once is built once: the
    second waits for the first.

    Example:
        >>> cache = WarmCache(max_entries=1)
        >>> cache.get_or_build("a", lambda: "form", size=len)
        ('form', False)
        >>> cache.get_or_build("b", lambda: "other", size=len)
        ('other', False)
        >>> cache.info().evictions
        1
    """

    def __init__(
        self,
        *,
        max_entries: int = 256,
        max_bytes: int = 256 * 2**20,
        ttl_seconds: float | None = None,
        validity: Validity = "absolute",
        clock: Clock | None = None,
    ) -> None:
        """Bound the cache.

        Args:
            max_entries: Most entries held; at least 1.
            max_bytes: Most bytes held, by the sizes that ``get_or_build`` is told.
            ttl_seconds: Age from which an entry is not used any more, more than 0; None for none.
            validity: "absolute" counts the age from when an entry was built, so that nothing is
                ever older; "sliding" from when it was last used.
            clock: What ages go by; by default the system's.

        Raises:
            InputError: A bound is below 1, or another setting is out of its range.
        """
        if max_entries < 1 or max_bytes < 1:
            raise InputError(
                f"a cache holds at least one entry and one byte, got max_entries={max_entries}, "
                f"max_bytes={max_bytes}"
            )
        if ttl_seconds is not None and not 0 < ttl_seconds < math.inf:
            raise InputError(
                f"ttl_seconds must be more than 0 and finite, or None, got {ttl_seconds!r}"
            )
        if validity not in get_args(Validity):
            raise InputError(
                f"validity must be one of {', '.join(get_args(Validity))}; got {validity!r}"
            )
        self._ttl_seconds = ttl_seconds
        self._is_sliding = validity == "sliding"
        self._clock = SystemClock() if clock is None else clock
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._entries: OrderedDict[Hashable, _Entry] = OrderedDict()
        self._bytes = 0
        self._hits = self._misses = self._evictions = 0
        self._lock = threading.Lock()
        self._building: dict[Hashable, threading.Lock] = {}

    def get_or_build(
        self, key: Hashable, build: Callable[[], T], size: Callable[[T], int]
    ) -> tuple[T, bool]:
        """The entry of ``key``, built and kept if it is not there, and whether it was there.

        Args:
            key: What identifies the form: it must name the calibration.
            build: Makes the form; what it raises is raised here, and nothing is kept.
            size: Bytes that a form takes.
        """
        with self._lock:
            entry = self._found(key)
            if entry is not None:
                form: T = entry.form
                return form, True
            turn = self._building.setdefault(key, threading.Lock())
        with turn:
            with self._lock:
                entry = self._found(key)
                if entry is not None:
                    form = entry.form
                    return form, True
            form = build()
            with self._lock:
                self._misses += 1
                self._keep(key, form, size(form))
                self._building.pop(key, None)
        return form, False

    def drop(self, is_gone: Callable[[Hashable], bool]) -> int:
        """Evict the entries whose keys ``is_gone`` tells, and return how many those were.

        A form that is being built meanwhile is kept all the same.

        Args:
            is_gone: A quick predicate; it must not use the cache.
        """
        with self._lock:
            gone = [key for key in self._entries if is_gone(key)]
            for key in gone:
                self._evict(key)
            return len(gone)

    def info(self) -> CacheInfo:
        """The counters now."""
        with self._lock:
            self._evict_expired()
            return CacheInfo(
                hits=self._hits,
                misses=self._misses,
                evictions=self._evictions,
                entries=len(self._entries),
                bytes=self._bytes,
                max_entries=self._max_entries,
                max_bytes=self._max_bytes,
            )

    def _found(self, key: Hashable) -> _Entry | None:
        """The entry as a hit, unless it is not there or outlived its time."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        if self._ttl_seconds is not None:
            now = self._clock.now()
            if now - entry.counts_from >= self._ttl_seconds:
                self._evict(key)
                return None
            if self._is_sliding:
                entry.counts_from = now
        self._hits += 1
        self._entries.move_to_end(key)
        return entry

    def _keep(self, key: Hashable, form: Any, size: int) -> None:
        self._evict_expired()
        now = 0.0 if self._ttl_seconds is None else self._clock.now()
        self._entries[key] = _Entry(form, size, now)
        self._bytes += size
        while len(self._entries) > 1 and (
            len(self._entries) > self._max_entries or self._bytes > self._max_bytes
        ):
            self._evict(next(iter(self._entries)))

    def _evict_expired(self) -> None:
        if self._ttl_seconds is None:
            return
        oldest = self._clock.now() - self._ttl_seconds
        for key in [key for key, entry in self._entries.items() if entry.counts_from <= oldest]:
            self._evict(key)

    def _evict(self, key: Hashable) -> None:
        self._bytes -= self._entries.pop(key).size
        self._evictions += 1
