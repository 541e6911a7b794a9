"""``python -m efaas``: devices, a demo, a check of the installation, reports of saved traces."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from efaas.commands import demo, devices, doctor, report
from efaas.errors import EfaasError

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: As on the command line, without the program; those of this process if None.

    Returns:
        The exit status: 0 if all is well, 1 if not, 2 for what cannot be understood.
    """
    parser = argparse.ArgumentParser(
        prog="python -m efaas",
        description="Variational quantum programs in fewer rounds, on simulated and real devices.",
        epilog="python -m efaas COMMAND --help says more about a command.",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for module in (devices, demo, doctor, report):
        words = (module.__doc__ or "").strip()
        name = module.__name__.rsplit(".", 1)[1]
        command = commands.add_parser(name, help=words.splitlines()[0], description=words)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    given = parser.parse_args(arguments)
    if given.command is None:
        parser.print_help(sys.stderr)
        return 2
    try:
        status: int = given.run(given)
    except EfaasError as error:
        print(f"efaas {given.command}: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # whoever read the output has had enough
        sys.stderr.close()
        return 0
    except KeyboardInterrupt:
        return 130
    return status
