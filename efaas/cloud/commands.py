"""The command line's commands: a name, its arguments, what it does. A new one is added here."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from efaas import __version__
from efaas.cloud.paper import paper_tables, paper_tasks, run_paper_task
from efaas.cloud.study import run_all, write_json

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


def report(name: str, tables: list[Table], content: object, out: Path | None) -> None:
    """Print the tables, and write them with what they were made of, if there is a place."""
    for table in tables:
        print(table.text() + "\n")
    if out is None:
        return
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / f"{name}.json", content)
    lines = [f"# {name}", "", f"`python -m efaas.cloud {name}`, efaas {__version__}.", ""]
    lines += [table.markdown() + "\n" for table in tables]
    (out / f"{name}.md").write_text("\n".join(lines), encoding="utf-8")
    print(f"written: {out / name}.json, .md")


def add_study_arguments(parser: argparse.ArgumentParser) -> None:
    """``--seeds``, ``--quick``, ``--out`` and ``--processes``."""
    parser.add_argument("--seeds", type=_count, help="how many; 30, or 2 with --quick")
    parser.add_argument("--quick", action="store_true", help="a short version, under 20 seconds")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where to write JSON and Markdown")
    parser.add_argument(
        "--processes", type=_count, default=0, help="side by side; one per core by default"
    )


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number, 1 or more; got {text!r}")
    return int(text)


def _paper(arguments: argparse.Namespace) -> int:
    seeds = arguments.seeds or (2 if arguments.quick else 30)
    tasks = paper_tasks(seeds, quick=arguments.quick)
    rows = run_all(run_paper_task, tasks, processes=arguments.processes)
    report("paper", paper_tables(rows), {"version": __version__, "rows": rows}, arguments.out)
    return 0


COMMANDS = (
    Command("paper", "the experiment of EFaaS, under every policy", add_study_arguments, _paper),
)
"""All commands, in the order of ``--help``."""
