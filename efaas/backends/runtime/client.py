"""What is asked of the service, through the vendor's client; nothing else here talks to it.

Every request has a time limit and is tried again where that may help. Sending a job is the one
request that must not happen twice: every job carries a tag of its own, and where the answer to a
submission was lost the job is looked for by its tag before it is sent again.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from efaas.backends.runtime.faults import Redactor, error_of, fault_of
from efaas.backends.runtime.pause import is_exiting
from efaas.backends.runtime.primitives import primitive_for
from efaas.backends.runtime.retry import RetryPolicy, Trouble
from efaas.errors import InputError, ProviderError, ProviderJobError, UnavailableError

if TYPE_CHECKING:
    from datetime import datetime

    from efaas.backends.runtime.pause import Pause
    from efaas.backends.runtime.primitives import Options

__all__ = ["DeviceStatus", "Measured", "Order", "RuntimeClient"]

logger = logging.getLogger("efaas.backends.runtime")

T = TypeVar("T")

_ON_ITS_WAY_SECONDS = (0.5, 1.5)

FINAL = ("DONE", "ERROR", "CANCELLED")


@dataclass(frozen=True, slots=True)
class Order:
    """One job to be sent.

    Attributes:
        kind: Which primitive.
        pubs: What to run, in the primitive's own form.
        shots: Shots of each measurement setting.
        tag: Unique to this job.
        seed: Of a simulator, or None.
        cap_seconds: QPU time after which the provider is to end it, or None.
        experimental: Further entries of the primitive's experimental options, or None.
    """

    kind: Literal["estimate", "sample"]
    pubs: Sequence[Any]
    shots: int
    tag: str
    seed: int | None = None
    cap_seconds: int | None = None
    experimental: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Measured:
    """What the provider says of a job.

    Attributes:
        qpu_seconds: What it is billed for; None while that is not known.
        created_at: When it was accepted, as the provider writes it, or None.
        running_at: When it began to run, or None.
        finished_at: When it ended, or None.
        queue_position: How many are before it, or None.
        expected_start: When it is expected to run, as the provider writes it, or None.
    """

    qpu_seconds: float | None = None
    created_at: str | None = None
    running_at: str | None = None
    finished_at: str | None = None
    queue_position: int | None = None
    expected_start: str | None = None


@dataclass(frozen=True, slots=True)
class DeviceStatus:
    """Whether a device works, and how busy it is.

    Attributes:
        is_operational: Whether it takes jobs.
        message: What the provider says.
        pending_jobs: Jobs of all users that wait for it.
    """

    is_operational: bool
    message: str
    pending_jobs: int


class RuntimeClient:
    """The service's answers about one device. May be used from several threads.

    Attributes:
        device: The vendor's backend object.
        is_local: Whether it is simulated by the client itself, without a service.
        redactor: Takes secrets out of text.
    """

    def __init__(
        self,
        device: Any,
        *,
        options: Options,
        pause: Pause,
        policy: RetryPolicy,
        redactor: Redactor,
        is_local: bool,
        jitter: Callable[[], float] | None = None,
    ) -> None:
        """Wrap a device.

        Args:
            device: The vendor's backend object.
            options: For the primitives.
            pause: How to wait.
            policy: When to ask again.
            redactor: Knows the secrets.
            is_local: Whether it is simulated by the client itself.
            jitter: A random number in [0, 1); by default the system's.
        """
        self.device = device
        self.is_local = is_local
        self.redactor = redactor
        self._options = options
        self._pause = pause
        self._policy = policy
        self._jitter = jitter or random.SystemRandom().random
        # The vendor's client keeps state between the steps of a submission.
        self._one_at_a_time = threading.RLock()
        self._stopping = threading.Event()

    @property
    def name(self) -> str:
        """The device's name."""
        return str(self.device.name)

    @property
    def is_stopping(self) -> bool:
        """Whether nobody waits any more."""
        return self._stopping.is_set() or is_exiting()

    def stop(self) -> None:
        """Give up waiting and asking again, from now on."""
        self._stopping.set()

    # Jobs.

    def submit(self, order: Order, mode: Any, *, device: Any = None, dry_run: bool = False) -> Any:
        """Send a job once, whatever happens to the answer.

        Args:
            order: The job.
            mode: A provider session, or the device.
            device: Of a local simulation, which is made for the circuit.
            dry_run: Whether the service is only to say what it would cost.

        Returns:
            The vendor's job object.

        Raises:
            ProviderError: It was refused, or could not be sent.
        """
        doing = f"submitting a job to {self.name}"
        failures, is_in_doubt = 0, False
        while True:
            try:
                with self._one_at_a_time:
                    send = primitive_for(order, mode if device is None else device, self._options)
                    job = send(dry_run)
            except Exception as raised:
                fault = fault_of(raised, self.redactor)
            else:
                if is_in_doubt:
                    job = self._only(order.tag, job)
                return job
            if self.is_local or fault.trouble is Trouble.CLIENT:
                raise error_of(fault, doing)
            failures += 1
            is_in_doubt = is_in_doubt or not fault.trouble.had_no_effect
            found = self._found(order.tag) if is_in_doubt else None
            if found is None:
                seconds = self._policy.wait_seconds(fault, failures, jitter=self._jitter())
                if fault.trouble in (Trouble.NOT_FOUND, Trouble.CONFLICT):
                    seconds = None  # of a submission this says that something is wrong with it
                if seconds is not None and not self.is_stopping:
                    self._say_again(doing, fault.message, seconds)
                    self._pause(seconds, self._stopping)
                    found = self._found(order.tag) if is_in_doubt else None
                else:
                    raise error_of(fault, doing)
            if found is not None:
                logger.info("%s: the answer was lost, the job was found by its tag", doing)
                return found

    def find(self, tag: str) -> Any:
        """The job of that tag, or None."""
        jobs = self._tagged(tag)
        return jobs[-1] if jobs else None

    def find_late(self, tag: str) -> Any:
        """The job of that tag, or None; waits some seconds for one that is still on its way.

        Whoever sent it may have been killed just before.
        """
        for seconds in _ON_ITS_WAY_SECONDS:
            found = self.find(tag)
            if found is not None or self.is_stopping:
                return found
            self._pause(seconds, self._stopping)
        return self.find(tag)

    def job(self, job_id: str) -> Any:
        """The job of that id, submitted by whatever process.

        Raises:
            ProviderError: There is none, or the service cannot be asked.
        """
        service = self.device.service
        return self._ask(
            f"looking for job {job_id}", lambda: service.job(job_id), job_id=job_id, alone=True
        )

    def status(self, job: Any) -> str:
        """QUEUED, RUNNING, DONE, ERROR or CANCELLED."""
        found = self._ask("asking for a job's status", job.status, job_id=job.job_id())
        return str(getattr(found, "name", found))

    def result(self, job: Any) -> Any:
        """The ``PrimitiveResult`` of a job that is done.

        Raises:
            ProviderError: It cannot be read, however often it is asked for.
        """
        if self.is_local:
            try:
                return job.result()
            except Exception as raised:
                message = self.redactor.clean(f"{type(raised).__name__}: {raised}")
            raise ProviderJobError(
                f"the local simulation of {self.name} failed: {message}", job_id=job.job_id()
            )

        def read() -> Any:
            result = job.result(timeout=1)
            if result is None:
                raise ValueError("the service gave an empty result")
            return result

        return self._ask("reading a job's result", read, job_id=job.job_id())

    def failure(self, job: Any) -> str:
        """Why a job failed, in the provider's words."""
        try:
            return self.redactor.clean(job.error_message() or "no reason was given")
        except Exception as raised:
            return f"the reason could not be read: {fault_of(raised, self.redactor).message}"

    def measured(self, job: Any) -> Measured:
        """What the provider says of the job's time; nothing where it cannot be asked."""
        try:
            metrics = self._ask("asking what a job used", job.metrics, job_id=job.job_id())
        except ProviderError as error:
            logger.warning("%s", error)
            return Measured()
        if not isinstance(metrics, dict):
            return Measured()
        usage = metrics.get("usage") or {}
        times = metrics.get("timestamps") or {}
        seconds = usage.get("qpu_charge_time_seconds", usage.get("quantum_seconds"))
        if usage.get("status", "complete") == "pending":
            seconds = None
        return Measured(
            qpu_seconds=None if seconds is None else float(seconds),
            created_at=times.get("created"),
            running_at=times.get("running"),
            finished_at=times.get("finished"),
            queue_position=metrics.get("position_in_queue"),
            expected_start=metrics.get("estimated_start_time"),
        )

    def used(self, tag: str, job_id: str | None) -> float | None:
        """QPU seconds that a job of an earlier process took.

        Args:
            tag: The job's.
            job_id: The provider's id; None to look for it by its tag.

        Returns:
            None if it has not ended, or cannot be asked for.

        Raises:
            LookupError: It has never arrived.
        """
        try:
            job = self.find_late(tag) if job_id is None else self.job(job_id)
        except ProviderError as error:
            logger.warning("%s", error)
            return None
        if job is None:
            raise LookupError(tag)
        measured = self.measured(job)
        return None if measured.finished_at is None else measured.qpu_seconds

    def expected_usage(self, job: Any) -> float | None:
        """QPU seconds that the service expects a job to take, or None."""
        found = self._ask(
            "asking what a job would cost", lambda: job.usage_estimation, job_id=job.job_id()
        )
        seconds = (found or {}).get("quantum_seconds")
        return None if seconds is None else float(seconds)

    def cancel(self, job: Any) -> bool:
        """Cancel a job; whether the service took it back. False if it had ended."""
        if self.is_local:
            return bool(job.cancel())

        def ask() -> bool:
            try:
                job.cancel()
            except Exception as raised:
                if fault_of(raised, self.redactor).status == 409 or (
                    type(raised).__name__ == "RuntimeInvalidStateError"
                ):
                    return False
                raise
            return True

        return self._ask("cancelling a job", ask, job_id=job.job_id())

    # The device.

    def described(self, read: Callable[[Any], T]) -> T:
        """What is read off the device, whose description is fetched where it is first needed.

        Raises:
            ProviderError: It cannot be fetched, however often it is asked for.
        """
        if self.is_local:
            return read(self.device)
        return self._ask(f"asking for the description of {self.name}", lambda: read(self.device))

    def device_status(self) -> DeviceStatus:
        """Whether the device works."""
        if self.is_local:
            return DeviceStatus(True, "simulated here", 0)
        status = self._ask(f"asking for the status of {self.name}", self.device.status)
        message = self.redactor.clean(status.status_msg)
        return DeviceStatus(bool(status.operational), message, int(status.pending_jobs))

    def refreshed_properties(self) -> datetime | None:
        """Fetch the device's numbers anew, one request, and return their date."""
        doing = f"asking for the calibration of {self.name}"
        found = self._ask(doing, lambda: self.device.properties(refresh=True))
        return getattr(found, "last_update_date", None)

    def plan(self) -> str | None:
        """The plan of the account's instance, such as "open"; None where that is not known."""
        if self.is_local:
            return None
        instance = getattr(self.device, "_instance", None)
        try:
            for known in self.device.service.instances():
                if known.get("crn") == instance:
                    plan = known.get("plan")
                    return None if plan is None else str(plan).lower()
        except Exception as raised:
            logger.info("the plan is not known: %s", fault_of(raised, self.redactor).message)
        return None

    # Provider sessions.

    def open_session(self, mode: str, max_seconds: int | None) -> Any:
        """Open a provider session.

        Args:
            mode: "session" or "batch".
            max_seconds: How long it may last; None for what the plan allows.

        Raises:
            ProviderError: It was refused, or the service cannot be reached.
        """
        from qiskit_ibm_runtime import Batch, Session

        kind = Session if mode == "session" else Batch

        def opened() -> Any:
            session = kind(self.device, max_time=max_seconds)
            if session.session_id is None and not self.is_local:
                raise ValueError("the service gave no id of the session that it opened")
            return session

        return self._ask(f"opening a {mode} on {self.name}", opened, alone=True)

    def known_session(self, mode: str, session_id: str) -> Any:
        """A provider session that another process opened; nothing is asked.

        Args:
            mode: "session" or "batch".
            session_id: Its id.
        """
        from qiskit_ibm_runtime import Batch, Session

        kind = Session if mode == "session" else Batch
        session = kind(self.device, create_new=False)
        session._session_id = session_id  # as its own `from_id`, which fetches the device anew
        if session.session_id != session_id:
            session = kind.from_id(session_id, self.device.service)
        return session

    def session_details(self, session: Any) -> dict[str, Any]:
        """What the service says of a provider session; nothing where there is none."""

        def read() -> dict[str, Any]:
            details: dict[str, Any] = session.details() or {}
            if details and details.get("state") is None:
                raise ValueError("the service did not say what state the session is in")
            return details

        return self._ask("asking for a session's state", read, alone=True)

    def close_session(self, session: Any, *, drop_jobs: bool) -> None:
        """Let a provider session take no more jobs.

        Args:
            session: Which.
            drop_jobs: Cancel those that are queued, too.
        """
        end = session.cancel if drop_jobs else session.close
        self._ask("closing a session", end, alone=True)

    # Inside.

    def _ask(
        self,
        doing: str,
        request: Callable[[], T],
        *,
        job_id: str | None = None,
        alone: bool = False,
    ) -> T:
        """The answer to a request that may be made any number of times."""
        failures = 0
        while True:
            try:
                with self._one_at_a_time if alone else nullcontext():
                    return request()
            except InputError:  # of what was read, which is the same every time
                raise
            except Exception as raised:
                fault = fault_of(raised, self.redactor)
            failures += 1
            seconds = self._policy.wait_seconds(fault, failures, jitter=self._jitter())
            if seconds is None or self.is_stopping or self.is_local:
                raise error_of(fault, doing, job_id=job_id)
            self._say_again(doing, fault.message, seconds)
            self._pause(seconds, self._stopping)

    def _found(self, tag: str) -> Any:
        """The job of that tag; None also where that cannot be found out now."""
        try:
            return self.find(tag)
        except ProviderError as error:
            raise UnavailableError(
                f"it is not known whether {self.name} has accepted a job, and it cannot be asked "
                f"now, so the job is not sent again. Its tag is {tag}: "
                f"service.jobs(job_tags=[{tag!r}]) finds it. {error}",
                status=error.status,
                is_in_doubt=True,
            ) from None

    def _tagged(self, tag: str) -> list[Any]:
        service, instance = self.device.service, getattr(self.device, "_instance", None)
        return self._ask(
            "looking for a job by its tag",
            lambda: list(service.jobs(limit=10, job_tags=[tag], instance=instance)),
            alone=True,
        )

    def _only(self, tag: str, sent: Any) -> Any:
        """After a job was sent again: see that there is one, and cancel what is too many."""
        try:
            jobs = self._tagged(tag)
        except ProviderError as error:
            logger.warning("it could not be seen whether a job was accepted twice: %s", error)
            return sent
        if len(jobs) < 2:
            return sent
        first, *others = jobs[::-1]  # the service lists the latest first
        for job in others:
            logger.warning("a job was accepted twice; %s is cancelled", job.job_id())
            self.cancel(job)
        return first

    def _say_again(self, doing: str, message: str, seconds: float) -> None:
        logger.warning("%s: %s; trying again in %.1f s", doing, message, seconds)
