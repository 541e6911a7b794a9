"""What a user says about a journal."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from efaas.errors import InputError

__all__ = ["DURABILITIES", "MODES", "ON_FAILURE", "Durability", "Journal", "as_journal"]

Durability: TypeAlias = Literal["full", "normal", "off"]

DURABILITIES = ("full", "normal", "off")
MODES = ("resume", "new", "read")
ON_FAILURE = ("stop", "continue")


@dataclass(frozen=True, slots=True)
class Journal:
    """A file that a session writes down everything in, and resumes from.

    Attributes:
        path: The SQLite file. While it is open, ``-wal``, ``-shm`` and ``-lock`` files stand
            beside it.
        durability: What it survives. ``"full"``: a power cut at any instant; each round waits for
            the disk. ``"normal"``: ``kill -9`` at any instant; a power cut may cost the last
            seconds, which run again, though never the id of a provider's job. ``"off"``: an
            exception and Ctrl-C; ``kill -9`` may cost the last second, and a power cut may damage
            the file.
        mode: ``"resume"``: begin it, or go on with it. ``"new"``: refuse one that exists.
            ``"read"``: take values from it and write nothing; it may be in use elsewhere.
        on_failure: What happens when it can no longer be written, the disk being full:
            ``"stop"``: nothing more is submitted; what was running is still delivered.
            ``"continue"``: the run goes on without it, with a warning.

    Example:
        >>> Journal("vqe.efaas", durability="full").mode
        'resume'
    """

    path: str | os.PathLike[str]
    durability: Durability = "normal"
    mode: Literal["resume", "new", "read"] = "resume"
    on_failure: Literal["stop", "continue"] = "stop"

    def __post_init__(self) -> None:
        if not isinstance(self.path, str | os.PathLike) or not os.fspath(self.path):
            raise InputError(f"a journal's path is the name of a file, got {self.path!r}")
        if "\0" in str(self.path):
            raise InputError(f"a journal's path holds no NUL character, got {self.path!r}")
        for name, known in (
            ("durability", DURABILITIES),
            ("mode", MODES),
            ("on_failure", ON_FAILURE),
        ):
            value: Any = getattr(self, name)
            if not isinstance(value, str) or value not in known:
                raise InputError(f"{name} must be one of {', '.join(known)}; got {value!r}")

    @property
    def file(self) -> Path:
        """The absolute path, with links resolved."""
        return Path(os.fsdecode(self.path)).expanduser().resolve()


def as_journal(given: Any) -> Journal:
    """A path, or settings, as settings.

    Raises:
        InputError: It is neither.
    """
    if isinstance(given, Journal):
        return given
    if isinstance(given, str | os.PathLike):
        return Journal(given)
    raise InputError(f"journal must be a path or an efaas.Journal, got {given!r}")
