"""The job that a primitive's ``run`` returns."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, Any

from qiskit.primitives import BasePrimitiveJob, PrimitiveResult
from qiskit.providers import JobStatus

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future

    from efaas.primitives.pubs import PubRequest, SubmitsEvaluations

__all__ = ["SessionJob", "submitted"]


class SessionJob(BasePrimitiveJob):  # type: ignore[misc]  # Qiskit ships no types
    """One evaluation per pub, as a Qiskit job. It has no thread of its own.

    Attributes:
        futures: The evaluations' futures, one per pub, in order.
    """

    def __init__(self, requests: Sequence[PubRequest], futures: Sequence[Future[Any]]) -> None:
        super().__init__(str(uuid.uuid4()))
        self.futures = tuple(futures)
        self._requests = tuple(requests)
        self._result: Any = None

    def result(self, timeout: float | None = None) -> PrimitiveResult:
        """The results of all pubs, in order, waiting for them.

        Args:
            timeout: Seconds to wait at most; None for as long as it takes.

        Raises:
            TimeoutError: They did not come in time; the job goes on.
            JobFailedError: Every attempt of a pub's evaluation failed.
            concurrent.futures.CancelledError: The job was cancelled.
        """
        if self._result is None:
            # Each future is asked for itself: a session's refuses where waiting could never end.
            deadline = None if timeout is None else time.monotonic() + timeout
            results = []
            for request, future in zip(self._requests, self.futures, strict=True):
                left = None if deadline is None else max(0.0, deadline - time.monotonic())
                results.append(request.postprocess(future.result(left)))
            self._result = PrimitiveResult(results, metadata={"version": 2})
        return self._result

    def status(self) -> JobStatus:
        """Where the job stands; cancelled or failed as soon as one of its pubs is and all ended."""
        if not all(future.done() for future in self.futures):
            begun = any(future.running() or future.done() for future in self.futures)
            return JobStatus.RUNNING if begun else JobStatus.QUEUED
        if any(future.cancelled() for future in self.futures):
            return JobStatus.CANCELLED
        if any(future.exception() is not None for future in self.futures):
            return JobStatus.ERROR
        return JobStatus.DONE

    def done(self) -> bool:
        """Whether every pub has its result."""
        return self.status() is JobStatus.DONE

    def running(self) -> bool:
        """Whether a pub has begun to run and not all have ended."""
        return self.status() is JobStatus.RUNNING

    def cancelled(self) -> bool:
        """Whether all pubs have ended, one of them by being cancelled."""
        return self.status() is JobStatus.CANCELLED

    def in_final_state(self) -> bool:
        """Whether all pubs have ended, in whatever way."""
        return all(future.done() for future in self.futures)

    def cancel(self) -> bool:
        """Cancel what has not run yet; returns whether that was every pub."""
        cancelled = [future.cancel() for future in self.futures]  # every one, not up to a failure
        return all(cancelled)


def submitted(
    session: SubmitsEvaluations, requests: Sequence[PubRequest], *, loop: str | None
) -> SessionJob:
    """The job of the requests, all queued before this returns, or none of them."""
    futures: list[Future[Any]] = []
    try:
        for request in requests:
            future = session.submit_evaluation(
                request.experiment,
                request.angles,
                shots=request.shots,
                wanted=request.wanted,
                loop=loop,
            )
            futures.append(future)
    except BaseException:
        for future in futures:
            future.cancel()
        raise
    return SessionJob(requests, futures)
