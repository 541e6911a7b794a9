"""A runtime service on the loopback interface, for the unmodified client."""

from __future__ import annotations

import math
import os
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from qiskit_ibm_runtime import QiskitRuntimeService

from efaas.clock import Clock, VirtualClock
from efaas.errors import ClosedError, InputError, InvariantError
from efaas.model.quantities import is_count
from efaas.testing.runtime_service import environment
from efaas.testing.runtime_service.cloud import Cloud
from efaas.testing.runtime_service.devices import CloudDevice
from efaas.testing.runtime_service.faults import Faults, HttpFault, Injection, JobFault
from efaas.testing.runtime_service.http_server import LoopbackServer
from efaas.testing.runtime_service.identity import Identity
from efaas.testing.runtime_service.lane import Lane
from efaas.testing.runtime_service.routes import API_PATH, ENDPOINTS, Routes
from efaas.testing.runtime_service.rules import Rules, rules_of
from efaas.testing.runtime_service.work import QpuTiming

if TYPE_CHECKING:
    from types import TracebackType

    from efaas.testing.runtime_service.messages import LoggedRequest
    from efaas.testing.runtime_service.records import Charge, JobRecord
    from efaas.testing.runtime_service.sessions import SessionRecord

__all__ = ["RuntimeService"]

_CLOSE_SECONDS = 20.0


class RuntimeService:
    """A runtime service with devices that are simulated, on a port of 127.0.0.1.

    The unmodified ``QiskitRuntimeService`` talks to it; within the ``with`` block
    ``QiskitRuntimeService()`` without arguments does too, in this process and in the processes
    that it starts. Devices are the client's fakes: "fake_torino" is served as "ibm_torino".

    Rules go by a clock that stands still unless ``advance`` moves it, or a job runs: a job's QPU
    seconds pass at once. Jobs are really executed, one at a time on each device.

    Example:
        >>> with RuntimeService(devices=["fake_manila"], seed=1, plan="open") as service:
        ...     account = service.client()
        ...     [device.name for device in account.backends()]
        ['ibm_manila']
    """

    def __init__(
        self,
        devices: Sequence[str] = ("fake_torino",),
        *,
        seed: int = 0,
        plan: str | Rules = "premium",
        clock: Clock | None = None,
        timing: QpuTiming | None = None,
        poll_seconds: float = 0.5,
        token_seconds: int = 3600,
    ) -> None:
        """Make a service; ``start``, or the ``with`` block, opens it.

        Args:
            devices: Names of fake devices with a calibration.
            seed: Decides everything random: results, ids, faults, recalibrations.
            plan: "open", "flex", "premium", or ``Rules``.
            clock: What the rules go by; by default a ``VirtualClock``.
            timing: How many QPU seconds jobs take.
            poll_seconds: How long, in the machine's time, the answer to a question for a job
                that is about to end may wait for that; it saves the client's pauses.
            token_seconds: How long an access token lives, in whole seconds of the machine's time;
                2 or more, since clients judge it by whole seconds.

        Raises:
            InputError: A device or plan is unknown, there are no devices, or a number is negative.
        """
        if not 0.0 <= poll_seconds < math.inf:
            raise InputError(f"poll_seconds must be 0 or more, got {poll_seconds!r}")
        if not is_count(token_seconds, 2):
            raise InputError(f"token_seconds must be whole seconds from 2, got {token_seconds!r}")
        made = [CloudDevice(spec, seed) for spec in devices]
        if not made or len({device.name for device in made}) != len(made):
            raise InputError(f"expected at least one device, each once, got {list(devices)!r}")
        self.rules = rules_of(plan)
        every = [*made, *[device.mock() for device in made]]
        self._cloud = Cloud(
            {device.name: device for device in every},
            self.rules,
            VirtualClock() if clock is None else clock,
            timing or QpuTiming(),
            seed,
        )
        self._identity = Identity(seed, self.rules, token_seconds)
        self._faults = Faults(seed, ENDPOINTS)
        self._log: list[LoggedRequest] = []
        self._log_lock = threading.Lock()
        self._server: LoopbackServer | None = None
        self._routes = Routes(self._cloud, self._identity, poll_seconds)
        self._lanes = [Lane(self._cloud, device, self._faults) for device in every]
        self._is_closed = False

    # Opening and closing.

    def start(self) -> RuntimeService:
        """Open the service, and put its environment into force.

        Raises:
            ClosedError: It was closed.
        """
        if self._is_closed:
            raise ClosedError("this service was closed; make a new one")
        if self._server is None:
            self._server = LoopbackServer(self._routes, self._faults, self._note, self._cloud.now)
            self._server.start()
            for lane in self._lanes:
                lane.start()
            environment.entered(self, self.environment())
        return self

    def close(self) -> None:
        """Break every connection, end every thread, restore the environment; may be called twice.

        Raises:
            InvariantError: A thread did not end within 20 s.
        """
        self._is_closed = True
        server, self._server = self._server, None
        if server is None:
            return
        environment.left(self)
        self._faults.clear()
        self._cloud.close()
        have_ended = server.close(_CLOSE_SECONDS)
        for lane in self._lanes:
            have_ended = lane.join(_CLOSE_SECONDS) and have_ended
        if not have_ended:
            raise InvariantError("a thread of the loopback service did not end")

    def __enter__(self) -> RuntimeService:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # Being a client of it.

    @property
    def url(self) -> str:
        """Where the interface begins.

        Raises:
            ClosedError: The service is not open.
        """
        return self._root() + API_PATH

    def credentials(self) -> dict[str, str]:
        """The arguments with which ``QiskitRuntimeService`` comes here."""
        return {
            "channel": "ibm_quantum_platform",
            "token": self._identity.api_key,
            "instance": self._identity.crn,
            "url": self.url,
        }

    def environment(self) -> dict[str, str]:
        """The variables with which ``QiskitRuntimeService()`` comes here, in any process."""
        root = self._root()
        return {
            "QISKIT_IBM_TOKEN": self._identity.api_key,
            "QISKIT_IBM_INSTANCE": self._identity.crn,
            "QISKIT_IBM_URL": self.url,
            "IAM_URL": root,
            "GLOBAL_SEARCH_URL": root,
            "GLOBAL_CATALOG_URL": root,
            **{name: _with_loopback(os.environ.get(name)) for name in ("NO_PROXY", "no_proxy")},
            # Otherwise the client looks through the call stack at every request, to report who
            # calls, which takes longer than the request itself.
            "USAGE_DATA_OPT_OUT": "True",
        }

    def client(self, **arguments: Any) -> QiskitRuntimeService:
        """A ``QiskitRuntimeService`` that comes here.

        Args:
            arguments: Further ones of its constructor, or others than ``credentials()``.
        """
        with environment.scoped(self.environment()):
            return QiskitRuntimeService(**{**self.credentials(), **arguments})

    # Time, devices, faults.

    @property
    def clock(self) -> Clock:
        """What the rules go by."""
        return self._cloud.clock

    def advance(self, seconds: float) -> None:
        """Move the virtual clock forward.

        Raises:
            InputError: The service goes by another kind of clock.
            ValueError: ``seconds`` is negative.
        """
        self._cloud.advance(seconds)

    def pause(self, device: str) -> None:
        """Let a device leave its queue alone; the job that it runs goes on."""
        with self._cloud.changed:
            self._device(device).is_paused = True

    def resume(self, device: str) -> None:
        """Let a device take jobs again, paused or down before."""
        with self._cloud.changed:
            place = self._device(device)
            place.is_paused = False
            place.status_name = "active"
            self._cloud.changed.notify_all()

    def take_down(self, device: str, status: str = "maintenance") -> None:
        """Let a device run nothing and say why, until ``resume``; its jobs stay queued.

        Args:
            device: Its name.
            status: What it says: "maintenance", "internal", "offline" or the like.
        """
        with self._cloud.changed:
            self._device(device).status_name = status
            self._cloud.changed.notify_all()

    def recalibrate(
        self,
        device: str,
        *,
        spread: float = 0.1,
        change: Callable[[dict[str, Any]], None] | None = None,
    ) -> str:
        """Put a new calibration of a device in force, dated now, and return its id.

        Args:
            device: Its name.
            spread: By how much error rates and coherence times change, as the standard deviation
                of their logarithms.
            change: Called with the new properties, to change them in place.
        """
        with self._cloud.changed:
            date = self._cloud.date()
            return self._device(device).recalibrate(date, spread, change).id

    def calibration_id(self, device: str) -> str:
        """The id of the calibration in force."""
        return self._device(device).calibration.id

    def inject(
        self,
        fault: HttpFault | JobFault,
        *endpoints: str,
        count: int | None = 1,
        probability: float = 1.0,
        when: Callable[[Any], bool] | None = None,
    ) -> Injection:
        """Let something go wrong.

        Args:
            fault: What; see ``efaas.testing.runtime_service.faults``.
            endpoints: Where: names of ``ENDPOINTS``, or "*" for all of them; none for a fault of
                jobs.
            count: How often at most; None for always.
            probability: How likely at each occasion, drawn from the service's seed.
            when: Called with the ``Request``, or with the ``JobRecord`` of a job that is about to
                run; only where it says so.

        Returns:
            The injection: how often it fired, and ``release`` and ``remove``.

        Raises:
            InputError: An argument is out of its range.
        """
        if isinstance(fault, JobFault):
            if endpoints:
                raise InputError("a fault of jobs strikes jobs; name no endpoint with it")
            endpoints = ("run",)
        return self._faults.add(fault, endpoints, count, probability, when, self._wake)

    def clear_faults(self) -> None:
        """Remove every injection, and let go of what hangs."""
        self._faults.clear()

    # Acting as somebody else.

    def revoke_tokens(self) -> None:
        """Let every token that was given out be worth nothing: clients that hold one get 401."""
        self._identity.revoke_tokens()

    def cancel_job(self, job_id: str, reason: str = "Cancelled by the administrator.") -> None:
        """Cancel a job from outside.

        Raises:
            Refusal: There is no such job, or it has ended.
        """
        self._cloud.cancel_job(job_id, reason)

    def close_session(self, session_id: str, *, cancels_jobs: bool = True) -> None:
        """Close a session from outside.

        Raises:
            Refusal: There is no such session.
        """
        self._cloud.close_session(session_id, cancels_jobs=cancels_jobs)

    # Looking.

    @property
    def jobs(self) -> Sequence[JobRecord]:
        """All jobs, in the order in which they were submitted."""
        return self._cloud.jobs()

    @property
    def sessions(self) -> Sequence[SessionRecord]:
        """All sessions and batches, in the order in which they were opened."""
        return self._cloud.sessions()

    @property
    def requests(self) -> Sequence[LoggedRequest]:
        """Every request so far, in the order of the answers."""
        with self._log_lock:
            return tuple(self._log)

    @property
    def charges(self) -> Sequence[Charge]:
        """The entries of the bill; a session is entered when it is closed."""
        self._cloud.settle()
        return self._cloud.ledger.charges

    @property
    def billed_seconds(self) -> float:
        """What is due by now, in seconds: the bill, and the time of sessions that are open."""
        return self._cloud.billed_seconds()

    def jobs_by_tag(self, prefix: str = "") -> Mapping[str, Sequence[JobRecord]]:
        """The jobs of each tag that begins with ``prefix``; two of one tag are a double submission.

        This is so where each submission gets a tag of its own.
        """
        found: dict[str, list[JobRecord]] = defaultdict(list)
        for job in self.jobs:
            for tag in job.tags:
                if tag.startswith(prefix):
                    found[tag].append(job)
        return dict(found)

    def evaluations(self) -> Mapping[str, Sequence[JobRecord]]:
        """The completed jobs in which each point was evaluated, by the point's digest."""
        found: dict[str, list[JobRecord]] = defaultdict(list)
        for job in self.jobs:
            if job.status == "Completed":
                for digest in job.evaluations:
                    found[digest].append(job)
        return dict(found)

    def _root(self) -> str:
        if self._server is None:
            raise ClosedError("the service is not open; use it in a with block")
        return self._server.url

    def _device(self, name: str) -> CloudDevice:
        if name not in self._cloud.devices:
            raise InputError(
                f"the service has the devices {', '.join(self._cloud.devices)}; got {name!r}"
            )
        return self._cloud.devices[name]

    def _note(self, request: LoggedRequest) -> None:
        with self._log_lock:
            self._log.append(request)

    def _wake(self) -> None:
        with self._cloud.changed:
            self._cloud.changed.notify_all()


def _with_loopback(hosts: str | None) -> str:
    """The hosts that are reached without a proxy, and this one."""
    named = [host for host in (hosts or "").split(",") if host]
    return ",".join(named if "127.0.0.1" in named else [*named, "127.0.0.1"])
