"""Many loops at once, for long: nothing is lost, nothing runs twice, and memory does not grow."""

from __future__ import annotations

import gc
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qiskit.circuit.library import efficient_su2

import efaas
from efaas.journal.reading import Reader
from efaas.testing import FakeBackend

ANSATZ = efficient_su2(1, reps=0)
LOOPS = 64
POINTS = 8  # of a round
GROWTH_MB = 12.0


class Counting(FakeBackend):
    """Counts how often each point runs."""

    def __init__(self) -> None:
        super().__init__(value=lambda angles, seed: float(angles.sum()))
        self.ran: Counter[int] = Counter()

    def execute(self, evaluations: Any) -> Any:
        self.ran.update(seed for evaluation in evaluations for seed in evaluation.seeds)
        return super().execute(evaluations)


def resident_megabytes() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20


def run_loops(session: efaas.EFSession, rounds: int, first: int = 0) -> int:
    """64 loops side by side, each checking what it gets; how many values were right."""
    barrier = threading.Barrier(LOOPS)

    def loop(number: int) -> int:
        energy = session.objective(ANSATZ, "Z")
        barrier.wait(60)
        right = 0
        for turn in range(first, first + rounds):
            points = np.array([[number, POINTS * turn + k] for k in range(POINTS)], dtype=float)
            futures = energy.submit_many(points)
            found = [future.result(60 + 10 * rounds) for future in futures]
            right += sum(value == sum(point) for value, point in zip(found, points, strict=True))
        return right

    with ThreadPoolExecutor(LOOPS) as pool:
        return sum(pool.map(loop, range(LOOPS)))


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("has_journal", [True, False])
def test_64_loops_lose_nothing_and_run_nothing_twice(
    tmp_path: Path, has_journal: bool, is_soak: bool
) -> None:
    rounds = 100 if is_soak else 20
    device = Counting()
    path = tmp_path / "load.efaas"
    with efaas.EFSession(device, seed=1, journal=path if has_journal else None) as session:
        assert run_loops(session, rounds) == LOOPS * POINTS * rounds
        session._dispatcher.check_invariants()
    assert len(device.ran) == LOOPS * POINTS * rounds
    assert set(device.ran.values()) == {1}
    if has_journal:
        with Reader(path) as reader:
            assert reader.faults() == []
            assert reader.counts()["answered"] == LOOPS * POINTS * rounds


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.timeout(3600)
def test_memory_stays_flat_while_loops_come_and_go(tmp_path: Path, is_soak: bool) -> None:
    """What an evaluation leaves behind is in the file, but for how often it was asked for."""
    rounds = 50 if is_soak else 3
    device = FakeBackend()
    with efaas.EFSession(device, seed=1, journal=tmp_path / "load.efaas") as session:
        run_loops(session, 3)
        gc.collect()
        before = resident_megabytes()
        for turn in range(3):
            run_loops(session, rounds, first=turn * rounds)
        gc.collect()
        growth = resident_megabytes() - before
    evaluations = 3 * rounds * LOOPS * POINTS
    assert growth < GROWTH_MB + 3e-4 * evaluations, f"{growth} MB for {evaluations} evaluations"
