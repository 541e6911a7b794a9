"""Points that are near enough to stand for each other, where that is allowed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from efaas.optimize.asks import VALUE

if TYPE_CHECKING:
    from efaas.optimize.asks import Ask, Step

__all__ = ["merged"]


def merged(paths: Sequence[Sequence[Step]], radius: float) -> list[list[Step]]:
    """The paths, with one point of each cluster in place of all of them.

    A cluster is what lies within ``radius`` (2-norm) of its middle, at the same depth: of two
    asks that follow each other, each needs an evaluation of its own. Only values that are asked
    for alone are merged, never what is pending, and never the points of a finite difference.

    Args:
        paths: Each begins with the pending step.
        radius: In the parameters' unit.
    """
    moved = [list(path) for path in paths]
    for depth in range(1, max(map(len, paths), default=0)):
        loose = [path for path in moved if depth < len(path) and _may_move(path[depth])]
        stand_ins = _middles([path[depth][0] for path in loose], radius)
        for path, ask in zip(loose, stand_ins, strict=True):
            path[depth] = (ask,)
    return moved


def _may_move(step: Step) -> bool:
    return len(step) == 1 and step[0].kind == VALUE


def _middles(asks: Sequence[Ask], radius: float) -> list[Ask]:
    """For each ask the one that stands for its cluster; the largest clusters are formed first."""
    if not asks:
        return []
    points = np.stack([np.ravel(np.asarray(ask.x, dtype=float)) for ask in asks])
    squares = np.sum(points**2, axis=1)
    distances = squares[:, None] + squares - 2.0 * points @ points.T
    # Rounding must not separate a point from itself.
    is_near = (distances <= radius**2) | np.eye(len(asks), dtype=bool)
    chosen: list[Ask] = list(asks)
    is_left = np.ones(len(asks), dtype=bool)
    while is_left.any():
        sizes = np.where(is_left, (is_near & is_left).sum(axis=1), 0)
        middle = int(np.argmax(sizes))
        members = np.flatnonzero(is_near[middle] & is_left)
        for member in members:
            chosen[member] = asks[middle]
        is_left[members] = False
    return chosen
