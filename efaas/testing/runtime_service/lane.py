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
            try:
                self._execute(task)
            except Exception as error:  # the simulation's, or a predicate's: the job failed of it
                self._fail(task.job, JobFails(f"{error}", code=8000))

    def _execute(self, task: Task) -> None:
        cloud, job = self._cloud, task.job
        injection = self._faults.of_job(job)
        fault = None if injection is None else injection.fault
        if isinstance(fault, JobNeverEnds) and injection is not None:
            self._stall(job, injection)
            if cloud.is_closing or not cloud.is_live(job.id):
                return
        if isinstance(fault, JobCancelled):
            cloud.end_job(job.id, "Cancelled", reason=fault.reason)
        elif job.estimated_seconds > job.max_seconds:
            cloud.end_job(
                job.id,
                "Cancelled",
                qpu_seconds=self._seconds(job),
                reason=f"Job ran longer than its maximum execution time of {job.max_seconds:g} s.",
                reason_code=1305,
            )
        elif isinstance(fault, JobFails):
            self._fail(job, fault)
        else:
            result = self._result(task)
            cloud.end_job(job.id, "Completed", qpu_seconds=self._seconds(job), result=result)

    def _seconds(self, job: JobRecord) -> float:
        return 0.0 if self._device.is_mock else min(job.estimated_seconds, job.max_seconds)

    def _fail(self, job: JobRecord, fault: JobFails) -> None:
        self._cloud.end_job(
            job.id,
            "Failed",
            qpu_seconds=self._seconds(job),
            reason=fault.reason,
            reason_code=fault.code,
        )

    def _result(self, task: Task) -> str:
        cloud, runner = self._cloud, self._device.runner(task.job.calibration_id)
        answers = [
            item.run(runner, seeds) for item, seeds in zip(task.work.items, task.seeds, strict=True)
        ]
        start = cloud.now()
        span = Span(cloud.date(start), cloud.date(start + self._seconds(task.job)))
        return task.work.write(answers, span)

    def _stall(self, job: JobRecord, injection: Injection) -> None:
        cloud = self._cloud
        with cloud.changed:
            cloud.set_stalled(job.id, is_stalled=True)
            cloud.changed.wait_for(
                lambda: cloud.is_closing or injection.is_released or not cloud.is_live(job.id)
            )
            cloud.set_stalled(job.id, is_stalled=False)
