"""What a journal costs per evaluation, and what one that is recalled costs.

Run it with ``make bench`` or ``python benchmarks/journal_cost.py``. Sessions without a journal and
with each durability evaluate in turn, a point a round, on a device that takes no time, so all
of the difference is the journal's. A round of several points is written in one go; the second
table has rounds of 16.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from qiskit.circuit.library import efficient_su2

import efaas
from efaas.journal.settings import DURABILITIES
from efaas.testing import FakeBackend

ANSATZ = efficient_su2(4, reps=3)  # 32 parameters
TURNS = 300
ALLOWED_MS = 1.0


def seconds_per_point(objective: efaas.Objective, points: Any) -> float:
    started = time.perf_counter()
    for future in objective.submit_many(points):
        future.result()
    return (time.perf_counter() - started) / len(points)


def table(directory: Path, points_per_round: int) -> dict[str, float]:
    """The medians, in milliseconds per evaluation."""
    rng = np.random.default_rng(1)
    kinds = ("no journal", *DURABILITIES)
    sessions, objectives = {}, {}
    for kind in kinds:
        path = directory / f"{kind}-{points_per_round}.efaas"
        journal = None if kind == "no journal" else efaas.Journal(path, durability=kind)  # type: ignore[arg-type]
        sessions[kind] = efaas.EFSession(FakeBackend(), seed=1, journal=journal)
        objectives[kind] = sessions[kind].objective(ANSATZ, "ZZZZ")
    taken: dict[str, list[float]] = {kind: [] for kind in kinds}
    sets = [rng.normal(size=(points_per_round, 32)) for _ in range(TURNS)]
    # Syncing one file holds writers of others up, so "full" has its turns by itself.
    for together in (("no journal", "off", "normal"), ("full",)):
        for points in sets:
            for kind in together:
                taken[kind].append(seconds_per_point(objectives[kind], points))
    for session in sessions.values():
        session.close()
    path = directory / f"normal-{points_per_round}.efaas"
    with efaas.EFSession(FakeBackend(), seed=1, journal=path) as session:
        objective = session.objective(ANSATZ, "ZZZZ")
        taken["recalled"] = [seconds_per_point(objective, points) for points in sets]
        assert session.report().recalled == points_per_round * TURNS
    medians = {kind: 1e3 * statistics.median(values) for kind, values in taken.items()}
    print(f"{points_per_round} evaluation(s) a round, medians of {TURNS} rounds, ms an evaluation")
    alone = medians["no journal"]
    for kind, median in medians.items():
        print(f"  {kind:<12} {median:8.3f}   journal's part {median - alone:+8.3f}")
    size = path.stat().st_size / (points_per_round * TURNS)
    print(f"  file         {size:8.0f} bytes an evaluation of 32 parameters")
    return {kind: median - alone for kind, median in medians.items()}


def main() -> int:
    with tempfile.TemporaryDirectory() as directory:
        one = table(Path(directory), 1)
        table(Path(directory), 16)
    print(f"allowed with durability 'normal', the default: {ALLOWED_MS} ms")
    return 0 if one["normal"] < ALLOWED_MS else 1


if __name__ == "__main__":
    sys.exit(main())
