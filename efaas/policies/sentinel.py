"""Whether a device has drifted, by evaluating one point again and again.

Two independent estimates of one expectation differ by a normal deviate of known standard error as
long as nothing has changed. A value that was chosen for being low, as the incumbent's own is, or
for being far off, as one that raised an alarm, is no reference: the point's next estimate is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

from efaas.errors import InputError
from efaas.model.events import Shift
from efaas.model.quantities import is_count, is_number

__all__ = ["Sentinel", "SentinelTest", "ln_damping"]

_NORMAL = NormalDist()

_ROUNDING = 1e-9
"""Relative difference of exact expectations that is not taken for a change."""

_MOST_DAMPING = 100.0
"""A signal that has changed by more, or was lost in noise, counts as changed by this factor."""


@dataclass(frozen=True, slots=True)
class Sentinel:
    """When to look after a loop's device, and when to believe that it has changed.

    Attributes:
        every_rounds: A loop's best point is evaluated once more after so many rounds; at least 1.
        shots: Of each measurement setting; those of the loop's latest evaluation if None, and
            none where that was exact.
        most_share: Shots of all checks of a loop over the shots that it asked for itself, at most;
            in (0, 1]. Where evaluations are exact, each counts as one shot.
        false_alarm_rate: Probability of an alarm at a check though nothing has changed, in (0,
            0.5].

    Raises:
        InputError: A setting is out of its range.
    """

    every_rounds: int = 20
    shots: int | None = None
    most_share: float = 0.1
    false_alarm_rate: float = 1e-3

    def __post_init__(self) -> None:
        _check_count("every_rounds", self.every_rounds)
        if self.shots is not None:
            _check_count("shots", self.shots)
        if not (is_number(self.most_share) and 0.0 < self.most_share <= 1.0):
            raise InputError(f"most_share must be above 0 and at most 1, got {self.most_share!r}")
        rate = self.false_alarm_rate
        if not (is_number(rate) and 0.0 < rate <= 0.5):
            raise InputError(
                f"false_alarm_rate must be above 0 and at most 0.5, got {self.false_alarm_rate!r}"
            )


class SentinelTest:
    """A two-sided z-test of each estimate against all earlier ones since the last alarm.

    Example:
        >>> test = SentinelTest(false_alarm_rate=0.001)
        >>> test.check(-1.00, std=0.01) is None  # the reference
        True
        >>> test.check(-0.99, std=0.01).is_alarm, test.check(-0.93, std=0.01).is_alarm
        (False, True)
    """

    def __init__(self, *, false_alarm_rate: float) -> None:
        """Begin without a reference.

        Args:
            false_alarm_rate: Of one check, in (0, 0.5].
        """
        self._threshold = false_alarm_rate
        self._weight = 0.0  # sum of 1 / variance
        self._sum = 0.0

    def restart(self) -> None:
        """Forget the reference: another point, or another device, is looked at from now on."""
        self._weight = self._sum = 0.0

    def check(self, value: float, std: float) -> Shift | None:
        """Compare an estimate with the reference, and make it part of it.

        Args:
            value: The estimate.
            std: Its standard error; 0 for an exact expectation.

        Returns:
            None for the first estimate, and the first after an alarm: that is the reference.
        """
        variance = max(std, _ROUNDING * max(abs(value), 1.0)) ** 2
        shift = None
        if self._weight:
            difference = value - self._sum / self._weight
            error = math.sqrt(variance + 1.0 / self._weight)
            p = 2.0 * _NORMAL.cdf(-abs(difference) / error)
            shift = Shift(difference, error, p, p < self._threshold)
            if shift.is_alarm:
                self.restart()
                return shift
        self._weight += 1.0 / variance
        self._sum += value / variance
        return shift


def ln_damping(before: float, after: float, *, mixed: float, std: float) -> float:
    """By how much ln ESP must have changed for an expectation to go from ``before`` to ``after``.

    Noise damps an expectation towards that of the maximally mixed state: ``mixed + eta (ideal -
    mixed)`` with ``eta`` about the ESP. So ``ln eta' - ln eta = ln((after - mixed) / (before -
    mixed))``, whatever the ideal value is.

    Args:
        before: The expectation as it was.
        after: The expectation as it is.
        mixed: That of the maximally mixed state.
        std: Standard error of the difference: a smaller signal before is not told from none.

    Returns:
        The change, below 0 for a loss, between -ln 100 and ln 100. Where there was no signal
        before that could be lost, or where it has changed its sign, damping explains nothing, and
        it counts as lost.
    """
    signal = before - mixed
    ratio = (after - mixed) / signal if abs(signal) > max(std, 0.0) else 0.0
    return math.log(min(max(ratio, 1.0 / _MOST_DAMPING), _MOST_DAMPING))


def _check_count(name: str, count: object) -> None:
    if not is_count(count):
        raise InputError(f"{name} must be an integer, 1 or more, got {count!r}")
