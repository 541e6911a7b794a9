"""Rows of a study, grouped, and as the text of cells."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from efaas.cloud.measures import Interval, interval

if TYPE_CHECKING:
    from efaas.cloud.study import Row

__all__ = ["grouped", "interval_of", "percent", "text_of"]


def grouped(rows: Sequence[Row], *keys: str) -> dict[Any, list[Row]]:
    """Rows by the value of a column, or by those of several; in order of first use."""
    found: defaultdict[Any, list[Row]] = defaultdict(list)
    for row in rows:
        found[row[keys[0]] if len(keys) == 1 else tuple([row[key] for key in keys])].append(row)
    return dict(found)


def interval_of(rows: Sequence[Row], key: str, factor: float = 1.0) -> Interval | None:
    """Of a column, times a factor; None where it is empty."""
    return interval([None if row[key] is None else factor * row[key] for row in rows])


def text_of(found: Interval | None) -> str:
    """A cell; empty for None."""
    return "" if found is None else str(found)


def percent(found: Interval) -> str:
    """A share as percents."""
    return f"{100 * found.mean:.1f} ±{100 * found.half_width:.1f}"
