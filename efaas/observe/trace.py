"""The trace of a session: what ran where and when, and what its optimizers did meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

from efaas.model.job import CPU
from efaas.model.trace import (
    Fate,
    PastAttempt,
    TracedAttempt,
    TracedLoop,
    TracedRecall,
    TracedRound,
    TracedStep,
)
from efaas.observe.saving import target
from efaas.observe.tape import Seen

if TYPE_CHECKING:
    import os

    import pandas as pd

    from efaas.model.events import LoopEvent
    from efaas.observe.tape import Tape

__all__ = ["Trace"]

PathLike: TypeAlias = "str | os.PathLike[str]"


@dataclass(frozen=True)
class Trace:
    """What a session did up to the instant when it was taken. It does not change afterwards.

    Of attempts, classical steps, rounds and optimizer's steps the latest 20,000 each are kept;
    ``dropped`` says how many jobs there were before.

    Attributes:
        attempts: Runs of jobs, in the order in which the jobs ended.
        rounds: What optimizers sent out, in order.
        steps: What optimizers were answered, in order.
        events: What changed under the loops, and what was done about it.
        loops: Where each loop is, and why.
        recalled: Jobs whose values were taken from the session's journal, in order.
        opened_at: When the session was opened, in its clock's seconds, as all instants here.
        taken_at: When this trace was taken.
        taken_on: The same in the calendar's time, ISO 8601, or "" where it is not known.
        seed: The session's.
        tenant: The session's.
        dropped: Jobs that ended and are not kept any more.
    """

    attempts: tuple[TracedAttempt, ...] = ()
    rounds: tuple[TracedRound, ...] = ()
    steps: tuple[TracedStep, ...] = ()
    events: tuple[LoopEvent, ...] = ()
    loops: tuple[TracedLoop, ...] = ()
    recalled: tuple[TracedRecall, ...] = ()
    opened_at: float = 0.0
    taken_at: float = 0.0
    taken_on: str = ""
    seed: int = 0
    tenant: str = "default"
    dropped: int = 0

    @property
    def seconds(self) -> float:
        """How long the session had been open."""
        return self.taken_at - self.opened_at

    @cached_property
    def places(self) -> tuple[str, ...]:
        """The backends that ran something, in order of first use; then ``"cpu"``, if used."""
        names = dict.fromkeys(a.place for a in sorted(self.attempts, key=_by_dispatch))
        backends = [name for name in names if name != CPU]
        return tuple(backends + [CPU] * (CPU in names))

    @cached_property
    def loop_ids(self) -> tuple[str, ...]:
        """The loops that ran something, in order of first use."""
        ids = dict.fromkeys(a.loop_id for a in sorted(self.attempts, key=_by_dispatch))
        return tuple([loop_id for loop_id in ids if loop_id is not None])

    @cached_property
    def loop_names(self) -> Mapping[str, str]:
        """A short name for each loop: "loop 1" for the first that ran something."""
        known = dict.fromkeys(
            [
                *self.loop_ids,
                *(s.loop_id for s in self.steps),
                *(x.id for x in self.loops),
                *(x.loop_id for x in self.recalled if x.loop_id is not None),
            ]
        )
        return {loop_id: f"loop {number}" for number, loop_id in enumerate(known, 1)}

    def save(self, path: PathLike) -> None:
        """Write it to a file whose ending says the format.

        Args:
            path: ``.jsonl`` for JSON lines, which ``efaas.observe.load_trace`` reads back;
                ``.json`` for Chrome's trace format, which Perfetto opens.

        Raises:
            InputError: Another ending, or a folder that is not there.
        """
        file = target(path, "a trace", ".jsonl", ".json")
        if file.suffix == ".jsonl":
            from efaas.observe.trace_file import write_trace

            write_trace(file, self)
        else:
            from efaas.observe.chrome import write_chrome

            write_chrome(file, self)

    def to_pandas(self) -> pd.DataFrame:
        """The attempts as a table of pandas, a row each.

        Raises:
            MissingPackageError: Pandas is not installed.
        """
        from efaas.observe.tables import to_pandas

        return to_pandas(self)

    def export_spans(self, tracer_provider: Any = None) -> int:
        """Give the attempts to OpenTelemetry as spans, and return how many spans were made.

        A loop is a span, its jobs are spans inside, and their queueing and running inside those.

        Args:
            tracer_provider: Where to; the global one by default.

        Raises:
            MissingPackageError: OpenTelemetry is not installed (``efaas[otel]``).
        """
        from efaas.observe.spans import export_spans

        return export_spans(self, tracer_provider)

    def __repr__(self) -> str:
        return (
            f"<Trace of {self.seconds:.3g} s: {len(self.attempts):,} attempts, "
            f"{len(self.rounds):,} rounds, {len(self.steps):,} optimizer steps, "
            f"{len(self.loop_ids)} loops on {', '.join(self.places) or 'nothing'}>"
        )


class Recording:
    """A tape as it was at an instant; the trace is made of it when somebody looks.

    Args of the constructor are values of the session at that instant.
    """

    def __init__(
        self,
        tape: Tape,
        *,
        events: Sequence[LoopEvent],
        loops: Callable[[Iterable[str]], Sequence[TracedLoop]],
        opened_at: float,
        taken_on: str,
        seed: int,
        tenant: str,
    ) -> None:
        """Copy the tape's tuples, which is quick.

        Args:
            tape: What was written down.
            events: What happened to the loops.
            loops: Describes loops by their ids; called when the trace is made.
            opened_at: When the session was opened.
            taken_on: The calendar's time, ISO 8601.
            seed: The session's.
            tenant: The session's.
        """
        self._seen = [*tape.jobs.copy(), *tape.steps.copy()]
        self._verdicts = tape.verdicts.copy()
        self._rounds = tape.rounds.copy()
        self._answers = tape.answers.copy()
        self._recalls = tape.recalls.copy()
        self._loops = loops
        self._values: dict[str, Any] = {
            "events": tuple(events),
            "opened_at": opened_at,
            "taken_at": tape.now(),
            "taken_on": taken_on,
            "seed": seed,
            "tenant": tenant,
            "dropped": tape.dropped,
        }

    @cached_property
    def trace(self) -> Trace:
        """The trace."""
        verdicts = dict(self._verdicts)
        attempts = [a for seen in self._seen for a in _attempts(Seen(*seen), verdicts)]
        attempts.sort(key=lambda a: (a.finished_at, a.job_id, a.number))
        known = [*(a.loop_id for a in attempts), *(seen.loop_id for seen in self._recalls)]
        ids = dict.fromkeys(loop_id for loop_id in known if loop_id is not None)
        return Trace(
            attempts=tuple(attempts),
            rounds=tuple([TracedRound(*begun) for begun in self._rounds]),
            steps=tuple([TracedStep(*answer) for answer in self._answers]),
            loops=tuple(self._loops(ids)),
            recalled=tuple(
                [TracedRecall(*seen[:-1], *_estimates(seen.estimates)) for seen in self._recalls]
            ),
            **self._values,
        )


def _by_dispatch(attempt: TracedAttempt) -> tuple[float, int]:
    return attempt.dispatched_at, attempt.job_id


def _attempts(seen: Seen, verdicts: Mapping[int, bool]) -> list[TracedAttempt]:
    """The attempts of a job; those of the round that it was a part of count as the round's."""
    queued_at = seen.submitted_at if seen.queued_at is None else seen.queued_at
    past = [attempt for attempt in seen.past if attempt.record.dispatched_at >= queued_at]
    values, stds = _estimates(seen.estimates)
    last = TracedAttempt(
        job_id=seen.job_id,
        number=len(past) + 1,
        tenant=seen.tenant,
        loop_id=seen.loop_id,
        place=seen.where,
        calibration_id=seen.calibration_id,
        state=seen.state,
        fate=_fate(seen, verdicts),
        rides_with=seen.rides_with,
        evaluations=seen.points,
        shots=seen.shots,
        submitted_at=seen.submitted_at,
        queued_at=queued_at,
        dispatched_at=seen.dispatched_at,
        first_shot_at=seen.first_shot_at,
        finished_at=seen.dispatched_at if seen.finished_at is None else seen.finished_at,
        compile_seconds=seen.compile_seconds,
        qpu_seconds=seen.qpu_seconds,
        cpu_seconds=seen.cpu_seconds,
        values=values,
        stds=stds,
        error=seen.error,
    )
    return [*(_before(last, number, attempt) for number, attempt in enumerate(past, 1)), last]


def _before(last: TracedAttempt, number: int, past: PastAttempt) -> TracedAttempt:
    """An attempt before the last."""
    record = past.record
    values, stds = _estimates(past.estimates)
    return replace(
        last,
        number=number,
        place=record.backend,
        calibration_id=past.calibration_id,
        state="done" if record.error is None else "failed",
        evaluations=past.points,
        dispatched_at=record.dispatched_at,
        first_shot_at=record.first_shot_at,
        finished_at=record.dispatched_at if record.finished_at is None else record.finished_at,
        compile_seconds=past.compile_seconds,
        qpu_seconds=past.usage.qpu_seconds,
        cpu_seconds=past.usage.cpu_seconds,
        values=values,
        stds=stds,
        error=record.error,
    )


def _fate(seen: Seen, verdicts: Mapping[int, bool]) -> Fate:
    if not seen.is_guess:
        return "asked for"
    is_hit = verdicts.get(seen.job_id)
    if is_hit is None:
        return "pending"
    return "hit" if is_hit else "miss"


def _estimates(found: Any) -> tuple[tuple[float, ...], tuple[float, ...]]:
    if found is None or found.evs.shape[-1] != 1:
        return (), ()
    return tuple(found.evs[:, 0].tolist()), tuple(found.stds[:, 0].tolist())
