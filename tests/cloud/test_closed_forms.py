"""The simulation of a lone loop against what its cycle is on paper."""

from __future__ import annotations

from dataclasses import replace

import pytest

from efaas.cloud.closed_forms import closed_cycle, closed_duty
from efaas.cloud.measures import Measures, measured
from efaas.cloud.policies import POLICIES
from efaas.cloud.scenario import Scenario
from efaas.cloud.trace import LoopTrace, TraceStep
from efaas.cloud.traced_loop import TracedLoop
from efaas.cloud.twin import Twin

STEPS = {"sbq": 6000, "pf": 6000}
SECONDS = {"sbq": 300_000.0, "pf": 330_000.0}


def long_run(policy: str, *, hits: int = 0, misses: int = 0) -> tuple[Measures, Scenario]:
    """Of a loop of which so many steps in a row were guessed, and then so many were not."""
    guesses = ["hit"] * hits + ["miss"] * misses or ["none"]
    number = STEPS.get(policy, 3000)
    steps = tuple(TraceStep(guess=guesses[i % len(guesses)]) for i in range(number))
    scenario = Scenario(horizon_seconds=SECONDS.get(policy, 12_000.0))
    loops = [TracedLoop(LoopTrace("plain", "", 0, 0, 0.0, steps))]
    return measured(Twin(scenario, POLICIES[policy], loops, seed=3).run(), scenario), scenario


@pytest.mark.parametrize(
    "policy", ["efaas-paper", "sbq", "pf", "sr", "pq", "exclusive", "efaas-no-speculation"]
)
def test_cycle_and_duty_cycle_are_those_of_the_closed_form(policy: str) -> None:
    found, scenario = long_run(policy)
    cycle = closed_cycle(policy, scenario)
    assert cycle is not None
    assert found.cycle == pytest.approx(cycle, rel=0.03)
    assert found.duty == pytest.approx(closed_duty(cycle, scenario), rel=0.03)


def test_a_guess_that_hits_hides_the_classical_step_and_one_that_misses_costs_its_rest() -> None:
    found, scenario = long_run("efaas", hits=4, misses=1)
    assert found.hit_rate == pytest.approx(0.8, abs=0.01)
    assert found.cycle == pytest.approx(closed_cycle("efaas", scenario, hit_rate=0.8), rel=0.03)


def test_no_policy_has_a_shorter_cycle_than_the_oracle() -> None:
    least = long_run("oracle")[0].cycle
    assert least == pytest.approx(2.0, rel=0.01)
    assert least is not None
    assert least <= (long_run("efaas", hits=1)[0].cycle or 0.0)


def test_the_paper_s_own_numbers_are_met() -> None:
    scenario = Scenario()
    artifact = {"efaas-paper": 3.50, "sbq": 50.3, "pf": 53.7, "sr": 4.25, "pq": 4.12}
    for policy, cycle in artifact.items():
        assert closed_cycle(policy, scenario) == pytest.approx(cycle, rel=0.03)


def test_only_ours_and_reservations_by_age_never_run_on_a_stale_calibration() -> None:
    assert long_run("efaas", hits=3, misses=1)[0].drifted == 0.0
    assert long_run("sr")[0].drifted == 0.0
    drifted = replace(long_run("efaas-paper")[0]).drifted
    assert drifted is not None
    assert drifted > 0.9
