"""What an evaluation costs on a noisy fake device: through efaas, and through Qiskit's estimators.

Run it with ``make bench``, or ``python benchmarks/evaluation_cost.py [--quick]``. Warm, each
baseline has a process in which it and efaas take turns at the same transpiled circuit, so a busy
machine slows both; cold, each side has a process of its own, and imports are not counted. Times
are medians, targets are ratios. The exit status is 1 if a target fails.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from statistics import median

import efaas

CHILD_SECONDS = 120.0
TURNS = str(Path(__file__).with_name("turns.py"))
H2 = ("4-qubit H2", "fake_torino")
WIDER = [
    (problem, device)
    for problem in ("6-qubit Ising", "10-qubit Ising", "8-qubit QAOA")
    for device in ("fake_torino", "fake_sherbrooke")
]
NAMES = {
    "backend": "Qiskit's BackendEstimatorV2",
    "aer": "Aer's EstimatorV2",
    "local": "runtime client's local mode",
    "floor": "inside Aer's C++ alone",
}


class Measured(defaultdict[str, list[float]]):
    """What a child process told, by name, and why it told no more if it failed."""

    def __init__(self, *task: str | int) -> None:
        super().__init__(list)
        self.failure = ""
        try:
            child = subprocess.run(
                [sys.executable, TURNS, json.dumps(task)],
                env={**os.environ, "PYTHONWARNINGS": "ignore"},
                capture_output=True,
                timeout=CHILD_SECONDS,
            )
            told = child.stdout
            if child.returncode:
                reason = child.stderr.decode().strip().splitlines() or ["no reason given"]
                self.failure = f"fails: {reason[-1][:70]}"
        except subprocess.TimeoutExpired as late:
            told = late.stdout or b""
        for line in told.decode().splitlines():
            for name, value in json.loads(line).items():
                self[name].extend(value if isinstance(value, list) else [value])
        if not told.strip() and not self.failure:
            self.failure = f"over {CHILD_SECONDS:.0f} s"

    def typical(self, name: str) -> float:
        """The median, or not a number if the child did not get there."""
        return median(self[name]) if self[name] else math.nan


class Table:
    """Prints rows, and remembers whether every target holds."""

    def __init__(self) -> None:
        self.holds = True

    def row(self, *cells: str) -> None:
        """Print a row of up to six cells."""
        widths = (34, 11, 11, 15, 15, 10)
        padded = [f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=False)]
        print("  ".join(padded).rstrip(), flush=True)

    def target(self, what: str, one: str, other: str, value: str, limit: str, holds: bool) -> None:
        """Print a row that ends in a verdict."""
        self.holds &= holds
        self.row(what, one, other, value, limit, "yes" if holds else "NO")


def seconds(value: float) -> str:
    if math.isnan(value):
        return "-"
    return f"{value:.2f} s" if value >= 1 else f"{1e3 * value:.2f} ms"


def h2_table(table: Table, *, is_quick: bool) -> None:
    print("\n4-qubit H2 on fake_torino: 15 terms, 16 parameters, 4096 shots")
    table.row("WARM EVALUATION", "theirs", "ours", "theirs / ours", "target (aim)", "holds")
    compared: dict[str, Measured] = {}
    plan = (("backend", 150, 300, 5), ("aer", 150, 300, 5), ("local", 1000, 2000, 2))
    for baseline, least, aim, turns in plan:
        it = Measured("against", baseline, *H2, turns // 2 if is_quick else turns)
        theirs, ours = it.typical("theirs"), it.typical("ours")
        shown = it.failure or f"{theirs / ours:,.0f}"
        cells = (seconds(theirs), seconds(ours), shown, f">= {least:,} ({aim:,})")
        table.target(NAMES[baseline], *cells, theirs / ours >= least)
        compared[baseline] = it
    table.row("", "C++ time", "ours", "ours / C++", "target", "holds")
    compared["floor"] = it = Measured("against", "floor", *H2, 20)
    theirs, ours = it.typical("theirs"), it.typical("ours")
    cells = (seconds(theirs), seconds(ours), it.failure or f"{ours / theirs:.2f}", "< 4")
    table.target(NAMES["floor"], *cells, ours < 4 * theirs)
    energies_row(table, compared.values())

    table.row("COLD, FROM NOTHING", "theirs", "ours", "ours / theirs", "target", "holds")
    alone = [Measured("alone", *H2) for _ in range(1 if is_quick else 3)]
    firsts = compared["backend"]["cold"]
    if not is_quick:
        firsts = [*firsts, *Measured("against", "backend", *H2, 0)["cold"]]
    theirs = median(firsts) if firsts else math.nan
    ours = median([it.typical("cold") for it in alone])
    cells = (seconds(theirs), seconds(ours), f"{ours / theirs:.3f}", "<= 0.2")
    table.target(f"first, {NAMES['backend']}", *cells, ours <= 0.2 * theirs)

    it = alone[0]
    table.row("ROUNDS", "1 point", "25 points", "25 / 1", "target", "holds")
    one, many = it.typical("one"), it.typical("many")
    cells = (seconds(one), seconds(many), it.failure or f"{many / one:.2f}", "<= 3")
    table.target("25 points in one round", *cells, many <= 3 * one)
    table.row("MEMORY", "after 100", "after 2,000", "growth", "target", "holds")
    before, after = it["megabytes"] or (math.nan, math.nan)
    cells = (f"{before:.0f} MB", f"{after:.0f} MB", f"{after - before:+.1f} MB", "<= 20 MB")
    table.target("resident, after warm evaluations", *cells, after - before <= 20)


def energies_row(table: Table, measured: Iterable[Measured]) -> None:
    """Whether both sides computed the same: the exact values to 1e-9, counted as their error."""
    worst = max((d for it in measured for d in it["deviation"]), default=math.nan)
    table.row("", "", "", "std errors", "target", "holds")
    table.target("largest difference of energies", "", "", f"{worst:.1f}", "<= 5", worst <= 5)


def wider_table(table: Table) -> None:
    print(f"\nMore qubits, 4096 shots: (a) {NAMES['backend']}, (b) {NAMES['aer']},", end=" ")
    print(f"(c) {NAMES['floor']}")
    table.row("WARM EVALUATION", "ours", "(a)", "(a) / ours", "(b) / ours", "ours / (c)")
    firsts, compared = [], list[Measured]()
    for case in WIDER:
        turns = (("backend", 3), ("aer", 3), ("floor", 5))
        children = [Measured("against", baseline, *case, count) for baseline, count in turns]
        compared += children
        a, b, c = children
        ratios = [it.typical("theirs") / it.typical("ours") for it in children]
        ours = [second for it in children for second in it["ours"]]
        table.row(
            " on ".join(case),
            seconds(median(ours) if ours else math.nan),
            seconds(a.typical("theirs")),
            a.failure or f"{ratios[0]:,.0f}",
            b.failure or f"{ratios[1]:,.0f}",
            c.failure or f"{1 / ratios[2]:.2f}",
        )
        firsts.append((case, Measured("alone", *case).typical("cold"), a.typical("cold")))
    energies_row(table, compared)
    table.row("COLD, FROM NOTHING", "ours", "(a)", "ours / (a)")
    for case, own, theirs in firsts:
        table.row(" on ".join(case), seconds(own), seconds(theirs), f"{own / theirs:.3f}")


def main() -> int:
    parser = argparse.ArgumentParser(description="What an evaluation costs on a fake device.")
    parser.add_argument("--quick", action="store_true", help="H2 only, fewer repetitions")
    is_quick = parser.parse_args().quick
    packages = ("qiskit", "qiskit-aer", "qiskit-ibm-runtime", "numpy")
    versions = [f"{name} {version(name)}" for name in packages]
    print(f"efaas {efaas.__version__}, Python {platform.python_version()},", ", ".join(versions))
    table = Table()
    h2_table(table, is_quick=is_quick)
    if not is_quick:
        wider_table(table)
    print(f"\nEvery target holds: {'yes' if table.holds else 'NO'}")
    return 0 if table.holds else 1


if __name__ == "__main__":
    sys.exit(main())
