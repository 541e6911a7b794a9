"""Where a backend's provider sessions are written down, so that a later process sees to them."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

from efaas.policies.budget import SessionSeconds

if TYPE_CHECKING:
    from efaas.backends.protocol import ProviderSessionLog

__all__ = ["SessionNotes"]


class SessionNotes:
    """The logs of all who use a backend, as one. Not for several threads at once.

    It keeps no log alive: whose journal is gone need not be told.

    Attributes:
        left: The mode of each provider session that an earlier process left open, by its id.
    """

    def __init__(self) -> None:
        self.left: dict[str, str] = {}
        self._logs: weakref.WeakSet[ProviderSessionLog] = weakref.WeakSet()
        self._lasted: dict[str | None, tuple[str, float]] = {}  # by id: mode, seconds
        self._earlier: dict[str | None, float] = {}  # what of these was in earlier processes

    def add(self, log: ProviderSessionLog, *, open_now: str | None) -> None:
        """Write in this one, too, and see to what it has left.

        Args:
            log: The one.
            open_now: The id of the session that this process has open.
        """
        self._logs.add(log)
        for known in log.known():
            if known.id == open_now or known.id in self._lasted:
                continue  # another session's journal, or an earlier one of this process, has it
            self._lasted[known.id] = known.mode, known.seconds
            self._earlier[known.id] = known.seconds
            if not known.has_ended:
                self.left[known.id] = known.mode

    def opened(self, session_id: str | None, mode: str) -> None:
        """One was opened."""
        if session_id is not None:
            for log in list(self._logs):
                log.opened(session_id, mode)

    def has_lasted(
        self, session_id: str | None, mode: str, seconds: float, *, is_earlier: bool = False
    ) -> None:
        """One has lasted so long by now; it is written down when it ends.

        Args:
            session_id: Which.
            mode: "session" or "batch".
            seconds: From its first job on.
            is_earlier: Whether all of that was in an earlier process.
        """
        self._lasted[session_id] = mode, seconds
        if is_earlier:
            self._earlier[session_id] = seconds

    def write_lasted(self, session_id: str | None, seconds: float) -> None:
        """One has lasted so long by now; if this process is killed, so much is known of it."""
        if session_id is not None:
            for log in list(self._logs):
                log.lasted(session_id, seconds)

    def ended(self, session_id: str | None) -> None:
        """One is closed, or takes no more jobs."""
        if session_id is not None:
            self.left.pop(session_id, None)
            _, seconds = self._lasted.get(session_id, ("", None))
            for log in list(self._logs):
                log.ended(session_id, seconds)

    def seconds(self) -> SessionSeconds:
        """How long all of them have lasted."""
        lasted = list(self._lasted.values())
        return SessionSeconds(
            sum([seconds for _, seconds in lasted]),
            sum([seconds for mode, seconds in lasted if mode == "session"]),
            sum(self._earlier.values()),
        )
