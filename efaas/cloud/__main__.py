"""``python -m efaas.cloud``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from efaas.errors import EfaasError

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; the exit status is 2 where what was asked for cannot be done."""
    # One thread for linear algebra: matrices are small, and processes take the other cores.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from efaas.cloud.commands import COMMANDS

    parser = argparse.ArgumentParser(
        prog="python -m efaas.cloud",
        description="A simulated quantum cloud: what a loop would wait for, use and reach under "
        "one policy or another.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        sub = commands.add_parser(command.name, help=command.about, description=command.about)
        command.add(sub)
        sub.set_defaults(run=command.run)
    arguments = parser.parse_args(argv)
    try:
        status: int = arguments.run(arguments)
    except EfaasError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    return status


if __name__ == "__main__":
    sys.exit(main())
