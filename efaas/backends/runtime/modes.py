"""Which mode an account may use: a dedicated session, a batch, or single jobs. Pure."""

from __future__ import annotations

from efaas.errors import InputError

__all__ = ["MODES", "checked_mode", "default_mode", "fallback_of"]

MODES = ("session", "batch", "job")
"""From what keeps the device to what only queues."""

_WITHOUT_SESSIONS = ("open", "lite", "trial")


def checked_mode(mode: object) -> str | None:
    """The mode as it was given.

    Raises:
        InputError: There is none of that name.
    """
    if mode is None or (isinstance(mode, str) and mode in MODES):
        return mode
    raise InputError(
        f"mode is one of {', '.join(map(repr, MODES))}, or None for the best that the account may "
        f"use; got {mode!r}"
    )


def default_mode(plan: str | None, *, is_local: bool) -> str:
    """The best mode that an account may use, as far as its plan says.

    Args:
        plan: The plan of its instance; None where that is not known, which is found out by trying.
        is_local: Whether the client simulates the device itself: nothing is reserved then.
    """
    if is_local:
        return "job"
    return "batch" if plan is not None and plan.lower() in _WITHOUT_SESSIONS else "session"


def fallback_of(mode: str) -> str:
    """The next best mode."""
    return MODES[min(MODES.index(mode) + 1, len(MODES) - 1)]
