"""What the plots and the saved page draw, as data."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from efaas.errors import InputError
from efaas.model.job import CPU
from efaas.observe.chrome import rows_of
from efaas.observe.trace import Trace

if TYPE_CHECKING:
    from efaas.model.trace import TracedAttempt

__all__ = [
    "Bar",
    "Curve",
    "Drift",
    "Share",
    "convergence",
    "drifts",
    "shares",
    "timeline",
]


@dataclass(frozen=True, slots=True)
class Bar:
    """An attempt on a timeline.

    Attributes:
        attempt: Which one.
        row: Which of its place's rows it is in; bars of a row do not overlap.
        began_at: Seconds since the session was opened.
        ended_at: The same.
        loop: The loop's short name, or "".
    """

    attempt: TracedAttempt
    row: int
    began_at: float
    ended_at: float
    loop: str


@dataclass(frozen=True, slots=True)
class Curve:
    """One run of an optimizer.

    Attributes:
        loop: The loop's short name.
        run: Which run on that loop.
        seconds: When each value was there, in seconds since the session was opened.
        values: The values.
        stds: Their standard errors; None where not known.
        bests: The lowest value so far, at each.
    """

    loop: str
    run: int
    seconds: tuple[float, ...]
    values: tuple[float, ...]
    stds: tuple[float | None, ...]
    bests: tuple[float, ...]

    @property
    def name(self) -> str:
        """For a legend."""
        return self.loop if self.run == 1 else f"{self.loop}, run {self.run}"


@dataclass(frozen=True, slots=True)
class Share:
    """Service that somebody received.

    Attributes:
        name: The tenant, or the loop.
        seconds: Instants, since the first of the sessions was opened.
        served: QPU seconds received until then.
    """

    name: str
    seconds: tuple[float, ...]
    served: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Drift:
    """A device under changing calibrations.

    Attributes:
        backend: The device.
        seconds: Instants of the events of its loops, since the session was opened.
        shifts: Change of ln ESP that each found.
        kinds: What was done about it.
        calibrations: When each calibration was first seen in use, and its id.
    """

    backend: str
    seconds: tuple[float, ...]
    shifts: tuple[float, ...]
    kinds: tuple[str, ...]
    calibrations: tuple[tuple[float, str], ...]


def timeline(trace: Trace) -> dict[str, list[Bar]]:
    """The bars of each place, in the order of ``trace.places``; as many as attempts."""
    found: dict[str, list[Bar]] = {}
    for place in trace.places:
        mine = [a for a in trace.attempts if a.place == place]
        rows = rows_of((a.dispatched_at, a.finished_at, a) for a in mine)
        found[place] = [
            Bar(
                attempt=a,
                row=row,
                began_at=a.dispatched_at - trace.opened_at,
                ended_at=a.finished_at - trace.opened_at,
                loop=trace.loop_names.get(a.loop_id or "", ""),
            )
            for row, a in rows
        ]
    return found


def convergence(trace: Trace) -> list[Curve]:
    """A curve for each run of an optimizer that was given values."""
    runs: dict[tuple[str, int], list[tuple[float, float, float | None, float]]] = {}
    for step in trace.steps:
        if step.value is not None and step.best is not None:
            point = (step.answered_at - trace.opened_at, step.value, step.std, step.best)
            runs.setdefault((step.loop_id, step.run), []).append(point)
    return [
        Curve(trace.loop_names[loop_id], run, *zip(*points, strict=True))
        for (loop_id, run), points in runs.items()
    ]


def shares(
    traces: Trace | Iterable[Trace], by: Literal["tenant", "loop"] = "tenant"
) -> list[Share]:
    """What each tenant, or each loop, received over time.

    Args:
        traces: That of one session, or those of several on one scheduler: their clock is one.
        by: Whose service is added up.

    Raises:
        InputError: ``by`` is neither.
    """
    if by not in ("tenant", "loop"):
        raise InputError(f"by is 'tenant' or 'loop', got {by!r}")
    several = [traces] if isinstance(traces, Trace) else list(traces)
    opened_at = min((trace.opened_at for trace in several), default=0.0)
    ended: dict[str, list[tuple[float, float]]] = {}
    for trace in several:
        for a in trace.attempts:
            if a.place != CPU:
                name = a.tenant if by == "tenant" else trace.loop_names.get(a.loop_id or "", "")
                ended.setdefault(name, []).append((a.finished_at - opened_at, a.qpu_seconds))
    found = []
    for name, served in ended.items():
        seconds, sums, sum_so_far = [0.0], [0.0], 0.0
        for at, qpu in sorted(served):
            sum_so_far += qpu
            seconds.append(at)
            sums.append(sum_so_far)
        found.append(Share(name, tuple(seconds), tuple(sums)))
    return found


def drifts(trace: Trace) -> list[Drift]:
    """What calibrations did to each device that ran something."""
    found = []
    for place in trace.places:
        if place == CPU:
            continue
        events = [event for event in trace.events if event.from_backend == place]
        first: dict[str, float] = {}
        for a in sorted(trace.attempts, key=lambda a: a.dispatched_at):
            if a.place == place and a.calibration_id:
                first.setdefault(a.calibration_id, a.dispatched_at - trace.opened_at)
        found.append(
            Drift(
                place,
                tuple([event.at - trace.opened_at for event in events]),
                tuple([event.ln_esp_shift for event in events]),
                tuple([event.kind for event in events]),
                tuple([(at, name) for name, at in first.items()]),
            )
        )
    return found


def thinned(items: Sequence[Curve], most: int) -> list[Curve]:
    """Curves with at most so many points each, evenly chosen; the last is kept."""
    found = []
    for curve in items:
        count = len(curve.values)
        if count > most:
            picked = sorted({round(k * (count - 1) / (most - 1)) for k in range(most)})
            curve = Curve(
                curve.loop,
                curve.run,
                tuple([curve.seconds[k] for k in picked]),
                tuple([curve.values[k] for k in picked]),
                tuple([curve.stds[k] for k in picked]),
                tuple([curve.bests[k] for k in picked]),
            )
        found.append(curve)
    return found
