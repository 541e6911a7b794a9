"""Figures of a study, as PNG and SVG; matplotlib is imported here only."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from efaas.errors import InputError

if TYPE_CHECKING:
    from efaas.cloud.study import Row

__all__ = ["paper_figures"]

_INK = {"efaas": "tab:blue", "oracle": "tab:gray"}
_OTHERS = "tab:orange"


def paper_figures(rows: Sequence[Row], out: Path) -> list[Path]:
    """Cycles by policy and optimizer, and waits of others by load; returns what was written.

    Raises:
        InputError: matplotlib is not installed.
    """
    plt = _pyplot()
    written: list[Path] = []
    loops = [row for row in rows if row["part"] == "loops"]
    methods = list(dict.fromkeys(row["method"] for row in loops))
    if methods:
        figure, axes = plt.subplots(1, len(methods), figsize=(3.2 * len(methods), 3.6), sharey=True)
        for axis, method in zip([axes] if len(methods) == 1 else axes, methods, strict=True):
            means = _means([row for row in loops if row["method"] == method], "policy", "cycle")
            names = list(means)[::-1]
            inks = [_INK.get(name, _OTHERS) for name in names]
            axis.barh(names, [means[name] for name in names], color=inks)
            axis.set_xscale("log")
            axis.set_xlim(1, 100)
            axis.set_title(method)
            axis.set_xlabel("cycle, s")
        written += _saved(plt, figure, out / "cycles")
    loads = [row for row in rows if row["part"] == "background"]
    if loads:
        figure, axis = plt.subplots(figsize=(5, 3.6))
        for policy in dict.fromkeys(row["policy"] for row in loads):
            chosen = [row for row in loads if row["policy"] == policy]
            means = _means(chosen, "load", "background_wait")
            axis.plot(list(means), list(means.values()), marker="o", label=policy)
        axis.set_yscale("log")
        axis.set_xlabel("background jobs, 1/s")
        axis.set_ylabel("their mean wait, s")
        axis.legend()
        written += _saved(plt, figure, out / "background")
    return written


def _means(rows: Sequence[Row], key: str, value: str) -> dict[Any, float]:
    found: defaultdict[Any, list[float]] = defaultdict(list)
    for row in rows:
        if row[value] is not None:
            found[row[key]].append(row[value])
    return {name: fmean(values) for name, values in found.items()}


def _saved(plt: Any, figure: Any, stem: Path) -> list[Path]:
    """Both forms, without a date: equal figures are equal files."""
    figure.tight_layout()
    paths = [stem.with_suffix(".png"), stem.with_suffix(".svg")]
    figure.savefig(paths[0], dpi=120, metadata={"Software": None})
    figure.savefig(paths[1], metadata={"Date": None})
    plt.close(figure)
    return paths


def _pyplot() -> Any:
    try:
        import matplotlib as mpl
    except ImportError as error:
        raise InputError(
            "figures need matplotlib: install efaas[plot], or leave --figures out"
        ) from error
    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "efaas"
    import matplotlib.pyplot as plt

    return plt
