"""A session's journal as its evaluations pass it: asked, submitted, answered."""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from efaas.journal.values import PointEstimates, PointSamples, decoded, encoded
from efaas.model.job import Usage
from efaas.model.record import Answer, Question

if TYPE_CHECKING:
    from efaas.backends.protocol import Backend, Evaluation, Outcome, Reattachable
    from efaas.dispatch.scope import Request
    from efaas.dispatch.ticket import Ticket
    from efaas.journal import Book
    from efaas.journal.submissions import Pending
    from efaas.journal.values import PointValue
    from efaas.model.record import Reservation

__all__ = ["Entry", "Recording", "run_recorded"]


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a job stands in a journal.

    Attributes:
        book: The journal.
        loop_name: The job's loop.
        keys: Of its points.
    """

    book: Book
    loop_name: str
    keys: tuple[bytes, ...]


class Recording:
    """Writes a session's evaluations down where they are submitted, and finds them again."""

    def __init__(self, book: Book) -> None:
        self.book = book

    def ask(self, ticket: Ticket, request: Request) -> Outcome | None:
        """Write down what a job asks for; its outcome, if all of it is recorded.

        Raises:
            JournalError: The journal cannot be written or read.
        """
        evaluation = request.evaluation
        keys = tuple(map(_key, evaluation.seeds))
        if not keys:
            return None
        ticket.entry = Entry(self.book, request.loop_name, keys)
        questions = [
            Question(
                key,
                request.occurrences[row],
                evaluation.shots,
                evaluation.angles[row].tobytes(),
                None if request.parameters is None else request.parameters[row].tobytes(),
                None if evaluation.wanted is None else evaluation.wanted[row],
            )
            for row, key in enumerate(keys)
        ]
        is_committed = not ticket.job.speculative
        self.book.ask(request.loop_name, questions, is_committed=is_committed)
        answers = self.book.find(keys)
        if None in answers:
            return None
        return _assembled(cast("list[Answer]", answers), None, [])

    def confirm(self, ticket: Any) -> None:
        """A guessed job turned out to be on the true trajectory."""
        entry: Entry | None = getattr(ticket, "entry", None)
        if entry is not None:
            self.book.confirm(entry.loop_name, entry.keys)


def run_recorded(backend: Backend, tickets: Sequence[Ticket]) -> list[Outcome | Exception]:
    """The outcome of each job, run on the backend as far as no journal has it.

    Raises:
        Exception: The round failed as a whole.
    """
    from efaas.backends.protocol import Reattachable

    reattaches = backend if isinstance(backend, Reattachable) else None
    if reattaches is not None:
        _collect_all(reattaches, backend.name, tickets)
    runs = [_Run(ticket) for ticket in tickets]
    left = [run for run in runs if run.missing or not run.keys]
    if left:
        log = _Log(backend.name, left)
        evaluations = [run.evaluation for run in left]
        if reattaches is not None:
            try:
                outcomes = list(reattaches.execute_logged(evaluations, log))
            except Exception:
                # Whatever broke, the jobs may have run: what they gave is not to be lost.
                _collect_all(reattaches, backend.name, tickets)
                runs = [_Run(ticket) for ticket in tickets]
                if any(run.missing for run in runs):
                    raise
                return [run.merged() for run in runs]
        else:
            outcomes = _ran_here(backend, evaluations, log)
        _require_one_each(backend, outcomes, left)
        for run, outcome in zip(left, outcomes, strict=True):
            run.outcome = outcome
    return [run.merged() for run in runs]


def _ran_here(
    backend: Backend, evaluations: Sequence[Evaluation], log: _Log
) -> list[Outcome | Exception]:
    """The outcomes of what ends with this process."""
    sent = log.begin_here()
    try:
        outcomes = list(backend.execute(evaluations))
        _require_one_each(backend, outcomes, evaluations)
    except BaseException as error:
        log.fail_here(sent, error)
        raise
    log.end_here(sent, outcomes)
    return outcomes


def _require_one_each(
    backend: Backend, outcomes: Sequence[Outcome | Exception], jobs: Sequence[object]
) -> None:
    if len(outcomes) != len(jobs):
        raise RuntimeError(
            f"backend {backend.name} gave {len(outcomes)} outcomes for {len(jobs)} jobs"
        )


class _Run:
    """A job in a round: what of it is recorded, and what is left to run."""

    def __init__(self, ticket: Ticket) -> None:
        evaluation = ticket.next_points()
        self.book = None if ticket.entry is None else ticket.entry.book
        self.keys = [_key(seed) for seed in evaluation.seeds]
        self.answers: list[Answer | None] = (
            [None] * len(self.keys) if self.book is None else self.book.find(self.keys)
        )
        self.missing = [row for row, answer in enumerate(self.answers) if answer is None]
        is_partial = len(self.missing) < len(self.keys)
        self.evaluation = evaluation.at(self.missing) if is_partial else evaluation
        self.outcome: Outcome | Exception | None = None

    def keys_of(self, points: Sequence[int]) -> list[bytes]:
        """The keys of some of the points that are left."""
        return [self.keys[self.missing[point]] for point in points]

    def merged(self) -> Outcome | Exception:
        """The outcome of all of its points."""
        if isinstance(self.outcome, Exception):
            return self.outcome
        if self.outcome is not None and len(self.missing) == len(self.keys):
            return self.outcome
        return _assembled(self.answers, self.outcome, self.missing)


@dataclass(frozen=True, slots=True)
class _Sent:
    """What was handed to a backend at once.

    Attributes:
        places: For each of its parts the run that it is of, and which of the run's points.
        numbers: Of the submission, by journal.
    """

    places: Sequence[tuple[_Run, Sequence[int]]]
    numbers: dict[Book, int]


class _Log:
    """What a round's jobs are written down by: a ``SubmissionLog`` over several journals."""

    def __init__(self, backend: str, runs: Sequence[_Run]) -> None:
        self._backend = backend
        self._runs = runs
        self._by_tag: dict[str, _Sent] = {}

    def sending(
        self,
        evaluations: Sequence[int],
        payload: str = "",
        points: Sequence[Sequence[int]] | None = None,
        reservation: Reservation | None = None,
    ) -> str:
        runs = [self._runs[index] for index in evaluations]
        if points is None:
            points = [range(len(run.missing)) for run in runs]
        tag = f"efaas-{secrets.token_hex(12)}"
        places = list(zip(runs, points, strict=True))
        self._by_tag[tag] = self._sent(places, tag, payload, reservation)
        return tag

    def accepted(self, tag: str, job_id: str) -> None:
        for book, number in self._by_tag[tag].numbers.items():
            book.accept(number, job_id)

    def refused(self, tag: str, reason: str) -> None:
        for book, number in self._by_tag[tag].numbers.items():
            book.end(number, "failed", reason)

    def ended(self, tag: str, outcomes: Sequence[Outcome | Exception]) -> None:
        self._answer(self._by_tag[tag], outcomes)

    def begin_here(self) -> _Sent:
        """The whole round runs in this process, and ends with it."""
        return self._sent([(run, range(len(run.missing))) for run in self._runs])

    def fail_here(self, sent: _Sent, error: BaseException) -> None:
        """It failed as a whole."""
        for book, number in sent.numbers.items():
            book.end(number, "failed", f"{type(error).__name__}: {error}")

    def end_here(self, sent: _Sent, outcomes: Sequence[Outcome | Exception]) -> None:
        """It has ended, with an outcome, or error, for each run."""
        self._answer(sent, outcomes)

    def _sent(
        self,
        places: Sequence[tuple[_Run, Sequence[int]]],
        tag: str | None = None,
        payload: str = "",
        reservation: Reservation | None = None,
    ) -> _Sent:
        parts = [len(points) for _, points in places]
        rows: defaultdict[Book, list[tuple[bytes, int, int]]] = defaultdict(list)
        for part, (run, points) in enumerate(places):
            if run.book is not None:
                keys = run.keys_of(points)
                rows[run.book] += [(key, part, position) for position, key in enumerate(keys)]
        numbers = {
            book: book.send(
                self._backend,
                where,
                parts=parts,
                tag=tag,
                payload=payload,
                reservation=reservation,
            )
            for book, where in rows.items()
        }
        return _Sent(places, numbers)

    def _answer(self, sent: _Sent, outcomes: Sequence[Outcome | Exception]) -> None:
        answers: dict[Book, list[Answer]] = {book: [] for book in sent.numbers}
        errors: dict[Book, str] = {}
        for (run, points), outcome in zip(sent.places, outcomes, strict=True):
            if run.book is None:
                continue
            try:
                if isinstance(outcome, Exception):
                    raise outcome
                answers[run.book] += _answers(self._backend, run.keys_of(points), outcome)
            except Exception as error:  # one that is no outcome, too; the job itself will say so
                errors[run.book] = f"{type(error).__name__}: {error}"
        for book, number in sent.numbers.items():
            book.answer(number, answers[book], errors.get(book, ""))


def _collect_all(backend: Reattachable, name: str, tickets: Sequence[Ticket]) -> None:
    """Take over what became of the provider's jobs that these are in."""
    for ticket in tickets:
        if ticket.entry is not None:
            keys = [_key(seed) for seed in ticket.next_points().seeds]
            for pending in ticket.entry.book.pending(name, keys):
                _collect(backend, ticket.entry.book, pending)


def _collect(backend: Reattachable, book: Book, pending: Pending) -> None:
    """Take over what became of a job that was submitted before."""
    submission = pending.submission
    name = f"job {submission.job_id or submission.tag}"
    outcomes = backend.reattach(submission)
    if outcomes is None:
        book.end(pending.id, "lost", "the provider has no such job")
        book.note("lost", f"{name} on {submission.backend}: it runs again")
        return
    if len(outcomes) != len(submission.parts):
        raise RuntimeError(
            f"backend {submission.backend} gave {len(outcomes)} outcomes for the "
            f"{len(submission.parts)} evaluations of {name}"
        )
    answers: list[Answer] = []
    error = ""
    of_part: dict[int, list[Answer]] = {}
    for key, part, row in pending.places:
        outcome = outcomes[part]
        if isinstance(outcome, Exception):
            error = f"{type(outcome).__name__}: {outcome}"
            continue
        if part not in of_part:
            unnamed = [b""] * submission.parts[part]
            of_part[part] = _answers(submission.backend, unnamed, outcome)
        answers.append(replace(of_part[part][row], key=key))
    book.answer(pending.id, answers, error)
    book.note("re-attached", f"{name} on {submission.backend}: {len(answers)} values")


def _key(seed: int) -> bytes:
    return seed.to_bytes(16, "little")


def _answers(backend: str, keys: Sequence[bytes], outcome: Outcome) -> list[Answer]:
    """An outcome, a row per point.

    Raises:
        ValueError: It is not of so many points.
    """
    values = _rows(outcome)
    if len(values) != len(keys):
        raise ValueError(f"an outcome of {len(values)} points for {len(keys)}")
    share = 1.0 / max(1, len(keys))
    qpu_seconds = outcome.usage.qpu_seconds * share
    cpu_seconds = outcome.usage.cpu_seconds * share
    return [
        Answer(key, encoded(value), backend, outcome.calibration_id, qpu_seconds, cpu_seconds)
        for key, value in zip(keys, values, strict=True)
    ]


def _rows(outcome: Outcome) -> list[PointValue]:
    from efaas.backends.protocol import Estimates

    value = outcome.value
    if isinstance(value, Estimates):
        return [PointEstimates(evs, stds) for evs, stds in zip(value.evs, value.stds, strict=True)]
    names = list(value.registers)
    rows = zip(*value.registers.values(), strict=True)
    return [PointSamples(dict(zip(names, row, strict=True)), value.num_bits) for row in rows]


def _assembled(
    answers: Sequence[Answer | None], fresh: Outcome | None, missing: Sequence[int]
) -> Outcome:
    """One outcome of recorded points and those that have just been run; what ran is its usage."""
    from efaas.backends.protocol import Estimates, Outcome, Samples

    rows: list[PointValue | None] = [
        None if answer is None else decoded(answer.value) for answer in answers
    ]
    calibration_id = next(answer.calibration_id for answer in answers if answer is not None)
    usage = Usage()
    if fresh is not None:
        calibration_id, usage = fresh.calibration_id, fresh.usage
        for row, value in zip(missing, _rows(fresh), strict=True):
            rows[row] = value
    if isinstance(rows[0], PointEstimates):
        estimates = cast("list[PointEstimates]", rows)
        evs = np.stack([row.evs for row in estimates])
        stds = np.stack([row.stds for row in estimates])
        return Outcome(Estimates(evs, stds), usage, calibration_id)
    samples = cast("list[PointSamples]", rows)
    registers = {
        name: np.stack([row.registers[name] for row in samples]) for name in samples[0].registers
    }
    return Outcome(Samples(registers, samples[0].num_bits), usage, calibration_id)
