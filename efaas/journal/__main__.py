"""``python -m efaas.journal show|export|verify FILE``."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from efaas.errors import JournalError
from efaas.journal.export import write_csv, write_json
from efaas.journal.reading import Reader
from efaas.journal.schema import MIGRATIONS

_EVENTS = 10


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m efaas.journal",
        description="Look into a journal. It may be in use; nothing in it is changed.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (
        ("show", "say what is in it"),
        ("export", "write its points as CSV or JSON"),
        ("verify", "check that it is whole; status 1 if it is not"),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument("file", type=Path)
        if name == "export":
            command.add_argument("--format", choices=("csv", "json"), default="csv")
            command.add_argument("--output", type=Path, help="a file; standard output if left out")
    given = parser.parse_args(arguments)
    try:
        with Reader(given.file.expanduser().resolve()) as reader:
            if given.command == "show":
                print(described(reader))
            elif given.command == "verify":
                return _verified(reader)
            else:
                _export(reader, given.format, given.output)
    except (JournalError, OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def described(reader: Reader) -> str:
    """What is in a journal, as text."""
    facts, counts = reader.facts(), reader.counts()
    qpu, cpu = reader.spent()
    jobs, measured, lasted = reader.provider_spent()
    states = ", ".join(f"{n:,} {state}" for state, n in sorted(reader.submission_states().items()))
    left_open = [s["id"] for s in reader.provider_sessions() if s["ended_at"] is None]
    lines = [
        f"format       {len(MIGRATIONS)}",
        f"begun by     {facts.get('program', '?')}, {facts.get('created_by', '?')}",
        f"seed         {facts.get('seed', '?')}",
        f"evaluations  {', '.join(f'{count:,} {what}' for what, count in counts.items())}",
        f"submissions  {states or 'none'}",
        f"left open    {', '.join(left_open) or 'no provider session'}",
        f"spent        {qpu:.6g} QPU s, {cpu:.6g} CPU s",
        f"provider     {jobs:,} jobs, {measured:.6g} QPU s, {lasted:.6g} s of sessions",
        "loops",
    ]
    lines += [
        f"  {name}  on {backend}: {answered:,} values, {steps:,} steps"
        for name, backend, answered, steps in reader.loops()
    ]
    lines.append("events")
    for at, kind, loop, text in reader.events(last=_EVENTS):
        instant = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))
        lines.append(f"  {instant}  {kind}: {text}" + (f" ({loop})" if loop else ""))
    return "\n".join(lines)


def _verified(reader: Reader) -> int:
    faults = reader.faults()
    print("\n".join(faults) if faults else "whole: every value is what was written")
    return 1 if faults else 0


def _export(reader: Reader, form: str, output: Path | None) -> None:
    write = write_csv if form == "csv" else write_json
    if output is None:
        write(reader, sys.stdout)
        return
    with output.open("x", encoding="utf-8", newline="") as out:
        write(reader, out)


if __name__ == "__main__":
    sys.exit(main())
