"""A page that loads nothing: its head, style and script, around whatever it shows."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from importlib.resources import files

__all__ = ["scrolling", "section", "shell"]


def shell(title: str, heading: str, lead: str, body: Iterable[str]) -> str:
    """An HTML document with the house's style inside.

    Args:
        title: For the browser's tab.
        heading: Of the page.
        lead: A sentence below it.
        body: Markup.
    """
    read = files(__package__)
    style = (read / "page.css").read_text(encoding="utf-8")
    script = (read / "page.js").read_text(encoding="utf-8")
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<link rel='icon' href='data:,'><title>{escape(title)}</title>"
        f"<style>{style}</style></head>"
        "<body><a class='skip' href='#main'>To the report</a>"
        f"<header><h1>{escape(heading)}</h1>"
        f"<p class='quiet'>{escape(lead)}</p></header>"
        f"<main id='main'>{''.join(body)}</main><script>{script}</script>"
        "</body></html>\n"
    )


def section(name: str, title: str, inside: str) -> str:
    """A part of the page with a heading, which its id is made of."""
    return (
        f"<section aria-labelledby='{name}-title'><h2 id='{name}-title'>{escape(title)}</h2>"
        f"{inside}</section>"
    )


def scrolling(label: str, inside: str) -> str:
    """A region that scrolls by itself, where it is wider than the screen."""
    return (
        f"<div class='scroll' role='region' tabindex='0' aria-label='{escape(label, quote=True)}'>"
        f"{inside}</div>"
    )
