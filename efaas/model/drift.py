"""How a device's numbers wander between calibrations, and what to expect of them at an age."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, TypeAlias

from efaas.errors import InputError
from efaas.model.calibration import BROKEN

__all__ = [
    "DEAD_GATES",
    "FLUCTUATIONS",
    "Breakdown",
    "Expectation",
    "Fluctuation",
    "Innovation",
    "Quantity",
    "expected",
]

DAY_SECONDS = 86400.0

Quantity: TypeAlias = Literal[
    "t1", "t2", "readout_error", "one_qubit_gate_error", "two_qubit_gate_error"
]
"""What wanders: coherence times, or rates of errors."""


@dataclass(frozen=True, slots=True)
class Innovation:
    """What one step adds to ln x: ``core * normal + worse * (jump * exponential - mean)``.

    The jump is there with ``jump_probability`` only. Its mean is taken off, so that ln x keeps
    its mean.

    Attributes:
        core: Standard deviation of the normal part.
        jump_probability: Of a jump in this step.
        jump: Mean size of a jump.
    """

    core: float
    jump_probability: float
    jump: float

    @property
    def mean(self) -> float:
        """What the jumps add on average, before it is taken off."""
        return self.jump_probability * self.jump


@dataclass(frozen=True, slots=True)
class Fluctuation:
    """The mean-reverting process of ln x of one quantity, with jumps towards the worse.

    Attributes:
        ln_std: Stationary standard deviation of ln x.
        day_correlation: Autocorrelation of ln x after one day, in (0, 1).
        day_jump_probability: Of a jump within a day.
        jump_share: Share of the variance of a step that the jumps make, in [0, 1).
        worse: Sign of the change of ln x that makes the device worse.
    """

    ln_std: float
    day_correlation: float
    day_jump_probability: float
    jump_share: float
    worse: Literal[-1, 1]

    @property
    def correlation_seconds(self) -> float:
        """The time tau after which the autocorrelation has fallen to 1/e."""
        return -DAY_SECONDS / math.log(self.day_correlation)

    def memory(self, seconds: float) -> float:
        """The share of a deviation of ln x that is left after ``seconds``: exp(-t / tau)."""
        return math.exp(-seconds / self.correlation_seconds)

    def innovation(self, seconds: float) -> Innovation:
        """What a step of ``seconds`` adds to the deviation that is left over.

        Its variance is ``ln_std ** 2 * (1 - memory(seconds) ** 2)``, whatever the step, so that
        ``ln_std`` and ``correlation_seconds`` do not depend on how often a device is calibrated.
        """
        variance = self.ln_std**2 * -math.expm1(-2 * seconds / self.correlation_seconds)
        days = seconds / DAY_SECONDS
        probability = -math.expm1(days * math.log1p(-self.day_jump_probability))
        # Of an exponential of mean b that is there with probability q: 2 q b^2 - (q b)^2.
        jump = math.sqrt(self.jump_share * variance / (probability * (2 - probability)))
        return Innovation(
            core=math.sqrt((1 - self.jump_share) * variance),
            jump_probability=probability,
            jump=jump,
        )


@dataclass(frozen=True, slots=True)
class Breakdown:
    """How gates die and come back.

    Attributes:
        dies_per_day: Probability that a working gate fails within a day.
        heals_per_day: Probability that a dead one works again after a day.
    """

    dies_per_day: float
    heals_per_day: float

    def dies(self, seconds: float) -> float:
        """Probability that a working gate fails within ``seconds``."""
        return _within(self.dies_per_day, seconds)

    def heals(self, seconds: float) -> float:
        """Probability that a dead gate works again within ``seconds``."""
        return _within(self.heals_per_day, seconds)


FLUCTUATIONS: Mapping[Quantity, Fluctuation] = MappingProxyType(
    {
        "t1": Fluctuation(0.46, 0.28, 0.18, 0.82, worse=-1),
        "t2": Fluctuation(0.33, 0.25, 0.24, 0.82, worse=-1),
        "readout_error": Fluctuation(0.46, 0.77, 0.05, 0.86, worse=1),
        "one_qubit_gate_error": Fluctuation(0.38, 0.50, 0.17, 0.78, worse=1),
        "two_qubit_gate_error": Fluctuation(0.33, 0.53, 0.17, 0.82, worse=1),
    }
)
"""Fitted to 181 daily calibrations of ibm_perth (January to June 2023, public artifact of
Qonductor, SC25): the standard deviation of ln x and its autocorrelation as they are; the jumps so
that the frequency of day-to-day changes by more than 1.5 times (25, 18, 5, 15 and 11 %) and the
median change (21, 16, 9, 16 and 13 %) are met. Days with a dead gate are apart: with them, ln of
the two-qubit error has a standard deviation of 0.65, twice that of a working gate's."""

DEAD_GATES = Breakdown(dies_per_day=0.010, heals_per_day=0.73)
"""Of two-qubit gates, from the same series: 11 failures in 1086 gate days, 15 dead days."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """What is known of a number some time after it was measured.

    Attributes:
        value: The exponential of the expected ln x, in the unit of the quantity.
        ln_std: Standard deviation of ln x.
    """

    value: float
    ln_std: float


def expected(value: float, mean: float, age_seconds: float, quantity: Quantity) -> Expectation:
    """What to expect of a number that was measured ``age_seconds`` ago.

    The Ornstein-Uhlenbeck posterior on ln x: ``mu + (ln x0 - mu) exp(-t / tau)`` with variance
    ``sigma^2 (1 - exp(-2 t / tau))``. Ranking devices by it, not by what was last measured, keeps
    a lucky calibration from winning (the winner's curse). A number of 0 stays, as does an error
    of 0.99 and more: a dead gate is not trusted until a calibration says that it works.

    Args:
        value: What was measured: seconds, or an error rate in [0, 1].
        mean: What it reverts to (the exponential of the mean of ln x), in the same unit.
        age_seconds: Time since the measurement, 0 or more.
        quantity: Which number it is.

    Raises:
        InputError: A number is negative or not finite, or the quantity is unknown.

    Example:
        >>> fresh = expected(0.005, mean=0.02, age_seconds=0.0, quantity="readout_error")
        >>> old = expected(0.005, mean=0.02, age_seconds=7 * 86400.0, quantity="readout_error")
        >>> round(fresh.value, 4), round(old.value, 4)
        (0.005, 0.016)
    """
    for name, number in (("value", value), ("mean", mean), ("age_seconds", age_seconds)):
        if not (math.isfinite(number) and number >= 0):
            raise InputError(f"{name} must be finite and 0 or more, got {number!r}")
    if quantity not in FLUCTUATIONS:
        raise InputError(f"quantity must be one of {', '.join(FLUCTUATIONS)}; got {quantity!r}")
    is_dead = quantity.endswith("error") and max(value, mean) >= BROKEN
    if value == 0 or mean == 0 or is_dead:
        return Expectation(value, 0.0)
    fluctuation = FLUCTUATIONS[quantity]
    memory = fluctuation.memory(age_seconds)
    spread = -math.expm1(-2 * age_seconds / fluctuation.correlation_seconds)
    return Expectation(
        value=math.exp((1 - memory) * math.log(mean) + memory * math.log(value)),
        ln_std=fluctuation.ln_std * math.sqrt(spread),
    )


def _within(per_day: float, seconds: float) -> float:
    return -math.expm1(seconds / DAY_SECONDS * math.log1p(-per_day))
