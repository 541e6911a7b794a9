"""The state of a service: jobs, sessions and devices under one lock, and what happens to them."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import TYPE_CHECKING

from efaas.clock import Clock, VirtualClock
from efaas.errors import InputError
from efaas.testing.runtime_service.admission import (
    check_opening,
    check_pending,
    check_session,
    check_work,
)
from efaas.testing.runtime_service.job_book import JobBook, Task
from efaas.testing.runtime_service.ledger import Ledger
from efaas.testing.runtime_service.messages import refuse
from efaas.testing.runtime_service.queueing import Queueing
from efaas.testing.runtime_service.records import JobRecord, JobStatus
from efaas.testing.runtime_service.seeds import SeedSource
from efaas.testing.runtime_service.session_book import SessionBook
from efaas.testing.runtime_service.sessions import SessionRecord

if TYPE_CHECKING:
    from efaas.testing.runtime_service.devices import CloudDevice
    from efaas.testing.runtime_service.rules import Rules
    from efaas.testing.runtime_service.submission import Submission
    from efaas.testing.runtime_service.work import QpuTiming, Work

__all__ = ["Cloud"]

_OPENED = datetime(2026, 1, 1, tzinfo=UTC)
"""The date at which every service is made."""
_ID_ALPHABET = "0123456789abcdefghijklmnopqrstuv"


class Cloud:
    """Jobs, sessions and devices. Every method may be called from any thread.

    Attributes:
        devices: By name.
        rules: The limits of the account's plan.
        clock: What every rule goes by.
        ledger: What has been paid for.
        changed: The lock of everything here; notified at every change.
        is_closing: Whether nothing more is run.
    """

    def __init__(
        self,
        devices: Mapping[str, CloudDevice],
        rules: Rules,
        clock: Clock,
        timing: QpuTiming,
        seed: int,
    ) -> None:
        self.devices = devices
        self.rules = rules
        self.clock = clock
        self.ledger = Ledger()
        self.changed = threading.Condition(threading.RLock())
        self.is_closing = False
        self._timing = timing
        self._seed = seed
        self._opened_at = clock.now()
        self._seeds = SeedSource(seed)
        self._jobs = JobBook()
        self._sessions = SessionBook()
        self._queueing = Queueing(self._jobs, self._sessions)
        self._num_submitted = 0

    # Time.

    def now(self) -> float:
        """The instant that the clock shows."""
        return self.clock.now()

    def date(self, at: float | None = None) -> datetime:
        """The date of an instant, by default of the present one."""
        return _OPENED + timedelta(seconds=(self.now() if at is None else at) - self._opened_at)

    def advance(self, seconds: float) -> None:
        """Move a virtual clock forward.

        Raises:
            InputError: The service goes by another kind of clock.
            ValueError: ``seconds`` is negative.
        """
        if not isinstance(self.clock, VirtualClock):
            raise InputError("only a VirtualClock can be moved; this service has another")
        with self.changed:
            self.clock.advance(seconds)
            self.settle()
            self.changed.notify_all()

    def settle(self) -> None:
        """Bring every session to the present instant."""
        with self.changed:
            now = self.now()
            for before in self._sessions.live:
                if now >= before.expires_at:
                    self._cancel_waiting(before.id, "The session's maximum time has passed.")
                after = before.settled(now, len(self._jobs.waiting(before.id)))
                if after is before:
                    continue
                self._sessions.put(after)
                self.changed.notify_all()
                if after.state == "closed":
                    self.ledger.enter_session(after, now)

    # Looking.

    def jobs(self) -> Sequence[JobRecord]:
        """All jobs, in the order in which they were submitted."""
        with self.changed:
            self.settle()
            return tuple(self._jobs)

    def sessions(self) -> Sequence[SessionRecord]:
        """All sessions and batches, in the order in which they were opened."""
        with self.changed:
            self.settle()
            return tuple(self._sessions)

    def job(self, job_id: str) -> JobRecord:
        """A job.

        Raises:
            Refusal: 404.
        """
        with self.changed:
            self.settle()
            return self._jobs.get(job_id)

    def is_live(self, job_id: str) -> bool:
        """Whether a job is queued or running."""
        with self.changed:
            return self._jobs.is_live(job_id)

    def body(self, job_id: str) -> bytes:
        """A job's submission."""
        with self.changed:
            return self._jobs.body(job_id)

    def result(self, job_id: str) -> str:
        """A job's result; "" where it has none. A private one can be read once.

        Raises:
            Refusal: 404.
        """
        with self.changed:
            return self._jobs.result(self.job(job_id))

    def session(self, session_id: str) -> SessionRecord:
        """A session or batch.

        Raises:
            Refusal: 404.
        """
        with self.changed:
            self.settle()
            return self._sessions.get(session_id)

    def device(self, name: str) -> CloudDevice:
        """A device.

        Raises:
            Refusal: 404.
        """
        if name not in self.devices:
            raise refuse(
                404,
                1007,
                f"Backend not found: {name}",
                "Verify that the correct backend name was specified.",
            )
        return self.devices[name]

    def queue(self, device: str) -> Sequence[JobRecord]:
        """The jobs that wait for a device, in the order in which it will take them."""
        with self.changed:
            self.settle()
            return self._queueing.waiting(device)

    def num_pending(self, device: str) -> int:
        """Jobs that a device has or waits for."""
        with self.changed:
            return sum(job.device == device for job in self._jobs.live)

    def estimated_start(self, job: JobRecord) -> float:
        """When a queued job will start, if every job takes what is expected."""
        with self.changed:
            self.settle()
            return self._queueing.estimated_start(job, self.now())

    def billed_seconds(self) -> float:
        """What is due by now."""
        with self.changed:
            self.settle()
            return self.ledger.seconds(self._sessions.live, self.now())

    def is_used_up(self) -> bool:
        """Whether the plan's QPU seconds are."""
        limit = self.rules.usage_limit_seconds
        return limit is not None and self.billed_seconds() >= limit

    def wait_for_news(self, job_id: str, seconds: float) -> None:
        """Return when a job has ended, or will not without somebody's help, or time is up."""
        with self.changed:
            self.changed.wait_for(
                lambda: self.is_closing or self._is_at_rest(job_id), timeout=seconds
            )

    # What happens to jobs.

    def submit(self, submission: Submission, body: bytes, work: Work) -> JobRecord:
        """The record of a new job, queued.

        Raises:
            Refusal: A rule forbids it.
        """
        device = self.device(submission.device)
        check_work(work, self.rules, device.max_shots)
        with self.changed:
            wished = submission.calibration_id
            if wished is not None and device.calibration_of(wished, None) is None:
                raise refuse(400, 1211, f"{device.name} has no calibration {wished!r}.")
            if submission.session_id is not None:
                check_session(self.session(submission.session_id), device.name)
            check_pending(len(self._jobs.live), self.rules)
            digests = [item.digests for item in work.items]
            seeds = self._seeds.of_points(digests, work.requested_seed)
            most_seconds = self.rules.max_job_seconds
            job = JobRecord(
                id=self._new_id("job", self._num_submitted),
                device=device.name,
                program=submission.program,
                status="Queued",
                created_at=self.now(),
                number=self._num_submitted,
                tags=submission.tags,
                session_id=submission.session_id,
                is_private=submission.is_private,
                max_seconds=min(most_seconds, submission.max_seconds or most_seconds),
                estimated_seconds=self._timing.seconds(work, device.rep_delay_seconds),
                num_pubs=len(work.items),
                num_circuits=work.num_circuits,
                executions=work.executions,
                payload_bytes=len(body),
                evaluations=tuple(digest for row in digests for digest in row),
                calibration_id=wished,
            )
            self._num_submitted += 1
            self._jobs.add(job, body, work, seeds)
            self.changed.notify_all()
            return job

    def next_task(self, device: str) -> Task | None:
        """Start the job that a device takes next, if there is one that it may take now."""
        with self.changed:
            self.settle()
            job = self._queueing.next_job(device) if self._is_taking(device) else None
            if job is None:
                return None
            now = self.now()
            calibration_id = job.calibration_id or self.devices[device].calibration.id
            job = replace(job, status="Running", started_at=now, calibration_id=calibration_id)
            self._put(job)
            if job.session_id is not None:
                self._sessions.put(self._sessions.get(job.session_id).job_started(now))
            return self._jobs.task(job)

    def end_job(
        self,
        job_id: str,
        status: JobStatus,
        *,
        qpu_seconds: float = 0.0,
        reason: str = "",
        reason_code: int | None = None,
        result: str = "",
    ) -> None:
        """Record how a running job ended, and charge for it; nothing if it has ended already.

        A virtual clock moves to the end of its QPU seconds, if it is not there yet.
        """
        with self.changed:
            if self.is_closing or not self._jobs.is_live(job_id):
                return
            job = self._jobs.get(job_id)
            started_at = self.now() if job.started_at is None else job.started_at
            if isinstance(self.clock, VirtualClock):
                self.clock.advance(max(0.0, started_at + qpu_seconds - self.now()))
            self._finish(
                replace(
                    job,
                    status=status,
                    qpu_seconds=qpu_seconds,
                    reason=reason,
                    reason_code=reason_code,
                ),
                result,
            )

    def cancel_job(self, job_id: str, reason: str = "") -> None:
        """Cancel a job that has not ended; what it ran until now is paid for.

        Raises:
            Refusal: 404, or 409 if it has ended.
        """
        with self.changed:
            job = self.job(job_id)
            if job.is_final:
                raise refuse(409, 1294, f"Job cannot be cancelled, it is {job.status.lower()}.")
            ran = 0.0 if job.started_at is None else self.now() - job.started_at
            self._finish(replace(job, status="Cancelled", qpu_seconds=ran, reason=reason))

    def delete_job(self, job_id: str) -> None:
        """Forget a job that has ended.

        Raises:
            Refusal: 404, or 409 if it has not ended.
        """
        with self.changed:
            if not self.job(job_id).is_final:
                raise refuse(409, 1295, "Job cannot be deleted before it has ended.")
            self._jobs.remove(job_id)
            self.changed.notify_all()

    def set_tags(self, job_id: str, tags: Sequence[str]) -> None:
        """Replace the tags of a job.

        Raises:
            Refusal: 404.
        """
        with self.changed:
            self._put(replace(self.job(job_id), tags=tuple(tags)))

    def set_stalled(self, job_id: str, *, is_stalled: bool) -> None:
        """Note that a running job makes no progress, or does again."""
        with self.changed:
            stalled = self._queueing.stalled
            (stalled.add if is_stalled else stalled.discard)(job_id)
            self.changed.notify_all()

    # What happens to sessions.

    def open_session(self, device: str, mode: str, max_seconds: float | None) -> SessionRecord:
        """A new session or batch.

        Raises:
            Refusal: The plan forbids it, or an argument is out of its range.
        """
        rules, place = self.rules, self.device(device)
        check_opening(mode, max_seconds, rules)
        with self.changed:
            session = SessionRecord(
                id=self._new_id("session", len(self._sessions)),
                device=place.name,
                mode="batch" if mode == "batch" else "dedicated",
                created_at=self.now(),
                interactive_seconds=rules.interactive_seconds,
                max_seconds=rules.max_session_seconds if max_seconds is None else max_seconds,
            )
            self._sessions.put(session)
            return session

    def close_session(self, session_id: str, *, cancels_jobs: bool) -> None:
        """Accept no more jobs; those that wait are run, or cancelled.

        Raises:
            Refusal: 404.
        """
        with self.changed:
            self._sessions.put(self.session(session_id).stopped(self.now()))
            if cancels_jobs:
                self._cancel_waiting(session_id, "The session was cancelled.")
            self.settle()

    def close(self) -> None:
        """Run nothing more, and wake whoever waits."""
        with self.changed:
            self.is_closing = True
            self.changed.notify_all()

    def _finish(self, job: JobRecord, result: str = "") -> None:
        """Record a job that has ended just now, whether it ran or not."""
        now = self.now()
        self._put(replace(job, finished_at=now), result)
        session = None if job.session_id is None else self._sessions.get(job.session_id)
        self.ledger.enter_job(job, session, now)
        if session is not None and job.started_at is not None:
            self._sessions.put(session.job_ended(now))
        self.settle()

    def _cancel_waiting(self, session_id: str, reason: str) -> None:
        for job in self._jobs.waiting(session_id):
            self._put(replace(job, status="Cancelled", finished_at=self.now(), reason=reason))

    def _put(self, job: JobRecord, result: str = "") -> None:
        self._jobs.put(job, result)
        self.changed.notify_all()

    def _is_taking(self, device: str) -> bool:
        """Whether a device takes jobs from its queue."""
        place = self.devices[device]
        return place.is_up and not (place.is_paused or self.is_closing or self.is_used_up())

    def _is_at_rest(self, job_id: str) -> bool:
        if not self._jobs.is_live(job_id):
            return True
        is_taking = self._is_taking(self._jobs.get(job_id).device)
        return self._queueing.is_at_rest(job_id, is_device_taking=is_taking)

    def _new_id(self, kind: str, number: int) -> str:
        digest = blake2b(f"{kind}/{self._seed}/{number}".encode(), digest_size=13).digest()
        value = int.from_bytes(digest, "big")
        return "d" + "".join(_ID_ALPHABET[(value >> shift) & 31] for shift in range(0, 95, 5))
