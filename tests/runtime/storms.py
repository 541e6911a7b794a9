"""Storms: everything that a service can be made to do wrong, at a fifth of all occasions."""

from __future__ import annotations

import random
import threading
from typing import TYPE_CHECKING, Any

from efaas.testing.runtime_service import (
    Disconnect,
    Garble,
    Hang,
    HttpError,
    JobCancelled,
    JobFails,
    JobNeverEnds,
    RuntimeService,
    Truncate,
)
from tests.runtime.conftest import ServiceClock

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SHARE = 0.2
BACK_SHARE = 0.03  # of the pauses after which a device that is down comes back

PASSING: Sequence[Any] = (
    *[HttpError(429, retry_after=seconds) for seconds in (1, 7)],
    *[HttpError(status) for status in (408, 425, 429, 500, 502, 503, 504)],
    *[HttpError(status, after=True) for status in (500, 502, 504)],
    Disconnect(),
    Disconnect(after=True),
    Hang(0.6),
    Hang(0.6, after=True),
    Truncate(),
    Truncate(keep=0.0),
    Garble("json"),
    Garble("schema"),
)
LASTING: Sequence[Any] = tuple(HttpError(status) for status in (400, 401, 403, 404, 409, 422))
OF_JOBS: Sequence[Any] = (JobFails("the storm took it"), JobCancelled(), JobNeverEnds())


class Storm:
    """A seeded mix of faults on a service, and of what happens to its device and sessions.

    Faults strike requests at every endpoint, that of access tokens included, and jobs. While the
    client pauses, the device goes down and comes back, sessions are closed by somebody else, and a
    new calibration is put in force. Its numbers are those of the last, so that the right result
    stays the same; the client cannot know that, and begins anew with it.

    Attributes:
        passes: Whether all of it passes if a request is made again.
        happened: What has happened while the client paused.
    """

    def __init__(self, service: RuntimeService, device: str, seed: int) -> None:
        self.passes = random.Random(f"storm/{seed}").random() < 0.5
        self.happened: list[str] = []
        self._service = service
        self._device = device
        self._chance = random.Random(f"weather/{seed}")
        self._lock = threading.Lock()
        self._is_over = self._is_down = False
        faults = list(PASSING) if self.passes else [*PASSING, *LASTING]
        random.Random(seed).shuffle(faults)  # the first that strikes is the one
        self._injections = [
            service.inject(fault, "*", count=None, probability=SHARE / len(faults))
            for fault in faults
        ]
        if not self.passes:
            self._injections += [
                service.inject(fault, count=None, probability=SHARE / len(OF_JOBS))
                for fault in OF_JOBS
            ]

    @property
    def struck(self) -> int:
        """How often something went wrong."""
        return sum(injection.fired for injection in self._injections) + len(self.happened)

    def clock(self) -> ServiceClock:
        """The service's clock, for a client that is in the storm."""
        return _Weathered(self._service, self._blow)

    def end(self) -> None:
        """Let go."""
        with self._lock:
            self._is_over = True
            self._service.resume(self._device)
        for injection in self._injections:
            injection.remove()

    def _blow(self) -> None:
        """Something may happen at the provider now."""
        ways: dict[str, Callable[[], object]] = {
            "down": lambda: self._service.take_down(self._device),
            "closed": lambda: self._close_sessions(cancels_jobs=False),
            "cancelled": lambda: self._close_sessions(cancels_jobs=True),
            "recalibrated": lambda: self._service.recalibrate(self._device, spread=0.0),
        }
        with self._lock:
            if self._is_over:
                return
            if self._is_down:
                self._is_down = self._chance.random() >= BACK_SHARE
                if not self._is_down:
                    self._service.resume(self._device)
            elif self._chance.random() < SHARE:
                what = self._chance.choice(sorted(ways))
                ways[what]()
                self.happened.append(what)
                self._is_down = what == "down"

    def _close_sessions(self, *, cancels_jobs: bool) -> None:
        for session in self._service.sessions:
            if session.state != "closed":
                self._service.close_session(session.id, cancels_jobs=cancels_jobs)


class _Weathered(ServiceClock):
    def __init__(self, service: RuntimeService, blow: Callable[[], None]) -> None:
        super().__init__(service)
        self._blow = blow

    def pause(self, seconds: float, wake: threading.Event | None = None) -> None:
        self._blow()
        super().pause(seconds, wake)
