"""Provider jobs outlive their client: they are found again, and none is paid for twice."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit.circuit.library import efficient_su2

import efaas
from efaas.backends.protocol import Reattachable
from efaas.errors import InputError, JobFailedError
from efaas.testing import DurableBackend
from efaas.testing.reattach_contract import ReattachContract

ANSATZ = efficient_su2(1, reps=0)
POINTS = [np.full(2, 0.1 * k) for k in range(4)]


def values(
    directory: Path, *, on_open: Callable[[Any], None] | None = None, **settings: Any
) -> list[float]:
    device = DurableBackend(directory / "provider.jsonl", **settings)
    with efaas.EFSession(device, seed=2, journal=directory / "run.efaas") as session:
        if on_open is not None:
            on_open(session)
        energy = session.objective(ANSATZ, "Z")
        return [energy(point) for point in POINTS]


def billed(directory: Path) -> Counter[int]:
    return Counter(Counter(DurableBackend(directory / "provider.jsonl").billed()).values())


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> list[float]:
    return values(tmp_path_factory.mktemp("alone"))


class TestDurableBackend(ReattachContract):
    """What these tests stand on keeps the contract."""

    @pytest.fixture(autouse=True)
    def _provider(self, tmp_path: Path) -> None:
        self.path = tmp_path / "provider.jsonl"

    def make_backend(self) -> Any:
        return DurableBackend(self.path, evaluations_per_job=2)

    def jobs_at_provider(self) -> int:
        return len(DurableBackend(self.path).jobs())


def test_a_run_resumed_from_any_instant_is_the_same_and_billed_once(
    tmp_path: Path, expected: list[float]
) -> None:
    """The journal and the provider as they stood around each write, resumed from each.

    Among them: before the job was sent, after the provider took it and before its id came, and
    after the id and before the result.
    """
    original = tmp_path / "original"
    original.mkdir()
    copies: list[Path] = []

    def copy(statement: str = "COMMIT") -> None:
        if statement.startswith("COMMIT"):
            copies.append(tmp_path / str(len(copies)))
            shutil.copytree(original, copies[-1])

    class Copying(DurableBackend):
        def _accepted(self, *arguments: Any) -> Any:
            copy()
            job = super()._accepted(*arguments)
            copy()
            return job

    device = Copying(original / "provider.jsonl")
    with efaas.EFSession(device, seed=2, journal=original / "run.efaas") as session:
        session._book._store.connection.set_trace_callback(copy)
        energy = session.objective(ANSATZ, "Z")
        assert [energy(point) for point in POINTS] == expected
        session._book._store.connection.set_trace_callback(None)
    assert len(copies) > 5 * len(POINTS)
    for directory in copies:
        (directory / "run.efaas-lock").unlink()
        assert values(directory) == expected
        assert billed(directory) == {1: len(POINTS)}


def test_a_job_whose_id_was_lost_is_found_by_its_tag_and_not_sent_again(
    tmp_path: Path, expected: list[float]
) -> None:
    """In the same life: where the connection breaks, the job is looked for at once."""
    assert values(tmp_path, lose_answer=lambda number: number in (0, 2)) == expected
    assert billed(tmp_path) == {1: len(POINTS)}


@settings(max_examples=10)
@given(lost=st.sets(st.integers(0, 8)), refused=st.sets(st.integers(0, 8)), size=st.integers(1, 3))
def test_lost_answers_and_refusals_cost_no_value_and_no_money(
    tmp_path_factory: pytest.TempPathFactory, lost: set[int], refused: set[int], size: int
) -> None:
    """Life after life until one of them gets through."""
    directory = tmp_path_factory.mktemp("faults")

    def life() -> list[float] | None:
        device = DurableBackend(
            directory / "provider.jsonl",
            evaluations_per_job=size,
            lose_answer=lambda number: number in lost,
            refuse=lambda number: number in refused - lost,
        )
        with efaas.EFSession(device, seed=2, journal=directory / "run.efaas") as session:
            energy = session.objective(ANSATZ, "Z")
            futures = [energy.submit(point) for point in POINTS]
            try:
                return [future.result() for future in futures]
            except JobFailedError:
                return None

    found = None
    for _ in range(12):
        found = life()
        if found is not None:
            break
        lost = {number - 1 for number in lost}
        refused = {number - 1 for number in refused}
    assert found == values(directory)
    assert billed(directory) == {1: len(POINTS)}


def test_a_job_is_on_the_disk_before_it_is_sent_and_so_is_its_id(tmp_path: Path) -> None:
    """With the default durability, which otherwise leaves the time to the system."""
    happened: list[str] = []

    class Noting(DurableBackend):
        def _accepted(self, *arguments: Any) -> Any:
            happened.append("sent")
            return super()._accepted(*arguments)

    device = Noting(tmp_path / "provider.jsonl")
    with efaas.EFSession(device, seed=2, journal=tmp_path / "run.efaas") as session:
        energy = session.objective(ANSATZ, "Z")
        session._book._store.connection.set_trace_callback(happened.append)
        energy(POINTS[0])
        session._book._store.connection.set_trace_callback(None)
    steps = [
        line.split()[0] if "synchronous" not in line else line.split()[-1]
        for line in happened
        if line.startswith(("COMMIT", "PRAGMA", "sent", "INSERT INTO submissions"))
    ]
    synced = ["COMMIT", "FULL", "COMMIT", "NORMAL"]
    assert steps == ["INSERT", *synced, "sent", *synced, "COMMIT"]


def test_a_job_that_the_provider_never_got_is_sent_again(
    tmp_path: Path, expected: list[float]
) -> None:
    class Dying(DurableBackend):
        def _accepted(self, *_: Any) -> Any:
            raise ConnectionError("nothing went out")

    device = Dying(tmp_path / "provider.jsonl")
    with efaas.EFSession(device, seed=2, journal=tmp_path / "run.efaas") as session:
        with pytest.raises(JobFailedError):
            session.objective(ANSATZ, "Z")(POINTS[0])
        states = [row[0] for row in session._book._store.read("SELECT state FROM submissions")]
    assert states == ["lost"]
    assert values(tmp_path) == expected


def test_a_job_that_failed_at_the_provider_runs_again(
    tmp_path: Path, expected: list[float]
) -> None:
    with pytest.raises(JobFailedError, match="it failed"):
        values(tmp_path, fail_job=lambda number: number == 1)
    assert values(tmp_path) == expected
    assert billed(tmp_path) == {1: len(POINTS) - 1, 2: 1}, "a failed job is billed by the provider"


def test_two_journals_share_a_job_and_each_finds_its_own_part(tmp_path: Path) -> None:
    """A round of two sessions is one job; its client dies before the answer."""

    class Dying(DurableBackend):
        def reattach(self, submission: Any) -> Any:
            raise ConnectionError("still no connection")

    path = tmp_path / "provider.jsonl"
    dying = Dying(path, manual=True, lose_answer=lambda number: number > 0)
    ran: list[Any] = []
    for device in (dying, DurableBackend(path)):
        with efaas.EFScheduler(device, ordering="fifo") as scheduler:
            sessions = [
                scheduler.session(seed=n, journal=tmp_path / f"{n}.efaas") for n in range(3)
            ]
            energies = [session.objective(ANSATZ, "Z") for session in sessions]
            futures = [energies[0].submit(POINTS[0])]
            if device is dying:
                device.wait_for_round()  # the others wait for it, and go out together
            futures += [energy.submit(POINTS[1]) for energy in energies]
            if device is dying:
                device.close()
            ran.append([future.exception() or future.result() for future in futures])
    assert isinstance(ran[0][0], float)
    assert all(isinstance(error, JobFailedError) for error in ran[0][1:])
    jobs = DurableBackend(path).jobs()
    assert [len(job["parts"]) for job in jobs] == [1, 3], "all three were in one job"
    assert billed(tmp_path) == {1: 4}
    assert all(isinstance(value, float) for value in ran[1])


def test_what_is_spent_is_added_up_over_all_lives(tmp_path: Path) -> None:
    values(tmp_path, lose_answer=lambda number: number == 2)
    spent = []
    values(tmp_path, on_open=lambda session: spent.append(session.spend))
    [spend] = spent
    assert spend.evaluations == len(POINTS)
    assert spend.submissions == len(POINTS)
    assert spend.qpu_seconds == pytest.approx(1e-3 * len(POINTS))


def test_the_fake_is_reattachable_and_gives_no_samples(tmp_path: Path) -> None:
    device = DurableBackend(tmp_path / "provider.jsonl")
    assert isinstance(device, Reattachable)
    with efaas.EFSession(device, seed=2, journal=tmp_path / "run.efaas") as session:
        circuit = ANSATZ.assign_parameters(POINTS[0])
        circuit.measure_all()
        error = session.sample(circuit, shots=5).exception()
    assert isinstance(error, JobFailedError)
    assert isinstance(error.__cause__, InputError)
