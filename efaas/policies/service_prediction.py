"""What a job's service will be: what was declared, corrected by what was learned."""

from __future__ import annotations

from typing import TYPE_CHECKING

from efaas.policies.fair_shares import CPU_SECONDS

if TYPE_CHECKING:
    from efaas.model.job import Job

__all__ = ["ServicePrediction"]

_GAIN = 0.25


class ServicePrediction:
    """Predicted seconds of service; jobs of a loop are alike, and the other ones of a tenant.

    Example:
        >>> from efaas.model.job import Demand, Job
        >>> from efaas.policies.fair_shares import QPU_SECONDS
        >>> prediction = ServicePrediction()
        >>> job = Job(1, 1, "ada", ("qpu",), demand=Demand(qpu_seconds=2.0))
        >>> prediction.learn(job, QPU_SECONDS, 3.0)
        >>> prediction.seconds(job, QPU_SECONDS)
        3.0
    """

    def __init__(self) -> None:
        """Begin with what jobs declare."""
        # By kind of job: measured over declared service, and typical service.
        self._learned: dict[str | tuple[str, str], tuple[float, float]] = {}

    def seconds(self, job: Job, resource: int) -> float:
        """Of a job that was not measured yet; 0 for the first of those that declare nothing."""
        demand = job.demand
        declared = demand.cpu_seconds if resource == CPU_SECONDS else demand.qpu_seconds
        learned = self._learned.get(job.loop_id or (job.tenant, job.places[0]))
        if learned is None:
            return declared
        return declared * learned[0] if declared > 0.0 else learned[1]

    def learn(self, job: Job, resource: int, seconds: float) -> None:
        """A job has taken so long."""
        demand = job.demand
        declared = demand.cpu_seconds if resource == CPU_SECONDS else demand.qpu_seconds
        kind = job.loop_id or (job.tenant, job.places[0])
        factor, typical = self._learned.get(kind, (0.0, 0.0))
        if declared > 0.0:
            factor += (_GAIN if factor else 1.0) * (seconds / declared - factor)
        typical += (_GAIN if typical else 1.0) * (seconds - typical)
        self._learned[kind] = (factor or 1.0, typical)

    def forget(self, loop_id: str) -> None:
        """The loop will submit nothing more."""
        self._learned.pop(loop_id, None)
