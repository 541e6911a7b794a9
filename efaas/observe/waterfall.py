"""Where the time of each iteration went, from the end of one wait to the end of the next."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING

from efaas.model.job import CPU
from efaas.model.trace import TracedRound

if TYPE_CHECKING:
    from efaas.model.trace import TracedAttempt, TracedStep
    from efaas.observe.trace import Trace

__all__ = ["PHASES", "Iteration", "Phases", "iterations", "total"]


@dataclass(frozen=True, slots=True)
class Phases:
    """Seconds of each kind; without ``masked`` they add up to the time that went by.

    Attributes:
        classical: The optimizer, or whatever the caller did between waits.
        awaiting: Waiting for guesses that had been sent out before, and were under way.
        guessing: Finding out what may be asked for next.
        calibration: Looking at a new calibration, compiling for it, perhaps moving.
        queue: From submission to the first shot; at a provider its queue is in here.
        compile: Compiling in the attempt, since the circuit was cold.
        qpu: Shots, or what stands for them on a simulator; guesses in the round included.
        transfer: The rest of a round: network, unpacking, handing the result over.
        masked: What waiting for the evaluations that had been guessed would have taken: for each,
            the round before it without its guesses. An estimate, and no part of the sum.
    """

    classical: float = 0.0
    awaiting: float = 0.0
    guessing: float = 0.0
    calibration: float = 0.0
    queue: float = 0.0
    compile: float = 0.0
    qpu: float = 0.0
    transfer: float = 0.0
    masked: float = 0.0

    @property
    def seconds(self) -> float:
        """The time that went by."""
        return float(sum(getattr(self, name) for name in PHASES))

    def __add__(self, other: Phases) -> Phases:
        """Sum over iterations."""
        return Phases(*[getattr(self, f.name) + getattr(other, f.name) for f in fields(Phases)])


PHASES = ("classical", "awaiting", "guessing", "calibration", "queue", "compile", "qpu", "transfer")
"""The phases that follow one another, in order."""


@dataclass(frozen=True, slots=True)
class Iteration:
    """One wait for quantum results, and what led to it.

    Attributes:
        loop_id: The loop.
        run: Which run of an optimizer on it; 0 where evaluations were asked for without one.
        number: Which iteration; 1 for the first.
        began_at: When the iteration before it ended, or the first was begun.
        ready_at: When its parameters were ready.
        first_shot_at: When its first shot was taken.
        ended_at: When the results were with whoever waited.
        evaluations: Evaluations asked for.
        guessed: Evaluations guessed beside them.
        hits: Answers after it that needed no round.
        phases: Where the time went.
    """

    loop_id: str
    run: int
    number: int
    began_at: float
    ready_at: float
    first_shot_at: float
    ended_at: float
    evaluations: int
    guessed: int
    hits: int
    phases: Phases

    @property
    def ttns(self) -> float:
        """Time to next shot: from the parameters being ready to the first shot, in seconds."""
        return max(0.0, self.first_shot_at - self.ready_at)

    @property
    def cycle_seconds(self) -> float:
        """The whole turn of the loop."""
        return self.ended_at - self.began_at


def iterations(trace: Trace) -> list[Iteration]:
    """The iterations of all loops, in the order in which they ended.

    Where an optimizer ran, an iteration is one of its rounds; elsewhere it is one round of a
    backend that evaluated what was asked for.
    """
    known = _Known.of(trace)
    rounds: dict[tuple[str, int], list[TracedRound]] = {}
    for begun in trace.rounds:
        rounds.setdefault((begun.loop_id, begun.run), []).append(begun)
    steps: dict[tuple[str, int], list[TracedStep]] = {}
    for step in trace.steps:
        steps.setdefault((step.loop_id, step.run), []).append(step)
    found: list[Iteration] = []
    for key, launched in rounds.items():
        found += _of_run(known, launched, steps.get(key, ()))
    used = {job_id for begun in trace.rounds for job_id in begun.job_ids}
    alone: dict[str, list[TracedAttempt]] = {}
    for a in trace.attempts:
        if a.loop_id is not None and not a.is_guess and a.job_id not in used:
            alone.setdefault(a.loop_id, []).append(a)
    for loop_id, attempts in alone.items():
        found += _of_attempts(known, loop_id, attempts)
    return sorted(found, key=lambda it: (it.ended_at, it.loop_id, it.number))


def total(found: Iterable[Iteration]) -> Phases:
    """The sum over iterations."""
    return sum((it.phases for it in found), start=Phases())


def median_ttns(found: Sequence[Iteration]) -> float | None:
    """The median over everything that was asked for: what had been guessed waited for no shot."""
    waits = [it.ttns for it in found] + [0.0] * sum(it.hits for it in found)
    return median(waits) if waits else None


@dataclass(frozen=True)
class _Known:
    """A trace, as iterations are made of it.

    Attributes:
        by_job: The last attempt of each job.
        together: The attempts that shared a round of a backend.
        changes: When each loop followed a change, in order.
    """

    by_job: dict[int, TracedAttempt]
    together: dict[tuple[str, float, float], list[TracedAttempt]]
    changes: dict[str, list[float]]

    @staticmethod
    def of(trace: Trace) -> _Known:
        """What there is to know of a trace."""
        together: dict[tuple[str, float, float], list[TracedAttempt]] = {}
        for a in trace.attempts:
            if a.place != CPU:
                together.setdefault((a.place, a.dispatched_at, a.finished_at), []).append(a)
        changes: dict[str, list[float]] = {}
        for event in sorted(trace.events, key=lambda event: event.at):
            changes.setdefault(event.loop_id, []).append(event.at)
        return _Known({a.job_id: a for a in trace.attempts}, together, changes)

    def has_changed(self, loop_id: str, began_at: float, ended_at: float) -> bool:
        """Whether a loop followed a change between two instants."""
        instants = self.changes.get(loop_id, [])
        place = bisect_left(instants, began_at)
        return place < len(instants) and instants[place] <= ended_at

    def sharing(self, ran: Sequence[TracedAttempt]) -> list[TracedAttempt]:
        """All that shared a backend's round with these, theirs and others'."""
        keys = dict.fromkeys((a.place, a.dispatched_at, a.finished_at) for a in ran)
        return [a for key in keys for a in self.together[key]]


def _of_run(
    known: _Known, rounds: Sequence[TracedRound], steps: Sequence[TracedStep]
) -> list[Iteration]:
    waited = {step.round: step for step in reversed(steps) if step.how == "round"}
    hits: dict[int, list[TracedStep]] = {}
    for step in steps:
        if step.how in ("guess", "nearby"):
            hits.setdefault(step.round, []).append(step)
    # Rounds of nothing but guesses are no waits: what follows them counts with the one before.
    waits = [begun.number for begun in rounds if begun.asked]
    counted: dict[int, list[TracedStep]] = {}
    for step in (step for several in hits.values() for step in several):
        place = bisect_right(waits, step.round) - 1
        if place >= 0:
            counted.setdefault(waits[place], []).append(step)
    found: list[Iteration] = []
    awaiting = 0.0
    for begun in rounds:
        answer = waited.get(begun.number)
        ran = [known.by_job[job_id] for job_id in begun.job_ids if job_id in known.by_job]
        if answer is None or not ran:
            continue  # it is still under way, or not remembered any more
        ready_at = min(answer.asked_at, begun.launched_at)
        began_at = found[-1].ended_at if found else ready_at - answer.think_seconds
        found.append(
            _iteration(
                known,
                begun,
                ran,
                began_at=began_at,
                ready_at=ready_at,
                ended_at=answer.answered_at,
                hits=len(counted.get(begun.number, ())),
                awaiting=awaiting if found else 0.0,
            )
        )
        awaiting = sum(step.wait_seconds for step in counted.get(begun.number, ()))
    return found


def _of_attempts(known: _Known, loop_id: str, attempts: Sequence[TracedAttempt]) -> list[Iteration]:
    rounds: dict[tuple[float, float], list[TracedAttempt]] = {}
    for a in attempts:
        rounds.setdefault((a.dispatched_at, a.finished_at), []).append(a)
    found: list[Iteration] = []
    for number, ran in enumerate(sorted(rounds.values(), key=lambda r: r[0].finished_at), 1):
        ready_at = min(a.submitted_at for a in ran)
        asked = sum(a.evaluations for a in ran)
        begun = TracedRound(loop_id, 0, number, ready_at, (), asked, 0)
        began_at = found[-1].ended_at if found else ready_at
        ended_at = max(a.finished_at for a in ran)
        found.append(
            _iteration(known, begun, ran, began_at=began_at, ready_at=ready_at, ended_at=ended_at)
        )
    return found


def _iteration(
    known: _Known,
    begun: TracedRound,
    ran: Sequence[TracedAttempt],
    *,
    began_at: float,
    ready_at: float,
    ended_at: float,
    hits: int = 0,
    awaiting: float = 0.0,
) -> Iteration:
    submitted_at = min(a.submitted_at for a in ran)
    shots = [a.first_shot_at for a in ran if a.first_shot_at is not None]
    first = min(shots, default=min(a.dispatched_at for a in ran))
    finished_at = max(a.finished_at for a in ran)
    together = known.sharing(ran)
    compiled = max(a.compile_seconds for a in ran)
    qpu = sum(a.qpu_seconds for a in together)
    cuts = [began_at, ready_at, begun.launched_at, submitted_at, first, finished_at, ended_at]
    for place, cut in enumerate(cuts[1:], 1):
        cuts[place] = min(max(cut, cuts[place - 1]), max(ended_at, began_at))
    classical, guessing, preparing, queue, run, handing = [b - a for a, b in pairwise(cuts)]
    has_changed = known.has_changed(begun.loop_id, begun.launched_at, submitted_at)
    compiled = min(compiled, run)
    qpu = min(qpu, run - compiled)
    guessed_qpu = min(qpu, sum(a.qpu_seconds for a in together if a.is_guess))
    wait = max(0.0, ended_at - begun.launched_at)
    phases = Phases(
        classical=max(0.0, classical - awaiting) + (0.0 if has_changed else preparing),
        awaiting=min(classical, awaiting),
        guessing=guessing,
        calibration=preparing if has_changed else 0.0,
        queue=queue,
        compile=compiled,
        qpu=qpu,
        transfer=run - compiled - qpu + handing,
        masked=hits * (wait - guessed_qpu),
    )
    return Iteration(
        loop_id=begun.loop_id,
        run=begun.run,
        number=begun.number,
        began_at=began_at,
        ready_at=ready_at,
        first_shot_at=first + compiled,
        ended_at=max(ended_at, began_at),
        evaluations=begun.asked,
        guessed=begun.guessed,
        hits=hits,
        phases=phases,
    )
