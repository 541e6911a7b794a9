"""Where the predictor's steps are counted, guesses are the same in every run."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pytest
from shuffled import ShuffledObjective
from test_exactness import Landscape, arguments_for

import efaas
import efaas.optimize.oracle
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


def test_every_path_counts_for_the_same_and_no_more_are_walked() -> None:
    timer = WorkClock()
    oracle = CountedOracle(MinimizeStart([0.0], (), {"method": "Nelder-Mead"}), timer)
    began = timer()
    paths = oracle.paths([lambda ask: 0.0] * 9, 2, seconds=0.021)
    spent = timer() - began
    oracle.close()
    assert len(paths) == 4
    assert spent == pytest.approx(0.02, rel=0.01)


def test_an_unknown_effort_is_refused() -> None:
    with pytest.raises(efaas.errors.OptimizerError, match="effort is one of 'seconds', 'steps'"):
        efaas.Speculation(effort="guesses")
