"""What has been paid for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from efaas.testing.runtime_service.records import Charge, JobRecord

if TYPE_CHECKING:
    from efaas.testing.runtime_service.sessions import SessionRecord

__all__ = ["Ledger"]


class Ledger:
    """The bill of a service: each job outside of dedicated sessions, and each such session.

    A job in a dedicated session is paid for by the session's time on the wall, thinking
    included; one in a batch, or on its own, by its QPU seconds.
    """

    def __init__(self) -> None:
        self._charges: list[Charge] = []

    @property
    def charges(self) -> Sequence[Charge]:
        """Every entry so far; a session is entered when it is closed."""
        return tuple(self._charges)

    def enter_job(self, job: JobRecord, session: SessionRecord | None, now: float) -> None:
        """Enter a job that has ended."""
        if job.qpu_seconds and (session is None or session.mode == "batch"):
            self._charges.append(Charge("job", job.id, job.qpu_seconds, now))

    def enter_session(self, session: SessionRecord, now: float) -> None:
        """Enter a session that was closed."""
        if session.mode == "dedicated" and session.spans:
            self._charges.append(Charge("session", session.id, session.elapsed_seconds(now), now))

    def seconds(self, sessions: Iterable[SessionRecord], now: float) -> float:
        """What is due by ``now``: every entry, and the time of the sessions that are not closed."""
        running = sum(
            session.elapsed_seconds(now)
            for session in sessions
            if session.mode == "dedicated" and session.state != "closed"
        )
        return sum(charge.seconds for charge in self._charges) + running
