"""Where the predictor's steps are counted, guesses are the same in every run."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from shuffled import ShuffledObjective
from test_exactness import Landscape, arguments_for

import efaas
import efaas.optimize.oracle
from efaas.optimize.asks import Ask
from efaas.optimize.counted import CountedOracle
from efaas.optimize.oracle import AdaptiveOracle
from efaas.optimize.start import MinimizeStart
from efaas.optimize.work_clock import WorkClock

if TYPE_CHECKING:
    from efaas.optimize.asks import Answerer, Step

COUNTED = efaas.Speculation(effort="steps", predictor_share=0.02)


class Slow(AdaptiveOracle):
    """As on a machine that does much else."""

    def paths(
        self, answerers: Sequence[Answerer], depth: int, *, seconds: float
    ) -> list[list[Step]]:
        time.sleep(0.004)
        return super().paths(answerers, depth, seconds=seconds)


def told(method: str) -> dict[str, Any]:
    objective = ShuffledObjective(Landscape(3, 3, 0.01), 3)
    result = efaas.minimize(objective, speculation=COUNTED, **arguments_for(method, 3, 0.4))
    report = result.speculation
    return {
        "rounds": report.rounds,
        "hits": report.hits,
        "misses": report.misses,
        "effort": report.predictor_seconds,
        "ran": objective.ran,
    }


@pytest.mark.parametrize("method", ["Nelder-Mead", "COBYLA", "BFGS"])
def test_a_slow_machine_makes_the_same_guesses(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = told(method)
    monkeypatch.setattr(efaas.optimize.oracle, "AdaptiveOracle", Slow)
    assert told(method) == usual
    assert usual["hits"] > 0


def test_paths_count_for_more_as_the_record_grows_and_no_more_are_walked() -> None:
    timer = WorkClock()
    oracle = CountedOracle(MinimizeStart([0.0], (), {"method": "Nelder-Mead"}), timer)
    began = timer()
    assert len(oracle.paths([lambda ask: 0.0] * 9, 1, seconds=9.1e-4)) == 4
    assert timer() - began == pytest.approx(8e-4, abs=5e-5)
    oracle.record(Ask(np.array([0.0])), 1.0)
    assert len(oracle.paths([lambda ask: 0.0] * 9, 1, seconds=9.1e-4)) == 4
    for _ in range(1000):
        oracle.record(Ask(np.array([0.0])), 1.0)
    assert oracle.paths([lambda ask: 0.0] * 9, 1, seconds=4.9e-3) == []
    oracle.close()


def test_an_unknown_effort_is_refused() -> None:
    with pytest.raises(efaas.errors.OptimizerError, match="effort is one of 'seconds', 'steps'"):
        efaas.Speculation(effort="guesses")
