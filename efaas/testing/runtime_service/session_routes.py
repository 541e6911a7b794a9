"""Endpoints that open, tell of and close sessions and batches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from efaas.testing.runtime_service.dates import text_of
from efaas.testing.runtime_service.messages import Answer, Request, answer_of, refuse

if TYPE_CHECKING:
    from efaas.testing.runtime_service.cloud import Cloud
    from efaas.testing.runtime_service.sessions import SessionRecord

__all__ = ["SessionRoutes"]


class SessionRoutes:
    """Answers what is asked of sessions and batches.

    Attributes:
        table: What answers each endpoint.
    """

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self.table: Mapping[str, Callable[[Request], Answer]] = {
            "open_session": self._open_session,
            "session": self._session,
            "close_session": self._close_session,
            "cancel_session": self._cancel_session,
        }

    def _open_session(self, request: Request) -> Answer:
        fields = request.json()
        most = fields.get("max_ttl")
        if most is not None and not isinstance(most, (int, float)):
            raise refuse(400, 1211, "max_ttl must be a number of seconds.")
        session = self._cloud.open_session(
            str(fields.get("backend")), str(fields.get("mode", "dedicated")), most
        )
        return answer_of(self._session_described(session))

    def _session(self, request: Request) -> Answer:
        session = self._cloud.session(request.names["session_id"])
        return answer_of(self._session_described(session))

    def _close_session(self, request: Request) -> Answer:
        if request.json().get("accepting_jobs") is not False:
            raise refuse(400, 1211, "Only accepting_jobs can be set, and only to false.")
        self._cloud.close_session(request.names["session_id"], cancels_jobs=False)
        return Answer(204)

    def _cancel_session(self, request: Request) -> Answer:
        self._cloud.close_session(request.names["session_id"], cancels_jobs=True)
        return Answer(204)

    def _session_described(self, session: SessionRecord) -> dict[str, Any]:
        cloud = self._cloud

        def dated(at: float | None) -> str | None:
            return None if at is None else text_of(cloud.date(at))

        active = [at for state, at in session.history if state == "active"]
        return {
            "id": session.id,
            "backend_name": session.device,
            "mode": session.mode,
            "state": session.state,
            "accepting_jobs": session.accepts_jobs,
            "interactive_ttl": session.interactive_seconds,
            "max_ttl": session.max_seconds,
            "active_ttl": session.interactive_seconds,
            "started_at": dated(session.first_started_at),
            "activated_at": dated(active[-1] if active else None),
            "closed_at": dated(session.closed_at),
            "last_job_started": dated(session.last_started_at),
            "last_job_completed": dated(session.last_finished_at),
            "elapsed_time": self._elapsed(session),
            "timestamps": [
                {"status": state, "timestamp": dated(at)} for state, at in session.states()
            ],
        }

    def _elapsed(self, session: SessionRecord) -> float:
        if session.mode == "dedicated":
            return session.elapsed_seconds(self._cloud.now())
        return sum(job.qpu_seconds for job in self._cloud.jobs() if job.session_id == session.id)
