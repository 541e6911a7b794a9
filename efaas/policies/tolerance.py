"""Tolerant mode: whether a value that was measured nearby is as good as one measured at the point.

The value of the point asked for is estimated as the value measured nearby, plus what a surrogate
believes to be the difference between the two. It carries the noise of one evaluation, as a fresh
value would, and the error of that difference beside it, which is independent of the noise of the
evaluations to come. If the difference's standard deviation is the share ``s`` of the noise's, the
estimate scatters as a fresh value taken with ``1 / (1 + s^2)`` of the shots does: hardly more.

Where values have no noise, what matters is the difference that the optimizer is about to see, that
from the best value so far: it has to stay what it is.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Substitution", "is_as_good"]

_OF_NOISE = 0.15
"""Error over the noise of an evaluation: worth two in a hundred of its shots."""

_OF_GAP = 0.05
"""Error over the difference from the best value, where there is no noise."""


@dataclass(frozen=True, slots=True)
class Substitution:
    """A value measured nearby, as a stand-in for the point that is asked for.

    Attributes:
        difference: How much more the value is believed to be at the point asked for.
        deviation: The standard deviation of that belief.
        noise: The standard deviation of an evaluation's noise; 0 where values have none.
        gap: How much more the value at the point asked for is believed to be than the best so far.
    """

    difference: float
    deviation: float
    noise: float
    gap: float


def is_as_good(substitution: Substitution) -> bool:
    """Whether the error that the stand-in adds is small against what hides or matters anyway."""
    s = substitution
    allowed = _OF_NOISE * s.noise if s.noise > 0.0 else _OF_GAP * abs(s.gap)
    return s.deviation <= allowed
