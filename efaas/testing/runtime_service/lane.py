"""The thread of a device: it runs one job after the other."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from efaas.testing.runtime_service.faults import JobCancelled, JobFails, JobNeverEnds
from efaas.testing.runtime_service.work import Span

if TYPE_CHECKING:
    from efaas.testing.runtime_service.cloud import Cloud
    from efaas.testing.runtime_service.devices import CloudDevice
    from efaas.testing.runtime_service.faults import Faults, Injection
    from efaas.testing.runtime_service.records import JobRecord
    from efaas.testing.runtime_service.work import Work

__all__ = ["Lane"]

_LOOK_AGAIN_SECONDS = 0.02
"""A clock that others move tells nobody: where a job waits, it is looked at this often."""


class Lane:
    """Runs the jobs of one device, one at a time, until the cloud is closed."""

    def __init__(self, cloud: Cloud, device: CloudDevice, faults: Faults) -> None:
        self._cloud = cloud
        self._device = device
        self._faults = faults
        self._thread = threading.Thread(
            target=self._run, name=f"efaas-loopback-{device.name}", daemon=True
        )

    def start(self) -> None:
        """Start its thread."""
        self._thread.start()

    def join(self, timeout: float) -> bool:
        """Whether its thread has ended within so many seconds."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        cloud = self._cloud
        while True:
            with cloud.changed:
                if cloud.is_closing:
                    return
                taken = cloud.next_job(self._device.name)
                if taken is None:
                    waits = bool(cloud.queue(self._device.name))
                    cloud.changed.wait(_LOOK_AGAIN_SECONDS if waits else None)
                    continue
            self._execute(*taken)

    def _execute(self, job: JobRecord, work: Work, seeds: tuple[tuple[int, ...], ...]) -> None:
        cloud = self._cloud
        injection = self._faults.of_job(job)
        fault = None if injection is None else injection.fault
        if isinstance(fault, JobNeverEnds) and injection is not None:
            self._stall(job, injection)
        if isinstance(fault, JobCancelled):
            cloud.end_job(job.id, "Cancelled", reason=fault.reason)
            return
        seconds = min(job.estimated_seconds, job.max_seconds)
        if job.estimated_seconds > job.max_seconds:
            self._end(
                job,
                "Cancelled",
                seconds,
                reason=f"Job ran longer than its maximum execution time of {job.max_seconds:g} s.",
                code=1305,
            )
            return
        try:
            backend = self._device.backend()
            answers = [item.run(backend, row) for item, row in zip(work.items, seeds, strict=True)]
        except Exception as error:  # whatever the simulation says, it is the job that failed
            self._end(job, "Failed", seconds, reason=f"{error}", code=8000)
            return
        if isinstance(fault, JobFails):
            self._end(job, "Failed", seconds, reason=fault.reason, code=fault.code)
            return
        with cloud.changed:
            now = cloud.now()
            span = Span(cloud.date(now), cloud.date(now + seconds))
        self._end(job, "Completed", seconds, result=work.write(answers, span))

    def _end(
        self,
        job: JobRecord,
        status: str,
        seconds: float,
        *,
        reason: str = "",
        code: int | None = None,
        result: str = "",
    ) -> None:
        cloud = self._cloud
        with cloud.changed:
            if cloud.is_closing or self._has_ended(job.id):
                return  # cancelled or deleted meanwhile
            cloud.pass_qpu_time(seconds)
            cloud.end_job(
                job.id,
                status,  # type: ignore[arg-type]
                qpu_seconds=seconds,
                reason=reason,
                reason_code=code,
                result=result,
            )

    def _stall(self, job: JobRecord, injection: Injection) -> None:
        cloud = self._cloud
        with cloud.changed:
            cloud.set_stalled(job.id, is_stalled=True)
            cloud.changed.wait_for(
                lambda: cloud.is_closing or injection.is_released or self._has_ended(job.id)
            )
            cloud.set_stalled(job.id, is_stalled=False)

    def _has_ended(self, job_id: str) -> bool:
        return not self._cloud.is_live(job_id)
