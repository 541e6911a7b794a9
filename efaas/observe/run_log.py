"""Runs of optimizers in the log ``efaas.runs``, with fields for machines to read.

Nothing is printed unless the program sets logging up. Each record has ``efaas``, a dictionary with
what the message says.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

__all__ = ["RunLog"]

logger = logging.getLogger("efaas.runs")


class RunLog:
    """Logs one run: its rounds at ``DEBUG``, its end at ``INFO``; an observer of it."""

    def __init__(self, loop_id: str, run: int) -> None:
        """Begin.

        Args:
            loop_id: The loop.
            run: Which run of an optimizer on it.
        """
        self._fields: dict[str, Any] = {"loop": loop_id, "run": run}
        self._rounds = self._evaluations = self._hits = 0
        self._best: float | None = None

    def asked(self) -> None:
        """Nothing is logged."""

    def hit(self) -> None:
        """Counted."""
        self._hits += 1

    def launching(self) -> None:
        """Nothing is logged."""

    def launched(self, futures: Sequence[Any], *, asked: int, guessed: int) -> None:
        """A round was sent out."""
        self._rounds += 1
        if logger.isEnabledFor(logging.DEBUG):
            fields = self._fields | {"round": self._rounds, "asked": asked, "guessed": guessed}
            logger.debug(
                "round %d of %s: %d asked, %d guessed",
                self._rounds,
                self._fields["loop"],
                asked,
                guessed,
                extra={"efaas": fields},
            )

    def took(self, future: Any) -> None:
        """Nothing is logged."""

    def answered(
        self, kind: str, value: float | None, *, evaluations: int, best: float | None
    ) -> None:
        """Counted."""
        self._evaluations += evaluations
        self._best = best

    def ended(self) -> None:
        """The run is over."""
        fields = self._fields | {
            "rounds": self._rounds,
            "evaluations": self._evaluations,
            "hits": self._hits,
            "best": self._best,
        }
        logger.info(
            "a run on %s ended: %d evaluations in %d rounds, best %s",
            self._fields["loop"],
            self._evaluations,
            self._rounds,
            self._best,
            extra={"efaas": fields},
        )
