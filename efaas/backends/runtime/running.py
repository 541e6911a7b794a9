"""Running a round: its jobs are sent ahead, waited for in order, and put together."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from efaas.backends.protocol import Outcome
from efaas.backends.runtime.courier import Run, is_final
from efaas.backends.runtime.packing import Load, PlannedJob
from efaas.backends.runtime.reading import JobReading, assembled
from efaas.backends.runtime.round import Round
from efaas.errors import BudgetError, ClosedError, JournalError, ProviderError, ProviderJobError
from efaas.model.job import Usage

if TYPE_CHECKING:
    from efaas.backends.protocol import Evaluation, SubmissionLog
    from efaas.backends.runtime.calibrations import InForce, TrackedCalibration
    from efaas.backends.runtime.client import RuntimeClient
    from efaas.backends.runtime.courier import Courier
    from efaas.backends.runtime.planning import Planner

__all__ = ["RoundRunner"]


class RoundRunner:
    """Runs rounds. Safe to use from several threads, each with a round of its own."""

    def __init__(
        self,
        client: RuntimeClient,
        planner: Planner,
        courier: Courier,
        calibrations: TrackedCalibration,
        *,
        pending_jobs: int,
        is_closed: Callable[[], bool],
        unwanted: set[int],
    ) -> None:
        """Run nothing yet.

        Args:
            client: Asks the service.
            planner: Makes jobs of rounds.
            courier: Takes jobs there, and results back.
            calibrations: What to compile for.
            pending_jobs: Jobs of a round that are at the provider at a time.
            is_closed: Whether nothing more is to be sent.
            unwanted: The identities of evaluations that nobody waits for any more.
        """
        self._client = client
        self._planner = planner
        self._courier = courier
        self._calibrations = calibrations
        self._pending_jobs = 1 if client.is_local else pending_jobs
        self._is_closed = is_closed
        self._unwanted = unwanted
        self._lock = threading.Lock()

    def run(
        self, evaluations: Sequence[Evaluation], log: SubmissionLog | None = None
    ) -> list[Outcome | Exception]:
        """One outcome, or error, for each, in order.

        Args:
            evaluations: What to run, the committed ones first.
            log: Where its jobs are written down; then what became of each is known, or it is
                raised that it is not.

        Raises:
            ProviderError: What became of a job is not known, and it is written down.
        """
        round_ = Round(evaluations)
        try:
            in_force = self._calibrations.present
            waiting = deque(self._planner.runs_of(round_, in_force))
            sent: deque[Run] = deque()
            while waiting or sent:
                if waiting and len(sent) < self._pending_jobs and round_.stopped is None:
                    self._send(waiting.popleft(), round_, sent, log, in_force)
                elif sent:
                    self._fetch(sent.popleft(), round_, log)
                else:  # nothing more is sent after a refusal
                    round_.fail(waiting.popleft().evaluations, round_.stopped)
            if log is not None and round_.in_doubt is not None:
                raise round_.in_doubt
            return [
                round_.outcome(index, in_force.calibration.id) for index in range(len(evaluations))
            ]
        finally:
            with self._lock:
                self._unwanted.difference_update(map(id, evaluations))

    def _send(
        self,
        run: Run,
        round_: Round,
        sent: deque[Run],
        log: SubmissionLog | None,
        in_force: InForce,
    ) -> None:
        if round_.is_failed(run.evaluations):
            return
        if run.is_unwanted():
            round_.fail(run.evaluations, CancelledError("cancelled before it was sent"))
            return
        try:
            if self._is_closed():
                raise ClosedError(f"the backend {self._client.name} is closed")
            self._courier.send(run, log)
        except BudgetError as error:
            # What is committed comes first: there may be enough for that without the guesses.
            round_.stopped = error
            first, *others = run.evaluations
            round_.fail(others or [first], error)
            for smaller in self._planner.runs_of(round_, in_force, only=[first]) if others else []:
                self._send(smaller, round_, sent, log, in_force)
        except Exception as error:
            round_.fail(run.evaluations, error)
            if isinstance(error, ProviderError | ClosedError | JournalError):
                round_.stopped = error
        else:
            sent.append(run)

    def _fetch(self, run: Run, round_: Round, log: SubmissionLog | None) -> None:
        try:
            values = run.reading.values(self._courier.fetch(run, log))
        except Exception as error:
            round_.fail(run.evaluations, error)
            if log is not None and is_final(error):
                log.ended(run.tag, [error] * len(run.evaluations))
        else:
            round_.take(run, values)
            if log is not None:
                log.ended(run.tag, _outcomes(run, values))

    def give_up(self, evaluations: Sequence[Evaluation]) -> None:
        """Nobody waits for these any more: jobs that hold nothing else are cancelled there."""
        with self._lock:
            self._unwanted.update(map(id, evaluations))
        self._courier.wake()

    def reattach(
        self, tag: str, job_id: str | None, payload: str
    ) -> list[Outcome | Exception] | None:
        """The results of a job of an earlier process; waits for it.

        Args:
            tag: The job's.
            job_id: The provider's id; None to look for it by its tag.
            payload: What was written down when it was sent.

        Returns:
            An outcome, or error, for each of its evaluations, in order, of the points that are in
            the job; None if the provider has no such job.

        Raises:
            ProviderError: It is not known what became of it.
        """
        if self._client.is_local:
            return None  # it ended with the process that simulated it
        reading = JobReading.from_text(payload)
        if job_id is None:
            job = self._client.find_late(tag)
        else:
            try:
                job = self._client.job(job_id)
            except ProviderError as error:
                if error.status != 404 and "not found" not in str(error).lower():
                    raise
                job = self._client.find(tag)  # not there, by all that the service says?
        if job is None:
            self._courier.never_arrived(tag)
            return None
        planned = PlannedJob("estimate", 1, Load())
        run = Run(planned, (), reading, (), lambda: False, tag=tag, job=job)
        try:
            values = reading.values(self._courier.take_over(run))
        except (ProviderJobError, BudgetError) as error:
            return [error] * len(reading.parts)
        return _outcomes(run, values)


def _outcomes(run: Run, values: Sequence[dict[int, Any]]) -> list[Outcome | Exception]:
    """What a job gave, of the points that are in it.

    Args:
        run: The job.
        values: For each of its parts, by point.
    """
    points = max(1, sum(map(len, values)))
    outcomes: list[Outcome | Exception] = []
    for part, found in zip(run.reading.parts, values, strict=True):
        inside = [found[point] for point in sorted(found)]
        seconds = run.qpu_seconds * len(inside) / points
        outcomes.append(
            Outcome(
                assembled(replace(part, points=len(inside)), dict(enumerate(inside))),
                Usage(qpu_seconds=seconds, fixed_seconds=seconds * run.fixed_share),
                run.reading.calibration_id,
                waited_seconds=run.waited_seconds,
            )
        )
    return outcomes
