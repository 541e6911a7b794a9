from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from efaas.cloud.__main__ import main
from efaas.cloud.comparison import comparison_table, comparison_tasks, run_comparison
from efaas.cloud.scenario import Devices, Scenario
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
    [("{", "line 2"), ('{"guess": "perhaps"}', "'none', 'hit' or 'miss'"), ('{"x": 1}', "line 2")],
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
