"""A trace as spans of OpenTelemetry, through its standard API, where that is installed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from efaas.errors import MissingPackageError

if TYPE_CHECKING:
    from efaas.model.trace import TracedAttempt
    from efaas.observe.trace import Trace

__all__ = ["export_spans"]


def export_spans(trace: Trace, tracer_provider: Any = None) -> int:
    """Give a trace to OpenTelemetry, and return how many spans were made.

    A session is a span; inside it a span for each loop, inside that one for each attempt, and
    inside those the time in the queue and the time running. A guess says what became of it.

    Args:
        trace: What to tell.
        tracer_provider: Where to; the global one by default.

    Raises:
        MissingPackageError: OpenTelemetry's API is not installed.
    """
    try:
        import opentelemetry.trace as otel
    except ImportError as error:
        raise MissingPackageError(
            "trace.export_spans()", package="opentelemetry-api", extra="otel"
        ) from error
    tracer = otel.get_tracer("efaas", tracer_provider=tracer_provider)
    origin = _nanos_at_zero(trace)
    made = 0

    def span(
        name: str, began_at: float, ended_at: float, parent: Any, attributes: Mapping[str, Any]
    ) -> Any:
        nonlocal made
        made += 1
        made_span = tracer.start_span(
            name,
            context=None if parent is None else otel.set_span_in_context(parent),
            start_time=origin + int(began_at * 1e9),
            attributes={key: value for key, value in attributes.items() if value is not None},
        )
        made_span.end(end_time=origin + int(max(began_at, ended_at) * 1e9))
        return made_span

    session = span(
        "efaas.session",
        trace.opened_at,
        trace.taken_at,
        None,
        {"efaas.tenant": trace.tenant, "efaas.seed": str(trace.seed)},
    )
    loops: dict[str | None, Any] = {None: session}
    for loop_id, name in trace.loop_names.items():
        mine = [a for a in trace.attempts if a.loop_id == loop_id]
        if mine:
            began_at = min(a.submitted_at for a in mine)
            ended_at = max(a.finished_at for a in mine)
            told = {"efaas.loop": loop_id}
            loops[loop_id] = span(f"efaas.{name}", began_at, ended_at, session, told)
    for a in trace.attempts:
        queued_at = a.queued_at if a.number == 1 else a.dispatched_at
        whole = span(
            f"efaas.attempt on {a.place}",
            queued_at,
            a.finished_at,
            loops.get(a.loop_id, session),
            _attributes(a),
        )
        span("efaas.queue", queued_at, a.dispatched_at, whole, {})
        span("efaas.run", a.dispatched_at, a.finished_at, whole, {})
    return made


def _attributes(attempt: TracedAttempt) -> dict[str, Any]:
    return {
        "efaas.job": attempt.job_id,
        "efaas.attempt": attempt.number,
        "efaas.place": attempt.place,
        "efaas.calibration": attempt.calibration_id,
        "efaas.state": attempt.state,
        "efaas.fate": attempt.fate,
        "efaas.evaluations": attempt.evaluations,
        "efaas.shots": attempt.shots,
        "efaas.qpu_seconds": attempt.qpu_seconds,
        "efaas.cpu_seconds": attempt.cpu_seconds,
        "efaas.error": attempt.error,
    }


def _nanos_at_zero(trace: Trace) -> int:
    """The calendar's nanoseconds at the instant 0 of the session's clock."""
    taken_on = datetime.fromisoformat(trace.taken_on) if trace.taken_on else datetime.now(UTC)
    return int((taken_on.timestamp() - trace.taken_at) * 1e9)
