"""The command line's commands: a name, its arguments, what it does. A new one is added here."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from efaas import __version__
from efaas.cloud.comparison import comparison_table, comparison_tasks, run_comparison
from efaas.cloud.figures import paper_figures
from efaas.cloud.paper import paper_tables, paper_tasks, run_paper_task
from efaas.cloud.scenario import Scenario
from efaas.cloud.scenario_file import RunFile, Workload, read_run_file
from efaas.cloud.study import run_all, write_json
from efaas.cloud.trace import read_traces
from efaas.errors import InputError

if TYPE_CHECKING:
    from efaas.cloud.tables import Table

__all__ = ["COMMANDS", "Command", "add_study_arguments", "report"]


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


def report(name: str, tables: list[Table], content: Mapping[str, Any], out: Path | None) -> None:
    """Print the tables, and write them with what they were made of, if there is a place."""
    for table in tables:
        print(table.text() + "\n")
    if out is None:
        return
    out.mkdir(parents=True, exist_ok=True)
    command = " ".join(["python -m efaas.cloud", *sys.argv[1:]])
    write_json(out / f"{name}.json", content)
    lines = [f"# {name}", "", f"`{command}`, efaas {__version__}.", ""]
    lines += [table.markdown() + "\n" for table in tables]
    (out / f"{name}.md").write_text("\n".join(lines), encoding="utf-8")
    print(f"written: {out / name}.json, .md")


def add_study_arguments(parser: argparse.ArgumentParser) -> None:
    """``--seeds``, ``--quick``, ``--out`` and ``--processes``."""
    parser.add_argument("--seeds", type=_count, help="how many")
    parser.add_argument("--quick", action="store_true", help="a short version, under 20 seconds")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where to write JSON and Markdown")
    parser.add_argument(
        "--processes", type=_count, default=0, help="side by side; one per core by default"
    )


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number, 1 or more; got {text!r}")
    return int(text)


def _add_paper(parser: argparse.ArgumentParser) -> None:
    add_study_arguments(parser)
    parser.add_argument("--figures", action="store_true", help="PNG and SVG too; needs matplotlib")


def _paper(arguments: argparse.Namespace) -> int:
    seeds = arguments.seeds or (2 if arguments.quick else 30)
    if arguments.figures and arguments.out is None:
        raise InputError("--figures needs a place: give --out DIR")
    tasks = paper_tasks(seeds, quick=arguments.quick)
    rows = run_all(run_paper_task, tasks, processes=arguments.processes)
    report("paper", paper_tables(rows), {"version": __version__, "rows": rows}, arguments.out)
    if arguments.figures:
        for path in paper_figures(rows, arguments.out):
            print(f"written: {path}")
    return 0


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("scenario", type=Path, help="a TOML file; see docs/cloud.md")
    add_study_arguments(parser)


def _run(arguments: argparse.Namespace) -> int:
    return _compare("run", read_run_file(arguments.scenario), arguments)


def _add_replay(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("trace", type=Path, help="loops recorded as JSON lines")
    parser.add_argument("--scenario", type=Path, help="a TOML file: the cloud to replay it in")
    add_study_arguments(parser)


def _replay(arguments: argparse.Namespace) -> int:
    loops = read_traces(arguments.trace)
    workload = Workload(trace=str(arguments.trace.resolve()))
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
    rows = run_all(run_comparison, tasks, processes=arguments.processes)
    report(name, [comparison_table(rows)] if rows else [], {"rows": rows}, arguments.out)
    return 0


COMMANDS = (
    Command("paper", "the experiment of EFaaS, under every policy", _add_paper, _paper),
    Command("replay", "recorded loops under every policy", _add_replay, _replay),
    Command("run", "a scenario of one's own under every policy", _add_run, _run),
)
"""All commands, in the order of ``--help``."""
