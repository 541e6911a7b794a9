"""Endpoints that take, tell of and change jobs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from efaas.testing.runtime_service.admission import check_size
from efaas.testing.runtime_service.dates import date_of, text_of
from efaas.testing.runtime_service.executor_program import decoded_program
from efaas.testing.runtime_service.messages import Answer, Request, answer_of, refuse
from efaas.testing.runtime_service.primitive_programs import decoded_pubs
from efaas.testing.runtime_service.submission import Submission

if TYPE_CHECKING:
    from efaas.testing.runtime_service.cloud import Cloud
    from efaas.testing.runtime_service.records import JobRecord

__all__ = ["JobRoutes"]

_PAGE = 200


class JobRoutes:
    """Answers what is asked of jobs.

    Attributes:
        table: What answers each endpoint.
    """

    def __init__(self, cloud: Cloud, poll_seconds: float) -> None:
        """Build the table.

        Args:
            cloud: Jobs, sessions and devices.
            poll_seconds: How long, in the machine's time, the answer to a question for a job
                that is about to end may wait for that.
        """
        self._cloud = cloud
        self._poll_seconds = poll_seconds
        self.table: Mapping[str, Callable[[Request], Answer]] = {
            "submit": self._submit,
            "jobs": self._jobs,
            "job": self._job,
            "delete": self._delete,
            "results": self._results,
            "metrics": self._metrics,
            "logs": self._logs,
            "cancel": self._cancel,
            "tags": self._tags,
        }

    def _submit(self, request: Request) -> Answer:
        cloud = self._cloud
        check_size(len(request.body), cloud.rules)
        submission = Submission.of(request.json())
        target = cloud.device(submission.device).target()
        if submission.program == "executor":
            work = decoded_program(submission.params, target)
        else:
            work = decoded_pubs(submission.program, request.body, target)
        job = cloud.submit(submission, request.body, work)
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
        with_mocks = request.first("include_mocks") is not None
        after, before = request.first("created_after"), request.first("created_before")

        def is_wanted(job: JobRecord) -> bool:
            created = cloud.date(job.created_at)
            return (
                (with_mocks or not cloud.devices[job.device].is_mock)
                and (pending is None or job.is_final == (pending == "false"))
                and tags <= set(job.tags)
                and request.first("backend") in (None, job.device)
                and request.first("program") in (None, job.program)
                and request.first("session_id") in (None, job.session_id)
                and (after is None or created >= date_of(after))
                and (before is None or created <= date_of(before))
            )

        found = [job for job in cloud.jobs() if is_wanted(job)]
        if request.first("sort") != "ASC":
            found.reverse()
        offset = _count(request, "offset", 0)
        limit = min(_count(request, "limit", _PAGE), _PAGE)
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
                "created": text_of(cloud.date(job.created_at)),
                "running": None if job.started_at is None else text_of(cloud.date(job.started_at)),
                "finished": None
                if job.finished_at is None
                else text_of(cloud.date(job.finished_at)),
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
            metrics["estimated_start_time"] = text_of(cloud.date(start))
            metrics["estimated_completion_time"] = text_of(
                cloud.date(start + job.estimated_seconds)
            )
        return answer_of(metrics)

    def _logs(self, request: Request) -> Answer:
        cloud = self._cloud
        job = cloud.job(request.names["job_id"])
        if not job.is_final:
            raise refuse(404, 1292, "The logs of a job exist when it has ended.")
        lines = [f"{text_of(cloud.date(job.created_at))} queued on {job.device}"]
        if job.started_at is not None:
            lines.append(f"{text_of(cloud.date(job.started_at))} running")
        if job.finished_at is not None:
            lines.append(
                f"{text_of(cloud.date(job.finished_at))} {job.status.lower()} {job.reason}".rstrip()
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
            "created": text_of(self._cloud.date(job.created_at)),
            "ended": None
            if job.finished_at is None
            else text_of(self._cloud.date(job.finished_at)),
            "cost": job.max_seconds,
            "tags": list(job.tags),
            "session_id": job.session_id,
            "private": job.is_private,
            "estimated_running_time_seconds": job.estimated_seconds,
            "usage": {"seconds": job.qpu_seconds},
            "calibration_id": job.calibration_id,
        }


def _count(request: Request, name: str, default: int) -> int:
    text = request.first(name)
    if text is None:
        return default
    if not text.isdecimal():
        raise refuse(400, 1211, f"{name} must be a whole number, got {text!r}.")
    return int(text)
