"""The warm calibration cache: compiled forms, bounded, least recently used goes first."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from efaas.model.profile import CacheInfo

__all__ = ["WarmCache"]

T = TypeVar("T")


class WarmCache:
    """A bounded mapping from (experiment, device, calibration) to a compiled form.

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

    def __init__(self, *, max_entries: int = 256, max_bytes: int = 256 * 2**20) -> None:
        """Bound the cache.

        Args:
            max_entries: Most entries held; at least 1.
            max_bytes: Most bytes held, by the sizes that ``get_or_build`` is told.

        Raises:
            ValueError: A bound is below 1.
        """
        if max_entries < 1 or max_bytes < 1:
            raise ValueError(
                f"a cache holds at least one entry and one byte, got max_entries={max_entries}, "
                f"max_bytes={max_bytes}"
            )
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._entries: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
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
            entry = self._entries.get(key)
            if entry is not None:
                self._hits += 1
                self._entries.move_to_end(key)
                form: T = entry[0]
                return form, True
            turn = self._building.setdefault(key, threading.Lock())
        with turn:
            with self._lock:
                entry = self._entries.get(key)
                if entry is not None:
                    self._hits += 1
                    form = entry[0]
                    return form, True
            form = build()
            with self._lock:
                self._misses += 1
                self._keep(key, form, size(form))
                self._building.pop(key, None)
        return form, False

    def info(self) -> CacheInfo:
        """The counters now."""
        with self._lock:
            return CacheInfo(
                hits=self._hits,
                misses=self._misses,
                evictions=self._evictions,
                entries=len(self._entries),
                bytes=self._bytes,
                max_entries=self._max_entries,
                max_bytes=self._max_bytes,
            )

    def _keep(self, key: Hashable, form: Any, size: int) -> None:
        self._entries[key] = (form, size)
        self._bytes += size
        while len(self._entries) > 1 and (
            len(self._entries) > self._max_entries or self._bytes > self._max_bytes
        ):
            self._evict(next(iter(self._entries)))

    def _evict(self, key: Hashable) -> None:
        _, size = self._entries.pop(key)
        self._bytes -= size
        self._evictions += 1
