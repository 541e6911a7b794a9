"""What every ``Reattachable`` backend must do, as tests to inherit.

Example::

    class TestMyBackend(ReattachContract):
        def make_backend(self) -> Backend:
            return MyBackend(self.provider)  # the same provider every time

        def jobs_at_provider(self) -> int:
            return len(self.provider.jobs)
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np
import pytest
from qiskit.circuit.library import efficient_su2

from efaas.backends.experiment import Experiment
from efaas.backends.protocol import Backend, Estimates, Evaluation, Outcome, Reattachable
from efaas.model.record import Reservation, Submission

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["NotedJob", "NotingLog", "ReattachContract"]


@dataclass(slots=True)
class NotedJob:
    """A job that a ``NotingLog`` was told of.

    Attributes:
        places: For each of its evaluations which one it is, and which of its points are in the job.
        submission: As a journal would have it.
        outcomes: What came of it; None as long as that was not told.
    """

    places: tuple[tuple[int, tuple[int, ...]], ...]
    submission: Submission
    outcomes: tuple[Outcome | Exception, ...] | None = None


class NotingLog:
    """A ``SubmissionLog`` that keeps what it is told in memory.

    Attributes:
        jobs: By tag, in order.
    """

    def __init__(self, backend: Backend, evaluations: Sequence[Evaluation]) -> None:
        self.jobs: dict[str, NotedJob] = {}
        self._backend = backend.name
        self._evaluations = evaluations

    def sending(
        self,
        evaluations: Sequence[int],
        payload: str = "",
        points: Sequence[Sequence[int]] | None = None,
        reservation: Reservation | None = None,
    ) -> str:
        """Note a job that is about to go out."""
        tag = f"efaas-contract-{uuid4().hex}"
        if points is None:
            points = [range(len(self._evaluations[index].seeds)) for index in evaluations]
        submission = Submission(tag, None, self._backend, payload, tuple(map(len, points)))
        places = zip(evaluations, map(tuple, points), strict=True)
        self.jobs[tag] = NotedJob(tuple(places), submission)
        return tag

    def accepted(self, tag: str, job_id: str) -> None:
        """Note its id."""
        noted = self.jobs[tag]
        noted.submission = replace(noted.submission, job_id=job_id)

    def refused(self, tag: str, reason: str) -> None:
        """Forget it."""
        del self.jobs[tag]

    def ended(self, tag: str, outcomes: Sequence[Outcome | Exception]) -> None:
        """Note what came of it."""
        self.jobs[tag].outcomes = tuple(outcomes)


class ReattachContract(ABC):
    """Tests that any backend passes whose jobs outlive it; a subclass says how one is made.

    Attributes:
        shots: Shots of the evaluations here.
    """

    shots = 64

    @abstractmethod
    def make_backend(self) -> Backend:
        """A new client of one and the same provider, with at least two qubits."""

    @abstractmethod
    def jobs_at_provider(self) -> int:
        """How many jobs the provider has ever accepted."""

    def test_it_satisfies_the_protocol(self) -> None:
        assert isinstance(self.make_backend(), Reattachable)

    def test_every_point_is_in_one_job_that_was_logged_and_got_an_id(self) -> None:
        log, _ = self._run()
        logged = [
            (index, point)
            for noted in log.jobs.values()
            for index, points in noted.places
            for point in points
        ]
        assert sorted(logged) == [(0, 0), (1, 0), (1, 1), (2, 0), (2, 1), (2, 2)]
        assert all(noted.submission.job_id for noted in log.jobs.values())

    def test_what_came_of_each_job_is_told(self) -> None:
        log, expected = self._run()
        for noted in log.jobs.values():
            assert noted.outcomes is not None
            _require_same(noted, noted.outcomes, expected)

    @pytest.mark.parametrize("has_id", [True, False])
    def test_a_new_client_finds_a_job_and_gives_the_same_values(self, has_id: bool) -> None:
        log, expected = self._run()
        client = self.make_backend()
        assert isinstance(client, Reattachable)
        for noted in log.jobs.values():
            known = noted.submission if has_id else replace(noted.submission, job_id=None)
            found = client.reattach(known)
            assert found is not None
            _require_same(noted, found, expected)
        client.close()

    def test_a_job_that_the_provider_never_got_is_none(self) -> None:
        client = self.make_backend()
        assert isinstance(client, Reattachable)
        log, _ = self._run()
        payload = next(iter(log.jobs.values())).submission.payload
        unknown = Submission("efaas-never-sent", None, client.name, payload, (1,))
        assert client.reattach(unknown) is None
        client.close()

    def test_nothing_is_sent_that_cannot_be_logged(self) -> None:
        class FullDisk(NotingLog):
            def sending(self, *_: Any, **__: Any) -> str:
                raise OSError("no space left")

        backend: Any = self.make_backend()
        before = self.jobs_at_provider()
        evaluations = self._evaluations()
        outcomes: Sequence[Outcome | Exception] = []
        with suppress(OSError):
            outcomes = backend.execute_logged(evaluations, FullDisk(backend, evaluations))
        assert all(isinstance(outcome, OSError) for outcome in outcomes)
        assert self.jobs_at_provider() == before
        backend.close()

    def _run(self) -> tuple[NotingLog, Sequence[Outcome | Exception]]:
        backend: Any = self.make_backend()
        evaluations = self._evaluations()
        log = NotingLog(backend, evaluations)
        outcomes = backend.execute_logged(evaluations, log)
        backend.close()
        return log, outcomes

    def _evaluations(self) -> list[Evaluation]:
        """Three, of one, two and three points."""
        experiment = Experiment.estimate(efficient_su2(2, reps=0), ["ZZ", "XX"])
        evaluations = []
        for points in (1, 2, 3):
            values = np.full((points, experiment.num_parameters), 0.1 * points)
            seeds = tuple(range(10 * points, 10 * points + points))
            angles = experiment.slot_angles(values)
            evaluations.append(Evaluation(experiment, angles, self.shots, seeds))
        return evaluations


def _require_same(
    noted: NotedJob,
    found: Sequence[Outcome | Exception],
    expected: Sequence[Outcome | Exception],
) -> None:
    """Outcomes of a job are those of the round, of the points that are in the job."""
    for (index, points), outcome in zip(noted.places, found, strict=True):
        wanted = _value(expected[index])
        np.testing.assert_array_equal(_value(outcome).evs, wanted.evs[list(points)])
        np.testing.assert_array_equal(_value(outcome).stds, wanted.stds[list(points)])
        assert isinstance(outcome, Outcome)
        assert outcome.calibration_id == getattr(expected[index], "calibration_id", None)


def _value(outcome: Outcome | Exception) -> Estimates:
    assert isinstance(outcome, Outcome), outcome
    assert isinstance(outcome.value, Estimates)
    return outcome.value
