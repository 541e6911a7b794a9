"""Sends planned jobs, waits for them, and tells what they took."""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from efaas.backends.runtime.client import FINAL, Order
from efaas.errors import (
    BudgetError,
    ProviderError,
    ProviderJobError,
    UnavailableError,
)
from efaas.model.record import Reservation

if TYPE_CHECKING:
    from efaas.backends.protocol import SubmissionLog
    from efaas.backends.runtime.accounts import Accounts
    from efaas.backends.runtime.calibrations import TrackedCalibration
    from efaas.backends.runtime.client import RuntimeClient
    from efaas.backends.runtime.connect import TimeLimits
    from efaas.backends.runtime.packing import PlannedJob
    from efaas.backends.runtime.pause import Pause
    from efaas.backends.runtime.provider_session import ProviderSessions
    from efaas.backends.runtime.reading import JobReading
    from efaas.clock import Clock
    from efaas.policies.budget import Grant

__all__ = ["Courier", "Run"]

logger = logging.getLogger("efaas.backends.runtime")

_LEAST_POLL_SECONDS = 0.1
_MOST_POLL_SECONDS = 5.0
# Of the time waited: what a poll comes too late by, at most.
_QUEUED_POLL_SHARE = 0.15
_RUNNING_POLL_SHARE = 0.05
_LOOK_AT_DEVICE_SECONDS = 60.0
_MOST_RENEWALS = 3
_RAN_TOO_LONG = ("1305", "ran longer than", "ran too long")


@dataclass(eq=False)
class Run:
    """A planned job on its way.

    Attributes:
        planned: What is in it.
        pubs: The same in the primitive's own form; empty for a job of an earlier process.
        reading: How its result is read.
        evaluations: Which evaluations of the round its parts are.
        is_unwanted: Whether nobody waits for any of them any more.
        seed: Of a simulator, or None.
        experimental: Further options of the primitive, or None.
        device: Made for a local simulation, or None.
        tag: On the latest submission.
        job: The vendor's job object.
        grant: What it may take.
        wake: Set to look at it at once.
        sent_at: When it was sent.
        queued_until: When it was last seen to wait; it may have begun at once then.
        began_at: When it was first seen to run.
        qpu_seconds: What it took.
        fixed_share: The share of that which it takes whatever is in it.
    """

    planned: PlannedJob
    pubs: Sequence[Any]
    reading: JobReading
    evaluations: Sequence[int]
    is_unwanted: Callable[[], bool]
    seed: int | None = None
    experimental: dict[str, Any] | None = None
    device: Any = None
    tag: str = ""
    job: Any = None
    grant: Grant | None = None
    wake: threading.Event = field(default_factory=threading.Event)
    sent_at: float = 0.0
    queued_until: float = 0.0
    began_at: float | None = None
    qpu_seconds: float = 0.0
    fixed_share: float = 0.0

    @property
    def job_id(self) -> str | None:
        """The provider's id; None before it was sent."""
        return None if self.job is None else str(self.job.job_id())

    @property
    def waited_seconds(self) -> float:
        """How long it queued."""
        return 0.0 if self.began_at is None else max(0.0, self.began_at - self.sent_at)


class Courier:
    """Takes jobs to the service and results back. Safe to use from several threads.

    Attributes:
        runs: The jobs that are on their way.
    """

    def __init__(
        self,
        client: RuntimeClient,
        sessions: ProviderSessions,
        accounts: Accounts,
        calibrations: TrackedCalibration,
        *,
        limits: TimeLimits,
        clock: Clock,
        pause: Pause,
    ) -> None:
        self.runs: list[Run] = []
        self._client = client
        self._sessions = sessions
        self._accounts = accounts
        self._calibrations = calibrations
        self._limits = limits
        self._clock = clock
        self._pause = pause

    def send(self, run: Run, log: SubmissionLog | None = None) -> None:
        """Submit a job, if the budget allows it.

        Raises:
            BudgetError: It does not.
            ProviderError: The service has not taken it, or it is not known whether it has.
        """
        self._sessions.take_over()  # what it has cost counts
        self._accounts.note_sessions(self._sessions.lasted())
        grant = run.grant = self._accounts.grant(run.planned.load.seconds)
        tag = ""
        try:
            tag = run.tag = self._tag(run, log, grant)
            self._accounts.sending(tag, grant)
            order = Order(
                kind=run.planned.kind,
                pubs=run.pubs,
                shots=run.planned.shots,
                tag=run.tag,
                seed=run.seed,
                cap_seconds=grant.cap_seconds,
                experimental=run.experimental,
            )
            run.sent_at = run.queued_until = self._clock.now()
            run.began_at = None
            run.job = self._sent(order, run)
        except BaseException as error:
            # What may have been accepted stays set aside, until it is known.
            if not isinstance(error, ProviderError) or not error.is_in_doubt:
                self._accounts.withdraw(tag, grant)
                if log is not None and tag:
                    log.refused(tag, str(error))
            raise
        self.runs.append(run)
        logger.info("sent job %s to %s", run.job_id, self._client.name)
        if log is not None:
            log.accepted(run.tag, str(run.job_id))

    def fetch(self, run: Run, log: SubmissionLog | None = None) -> Any:
        """Wait for a job that was sent, and return the primitive's result.

        Raises:
            CancelledError: Nobody waits for it any more, so it was cancelled.
            BudgetError: The provider ended it at what the budget had left for it.
            ProviderJobError: It failed, was cancelled from outside, or did not end in time.
            ProviderError: What became of it is not known.
        """
        try:
            for _ in range(_MOST_RENEWALS):
                status = self._awaited(run)
                if status != "CANCELLED" or run.is_unwanted() or not self._was_dropped(run):
                    break
                # It never ran: its provider session ended before it, and took it along.
                self._settled(run, 0.0)
                if log is not None:
                    log.refused(run.tag, "dropped with its provider session")
                self.runs.remove(run)
                self.send(run, log)
            return self._end(run, status)
        finally:
            if run in self.runs:
                self.runs.remove(run)

    def take_over(self, run: Run) -> Any:
        """Wait for a job that an earlier process sent, and return the primitive's result.

        Raises:
            ProviderError: As ``fetch``.
        """
        self._sessions.take_over()
        run.sent_at = run.queued_until = self._clock.now()
        self.runs.append(run)
        return self.fetch(run)

    def never_arrived(self, tag: str) -> None:
        """The provider has no job of that tag, which an earlier process was about to send."""
        self._accounts.withdraw(tag)

    def wake(self) -> None:
        """Look at every job at once: somebody may not wait any more."""
        for run in list(self.runs):
            run.wake.set()

    # Sending.

    def _tag(self, run: Run, log: SubmissionLog | None, grant: Grant) -> str:
        if log is None:
            return f"efaas-{uuid.uuid4().hex}"
        given = Reservation(grant.expected_seconds, grant.reserved_seconds, grant.is_billed)
        return log.sending(run.evaluations, run.reading.as_text(), run.reading.points, given)

    def _sent(self, order: Order, run: Run) -> Any:
        for attempt in range(_MOST_RENEWALS):
            mode = self._sessions.current()
            try:
                return self._client.submit(order, mode, device=run.device)
            except ProviderError as error:
                is_refusal = type(error) is ProviderError and not error.is_in_doubt
                if not is_refusal or self._sessions.mode == "job" or attempt == _MOST_RENEWALS - 1:
                    raise
                if not self._sessions.has_ended():
                    raise
        raise AssertionError("unreachable")

    # Waiting.

    def _awaited(self, run: Run) -> str:
        """The final status of a job; sees to everything else in the meantime."""
        if self._client.is_local:
            run.began_at = run.sent_at
            return "DONE"
        looked_at, down_since = self._clock.now(), None
        is_asked_to_end = False
        while True:
            if not is_asked_to_end and (run.is_unwanted() or self._client.is_stopping):
                is_asked_to_end = True
                self._client.cancel(run.job)
                if self._client.is_stopping:
                    self._settled(run, None)
                    raise UnavailableError(
                        f"job {run.job_id} is not waited for any more, since the backend was "
                        "closed or the program ends; the provider was asked to cancel it",
                        job_id=run.job_id,
                    )
            # What else there is to ask is asked here, while the job is waited for anyway.
            _ = self._calibrations.refresh_if_due() or self._accounts.settle_late()
            asked_at = self._clock.now()
            status = self._client.status(run.job)
            if status in FINAL:
                return status
            now = self._clock.now()
            if status == "QUEUED":
                run.queued_until = asked_at
            elif run.began_at is None:
                run.began_at = now
                self._sessions.job_began(run.queued_until)
            self._check_patience(run, now)
            if run.began_at is None and now >= looked_at + _LOOK_AT_DEVICE_SECONDS:
                looked_at = now
                down_since = self._checked_device(run, down_since)
            if run.began_at is None:
                soon = _QUEUED_POLL_SHARE * (now - run.sent_at)
            else:
                soon = _RUNNING_POLL_SHARE * (now - run.began_at)
            seconds = min(_MOST_POLL_SECONDS, max(_LEAST_POLL_SECONDS, soon))
            run.wake.clear()
            if is_asked_to_end or not run.is_unwanted():
                self._pause(seconds, run.wake)

    def _check_patience(self, run: Run, now: float) -> None:
        if run.began_at is None:
            limit, since, what = self._limits.queue, run.sent_at, "did not begin"
        else:
            limit, since, what = self._limits.run, run.began_at, "did not end"
        if limit is None or now - since < limit:
            return
        self._client.cancel(run.job)
        self._settled(run, None)
        raise ProviderJobError(
            f"job {run.job_id} on {self._client.name} {what} within {limit:g} s and was cancelled: "
            "raise the time limits of the backend if that is too short",
            job_id=run.job_id,
        )

    def _checked_device(self, run: Run, down_since: float | None) -> float | None:
        """Since when the device is down, if it is."""
        status = self._client.device_status()
        now = self._clock.now()
        if status.is_operational:
            if down_since is not None:
                self._sessions.note("back", "the device works again")
            return None
        if down_since is None:
            self._sessions.note(
                "down", f"the device is down: {status.message}", level=logging.WARNING
            )
            return now
        if now - down_since < self._limits.outage:
            return down_since
        self._client.cancel(run.job)
        self._settled(run, 0.0)
        raise UnavailableError(
            f"{self._client.name} has been down for {now - down_since:.0f} s ({status.message}); "
            f"job {run.job_id} was cancelled. Go on with another device, or later",
            job_id=run.job_id,
        )

    def _was_dropped(self, run: Run) -> bool:
        """Whether the provider session has ended, so that a job of this process went with it."""
        return (
            bool(run.pubs)
            and self._sessions.mode != "job"
            and not self._client.is_stopping
            and (self._sessions.state is None or self._sessions.has_ended())
        )

    # Ending.

    def _end(self, run: Run, status: str) -> Any:
        if status == "DONE":
            result = self._client.result(run.job)
            self._sessions.job_ended(run.queued_until)
            self._measure(run)
            return result
        self._sessions.job_ended(run.queued_until)
        if status == "CANCELLED":
            self._measure(run)
            if run.is_unwanted():
                raise CancelledError(f"job {run.job_id} was cancelled")
            raise ProviderJobError(
                f"job {run.job_id} on {self._client.name} was cancelled from outside, by another "
                "program, on the website, or by the provider",
                job_id=run.job_id,
            )
        reason = self._client.failure(run.job)
        grant = run.grant
        self._measure(run)
        if grant is not None and grant.cap_seconds and any(t in reason for t in _RAN_TOO_LONG):
            raise BudgetError(
                f"job {run.job_id} took longer than the {grant.cap_seconds} s of QPU time that the "
                f"budget had left for it, and was ended by the provider: {reason}",
                limit="qpu_seconds",
                allowed=float(grant.cap_seconds),
                spent=float(grant.cap_seconds),
                needed=grant.expected_seconds,
            )
        raise ProviderJobError(
            f"job {run.job_id} on {self._client.name} failed: {reason}", job_id=run.job_id
        )

    def _measure(self, run: Run) -> None:
        """Book what a job took; where the provider has not said so yet, later."""
        if self._client.is_local:
            run.qpu_seconds = max(1e-9, self._clock.now() - run.sent_at)
            self._settled(run, run.qpu_seconds)
            return
        measured = self._client.measured(run.job)
        run.qpu_seconds = (
            run.planned.load.seconds if measured.qpu_seconds is None else measured.qpu_seconds
        )
        self._settled(run, measured.qpu_seconds)

    def _settled(self, run: Run, seconds: float | None) -> None:
        self._accounts.settle(run.tag, seconds, job=run.job)
        self._accounts.note_sessions(self._sessions.lasted())


def is_final(error: BaseException) -> bool:
    """Whether an error says what became of a job for good, so that it may be sent again."""
    if not isinstance(error, ProviderError) or isinstance(error, ProviderJobError):
        return True
    return not error.is_in_doubt and error.job_id is None
