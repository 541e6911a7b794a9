"""Logging in and finding a device, which are done again where what went wrong may pass."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from efaas.backends.runtime.faults import fault_of
from efaas.errors import EfaasError

if TYPE_CHECKING:
    from efaas.backends.runtime.faults import Redactor
    from efaas.backends.runtime.pause import Pause
    from efaas.backends.runtime.retry import RetryPolicy

__all__ = ["Patience"]

logger = logging.getLogger("efaas.backends.runtime")

T = TypeVar("T")

_MOST_ATTEMPTS = 4  # somebody sits there and waits


class Patience:
    """Asks again where what went wrong may pass."""

    def __init__(self, policy: RetryPolicy, pause: Pause) -> None:
        self._policy = replace(policy, attempts=min(policy.attempts, _MOST_ATTEMPTS))
        self._pause = pause

    def asked(self, request: Callable[[], T], doing: str, redactor: Redactor) -> T:
        """The answer to a request that may be made any number of times.

        Raises:
            Exception: The last failure.
        """
        failures = 0
        while True:
            try:
                return request()
            except EfaasError:
                raise
            except Exception as raised:
                fault = fault_of(raised, redactor)
                failures += 1
                jitter = random.SystemRandom().random()
                seconds = self._policy.wait_seconds(fault, failures, jitter=jitter)
                if seconds is None:
                    raise
            logger.warning("%s: %s; trying again in %.1f s", doing, fault.message, seconds)
            self._pause(seconds)
