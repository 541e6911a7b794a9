"""Runs a small VQE on a simulated device, and shows what it found and where the time went.

The device is simulated with the noise of its calibration; nothing leaves this machine.
"""

from __future__ import annotations

import argparse
from pathlib import Path

__all__ = ["add_arguments", "run"]

_HAMILTONIAN = {"ZZII": 1.0, "IZZI": 1.0, "IIZZ": 1.0, "XIII": 0.5, "IXII": 0.5}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument("--backend", default="fake_torino", help="which (default: %(default)s)")
    parser.add_argument("--method", default="Powell", help="scipy's name (default: %(default)s)")
    parser.add_argument("--shots", type=int, default=4096, help="a setting (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=60, help="at most (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=7, help="of all numbers (default: %(default)s)")
    parser.add_argument("--save", type=Path, metavar="DIR", help="write report.html, run.json and "
                        "run.jsonl there")  # fmt: skip


def run(given: argparse.Namespace) -> int:
    """Run it and print the report."""
    import numpy as np
    from qiskit.circuit.library import efficient_su2

    import efaas

    ansatz = efficient_su2(4, reps=1)
    with efaas.EFSession(given.backend, seed=given.seed) as session:
        energy = session.objective(ansatz, _HAMILTONIAN, shots=given.shots)
        start = np.linspace(-0.5, 0.5, energy.num_parameters)
        print(f"VQE of 4 qubits by {given.method} on {given.backend}, {given.shots} shots")
        result = efaas.minimize(
            energy,
            start,
            method=given.method,
            max_rounds=given.rounds,
        )
        report, trace = session.report(), session.trace
    print(f"lowest energy {result.fun:.4f} after {result.speculation}\n")
    print(report)
    if given.save is not None:
        given.save.mkdir(parents=True, exist_ok=True)
        report.save(given.save / "report.html")
        trace.save(given.save / "run.json")
        trace.save(given.save / "run.jsonl")
        print(
            f"\nsaved in {given.save}: report.html for a browser, run.json for Perfetto, run.jsonl "
            "for python -m efaas report"
        )
    else:
        print("\n--save DIR writes a page with the timeline, and the trace")
    return 0
