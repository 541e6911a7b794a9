"""A provider session at an instant, and what happened at the provider, as values."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ProviderEvent", "SessionState", "warn_at"]

_WARN_SECONDS = 60.0
_WARN_SHARE = 0.25  # of a short time


@dataclass(frozen=True, slots=True)
class ProviderEvent:
    """Something that happened at the provider.

    Attributes:
        at: When, in the clock's seconds.
        kind: Such as "opened", "adopted", "closed", "ended", "expiring", "mode".
        message: In words.
        session_id: The provider session, where it is about one.
    """

    at: float
    kind: str
    message: str
    session_id: str | None = None


@dataclass(frozen=True, slots=True)
class SessionState:
    """The provider session that is open now.

    Attributes:
        id: Its id at the provider; None in local testing mode.
        mode: "session" or "batch".
        opened_at: When it was asked for, in the clock's seconds.
        first_job_at: When its first job was seen to have begun, from when on it is billed.
        last_job_at: When it was last busy.
        interactive_seconds: How long it may be idle before it ends; None where unknown.
        max_seconds: How long it may last at all; None where unknown.
    """

    id: str | None
    mode: str
    opened_at: float
    first_job_at: float | None = None
    last_job_at: float | None = None
    interactive_seconds: float | None = None
    max_seconds: float | None = None

    @property
    def closes_at(self) -> float | None:
        """When its maximum time is over; None where that is not known."""
        if self.max_seconds is None:
            return None
        began = self.opened_at if self.first_job_at is None else self.first_job_at
        return began + self.max_seconds

    @property
    def idles_at(self) -> float | None:
        """When it is put aside unless a job comes; None where that is not known.

        It is not billed then, still takes jobs, and waits in the queue with the next.
        """
        if self.interactive_seconds is None or self.last_job_at is None:
            return None
        return self.last_job_at + self.interactive_seconds

    @property
    def ends_at(self) -> float | None:
        """When it is no longer active unless a job comes; None where that is not known."""
        ends = [at for at in (self.closes_at, self.idles_at) if at is not None]
        return min(ends, default=None)


def warn_at(state: SessionState) -> float | None:
    """When to warn that it will end."""
    instants = []
    if state.closes_at is not None:
        instants.append(
            state.closes_at - min(_WARN_SECONDS, _WARN_SHARE * (state.max_seconds or 0))
        )
    if state.idles_at is not None:
        instants.append(state.idles_at - _WARN_SHARE * (state.interactive_seconds or 0))
    return min(instants, default=None)
