"""What can be made to go wrong, and when it does."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from efaas.errors import InputError
from efaas.model.quantities import is_count

if TYPE_CHECKING:
    from efaas.testing.runtime_service.messages import Request
    from efaas.testing.runtime_service.records import JobRecord

__all__ = [
    "Disconnect",
    "Faults",
    "Garble",
    "Hang",
    "HttpError",
    "Injection",
    "JobCancelled",
    "JobFails",
    "JobNeverEnds",
    "Truncate",
]


@dataclass(frozen=True, slots=True)
class HttpError:
    """An error status instead of the answer.

    Attributes:
        status: HTTP status of 400 to 599.
        code: The service's own code in the body.
        message: In the body; None for a fitting one.
        retry_after: Whole seconds in a ``Retry-After`` header, or None for no such header.
        after: Whether the request is processed first, so that only its answer is lost.
    """

    status: int
    code: int = 1000
    message: str | None = None
    retry_after: int | None = None
    after: bool = False

    def __post_init__(self) -> None:
        """Check the numbers."""
        if not is_count(self.status, 400) or self.status > 599:
            raise InputError(f"status must be an error's, 400 to 599, got {self.status!r}")
        wait = self.retry_after
        if wait is not None and not is_count(wait, 0):
            raise InputError(f"retry_after must be whole seconds of 0 or more, got {wait!r}")


@dataclass(frozen=True, slots=True)
class Disconnect:
    """The connection breaks.

    Attributes:
        after: Whether the request is processed first, so that only its answer is lost.
    """

    after: bool = False


@dataclass(frozen=True, slots=True)
class Hang:
    """No answer until the injection is released, or the service closed; then it breaks.

    Attributes:
        seconds: Of the machine's time, after which it breaks by itself; None for never.
        after: Whether the request is processed first.
    """

    seconds: float | None = None
    after: bool = False


@dataclass(frozen=True, slots=True)
class Truncate:
    """The request is processed, and the connection breaks in the middle of the answer's body.

    Attributes:
        keep: The part of the body that is sent, from 0 to below 1.
    """

    keep: float = 0.5

    def __post_init__(self) -> None:
        """Check the part."""
        if not 0.0 <= self.keep < 1.0:
            raise InputError(f"keep must be at least 0 and below 1, got {self.keep!r}")


@dataclass(frozen=True, slots=True)
class Garble:
    """The request is processed, and a whole answer comes that cannot be understood.

    Attributes:
        how: "json" for a body that is no JSON, "schema" for JSON without what belongs there.
    """

    how: Literal["json", "schema"] = "json"


@dataclass(frozen=True, slots=True)
class JobFails:
    """A job that has run, and been charged for, ends as failed.

    Attributes:
        reason: What the service says of it.
        code: Its code.
    """

    reason: str = "Internal error."
    code: int = 9999


@dataclass(frozen=True, slots=True)
class JobCancelled:
    """A job is cancelled by somebody else as soon as it runs.

    Attributes:
        reason: What the service says of it.
    """

    reason: str = "Cancelled by the administrator."


@dataclass(frozen=True, slots=True)
class JobNeverEnds:
    """A job runs until it is cancelled, or the injection released; then it runs as usual."""


HttpFault = HttpError | Disconnect | Hang | Truncate | Garble
JobFault = JobFails | JobCancelled | JobNeverEnds


class Injection:
    """A fault that waits for its occasions; what ``inject`` returns.

    Attributes:
        fault: What goes wrong.
        fired: How often it has.
    """

    def __init__(
        self,
        fault: HttpFault | JobFault,
        endpoints: frozenset[str],
        count: int | None,
        probability: float,
        when: Callable[[Any], bool] | None,
        on_release: Callable[[], None],
    ) -> None:
        self.fault = fault
        self.fired = 0
        self._endpoints = endpoints
        self._count = count
        self._probability = probability
        self._when = when
        self._released = threading.Event()
        self._on_release = on_release
        self._is_removed = False

    @property
    def is_spent(self) -> bool:
        """Whether it will not fire any more."""
        return self._is_removed or (self._count is not None and self.fired >= self._count)

    @property
    def is_released(self) -> bool:
        """Whether what it holds may go on."""
        return self._released.is_set()

    def remove(self) -> None:
        """Fire no more, and let go of what hangs."""
        self._is_removed = True
        self.release()

    def release(self) -> None:
        """Let go of what hangs, now and from now on."""
        self._released.set()
        self._on_release()

    def wait(self, seconds: float | None) -> None:
        """Return when it is released, or after so many seconds of the machine's time."""
        self._released.wait(seconds)

    def _fires(self, endpoint: str, subject: Any, draw: random.Random) -> bool:
        if self.is_spent or not (endpoint in self._endpoints or "*" in self._endpoints):
            return False
        if self._when is not None and not self._when(subject):
            return False
        if self._probability < 1.0 and draw.random() >= self._probability:
            return False
        self.fired += 1
        return True


class Faults:
    """All injections of a service. Safe to use from any thread."""

    def __init__(self, seed: int, endpoints: frozenset[str]) -> None:
        self._draw = random.Random(f"faults/{seed}")
        self._known = endpoints
        self._lock = threading.RLock()  # a predicate may inject another
        self._injections: list[Injection] = []

    def add(
        self,
        fault: HttpFault | JobFault,
        endpoints: tuple[str, ...],
        count: int | None,
        probability: float,
        when: Callable[[Any], bool] | None,
        on_release: Callable[[], None] = lambda: None,
    ) -> Injection:
        """Add an injection; see ``RuntimeService.inject``.

        Raises:
            InputError: An endpoint is unknown, or a number is out of its range.
        """
        unknown = sorted(set(endpoints) - self._known - {"*", "run"})
        if unknown or not endpoints:
            raise InputError(
                f"endpoints must be of {', '.join(sorted(self._known))} or '*', got "
                f"{', '.join(map(repr, unknown)) or 'none'}"
            )
        if not 0.0 < probability <= 1.0:
            raise InputError(f"probability must be above 0 and at most 1, got {probability!r}")
        if count is not None and count < 1:
            raise InputError(f"count must be 1 or more, or None for always, got {count!r}")
        injection = Injection(fault, frozenset(endpoints), count, probability, when, on_release)
        with self._lock:
            self._injections.append(injection)
        return injection

    def of_request(self, request: Request) -> Injection | None:
        """The injection that strikes a request, or None."""
        return self._first(request.endpoint, request)

    def of_job(self, job: JobRecord) -> Injection | None:
        """The injection that strikes a job which is about to run, or None."""
        return self._first("run", job)

    def clear(self) -> None:
        """Remove every injection, and let go of what hangs."""
        with self._lock:
            injections, self._injections = self._injections, []
        for injection in injections:
            injection.remove()

    def _first(self, endpoint: str, subject: Any) -> Injection | None:
        with self._lock:
            for injection in tuple(self._injections):
                is_for_jobs = isinstance(injection.fault, JobFault)
                if is_for_jobs == (endpoint == "run") and injection._fires(
                    endpoint, subject, self._draw
                ):
                    return injection
            return None
