"""Chrome's trace format, which Perfetto (ui.perfetto.dev) and ``chrome://tracing`` open.

One process holds a track for each place, with a slice for each round that it ran. The other holds
tracks for each loop: what its optimizer did, its jobs, and beneath them its guesses. Slices of a
track never overlap: where jobs do, the track has several rows. The form is described in "Trace
Event Format" by the Chromium authors: instants and durations are in microseconds.
"""

from __future__ import annotations

import heapq
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from efaas.model.job import CPU

if TYPE_CHECKING:
    from efaas.model.trace import TracedAttempt
    from efaas.observe.trace import Trace

__all__ = ["chrome_events", "rows_of", "write_chrome"]

_PLACES, _LOOPS = 1, 2
_ROWS = 1000  # numbers of tracks that are set aside for each place and loop
_GUESSES, _STEPS = 500, 999

Span = TypeVar("Span")


def write_chrome(path: Path, trace: Trace) -> None:
    """Write a trace so that Perfetto opens it."""
    told = {
        "traceEvents": list(chrome_events(trace)),
        "displayTimeUnit": "ms",
        "otherData": {"tenant": trace.tenant, "seed": trace.seed, "taken_on": trace.taken_on},
    }
    path.write_text(json.dumps(told, allow_nan=False), encoding="utf-8")


def chrome_events(trace: Trace) -> Iterator[dict[str, Any]]:
    """The events of a trace: names of tracks, slices, and marks of what changed under the loops.

    Each attempt of a loop is one slice of category ``"attempt"``, each classical step one of
    category ``"step"``.
    """
    yield _named("process_name", _PLACES, 0, "devices")
    yield _named("process_name", _LOOPS, 0, "loops")
    for number, place in enumerate(trace.places):
        mine = [a for a in trace.attempts if a.place == place]
        yield from _of_place(trace, place, mine, number * _ROWS)
    for number, (loop_id, name) in enumerate(trace.loop_names.items()):
        yield from _of_loop(trace, loop_id, name, number * _ROWS)


def rows_of(spans: Iterable[tuple[float, float, Span]]) -> list[tuple[int, Span]]:
    """Each span with a row such that those of a row do not overlap, in as few rows as possible.

    Args:
        spans: Begin, end, and what it is.

    Returns:
        In order of beginning; rows count from 0.
    """
    placed = []
    busy: list[tuple[float, int]] = []  # end and row
    free: list[int] = []
    for began_at, ended_at, span in sorted(spans, key=lambda it: (it[0], it[1])):
        while busy and busy[0][0] <= began_at:
            heapq.heappush(free, heapq.heappop(busy)[1])
        row = heapq.heappop(free) if free else len(busy)
        heapq.heappush(busy, (ended_at, row))
        placed.append((row, span))
    return placed


def _of_place(
    trace: Trace, place: str, attempts: Sequence[TracedAttempt], first: int
) -> Iterator[dict[str, Any]]:
    rounds: dict[tuple[float, float, int], list[TracedAttempt]] = {}
    for attempt in attempts:
        alone = attempt.job_id if place == CPU else 0
        key = (attempt.dispatched_at, attempt.finished_at, alone)
        rounds.setdefault(key, []).append(attempt)
    spans = [(began, ended, (began, ended, ran)) for (began, ended, _), ran in rounds.items()]
    yield from _names(_PLACES, place, first, rows := rows_of(spans))
    for row, (began, ended, ran) in rows:
        asked = sum(a.evaluations for a in ran if not a.is_guess)
        guessed = sum(a.evaluations for a in ran if a.is_guess)
        title = f"{asked} asked" + f", {guessed} guessed" * bool(guessed)
        args: dict[str, Any] = {
            "jobs": [a.job_id for a in ran],
            "qpu_seconds": sum(a.qpu_seconds for a in ran),
            "cpu_seconds": sum(a.cpu_seconds for a in ran),
        }
        kind = "step" if place == CPU else "round"
        title = "classical step" if place == CPU else title
        yield _slice(trace, title, kind, _PLACES, first + row, began, ended, args)


def _of_loop(trace: Trace, loop_id: str, name: str, first: int) -> Iterator[dict[str, Any]]:
    mine = [a for a in trace.attempts if a.loop_id == loop_id]
    steps = [s for s in trace.steps if s.loop_id == loop_id]
    for title, is_guess, offset in ((name, False, 0), (f"{name}, guesses", True, _GUESSES)):
        spans = [(a.dispatched_at, a.finished_at, a) for a in mine if a.is_guess == is_guess]
        yield from _names(_LOOPS, title, first + offset, rows := rows_of(spans))
        for row, a in rows:
            yield _slice(
                trace,
                _title(a),
                "attempt",
                _LOOPS,
                first + offset + row,
                a.dispatched_at,
                a.finished_at,
                _args(a),
            )
    if steps:
        track = first + _STEPS
        yield _named("thread_name", _LOOPS, track, f"{name}, optimizer")
        for step in steps:
            if step.how == "round":
                args = {"value": step.value, "std": step.std, "best": step.best, "run": step.run}
                title = f"waits for {step.kind} {step.number}"
                yield _slice(
                    trace, title, "wait", _LOOPS, track, step.asked_at, step.answered_at, args
                )
    for recall in trace.recalled:
        if recall.loop_id == loop_id:
            yield {
                "name": f"job {recall.job_id} taken from the journal",
                "cat": "recall",
                "ph": "i",
                "s": "t",
                "ts": _micros(trace, recall.at),
                "pid": _LOOPS,
                "tid": first,
                "args": {"evaluations": recall.evaluations, "values": list(recall.values)},
            }
    for event in trace.events:
        if event.loop_id == loop_id:
            yield {
                "name": f"{event.kind}: {event.to_backend}",
                "cat": "event",
                "ph": "i",
                "s": "p",
                "ts": _micros(trace, event.at),
                "pid": _LOOPS,
                "tid": first,
                "args": {"reason": event.reason, "calibration": event.to_calibration_id},
            }


def _title(attempt: TracedAttempt) -> str:
    words = f"job {attempt.job_id}" + f", attempt {attempt.number}" * (attempt.number > 1)
    marks = [attempt.state] if attempt.state != "done" else []
    marks += [attempt.fate] if attempt.is_guess else []
    return words + (f" ({', '.join(marks)})" if marks else "")


def _args(attempt: TracedAttempt) -> Mapping[str, Any]:
    return {
        "place": attempt.place,
        "tenant": attempt.tenant,
        "calibration": attempt.calibration_id,
        "fate": attempt.fate,
        "state": attempt.state,
        "evaluations": attempt.evaluations,
        "shots": attempt.shots,
        "queued_seconds": attempt.dispatched_at - attempt.submitted_at,
        "compile_seconds": attempt.compile_seconds,
        "qpu_seconds": attempt.qpu_seconds,
        "cpu_seconds": attempt.cpu_seconds,
        "error": attempt.error,
    }


def _names(
    process: int, name: str, first: int, rows: Iterable[tuple[int, Any]]
) -> Iterator[dict[str, Any]]:
    for row in sorted({row for row, _ in rows}):
        yield _named("thread_name", process, first + row, name + f" ({row + 1})" * (row > 0))


def _named(what: str, process: int, track: int, name: str) -> dict[str, Any]:
    return {"name": what, "ph": "M", "pid": process, "tid": track, "args": {"name": name}}


def _slice(
    trace: Trace,
    name: str,
    category: str,
    process: int,
    track: int,
    began_at: float,
    ended_at: float,
    args: Mapping[str, Any],
) -> dict[str, Any]:
    began = _micros(trace, began_at)
    return {
        "name": name,
        "cat": category,
        "ph": "X",
        "ts": began,
        "dur": round(_micros(trace, ended_at) - began, 3),
        "pid": process,
        "tid": track,
        "args": {name: _finite(value) for name, value in args.items()},
    }


def _finite(value: Any) -> Any:
    """JSON has no NaN and no infinity."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _micros(trace: Trace, at: float) -> float:
    return round((at - trace.opened_at) * 1e6, 3)
