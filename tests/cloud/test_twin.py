"""What the twin simulates beside queues: networks, calibrations, failures, bursts, closing."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice, pairwise
from statistics import fmean
from typing import TYPE_CHECKING

import pytest

from efaas.cloud.background import background_jobs
from efaas.cloud.device import Device
from efaas.cloud.measures import measured
from efaas.cloud.policies import POLICIES
from efaas.cloud.scenario import Background, Calibrations, Devices, Loops, Provider, Scenario
from efaas.cloud.trace import LoopTrace, TraceStep
from efaas.cloud.traced_loop import TracedLoop
from efaas.cloud.twin import Twin

if TYPE_CHECKING:
    from efaas.cloud.outcome import Outcome

QUIET = Scenario(
    horizon_seconds=1.0,
    devices=Devices(jitter_seconds=0.0),
    background=Background(jobs_per_second=0.0),
    calibrations=Calibrations(valid_seconds=1e9),
)


def loop(steps: int, *, guess: str = "none", think: float | None = None) -> TracedLoop:
    each = TraceStep(guess=guess, think_seconds=think)
    return TracedLoop(LoopTrace("plain", "", 0, 0, 0.0, (each,) * steps))


def run(scenario: Scenario, policy: str, loops: list[TracedLoop], seed: int = 1) -> Outcome:
    return Twin(scenario, POLICIES[policy], loops, seed=seed).run()


@pytest.mark.parametrize("policy", ["exclusive", "efaas-no-speculation"])
def test_the_network_is_crossed_there_and_back_in_every_step(policy: str) -> None:
    far = replace(QUIET, provider=Provider(network_seconds=0.25))
    found = measured(run(far, policy, [loop(50)]), replace(far, horizon_seconds=1e6))
    assert found.cycle == pytest.approx(1.5 + 2.0 + 0.5)


def test_guesses_that_hit_hide_the_network_as_well() -> None:
    far = replace(QUIET, provider=Provider(network_seconds=0.25))
    found = measured(run(far, "efaas", [loop(50, guess="hit")]), replace(far, horizon_seconds=1e6))
    assert found.cycle == pytest.approx(2.0)
    assert found.steps == 50


def test_scheduled_calibrations_come_every_hour_and_every_day_at_the_devices_own_minutes() -> None:
    calibrations = Calibrations(valid_seconds=1e9, hourly_seconds=150.0, daily_seconds=1800.0)
    scenario = replace(QUIET, calibrations=calibrations)
    devices = [Device(name, scenario, seed=3) for name in scenario.device_names]
    first = []
    for device in devices:
        made = [device.scheduled_until(minute * 60.0)[0] for minute in range(24 * 60)]
        assert sum(made) == 24 + 1
        first.append(next(minute for minute, count in enumerate(made) if count))
    assert len(set(first)) == len(devices)


def test_an_idle_device_makes_its_calibration_when_it_is_due_and_a_busy_one_afterwards() -> None:
    calibrations = Calibrations(valid_seconds=1e9, hourly_seconds=150.0)
    scenario = replace(QUIET, calibrations=calibrations)
    idle, busy = (Device("qpu1", scenario, seed=3) for _ in range(2))
    due = next(at for at in range(3600) if Device("qpu1", scenario, 3).scheduled_until(at)[0]) - 1
    assert idle.scheduled_until(due + 1000.0) == (1, due + 1000.0)
    busy.idle(due + 100.0)
    made, free_at = busy.scheduled_until(due + 110.0)
    assert (made, free_at) == (1, due + 100.0 + 150.0)


def test_a_job_of_others_waits_for_a_calibration_too() -> None:
    often = Calibrations(valid_seconds=1e9, hourly_seconds=1800.0)
    crowd = Background(jobs_per_second=0.02)
    plain = replace(QUIET, horizon_seconds=20_000.0, background=crowd)
    waits = []
    for scenario in (plain, replace(plain, calibrations=often)):
        outcome = run(scenario, "sbq", [loop(1)])
        waits.append(fmean(job.started_at - job.arrived_at for job in outcome.background[:300]))
    assert waits[1] > waits[0] + 300.0


def test_calibrations_need_not_have_the_same_age_at_the_beginning() -> None:
    old = replace(QUIET, calibrations=Calibrations(age_spread=1.0))
    ages = [Device(name, old, seed=1).age_seconds(0.0) for name in old.device_names]
    assert len(set(ages)) == 3
    assert all(0.0 <= age <= 300.0 for age in ages)


def test_noise_grows_with_a_calibration_s_age_up_to_three_times_and_a_new_one_ends_it() -> None:
    device = Device("qpu1", Scenario(), seed=1)
    scales = [device.noise_scale(at) for at in (0.0, 150.0, 300.0, 600.0, 6000.0)]
    assert scales == pytest.approx([1.0, 1.5, 2.0, 3.0, 3.0])
    device.calibrate(6000.0)
    assert device.noise_scale(6000.0) == pytest.approx(1.0)


def test_attempts_fail_as_often_as_stated_and_run_again_to_the_same_end() -> None:
    failing = replace(QUIET, devices=Devices(jitter_seconds=0.0, failures_per_hour=180.0))
    outcome = run(failing, "exclusive", [loop(2000)])
    lost = [busy for busy in outcome.busy if busy.kind == "lost"]
    assert len(outcome.loops[0].steps) == 2000
    assert len(lost) == pytest.approx(4000.0 * 180.0 / 3600.0, rel=0.2)


def test_bursts_and_log_normal_service_keep_the_rate_and_the_mean() -> None:
    background = Background(
        jobs_per_second=0.5, service_seconds=8.0, burst_size=4.0, log_deviation=0.8
    )
    jobs = list(islice(background_jobs(replace(QUIET, background=background), seed=2), 20_000))
    assert jobs[-1].arrives_at == pytest.approx(20_000 / 0.5, rel=0.05)
    assert fmean(job.seconds for job in jobs) == pytest.approx(8.0, rel=0.05)
    together = sum(a.arrives_at == b.arrives_at for a, b in pairwise(jobs))
    assert together / len(jobs) == pytest.approx(3 / 4, abs=0.02)


@pytest.mark.parametrize(("think", "others_waited"), [(30.0, False), (90.0, True)])
def test_a_session_that_is_idle_for_longer_than_its_time_to_live_is_closed(
    think: float, others_waited: bool
) -> None:
    """Two loops on one device: the second gets it when the first one's session is closed."""
    one = replace(QUIET, devices=Devices(count=1, jitter_seconds=0.0))
    one = replace(one, provider=Provider(queue_log_mean=-9.0, interactive_seconds=60.0))
    first, second = run(one, "session", [loop(4, think=think), loop(1)]).loops
    started_at = second.steps[0].first_shot_at
    assert (started_at < first.steps[-1].ended_at) == others_waited


def test_a_session_ends_at_its_longest_time_whoever_is_busy() -> None:
    one = replace(QUIET, devices=Devices(count=1, jitter_seconds=0.0))
    short = Provider(queue_log_mean=-9.0, max_session_seconds=60.0)
    one = replace(one, provider=short)
    first, second = run(one, "session", [loop(100), loop(1)]).loops
    assert second.steps[0].first_shot_at == pytest.approx(60.0, abs=4.0)
    assert len(first.steps) == 100


def test_loops_come_over_time_and_are_shared_out_among_tenants() -> None:
    coming = replace(QUIET, loops=Loops(count=60, arrivals_per_hour=120.0, tenants=3))
    loops = run(coming, "efaas", [loop(1) for _ in range(60)]).loops
    assert loops[-1].arrived_at == pytest.approx(60 * 30.0, rel=0.4)
    assert [it.tenant for it in loops[:4]] == ["tenant 1", "tenant 2", "tenant 0", "tenant 1"]


def test_classical_steps_wait_for_a_node_where_there_are_too_few() -> None:
    cycles = []
    for nodes in (2, 1):
        devices = Devices(count=2, evaluation_seconds=0.5, jitter_seconds=0.0)
        few = replace(QUIET, classical_nodes=nodes, devices=devices)
        outcome = run(few, "exclusive", [loop(40), loop(40)])
        cycles.append(measured(outcome, replace(few, horizon_seconds=1e6)).cycle)
    assert cycles == pytest.approx([0.5 + 1.5, 2 * 1.5], rel=0.05)
