from __future__ import annotations

import io
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import scipy.optimize

from efaas.cloud.__main__ import main
from efaas.cloud.commands import COMMANDS
from efaas.cloud.figures import paper_figures
from efaas.cloud.live_loop import LiveLoop
from efaas.cloud.paper import WHOLE, PaperTask, one_at_a_time, paper_tasks, run_paper_task
from efaas.cloud.paper_tables import paper_tables
from efaas.cloud.policies import POLICIES
from efaas.cloud.problems import BANDS, METHODS, drawn_problem
from efaas.cloud.progress import Progress
from efaas.cloud.reporting import report
from efaas.cloud.rows import grouped
from efaas.cloud.scenario import Calibrations, Scenario
from efaas.cloud.study import run_all, write_json
from efaas.cloud.trace import LoopTrace, TraceStep
from efaas.cloud.twin import Twin

if TYPE_CHECKING:
    import numpy as np

TASKS = [
    PaperTask("cycles", 0, 50),
    PaperTask("loops", 1, band="small", methods=(("nelder-mead", 25), ("l-bfgs-b", 4))),
    PaperTask("drift", 1, 10, "small", (("spsa", 10),)),
]


def test_the_same_seeds_write_the_same_bytes(tmp_path: Path) -> None:
    for name in ("first", "second"):
        rows = [row for task in TASKS for row in run_paper_task(task)]
        write_json(tmp_path / name, {"rows": rows})
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()


def test_the_tables_can_be_made_of_whatever_was_finished() -> None:
    rows = run_paper_task(TASKS[0])
    assert [table.title for table in paper_tables(rows)] == ["A lone loop of plain steps"]
    assert paper_tables([]) == []


def test_a_guessing_loop_in_the_twin_asks_for_what_scipy_asks_for() -> None:
    """Without drift a value depends on the point and its occurrence alone."""
    scenario = Scenario(calibrations=Calibrations(drift=0.0))
    scenario = replace(scenario, loops=replace(scenario.loops, max_steps=40))
    problem = drawn_problem("small", 3, scenario)
    loop = LiveLoop(problem, METHODS["nelder-mead"], method_name="nelder-mead", seed=3)
    asked: list[bytes] = []
    value = loop.value

    def noted(x: np.ndarray, noise_scale: float, occurrence: int) -> float:
        found = value(x, noise_scale, occurrence)
        values[x.tobytes(), occurrence] = found
        return found

    values: dict[tuple[bytes, int], float] = {}
    loop.value = noted  # type: ignore[method-assign]
    Twin(scenario, POLICIES["efaas"], [loop], seed=3).run()

    def alone(x: np.ndarray) -> float:
        asked.append(x.tobytes())
        return values[x.tobytes(), asked.count(x.tobytes())]

    options = METHODS["nelder-mead"].options(problem.x0, 40, 0, 3)
    scipy.optimize.minimize(alone, problem.x0, method="Nelder-Mead", options=options)
    assert len(asked) == 40
    assert loop.trace.hit_rate > 0.2


def test_importing_the_library_does_not_import_the_cloud() -> None:
    code = "import sys, efaas; assert not [m for m in sys.modules if m.startswith('efaas.cloud')]"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_is_written_is_json_and_markdown(tmp_path: Path) -> None:
    rows = run_paper_task(TASKS[0])
    report("paper", "The experiment", paper_tables(rows), rows, tmp_path)
    written = json.loads((tmp_path / "paper.json").read_text())
    assert (written["rows"][0]["policy"], written["is_whole"]) == ("sbq", True)
    assert "| policy |" in (tmp_path / "paper.md").read_text()


def test_files_of_a_study_that_was_stopped_say_so(tmp_path: Path) -> None:
    report("paper", "The experiment", [], [], tmp_path, is_whole=False)
    assert not json.loads((tmp_path / "paper.json").read_text())["is_whole"]
    for name in ("paper.md", "paper.html"):
        assert "Stopped early" in (tmp_path / name).read_text()


def interrupted(task: int) -> list[dict[str, int]]:
    if task == 2:
        raise KeyboardInterrupt
    return [{"task": task}]


def doubled(task: int) -> list[dict[str, int]]:
    return [{"task": 2 * task}]


def test_ctrl_c_leaves_what_was_finished() -> None:
    found = run_all(interrupted, [0, 1, 2, 3], processes=1)
    assert found == ([{"task": 0}, {"task": 1}], False)


def test_rows_come_in_the_order_of_the_tasks_whichever_process_was_first() -> None:
    found = run_all(doubled, [3, 1, 2], processes=2)
    assert found == ([{"task": 6}, {"task": 2}, {"task": 4}], True)


def thirds(task: int) -> list[dict[str, Any]]:
    return [{"third": task / 3, "of": (task,), "none": None}]


def test_rows_are_as_they_will_be_written() -> None:
    rows, _ = run_all(thirds, [1], processes=1)
    assert rows == json.loads(json.dumps(rows))
    assert rows[0]["third"] == 0.333333333


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    printed = capsys.readouterr().out
    assert all(command.name in printed for command in COMMANDS)


def test_figures_are_drawn_of_what_there_is(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    rows = run_paper_task(PaperTask("background", 0, 40, load=0.2))
    written = paper_figures(rows, tmp_path)
    assert [path.name for path in written] == ["background.png", "background.svg"]
    assert all(path.stat().st_size > 1000 for path in written)


def test_a_finite_difference_is_a_job_a_point_for_those_who_do_not_know_it_in_advance() -> None:
    steps = (TraceStep(3, 0.5), TraceStep(2, 0.25, think_seconds=1.0))
    found = one_at_a_time(LoopTrace("a", "l-bfgs-b", 0, 2, 1.0, steps)).steps
    assert [step.evaluations for step in found] == [1] * 5
    assert [step.gap for step in found] == [None, None, 0.5, None, 0.25]
    assert [step.think_seconds for step in found] == [None, 0.0, 0.0, 1.0, 0.0]


def test_all_optimizers_are_judged_by_the_same_best_energy_and_ours_sends_gradients_whole() -> None:
    rows = run_paper_task(TASKS[1])
    of_method = grouped(rows, "method")
    assert list(of_method) == ["nelder-mead", "l-bfgs-b", WHOLE]
    jobs = {row["policy"]: row["steps"] for row in of_method["l-bfgs-b"]}
    assert jobs["efaas"] == jobs["oracle"] == 4
    assert jobs["exclusive"] > 4 * 4
    assert {row["steps"] for row in of_method[WHOLE]} == {4}
    titles = [table.title for table in paper_tables(rows)]
    assert titles[-1] == "Loops that converged, by band"


def test_figures_of_loops_show_cycles_and_who_converged(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    rows = run_paper_task(TASKS[1])
    rows[0]["converged"] = 100.0
    names = [path.stem for path in paper_figures(rows, tmp_path)]
    assert names == ["cycles", "cycles", "convergence", "convergence"]


def test_a_study_goes_seed_by_seed_and_every_band_has_all_of_them() -> None:
    tasks = paper_tasks(30, quick=False)
    assert [task.seed for task in tasks] == sorted(task.seed for task in tasks)
    for band in BANDS:
        assert len({task.seed for task in tasks if task.band == band and task.methods}) == 30


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_tells_how_far_it_is_and_the_time_that_is_left() -> None:
    stream = Terminal()
    progress = Progress(4, stream=stream)
    progress.done("one")
    assert "1/4" in stream.getvalue()
    assert "s left one" in stream.getvalue()
    silent = io.StringIO()
    Progress(4, stream=silent).done("one")
    assert silent.getvalue() == ""
