"""Whether one kind of search ends higher than another, start by start."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from scipy.stats import rankdata

__all__ = ["van_elteren"]


def van_elteren(
    ours: Sequence[Sequence[float]], theirs: Sequence[Sequence[float]]
) -> tuple[float, float]:
    """How probably one of ours is higher than one of theirs, and how probable that is by chance.

    Wilcoxon's rank-sum test, stratified, one-sided (van Elteren 1960).

    Args:
        ours: For each start the energies of one kind.
        theirs: For the same starts those of the other kind.

    Returns:
        The probability, a half if there is no difference, and p.
    """
    above = weights = variance = 0.0
    for left, right in zip(ours, theirs, strict=True):
        m, n = len(left), len(right)
        ranks = rankdata([*left, *right])[:m].sum() - m * (m + 1) / 2
        weight = m * n / (m + n + 1)
        above += weight * (ranks / (m * n) - 0.5)
        variance += weight**2 * (m + n + 1) / (12 * m * n)
        weights += weight
    return 0.5 + above / weights, 1.0 - statistics.NormalDist().cdf(above / variance**0.5)
