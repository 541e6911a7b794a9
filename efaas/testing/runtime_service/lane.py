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
    from efaas.testing.runtime_service.job_book import Task
    from efaas.testing.runtime_service.records import JobRecord

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
                task = cloud.next_task(self._device.name)
                if task is None:
                    waits = bool(cloud.queue(self._device.name))
                    cloud.changed.wait(_LOOK_AGAIN_SECONDS if waits else None)
                    continue
            self._execute(task)

    def _execute(self, task: Task) -> None:
        cloud, job = self._cloud, task.job
        injection = self._faults.of_job(job)
        fault = None if injection is None else injection.fault
        if isinstance(fault, JobNeverEnds) and injection is not None:
            self._stall(job, injection)
        if isinstance(fault, JobCancelled):
            cloud.end_job(job.id, "Cancelled", reason=fault.reason)
            return
        seconds = min(job.estimated_seconds, job.max_seconds)
        if self._device.is_mock:
            seconds = 0.0
        if job.estimated_seconds > job.max_seconds:
            reason = f"Job ran longer than its maximum execution time of {job.max_seconds:g} s."
            cloud.end_job(job.id, "Cancelled", qpu_seconds=seconds, reason=reason, reason_code=1305)
            return
        try:
            result = self._result(task, seconds)
        except Exception as error:  # whatever the simulation says, it is the job that failed
            fault = JobFails(f"{error}", code=8000)
        if isinstance(fault, JobFails):
            cloud.end_job(
                job.id,
                "Failed",
                qpu_seconds=seconds,
                reason=fault.reason,
                reason_code=fault.code,
            )
            return
        cloud.end_job(job.id, "Completed", qpu_seconds=seconds, result=result)

    def _result(self, task: Task, seconds: float) -> str:
        cloud, runner = self._cloud, self._device.runner()
        answers = [
            item.run(runner, seeds) for item, seeds in zip(task.work.items, task.seeds, strict=True)
        ]
        start = cloud.now()
        return task.work.write(answers, Span(cloud.date(start), cloud.date(start + seconds)))

    def _stall(self, job: JobRecord, injection: Injection) -> None:
        cloud = self._cloud
        with cloud.changed:
            cloud.set_stalled(job.id, is_stalled=True)
            cloud.changed.wait_for(
                lambda: cloud.is_closing or injection.is_released or not cloud.is_live(job.id)
            )
            cloud.set_stalled(job.id, is_stalled=False)
