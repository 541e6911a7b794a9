"""Twelve VQE loops of three tenants, and a stream of batch jobs, share three drifting devices."""

import sys
import time
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import cycle
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np
from qiskit.circuit.library import efficient_su2
from qiskit.quantum_info import SparsePauliOp

import efaas
from efaas.backends import AerBackend, Drift

WEIGHTS = {"ada": 1, "bob": 2, "eve": 4}
COLOURS = dict(zip(WEIGHTS, ("#1f4e8c", "#3f9b6b", "#e3a44f"), strict=True))
DEVICES = ("fake_manila", "fake_lima", "fake_quito")
LOOPS_EACH, EVALUATIONS, POINT_SECONDS = 4, 80, 0.02
chain = [("ZZ", [i, i + 1], -1.0) for i in range(3)] + [("X", [i], -0.5) for i in range(4)]
hamiltonian = SparsePauliOp.from_sparse_list(chain, 4)
ansatz = efficient_su2(4, reps=1)
draw = np.random.default_rng(1)


class Ran(NamedTuple):
    """A job that has ended."""

    tenant: str
    is_loop: bool
    job: Any  # the future's snapshot: backend, timeline, usage

    @property
    def wait_seconds(self) -> float:
        """From being ready to its first shot."""
        return float(self.job.timeline.first_shot_at - self.job.timeline.submitted_at)


class Paced(AerBackend):
    """A simulated device that takes a device's time."""

    def execute(self, evaluations: Any) -> Any:
        """The simulator's answers, after the time that the points take."""
        seconds = [POINT_SECONDS * len(evaluation.seeds) for evaluation in evaluations]
        time.sleep(sum(seconds))
        answers: Any = zip(super().execute(evaluations), seconds, strict=True)
        return [replace(it, usage=replace(it.usage, qpu_seconds=took)) for it, took in answers]


def point(*shape: int) -> Any:
    return draw.uniform(-np.pi, np.pi, (*shape, ansatz.num_parameters))


def run_loop(tenant: str, energy: efaas.Objective, start: Any) -> None:
    def watched(theta: Any) -> float:
        value = (future := energy.submit(theta)).result()
        ran.append(Ran(tenant, True, future.job))
        return value

    options = {"maxiter": EVALUATIONS, "tol": 1e-9}
    efaas.minimize(watched, start, method="COBYLA", options=options, speculation="off")


def note_batch(tenant: str, batch: Any) -> None:
    ran.append(Ran(tenant, False, batch.job))


def shares(jobs: Iterable[Ran]) -> dict[str, float]:
    seconds = dict.fromkeys(WEIGHTS, 1e-9)
    for it in jobs:
        seconds[it.tenant] += it.job.usage.qpu_seconds
    return {tenant: got / sum(seconds.values()) for tenant, got in seconds.items()}


def table() -> list[str]:
    lines = [f"{'tenant':<8}{'weight':>7}{'share':>8}{'loops done':>12}{'TTNS s':>9}{'batch s':>9}"]
    jobs = list(ran)
    for name, share in shares(jobs).items():
        done = sum(future.done() for tenant, future in loops if tenant == name)
        waits = [
            fmean([it.wait_seconds for it in jobs if it[:2] == (name, is_loop)] or [0.0])
            for is_loop in (True, False)
        ]
        row = f"{name:<8}{WEIGHTS[name]:7}{share:8.1%}{done:7} of {LOOPS_EACH}"
        lines.append(row + f"{waits[0]:9.3f}{waits[1]:9.3f}")
    return lines


def show(percent: int) -> None:
    """The table, over the one before; where that cannot be, a line at each ten per cent."""
    if sys.stdout.isatty():
        print("\033[4A" + "\n".join(table()), flush=True)
    elif percent >= 10 * (len(told) + 1):
        told.append(percent)
        got = ", ".join(f"{name} {share:.0%}" for name, share in shares(list(ran)).items())
        print(f"{percent:3d}% of the loops' evaluations; shares: {got}", flush=True)


def draw_picture(jobs: list[Ran]) -> str:
    try:
        from matplotlib.figure import Figure
        from matplotlib.patches import Patch
    except ImportError:
        return "no picture: matplotlib is not installed (pip install 'efaas[plot]')"
    axes = (figure := Figure(figsize=(9, 2.8), layout="constrained")).subplots()
    began = min(it.job.timeline.first_shot_at for it in jobs)
    for it in jobs:
        line, lane = it.job.timeline, DEVICES.index(it.job.backend)
        span = (line.first_shot_at - began, line.finished_at - line.first_shot_at)
        low, height = (lane - 0.1, 0.45) if it.is_loop else (lane - 0.35, 0.2)
        axes.broken_barh([span], (low, height), color=COLOURS[it.tenant])
    axes.set_yticks(range(len(DEVICES)), DEVICES)
    axes.set(xlabel="seconds (loops above, batch jobs below)")
    patches = [Patch(color=colour, label=name) for name, colour in COLOURS.items()]
    figure.legend(handles=patches, loc="outside upper center", ncols=3, frameon=False)
    figure.savefig("many_loops.png", dpi=150)
    return "who ran where and when: many_loops.png"


ran: list[Ran] = []
loops: list[tuple[str, Future[None]]] = []
told: list[int] = []
devices = [Paced(name, drift=Drift(seed=1, every_seconds=5.0)) for name in DEVICES]
# Times as short as this show: a device's minutes are its tenths of a second.
fairness = efaas.FairSettings(slot_seconds=0.5, max_hold_seconds=0.1, max_wait_seconds=20.0)
with (
    efaas.EFScheduler(devices, fairness=fairness, placement="least-loaded") as scheduler,
    ThreadPoolExecutor(len(WEIGHTS) * LOOPS_EACH) as threads,
):
    sessions = {
        tenant: scheduler.session(tenant=tenant, weight=weight, seed=1)
        for tenant, weight in WEIGHTS.items()
    }
    energies = [
        (tenant, session.objective(ansatz, hamiltonian))
        for tenant, session in sessions.items()
        for _ in range(LOOPS_EACH)
    ]
    for tenant, energy in energies:
        loops.append((tenant, threads.submit(run_loop, tenant, energy, point())))
    if sys.stdout.isatty():
        print("\n" * 3)
    for tenant in cycle(sessions):
        if all(future.done() for _, future in loops):
            break
        batch = sessions[tenant].estimate(ansatz, hamiltonian, point(6))
        batch.add_done_callback(partial(note_batch, tenant))
        show(100 * sum(it.is_loop for it in list(ran)) // (len(loops) * EVALUATIONS))
        time.sleep(0.2)
    for _, future in loops:
        future.result()

print(("\033[4A" if sys.stdout.isatty() else "") + "\n".join(table()))
# Weights decide as long as everybody has loops that run.
ends = [max(it.job.timeline.finished_at for it in ran if it[:2] == (t, True)) for t in WEIGHTS]
got = shares(it for it in ran if it.job.timeline.finished_at <= min(ends))
print("\nuntil the first tenant's loops were done, of the devices' time:")
for tenant, weight in WEIGHTS.items():
    print(f"  {tenant} got {got[tenant]:6.1%}, by weight {weight / sum(WEIGHTS.values()):6.1%}")
by_weight = [got[tenant] / weight for tenant, weight in WEIGHTS.items()]
jain = sum(by_weight) ** 2 / (len(by_weight) * sum(x * x for x in by_weight))
calibrations = len({it.job.calibration_id for it in ran})
print(f"Jain's index of that {jain:.3f}; {calibrations} calibrations were in force")
print(draw_picture(ran))
