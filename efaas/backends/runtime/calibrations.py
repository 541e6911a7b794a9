"""The device's calibration at the service: known at any time, asked for while a job is waited for.

A loop looks at it before every round, which must not cost a request: so it is fetched anew at set
times, in the waits for jobs, when nothing else is to be done.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from efaas.backends.device import device_of_backend
from efaas.backends.isa import Compiler
from efaas.errors import InputError, ProviderError

if TYPE_CHECKING:
    from collections.abc import Callable

    from efaas.backends.device import Device
    from efaas.backends.runtime.client import RuntimeClient
    from efaas.clock import Clock
    from efaas.model.calibration import Calibration

__all__ = ["InForce", "TrackedCalibration"]

logger = logging.getLogger("efaas.backends.runtime")


@dataclass(frozen=True)
class InForce:
    """The device under one calibration, and what compiles for it."""

    device: Device
    compiler: Compiler

    @property
    def calibration(self) -> Calibration:
        """Which numbers these are."""
        return self.device.calibration


class TrackedCalibration:
    """What is known of the device. Safe to use from several threads.

    Attributes:
        present: The latest; replaced as a whole.
    """

    def __init__(
        self,
        client: RuntimeClient,
        name: str,
        *,
        settings: dict[str, Any],
        refresh_seconds: float,
        clock: Clock,
        changed: Callable[[Calibration, Calibration], None],
    ) -> None:
        """Take the device as it is now.

        Args:
            client: Asks the service.
            name: What the device is called.
            settings: Of the compiler.
            refresh_seconds: Time after which the service is asked again.
            clock: What that is measured by.
            changed: Told of the calibration before, and of the new one.
        """
        self._client = client
        self._name = name
        self._settings = settings
        self._refresh_seconds = refresh_seconds
        self._clock = clock
        self._changed = changed
        self._asking = threading.Lock()
        self._asked_at = clock.now()
        self.present = client.described(self._taken)

    def refresh_if_due(self) -> bool:
        """Ask the service if it was not asked for long; whether it was asked now."""
        if self._client.is_local or self._clock.now() < self._asked_at + self._refresh_seconds:
            return False
        return self.refresh()

    def refresh(self) -> bool:
        """Ask the service now, unless another thread does; whether it was asked."""
        if self._client.is_local or not self._asking.acquire(blocking=False):
            return False
        try:
            self._asked_at = self._clock.now()
            before = self.present
            date = self._client.refreshed_properties()
            if date is not None and date == before.calibration.taken_at:
                return True
            after = self._taken(_Refreshed(self._client.device))
            if after.calibration.id != before.calibration.id:
                before.calibration.followed_by(after.calibration)
                self.present = after
                self._changed(before.calibration, after.calibration)
        except InputError as error:  # an older one than what is known: a cache on the way
            logger.warning("%s", error)
        except ProviderError as error:  # the run goes on under what is known
            logger.warning("%s", error)
        finally:
            self._asking.release()
        return True

    def _taken(self, described: Any) -> InForce:
        keeps_timing = not self._client.is_local
        device = device_of_backend(described, self._name, keeps_timing=keeps_timing)
        return InForce(device, Compiler(device, **self._settings))


class _Refreshed:
    """The vendor's backend with the target of the properties that it fetched last.

    Its own target is built once and kept.
    """

    def __init__(self, backend: Any) -> None:
        self.name = backend.name
        self.dt = backend.dt
        self.target = backend.target_history()
        self.properties = backend.properties
