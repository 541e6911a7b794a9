"""A run on a service that was killed is resumed: its jobs, and its provider session."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

import efaas
from efaas.backends import Limits, RetryPolicy, RuntimeBackend
from efaas.errors import JobFailedError
from efaas.journal.__main__ import main
from efaas.journal.reading import Reader
from efaas.testing.runtime_service import HttpError, JobFails, RuntimeService
from tests.runtime.conftest import FAST, kinds, objective, until

if TYPE_CHECKING:
    Make = Callable[..., RuntimeBackend]
    from tests.runtime.doomed import Doomed

    Doom = Callable[..., Doomed]

START = np.array([0.4, -0.3])
POINTS = np.arange(10.0).reshape(5, 2)


def states(service: RuntimeService) -> list[str]:
    return [opened.state for opened in service.sessions]


def billed_once(service: RuntimeService) -> bool:
    return all(len(jobs) == 1 for jobs in service.evaluations().values())


class TestProviderSessions:
    @pytest.mark.parametrize("mode", ["session", "batch"])
    def test_that_of_a_killed_run_is_used_again(
        self,
        service: RuntimeService,
        make: Make,
        doom: Doom,
        mode: str,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        first = doom(mode=mode)
        first.energy(START)
        path = first.killed()
        assert states(service) == ["active"]
        assert main(["show", str(path)]) == 0
        assert f"left open    {service.sessions[0].id}" in capsys.readouterr().out
        backend = make(mode=mode)
        with efaas.EFSession(backend, seed=7, journal=path) as session:
            energy = objective(session)
            energy(START)
            energy(2 * START)
            assert states(service) == ["active"]
        assert kinds(backend) == ["adopted", "closed"]
        assert states(service) == ["closed"]
        assert len({job.session_id for job in service.jobs}) == 1
        assert len(service.jobs) == 2
        if mode == "session":
            assert backend.spending().session_seconds == pytest.approx(service.billed_seconds)

    def test_it_is_closed_where_another_mode_is_used(
        self, service: RuntimeService, make: Make, doom: Doom
    ) -> None:
        first = doom(mode="session")
        first.energy(START)
        path = first.killed()
        with efaas.EFSession(make(mode="job"), seed=7, journal=path) as session:
            objective(session)(2 * START)
            assert states(service) == ["closed"]

    def test_it_is_closed_where_all_that_is_asked_for_is_recorded(
        self, service: RuntimeService, make: Make, doom: Doom
    ) -> None:
        first = doom()
        first.energy(START)
        path = first.killed()
        with efaas.EFSession(make(), seed=7, journal=path) as session:
            objective(session)(START)
        assert states(service) == ["closed"]
        with Reader(path) as reader:
            [row] = reader.provider_sessions()
        assert row["id"] == service.sessions[0].id
        assert row["ended_at"] is not None

    def test_one_that_has_ended_meanwhile_is_followed_by_another(
        self, service: RuntimeService, make: Make, doom: Doom
    ) -> None:
        first = doom()
        first.energy(START)
        path = first.killed()
        service.close_session(service.sessions[0].id)
        backend = make()
        with efaas.EFSession(backend, seed=7, journal=path) as session:
            objective(session)(2 * START)
        assert kinds(backend) == ["ended", "opened", "closed"]
        assert states(service) == ["closed"] * 2

    def test_a_process_that_reads_the_journal_leaves_the_writers_session_alone(
        self, service: RuntimeService, make: Make, tmp_path: Path
    ) -> None:
        path = tmp_path / "run.efaas"
        with efaas.EFSession(make(), seed=7, journal=path) as session:
            objective(session)(START)
            reading = efaas.Journal(path, mode="read")
            with efaas.EFSession(make(), seed=7, journal=reading) as other:
                objective(other)(START)
            assert states(service) == ["active"]
        assert states(service) == ["closed"]

    def test_one_that_could_not_be_closed_is_closed_by_whoever_comes_next(
        self, service: RuntimeService, make: Make, tmp_path: Path
    ) -> None:
        path = tmp_path / "run.efaas"
        refused = service.inject(HttpError(401), "close_session", "cancel_session", count=None)
        backend = make(retries=RetryPolicy(attempts=2))
        with efaas.EFSession(backend, seed=7, journal=path) as session:
            objective(session)(START)
        assert "close failed" in kinds(backend)
        assert states(service) == ["active"]
        refused.remove()
        with efaas.EFSession(make(), seed=7, journal=path) as session:
            objective(session)(START)
        assert states(service) == ["closed"]
        assert len(service.jobs) == 1

    def test_two_journals_of_one_killed_process_name_the_same_one(
        self, service: RuntimeService, make: Make, tmp_path: Path
    ) -> None:
        dead = make()
        with efaas.EFScheduler(dead) as scheduler:
            for name in ("a", "b"):
                session = scheduler.session(seed=7, journal=tmp_path / name)
                objective(session)(START if name == "a" else 2 * START)
                session.close()
            dead._sessions._held.session = None
            dead._sessions._state = None
        backend = make()
        with efaas.EFScheduler(backend) as scheduler:
            for name in ("a", "b"):
                session = scheduler.session(seed=7, journal=tmp_path / name)
                objective(session)(3 * START if name == "a" else 4 * START)
        assert kinds(backend) == ["adopted", "closed"]
        assert states(service) == ["closed"]


class TestJobs:
    def test_an_evaluation_in_several_jobs_is_taken_over_from_all_of_them(
        self, service: RuntimeService, make: Make, doom: Doom
    ) -> None:
        limits = Limits(points=2)
        first = doom(limits=limits)
        service.pause("ibm_manila")
        first.energy.submit_many(POINTS)
        until(lambda: len(first.backend._courier.runs) == 3)
        path = first.killed()
        service.resume("ibm_manila")
        with efaas.EFSession(make(limits=limits), seed=7, journal=path) as session:
            found = [future.result() for future in objective(session).submit_many(POINTS)]
        assert np.isfinite(found).all()
        assert len(service.jobs) == 3
        assert billed_once(service)
        assert states(service) == ["closed"]

    def test_what_one_job_of_an_evaluation_gave_is_kept_where_another_failed(
        self, service: RuntimeService, make: Make, tmp_path: Path
    ) -> None:
        path, limits = tmp_path / "run.efaas", Limits(points=2)
        service.inject(JobFails("on fire"), when=lambda job: job.number == 1)
        with efaas.EFSession(make(limits=limits), seed=7, journal=path) as session:
            energy = objective(session)
            with pytest.raises(JobFailedError, match="on fire"):
                energy.submit_many(POINTS)[0].result()
        with efaas.EFSession(make(limits=limits), seed=7, journal=path) as session:
            found = [future.result() for future in objective(session).submit_many(POINTS)]
        assert np.isfinite(found).all()
        assert [job.num_circuits for job in service.jobs] == [4, 4, 2, 4]
        assert billed_once(service)

    @pytest.mark.parametrize("endpoint", ["results", "job"])
    @pytest.mark.parametrize("status", [400, 403, 404, 409])
    def test_a_job_that_may_not_be_read_now_is_read_later_and_not_sent_again(
        self, service: RuntimeService, make: Make, tmp_path: Path, status: int, endpoint: str
    ) -> None:
        refused = service.inject(HttpError(status), endpoint, count=None)
        found: list[float] = []
        for _ in range(2):
            with efaas.EFSession(make(), seed=7, journal=tmp_path / "run.efaas") as session:
                future = objective(session).submit(START)
                error = future.exception()
                found += [] if error else [future.result()]
            refused.remove()
        assert len(found) == 1
        assert [job.status for job in service.jobs] == ["Completed"]

    def test_a_job_that_went_with_its_session_after_the_kill_runs_again_in_another(
        self, service: RuntimeService, make: Make, doom: Doom
    ) -> None:
        first = doom()
        service.pause("ibm_manila")
        first.energy.submit(START)
        until(lambda: first.backend._courier.runs)
        path = first.killed()
        service.close_session(service.sessions[0].id, cancels_jobs=True)
        service.resume("ibm_manila")
        with efaas.EFSession(make(), seed=7, journal=path) as session:
            assert np.isfinite(objective(session)(START))
        assert [job.status for job in service.jobs] == ["Cancelled", "Completed"]
        assert states(service) == ["closed"] * 2

    def test_in_local_testing_mode_values_come_from_the_journal_too(self, tmp_path: Path) -> None:
        found = []
        for _ in range(2):
            backend = RuntimeBackend("fake_manila", options=FAST)
            with efaas.EFSession(backend, seed=7, journal=tmp_path / "run.efaas") as session:
                found.append(objective(session)(START))
                recalled = session.report().recalled
            backend.close()
        assert found[0] == found[1]
        assert recalled == 1
