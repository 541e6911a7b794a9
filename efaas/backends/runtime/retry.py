"""What went wrong with a request, and when it is asked again.

Pure: a fault and a number of failures in, a number of seconds out.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from efaas.errors import InputError
from efaas.model.quantities import is_count, is_number

__all__ = ["Fault", "RetryPolicy", "Trouble"]


class Trouble(StrEnum):
    """What kind of thing went wrong."""

    ACCESS = "access"  # 401, 403
    NOT_FOUND = "not found"  # 404
    CONFLICT = "conflict"  # 409
    REFUSED = "refused"  # any other 4xx
    LIMITED = "limited"  # 408, 425, 429
    SERVER = "server"  # 5xx
    CONNECTION = "connection"
    TIMEOUT = "timeout"
    GARBLED = "garbled"  # an answer came that cannot be read
    CLIENT = "client"  # the request was never made: the client refuses the input

    @property
    def had_no_effect(self) -> bool:
        """Whether the service certainly did not do what was asked."""
        return self in _WITHOUT_EFFECT

    @property
    def may_pass(self) -> bool:
        """Whether the same request may succeed later."""
        return self in _PASSING


_WITHOUT_EFFECT = {
    Trouble.ACCESS,
    Trouble.NOT_FOUND,
    Trouble.CONFLICT,
    Trouble.REFUSED,
    Trouble.LIMITED,
    Trouble.CLIENT,
}
_PASSING = {
    Trouble.LIMITED,
    Trouble.SERVER,
    Trouble.CONNECTION,
    Trouble.TIMEOUT,
    Trouble.GARBLED,
    # For some moments after a job was accepted, another part of the service may not know of it,
    # or still be at work on it.
    Trouble.NOT_FOUND,
    Trouble.CONFLICT,
}
_SOON = {Trouble.NOT_FOUND, Trouble.CONFLICT}


@dataclass(frozen=True, slots=True)
class Fault:
    """One failure of a request.

    Attributes:
        trouble: What kind.
        message: In words, without secrets.
        status: The HTTP status, where there was an answer.
        retry_after_seconds: What the service asked for, or None.
    """

    trouble: Trouble
    message: str
    status: int | None = None
    retry_after_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Exponential backoff with jitter; what the service asks for in Retry-After is obeyed.

    Attributes:
        attempts: Most attempts in all, at least 1.
        soon_attempts: Most attempts where the service does not know of something, or is at work
            on it: such answers are true sooner or later.
        first_seconds: The wait after the first failure, before jitter.
        factor: Each wait over the one before.
        most_seconds: The longest wait of our own choice.
        most_retry_after_seconds: The longest that a Retry-After is obeyed; a longer one ends the
            attempts.

    Example:
        >>> policy = RetryPolicy(attempts=3)
        >>> busy = Fault(Trouble.LIMITED, "429", 429, retry_after_seconds=7.0)
        >>> [policy.wait_seconds(busy, failures, jitter=0.0) for failures in (1, 2, 3)]
        [7.0, 7.0, None]
    """

    attempts: int = 8
    soon_attempts: int = 3
    first_seconds: float = 0.5
    factor: float = 2.0
    most_seconds: float = 60.0
    most_retry_after_seconds: float = 900.0

    def __post_init__(self) -> None:
        if not (is_count(self.attempts) and is_count(self.soon_attempts)):
            raise InputError(
                f"a request is made at least once; got attempts={self.attempts}, "
                f"soon_attempts={self.soon_attempts}"
            )
        seconds = (self.first_seconds, self.most_seconds, self.most_retry_after_seconds)
        are_numbers = all(map(is_number, (*seconds, self.factor)))
        if not are_numbers or not (
            self.first_seconds > 0
            and self.factor >= 1
            and self.most_seconds > 0
            and self.most_retry_after_seconds >= 0
        ):
            raise InputError(
                "waits are positive and do not shrink; got "
                f"first_seconds={self.first_seconds}, factor={self.factor}, "
                f"most_seconds={self.most_seconds}, "
                f"most_retry_after_seconds={self.most_retry_after_seconds}"
            )

    def wait_seconds(self, fault: Fault, failures: int, *, jitter: float) -> float | None:
        """How long to wait before asking again; None to give up.

        Args:
            fault: The latest failure.
            failures: How often it has failed by now, at least 1.
            jitter: A random number in [0, 1), so that many clients do not come back at once.
        """
        most = self.soon_attempts if fault.trouble in _SOON else self.attempts
        if not fault.trouble.may_pass or failures >= most:
            return None
        asked = fault.retry_after_seconds
        if asked is not None:
            if asked > self.most_retry_after_seconds:
                return None
            return asked + jitter * min(self.first_seconds, asked)
        wait = min(self.most_seconds, self.first_seconds * self.factor ** (failures - 1))
        return wait * (0.5 + 0.5 * jitter)
