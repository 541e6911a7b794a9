"""Storms: everything that a service can be made to do wrong, at a fifth of all occasions."""

from __future__ import annotations

import random
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
from efaas.testing.runtime_service.routes import ENDPOINTS

if TYPE_CHECKING:
    from collections.abc import Sequence

SHARE = 0.2
# The vendor's client waits a minute, of the machine's time, before it asks for a token once more.
ENDPOINTS_STRUCK = sorted(ENDPOINTS - {"token"})

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
    """A seeded mix of faults on a service.

    Attributes:
        passes: Whether all of it passes if a request is made again.
    """

    def __init__(self, service: RuntimeService, seed: int) -> None:
        self.passes = random.Random(f"storm/{seed}").random() < 0.5
        faults = list(PASSING) if self.passes else [*PASSING, *LASTING]
        random.Random(seed).shuffle(faults)  # the first that strikes is the one
        self._injections = [
            service.inject(fault, *ENDPOINTS_STRUCK, count=None, probability=SHARE / len(faults))
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
        return sum(injection.fired for injection in self._injections)

    def end(self) -> None:
        """Let go."""
        for injection in self._injections:
            injection.remove()
