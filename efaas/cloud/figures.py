"""Figures of studies, as PNG and SVG; matplotlib is imported here only."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from efaas.cloud.rows import grouped
from efaas.errors import MissingPackageError

if TYPE_CHECKING:
    from efaas.cloud.study import Row

__all__ = ["contention_figures", "paper_figures"]

_INK = {"efaas": "tab:blue", "oracle": "tab:gray"}
_OTHERS = "tab:orange"
_LINES = ("sbq", "sr", "pq", "session", "efaas-paper", "efaas", "oracle")


def paper_figures(rows: Sequence[Row], out: Path) -> list[Path]:
    """Cycles and convergence by policy and optimizer, waits of others by load; what was written.

    Raises:
        MissingPackageError: matplotlib is not installed.
    """
    plt = _pyplot()
    written: list[Path] = []
    loops = [row for row in rows if row["part"] == "loops"]
    steps = [row for row in loops if not row["method"].startswith("l-bfgs-b")]
    if steps:
        written += _bars(plt, steps, "cycle", "cycle, s", out / "cycles")
    if any(row["converged"] is not None for row in loops):
        written += _bars(plt, loops, "converged", "time to convergence, s", out / "convergence")
    loads = [row for row in rows if row["part"] == "background"]
    if loads:
        figure, axis = plt.subplots(figsize=(5, 3.6))
        _by_load(axis, loads, "background_wait", list(dict.fromkeys(it["policy"] for it in loads)))
        axis.set_xlabel("background jobs, 1/s")
        axis.set_ylabel("their mean wait, s")
        axis.legend(fontsize="small")
        written += _saved(plt, figure, out / "background")
    return written


def contention_figures(rows: Sequence[Row], out: Path) -> list[Path]:
    """Convergence and waits of batch jobs by load, a panel for each crowd.

    Raises:
        MissingPackageError: matplotlib is not installed.
    """
    plt = _pyplot()
    written: list[Path] = []
    crowds = grouped([row for row in rows if row["part"] == "grid"], "loops", "devices")
    if not crowds:
        return written
    for name, key, label in (
        ("contention", "converged", "time to convergence, s"),
        ("batch_waits", "background_wait", "mean wait of batch jobs, s"),
    ):
        figure, axes = _panels(plt, len(crowds))
        for axis, ((loops, devices), found) in zip(axes, crowds.items(), strict=True):
            _by_load(axis, found, key, _LINES)
            axis.set_title(f"{loops} loops, {devices} QPUs")
            axis.set_xlabel("batch load")
        axes[0].set_ylabel(label)
        axes[-1].legend(loc="upper left", bbox_to_anchor=(1.02, 1.0), fontsize="small")
        written += _saved(plt, figure, out / name)
    return written


def _bars(plt: Any, rows: Sequence[Row], key: str, label: str, stem: Path) -> list[Path]:
    """A bar for each policy, on a logarithmic axis; a panel for each optimizer."""
    of_method = {
        method: means
        for method, found in grouped(rows, "method").items()
        if (means := _means(found, "policy", key))
    }
    values = [value for means in of_method.values() for value in means.values()]
    first = math.floor(math.log10(min(values)))
    last = max(math.ceil(math.log10(max(values))), first + 1)
    figure, axes = _panels(plt, len(of_method))
    for axis, (method, means) in zip(axes, of_method.items(), strict=True):
        names = list(means)[::-1]
        inks = [_INK.get(name, _OTHERS) for name in names]
        axis.barh(names, [means[name] for name in names], color=inks)
        axis.set_xscale("log")
        axis.set_xlim(10.0**first, 10.0**last)
        axis.set_title(method, fontsize="medium")
        axis.set_xlabel(label)
    return _saved(plt, figure, stem)


def _panels(plt: Any, count: int) -> tuple[Any, Sequence[Any]]:
    figure, axes = plt.subplots(1, count, figsize=(3.2 * count, 3.6), sharey=True)
    return figure, [axes] if count == 1 else axes


def _by_load(axis: Any, rows: Sequence[Row], key: str, policies: Sequence[str]) -> None:
    """A line for each policy, on a logarithmic axis."""
    for policy in policies:
        means = _means([row for row in rows if row["policy"] == policy], "load", key)
        points = {load: mean for load, mean in sorted(means.items()) if mean > 0}
        if points:
            width = 2.4 if policy == "efaas" else 1.2
            axis.plot(
                list(points), list(points.values()), marker="o", label=policy, linewidth=width
            )
    axis.set_yscale("log")


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
        raise MissingPackageError("a figure", package="matplotlib", extra="plot") from error
    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "efaas"
    import matplotlib.pyplot as plt

    return plt
