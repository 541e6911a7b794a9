from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import scipy.optimize

from efaas.cloud.live_loop import LiveLoop
from efaas.cloud.paper import PaperTask, paper_tables, run_paper_task
from efaas.cloud.policies import POLICIES
from efaas.cloud.problems import METHODS, drawn_problem
from efaas.cloud.scenario import Calibrations, Scenario
from efaas.cloud.study import write_json
from efaas.cloud.twin import Twin

if TYPE_CHECKING:
    import numpy as np

TASKS = [
    PaperTask("cycles", 0, 50),
    PaperTask("loops", 1, 25, "small", "nelder-mead"),
    PaperTask("drift", 1, 10, "small", "spsa"),
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
    from efaas.cloud.commands import report

    rows = run_paper_task(TASKS[0])
    report("paper", paper_tables(rows), {"rows": rows}, tmp_path)
    assert json.loads((tmp_path / "paper.json").read_text())["rows"][0]["policy"] == "sbq"
    assert "| policy |" in (tmp_path / "paper.md").read_text()
