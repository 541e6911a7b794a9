"""Running an optimizer on an objective in rounds, from the first ask to the report."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from scipy.optimize import OptimizeResult

from efaas.optimize.counted import CountedOracle
from efaas.optimize.limits import INTERRUPTED, Limits, Stopped
from efaas.optimize.observers import Observed, Observer, Observers
from efaas.optimize.oracle import oracle_for
from efaas.optimize.predictor import Predictor
from efaas.optimize.rounds import RoundedObjective
from efaas.optimize.work_clock import WorkClock

if TYPE_CHECKING:
    from efaas.optimize.asks import Asked, Oracle, Start
    from efaas.optimize.sources import Source
    from efaas.optimize.speculation import Speculation
    from efaas.optimize.work_clock import Timer

__all__ = ["drive"]


def drive(
    run: Callable[[Asked], Any],
    source: Source,
    speculation: Speculation,
    *,
    start: Start | None,
    limits: Limits,
    shots: int | None = None,
    notes: tuple[str, ...] = (),
    observers: Sequence[Observer] = (),
) -> Any:
    """What ``run`` returns, with its report as ``result.speculation``.

    Args:
        run: The real run of the optimizer.
        source: Where answers come from; closed at the end.
        speculation: How much to guess.
        start: Runs a copy of the optimizer; None to guess nothing.
        limits: When to stop early.
        shots: Shots of each measurement setting of an evaluation.
        notes: For the report.
        observers: Told of the run as it goes, beside those of the source.

    Returns:
        The optimizer's result; the best so far if a limit or Ctrl-C ended the run.
    """
    counted = WorkClock() if speculation.effort == "steps" else None
    timer: Timer = counted or time.perf_counter
    oracle: Oracle | None = None
    predictor = None
    if start is not None and speculation.mode != "off":
        oracle = CountedOracle(start, counted) if counted else oracle_for(start)
        radius = speculation.radius if speculation.mode == "tolerant" else 0.0
        predictor = Predictor(
            oracle,
            seed=speculation.seed,
            radius=radius,
            branches=source.prepares,
            timer=timer,
        )
    seen = Observers([*(source.observers() if isinstance(source, Observed) else ()), *observers])
    asked = RoundedObjective(
        source,
        speculation,
        predictor=predictor,
        limits=limits,
        shots=shots,
        timer=timer,
        observers=seen,
    )
    try:
        try:
            result = run(asked)
        except Stopped as stopped:
            result = asked.stopped(stopped.status, str(stopped))
        except KeyboardInterrupt:
            if asked.best is None:
                raise
            result = asked.stopped(INTERRUPTED, "interrupted (Ctrl-C)")
        if asked.has_tolerated and isinstance(result, OptimizeResult):
            with suppress(Stopped):
                result["fun"] = asked.exact_value(result["x"])
    finally:
        broken = "" if oracle is None else oracle.broken
        asked.close()
        seen.ended()
        source.close()
        if oracle is not None:
            oracle.close()
    if isinstance(result, OptimizeResult):
        if broken:
            notes = (*notes, f"guessing ended early: {broken}")
        result["speculation"] = asked.report(notes)
    return result
