"""A VQE that is killed again and again: ``python -m tests.journal.killed_runs DIR KILLS SEED``.

Everything is imported once; each life is a forked child that runs the same script on the same
journal, until SIGKILL or its end. What it prints is JSON: the kills, and for each whole life after
them whether the result was that of an uninterrupted run, and how often each point was billed.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from qiskit.circuit.library import efficient_su2

import efaas
from efaas.testing import DurableBackend
from tests.lives import lived

ANSATZ = efficient_su2(2, reps=1)
METHODS = ("COBYLA", "Nelder-Mead", "BFGS")
DURABILITIES: tuple[Any, ...] = ("normal", "off", "normal", "full", "normal", "off")
EVALUATIONS = 25
MOST_DEATHS = 20  # of one run


def vqe(ledger: Path, journal: Any, method: str, *, on_device: Any = None) -> str:
    """Run to the end; the bits of the result."""
    device = DurableBackend(ledger, evaluations_per_job=2)
    if on_device is not None:
        on_device(device)
    limit = "maxiter" if method == "COBYLA" else "maxfev"
    passed: dict[str, Any] = {"options": {limit: EVALUATIONS}}
    if method == "BFGS":
        passed = {"options": {"maxiter": 2}, "jac": "parameter-shift"}
    with efaas.EFSession(device, seed=11, journal=journal) as session:
        energy = session.objective(ANSATZ, "ZZ")
        result = efaas.minimize(energy, np.full(8, 0.4), method=method, **passed)
    return json.dumps([result.x.tobytes().hex(), float(result.fun).hex(), int(result.nfev)])


def main(directory: Path, kills: int, seed: int) -> dict[str, Any]:
    """Kill so often; count what came of it."""
    chance = random.Random(seed)
    expected: dict[str, str] = {}
    seconds: dict[str, float] = {}
    for method in METHODS:
        expected[method] = vqe(directory / "alone.jsonl", None, method)
        begun = time.perf_counter()
        vqe(directory / "alone.jsonl", directory / f"{method}.efaas", method)
        seconds[method] = time.perf_counter() - begun
    killed = lives = wrong = 0
    billed: Counter[int] = Counter()
    progress: Counter[str] = Counter()
    while killed < kills:
        lives += 1
        method = METHODS[lives % len(METHODS)]
        ledger = directory / f"{lives}.jsonl"
        journal = efaas.Journal(
            directory / f"{lives}.efaas", DURABILITIES[lives % len(DURABILITIES)]
        )
        result, deaths = None, 0
        while result is None:
            # However slow the machine has become meanwhile, each run comes to its end.
            is_last = killed >= kills or deaths >= MOST_DEATHS
            stretched = 1.2 * seconds[method] * 1.1**deaths
            begun = time.perf_counter()
            result = lived(
                partial(vqe, ledger, journal, method),
                600.0 if is_last else chance.uniform(0, stretched),
            )
            if result is not None and deaths == 0:
                seconds[method] = time.perf_counter() - begun  # as fast as the machine is now
            if result is None:
                killed, deaths = killed + 1, deaths + 1
                progress[f"{method} {len(DurableBackend(ledger).jobs())}"] += 1
        wrong += result != expected[method]
        billed.update(Counter(DurableBackend(ledger).billed()).values())
        for path in directory.glob(f"{lives}.*"):
            path.unlink()
    counts = {"killed": killed, "lives": lives, "wrong": wrong}
    return counts | {"billed": billed, "progress": progress, "seconds": seconds}


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))
