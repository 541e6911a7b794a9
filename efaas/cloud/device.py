"""A simulated QPU: how old its calibration is, and how noisy that makes it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from efaas.cloud.kernel import random_stream

if TYPE_CHECKING:
    from efaas.cloud.scenario import Scenario

__all__ = ["Device"]


_HOUR, _DAY = 3600.0, 86400.0


@dataclass(slots=True)
class _Scheduled:
    """A calibration that the provider makes every so often."""

    every: float
    duration: float
    due_at: float


class Device:
    """One QPU over time.

    Attributes:
        name: Its name.
        calibrated_at: When its calibration was made.
        renewed_at: From when on a policy counts its age: the same, or its latest shot.
        error_scale: Its error rates over the scenario's.
    """

    def __init__(self, name: str, scenario: Scenario, seed: int) -> None:
        self.name = name
        self._calibrations = scenario.calibrations
        draw = random_stream(seed, "calibrations", name)
        age = self._calibrations.age_spread * self._calibrations.valid_seconds * draw.random()
        self.calibrated_at = self.renewed_at = -age
        self._schedule = [
            _Scheduled(every, duration, every * draw.random())
            for every, duration in (
                (_HOUR, self._calibrations.hourly_seconds),
                (_DAY, self._calibrations.daily_seconds),
            )
            if duration
        ]
        self._idle_since = 0.0
        self._devices = scenario.devices
        spread = scenario.devices.fidelity_spread
        self.error_scale = math.exp(random_stream(seed, "device", name).gauss(0.0, spread))
        self._failures = random_stream(seed, "failures", name)
        self.warm: set[int] = set()
        """Loops whose compiled form for this calibration is here."""

    def age_seconds(self, now: float) -> float:
        """Of its calibration."""
        return now - self.calibrated_at

    def is_due(self, now: float) -> bool:
        """Whether a loop would ask for a new calibration."""
        left = self._calibrations.valid_seconds - self._calibrations.margin_seconds
        return now - self.renewed_at > left

    def calibrate(self, ends_at: float) -> None:
        """Put a new calibration in force, from then on."""
        self.calibrated_at = self.renewed_at = ends_at
        self.warm.clear()

    def scheduled_until(self, now: float) -> tuple[int, float]:
        """How many of the provider's calibrations came due, and when the device is free of them.

        A device that was idle made them when they were due, another one after what it ran.
        """
        made, free_at = 0, self._idle_since
        for scheduled in self._schedule:
            while scheduled.due_at <= max(now, free_at):
                free_at = max(free_at, scheduled.due_at) + scheduled.duration
                scheduled.due_at += scheduled.every
                self.calibrate(free_at)
                made += 1
        return made, max(now, free_at)

    def idle(self, now: float) -> None:
        """What ran has ended, or was thrown out."""
        self._idle_since = max(now, self.calibrated_at)

    def noise_scale(self, now: float) -> float:
        """Error rates at that instant over those of a fresh calibration of the average device."""
        calibrations = self._calibrations
        share = min(self.age_seconds(now) / calibrations.valid_seconds, 2.0)
        return self.error_scale * (1.0 + calibrations.drift * max(share, 0.0))

    def fails_after(self) -> float:
        """Seconds of an attempt after which it fails; infinite if devices do not fail."""
        rate = self._devices.failures_per_hour / 3600.0
        return self._failures.expovariate(rate) if rate else math.inf
