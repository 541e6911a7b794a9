"""How copies of optimizers are begun, told and compared with the real run."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from starts import Always, Minimization, RealRun, Ripples, step_at

from efaas.optimize.asks import GRADIENT, VALUE, Step
from efaas.optimize.mirror import MirrorOracle
from efaas.optimize.mirror_host import can_mirror

AMPLE = 20.0
"""Seconds in which everything here fits, on however busy a machine."""

ROUGH = Ripples(noise=1e-3)

needs_fork = pytest.mark.skipif(not can_mirror(), reason="mirrors need os.fork")


def wait_until(is_so: Callable[[], bool], seconds: float = AMPLE) -> bool:
    """Whether it becomes so; other processes are at work, so there is nothing to wait on."""
    until = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > until:
            return False
        threading.Event().wait(0.002)
    return True


def ready_mirror(start: Any, records: Any = ()) -> MirrorOracle:
    mirror = MirrorOracle(start, records)
    assert wait_until(lambda: mirror.is_ready or bool(mirror.broken))
    assert mirror.broken == ""
    return mirror


def recorded(oracle: Any, steps: int) -> Any:
    """The oracle of ``Stairs`` that has been answered so often."""
    for step in range(steps):
        oracle.record(*step_at(float(step)), 1.0)
    return oracle


def map_kind(start: Minimization) -> str:
    return GRADIENT if start.has_gradient else VALUE


def check_against_the_real_run(
    oracle: Any, start: Minimization, answer: Any, *, seed: int, depth: int, often: float
) -> None:
    """At random moments of a run the path under the true answers is what is asked next."""
    alone = RealRun(answer, maps=map_kind(start))
    start(alone)
    rng = random.Random(seed)
    asked = 0

    def before(step: Step) -> None:
        nonlocal asked
        position = len(real.steps)
        if rng.random() < often or position == 1:
            asked += 1
            wrong = Always(rng.choice([0.0, 1e6, -1e6]))
            found = oracle.paths([answer, wrong, answer], depth, seconds=AMPLE)
            assert oracle.broken == ""
            expected = alone.steps[position : position + depth]
            assert found[0] == expected
            assert found[-1] == expected
            assert found[1][0] == step

    real = RealRun(answer, maps=map_kind(start), before=before, record=oracle.record)
    start(real)
    assert real.steps == alone.steps
    assert asked
