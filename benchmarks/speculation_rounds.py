"""How many rounds, evaluations and seconds speculation takes, method by method.

Run it with ``make bench``, or ``python benchmarks/speculation_rounds.py [--quick] [--only NAME]``.
Every run is made twice in sessions of one seed, by ``efaas.minimize`` and by scipy alone; in exact
mode the evaluated points, the callbacks and the result have to agree to the bit. ``--only`` takes
the rows whose name holds that text, without the times: ``--only tolerant``. The devices are
simulated and their time is virtual; the predictor's time is real, and added to it. In tolerant
mode, where the result depends on what is guessed, the predictor's steps are counted instead, and
the same comes out on any machine. The exit status is 1 if a target is missed or anything differs.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import platform
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from importlib.metadata import version
from statistics import mean, median
from typing import Any

import numpy as np
import scipy.optimize
import scipy.stats
from problems import PROBLEMS, ising
from speculated_run import METHODS, WIDTH, Case, Compared, compared

import efaas
from efaas.testing import FakeBackend

NOISES = (0.0, 0.005, 0.02)
QUEUED = (4.0, 0.2)  # a round's overhead is that of 20 evaluations; the predictor has 0.4 s
TIMED = (1.0, 0.2)
GRADIENTS = ("BFGS", "L-BFGS-B", "CG", "TNC", "trust-constr")
# Rounds over evaluations, and further evaluations over evaluations, both at most.
TARGETS: dict[str, tuple[float, float]] = {
    "Nelder-Mead": (0.25, 1.0),
    "Powell": (0.27, 0.5),
    "COBYLA": (0.67, 0.4),
    "COBYQA": (0.60, 0.2),
    **dict.fromkeys(GRADIENTS, (0.13, 0.4)),  # with 16 parameters or more
    "SLSQP": (0.27, 1.0),
    "SPSA": (0.5, 0.0),
    "Rotosolve": (0.34, 0.0),
    "Rotosolve, pairs": (0.12, 0.0),
    "COBYLA, tolerant": (0.35, float("inf")),
    "COBYQA, tolerant": (0.40, float("inf")),
}
FEW_PARAMETERS = 0.17  # allowed to the gradient methods with 6 parameters
TOLERANT = ("COBYLA", "COBYQA")
SEEDS = 4
# Half a minute a run, most of it their own algebra in their copies.
SLOW = ("COBYLA", "COBYQA", "COBYLA, tolerant", "COBYQA, tolerant")
SIGNIFICANCE = 0.05
OVERHEAD = 1.5  # times scipy's time, without speculation
Mapped = Callable[[Iterable[Case]], Iterable[Compared]]


class Verdict:
    """Remembers whether every target holds."""

    def __init__(self) -> None:
        self.holds = True

    def __call__(self, holds: bool) -> str:
        """How to print it."""
        self.holds &= bool(holds)
        return "yes" if holds else "NO"


def row(first: str, *cells: str) -> None:
    print(f"{first:<18}" + "".join(f"{cell:>15}" for cell in cells), flush=True)


def suits(method: str, problem: str) -> bool:
    """Rotosolve is for parameters that enter one gate each."""
    return not (method.startswith("Rotosolve") and problem == "qaoa3")


def effort_of(method: str) -> str:
    """Exact results do not depend on what is guessed; those of tolerant mode do."""
    return "steps" if "tolerant" in method else "seconds"


def rounds_table(run: Mapped, verdict: Verdict, *, only: str, is_quick: bool) -> None:
    problems = ["h2"] if is_quick else list(PROBLEMS)
    noises = NOISES[1:2] if is_quick else NOISES
    methods = [method for method in METHODS if only in method]
    cases = [
        Case(method, problem, noise, seed, *QUEUED, effort=effort_of(method))
        for problem in problems
        for method in methods
        for noise in noises
        for seed in range(1 if is_quick or method in SLOW else SEEDS)
        if suits(method, problem)
    ]
    found = list(run(cases))
    print(f"\nROUNDS / EVALUATIONS (WASTE), at most {WIDTH} steps a round; means over", end=" ")
    print(f"{len(noises)} noise(s) x", "1 seed" if is_quick else f"{SEEDS} seeds; 1 of COB*")
    row("", *problems, "all", "at most", "holds")
    for method in methods:
        of_method = [it for it in found if it.case.method == method]
        cells = []
        for problem in problems:
            here = [it for it in of_method if it.case.problem == problem]
            cells.append(rounds_and_waste(here) if here else "-")
        allowed = ok = "-"
        if method in TARGETS:
            limit, waste = TARGETS[method]
            allowed = f"{limit:.2f}" + (f" ({waste:.2f})" if np.isfinite(waste) else "")
            ok = verdict(meets_target(method, of_method))
        row(method, *cells, rounds_and_waste(of_method), allowed, ok)
    if set(methods) & set(GRADIENTS):
        print(f"{', '.join(GRADIENTS)}: {FEW_PARAMETERS} with 6 parameters")
    tell_differences(found, verdict)


def rounds_and_waste(found: Sequence[Compared]) -> str:
    return f"{mean(it.ratio for it in found):.3f} ({mean(it.waste for it in found):.2f})"


def meets_target(method: str, found: Sequence[Compared]) -> bool:
    limit, waste = TARGETS[method]
    if mean(it.waste for it in found) > waste:
        return False
    if method not in GRADIENTS:
        return mean(it.ratio for it in found) <= limit
    for problem in {it.case.problem for it in found}:
        here = mean(it.ratio for it in found if it.case.problem == problem)
        many = PROBLEMS[problem].num_parameters >= 16
        if here > (limit if many else FEW_PARAMETERS):
            return False
    return True


def tell_differences(found: Iterable[Compared], verdict: Verdict) -> None:
    """Whether the results are scipy's, and the reports the device's."""
    different = [it for it in found if it.differences]
    for it in different[:10]:
        where = f"{it.case.method}, {it.case.problem}, noise {it.case.noise}, seed {it.case.seed}"
        print(f"  DIFFERS: {where}: {'; '.join(it.differences)}")
    print(f"Exact runs equal scipy's to the bit, counts the device's: {verdict(not different)}")


def times_table(run: Mapped, verdict: Verdict, *, seeds: int, is_quick: bool) -> None:
    methods = [*TARGETS][::4] if is_quick else [*TARGETS]
    cases = [
        Case(method, "h2", 0.005, seed, *TIMED, effort="seconds")
        for method in methods
        for seed in range(seeds)
    ]
    found = list(run(cases))
    print(f"\nSECONDS TO THE SAME RESULT: H2, noise 0.005, a round {TIMED[0]} s and", end=" ")
    print(f"{TIMED[1]} s an evaluation; means over {seeds} seed(s)")
    row(
        "", "scipy", "its workers", "efaas", "(predictor)", "scipy / efaas", "workers / e.", "holds"
    )
    for method in methods:
        here = [it for it in found if it.case.method == method]
        ours, theirs = mean(it.seconds for it in here), mean(it.sequential_seconds for it in here)
        mapped = [it.mapped_seconds for it in here if it.mapped_seconds is not None]
        row(
            method,
            f"{theirs:.0f}",
            f"{mean(mapped):.0f}" if mapped else "-",
            f"{ours:.0f}",
            f"{mean(it.predictor_seconds for it in here):.1f}",
            f"{theirs / ours:.2f}",
            f"{mean(mapped) / ours:.2f}" if mapped else "-",
            verdict(ours < theirs),
        )
    tell_differences(found, verdict)


def tolerant_table(run: Mapped, verdict: Verdict, *, only: str, seeds: range) -> None:
    methods = [method for method in TOLERANT if only in f"{method}, tolerant"]
    # Both kinds run in sessions of the same seeds. What is evaluated first has the same noise then,
    # and neither kind is the luckier for it.
    cases = [
        Case(f"{method}, tolerant", "h2", 0.005, seed, *QUEUED, "steps", 1_000_000 + seed)
        for method in reversed(methods)
        for seed in seeds
    ]
    found = list(run(cases))
    print("\nTOLERANT MODE: exact energies at the end over the ground state's, H2, noise", end=" ")
    print(f"0.005, starts {seeds[0]} to {seeds[-1]}, by efaas and by scipy on the same seeds.")
    print("p: that efaas ends higher by chance (Wilcoxon's signed-rank test of the pairs'", end=" ")
    print("logarithms, one-sided); fails below", SIGNIFICANCE)
    row(
        "",
        "rounds",
        "efaas median",
        "scipy median",
        "efaas mean",
        "scipy mean",
        "efaas higher",
        "p",
        "holds",
    )
    for method in methods:
        here = [it for it in found if it.case.method == f"{method}, tolerant"]
        ours = np.array([it.energy for it in here])
        theirs = np.array([it.sequential_energy for it in here])
        p = scipy.stats.wilcoxon(np.log(ours / theirs), alternative="greater").pvalue
        shown = [f"{f(e):.4f}" for f in (np.median, np.mean) for e in (ours, theirs)]
        ratio, higher = f"{mean(it.ratio for it in here):.3f}", f"{np.mean(ours > theirs):.2f}"
        row(method, ratio, *shown, higher, f"{p:.3f}", verdict(bool(p >= SIGNIFICANCE)))


def overhead_table(verdict: Verdict, *, repetitions: int) -> None:
    circuit, observable = ising(4, reps=1)
    plain = {"Nelder-Mead": {"maxfev": 500}, "L-BFGS-B": {"maxfun": 500}, "Powell": {"maxfev": 500}}
    start = np.linspace(-1.0, 1.0, 16)
    print("\nWITHOUT SPECULATION, 500 evaluations that take no time: efaas / scipy, medians of")
    print(f"{repetitions} interleaved runs")
    row("", "function", "objective", "at most", "holds")
    with efaas.EFSession(
        FakeBackend(value=lambda angles, seed: instant(angles)), seed=1
    ) as session:
        energy = session.objective(circuit, observable, shots=None)
        for method, options in plain.items():
            ratios = []
            for fun in (instant, energy):
                ours = partial(efaas.minimize, speculation="off")
                pairs = [
                    tuple(
                        seconds_of(partial(f, fun, start, method=method, options=options))
                        for f in (ours, scipy.optimize.minimize)
                    )
                    for _ in range(repetitions)
                ]
                ratios.append(median(one / other for one, other in pairs))
            shown = [f"{ratio:.2f}" for ratio in ratios]
            row(method, *shown, f"{OVERHEAD:.2f}", verdict(max(ratios) <= OVERHEAD))


def instant(x: Any) -> float:
    return float(np.sum(x * x * (1.0 + 0.1 * np.sin(5.0 * x))))


def seconds_of(call: Callable[[], Any]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def main() -> int:
    parser = argparse.ArgumentParser(description="What speculation takes and saves.")
    parser.add_argument("--quick", action="store_true", help="a tenth of the runs")
    parser.add_argument("--only", metavar="NAME", help="rows whose name holds this, no times")
    parser.add_argument("--first-seed", type=int, default=0, help="of tolerant mode's starts")
    arguments = parser.parse_args()
    is_quick, only = arguments.quick, arguments.only or ""
    if not any(only in method for method in METHODS):
        parser.error(f"--only: no row's name holds {only!r}; rows are {', '.join(METHODS)}")
    versions = [f"{name} {version(name)}" for name in ("scipy", "numpy")]
    print(f"efaas {efaas.__version__}, Python {platform.python_version()},", ", ".join(versions))
    verdict = Verdict()
    started = time.perf_counter()
    if not only:
        overhead_table(verdict, repetitions=5 if is_quick else 15)
    # The runs share the cores, and small matrices gain nothing from several.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    context = multiprocessing.get_context("spawn")
    with context.Pool(os.cpu_count()) as pool:

        def run(cases: Iterable[Case]) -> Iterable[Compared]:
            return pool.imap_unordered(compared, cases)

        rounds_table(run, verdict, only=only, is_quick=is_quick)
        if not only:
            times_table(run, verdict, seeds=1, is_quick=is_quick)
        if any(only in f"{method}, tolerant" for method in TOLERANT):
            first = arguments.first_seed
            seeds = range(first, first + (3 if is_quick else 30))
            tolerant_table(run, verdict, only=only, seeds=seeds)
    print(f"\n{time.perf_counter() - started:.0f} s. Every target holds:", end=" ")
    print("yes" if verdict.holds else "NO")
    return 0 if verdict.holds else 1


if __name__ == "__main__":
    sys.exit(main())
