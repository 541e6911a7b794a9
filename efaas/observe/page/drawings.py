"""The page's drawings, as SVG whose colours the style sheet gives."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

from efaas.model.job import CPU
from efaas.observe.page.scale import Scale
from efaas.observe.series import convergence, thinned, timeline
from efaas.observe.waterfall import PHASES, Iteration, Phases, total

if TYPE_CHECKING:
    from efaas.observe.series import Bar
    from efaas.observe.trace import Trace

__all__ = ["convergence_svg", "timeline_svg", "waterfall_svg"]

_WIDTH = 960.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 124.0, 28.0, 8.0, 34.0
_MOST_LETTERS = 17  # of a label beside the drawing
_MOST_POINTS = 400
_MOST_COLUMNS = 120
_COLOURS = 6  # of curves; then they come again


def timeline_svg(trace: Trace) -> str:
    """Who ran where and when: a bar for each attempt."""
    places = timeline(trace)
    rows = {place: 1 + max((bar.row for bar in bars), default=0) for place, bars in places.items()}
    high = 14.0 if sum(rows.values()) <= 40 else 6.0
    y, lanes, labels = _TOP, [], []
    scale = _time(trace)
    for place, bars in places.items():
        name = "steps" if place == CPU else place
        labels.append(
            f"<text class='label' x='{_LEFT - 8}' y='{y + high - 3:.1f}' text-anchor='end'>"
            f"{escape(_cut(name))}<title>{escape(name)}</title></text>"
        )
        lanes += [_bar(bar, scale, y + bar.row * high, high) for bar in bars]
        y += rows[place] * high + 10
    marks = _marks(trace, scale, _TOP, y)
    asked = sum(not a.is_guess for a in trace.attempts)
    words = (
        f"Timeline of {len(trace.attempts)} attempts on {len(places)} places: {asked} asked for, "
        f"{len(trace.attempts) - asked} guessed. The table of attempts has the same in numbers."
    )
    parts = [_x_axis(scale, y, "seconds"), *marks, *lanes, *labels]
    keys = [("bar asked", "asked for"), ("bar guess hit", "guess, used")]
    keys += [("bar guess miss", "guess, not used"), ("bar failed", "failed")]
    return _svg("timeline", words, y + _BOTTOM, parts) + _legend([*keys, *_kinds(trace)])


def convergence_svg(trace: Trace) -> str:
    """The values that optimizers were given, with error bars; the best so far; calibrations."""
    curves = thinned(convergence(trace), _MOST_POINTS)
    if not curves:
        return ""
    highs = [v + (s or 0.0) for c in curves for v, s in zip(c.values, c.stds, strict=True)]
    lows = [v - (s or 0.0) for c in curves for v, s in zip(c.values, c.stds, strict=True)]
    bottom = 300.0
    margin = 0.04 * (max(highs) - min(lows)) or 1.0
    y = Scale(min(lows) - margin, max(highs) + margin, bottom, _TOP)
    x = _time(trace)
    parts = [_x_axis(x, bottom, "seconds"), _y_axis(y, "value"), *_marks(trace, x, _TOP, bottom)]
    names = list(dict.fromkeys(curve.loop for curve in curves))
    for curve in curves:
        colour = f"curve{names.index(curve.loop) % _COLOURS}"
        points = zip(curve.seconds, curve.values, curve.stds, strict=True)
        dots = []
        for at, value, std in points:
            if std:
                place = x(at)
                dots.append(f"M{place} {y(value - std)}V{y(value + std)}")
            dots.append(f"M{x(at) - 1.5:.2f} {y(value)}h3")
        line = f"M{x(curve.seconds[0])} {y(curve.bests[0])}" + "".join(
            f"H{x(at)}V{y(best)}" for at, best in zip(curve.seconds, curve.bests, strict=True)
        )
        parts.append(f"<path class='dots {colour}' d='{''.join(dots)}'/>")
        parts.append(
            f"<path class='best {colour}' d='{line}'><title>{escape(curve.name)}: "
            f"{curve.bests[-1]:.6g}</title></path>"
        )
    words = "Convergence: " + "; ".join(
        f"{curve.name} reached {curve.bests[-1]:.6g} in {len(curve.values)} values"
        for curve in curves
    )
    legend = [(f"curve{k % _COLOURS}", name) for k, name in enumerate(names)]
    return _svg("convergence", words, bottom + _BOTTOM, parts) + _legend([*legend, *_kinds(trace)])


def waterfall_svg(trace: Trace, found: Sequence[Iteration]) -> str:
    """Where the time of each iteration went, iterations side by side."""
    if not found:
        return ""
    columns = _columns(found)
    bottom = 240.0
    highest = max(c.seconds + c.masked for c in columns)
    y = Scale(0.0, highest or 1.0, bottom, _TOP)
    x = Scale(0.0, len(columns), _LEFT, _WIDTH - _RIGHT)
    each = max(1.0, 0.8 * (x(1) - x(0)))
    parts = [_y_axis(y, "seconds")]
    for k, phases in enumerate(columns):
        reached = 0.0
        for name in (*PHASES, "masked"):
            seconds = getattr(phases, name)
            if seconds > 0:
                top = y(reached + seconds)
                parts.append(
                    f"<rect class='phase {name}' x='{x(k)}' y='{top}' width='{each:.2f}' "
                    f"height='{max(0.0, y(reached) - top):.2f}'><title>{name}: {seconds:.3g} s"
                    "</title></rect>"
                )
                reached += seconds
    parts.append(
        f"<text class='axis' x='{(_LEFT + _WIDTH) / 2}' y='{bottom + 24}' text-anchor='middle'>"
        f"{_said(found, columns)}</text>"
    )
    sums = total(found)
    words = "Where the time of iterations went: " + ", ".join(
        f"{name} {getattr(sums, name):.3g} s" for name in (*PHASES, "masked")
    )
    legend = [
        (f"phase {name}", "QPU" if name == "qpu" else name)
        for name in (*PHASES, "masked")
        if getattr(sums, name) > 0
    ]
    return _svg("waterfall", words, bottom + _BOTTOM, parts) + _legend(legend)


def _time(trace: Trace) -> Scale:
    """From the first thing that is remembered to the last, in seconds since the opening."""
    begins = [a.submitted_at for a in trace.attempts] + [s.asked_at for s in trace.steps]
    ends = [a.finished_at for a in trace.attempts] + [s.answered_at for s in trace.steps]
    began = min(begins, default=trace.opened_at) - trace.opened_at
    ended = max(ends, default=trace.taken_at) - trace.opened_at
    return Scale(began, max(ended, began + 1e-9), _LEFT, _WIDTH - _RIGHT)


def _cut(name: str) -> str:
    return name if len(name) <= _MOST_LETTERS else name[: _MOST_LETTERS - 1] + "\u2026"


def _said(found: Sequence[Iteration], columns: Sequence[Phases]) -> str:
    if len(columns) == len(found):
        return "iterations, in the order in which they ended"
    return f"{len(found):,} iterations, in the order in which they ended; means of neighbours"


def _columns(found: Sequence[Iteration]) -> list[Phases]:
    """The phases of each iteration, or the means of neighbours where there are too many."""
    count = min(len(found), _MOST_COLUMNS)
    columns = []
    for k in range(count):
        members = found[k * len(found) // count : (k + 1) * len(found) // count]
        sums = total(members)
        shares = [getattr(sums, name) / len(members) for name in (*PHASES, "masked")]
        columns.append(Phases(*shares))
    return columns


def _bar(bar: Bar, scale: Scale, y: float, high: float) -> str:
    a = bar.attempt
    kind = "guess" if a.is_guess else "asked"
    kind += {"miss": " miss", "hit": " hit"}.get(a.fate, "") + " failed" * (a.state == "failed")
    x = scale(bar.began_at)
    width = max(0.6, scale(bar.ended_at) - x)
    told = f"{bar.loop or 'step'}, job {a.job_id}, {a.fate}, {a.state}: {a.evaluations} evaluations"
    return (
        f"<rect class='bar {kind}' x='{x}' y='{y:.1f}' width='{width:.2f}' height='{high - 2:.1f}'>"
        f"<title>{escape(told)}, {1e3 * a.seconds:.3g} ms</title></rect>"
    )


def _marks(trace: Trace, scale: Scale, top: float, bottom: float) -> list[str]:
    return [
        f"<path class='{_kind(event.kind)}' "
        f"d='M{scale(event.at - trace.opened_at)} {top}V{bottom}'>"
        f"<title>{escape(trace.loop_names.get(event.loop_id, ''))} {escape(event.kind)}: "
        f"{escape(event.reason)}</title></path>"
        for event in trace.events
        if scale.low <= event.at - trace.opened_at <= scale.high
    ]


def _kind(event: str) -> str:
    """A change that nothing was done about is drawn faintly."""
    return "mark stayed" if event == "stayed" else "mark"


def _kinds(trace: Trace) -> list[tuple[str, str]]:
    """The legend of the marks that there are."""
    words = {"mark stayed": "calibration", "mark": "recompiled, moved or failed over"}
    seen = {_kind(event.kind) for event in trace.events}
    return [(kind, text) for kind, text in words.items() if kind in seen]


def _x_axis(scale: Scale, y: float, name: str) -> str:
    ticks = "".join(
        f"<path class='grid' d='M{scale(t)} {_TOP}V{y}'/>"
        f"<text class='axis' x='{scale(t)}' y='{y + 16}' text-anchor='middle'>{_tick(t)}</text>"
        for t in scale.ticks(8)
    )
    label = f"<text class='axis' x='{_WIDTH - _RIGHT}' y='{y + 30}' text-anchor='end'>{name}</text>"
    return ticks + label


def _y_axis(scale: Scale, name: str) -> str:
    ticks = "".join(
        f"<path class='grid' d='M{_LEFT} {scale(t)}H{_WIDTH - _RIGHT}'/>"
        f"<text class='axis' x='{_LEFT - 8}' y='{scale(t) + 4}' text-anchor='end'>{_tick(t)}</text>"
        for t in scale.ticks(6)
    )
    middle = (scale.begin + scale.end) / 2
    turned = (
        f"<text class='axis' transform='translate(14 {middle}) rotate(-90)' text-anchor='middle'>"
    )
    return f"{ticks}{turned}{name}</text>"


def _tick(value: float) -> str:
    return f"{value:,.0f}" if 1e4 <= abs(value) < 1e15 else f"{value:g}"


def _svg(name: str, words: str, height: float, parts: Iterable[str]) -> str:
    return (
        f"<div class='scroll' role='region' tabindex='0' aria-label='{name}'>"
        f"<svg id='{name}' role='img' viewBox='0 0 {_WIDTH:g} {height:g}' "
        f"aria-label='{escape(words, quote=True)}'>{''.join(parts)}</svg></div>"
    )


def _legend(entries: Iterable[tuple[str, str]]) -> str:
    def drawn(classes: str) -> str:
        if classes.startswith("mark"):
            return f"<path class='{classes}' d='M6 0V12'/>"
        return f"<rect class='{classes}' x='1' y='1' width='10' height='10'/>"

    items = "".join(
        f"<li><svg class='key' viewBox='0 0 12 12' aria-hidden='true'>{drawn(classes)}</svg>"
        f"{escape(name)}</li>"
        for classes, name in entries
    )
    return f"<ul class='legend'>{items}</ul>"
