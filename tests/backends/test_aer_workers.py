"""Worker processes: started when needed, replaced when they die, gone when closed."""

from __future__ import annotations

import multiprocessing
import os
import signal

import numpy as np
from qiskit.circuit.library import efficient_su2

from efaas.backends.aer import AerBackend
from efaas.backends.experiment import Experiment
from efaas.backends.protocol import Estimates, Evaluation, Outcome


def _evaluation() -> Evaluation:
    experiment = Experiment.estimate(efficient_su2(2, reps=1), ["ZZ"])
    angles = experiment.slot_angles(np.ones((4, experiment.num_parameters)))
    return Evaluation(experiment, angles, 50, (1, 2, 3, 4))


def _evs(backend: AerBackend) -> list[float]:
    [outcome] = backend.execute([_evaluation()])
    assert isinstance(outcome, Outcome), outcome
    assert isinstance(outcome.value, Estimates)
    return outcome.value.evs[:, 0].tolist()


def _children() -> set[int]:
    return {child.pid for child in multiprocessing.active_children() if child.pid is not None}


def test_no_process_is_started_for_short_work() -> None:
    before = _children()
    backend = AerBackend("fake_manila", workers=2)
    _evs(backend)
    assert _children() == before
    backend.close()


def test_a_killed_worker_is_replaced_and_none_survives_closing() -> None:
    before = _children()
    backend = AerBackend("fake_manila", workers=2, worker_seconds=0.0)
    expected = _evs(backend)
    started = _children() - before
    assert started
    for pid in started:
        os.kill(pid, signal.SIGKILL)
    assert _evs(backend) == expected
    backend.close()
    assert _children() == before
    backend.close()


def test_a_closed_backend_runs_in_this_process() -> None:
    backend = AerBackend("fake_manila", workers=1, worker_seconds=0.0)
    backend.close()
    assert _evs(backend) == _evs(AerBackend("fake_manila"))
    assert not _children()
