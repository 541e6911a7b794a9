"""The endpoints: which request asks for what, and the service's answers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from efaas.testing.runtime_service.admission import check_size
from efaas.testing.runtime_service.executor_program import decoded_program
from efaas.testing.runtime_service.messages import Answer, Request, answer_of, refuse
from efaas.testing.runtime_service.primitive_programs import decoded_pubs

if TYPE_CHECKING:
    from efaas.testing.runtime_service.cloud import Cloud
    from efaas.testing.runtime_service.identity import Identity
    from efaas.testing.runtime_service.records import JobRecord
    from efaas.testing.runtime_service.sessions import SessionRecord

__all__ = ["API_PATH", "ENDPOINTS", "Routes", "endpoint_of"]

API_PATH = "/experimental/v1"
"""Where the interface begins. The client takes an address with this word in it as it is."""

_API = re.escape(API_PATH)
_PATTERNS = tuple(
    (method, re.compile(pattern), endpoint)
    for method, pattern, endpoint in [
        ("POST", r"/identity/token", "token"),
        ("POST", r"/v3/resources/search", "instances"),
        ("GET", rf"{_API}/backends", "backends"),
        ("GET", rf"{_API}/backends/(?P<device>[^/]+)/configuration", "configuration"),
        ("GET", rf"{_API}/backends/(?P<device>[^/]+)/properties", "properties"),
        ("GET", rf"{_API}/backends/(?P<device>[^/]+)/status", "status"),
        ("GET", rf"{_API}/instances/usage", "usage"),
        ("POST", rf"{_API}/jobs", "submit"),
        ("GET", rf"{_API}/jobs", "jobs"),
        ("GET", rf"{_API}/jobs/(?P<job_id>[^/]+)", "job"),
        ("DELETE", rf"{_API}/jobs/(?P<job_id>[^/]+)", "delete"),
        ("GET", rf"{_API}/jobs/(?P<job_id>[^/]+)/results", "results"),
        ("GET", rf"{_API}/jobs/(?P<job_id>[^/]+)/metrics", "metrics"),
        ("GET", rf"{_API}/jobs/(?P<job_id>[^/]+)/logs", "logs"),
        ("POST", rf"{_API}/jobs/(?P<job_id>[^/]+)/cancel", "cancel"),
        ("PUT", rf"{_API}/jobs/(?P<job_id>[^/]+)/tags", "tags"),
        ("POST", rf"{_API}/sessions", "open_session"),
        ("GET", rf"{_API}/sessions/(?P<session_id>[^/]+)", "session"),
        ("PATCH", rf"{_API}/sessions/(?P<session_id>[^/]+)", "close_session"),
        ("DELETE", rf"{_API}/sessions/(?P<session_id>[^/]+)/close", "cancel_session"),
        ("GET", r"/(?P<entry>[^/]+)", "catalog"),
    ]
)

ENDPOINTS = frozenset(endpoint for _, _, endpoint in _PATTERNS)
"""What can be asked for; the names under which faults are injected."""

_PROGRAMS = ("estimator", "sampler", "executor")
_PAGE = 200


def endpoint_of(method: str, path: str) -> tuple[str, Mapping[str, str]]:
    """What a request asks for, and what its path names; "unknown" for nothing known."""
    for known, pattern, endpoint in _PATTERNS:
        match = pattern.fullmatch(path)
        if known == method and match:
            return endpoint, match.groupdict()
    return "unknown", {}


class Routes:
    """Answers requests from the state of a cloud."""

    def __init__(self, cloud: Cloud, identity: Identity, poll_seconds: float) -> None:
        """Build the table.

        Args:
            cloud: Jobs, sessions and devices.
            identity: The account.
            poll_seconds: How long, in the machine's time, the answer to a question for a job
                that is about to end may wait for that.
        """
        self._cloud = cloud
        self._identity = identity
        self._poll_seconds = poll_seconds
        self._open: dict[str, Callable[[Request], Answer]] = {
            "token": identity.token,
            "instances": identity.instances,
            "catalog": identity.catalog_entry,
        }
        self._closed: dict[str, Callable[[Request], Answer]] = {
            "backends": self._backends,
            "configuration": self._configuration,
            "properties": self._properties,
            "status": self._status,
            "usage": self._usage,
            "submit": self._submit,
            "jobs": self._jobs,
            "job": self._job,
            "delete": self._delete,
            "results": self._results,
            "metrics": self._metrics,
            "logs": self._logs,
            "cancel": self._cancel,
            "tags": self._tags,
            "open_session": self._open_session,
            "session": self._session,
            "close_session": self._close_session,
            "cancel_session": self._cancel_session,
        }

    def answer(self, request: Request) -> Answer:
        """Do what is asked.

        Raises:
            Refusal: It is not allowed, or makes no sense.
        """
        if request.endpoint in self._open:
            return self._open[request.endpoint](request)
        if request.endpoint not in self._closed:
            raise refuse(404, 1404, f"There is no {request.method} {request.path}.")
        self._identity.check(request)
        return self._closed[request.endpoint](request)

    # Devices.

    def _backends(self, _: Request) -> Answer:
        cloud = self._cloud
        return answer_of(
            {
                "devices": [
                    device.listed(self._cloud.num_pending(name))
                    for name, device in cloud.devices.items()
                ]
            }
        )

    def _configuration(self, request: Request) -> Answer:
        return answer_of(self._cloud.device(request.names["device"]).configuration)

    def _properties(self, request: Request) -> Answer:
        cloud = self._cloud
        before = request.first("updated_before")
        state = cloud.device(request.names["device"]).calibration_of(
            request.first("calibration_id"), None if before is None else _date(before)
        )
        if state is None:
            raise refuse(404, 1009, "There are no properties of that calibration or date.")
        return answer_of(state.properties)

    def _status(self, request: Request) -> Answer:
        name = request.names["device"]
        return answer_of(self._cloud.device(name).status(self._cloud.num_pending(name)))

    def _usage(self, _: Request) -> Answer:
        cloud = self._cloud
        limit = cloud.rules.usage_limit_seconds
        usage: dict[str, Any] = {
            "usage_consumed_seconds": cloud.billed_seconds(),
            "usage_limit_reached": cloud.is_used_up(),
            "usage_period": {"start_time": _text(cloud.date(0.0)), "end_time": None},
        }
        if limit is not None:
            usage["usage_limit_seconds"] = limit
            usage["usage_allocation_seconds"] = limit
        return answer_of(usage)

    # Jobs.

    def _submit(self, request: Request) -> Answer:
        cloud = self._cloud
        check_size(len(request.body), cloud.rules)
        fields = request.json()
        program, params = fields.get("program_id"), fields.get("params")
        if program not in _PROGRAMS:
            raise refuse(404, 1216, f"Program not found: {program!r}.")
        if not isinstance(params, dict):
            raise refuse(400, 1211, "The inputs of the program are missing.")
        device = cloud.device(fields.get("backend"))
        target = device.backend_target()
        if program == "executor":
            work = decoded_program(params, target)
        else:
            work = decoded_pubs(program, request.body, target)
        job = cloud.submit(fields, request.body, work)
        return answer_of(
            {
                "id": job.id,
                "backend": job.device,
                "session_id": job.session_id,
                "private": job.is_private,
            }
        )

    def _jobs(self, request: Request) -> Answer:
        cloud = self._cloud
        tags = set(request.query.get("tags", []))
        pending = request.first("pending")
        after, before = request.first("created_after"), request.first("created_before")

        def is_wanted(job: JobRecord) -> bool:
            created = cloud.date(job.created_at)
            return (
                (pending is None or job.is_final == (pending == "false"))
                and tags <= set(job.tags)
                and request.first("backend") in (None, job.device)
                and request.first("program") in (None, job.program)
                and request.first("session_id") in (None, job.session_id)
                and (after is None or created >= _date(after))
                and (before is None or created <= _date(before))
            )

        found = [job for job in cloud.jobs() if is_wanted(job)]
        if request.first("sort") != "ASC":
            found.reverse()
        offset = int(request.first("offset") or 0)
        limit = min(int(request.first("limit") or _PAGE), _PAGE)
        page = found[offset : offset + limit]
        return answer_of(
            {
                "jobs": [self._described(job) for job in page],
                "count": len(found),
                "limit": limit,
                "offset": offset,
            }
        )

    def _job(self, request: Request) -> Answer:
        cloud = self._cloud
        job = cloud.job(request.names["job_id"])
        if not job.is_final:
            cloud.wait_for_news(job.id, self._poll_seconds)
            job = cloud.job(job.id)
        described = self._described(job)
        if request.first("exclude_params") != "true" and not job.is_private:
            described["params"] = json.loads(cloud.body(job.id))["params"]
        return answer_of(described)

    def _delete(self, request: Request) -> Answer:
        self._cloud.delete_job(request.names["job_id"])
        return Answer(204)

    def _results(self, request: Request) -> Answer:
        result = self._cloud.result(self._cloud.job(request.names["job_id"]).id)
        return Answer(200, result.encode()) if result else Answer(204)

    def _metrics(self, request: Request) -> Answer:
        cloud = self._cloud
        job = cloud.job(request.names["job_id"])
        metrics: dict[str, Any] = {
            "timestamps": {
                "created": _text(cloud.date(job.created_at)),
                "running": None if job.started_at is None else _text(cloud.date(job.started_at)),
                "finished": None if job.finished_at is None else _text(cloud.date(job.finished_at)),
            },
            "usage": {
                "qpu_charge_time_seconds": job.qpu_seconds,
                "status": "complete" if job.is_final else "pending",
            },
            "circuits_execution_time_ns": round(job.qpu_seconds * 1e9),
            "num_circuits": job.num_circuits,
            "executions": job.executions,
            "calibration_id": job.calibration_id,
        }
        if job.status == "Queued":
            ids = [waiting.id for waiting in cloud.queue(job.device)]
            start = cloud.estimated_start(job)
            metrics["position_in_queue"] = ids.index(job.id) + 1 if job.id in ids else 1
            metrics["estimated_start_time"] = _text(cloud.date(start))
            metrics["estimated_completion_time"] = _text(cloud.date(start + job.estimated_seconds))
        return answer_of(metrics)

    def _logs(self, request: Request) -> Answer:
        cloud = self._cloud
        job = cloud.job(request.names["job_id"])
        if not job.is_final:
            raise refuse(404, 1292, "The logs of a job exist when it has ended.")
        lines = [f"{_text(cloud.date(job.created_at))} queued on {job.device}"]
        if job.started_at is not None:
            lines.append(f"{_text(cloud.date(job.started_at))} running")
        if job.finished_at is not None:
            lines.append(
                f"{_text(cloud.date(job.finished_at))} {job.status.lower()} {job.reason}".rstrip()
            )
        return Answer(200, "\n".join(lines).encode(), "text/plain")

    def _cancel(self, request: Request) -> Answer:
        self._cloud.cancel_job(request.names["job_id"])
        return Answer(204)

    def _tags(self, request: Request) -> Answer:
        tags = request.json().get("tags")
        if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
            raise refuse(400, 1211, "The tags must be a list of strings.")
        self._cloud.set_tags(request.names["job_id"], tags)
        return Answer(204)

    def _described(self, job: JobRecord) -> dict[str, Any]:
        state: dict[str, Any] = {"status": job.status}
        if job.reason:
            state["reason"] = job.reason
        if job.reason_code is not None:
            state["reason_code"] = job.reason_code
        return {
            "id": job.id,
            "backend": job.device,
            "status": job.status,
            "state": state,
            "program": {"id": job.program},
            "created": _text(self._cloud.date(job.created_at)),
            "ended": None if job.finished_at is None else _text(self._cloud.date(job.finished_at)),
            "cost": job.max_seconds,
            "tags": list(job.tags),
            "session_id": job.session_id,
            "private": job.is_private,
            "estimated_running_time_seconds": job.estimated_seconds,
            "usage": {"seconds": job.qpu_seconds},
            "calibration_id": job.calibration_id,
        }

    # Sessions.

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
            return None if at is None else _text(cloud.date(at))

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


def _text(date: datetime) -> str:
    return date.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _date(text: str) -> datetime:
    try:
        date = datetime.fromisoformat(text)
    except ValueError as error:
        raise refuse(400, 1211, f"Not a date: {text!r}.") from error
    return date if date.tzinfo else date.replace(tzinfo=UTC)
