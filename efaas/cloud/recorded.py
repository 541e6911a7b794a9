"""What a session recorded, as loops to be played again under other policies."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from efaas.cloud.trace import LoopTrace, TraceStep, read_traces
from efaas.errors import InputError
from efaas.model.job import CPU
from efaas.observe.trace_file import FORMAT, load_trace

if TYPE_CHECKING:
    from efaas.model.trace import TracedAttempt, TracedRound, TracedStep
    from efaas.observe.trace import Trace

__all__ = ["lasting", "loops_of", "read_loops"]


def read_loops(path: Path) -> Sequence[LoopTrace]:
    """The loops in a file: a session's trace (``session.trace.save``), or loops of this package.

    Raises:
        InputError: It is neither; the message names the line.
    """
    try:
        with path.open(encoding="utf-8") as file:
            first = file.readline()
    except (OSError, UnicodeError) as error:
        raise InputError(
            f"cannot read {path}: expected JSON lines, as session.trace.save('run.jsonl') writes "
            f"them ({error})"
        ) from error
    try:
        head: Any = json.loads(first)
    except ValueError:
        head = None
    if isinstance(head, dict) and head.get("format") == FORMAT:
        return loops_of(load_trace(path))
    return read_traces(path)


def loops_of(trace: Trace) -> Sequence[LoopTrace]:
    """A session's loops, each run of an optimizer a loop; measured times are kept.

    What an optimizer waited for is a job; what it was given without a wait was a guess that hit.
    Where a round was waited for although guesses were out, they had missed. Evaluations that no
    optimizer of the library asked for count as steps of their loop, one a job.

    Raises:
        InputError: Nothing was evaluated in it.
    """
    qubits = {loop.id: loop.num_qubits for loop in trace.loops}
    by_job = {a.job_id: a for a in trace.attempts if a.state == "done"}
    rounds: dict[tuple[str, int], list[TracedRound]] = {}
    answers: dict[tuple[str, int], list[TracedStep]] = {}
    for begun in trace.rounds:
        rounds.setdefault((begun.loop_id, begun.run), []).append(begun)
    for answer in trace.steps:
        answers.setdefault((answer.loop_id, answer.run), []).append(answer)
    found: list[LoopTrace] = []
    for loop_id in dict.fromkeys([*(key[0] for key in answers), *trace.loop_ids]):
        mine = [
            a for a in by_job.values() if a.loop_id == loop_id and a.place != CPU and a.evaluations
        ]
        each = sum(a.qpu_seconds for a in mine) / max(sum(a.evaluations for a in mine), 1)
        head = LoopTrace(
            trace.loop_names[loop_id],
            "",
            trace.seed,
            qubits.get(loop_id, 0),
            0.0,
            (),
            shots=max((a.shots or 0 for a in mine), default=0),
        )
        runs = [key for key in answers if key[0] == loop_id]
        for key in runs:
            steps = _of_run(answers[key], rounds.get(key, []), by_job, each)
            found.append(replace(head, name=f"{head.name}, run {key[1]}", steps=tuple(steps)))
        if not runs and mine:
            found.append(replace(head, steps=tuple(_of_attempts(mine))))
    if not found:
        raise InputError(
            "the trace has no evaluation of a loop: expected one of a session that ran "
            "efaas.minimize, or evaluated an objective"
        )
    return found


def lasting(loop: LoopTrace, evaluation_seconds: float) -> LoopTrace:
    """The same loop if each of its evaluations took so long on a device."""
    steps = [
        replace(step, service_seconds=step.evaluations * evaluation_seconds) for step in loop.steps
    ]
    return replace(loop, steps=tuple(steps))


def _of_run(
    answers: Iterable[TracedStep],
    rounds: Sequence[TracedRound],
    by_job: dict[int, TracedAttempt],
    evaluation_seconds: float,
) -> list[TraceStep]:
    """The jobs of a run: an answer that was waited for, or guessed, and what came with it."""
    by_number = {begun.number: begun for begun in rounds}
    steps: list[TraceStep] = []
    for answer in answers:
        if answer.how == "known" and steps:
            last = steps[-1]
            steps[-1] = replace(
                last,
                evaluations=last.evaluations + answer.evaluations,
                service_seconds=None,  # told of all of it below
            )
            continue
        guess, service = "hit", None
        if answer.how == "round":
            before = by_number.get(answer.round - 1)
            guess = "miss" if before is not None and before.guessed else "none"
            service = _service(by_number.get(answer.round), by_job)
        elif answer.how == "known":
            guess = "none"
        steps.append(TraceStep(answer.evaluations, None, guess, answer.think_seconds, service))
    return [
        step
        if step.service_seconds is not None
        else replace(step, service_seconds=evaluation_seconds * step.evaluations)
        for step in steps
    ]


def _service(begun: TracedRound | None, by_job: dict[int, TracedAttempt]) -> float | None:
    """What the jobs took that were asked for in the round; None where they are not remembered."""
    if begun is None or not begun.job_ids or not all(it in by_job for it in begun.job_ids):
        return None
    return sum(by_job[job_id].qpu_seconds for job_id in begun.job_ids)


def _of_attempts(attempts: Iterable[TracedAttempt]) -> list[TraceStep]:
    """Jobs of nobody's optimizer, each thought about since the one before was done."""
    steps: list[TraceStep] = []
    done_at: float | None = None
    for a in sorted(attempts, key=lambda a: (a.submitted_at, a.job_id)):
        if a.is_guess:
            continue
        think = 0.0 if done_at is None else max(a.submitted_at - done_at, 0.0)
        steps.append(TraceStep(a.evaluations, None, "none", think, a.qpu_seconds))
        done_at = max(a.finished_at, done_at or 0.0)
    return steps
