"""What a job costs on each executor: a no-op step, and an evaluation sent to its workers.

Run it with ``make bench`` or ``python benchmarks/executors.py``. Sides take turns in one run; the
cluster is a local one of two processes, and is left out where ``distributed`` is not installed.
"""

from __future__ import annotations

import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import numpy as np
from qiskit.circuit.library import efficient_su2

import efaas
from efaas.backends import AerBackend

TURNS = 200
WORKERS = 2


def milliseconds(call: Callable[[], Any]) -> float:
    started = time.perf_counter()
    call()
    return 1e3 * (time.perf_counter() - started)


def executors(stack: ExitStack) -> dict[str, Executor | None]:
    found: dict[str, Executor | None] = {
        "this process": None,
        "threads": stack.enter_context(ThreadPoolExecutor(WORKERS)),
        "processes": stack.enter_context(
            ProcessPoolExecutor(WORKERS, mp_context=multiprocessing.get_context("spawn"))
        ),
    }
    try:
        from distributed import Client, LocalCluster
    except ImportError:
        print("distributed is not installed: pip install 'efaas[dask]'")
        return found
    cluster = stack.enter_context(
        LocalCluster(
            n_workers=WORKERS,
            threads_per_worker=1,
            dashboard_address=None,
            silence_logs="ERROR",
        )
    )
    found["Dask"] = stack.enter_context(Client(cluster)).get_executor()
    return found


def main() -> int:
    ansatz = efficient_su2(4, reps=1)
    points = np.random.default_rng(1).normal(size=(TURNS + 5, ansatz.num_parameters))
    with ExitStack() as stack:
        sessions, energies = {}, {}
        for name, executor in executors(stack).items():
            backend = AerBackend(
                "fake_manila", executor=executor, workers=1 if executor else 0, worker_seconds=0.0
            )
            sessions[name] = stack.enter_context(
                efaas.EFSession(backend, seed=1, executor=executor)
            )
            energies[name] = sessions[name].objective(ansatz, "ZZZZ", shots=1024)
        steps: dict[str, list[float]] = {name: [] for name in sessions}
        evaluations: dict[str, list[float]] = {name: [] for name in sessions}
        values: dict[str, list[float]] = {name: [] for name in sessions}
        for turn, point in enumerate(points):
            first = turn % len(sessions)  # whoever follows the cluster meets its threads' last work
            for name, session in [*sessions.items(), *sessions.items()][first:][: len(sessions)]:
                step = milliseconds(lambda session=session: session.call(int).result())  # type: ignore[misc]
                evaluation = milliseconds(
                    lambda name=name, point=point: values[name].append(energies[name](point))  # type: ignore[misc]
                )
                if turn >= 5:  # the first start the workers and send them the program
                    steps[name].append(step)
                    evaluations[name].append(evaluation)
        print(f"medians of {TURNS}, ms a job        no-op step    evaluation    its overhead")
        here = statistics.median(evaluations["this process"])
        for name in sessions:
            step, evaluation = statistics.median(steps[name]), statistics.median(evaluations[name])
            print(f"  {name:<30} {step:10.3f} {evaluation:13.3f} {evaluation - here:15.3f}")
        is_same = all(found == values["this process"] for found in values.values())
        print(f"same numbers everywhere: {is_same}")
    return 0 if is_same else 1


if __name__ == "__main__":
    sys.exit(main())
