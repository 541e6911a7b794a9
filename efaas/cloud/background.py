"""Jobs of others: when they come, and what they take."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from efaas.cloud.kernel import random_stream

if TYPE_CHECKING:
    from efaas.cloud.scenario import Scenario

__all__ = ["BackgroundJob", "background_jobs"]


class BackgroundJob(NamedTuple):
    """A job of somebody else.

    Attributes:
        arrives_at: When, in virtual seconds.
        seconds: Its service.
        device: The number of the device that its owner chose, where nobody chooses for it.
    """

    arrives_at: float
    seconds: float
    device: int


def background_jobs(scenario: Scenario, seed: int) -> Iterator[BackgroundJob]:
    """The jobs in order of arrival, without end; the same whatever the policy."""
    background = scenario.background
    if not background.jobs_per_second:
        return
    draw = random_stream(seed, "background")
    rate = background.jobs_per_second / background.burst_size
    at = 0.0
    while True:
        at += draw.expovariate(rate)
        for _ in range(_burst(draw.random(), background.burst_size)):
            if background.log_deviation:
                deviation = background.log_deviation
                median = background.service_seconds * math.exp(-(deviation**2) / 2)
                seconds = draw.lognormvariate(math.log(median), deviation)
            else:
                seconds = draw.expovariate(1.0 / background.service_seconds)
            device = draw.randrange(scenario.devices.count)
            yield BackgroundJob(at, min(seconds, background.longest_seconds), device)


def _burst(uniform: float, mean: float) -> int:
    """A geometric number of that mean, 1 at least."""
    if mean <= 1.0:
        return 1
    return 1 + int(math.log1p(-uniform) / math.log1p(-1.0 / mean))
