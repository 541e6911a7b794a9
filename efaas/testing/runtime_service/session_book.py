"""All sessions and batches of a service; used under the cloud's lock."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from efaas.testing.runtime_service.messages import refuse

if TYPE_CHECKING:
    from efaas.testing.runtime_service.sessions import SessionRecord

__all__ = ["SessionBook"]


class SessionBook:
    """Sessions and batches by id. Those that are not closed are kept apart."""

    def __init__(self) -> None:
        self._sessions: dict[str, SessionRecord] = {}
        self._live: dict[str, SessionRecord] = {}

    def __iter__(self) -> Iterator[SessionRecord]:
        """All of them, in the order in which they were opened."""
        return iter(self._sessions.values())

    def __len__(self) -> int:
        return len(self._sessions)

    @property
    def live(self) -> tuple[SessionRecord, ...]:
        """Those that are not closed."""
        return tuple(self._live.values())

    def get(self, session_id: str) -> SessionRecord:
        """A session or batch.

        Raises:
            Refusal: 404.
        """
        if session_id not in self._sessions:
            raise refuse(404, 1290, f"Session not found. Session ID: {session_id}")
        return self._sessions[session_id]

    def put(self, session: SessionRecord) -> None:
        """Add a session, or replace its record."""
        self._sessions[session.id] = session
        if session.state == "closed":
            self._live.pop(session.id, None)
        else:
            self._live[session.id] = session

    def holder(self, device: str) -> SessionRecord | None:
        """The session that has a device to itself, or None."""
        for session in self._live.values():
            if session.device == device and session.holds_its_device:
                return session
        return None
