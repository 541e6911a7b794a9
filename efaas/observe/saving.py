"""Where a report or a trace is saved, checked before anything is made of it."""

from __future__ import annotations

import os
from pathlib import Path

from efaas.errors import InputError

__all__ = ["target"]


def target(path: str | os.PathLike[str], what: str, *endings: str) -> Path:
    """The file that is meant.

    Args:
        path: What the user gives.
        what: What is saved, with its article.
        endings: The endings that the name may have.

    Raises:
        InputError: Another ending, or a folder that is not there.
    """
    file = Path(path)
    if file.suffix not in endings:
        raise InputError(f"{what} is saved as {' or '.join(endings)}, got {file.name!r}")
    if not file.parent.is_dir():
        raise InputError(f"{what} cannot be saved as {str(file)!r}: make its folder first")
    return file
