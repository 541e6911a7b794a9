"""Dates as the interface writes them."""

from __future__ import annotations

from datetime import UTC, datetime

from efaas.testing.runtime_service.messages import refuse

__all__ = ["date_of", "text_of"]


def text_of(date: datetime) -> str:
    """A date in UTC, with the letter that stands for it."""
    return date.astimezone(UTC).isoformat().replace("+00:00", "Z")


def date_of(text: str) -> datetime:
    """The date that a text means; UTC where it names no zone.

    Raises:
        Refusal: It is none.
    """
    try:
        date = datetime.fromisoformat(text)
    except ValueError as error:
        raise refuse(400, 1211, f"Not a date: {text!r}.") from error
    return date if date.tzinfo else date.replace(tzinfo=UTC)
