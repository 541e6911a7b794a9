"""A budget holds for a run over all its lives: who resumes does not pay more than it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import efaas
from efaas.backends import RetryPolicy, RuntimeBackend
from efaas.errors import JobFailedError
from efaas.journal.__main__ import main
from efaas.optimize.limits import BUDGET_REACHED
from efaas.testing.runtime_service import Disconnect, Garble, HttpError, JobFails, RuntimeService
from tests.runtime.conftest import endpoints, objective, until

if TYPE_CHECKING:
    from tests.runtime.doomed import Doomed

    Doom = Callable[..., Doomed]
    Make = Callable[..., RuntimeBackend]

START = np.array([0.4, -0.3])
OPTIONS = {"maxiter": 12}


def minimized(backend: RuntimeBackend, journal: Path) -> Any:
    """A run of a job for each evaluation: a guess that came true would save one."""
    with efaas.EFSession(backend, seed=7, journal=journal) as session:
        return efaas.minimize(
            objective(session), START, method="COBYLA", options=OPTIONS, speculation="off"
        )


def used(service: RuntimeService) -> float:
    return sum(job.qpu_seconds for job in service.jobs)


BUDGETS = [
    efaas.Budget(jobs=3),
    efaas.Budget(qpu_seconds=8.0),
    efaas.Budget(money=13.0, price_per_second=1.6),
]


@pytest.mark.parametrize("budget", BUDGETS, ids=["jobs", "qpu_seconds", "money"])
def test_a_resumed_run_whose_budget_is_used_up_stops_at_once_with_the_best_so_far(
    service: RuntimeService, make: Make, tmp_path: Path, budget: efaas.Budget
) -> None:
    path = tmp_path / "run.efaas"
    first = minimized(make(budget=budget, mode="job"), path)
    jobs, asked = len(service.jobs), len(service.requests)
    assert first.status == BUDGET_REACHED
    assert jobs >= 2
    backend = make(budget=budget, mode="job")
    again = minimized(backend, path)
    assert again.status == BUDGET_REACHED
    assert (again.fun, list(again.x)) == (first.fun, list(first.x))
    assert len(service.jobs) == jobs
    assert not {"submit", "open_session"} & set(endpoints(service)[asked:])
    spending = backend.spending()
    assert (spending.jobs, spending.earlier_jobs) == (jobs, jobs)
    assert spending.qpu_seconds == pytest.approx(used(service))


def test_with_a_larger_budget_the_run_goes_on_to_the_result_of_one_without(
    service: RuntimeService, make: Make, tmp_path: Path
) -> None:
    path = tmp_path / "run.efaas"
    alone = minimized(make(mode="job", seeded=True), tmp_path / "alone.efaas")
    for jobs in (2, 5, 7):
        stopped = minimized(make(budget=efaas.Budget(jobs=jobs), mode="job", seeded=True), path)
        assert stopped.status == BUDGET_REACHED
    backend = make(budget=efaas.Budget(jobs=OPTIONS["maxiter"]), mode="job", seeded=True)
    result = minimized(backend, path)
    assert result.status != BUDGET_REACHED
    assert (result.fun, list(result.x)) == (alone.fun, list(alone.x))
    assert backend.spending().jobs == OPTIONS["maxiter"]
    assert len(service.jobs) == 2 * OPTIONS["maxiter"]


@pytest.mark.parametrize(
    "budget",
    [
        efaas.Budget(session_seconds=60.0),
        efaas.Budget(money=120.0, price_per_second=2.0),
    ],
    ids=["session_seconds", "money"],
)
def test_the_time_of_provider_sessions_adds_up_over_lives(
    service: RuntimeService, make: Make, tmp_path: Path, budget: efaas.Budget
) -> None:
    path = tmp_path / "run.efaas"
    for life in range(1, 20):
        backend = make(budget=budget, mode="session")
        with efaas.EFSession(backend, seed=7, journal=path) as session:
            energy = objective(session)
            try:
                energy(life * START)
                service.advance(17.0)  # it thinks, and pays for that
            except JobFailedError as error:
                assert "the budget is reached" in str(error)  # noqa: PT017 - the loop's end
                break
        assert backend.spending().session_seconds == pytest.approx(service.billed_seconds)
    assert life == 5
    assert 55.0 < service.billed_seconds <= 60.0
    assert backend.spending().earlier_session_seconds == pytest.approx(service.billed_seconds)
    opened = len(service.sessions)
    assert minimized(make(budget=budget, mode="session"), path).status == BUDGET_REACHED
    assert len(service.sessions) == opened


def test_the_session_that_a_killed_run_left_open_is_paid_from_the_same_budget(
    service: RuntimeService, make: Make, doom: Doom
) -> None:
    first = doom(mode="session", budget=efaas.Budget(session_seconds=30.0))
    first.energy(START)
    path = first.killed()
    service.advance(40.0)  # its maximum time is over meanwhile
    backend = make(mode="session", budget=efaas.Budget(session_seconds=30.0))
    assert minimized(backend, path).status == BUDGET_REACHED
    assert service.billed_seconds == 30.0
    assert backend.spending().session_seconds == 30.0
    assert len(service.sessions) == 1


def test_a_job_of_a_killed_run_is_set_aside_until_it_is_known_what_it_took(
    service: RuntimeService, make: Make, doom: Doom
) -> None:
    budget = efaas.Budget(qpu_seconds=20.0)
    first = doom(mode="job", budget=budget)
    service.pause("ibm_manila")
    first.energy.submit(START)
    until(lambda: first.backend._courier.runs)
    path = first.killed()
    backend = make(mode="job", budget=budget)
    with efaas.EFSession(backend, seed=7, journal=path) as session:
        assert backend.spending().reserved_seconds == 12.0
        energy = objective(session)
        other = energy.submit(2 * START)
        with pytest.raises(JobFailedError, match="set aside, by earlier runs"):
            energy.submit(3 * START).result()
        service.resume("ibm_manila")
        assert np.isfinite(other.result())
        assert np.isfinite(energy(START))
        assert np.isfinite(energy(3 * START))  # there is room now
    assert len(service.jobs) == 3
    assert backend.spending().qpu_seconds == pytest.approx(used(service))
    assert backend.spending().reserved_seconds == 0.0


def test_a_job_that_never_arrived_costs_nothing(
    service: RuntimeService, make: Make, tmp_path: Path
) -> None:
    path = tmp_path / "run.efaas"
    budget = efaas.Budget(jobs=1)
    service.inject(Disconnect(), "submit", count=None)
    service.inject(HttpError(503), "jobs", count=None)
    cut_off = make(mode="job", budget=budget, retries=RetryPolicy(attempts=2))
    with efaas.EFSession(cut_off, seed=7, journal=path) as session:
        with pytest.raises(JobFailedError, match="looking for a job by its tag"):
            objective(session)(START)
        assert cut_off.spending().jobs == 1, "it may have arrived"
    service.clear_faults()
    backend = make(mode="job", budget=budget)
    with efaas.EFSession(backend, seed=7, journal=path) as session:
        assert backend.spending().jobs == 1
        assert np.isfinite(objective(session)(START))
    assert (backend.spending().jobs, backend.spending().earlier_jobs) == (1, 0)
    assert len(service.jobs) == 1


def test_a_job_that_failed_was_paid_for(
    service: RuntimeService, make: Make, tmp_path: Path
) -> None:
    path = tmp_path / "run.efaas"
    service.inject(JobFails("on fire"))
    with (
        efaas.EFSession(make(mode="job"), seed=7, journal=path) as session,
        pytest.raises(JobFailedError, match="on fire"),
    ):
        objective(session)(START)
    backend = make(mode="job", budget=efaas.Budget(jobs=1))
    with efaas.EFSession(backend, seed=7, journal=path) as session:
        assert used(service) > 0
        assert backend.spending().earlier_qpu_seconds == pytest.approx(used(service))
        with pytest.raises(JobFailedError, match="the budget is reached"):
            objective(session)(START)


def test_what_the_provider_had_not_told_when_a_run_ended_is_asked_for_by_the_next(
    service: RuntimeService, make: Make, tmp_path: Path
) -> None:
    path = tmp_path / "run.efaas"
    silent = service.inject(Garble("schema"), "metrics", count=None)
    first = make(mode="job")
    with efaas.EFSession(first, seed=7, journal=path) as session:
        objective(session)(START)
    assert first.spending().unmeasured == 1
    silent.remove()
    backend = make(mode="job", budget=efaas.Budget(qpu_seconds=5.0))
    with efaas.EFSession(backend, seed=7, journal=path) as session:
        objective(session)(2 * START)
    assert backend.spending().unmeasured == 0
    assert backend.spending().qpu_seconds == pytest.approx(used(service))


def test_sessions_of_one_process_count_a_journal_once(
    service: RuntimeService, make: Make, tmp_path: Path
) -> None:
    backend = make(mode="session")
    for _ in range(2):
        with efaas.EFSession(backend, seed=7, journal=tmp_path / "run.efaas") as session:
            objective(session)(START)
    assert backend.spending().jobs == len(service.jobs) == 1
    assert backend.spending().earlier_jobs == 0
    assert backend.spending().session_seconds == pytest.approx(service.billed_seconds)


def test_a_round_shared_by_two_journals_is_counted_once(
    service: RuntimeService, make: Make, tmp_path: Path
) -> None:
    def both(backend: RuntimeBackend) -> None:
        with efaas.EFScheduler(backend) as scheduler:
            sessions = [
                scheduler.session(seed=7, journal=tmp_path / name, tenant=name) for name in "ab"
            ]
            energies = [objective(session) for session in sessions]
            futures = [energy.submit((1 + n) * START) for n, energy in enumerate(energies)]
            assert np.isfinite([future.result() for future in futures]).all()

    service.pause("ibm_manila")
    first = make(mode="job")
    service.resume("ibm_manila")
    both(first)
    jobs = len(service.jobs)
    backend = make(mode="job")
    both(backend)
    assert backend.spending().jobs == backend.spending().earlier_jobs == jobs
    assert backend.spending().qpu_seconds == pytest.approx(used(service))


def test_report_and_progress_show_the_whole_spend(
    service: RuntimeService, make: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "run.efaas"
    minimized(make(budget=efaas.Budget(jobs=3), mode="job"), path)
    backend = make(budget=efaas.Budget(jobs=8), mode="job")
    with efaas.EFSession(backend, seed=7, journal=path) as session:
        energy = objective(session)
        energy(9 * START)
        report = str(session.report())
        [use] = session._sight.standing(energy.loop_id, backend.name).budget
    assert "4 jobs" in report
    assert "of these 3 jobs" in report
    assert "in earlier runs" in report
    assert str(use) == "4 of 8 jobs"
    assert main(["show", str(path)]) == 0
    assert f"provider     4 jobs, {used(service):.6g} QPU s" in capsys.readouterr().out


def test_a_run_that_only_reads_does_not_pay_for_the_writers(make: Make, tmp_path: Path) -> None:
    path = tmp_path / "run.efaas"
    with efaas.EFSession(make(mode="job"), seed=7, journal=path) as session:
        objective(session)(START)
    backend = make(mode="job")
    reading = efaas.Journal(path, mode="read")
    with efaas.EFSession(backend, seed=7, journal=reading) as session:
        objective(session)(START)
    assert backend.spending().jobs == 0


def test_a_journal_of_an_older_version_counts_what_its_values_have_used(
    service: RuntimeService, make: Make, tmp_path: Path
) -> None:
    path = tmp_path / "run.efaas"
    with efaas.EFSession(make(mode="job"), seed=7, journal=path) as session:
        objective(session)(START)
    with closing(sqlite3.connect(path)) as connection:
        for name in ("expected_seconds", "reserved_seconds", "is_billed", "qpu_seconds"):
            connection.execute(f"ALTER TABLE submissions DROP COLUMN {name}")
        connection.execute("ALTER TABLE provider_sessions DROP COLUMN seconds")
        connection.execute("PRAGMA user_version = 2")
        connection.commit()
    backend = make(mode="job")
    with efaas.EFSession(backend, seed=7, journal=path) as session:
        objective(session)(START)
    assert backend.spending().earlier_jobs == 1
    assert backend.spending().earlier_qpu_seconds == pytest.approx(used(service))
