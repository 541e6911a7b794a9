"""From values to places on a drawing, and where an axis has its ticks."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["Scale"]


@dataclass(frozen=True, slots=True)
class Scale:
    """A straight map of the values ``low`` to ``high`` onto ``begin`` to ``end``.

    Example:
        >>> scale = Scale(0.0, 2.0, 100.0, 200.0)
        >>> scale(1.0), scale.ticks(4)
        (150.0, [0.0, 0.5, 1.0, 1.5, 2.0])
    """

    low: float
    high: float
    begin: float
    end: float

    def __call__(self, value: float) -> float:
        """Where a value is, to a hundredth."""
        width = self.high - self.low
        share = (value - self.low) / width if width > 0 else 0.0
        return round(self.begin + share * (self.end - self.begin), 2)

    def ticks(self, about: int = 6) -> list[float]:
        """Round values between ``low`` and ``high``, about so many."""
        width = self.high - self.low
        if width <= 0 or not math.isfinite(width):
            return [self.low]
        rough = width / max(1, about)
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(power * k for k in (1, 2, 5, 10) if power * k >= rough * (1 - 1e-9))
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [float(f"{step * k:.10g}") for k in range(first, last + 1)]
