"""Lines that change in place: one for each run, on a terminal, in a notebook, or in a log file."""

from __future__ import annotations

import importlib
import os
import sys
import threading
import time
from collections.abc import Callable
from html import escape
from typing import Any, TextIO

from efaas.notebook import is_notebook

__all__ = ["Lines", "lines"]

_TERMINAL_SECONDS, _LOG_SECONDS = 0.1, 10.0


class Lines:
    """Shows texts, each on a line of its own, and redraws them where that is possible.

    A terminal and a notebook have the lines redrawn in place; anything else gets a line now and
    then, at its end at the latest. Safe to use from several threads.
    """

    def __init__(
        self,
        stream: TextIO | None = None,
        *,
        in_notebook: bool = False,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Show nothing yet.

        Args:
            stream: Where to; the standard error of the moment if None.
            in_notebook: Whether the output of a notebook's cell is used instead.
            now: For how often to redraw.
        """
        self._stream = stream
        self._in_notebook = in_notebook
        self._now = now
        self._lock = threading.Lock()
        self._texts: dict[object, str] = {}
        self._drawn_at: dict[object, float] = {}
        self._high = 0  # lines on the terminal that are ours
        self._handle: Any = None

    def show(self, key: object, text: Callable[[], str], *, is_last: bool = False) -> None:
        """Put a text on the line of ``key``, which is new if the key is.

        Args:
            key: Whose line.
            text: Makes what to show, without line breaks; called only if it is shown now.
            is_last: Whether the line will not change any more.
        """
        with self._lock:
            stream = sys.stderr if self._stream is None else self._stream
            is_terminal = _is_terminal(stream)
            interval = _TERMINAL_SECONDS if is_terminal or self._in_notebook else _LOG_SECONDS
            now = self._now()
            is_due = is_last or now - self._drawn_at.get(key, -interval) >= interval
            if not is_due:
                return
            self._texts[key] = text()
            self._drawn_at[key] = now
            if self._in_notebook:
                self._redraw_cell(is_last=is_last, key=key)
            elif is_terminal:
                self._redraw_terminal(stream, key, is_last=is_last)
            else:
                stream.write(f"{self._texts[key]}\n")
            if is_last:
                self._texts.pop(key, None)
                self._drawn_at.pop(key, None)
            stream.flush()

    def _redraw_terminal(self, stream: TextIO, key: object, *, is_last: bool) -> None:
        """A line that will not change goes above the others, which may."""
        width = _width(stream)
        texts = sorted(self._texts.items(), key=lambda item: not (is_last and item[0] == key))
        up = f"\x1b[{self._high}A" if self._high else ""
        drawn = "".join(f"\r\x1b[2K{text[: width - 1]}\n" for _, text in texts)
        stream.write(up + drawn)
        self._high = len(texts) - is_last

    def _redraw_cell(self, key: object, *, is_last: bool) -> None:
        display: Any = importlib.import_module("IPython.display")
        html = "".join(f"<div>{escape(text)}</div>" for text in self._texts.values())
        shown = display.HTML(f"<div style='font-family:monospace'>{html}</div>")
        if self._handle is None:
            self._handle = display.display(shown, display_id=True)
        else:
            self._handle.update(shown)
        if is_last and set(self._texts) == {key}:
            self._handle = None  # the next run has a cell of its own


def lines() -> Lines:
    """The lines that all runs of this process share, so that none is drawn over another."""
    return _NOTEBOOK if is_notebook() else _TERMINAL


_TERMINAL = Lines()
_NOTEBOOK = Lines(in_notebook=True)


def _is_terminal(stream: TextIO) -> bool:
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def _width(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError):
        return 120
