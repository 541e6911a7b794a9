"""``python -m efaas.cloud``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from efaas.errors import EfaasError

__all__ = ["main"]

_EXAMPLES = """\
examples:
  python -m efaas.cloud paper --quick                    the experiment of EFaaS, in short
  python -m efaas.cloud paper --out results              the whole of it, with files
  python -m efaas.cloud contention --quick               loops that compete, in short
  python -m efaas.cloud run cloud.toml --seeds 5         a cloud of your own
  python -m efaas.cloud replay run.jsonl                 a recorded session, under every policy

policies:
  sbq, pf, sr, pq, efaas-paper     as in the experiment of EFaaS (arXiv 2605.27540)
  exclusive, session, batch        what providers sell
  qonductor                        a periodic balancer
  efaas, efaas-no-...              this library, and each part of it off
  oracle                           no wait, no classical step: a lone loop's bound
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; the exit status is 2 where what was asked for cannot be done."""
    # One thread for linear algebra: matrices are small, and processes take the other cores.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from efaas.cloud.commands import COMMANDS

    parser = argparse.ArgumentParser(
        prog="python -m efaas.cloud",
        description="A simulated quantum cloud: what a loop would wait for, use and reach under\n"
        "one policy or another. The same seeds give the same output, to the byte.\n"
        "Ctrl-C prints what was finished.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
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
