"""Where circuits land on fake devices: the transpiler's choice, and ours by the calibration.

Run it with ``make bench``, or ``python benchmarks/layouts.py [--quick]``. The transpiler runs at
optimization level 3, with the same seed on both sides. For each device of 20 qubits or more it
prints the estimated success probability (ESP) of both layouts, and how far off the energy is in
a simulation of the device's noise, readout included: the root mean square of ``E - E_ideal`` over
random parameters. "With waiting" also relaxes qubits while they wait, which a circuit without
delays leaves out. The exit status is 1 if a target fails.
"""

from __future__ import annotations

import argparse
import math
import platform
import sys
import time
from dataclasses import dataclass
from importlib.metadata import version
from statistics import median
from typing import TYPE_CHECKING

import numpy as np
from problems import h2
from qiskit.circuit.library import efficient_su2, qaoa_ansatz
from qiskit.quantum_info import SparsePauliOp

import efaas
from efaas.backends.aer import AerBackend
from efaas.backends.experiment import Experiment
from efaas.backends.fidelity import ErrorTable, operations_of
from efaas.backends.isa import Compiler, IsaCircuit
from efaas.backends.protocol import Estimates, Evaluation
from efaas.backends.specs import device_of, fake_device_names
from efaas.errors import UnsupportedGateError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from qiskit import QuantumCircuit

    from efaas.backends.device import Device

SEED, LEVEL, POINTS, LEAST_QUBITS = 11, 3, 4, 20
SHOTS = 10_000_000  # readout errors are in what is sampled; the statistical error is 1e-3 or less
QUICK = ("fake_torino", "fake_sherbrooke", "fake_auckland")
LONGER, LONGER_SECONDS = 1.3, 0.1


def chain() -> tuple[QuantumCircuit, SparsePauliOp]:
    """Six spins in a line in a transverse field."""
    terms = [("ZZ", [i, i + 1], -1.0) for i in range(5)] + [("X", [i], -0.5) for i in range(6)]
    observable = SparsePauliOp.from_sparse_list(terms, num_qubits=6)
    return efficient_su2(6, reps=1, entanglement="linear"), observable


def ring() -> tuple[QuantumCircuit, SparsePauliOp]:
    """The largest cut of a ring of six, with two layers; it has to be routed."""
    terms = [("ZZ", [i, (i + 1) % 6], 0.5) for i in range(6)]
    cost = SparsePauliOp.from_sparse_list(terms, num_qubits=6)
    return qaoa_ansatz(cost, reps=2), cost


PROBLEMS = {"4-qubit H2": h2, "6-qubit Ising": chain, "6-qubit QAOA": ring}


@dataclass(frozen=True)
class Case:
    """One circuit on one device, at the transpiler's place and at ours."""

    esp: tuple[float, float]
    error: tuple[float, float]
    waiting_error: tuple[float, float]
    seconds: tuple[float, float]


class Table:
    """Prints rows, and remembers whether every target holds."""

    def __init__(self) -> None:
        self.holds = True

    def row(self, *cells: str) -> None:
        """Print a row of up to nine cells."""
        widths = (36, 7, 7, 8, 8, 8, 8, 8, 8)
        padded = [f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=False)]
        print("  ".join(padded).rstrip(), flush=True)

    def target(self, what: str, value: str, limit: str, holds: bool) -> None:
        """Print a row that ends in a verdict."""
        self.holds &= holds
        print(f"{what:<54}  {value:<16}  {limit:<10}  {'yes' if holds else 'NO'}", flush=True)


def measured(device: Device, backend: AerBackend, problem: str) -> Case:
    circuit, observable = PROBLEMS[problem]()
    experiment = Experiment.estimate(circuit, [observable])
    theta = np.random.default_rng(5).uniform(-math.pi, math.pi, (POINTS, circuit.num_parameters))
    angles = experiment.slot_angles(experiment.check_values(theta))
    ideal = energies(AerBackend("aer"), experiment, angles, None)

    keeping, moving = (
        Compiler(device, optimization_level=LEVEL, seed_transpiler=SEED, keeps_layouts=keeps)
        for keeps in (True, False)
    )
    warm_up = Experiment.estimate(efficient_su2(2, reps=1), ["ZZ"])
    keeping.compile(warm_up)
    moving.compile(warm_up)
    started = time.perf_counter()
    theirs = keeping.compile(experiment)
    between = time.perf_counter()
    ours = moving.compile(experiment)
    seconds = between - started, time.perf_counter() - between

    candidates = moving.candidates(experiment)
    own = next(candidate for candidate in candidates if candidate.is_transpilers)
    errors: list[float] = []
    waiting_errors: list[float] = []
    for isa in (theirs, ours):
        if isa is ours and candidates[0] is own:
            errors.append(errors[0])
            waiting_errors.append(waiting_errors[0])
            continue
        errors.append(deviation(backend, isa, angles, ideal))
        waiting = IsaCircuit(with_delays(isa, device), isa.observables, isa.layout)
        waiting_errors.append(deviation(backend, waiting, angles, ideal))
    return Case(
        esp=(own.fidelity.esp, candidates[0].fidelity.esp),
        error=(errors[0], errors[1]),
        waiting_error=(waiting_errors[0], waiting_errors[1]),
        seconds=seconds,
    )


def deviation(
    backend: AerBackend,
    isa: IsaCircuit,
    angles: NDArray[np.float64],
    ideal: NDArray[np.float64],
) -> float:
    """Root mean square of the noisy energies' deviation."""
    experiment = Experiment.estimate(isa.circuit, isa.observables)
    points = experiment.slot_angles(experiment.check_values(angles))
    noisy = energies(backend, experiment, points, SHOTS)
    return float(np.sqrt(np.mean((noisy - ideal) ** 2)))


def energies(
    backend: AerBackend, experiment: Experiment, angles: NDArray[np.float64], shots: int | None
) -> NDArray[np.float64]:
    """The energies at slot angles, shape (points,)."""
    seeds = tuple(range(1, len(angles) + 1))
    [outcome] = backend.execute([Evaluation(experiment, angles, shots, seeds)])
    if isinstance(outcome, Exception):
        raise outcome
    if not isinstance(outcome.value, Estimates):
        raise TypeError(f"expected estimates, got {outcome.value!r}")
    return outcome.value.evs[:, 0]


def with_delays(isa: IsaCircuit, device: Device) -> QuantumCircuit:
    """The circuit, scheduled as soon as possible and read together, with its waits as delays."""
    circuit = isa.circuit
    seconds = ErrorTable.of(device.target).seconds
    waiting = circuit.copy_empty_like()
    ends: dict[int, float] = {}

    def wait(qubit: int, until: float) -> None:
        if until > ends.get(qubit, until) + 1e-12:
            waiting.delay(until - ends[qubit], qubit, unit="s")

    for instruction, operation in zip(circuit.data, operations_of(circuit), strict=True):
        start = max(ends.get(qubit, 0.0) for qubit in operation.qubits)
        for qubit in operation.qubits:
            wait(qubit, start)
        waiting.append(instruction)
        ends.update(dict.fromkeys(operation.qubits, start + seconds.get(operation[:2], 0.0)))
    for qubit in list(ends):
        wait(qubit, max(ends.values()))
    return waiting


def summary(table: Table, cases: list[Case]) -> None:
    print(f"\n{len(cases)} circuits on devices: medians of the transpiler's and of ours")
    esps = [median(case.esp[side] for case in cases) for side in (0, 1)]
    table.target("ESP", f"{esps[0]:.4f} {esps[1]:.4f}", "no less", esps[1] >= esps[0])
    for what, errors in (
        ("error of the energy, gates and readout", [case.error for case in cases]),
        ("error of the energy, with waiting", [case.waiting_error for case in cases]),
    ):
        theirs, ours = (median(error[side] for error in errors) for side in (0, 1))
        table.target(what, f"{theirs:.4f} {ours:.4f}", "no more", ours <= theirs)
        ratio = median(ours / theirs for theirs, ours in errors)
        table.target("  ours / the transpiler's, in the median", f"{ratio:.3f}", "<= 1", ratio <= 1)
        better = sum(ours < 0.999 * theirs for theirs, ours in errors)
        worse = sum(ours > 1.001 * theirs for theirs, ours in errors)
        equal = len(errors) - better - worse
        shown = f"{better} / {equal} / {worse}"
        table.target("  better / equal / worse", shown, "mostly", better >= worse)
    theirs, ours = (median(case.seconds[side] for case in cases) for side in (0, 1))
    holds = ours <= max(LONGER * theirs, theirs + LONGER_SECONDS)
    shown = f"{1e3 * theirs:.0f} {1e3 * ours:.0f}"
    table.target("time to compile, ms", shown, "<= +100 ms", holds)


def main() -> int:
    parser = argparse.ArgumentParser(description="Layouts: the transpiler's choice and ours.")
    parser.add_argument("--quick", action="store_true", help="three devices only")
    is_quick = parser.parse_args().quick
    packages = ("qiskit", "qiskit-aer", "qiskit-ibm-runtime", "numpy")
    versions = [f"{name} {version(name)}" for name in packages]
    print(f"efaas {efaas.__version__}, Python {platform.python_version()},", ", ".join(versions))
    table = Table()
    print()
    table.row("", "ESP", "", "ERROR OF", "E", "WITH", "WAITING", "COMPILED", "IN MS")
    table.row("CIRCUIT AND DEVICE", "theirs", "ours", *("theirs", "ours") * 3)
    cases = []
    for name in QUICK if is_quick else fake_device_names():
        device = device_of(name)
        if device.num_qubits < LEAST_QUBITS:
            continue
        backend = AerBackend(name)
        for problem in PROBLEMS:
            try:
                case = measured(device, backend, problem)
            except UnsupportedGateError:
                # Qiskit cannot turn gates round where couplings differ in their gate.
                table.row(f"{problem} on {name}", "the transpiler fails")
                continue
            cases.append(case)
            numbers = [f"{esp:.4f}" for esp in case.esp]
            numbers += [f"{error:.4f}" for error in (*case.error, *case.waiting_error)]
            numbers += [f"{1e3 * seconds:.0f}" for seconds in case.seconds]
            table.row(f"{problem} on {name}", *numbers)
    summary(table, cases)
    print(f"\nEvery target holds: {'yes' if table.holds else 'NO'}")
    return 0 if table.holds else 1


if __name__ == "__main__":
    sys.exit(main())
