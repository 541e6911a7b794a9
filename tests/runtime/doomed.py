"""Runs that stop in the middle and do not know it, as a killed process would leave them."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import efaas
from tests.runtime.conftest import ServiceClock, objective, until

if TYPE_CHECKING:
    from efaas.backends import RuntimeBackend
    from efaas.testing.runtime_service import RuntimeService

    Make = Callable[..., RuntimeBackend]


class FrozenClock(ServiceClock):
    """A clock that can be stopped for good: whoever pauses by it then does nothing more."""

    def __init__(self, service: RuntimeService) -> None:
        super().__init__(service)
        self.goes_on = threading.Event()
        self.goes_on.set()
        self.has_stopped = False

    def pause(self, seconds: float, wake: threading.Event | None = None) -> None:
        super().pause(seconds, wake)
        self.has_stopped = not self.goes_on.is_set()
        self.goes_on.wait()


class Doomed:
    """A run that stops in the middle, and does not know it."""

    def __init__(self, make: Make, service: RuntimeService, directory: Path, **settings: Any):
        self.clock = FrozenClock(service)
        self.backend = make(clock=self.clock, **settings)
        self.session = efaas.EFSession(self.backend, seed=7, journal=directory / "doomed.efaas")
        self.energy = objective(self.session)
        self._directory = directory

    def killed(self) -> Path:
        """Stop it where it is; the journal as it stands on the disk."""
        self.clock.goes_on.clear()
        if self.backend._courier.runs:
            until(lambda: self.clock.has_stopped)
        copy = self._directory / "run.efaas"
        with (
            closing(sqlite3.connect(self._directory / "doomed.efaas")) as source,
            closing(sqlite3.connect(copy)) as target,
        ):
            source.backup(target)
        return copy

    def bury(self) -> None:
        """End its threads."""
        self.backend.close()
        self.clock.goes_on.set()
        self.session.close(cancel=True)
