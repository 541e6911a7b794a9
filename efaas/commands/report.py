"""Prints the report of a saved trace, or writes it as a page.

A trace is saved by session.trace.save("run.jsonl").
"""

from __future__ import annotations

import argparse
from pathlib import Path

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument("trace", type=Path, metavar="TRACE", help="a .jsonl file")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page instead")
    parser.add_argument("--chrome", type=Path, metavar="FILE", help="write a trace for Perfetto, "
                        "named .json")  # fmt: skip


def run(given: argparse.Namespace) -> int:
    """Print tables, or write files."""
    from efaas.observe import load_trace
    from efaas.observe.page import page
    from efaas.observe.saving import target
    from efaas.observe.summary import tables

    trace = load_trace(given.trace)
    if given.html is not None:
        target(given.html, "a report", ".html").write_text(page(trace), encoding="utf-8")
        print(f"wrote {given.html}")
    if given.chrome is not None:
        trace.save(target(given.chrome, "a trace for Perfetto", ".json"))
        print(f"wrote {given.chrome}")
    if given.html is None and given.chrome is None:
        print("\n\n".join([repr(trace)[1:-1], *map(str, tables(trace))]))
    return 0
