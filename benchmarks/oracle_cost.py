"""What it costs to ask a copy of an optimizer for its next steps, as its history grows.

Run it with ``python benchmarks/oracle_cost.py [--quick]``. Each optimizer runs on a chain of
Rosenbrock's valleys; copies of it that know 50, 250 and 1,000 evaluations are asked in turns for
paths of four steps. ``replay`` runs the optimizer again, ``mirror`` forks it in a helper process,
and ``adaptive`` chooses between them, which is what efaas does where it does not know the method
in stages. Times a path are the least of
several, so that other work on the machine does not count; the growth exponent is the slope of
log(seconds) over log(evaluations) between the last two counts.

The target: after four times the evaluations a path of the adaptive oracle costs at most 1.5 times
what it did, or what a mirror's did, and 5 ms. The exit status is 1 if one costs more, or if there
is none. Where the optimizer itself is too slow to come so far, nothing is claimed.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import platform
import sys
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy
import scipy.optimize

import efaas
from efaas.optimize.asks import Ask, Asked, EndOfPath, Oracle
from efaas.optimize.mirror import MirrorOracle
from efaas.optimize.mirror_host import stop_mirror_host
from efaas.optimize.oracle import AdaptiveOracle
from efaas.optimize.replay import ReplayOracle

METHODS = ("Nelder-Mead", "Powell", "COBYLA", "COBYQA", "L-BFGS-B", "SLSQP", "trust-constr")
WITH_DIFFERENCES = ("L-BFGS-B", "SLSQP", "trust-constr")
PARAMETERS = (2, 16, 50)
COUNTS = (50, 250, 1000)
NAMES = ("replay", "mirror", "adaptive")
DEPTH = 4
PATHS = 4
"""Asked for at a time, as a mirror works on two of them side by side."""

ROUND_SECONDS = 0.4
"""Time that the paths may take, as of a round of four seconds."""

PATIENCE_SECONDS = 10.0
"""For mirrors to start and to catch up, which in a real run they do while circuits are queueing."""

MOST_SECONDS = 6.0
"""Of one optimizer's own work. What it has not evaluated by then is not measured."""

REPETITIONS = 7
MOST_GROWTH = 1.5
SLACK_SECONDS = 5e-3
"""How much paths vary: BLAS starts its threads anew in a fork whose steps come to need them."""


@dataclass(frozen=True)
class Run:
    """One minimization after the other, so that there are enough evaluations."""

    method: str
    parameters: int
    is_data: bool = True

    def __call__(self, asked: Asked) -> Any:
        """Run them."""
        options: dict[str, Any] = {"maxiter": 100_000}
        if self.method in WITH_DIFFERENCES:
            options["workers"] = asked.map
        fixed: dict[str, Any] = {"method": self.method, "tol": 1e-12, "options": options}
        for first in np.linspace(-1.2, 0.6, 1000):
            scipy.optimize.minimize(asked.value, np.linspace(first, 1.1, self.parameters), **fixed)


class Valleys:
    """Rosenbrock's function as the answer to an ask."""

    def __call__(self, ask: Ask) -> float:
        """The value at its point."""
        return float(scipy.optimize.rosen(ask.x))


class Copies:
    """Oracles of one optimizer after so many evaluations.

    Attributes:
        count: The evaluations that they are to know.
        is_reached: Whether the real run came so far.
        seconds: What the paths that were asked for took, each by its oracle.
    """

    def __init__(self, run: Run, count: int) -> None:
        self.count = count
        self.is_reached = False
        self.replay = ReplayOracle(run)
        self.mirror = MirrorOracle(run)
        self.adaptive = AdaptiveOracle(run)
        self._oracles: dict[str, Oracle] = {
            "replay": self.replay,
            "mirror": self.mirror,
            "adaptive": self.adaptive,
        }
        self.seconds: dict[str, list[float]] = {name: [] for name in self._oracles}

    def record(self, ask: Ask, answer: float) -> None:
        """Tell them all of an evaluation."""
        for oracle in self._oracles.values():
            oracle.record(ask, answer)

    def settle(self) -> None:
        """Measure the replay, and let mirrors catch up."""
        self.replay.paths([Valleys()], DEPTH, seconds=ROUND_SECONDS)
        self.adaptive.paths([Valleys()], DEPTH, seconds=ROUND_SECONDS)
        for mirror in (self.mirror, self.adaptive.mirror):
            until = time.monotonic() + PATIENCE_SECONDS
            while mirror is not None and not mirror.broken and time.monotonic() < until:
                if mirror.is_ready and mirror.paths([Valleys()], 1, seconds=ROUND_SECONDS):
                    break
                time.sleep(0.01)

    def measure(self, name: str) -> None:
        """Ask one of them for paths; a replay that takes too long is not begun."""
        paths = 1 if name == "replay" else PATHS
        began_at = time.perf_counter()
        found = self._oracles[name].paths([Valleys()] * paths, DEPTH, seconds=ROUND_SECONDS)
        if found:
            self.seconds[name].append((time.perf_counter() - began_at) / len(found))

    def least(self, name: str) -> float:
        """Least seconds of a path; not a number if there was none."""
        return min(self.seconds[name], default=math.nan)

    def close(self) -> None:
        """End their processes."""
        for oracle in self._oracles.values():
            oracle.close()


class Enough(BaseException):
    """Ends a real run."""


class RealRun:
    """The objective of a real run, which tells each of the copies as much as it is to know."""

    def __init__(self, run: Run, copies: list[Copies]) -> None:
        self.evaluations = 0
        self._copies = copies
        self._answer = Valleys()
        self._is_mapping = False
        self._stop_at = time.perf_counter() + MOST_SECONDS
        with contextlib.suppress(Enough):
            run(self)

    def value(self, x: Any, *_args: Any) -> float:
        """The answer."""
        if not self._is_mapping:
            self._begin_step()
        ask = Ask(x)
        answer = self._answer(ask)
        for copies in self._learning:
            copies.record(ask, answer)
        self.evaluations += 1
        return answer

    def gradient(self, x: Any, *_args: Any) -> Any:
        """No optimizer here asks for it."""
        raise EndOfPath

    def map(self, fn: Any, points: Any) -> list[Any]:
        """All points of a finite difference."""
        self._begin_step()
        self._is_mapping = True
        results = [fn(point) for point in points]
        self._is_mapping = False
        return results

    def _begin_step(self) -> None:
        """A record ends between steps only."""
        self._learning = [copies for copies in self._copies if copies.count > self.evaluations]
        if not self._learning or time.perf_counter() > self._stop_at:
            raise Enough


def measured(run: Run) -> list[Copies]:
    """Copies after so many evaluations each, measured in turns: a busy machine slows all."""
    every = [Copies(run, count) for count in COUNTS]
    evaluations = RealRun(run, every).evaluations
    reached = [copies for copies in every if copies.count <= evaluations]
    for copies in reached:
        copies.is_reached = True
        copies.settle()
    for _ in range(REPETITIONS):
        for name in NAMES:
            for copies in reached:
                copies.measure(name)
    return every


def replay_cell(copies: Copies) -> str:
    if not math.isnan(seconds := copies.least("replay")):
        return f"{1e3 * seconds:.2f}"
    estimated = copies.replay.seconds_per_path
    return f"~{1e3 * estimated:.0f}" if estimated else "-"


def cell(copies: Copies, name: str) -> str:
    if name == "replay":
        return replay_cell(copies)
    seconds = copies.least(name)
    mark = "m" if name == "adaptive" and copies.adaptive.is_mirroring else ""
    return "-" if math.isnan(seconds) else f"{1e3 * seconds:.2f}{mark}"


def exponent(copies: list[Copies], name: str) -> str:
    early, late = (it.least(name) for it in copies[-2:])
    slope = math.log(late / early) / math.log(COUNTS[-1] / COUNTS[-2])
    return "-" if math.isnan(slope) else f"{slope:.2f}"


def main() -> int:
    parser = argparse.ArgumentParser(description="What an oracle's path costs.")
    parser.add_argument("--quick", action="store_true", help="16 parameters only")
    is_quick = parser.parse_args().quick
    print(f"efaas {efaas.__version__}, Python {platform.python_version()}, ", end="")
    print(f"numpy {np.__version__}, scipy {scipy.__version__}")
    print(f"Milliseconds a path of {DEPTH} steps after so many evaluations, and growth exponent")
    row = "{:<13}{:>3}" + ("{:>10}" * len(COUNTS) + "{:>7}") * len(NAMES) + "{:>7}"
    print(row.format("", "", *[h for name in NAMES for h in (name, *[""] * len(COUNTS))], ""))
    print(row.format("METHOD", "n", *[*COUNTS, "exp."] * len(NAMES), "holds"))
    every_one_holds = True
    for method in METHODS:
        for parameters in (16,) if is_quick else PARAMETERS:
            every = measured(Run(method, parameters))
            cells = []
            for name in NAMES:
                cells += [*[cell(copies, name) for copies in every], exponent(every, name)]
            early, late = every[-2:]
            then = max(early.least("adaptive"), early.least("mirror"))
            now = late.least("adaptive")
            # No path at all is no pass: comparisons with what is not a number fail.
            holds = now <= MOST_GROWTH * then + SLACK_SECONDS or not late.is_reached
            every_one_holds &= holds
            verdict = ("yes" if holds else "NO") if late.is_reached else "-"
            print(row.format(method, parameters, *cells, verdict), flush=True)
            for copies in every:
                copies.close()
    stop_mirror_host()
    print("m: from a mirror; ~: too long for the round, and what it would take; -: not reached")
    print(f"\nEvery target holds: {'yes' if every_one_holds else 'NO'}")
    return 0 if every_one_holds else 1


if __name__ == "__main__":
    import oracle_cost  # by its name, so that the helper process finds what it is sent

    sys.exit(oracle_cost.main())
