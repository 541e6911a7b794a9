"""Plots of a trace with matplotlib (``efaas[plot]``). The data come from ``series``, ``waterfall``.

Each takes what is to be drawn (a trace, or a session or report that has one) and axes to draw on,
and returns the axes. Without axes a new figure is made; nothing is shown, and no display is needed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

from efaas.errors import InputError, MissingPackageError
from efaas.model.job import CPU
from efaas.observe.series import convergence, drifts, shares, timeline
from efaas.observe.trace import Trace
from efaas.observe.waterfall import PHASES, iterations

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "plot_convergence",
    "plot_drift",
    "plot_shares",
    "plot_timeline",
    "plot_waterfall",
]

_CURVES = ("#1d4ed8", "#15803d", "#b45309", "#9333ea", "#0e7490", "#be123c")
_ASKED, _GUESSED, _FAILED, _MARK = "#1d4ed8", "#93b8f5", "#c2410c", "#30363d"
_PHASES = {
    "classical": "#6b7280",
    "awaiting": "#c8ccd2",
    "guessing": "#a78bfa",
    "calibration": "#b45309",
    "queue": "#e0a92e",
    "compile": "#be5a9a",
    "qpu": "#1d4ed8",
    "transfer": "#0e9488",
}
_MOST_APART = 150
"""So many bars are drawn with a gap between neighbours; among more, it would hide short ones."""

_EVERY_DEVICE = "#6b7280"
_KINDS = {"stayed": "o", "recompiled": "s", "moved": "D", "failed over": "X"}


def plot_convergence(what: Any, ax: Axes | None = None) -> Axes:
    """The values that optimizers were given, with error bars, and the best so far.

    Lines are changes of calibration and failures, faint where nothing was done about them.

    Args:
        what: A trace, or a session or report that has one.
        ax: Where to draw; a new figure if None.

    Raises:
        InputError: There is no trace in it.
        MissingPackageError: Matplotlib is not installed.
    """
    trace, ax = _trace_of(what), _axes(ax)
    curves = convergence(trace)
    colours = {name: _CURVES[k % len(_CURVES)] for k, name in enumerate(_names(curves))}
    for curve in curves:
        colour = colours[curve.loop]
        stds = [std or 0.0 for std in curve.stds]
        bars: dict[str, Any] = {"fmt": ".", "markersize": 3, "elinewidth": 0.8, "alpha": 0.5}
        ax.errorbar(curve.seconds, curve.values, stds, color=colour, **bars)
        ax.step(curve.seconds, curve.bests, where="post", color=colour, label=curve.name)
    _mark_events(trace, ax)
    ax.set(xlabel="seconds", ylabel="value")
    return _finished(ax)


def plot_timeline(what: Any, ax: Axes | None = None) -> Axes:
    """Who ran where and when: a bar for each attempt, guesses in a lighter tone.

    Args:
        what: A trace, or a session or report that has one.
        ax: Where to draw; a new figure if None.

    Raises:
        InputError: There is no trace in it.
        MissingPackageError: Matplotlib is not installed.
    """
    trace, ax = _trace_of(what), _axes(ax)
    y, ticks, labels = 0.0, [], []
    gap = 0.8 if len(trace.attempts) <= _MOST_APART else 0.0
    for place, bars in timeline(trace).items():
        ticks.append(y)
        labels.append("classical steps" if place == CPU else place)
        for colour, kinds in ((_ASKED, "asked"), (_GUESSED, "guess"), (_FAILED, "failed")):
            for row in sorted({bar.row for bar in bars}):
                spans = [
                    (bar.began_at, bar.ended_at - bar.began_at)
                    for bar in bars
                    if bar.row == row and _kind(bar.attempt) == kinds
                ]
                if spans:
                    ax.broken_barh(
                        spans,
                        (y + row - 0.4, 0.8),
                        facecolors=colour,
                        edgecolors=ax.get_facecolor(),
                        linewidth=gap,
                    )
        y += 1.5 + max((bar.row for bar in bars), default=0)
    words = {_ASKED: "asked for", _GUESSED: "guessed", _FAILED: "failed"}
    kinds_seen = {_kind(a) for a in trace.attempts}
    for colour, kind in ((_ASKED, "asked"), (_GUESSED, "guess"), (_FAILED, "failed")):
        if kind in kinds_seen:
            ax.plot([], [], color=colour, linewidth=6, label=words[colour])
    _mark_events(trace, ax)
    ax.set_yticks(ticks, labels)
    ax.invert_yaxis()
    ax.set(xlabel="seconds")
    return _finished(ax)


def plot_waterfall(what: Any, ax: Axes | None = None) -> Axes:
    """Where the time of each iteration went, and above it what guesses spared.

    Args:
        what: A trace, or a session or report that has one.
        ax: Where to draw; a new figure if None.

    Raises:
        InputError: There is no trace in it.
        MissingPackageError: Matplotlib is not installed.
    """
    trace, ax = _trace_of(what), _axes(ax)
    found = iterations(trace)
    places = range(1, len(found) + 1)
    bottom = [0.0] * len(found)
    for name in PHASES:
        seconds = [getattr(it.phases, name) for it in found]
        if any(seconds):
            label = "QPU" if name == "qpu" else name
            ax.bar(places, seconds, 0.85, bottom, color=_PHASES[name], label=label)
            bottom = [low + high for low, high in zip(bottom, seconds, strict=True)]
    masked = [it.phases.masked for it in found]
    if any(masked):
        style: dict[str, Any] = {
            "facecolor": "none",
            "edgecolor": "#9aa2ab",
            "linewidth": 0.7,
            "linestyle": ":",
        }
        ax.bar(places, masked, 0.85, bottom, label="masked by guesses", **style)
    ax.set(xlabel="iteration", ylabel="seconds")
    return _finished(ax)


def plot_shares(
    what: Any, ax: Axes | None = None, *, by: Literal["tenant", "loop"] = "tenant"
) -> Axes:
    """The QPU seconds that each tenant, or each loop, received over time.

    Args:
        what: A trace, or a session or report that has one; or a list of these, of several sessions
            on one scheduler.
        ax: Where to draw; a new figure if None.
        by: Whose service is added up.

    Raises:
        InputError: There is no trace in it, or ``by`` is unknown.
        MissingPackageError: Matplotlib is not installed.
    """
    several = list(what) if isinstance(what, list | tuple) else [what]
    traces = [_trace_of(each) for each in several]
    found, ax = shares(traces, by), _axes(ax)
    for number, share in enumerate(found):
        colour = _CURVES[number % len(_CURVES)]
        ax.step(share.seconds, share.served, where="post", color=colour, label=share.name)
    ax.set(xlabel="seconds", ylabel="QPU seconds received")
    return _finished(ax)


def plot_drift(what: Any, ax: Axes | None = None) -> Axes:
    """By how much calibrations changed ln ESP of the loops' circuits, and what was done then.

    Thin lines are the calibrations that were in use.

    Args:
        what: A trace, or a session or report that has one.
        ax: Where to draw; a new figure if None.

    Raises:
        InputError: There is no trace in it.
        MissingPackageError: Matplotlib is not installed.
    """
    trace, ax = _trace_of(what), _axes(ax)
    kinds: dict[str, None] = {}
    for number, drift in enumerate(drifts(trace)):
        colour = _CURVES[number % len(_CURVES)]
        for at, _ in drift.calibrations:
            ax.axvline(at, color=colour, linewidth=0.6, alpha=0.5)
        ax.vlines(
            drift.seconds, 0.0, drift.shifts, color=colour, linewidth=1.2, label=drift.backend
        )
        for at, shift, kind in zip(drift.seconds, drift.shifts, drift.kinds, strict=True):
            kinds[kind] = None
            ax.plot([at], [shift], **_mark(kind, colour))
    for kind in kinds:
        ax.plot([], [], **_mark(kind, _EVERY_DEVICE), label=kind)
    ax.axhline(0.0, color="#9aa2ab", linewidth=0.8)
    ax.set(xlabel="seconds", ylabel="shift of ln ESP")
    return _finished(ax)


def _trace_of(what: Any) -> Trace:
    trace = what if isinstance(what, Trace) else getattr(what, "trace", None)
    if not isinstance(trace, Trace):
        raise InputError(f"expected a trace, or a session or report that has one, got {what!r}")
    return trace


def _axes(ax: Axes | None) -> Axes:
    if ax is not None:
        return ax
    try:
        from matplotlib import pyplot as plt
    except ImportError as error:
        raise MissingPackageError("a plot", package="matplotlib", extra="plot") from error
    return plt.subplots(layout="constrained")[1]


def _kind(attempt: Any) -> str:
    if attempt.state == "failed":
        return "failed"
    return "guess" if attempt.is_guess else "asked"


def _mark(kind: str, colour: str) -> dict[str, Any]:
    """How an event is drawn: its kind is the marker, its device the colour."""
    return {"marker": _KINDS.get(kind, "o"), "color": colour, "linestyle": "none"}


def _names(curves: Iterable[Any]) -> dict[str, None]:
    return dict.fromkeys(curve.loop for curve in curves)


def _mark_events(trace: Trace, ax: Axes) -> None:
    """Lines where calibrations changed; faint where nothing was done about it."""
    faint: dict[str, Any] = {"label": "calibration", "alpha": 0.35, "linestyle": ":"}
    strong: dict[str, Any] = {"label": "recompiled, moved or failed over", "linestyle": "--"}
    for is_stayed, style in ((True, faint), (False, strong)):
        for event in trace.events:
            if (event.kind == "stayed") == is_stayed:
                ax.axvline(event.at - trace.opened_at, color=_MARK, linewidth=0.8, **style)
                style.pop("label", None)  # once in the legend


def _finished(ax: Axes) -> Axes:
    ax.spines[["top", "right"]].set_visible(False)
    if ax.get_legend_handles_labels()[0]:
        above: dict[str, Any] = {
            "loc": "lower right",
            "bbox_to_anchor": (1.0, 1.0),
            "borderaxespad": 0.2,
        }
        ax.legend(fontsize="small", frameon=False, ncols=4, **above)
    return ax
