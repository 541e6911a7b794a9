"""A session's own loops under other policies."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qiskit.circuit.library import efficient_su2

import efaas
from efaas.clock import VirtualClock
from efaas.cloud.__main__ import main
from efaas.cloud.recorded import loops_of, read_loops
from efaas.cloud.what_if import what_if
from efaas.errors import InputError
from efaas.observe import Trace
from efaas.testing import FakeBackend

ANSATZ = efficient_su2(2, reps=1)
START = np.linspace(0.1, 0.8, ANSATZ.num_parameters)


def session_on_a_slow_device() -> efaas.EFSession:
    clock = VirtualClock()
    device = FakeBackend("lab", clock=clock, round_seconds=1.0, evaluation_seconds=0.1)
    return efaas.EFSession(device, seed=5, clock=clock)


@cache
def observed_run() -> Trace:
    """Nelder-Mead and COBYLA, one after the other, without guesses."""
    with session_on_a_slow_device() as session:
        for method, options in (("Nelder-Mead", {"maxfev": 40}), ("COBYLA", {"maxiter": 12})):
            energy = session.objective(ANSATZ, "ZZ")
            efaas.minimize(energy, START, method=method, options=options, speculation="off")
        return session.trace


def test_a_run_s_jobs_are_its_rounds_with_the_times_that_were_measured() -> None:
    trace = observed_run()
    first, second = loops_of(trace)
    assert (first.name, len(first.steps)) == ("loop 1, run 1", 40)
    assert len(second.steps) == 12
    assert {step.guess for step in first.steps} == {"none"}
    ran = [a for a in trace.attempts if a.loop_id == trace.loop_ids[0]][:40]
    assert [step.service_seconds for step in first.steps] == [a.qpu_seconds for a in ran]


def test_guesses_that_were_used_are_hits_and_no_evaluation_is_lost() -> None:
    with session_on_a_slow_device() as session:
        energy = session.objective(ANSATZ, "ZZ")
        result = efaas.minimize(
            energy,
            START,
            method="Nelder-Mead",
            options={"maxfev": 40},
            speculation=efaas.Speculation(effort="steps"),
        )
        [loop] = loops_of(session.trace)
        answer = session.what_if(("session", "efaas"), seeds=1, evaluation_seconds=2.0)
    assert sum(step.evaluations for step in loop.steps) == result.nfev
    hits = sum(step.guess == "hit" for step in loop.steps)
    assert hits == sum(step.how == "guess" for step in session.trace.steps) > 0
    by_policy = {row["policy"]: row for row in answer.rows}
    assert by_policy["efaas"]["loop_seconds"] < by_policy["session"]["loop_seconds"]
    assert "whole loop s" in str(answer) == repr(answer)
    assert "session: a provider's session; efaas: this library." in str(answer)
    assert answer._repr_html_().startswith("<div")


def test_a_saved_session_is_replayed_from_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trace = observed_run()
    trace.save(tmp_path / "run.jsonl")
    assert list(read_loops(tmp_path / "run.jsonl")) == list(loops_of(trace))
    assert main(["replay", str(tmp_path / "run.jsonl"), "--quick"]) == 0
    printed = capsys.readouterr().out
    assert "2 loops, 52 steps" in printed
    assert "session" in printed
    slower = ["replay", str(tmp_path / "run.jsonl"), "--quick", "--evaluation-seconds", "2"]
    assert main(slower) == 0
    assert capsys.readouterr().out != printed
    with pytest.raises(SystemExit):
        main([*slower[:-1], "-2"])


def test_evaluations_without_an_optimizer_are_steps_of_their_loop() -> None:
    with session_on_a_slow_device() as session:
        energy = session.objective(ANSATZ, "ZZ")
        for shift in range(3):
            energy(np.full(energy.num_parameters, 0.1 * shift))
        [loop] = loops_of(session.trace)
    assert [step.evaluations for step in loop.steps] == [1, 1, 1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"policies": ["ours"]}, "policies are among sbq"),
        ({"policies": "sbq"}, "policies is a list of names"),
        ({"policies": 5}, "policies is a list of names"),
        ({"policies": [["sbq"]]}, "policies are among sbq"),
        ({"policies": []}, "at least one"),
        ({"seeds": 0}, "seeds is a whole number"),
        ({"seeds": "3"}, "seeds is a whole number"),
        ({"seeds": True}, "seeds is a whole number"),
        ({"evaluation_seconds": 0.0}, "evaluation_seconds is a finite number"),
        ({"evaluation_seconds": "1"}, "evaluation_seconds is a finite number"),
        ({"evaluation_seconds": float("nan")}, "evaluation_seconds is a finite number"),
        ({"evaluation_seconds": float("inf")}, "evaluation_seconds is a finite number"),
        ({"scenario": "cloud.toml"}, "scenario is an efaas.cloud.scenario.Scenario"),
    ],
)
def test_what_if_says_what_it_expected(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        what_if(observed_run(), **arguments)


def test_what_if_needs_a_trace_with_a_loop() -> None:
    with pytest.raises(InputError, match="no evaluation of a loop"):
        what_if(Trace())
    with pytest.raises(InputError, match="load_trace"):
        what_if("run.jsonl")  # type: ignore[arg-type]


def test_a_file_that_holds_no_trace_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing\\.jsonl"):
        read_loops(tmp_path / "nothing.jsonl")
