"""How much QPU time a job will take: a formula, corrected by what jobs were measured to take.

IBM describes the time of a job as an overhead plus, for each execution, the circuit and the delay
before the next. The overhead and the correction are learned.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

__all__ = ["CostEstimate", "CostModel"]

_FIRST_OVERHEAD_SECONDS = 2.0
_REPETITION_SECONDS = 250e-6
_WEIGHT = 0.3
_MOST_CORRECTION = 20.0


@dataclass(frozen=True, slots=True)
class CostEstimate:
    """What evaluations would take.

    Attributes:
        jobs: Jobs at the provider.
        qpu_seconds: QPU time of all together.
        source: "formula", or "dry run" where the service was asked.
        money: What that costs where QPU seconds are billed; None where no price is known.
    """

    jobs: int
    qpu_seconds: float
    source: str
    money: float | None = None


class CostModel:
    """Predicts QPU seconds. Safe to use from several threads."""

    def __init__(self, repetition_seconds: float | None) -> None:
        """Begin with the formula.

        Args:
            repetition_seconds: Delay between two executions; None for the usual 250 us.
        """
        self._repetition_seconds = (
            _REPETITION_SECONDS if repetition_seconds is None else repetition_seconds
        )
        self._correction = 1.0
        self._measured = 0
        self._lock = threading.Lock()

    @classmethod
    def of(cls, device: Any) -> CostModel:
        """With the delay that a device has by default, where it says so."""
        try:
            delay = device.default_rep_delay
        except AttributeError:
            delay = None
        return cls(float(delay) if isinstance(delay, int | float) and delay > 0 else None)

    @property
    def job_seconds(self) -> float:
        """What a job takes beside its executions."""
        return _FIRST_OVERHEAD_SECONDS * self._correction

    def seconds(self, executions: int, circuit_seconds: float) -> float:
        """What so many executions take."""
        return executions * (circuit_seconds + self._repetition_seconds) * self._correction

    def learn(self, predicted_seconds: float, measured_seconds: float) -> None:
        """A job that was predicted to take so long took so long."""
        if predicted_seconds <= 0 or measured_seconds <= 0:
            return
        with self._lock:
            self._measured += 1
            ratio = measured_seconds / (predicted_seconds / self._correction)
            weight = max(_WEIGHT, 1.0 / self._measured)
            moved = self._correction + weight * (ratio - self._correction)
            self._correction = min(_MOST_CORRECTION, max(1.0 / _MOST_CORRECTION, moved))
