"""A bar with the time that is left, where somebody looks at it."""

from __future__ import annotations

import sys
import time
from typing import TextIO

__all__ = ["Progress"]

_WIDTH = 30


class Progress:
    """How far a study is; silent unless it writes to a terminal."""

    def __init__(self, total: int, *, stream: TextIO | None = None) -> None:
        """Nothing is done yet.

        Args:
            total: Parts to do.
            stream: Where to write; standard error by default.
        """
        self._total = max(total, 1)
        self._done = 0
        self._stream = sys.stderr if stream is None else stream
        self._began_at = time.monotonic()
        self._is_shown = self._stream.isatty()
        self._show("")

    def done(self, what: str) -> None:
        """One more part is done."""
        self._done += 1
        self._show(what)

    def close(self) -> None:
        """Clear the line."""
        if self._is_shown:
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def _show(self, what: str) -> None:
        if not self._is_shown:
            return
        filled = _WIDTH * self._done // self._total
        left = ""
        if self._done:
            gone = time.monotonic() - self._began_at
            left = f"{gone * (self._total - self._done) / self._done:4.0f} s left"
        bar = "#" * filled + "." * (_WIDTH - filled)
        self._stream.write(f"\r\x1b[K[{bar}] {self._done}/{self._total} {left} {what[:30]}")
        self._stream.flush()
