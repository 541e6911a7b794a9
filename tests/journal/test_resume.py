"""A run that was stopped and begun again is the run that was not stopped."""

from __future__ import annotations

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit.library import efficient_su2

import efaas
from efaas.clock import VirtualClock
from efaas.errors import JournalError
from efaas.journal.reading import Reader
from efaas.testing import FakeBackend

ANSATZ = efficient_su2(2, reps=1)
X0 = np.full(8, 0.3)
RUNS: dict[str, dict[str, Any]] = {
    "COBYLA": {"method": "COBYLA", "options": {"maxiter": 40}},
    "Nelder-Mead": {"method": "Nelder-Mead", "options": {"maxfev": 40}},
    "BFGS by finite differences": {"method": "BFGS", "options": {"maxiter": 3}},
    "BFGS by parameter shift": {
        "method": "BFGS",
        "jac": "parameter-shift",
        "options": {"maxiter": 3},
    },
    "SPSA": {"method": efaas.optimize.spsa, "options": {"maxiter": 15, "rng": 5}},
    "Rotosolve": {"method": efaas.optimize.rotosolve, "options": {"maxiter": 1}},
}


def run(name: str, journal: Any, device: Any = None, **limits: Any) -> tuple[Any, FakeBackend]:
    device = device or FakeBackend()
    with efaas.EFSession(device, seed=9, journal=journal) as session:
        energy = session.objective(ANSATZ, "ZZ")
        result = efaas.minimize(energy, X0, **RUNS[name], **limits)
    return (result.x.tobytes(), float(result.fun).hex(), result.nfev), device


@pytest.mark.parametrize("name", RUNS)
def test_a_run_with_a_journal_is_the_run_without_and_runs_once(name: str, tmp_path: Path) -> None:
    """Every evaluation is run in one of the lives, and none in two."""
    expected, alone = run(name, None, speculation="off")
    journal = tmp_path / "run.efaas"
    total = 0
    for rounds in (2, 5, 9):
        _, device = run(name, journal, max_rounds=rounds, speculation="off")
        total += sum(device.rounds)
    found, device = run(name, journal, speculation="off")
    total += sum(device.rounds)
    assert found == expected
    assert total == sum(alone.rounds)
    again, device = run(name, journal)
    assert again == expected
    assert device.rounds == [], "all of it was in the journal, and nothing was guessed"


@settings(max_examples=8)
@given(name=st.sampled_from(sorted(RUNS)), stops=st.lists(st.integers(1, 12), max_size=3))
def test_guessing_changes_nothing_wherever_a_run_was_stopped(
    tmp_path_factory: pytest.TempPathFactory, name: str, stops: list[int]
) -> None:
    """Guesses that finished are in the journal too, and are used when they are asked for."""
    journal = tmp_path_factory.mktemp("resume") / "run.efaas"
    seeds: list[int] = []

    class Counting(FakeBackend):
        def execute(self, evaluations: Any) -> Any:
            seeds.extend(seed for evaluation in evaluations for seed in evaluation.seeds)
            return super().execute(evaluations)

    for rounds in stops:
        run(name, journal, Counting(), max_rounds=rounds)
    found, _ = run(name, journal, Counting())
    assert found == run(name, None)[0]
    assert len(seeds) == len(set(seeds)), "no point was run twice"


def test_a_resumed_run_guesses_from_where_it_goes_on_and_not_before(tmp_path: Path) -> None:
    """Where guessing pays: rounds that cost a hundred evaluations."""
    lives: list[list[int]] = []

    class Counting(FakeBackend):
        def execute(self, evaluations: Any) -> Any:
            lives[-1].extend(seed for evaluation in evaluations for seed in evaluation.seeds)
            return super().execute(evaluations)

    def life(**limits: Any) -> Any:
        lives.append([])
        clock = VirtualClock()
        device = Counting(clock=clock, round_seconds=1.0, evaluation_seconds=0.01)
        journal = tmp_path / "guessing.efaas"
        with efaas.EFSession(device, seed=9, journal=journal, clock=clock) as session:
            energy = session.objective(ANSATZ, "ZZ")
            return efaas.minimize(energy, X0, **RUNS["Nelder-Mead"], **limits)

    stopped = life(max_rounds=6)
    assert stopped.speculation.hits > 0
    result = life()
    assert (result.x.tobytes(), float(result.fun).hex(), result.nfev) == run("Nelder-Mead", None)[0]
    assert result.speculation.hits > 0
    assert lives[1]
    assert not set(lives[0]) & set(lives[1])
    life()
    assert lives[2] == []


def test_a_seed_that_was_drawn_is_the_journals_from_then_on(tmp_path: Path) -> None:
    values = []
    for _ in range(2):
        with efaas.EFSession(FakeBackend(), journal=tmp_path / "a.efaas") as session:
            values.append((session.seed, session.objective(ANSATZ, "Z" * 2)(X0)))
    assert values[0] == values[1]


def test_pubs_are_taken_from_the_journal_to_the_bit(tmp_path: Path) -> None:
    circuit = QuantumCircuit(2, 2)
    circuit.h(0)
    circuit.measure([0, 1], [0, 1])

    def pubs() -> tuple[Any, FakeBackend]:
        device = FakeBackend()
        with efaas.EFSession(device, seed=3, journal=tmp_path / "pubs.efaas") as session:
            counts = session.sample(circuit, shots=50)
            points = session.estimate(ANSATZ, [["ZZ"], ["XX"]], np.stack([X0, X0 + 1]))
            evs, stds = points.result().data.evs, points.result().data.stds
            bits = counts.result().data.c.array
            return (bits.tobytes(), evs.tobytes(), stds.tobytes()), device

    first, device = pubs()
    assert sum(device.rounds) > 0
    again, device = pubs()
    assert again == first
    assert device.rounds == []


def test_only_the_points_that_are_missing_are_run(tmp_path: Path) -> None:
    journal = tmp_path / "some.efaas"
    points = [X0 + k for k in range(4)]
    with efaas.EFSession(FakeBackend(), seed=3, journal=journal) as session:
        first = [f.result() for f in session.objective(ANSATZ, "ZZ").submit_many(points[:3])]
    device = FakeBackend()
    with efaas.EFSession(device, seed=3, journal=journal) as session:
        energy = session.objective(ANSATZ, "ZZ")
        futures = energy.submit_many(points)
        assert [f.result() for f in futures[:3]] == first
        assert session.report().recalled == 0, "a job is recalled as a whole, or runs the rest"
        assert device.rounds == [1]
    with efaas.EFSession(device, seed=3, journal=journal) as session:
        future = session.objective(ANSATZ, "ZZ").submit(points[3])
        assert future.job is not None
        assert future.job.is_recalled
        assert "taken from the journal: 1 evaluations" in str(session.report())
        assert device.rounds == [1]


def test_the_value_of_a_withdrawn_guess_is_not_paid_for_again(tmp_path: Path) -> None:
    """Even in one life: what was guessed for nothing is found when it is asked for after all."""
    device = FakeBackend()
    with efaas.EFSession(device, seed=3, journal=tmp_path / "g.efaas") as session:
        energy = session.objective(ANSATZ, "ZZ")
        ask = efaas.optimize.asks.Ask(X0)
        other = efaas.optimize.asks.Ask(X0 + 1)
        [future], [guess] = energy.submit_round([other], [(ask, None)])
        future.result()
        guess.future.result()
        guess.withdraw()
        ran = sum(device.rounds)
        assert energy(X0) == guess.future.result()
        assert sum(device.rounds) == ran


def test_loops_on_several_threads_resume_each_on_its_own(tmp_path: Path) -> None:
    journal = tmp_path / "many.efaas"

    def loops(**limits: Any) -> tuple[list[Any], FakeBackend]:
        device = FakeBackend()
        with efaas.EFSession(device, seed=4, journal=journal) as session:
            energies = [session.objective(ANSATZ, "ZZ") for _ in range(6)]
            with ThreadPoolExecutor(6) as pool:
                found = pool.map(
                    lambda energy: efaas.minimize(energy, X0, **RUNS["COBYLA"], **limits), energies
                )
                return [result.x.tobytes() for result in found], device

    loops(max_rounds=8)
    finished, _ = loops()
    assert len(set(finished)) == 6
    journal.unlink()
    assert loops()[0] == finished


def test_sessions_of_one_scheduler_have_a_journal_each(tmp_path: Path) -> None:
    device = FakeBackend()
    ran = []
    for _ in range(2):
        with efaas.EFScheduler(device) as scheduler:
            sessions = [
                scheduler.session(seed=n, journal=tmp_path / f"{n}.efaas") for n in range(3)
            ]
            energies = [session.objective(ANSATZ, "ZZ") for session in sessions]
            barrier = threading.Barrier(3)

            def values(energy: Any, barrier: threading.Barrier = barrier) -> list[float]:
                barrier.wait(30)
                return [energy(X0 + k) for k in range(5)]

            with ThreadPoolExecutor(3) as pool:
                ran.append(list(pool.map(values, energies)))
    assert ran[0] == ran[1]
    assert sum(device.rounds) == 15


def test_on_a_device_that_never_repeats_itself_every_value_is_used_once(tmp_path: Path) -> None:
    """As on hardware: a second run of the same point gives another value."""
    outputs: list[float] = []

    def value(angles: Any, seed: int) -> float:
        outputs.append(float(len(outputs)))
        return outputs[-1]

    points = [X0, X0 + 1, X0, X0, X0 + 2, X0 + 1, X0]  # some of them several times
    seen: list[list[float]] = []
    for count in (3, 5, 7, 7):
        device = FakeBackend(value=value)
        with efaas.EFSession(device, seed=3, journal=tmp_path / "h.efaas") as session:
            energy = session.objective(ANSATZ, "ZZ")
            seen.append([energy(point) for point in points[:count]])
    assert seen[-1] == outputs == [float(k) for k in range(7)]
    assert all(values == outputs[: len(values)] for values in seen)


def test_a_loop_resumed_under_another_calibration_says_so(tmp_path: Path) -> None:
    journal = tmp_path / "c.efaas"
    device = FakeBackend()
    for _ in range(2):
        with efaas.EFSession(device, seed=3, journal=journal) as session:
            session.objective(ANSATZ, "ZZ")(X0)
            device.recalibrate()
            session.objective(ANSATZ, "ZZ")
    with Reader(journal) as reader:
        texts = [text for _, kind, _, text in reader.events() if kind == "recalibrated"]
    assert texts[0] == "resumed on fake under fake-1; before under fake"


@pytest.mark.parametrize("is_resumed", [False, True])
def test_a_guess_from_before_a_change_of_calibration_answers_nothing_after_it(
    tmp_path: Path, is_resumed: bool
) -> None:
    """What was asked for before the change stays as it was, though."""
    values = itertools.count(1.0)
    device = FakeBackend(value=lambda angles, seed: next(values))
    ask = efaas.optimize.asks.Ask(X0)
    other = efaas.optimize.asks.Ask(X0 + 1)
    journal = tmp_path / "g.efaas"
    with efaas.EFSession(device, seed=3, journal=journal) as session:
        energy = session.objective(ANSATZ, "ZZ")
        [future], [guess] = energy.submit_round([other], [(ask, None)])
        assert {future.result(), guess.future.result()} == {1.0, 2.0}
        guess.withdraw()
        device.recalibrate(ln_esp=-1.0)
        if not is_resumed:
            assert energy(X0) == 3.0
    with efaas.EFSession(device, seed=3, journal=journal) as session:
        energy = session.objective(ANSATZ, "ZZ")
        assert energy(X0 + 1) == future.result()
        assert energy(X0) == 3.0
        assert session.spend is not None
        assert session.spend.evaluations == 3
    with Reader(journal) as reader:
        assert reader.faults() == []


def test_a_failed_evaluation_is_tried_again_by_the_next_life(tmp_path: Path) -> None:
    journal = tmp_path / "f.efaas"
    broken = FakeBackend(error=lambda evaluation: OSError("no connection"))
    with efaas.EFSession(broken, seed=1, journal=journal) as session:
        error = session.objective(ANSATZ, "ZZ").submit(X0).exception()
        assert isinstance(error, efaas.errors.JobFailedError)
    with efaas.EFSession(FakeBackend(), seed=1, journal=journal) as session:
        value = session.objective(ANSATZ, "ZZ")(X0)
    with efaas.EFSession(FakeBackend(), seed=1) as session:
        assert session.objective(ANSATZ, "ZZ")(X0) == value


def test_a_loop_resumes_on_the_backend_that_it_was_on(tmp_path: Path) -> None:
    """Whatever the placement would choose now."""
    places = []
    for fidelities in ((-0.1, -2.0), (-2.0, -0.1)):
        devices = [
            FakeBackend(name, ln_esp=esp) for name, esp in zip("ab", fidelities, strict=True)
        ]
        with efaas.EFSession(devices, seed=1, journal=tmp_path / "p.efaas") as session:
            places.append(session.objective(ANSATZ, "ZZ").profile.backend)
    assert places == ["a", "a"]


def test_reading_takes_values_and_writes_none(tmp_path: Path) -> None:
    journal = tmp_path / "r.efaas"
    with efaas.EFSession(FakeBackend(), seed=1, journal=journal) as session:
        value = session.objective(ANSATZ, "ZZ")(X0)
        before = journal.read_bytes()
        reader = efaas.Journal(journal, mode="read")
        device = FakeBackend()
        with efaas.EFSession(device, journal=reader) as other:
            energy = other.objective(ANSATZ, "ZZ")
            assert energy(X0) == value
            energy(X0 + 1)
            assert device.rounds == [1]
        assert journal.read_bytes() == before
    with pytest.raises(JournalError, match="no journal"):
        efaas.EFSession(FakeBackend(), journal=efaas.Journal(tmp_path / "none", mode="read"))


def test_an_aer_run_resumes_to_the_bit(tmp_path: Path) -> None:
    def run_on_aer(journal: Any, **limits: Any) -> tuple[bytes, float, int]:
        with efaas.EFSession("fake_manila", seed=5, journal=journal) as session:
            energy = session.objective(ANSATZ, "ZZ", shots=256)
            result = efaas.minimize(energy, X0, method="COBYLA", options={"maxiter": 25}, **limits)
            return result.x.tobytes(), result.fun, session.report().recalled

    journal = tmp_path / "aer.efaas"
    run_on_aer(journal, max_rounds=5)
    x, fun, recalled = run_on_aer(journal)
    assert (x, fun) == run_on_aer(None)[:2]
    assert recalled > 0
