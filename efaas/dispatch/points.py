"""Points to evaluate, before they have seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from efaas.backends.protocol import Outcome

__all__ = ["Points"]


class Points(NamedTuple):
    """Points to evaluate as one job.

    Attributes:
        angles: The slots' angles, shape ``(points, slots)``.
        shots: Shots of each measurement setting, or None for exact expectations.
        convert: Makes the futures' values; the ``Outcome`` itself if None.
        futures: How many there are: one, or one per point.
        parameters: The user's parameters that the angles come from, shape
            ``(points, parameters)``; None where they come from elsewhere.
    """

    angles: NDArray[np.float64]
    shots: int | None
    convert: Callable[[Outcome], Sequence[Any]] | None = None
    futures: int = 1
    parameters: NDArray[np.float64] | None = None
