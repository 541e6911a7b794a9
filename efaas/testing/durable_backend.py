"""A backend whose jobs run elsewhere: they go on, and are billed, without their client."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from efaas.backends.protocol import Estimates, Outcome
from efaas.errors import InputError
from efaas.model.job import Usage
from efaas.testing.fake_backend import FakeBackend

if TYPE_CHECKING:
    from efaas.backends.protocol import Evaluation, SubmissionLog
    from efaas.model.record import Submission

__all__ = ["DurableBackend"]


class DurableBackend(FakeBackend):
    """A ``FakeBackend`` with a provider: a file that holds every job that was ever accepted.

    A job is accepted, run and billed as one line of the file, so it is there whenever the client
    dies. ``reattach`` finds it by its id, or by its tag.

    Attributes:
        ledger: The provider's file.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as directory:
        ...     DurableBackend(Path(directory) / "provider").billed()
        []
    """

    def __init__(
        self,
        ledger: str | os.PathLike[str],
        name: str = "durable",
        *,
        lose_answer: Callable[[int], bool] | None = None,
        refuse: Callable[[int], bool] | None = None,
        fail_job: Callable[[int], bool] | None = None,
        evaluations_per_job: int = 1_000,
        **settings: Any,
    ) -> None:
        """A client of the provider in that file.

        Args:
            ledger: The file; made by the first job.
            name: Its name.
            lose_answer: Whether the answer to the n-th submission of this client is lost after
                the provider has accepted it.
            refuse: Whether the provider refuses it.
            fail_job: Whether the job is accepted and billed, and fails.
            evaluations_per_job: A larger round becomes several jobs.
            settings: As for ``FakeBackend``.

        Raises:
            InputError: As ``FakeBackend``, or ``evaluations_per_job`` is below 1.
        """
        super().__init__(name, **settings)
        if evaluations_per_job < 1:
            raise InputError(f"evaluations_per_job must be 1 or more, got {evaluations_per_job!r}")
        self.ledger = Path(ledger)
        self._lose_answer = lose_answer or _never
        self._refuse = refuse or _never
        self._fail_job = fail_job or _never
        self._per_job = evaluations_per_job
        self._sent = 0

    def jobs(self) -> list[dict[str, Any]]:
        """Every job that the provider has accepted, in order."""
        try:
            lines = self.ledger.read_text().splitlines()
        except FileNotFoundError:
            return []
        return [json.loads(line) for line in lines]

    def billed(self) -> list[int]:
        """The seed of every point that was ever run, as often as it was."""
        return [int(seed) for job in self.jobs() for part in job["parts"] for seed in part["seeds"]]

    def execute_logged(
        self, evaluations: Sequence[Evaluation], log: SubmissionLog
    ) -> Sequence[Outcome | Exception]:
        """Send a job, or several, and wait for each.

        Raises:
            InputError: A sample is asked for; this provider gives expectation values only.
        """
        if any(evaluation.experiment.is_sample for evaluation in evaluations):
            raise InputError(f"{self.name} gives expectation values only, no samples")
        outcomes: list[Outcome | Exception] = []
        for first in range(0, len(evaluations), self._per_job):
            indices = range(first, min(first + self._per_job, len(evaluations)))
            number, self._sent = self._sent, self._sent + 1
            tag = log.sending(indices, payload=json.dumps({"first": first}))
            if self._refuse(number):
                log.refused(tag, "the provider refused it")
                outcomes += [RuntimeError("the provider refused it")] * len(indices)
                continue
            job = self._accepted(tag, [evaluations[index] for index in indices], number)
            if self._lose_answer(number):
                raise ConnectionError("the connection broke before the answer came")
            log.accepted(tag, job["id"])
            log.ended(tag, _outcomes(job))
            outcomes += _outcomes(job)
        return outcomes

    def reattach(self, submission: Submission) -> Sequence[Outcome | Exception] | None:
        """The job's results, found by its id or its tag."""
        for job in self.jobs():
            if job["id"] == submission.job_id or job["tag"] == submission.tag:
                return _outcomes(job)
        return None

    def _accepted(self, tag: str, evaluations: Sequence[Evaluation], number: int) -> dict[str, Any]:
        parts = []
        has_failed = self._fail_job(number)
        for evaluation, outcome in zip(evaluations, self.execute(evaluations), strict=True):
            part: dict[str, Any] = {"seeds": [str(seed) for seed in evaluation.seeds]}
            if isinstance(outcome, Exception) or has_failed:
                part["error"] = str(outcome) if isinstance(outcome, Exception) else "it failed"
            else:
                values: Any = outcome.value
                part |= {"evs": _texts(values.evs), "stds": _texts(values.stds)}
                part |= {"calibration": outcome.calibration_id, "qpu": outcome.usage.qpu_seconds}
            parts.append(part)
        job = {"id": f"job-{tag[-12:]}", "tag": tag, "parts": parts}
        line = (json.dumps(job) + "\n").encode()
        descriptor = os.open(self.ledger, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            os.write(descriptor, line)
        finally:
            os.close(descriptor)
        return job


def _never(number: int) -> bool:
    return False


def _texts(values: Any) -> list[list[str]]:
    return [[float(value).hex() for value in row] for row in values]


def _floats(rows: Sequence[Sequence[str]]) -> Any:
    return np.array([[float.fromhex(text) for text in row] for row in rows])


def _outcomes(job: dict[str, Any]) -> list[Outcome | Exception]:
    outcomes: list[Outcome | Exception] = []
    for part in job["parts"]:
        if "error" in part:
            outcomes.append(RuntimeError(part["error"]))
        else:
            estimates = Estimates(_floats(part["evs"]), _floats(part["stds"]))
            usage = Usage(qpu_seconds=part["qpu"])
            outcomes.append(Outcome(estimates, usage, part["calibration"]))
    return outcomes
