"""A study as one page that a browser opens without a network."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from efaas.observe.page.shell import scrolling, section, shell

if TYPE_CHECKING:
    from efaas.cloud.tables import Table

__all__ = ["study_page", "table_html"]

_NUMBER = re.compile(r"-?\d[\d.]*")
_WIDTH = re.compile(r'width="([\d.]+)pt"')


def study_page(title: str, lead: str, tables: Sequence[Table], drawings: Sequence[Path]) -> str:
    """The tables, sortable, and the drawings, as an HTML document that loads nothing.

    Args:
        title: The study's.
        lead: How it was made.
        tables: What to show.
        drawings: Figures as SVG files; they become a part of the page.
    """
    figures = "".join(
        scrolling(path.stem, _markup(path.read_text(encoding="utf-8"))) for path in drawings
    )
    parts = [section("figures", "Figures", figures)] if figures else []
    parts += [
        section(f"table{number}", table.title, table_html(table))
        for number, table in enumerate(tables, 1)
    ]
    return shell(f"efaas: {title}", title, lead, parts)


def table_html(table: Table) -> str:
    """A table for a page or a notebook."""
    heads = "".join(
        f"<th scope='col'{' class=number' if column else ''}>{escape(text)}</th>"
        for column, text in enumerate(table.head)
    )
    body = "".join(
        f"<tr>{''.join(_cell(column, text) for column, text in enumerate(row))}</tr>"
        for row in table.rows
    )
    notes = "".join(f"<p class='note'>{escape(note)}</p>" for note in table.notes)
    inside = (
        f"<table class='efaas'><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>{notes}"
    )
    return scrolling(table.title, inside)


def _cell(column: int, text: str) -> str:
    """A cell; all but the first sort by the number that they begin with."""
    if not column:
        return f"<td>{escape(text)}</td>"
    number = _NUMBER.match(text)
    value = f" data-value='{number[0]}'" if number else ""
    return f"<td class='number'{value}>{escape(text)}</td>"


def _markup(svg: str) -> str:
    """The drawing without what a file of its own begins with, and not much larger than that was."""
    markup = svg[svg.index("<svg") :]
    width = _WIDTH.search(markup)
    if width is None:
        return markup
    return f"<svg style='max-width: {1.6 * float(width[1]):.0f}px' {markup.removeprefix('<svg ')}"
