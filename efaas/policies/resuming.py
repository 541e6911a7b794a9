"""Whether a journal may be resumed by a session, and if not, what differs."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

__all__ = ["RULES", "Difference", "Facts", "difference", "foreign_problem"]

RULES = 1
"""Raised whenever the same seed and point would give another key, or a simulator another value."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What values depend on besides the problem.

    Attributes:
        rules: ``RULES`` of the efaas that wrote them.
        seed: The session's seed.
        backends: The session's backends.
    """

    rules: int
    seed: int
    backends: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """Why a journal may not be resumed.

    Attributes:
        what: What differs, in one word.
        recorded: What the journal says.
        present: What is the case now.
        remedy: What to do.
    """

    what: str
    recorded: str
    present: str
    remedy: str


def difference(recorded: Facts, present: Facts, used: Collection[str]) -> Difference | None:
    """What keeps a session from resuming a journal; None if nothing does.

    Args:
        recorded: The facts of the journal.
        present: Those of the session.
        used: The backends that its loops were pinned to. Only these have to be there again.
    """
    if recorded.rules != present.rules:
        return Difference(
            "rules",
            f"values by rules {recorded.rules}",
            f"rules {present.rules}",
            "the same seed gives other values by other rules; resume with the efaas that wrote it",
        )
    if recorded.seed != present.seed:
        return Difference(
            "seed",
            f"seed {recorded.seed}",
            f"seed {present.seed}",
            "leave seed out to take the journal's, or give another file",
        )
    missing = sorted(set(used) - set(present.backends))
    if missing:
        return Difference(
            "backends",
            f"loops on {', '.join(sorted(used))}",
            f"backends {', '.join(present.backends)}",
            f"pass {', '.join(missing)} as a backend again, or give another file",
        )
    return None


def foreign_problem(
    name: str, fingerprint: str, recorded: Collection[str], *, is_first: bool
) -> Difference | None:
    """What is wrong with opening a loop on a journal; None if nothing is.

    A resumed script opens the loops that it opened before, and then further ones; so the first
    that it opens has to be in the journal.

    Args:
        name: The loop's name.
        fingerprint: Its experiment's.
        recorded: The fingerprints of the loops in the journal.
        is_first: Whether it is the first loop of this session.
    """
    if not recorded or not is_first or fingerprint in recorded:
        return None
    known = ", ".join(sorted(other[:8] for other in recorded))
    return Difference(
        "problem",
        f"experiments {known}",
        f"experiment {fingerprint[:8]} ({name.split()[0]})",
        "circuit or observable differ from those of the journal; give another file for them",
    )
