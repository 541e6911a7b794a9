"""How the figures look: the same file at every run, and text that stays text."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["BLUE", "GREEN", "GREY", "ORANGE", "RED", "save", "sheet"]

BLUE, GREEN, ORANGE, RED, GREY = "#1f4e8c", "#3f9b6b", "#e3a44f", "#b8383b", "#8a8f98"

mpl.rcParams["svg.hashsalt"] = "efaas"
mpl.rcParams["svg.fonttype"] = "none"
mpl.rcParams["font.family"] = ["DejaVu Sans", "sans-serif"]
mpl.rcParams["path.simplify_threshold"] = 0.5


def sheet(width: float, *, height: float = 3.4) -> tuple[Figure, Axes, Axes]:
    """A figure in inches with two panels side by side."""
    figure = Figure(figsize=(width, height), layout="constrained")
    left, right = figure.subplots(1, 2)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.title.set_fontsize(10)
    return figure, left, right


def save(figure: Figure, script: str) -> None:
    """Write the figure beside the script that drew it."""
    path = Path(script).with_suffix(".svg")
    figure.savefig(path, metadata={"Date": None})
    print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")
