"""The warm cache keeps what is still true, and no more."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from efaas.backends.warm_cache import Validity, WarmCache
from efaas.clock import VirtualClock
from efaas.errors import InputError


class _BrokenClock:
    def now(self) -> float:
        raise AssertionError("the time was asked for")


def _look_up(cache: WarmCache, key: str) -> bool:
    """Whether the key was there."""
    form, was_there = cache.get_or_build(key, lambda: f"form of {key}", size=len)
    assert form == f"form of {key}"
    return was_there


def test_without_a_time_to_live_the_clock_is_not_read() -> None:
    cache = WarmCache(clock=_BrokenClock())
    assert [_look_up(cache, "a"), _look_up(cache, "a")] == [False, True]
    assert cache.info().entries == 1


def test_an_absolute_entry_expires_however_often_it_is_used() -> None:
    clock = VirtualClock()
    cache = WarmCache(ttl_seconds=10.0, clock=clock)
    found = []
    for _ in range(5):
        found.append(_look_up(cache, "a"))
        clock.advance(4.0)
    assert found == [False, True, True, False, True]


def test_a_sliding_entry_lives_while_it_is_used() -> None:
    clock = VirtualClock()
    cache = WarmCache(ttl_seconds=10.0, validity="sliding", clock=clock)
    found = []
    for seconds in (9.0, 9.0, 9.0, 10.0, 0.0):
        found.append(_look_up(cache, "a"))
        clock.advance(seconds)
    assert found == [False, True, True, True, False]


def test_an_expired_entry_is_a_miss_and_an_eviction() -> None:
    clock = VirtualClock()
    cache = WarmCache(ttl_seconds=1.0, clock=clock)
    _look_up(cache, "a")
    clock.advance(1.0)
    info = cache.info()
    assert (info.entries, info.bytes, info.evictions) == (0, 0, 1)
    _look_up(cache, "a")
    info = cache.info()
    assert (info.hits, info.misses, info.evictions, info.entries) == (0, 2, 1, 1)


def test_dropping_evicts_what_the_predicate_tells() -> None:
    cache = WarmCache()
    for key in ("old 1", "old 2", "new"):
        _look_up(cache, key)
    assert cache.drop(lambda key: str(key).startswith("old")) == 2
    info = cache.info()
    assert (info.entries, info.bytes, info.evictions) == (1, len("form of new"), 2)
    assert [_look_up(cache, "new"), _look_up(cache, "old 1")] == [True, False]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_entries": 0}, "at least one entry and one byte, got max_entries=0"),
        ({"max_bytes": 0}, "max_bytes=0"),
        ({"ttl_seconds": 0.0}, "ttl_seconds must be more than 0 and finite, or None, got 0.0"),
        ({"ttl_seconds": -1.0}, "got -1.0"),
        ({"ttl_seconds": math.nan}, "got nan"),
        ({"ttl_seconds": math.inf}, "got inf"),
        ({"validity": "forever"}, "validity must be one of absolute, sliding; got 'forever'"),
    ],
)
def test_bounds_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        WarmCache(**options)


class _CacheAgainstAModel(RuleBasedStateMachine):
    """A look-up hits if and only if a plain list of (key, instant) says so."""

    @initialize(
        ttl=st.none() | st.integers(1, 9),
        validity=st.sampled_from(["absolute", "sliding"]),
        most=st.integers(1, 3),
    )
    def start(self, ttl: int | None, validity: Validity, most: int) -> None:
        self.clock = VirtualClock()
        self.cache = WarmCache(
            max_entries=most, ttl_seconds=ttl, validity=validity, clock=self.clock
        )
        self.ttl = math.inf if ttl is None else ttl
        self.is_sliding = validity == "sliding"
        self.most = most
        self.model: list[tuple[str, float]] = []
        self.hits = self.misses = self.evictions = 0

    def _expire(self) -> None:
        alive = [entry for entry in self.model if self.clock.now() - entry[1] < self.ttl]
        self.evictions += len(self.model) - len(alive)
        self.model = alive

    @rule(key=st.sampled_from("abcd"))
    def look_up(self, key: str) -> None:
        self._expire()
        built_at = dict(self.model).get(key)
        assert _look_up(self.cache, key) == (built_at is not None)
        self.model = [entry for entry in self.model if entry[0] != key]
        if built_at is None or self.is_sliding:
            self.model.append((key, self.clock.now()))
        else:
            self.model.append((key, built_at))
        self.hits += built_at is not None
        self.misses += built_at is None
        if len(self.model) > self.most:
            self.evictions += 1
            del self.model[0]

    @rule(seconds=st.integers(0, 6))
    def wait(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @rule(key=st.sampled_from("abcd"))
    def drop(self, key: str) -> None:
        self._expire()
        self.cache.info()
        dropped = self.cache.drop(lambda other: other == key)
        kept = [entry for entry in self.model if entry[0] != key]
        assert dropped == len(self.model) - len(kept)
        self.evictions += dropped
        self.model = kept

    @invariant()
    def counters_agree(self) -> None:
        if not hasattr(self, "model"):
            return
        self._expire()
        info = self.cache.info()
        counters = (info.hits, info.misses, info.evictions, info.entries)
        assert counters == (self.hits, self.misses, self.evictions, len(self.model))
        assert info.bytes == sum(len(f"form of {key}") for key, _ in self.model)


TestCacheAgainstAModel = _CacheAgainstAModel.TestCase
TestCacheAgainstAModel.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
