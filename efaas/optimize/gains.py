"""How the gains of a stochastic approximation fall from step to step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from efaas.errors import OptimizerError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["GainLaw"]


@dataclass(frozen=True, slots=True)
class GainLaw:
    """A sequence that falls as ``1 / (delay + 1 + k)**power`` (Spall 1998, sec. III).

    Attributes:
        name: The option that gives its first value, for messages.
        power: 0 or more; 0 is constant.
        delay: 0 or more, in steps.
    """

    name: str
    power: float
    delay: float

    def over(self, steps: int, given: Any) -> NDArray[np.float64]:
        """The values of so many steps, shape ``(steps,)``.

        Args:
            steps: How many.
            given: The first one, from which the others follow; or all of them.

        Raises:
            OptimizerError: It is not finite and above 0, or too short.
        """
        values = np.asarray(given)
        if values.dtype.kind not in "fiu" or not (np.isfinite(values) & (values > 0)).all():
            raise OptimizerError(f"{self.name} must be finite and above 0, got {given!r}")
        if values.ndim == 0:
            return float(values) / (1.0 + np.arange(steps) / (self.delay + 1.0)) ** self.power
        if values.ndim != 1 or len(values) < steps:
            raise OptimizerError(
                f"{self.name} must be one number or {steps} of them (maxiter), got an array of "
                f"shape {values.shape}"
            )
        return values[:steps].astype(float)
