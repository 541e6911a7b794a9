"""The state of a service, and its rules: jobs, sessions and devices under one lock."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from efaas.clock import Clock, VirtualClock
from efaas.errors import InputError
from efaas.testing.runtime_service.ledger import Ledger
from efaas.testing.runtime_service.messages import refuse
from efaas.testing.runtime_service.records import JobRecord, JobStatus
from efaas.testing.runtime_service.seeds import SeedSource
from efaas.testing.runtime_service.sessions import SessionRecord

if TYPE_CHECKING:
    from efaas.testing.runtime_service.devices import CloudDevice
    from efaas.testing.runtime_service.rules import Rules
    from efaas.testing.runtime_service.work import QpuTiming, Work

__all__ = ["Cloud"]

_OPENED = datetime(2026, 1, 1, tzinfo=UTC)
"""The date at the instant 0 of every service's clock."""


class Cloud:
    """Jobs, sessions and devices. Every method may be called from any thread.

    Attributes:
        devices: By name.
        rules: The limits of the account's plan.
        clock: What every rule goes by.
        timing: How many QPU seconds jobs take.
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
        self.timing = timing
        self.ledger = Ledger()
        self.changed = threading.Condition(threading.RLock())
        self.is_closing = False
        self._seed = seed
        self._opened_at = clock.now()
        self._seeds = SeedSource(seed)
        self._jobs: dict[str, JobRecord] = {}
        self._live: dict[str, JobRecord] = {}
        self._bodies: dict[str, bytes] = {}
        self._work: dict[str, tuple[Work, tuple[tuple[int, ...], ...]]] = {}
        self._results: dict[str, str] = {}
        self._sessions: dict[str, SessionRecord] = {}
        self._submitted = 0
        self._stalled: set[str] = set()

    # Time.

    def now(self) -> float:
        """The instant that the clock shows."""
        return self.clock.now()

    def date(self, at: float | None = None) -> datetime:
        """The date of an instant, by default of the present one."""
        return _OPENED + timedelta(seconds=(self.now() if at is None else at) - self._opened_at)

    def instant(self, date: datetime) -> float:
        """The instant of a date."""
        return (date - _OPENED).total_seconds() + self._opened_at

    def advance(self, seconds: float) -> None:
        """Move a virtual clock forward.

        Raises:
            InputError: The service goes by another kind of clock, or ``seconds`` is negative.
        """
        if not isinstance(self.clock, VirtualClock):
            raise InputError("only a VirtualClock can be moved; this service has another")
        with self.changed:
            self.clock.advance(seconds)
            self.settle()
            self.changed.notify_all()

    def pass_qpu_time(self, seconds: float) -> None:
        """Let a job's time pass: a virtual clock moves by it, another one as it will."""
        if isinstance(self.clock, VirtualClock):
            self.clock.advance(seconds)

    # Looking.

    def jobs(self) -> Sequence[JobRecord]:
        """All jobs, in the order in which they were submitted."""
        with self.changed:
            self.settle()
            return tuple(self._jobs.values())

    def sessions(self) -> Sequence[SessionRecord]:
        """All sessions and batches, in the order in which they were opened."""
        with self.changed:
            self.settle()
            return tuple(self._sessions.values())

    def job(self, job_id: str) -> JobRecord:
        """A job.

        Raises:
            Refusal: 404.
        """
        with self.changed:
            self.settle()
            if job_id not in self._jobs:
                raise refuse(
                    404,
                    1291,
                    f"Job not found. Job ID: {job_id}",
                    "Verify that the correct job ID was specified.",
                )
            return self._jobs[job_id]

    def is_live(self, job_id: str) -> bool:
        """Whether a job is queued or running."""
        with self.changed:
            return job_id in self._live

    def session(self, session_id: str) -> SessionRecord:
        """A session or batch.

        Raises:
            Refusal: 404.
        """
        with self.changed:
            self.settle()
            if session_id not in self._sessions:
                raise refuse(404, 1290, f"Session not found. Session ID: {session_id}")
            return self._sessions[session_id]

    def device(self, name: str | None) -> CloudDevice:
        """A device.

        Raises:
            Refusal: 404.
        """
        if name is None or name not in self.devices:
            raise refuse(
                404,
                1007,
                f"Backend not found: {name}",
                "Verify that the correct backend name was specified.",
            )
        return self.devices[name]

    def body(self, job_id: str) -> bytes:
        """A job's submission."""
        return self._bodies[job_id]

    def result(self, job_id: str) -> str:
        """A job's result; "" where it has none. A private one can be read once."""
        with self.changed:
            job = self.job(job_id)
            return (
                self._results.pop(job_id, "") if job.is_private else self._results.get(job_id, "")
            )

    def queue(self, device: str) -> list[JobRecord]:
        """The jobs that wait for a device, in the order in which it will take them."""
        with self.changed:
            self.settle()
            waiting = [
                job
                for job in self._live.values()
                if job.device == device and job.status == "Queued"
            ]
            return sorted(waiting, key=lambda job: (not self._is_privileged(job), job.number))

    def running(self, device: str) -> JobRecord | None:
        """The job that a device runs, or None."""
        with self.changed:
            for job in self._live.values():
                if job.device == device and job.status == "Running":
                    return job
            return None

    def estimated_start(self, job: JobRecord) -> float:
        """When a queued job will start, if every job takes what is expected."""
        with self.changed:
            start = self.now()
            running = self.running(job.device)
            if running is not None and running.started_at is not None:
                start = max(start, running.started_at + running.estimated_seconds)
            for ahead in self.queue(job.device):
                if ahead.id == job.id:
                    break
                start += ahead.estimated_seconds
            return start

    def billed_seconds(self) -> float:
        """What is due by now."""
        with self.changed:
            self.settle()
            return self.ledger.seconds(self._sessions.values(), self.now())

    def is_used_up(self) -> bool:
        """Whether the plan's QPU seconds are."""
        limit = self.rules.usage_limit_seconds
        return limit is not None and self.billed_seconds() >= limit

    # Submitting.

    def submit(self, request: Mapping[str, Any], body: bytes, work: Work) -> JobRecord:
        """The record of a new job, queued.

        Raises:
            Refusal: A rule forbids it.
        """
        rules, device = self.rules, self.device(request.get("backend"))
        if len(work.items) > rules.max_pubs:
            raise refuse(
                400, 1102, f"The job has {len(work.items)} pubs; at most {rules.max_pubs} may be."
            )
        most_shots = min(rules.max_shots, device.max_shots)
        if max(item.shots for item in work.items) > most_shots:
            raise refuse(400, 1103, f"A circuit has more than {most_shots} shots.")
        if work.executions > rules.max_executions:
            raise refuse(
                400,
                1103,
                f"The job has {work.executions} executions; at most {rules.max_executions} may be.",
            )
        with self.changed:
            self.settle()
            session_id = request.get("session_id")
            if session_id is not None:
                self._check_session(self.session(session_id), device)
            if len(self._live) >= rules.max_pending_jobs:
                raise refuse(
                    400,
                    3458,
                    "You have reached the maximum number of pending jobs "
                    f"({rules.max_pending_jobs}).",
                    "Wait for a job to finish before submitting a new one.",
                )
            digests = [item.digests for item in work.items]
            seeds = self._seeds.of_points(digests, work.requested_seed)
            asked = request.get("cost")
            job = JobRecord(
                id=self._new_id("job", self._submitted),
                device=device.name,
                program=str(request["program_id"]),
                status="Queued",
                created_at=self.now(),
                number=self._submitted,
                tags=tuple(request.get("tags") or ()),
                session_id=session_id,
                is_private=bool(request.get("private")),
                max_seconds=min(rules.max_job_seconds, asked or rules.max_job_seconds),
                estimated_seconds=self.timing.seconds(work, device.rep_delay_seconds),
                num_pubs=len(work.items),
                num_circuits=work.num_circuits,
                executions=work.executions,
                payload_bytes=len(body),
                evaluations=tuple(digest for row in digests for digest in row),
            )
            self._submitted += 1
            self._bodies[job.id] = body
            self._work[job.id] = (work, seeds)
            self._put(job)
            return job

    def _check_session(self, session: SessionRecord, device: CloudDevice) -> None:
        if session.device != device.name:
            raise refuse(
                400, 1218, f"The session is on {session.device}, but the job on {device.name}."
            )
        if session.state == "closed" or not session.accepts_jobs:
            raise refuse(
                400,
                1217,
                "Session has been closed.",
                "Create a new session to submit jobs to.",
            )

    # What becomes of jobs.

    def next_job(self, device: str) -> tuple[JobRecord, Work, tuple[tuple[int, ...], ...]] | None:
        """Start the job that a device takes next, if there is one that it may take now."""
        with self.changed:
            place = self.devices[device]
            self.settle()
            if self.is_closing or place.is_paused or not place.is_up or self.is_used_up():
                return None
            holder = self._holder(device)
            for job in self.queue(device):
                if holder is not None and job.session_id != holder.id:
                    continue
                started = replace(
                    job,
                    status="Running",
                    started_at=self.now(),
                    calibration_id=place.calibration.id,
                )
                self._put(started)
                if job.session_id is not None:
                    session = self._sessions[job.session_id].job_started(self.now())
                    self._sessions[session.id] = session
                return started, *self._work[job.id]
            return None

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
        """Record how a job ended, and charge for it; nothing if it has ended already."""
        with self.changed:
            job = self._jobs.get(job_id)
            if job is None or job.is_final:
                return
            now = self.now()
            was_running = job.status == "Running"
            job = replace(
                job,
                status=status,
                finished_at=now,
                qpu_seconds=qpu_seconds,
                reason=reason,
                reason_code=reason_code,
            )
            self._put(job)
            self._work.pop(job_id, None)
            if result:
                self._results[job_id] = result
            session = None if job.session_id is None else self._sessions[job.session_id]
            self.ledger.enter_job(job, session, now)
            if session is not None and was_running:
                self._sessions[session.id] = session.job_ended(now)
            self.settle()

    def cancel_job(self, job_id: str, reason: str = "") -> None:
        """Cancel a job that has not ended; what it ran until now is paid for.

        Raises:
            Refusal: 404, or 409 if it has ended.
        """
        with self.changed:
            job = self.job(job_id)
            if job.is_final:
                raise refuse(409, 1294, f"Job cannot be cancelled, it is {job.status.lower()}.")
            started_at = self.now() if job.started_at is None else job.started_at
            self.end_job(job_id, "Cancelled", qpu_seconds=self.now() - started_at, reason=reason)

    def delete_job(self, job_id: str) -> None:
        """Forget a job that has ended.

        Raises:
            Refusal: 404, or 409 if it has not ended.
        """
        with self.changed:
            if not self.job(job_id).is_final:
                raise refuse(409, 1295, "Job cannot be deleted before it has ended.")
            del self._jobs[job_id], self._bodies[job_id]
            self._results.pop(job_id, None)
            self.changed.notify_all()

    def set_tags(self, job_id: str, tags: Sequence[str]) -> None:
        """Replace the tags of a job.

        Raises:
            Refusal: 404.
        """
        with self.changed:
            self._put(replace(self.job(job_id), tags=tuple(tags)))

    def wait_while_unchanged(self, job_id: str, seconds: float) -> None:
        """Return when a job that is running, or about to, has ended, or after so many seconds."""
        with self.changed:
            self.changed.wait_for(
                lambda: self.is_closing or job_id not in self._jobs or self._is_at_rest(job_id),
                timeout=seconds,
            )

    def set_stalled(self, job_id: str, *, is_stalled: bool) -> None:
        """Note that a running job makes no progress, or does again."""
        with self.changed:
            (self._stalled.add if is_stalled else self._stalled.discard)(job_id)
            self.changed.notify_all()

    # Sessions.

    def open_session(self, device: str, mode: str, max_seconds: float | None) -> SessionRecord:
        """A new session or batch.

        Raises:
            Refusal: The plan forbids it, or an argument is out of its range.
        """
        rules = self.rules
        place = self.device(device)
        if mode not in ("dedicated", "batch"):
            raise refuse(400, 1211, f"The mode must be 'dedicated' or 'batch', got {mode!r}.")
        if mode == "dedicated" and not rules.may_open_sessions:
            raise refuse(
                rules.session_refusal_status,
                1352,
                f"You are not authorized to run a session when using the {rules.plan} plan.",
                "Create an instance of a different plan type or use a different execution mode.",
            )
        if max_seconds is not None and not 0 < max_seconds <= rules.max_session_seconds:
            raise refuse(
                400,
                1211,
                f"max_ttl must be above 0 and at most {rules.max_session_seconds:g}, "
                f"got {max_seconds:g}.",
            )
        with self.changed:
            session = SessionRecord(
                id=self._new_id("session", len(self._sessions)),
                device=place.name,
                mode="batch" if mode == "batch" else "dedicated",
                created_at=self.now(),
                interactive_seconds=rules.interactive_seconds,
                max_seconds=rules.max_session_seconds if max_seconds is None else max_seconds,
            )
            self._sessions[session.id] = session
            return session

    def close_session(self, session_id: str, *, cancels_jobs: bool) -> None:
        """Accept no more jobs; those that wait are run, or cancelled.

        Raises:
            Refusal: 404.
        """
        with self.changed:
            session = self.session(session_id)
            self._sessions[session_id] = session.stopped()
            if cancels_jobs:
                self._cancel_waiting(session_id, "The session was cancelled.")
            self.settle()

    def settle(self) -> None:
        """Bring every session to the present instant."""
        with self.changed:
            now = self.now()
            for before in list(self._sessions.values()):
                if before.state == "closed":
                    continue
                if now >= before.expires_at:
                    self._cancel_waiting(before.id, "The session's maximum time has passed.")
                after = before.settled(now, self._num_waiting(before.id))
                if after is before:
                    continue
                self._sessions[before.id] = after
                self.changed.notify_all()
                if after.state == "closed":
                    self.ledger.enter_session(after, now)

    def close(self) -> None:
        """Run nothing more, and wake whoever waits."""
        with self.changed:
            self.is_closing = True
            self.changed.notify_all()

    def _cancel_waiting(self, session_id: str, reason: str) -> None:
        for job in list(self._live.values()):
            if job.session_id == session_id and job.status == "Queued":
                self._put(replace(job, status="Cancelled", finished_at=self.now(), reason=reason))
                self._work.pop(job.id, None)

    def _num_waiting(self, session_id: str) -> int:
        return sum(
            job.session_id == session_id and job.status == "Queued" for job in self._live.values()
        )

    def _holder(self, device: str) -> SessionRecord | None:
        for session in self._sessions.values():
            if session.device == device and session.holds_its_device:
                return session
        return None

    def _is_privileged(self, job: JobRecord) -> bool:
        """Whether it is in a session or batch that is active."""
        return job.session_id is not None and self._sessions[job.session_id].state == "active"

    def _is_at_rest(self, job_id: str) -> bool:
        """Whether nothing will happen to a job unless somebody does something."""
        job = self._jobs[job_id]
        if job.is_final or job_id in self._stalled:
            return True
        if job.status == "Running":
            return False
        place, running = self.devices[job.device], self.running(job.device)
        if running is not None:
            return running.id in self._stalled
        holder = self._holder(job.device)
        is_held = holder is not None and holder.id != job.session_id
        return place.is_paused or not place.is_up or is_held

    def _put(self, job: JobRecord) -> None:
        self._jobs[job.id] = job
        if job.is_final:
            self._live.pop(job.id, None)
        else:
            self._live[job.id] = job
        self.changed.notify_all()

    def _new_id(self, kind: str, number: int) -> str:
        digest = blake2b(f"{kind}/{self._seed}/{number}".encode(), digest_size=13)
        value = int.from_bytes(digest.digest(), "big")
        alphabet = "0123456789abcdefghijklmnopqrstuv"
        return "d" + "".join(alphabet[(value >> shift) & 31] for shift in range(0, 95, 5))
