from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from efaas.cloud.__main__ import main
from efaas.cloud.comparison import comparison_table, comparison_tasks, run_comparison
from efaas.cloud.scenario import Calibrations, Devices, Loops, Scenario
from efaas.cloud.scenario_file import read_run_file
from efaas.cloud.trace import LoopTrace, TraceStep, read_traces, write_traces
from efaas.errors import InputError

EXAMPLE = Path(__file__).parents[2] / "examples" / "clouds" / "shared.toml"


def written(folder: Path, text: str) -> Path:
    path = folder / "cloud.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("path", sorted(EXAMPLE.parent.glob("*.toml")), ids=lambda path: path.stem)
def test_the_examples_can_be_read(path: Path) -> None:
    assert read_run_file(path).scenario != Scenario()


def test_an_empty_file_is_the_paper_s_cloud(tmp_path: Path) -> None:
    assert read_run_file(written(tmp_path, "")).scenario == Scenario()


def test_a_file_changes_what_it_names(tmp_path: Path) -> None:
    found = read_run_file(written(tmp_path, "seeds = 2\n[devices]\ncount = 8\n"))
    assert found.scenario == replace(Scenario(), devices=Devices(count=8))
    assert found.seeds == 2


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("seeds = 2\n\n[devices]\ncuont = 8\n", 4, "did you mean 'count'"),
        ("[devices]\ncount = 2.5\n", 2, "expected a whole number, got 2.5"),
        ("[devices]\ncount = 8\n[background]\nservice_seconds = 0\n", 4, "greater than 0"),
        ("[loops]\ncold_start_seconds = [1]\n", 2, "a list of 2 numbers"),
        ("[devics]\ncount = 8\n", 1, "unknown 'devics'"),
        ('\npolicies = ["sbq", "ours"]\n', 2, "names among sbq"),
        ('[workload]\nband = "huge"\n', 2, "one of small, medium, large"),
        ("seeds = 0\n", 1, "1 or more"),
        ("seeds = \n", 1, "not TOML"),
        ("\ndevices = 3\n", 2, "a table [devices]"),
        ("\nhorizon_seconds = -1\n", 2, "0 or more"),
        ('\nhorizon_seconds = "long"\n', 2, "expected a number, got 'long'"),
        ("seeds = 2\n\ndevices.count = 2.5\n", 3, "a whole number, got 2.5"),
        ("\ndevices = { count = 2.5 }\n", 2, "a whole number, got 2.5"),
        ("[devices]\n\ncount = 0\n", 3, "a whole number, 1 or more"),
        ("[devices]\ntwo_qubit_error = 1.5\n", 2, "a probability from 0 to 1"),
        ("[background]\nburst_size = 0.5\n", 2, "1 or more"),
        ("[loops]\ncold_start_seconds = [8, 2]\n", 2, "the least and then the most"),
        ("[loops]\nthink_seconds = nan\n", 2, "a number"),
        ("[calibrations]\nvalid_seconds = inf\n", 2, "a finite number"),
        ("policies = [[1]]\n", 1, "names among sbq"),
        ("policies = []\n", 1, "a list of policies' names"),
        ("seeds = true\n", 1, "1 or more"),
        ("[workload]\nband = 3\n", 2, "expected text, got 3"),
        ('[workload]\nmethod = "adam"\n', 2, "one of nelder-mead"),
        ("[workload]\nhit_rate = 1.5\n", 2, "a share from 0 to 1"),
    ],
)
def test_an_error_names_the_line_and_what_was_expected(
    tmp_path: Path, text: str, line: int, words: str
) -> None:
    with pytest.raises(InputError) as caught:
        read_run_file(written(tmp_path, text))
    assert f"line {line}" in str(caught.value)
    assert words in str(caught.value)


def test_the_command_line_says_so_and_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", str(written(tmp_path, "seed = 1\n"))]) == 2
    assert "did you mean 'seeds'?" in capsys.readouterr().err


def test_the_example_runs_and_the_same_loops_use_the_same_service_everywhere() -> None:
    run = read_run_file(EXAMPLE)
    loops = replace(run.scenario.loops, max_steps=20)
    small = replace(run, scenario=replace(run.scenario, loops=loops, horizon_seconds=300.0))
    small = replace(small, policies=("sbq", "session", "efaas-no-speculation"))
    rows = run_comparison(comparison_tasks(small)[0])
    assert [row["ended"] for row in rows] == [8, 8, 8]
    used = [row["loop_qpu_seconds"] for row in rows]
    assert used == pytest.approx([used[0]] * 3)
    assert len(comparison_table(rows).rows) == 3


def test_traces_come_back_from_their_file_as_they_were(tmp_path: Path) -> None:
    steps = (TraceStep(2, 0.5), TraceStep(1, 0.25, "hit", 0.125, 2.0), TraceStep(guess="miss"))
    traces = [LoopTrace("a", "powell", 1, 4, 3.5, steps), LoopTrace("b", "", 2, 0, 0.0, ())]
    write_traces(tmp_path / "t.jsonl", traces)
    assert read_traces(tmp_path / "t.jsonl") == traces


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "line 2"),
        ("5", "line 2: expected an object"),
        ('{"guess": "perhaps"}', "'none', 'hit' or 'miss'"),
        ('{"x": 1}', "line 2: unknown 'x'"),
        ('{"gap": "small"}', "gap is a number"),
        ('{"evaluations": 0}', "a whole number, 1 or more"),
        ('{"think_seconds": -1}', "think_seconds is a finite number, 0 or more"),
        ('{"service_seconds": "1"}', "service_seconds is a finite number"),
        ('{"format": "efaas-loop-trace", "version": 1, "shots": "many"}', "shots is a whole"),
        ('{"format": "efaas-loop-trace", "version": 9}', "of version 1"),
    ],
)
def test_a_bad_line_of_a_trace_is_named(tmp_path: Path, line: str, words: str) -> None:
    path = tmp_path / "t.jsonl"
    write_traces(path, [LoopTrace("a", "", 0, 0, 0.0, ())])
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(InputError, match=words):
        read_traces(path)


def test_a_trace_is_replayed_from_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "t.jsonl"
    steps = (TraceStep(think_seconds=0.5, service_seconds=1.0),) * 5
    write_traces(path, [LoopTrace("a", "", 0, 0, 0.0, steps)])
    scenario = written(tmp_path, 'horizon_seconds = 50\npolicies = ["pq", "oracle"]\n')
    assert main(["replay", str(path), "--scenario", str(scenario), "--quick"]) == 0
    printed = capsys.readouterr().out
    assert "1 loops, 5 steps" in printed
    assert "oracle" in printed


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"devices": 3}, "devices is a Devices; got 3"),
        ({"devices": Devices(count=2.5)}, "Devices.count is a whole number"),  # type: ignore[arg-type]
        ({"horizon_seconds": "long"}, "horizon_seconds is a number"),
        ({"loops": Loops(cold_start_seconds=5.0)}, "a pair of numbers"),  # type: ignore[arg-type]
        ({"devices": Devices(evaluation_seconds=0.1)}, "set it as well"),
        ({"calibrations": Calibrations(hourly_seconds=3600.0)}, "leave no time"),
    ],
)
def test_a_scenario_in_python_is_checked_as_well(parts: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        Scenario(**parts)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["paper", "--seeds", "0"], "a whole number, 1 or more; got '0'"),
        (["paper", "--seeds", "x"], "a whole number, 1 or more; got 'x'"),
        (["contention", "--processes", "1.5"], "a whole number, 1 or more; got '1.5'"),
        (["paper", "--quick", "--out", "FILE"], "expected a folder"),
        (["paper", "--quick", "--out", "FILE/in"], "expected a folder"),
        (["replay", "FILE", "--evaluation-seconds", "nan"], "expected seconds, more than 0"),
        (["replay", "FILE", "--evaluation-seconds", "-2"], "expected seconds, more than 0"),
        (["run"], "scenario"),
        (["play"], "invalid choice: 'play'"),
        ([], "COMMAND"),
    ],
)
def test_an_option_that_cannot_be_used_is_refused_before_anything_runs(
    arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "cloud.toml"
    file.write_text("")
    with pytest.raises(SystemExit) as caught:
        main([argument.replace("FILE", str(file)) for argument in arguments])
    assert caught.value.code == 2
    printed = capsys.readouterr()
    assert words in printed.err
    assert printed.out == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "nothing.toml"], "cannot read"),
        (["run", "FOLDER"], "cannot read"),
        (["run", "BINARY"], "expected a scenario as TOML"),
        (["run", "TRACED"], "nothing.jsonl"),
        (["replay", "nothing.jsonl"], "cannot read nothing.jsonl"),
        (["replay", "BINARY"], "expected JSON lines"),
        (["replay", "FOLDER"], "cannot read"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_what_was_expected(
    arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    traced = written(tmp_path, '[workload]\ntrace = "nothing.jsonl"\n')
    places = {"FOLDER": tmp_path, "BINARY": tmp_path / "binary", "TRACED": traced}
    command, path = arguments
    assert main([command, str(places.get(path, path))]) == 2
    assert words in capsys.readouterr().err
