"""The command line's commands: a name, its arguments, what it does. A new one is added here."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from efaas.cloud.comparison import comparison_table, comparison_tasks, run_comparison
from efaas.cloud.contention import (
    contention_tasks,
    recording_tasks,
    run_contention_task,
    run_recording,
)
from efaas.cloud.contention_tables import contention_tables
from efaas.cloud.figures import contention_figures, paper_figures
from efaas.cloud.paper import paper_tasks, run_paper_task
from efaas.cloud.paper_tables import paper_tables
from efaas.cloud.recorded import read_loops
from efaas.cloud.reporting import report
from efaas.cloud.scenario import Scenario
from efaas.cloud.scenario_file import RunFile, Workload, read_run_file
from efaas.cloud.study import run_all

__all__ = ["COMMANDS", "Command", "add_study_arguments"]


@dataclass(frozen=True, slots=True)
class Command:
    """A command of ``python -m efaas.cloud``.

    Attributes:
        name: What it is called.
        about: What it does, in a line.
        add: Adds its own arguments to the parser.
        run: Does it; returns the exit status.
    """

    name: str
    about: str
    add: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


def add_study_arguments(parser: argparse.ArgumentParser) -> None:
    """``--seeds``, ``--quick``, ``--out`` and ``--processes``."""
    parser.add_argument(
        "--seeds",
        type=_count,
        metavar="N",
        help="how many, from 0 on: by default 30 for paper, 5 for contention, what the scenario "
        "says or 3 for the others; 1 or 2 with --quick",
    )
    parser.add_argument("--quick", action="store_true", help="a short version, under 20 seconds")
    parser.add_argument(
        "--out", type=_folder, metavar="DIR", help="where to write JSON, Markdown, HTML and figures"
    )
    parser.add_argument(
        "--processes",
        type=_count,
        default=0,
        metavar="N",
        help="side by side; one per core by default",
    )


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number, 1 or more; got {text!r}")
    return int(text)


def _folder(text: str) -> Path:
    """Where to write, made at once: hours of a study are not lost to a wrong name."""
    path = Path(text)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise argparse.ArgumentTypeError(
            f"expected a folder, or a place where one can be made; got {text!r} ({error})"
        ) from error
    return path


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"expected seconds, more than 0; got {text!r}")
    return seconds


def _paper(arguments: argparse.Namespace) -> int:
    seeds = arguments.seeds or (2 if arguments.quick else 30)
    tasks = paper_tasks(seeds, quick=arguments.quick)
    rows, is_whole = run_all(run_paper_task, tasks, processes=arguments.processes)
    tables = paper_tables(rows)
    title = "The experiment of EFaaS, under every policy"
    report("paper", title, tables, rows, arguments.out, figures=paper_figures, is_whole=is_whole)
    return 0


def _contention(arguments: argparse.Namespace) -> int:
    seeds = arguments.seeds or (1 if arguments.quick else 5)
    loops = recording_tasks(quick=arguments.quick)
    recorded, is_whole = run_all(run_recording, loops, processes=arguments.processes)
    if not is_whole:
        print("stopped while loops were recorded: there is nothing to show yet")
        return 130
    tasks = contention_tasks(seeds, recorded, quick=arguments.quick)
    rows, is_whole = run_all(run_contention_task, tasks, processes=arguments.processes)
    tables = contention_tables(rows)
    title = "Loops that compete, under every policy"
    report(
        *("contention", title, tables, rows, arguments.out),
        figures=contention_figures,
        is_whole=is_whole,
    )
    return 0


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("scenario", type=Path, help="a TOML file; see docs/cloud.md")
    add_study_arguments(parser)


def _run(arguments: argparse.Namespace) -> int:
    run = read_run_file(arguments.scenario)
    if run.workload.trace:
        read_loops(run.folder / run.workload.trace)  # what is wrong with it is told at once
    return _compare("run", run, arguments)


def _add_replay(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "trace", type=Path, help="loops as JSON lines: of session.trace.save(), or of efaas.cloud"
    )
    parser.add_argument("--scenario", type=Path, help="a TOML file: the cloud to replay it in")
    parser.add_argument(
        "--evaluation-seconds",
        type=_seconds,
        default=0.0,
        metavar="S",
        help="QPU seconds of an evaluation, in place of what was measured",
    )
    add_study_arguments(parser)


def _replay(arguments: argparse.Namespace) -> int:
    loops = read_loops(arguments.trace)
    workload = Workload(
        trace=str(arguments.trace.resolve()), evaluation_seconds=arguments.evaluation_seconds
    )
    if arguments.scenario is None:
        run = RunFile(Scenario(), workload)
    else:
        run = replace(read_run_file(arguments.scenario), workload=workload)
    steps = sum(len(loop.steps) for loop in loops)
    print(f"{len(loops)} loops, {steps} steps, of {arguments.trace}")
    return _compare("replay", run, arguments)


def _compare(name: str, run: RunFile, arguments: argparse.Namespace) -> int:
    seeds = arguments.seeds or (1 if arguments.quick else run.seeds)
    tasks = comparison_tasks(replace(run, seeds=seeds))
    rows, is_whole = run_all(run_comparison, tasks, processes=arguments.processes)
    tables = [comparison_table(rows)] if rows else []
    what = {"run": "A scenario", "replay": "Recorded loops"}[name]
    report(name, f"{what}, under every policy", tables, rows, arguments.out, is_whole=is_whole)
    return 0


COMMANDS = (
    Command("paper", "the experiment of EFaaS, under every policy", add_study_arguments, _paper),
    Command(
        "contention",
        "loops that compete, beside batch jobs, under every policy",
        add_study_arguments,
        _contention,
    ),
    Command("replay", "recorded loops under every policy", _add_replay, _replay),
    Command("run", "a scenario of one's own under every policy", _add_run, _run),
)
"""All commands, in the order of ``--help``."""
