"""The ledger: evaluations that were begun before they were asked for."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from concurrent.futures import Future

    from efaas.optimize.asks import Ask, AskKey
    from efaas.optimize.predictor import Candidate
    from efaas.optimize.sources import Guess

__all__ = ["Entry", "Ledger"]

_MOST_KEPT = 4096  # guesses that ran for nothing yet: a point may still be asked for much later


@dataclass(slots=True, eq=False)
class Entry:
    """A guess in the ledger.

    Attributes:
        ask: What was guessed.
        guess: Its evaluation.
        candidate: The prediction behind it.
    """

    ask: Ask
    guess: Guess
    candidate: Candidate

    @property
    def has_value(self) -> bool:
        """Whether its evaluation has ended well."""
        future = self.guess.future
        return future.done() and not future.cancelled() and future.exception() is None

    @property
    def has_failed(self) -> bool:
        """Whether its evaluation has ended without an answer."""
        return self.guess.future.done() and not self.has_value


class Ledger:
    """Futures by what was asked, each answer to be used once, in order.

    The k-th answer at a point is the k-th that the objective gives there: guesses of one point
    stand in a line, and each is confirmed before the next.
    """

    def __init__(self) -> None:
        self._committed: dict[AskKey, deque[Future[Any]]] = {}
        self._lines: dict[AskKey, deque[Entry]] = {}
        self._wasted: list[Entry] = []

    def add_committed(self, ask: Ask, future: Future[Any]) -> None:
        """Keep the answer to something that was asked for."""
        self._committed.setdefault(ask.key, deque()).append(future)

    def add_guess(self, entry: Entry) -> None:
        """Keep a guess, behind those of the same point."""
        self._lines.setdefault(entry.ask.key, deque()).append(entry)

    def line(self, key: AskKey) -> Collection[Entry]:
        """The guesses of a point that are not confirmed, in order."""
        return self._lines.get(key, ())

    def holds(self, entry: Entry) -> bool:
        """Whether a guess is neither confirmed nor withdrawn."""
        return entry in self.line(entry.ask.key)

    def take(self, key: AskKey) -> Future[Any] | None:
        """The next answer to something that was asked for, or None."""
        futures = self._committed.get(key)
        if futures is None:
            return None
        future = futures.popleft()
        if not futures:
            del self._committed[key]
        return future

    def confirm(self, ask: Ask) -> Entry | None:
        """Commit the first guess of what is asked for now; None if there is none that will do."""
        line = self._lines.get(ask.key)
        if not line:
            return None
        entry = line[0]
        if entry.has_failed or not entry.guess.confirm():
            self.drop(ask.key)
            return None
        line.popleft()
        if not line:
            del self._lines[ask.key]
        self.add_committed(ask, entry.guess.future)
        return entry

    def drop(self, key: AskKey, *, beyond: int = 0) -> None:
        """Withdraw the guesses of a point, but for the first ``beyond``."""
        line = self._lines.get(key)
        while line and len(line) > beyond:
            entry = line.pop()
            entry.guess.withdraw()
            self._wasted.append(entry)
        if line is not None and not line:
            del self._lines[key]

    def drop_unstarted(self, kept: Mapping[AskKey, int]) -> None:
        """Withdraw guesses without an answer, but for the first ``kept[key]`` of each point."""
        for key in list(self._lines):
            line = self._lines[key]
            done = 0
            while done < len(line) and line[done].has_value:
                done += 1
            self.drop(key, beyond=max(done, kept.get(key, 0)))
        for key in list(self._lines)[: max(0, len(self._lines) - _MOST_KEPT)]:
            self.drop(key)

    def known(self) -> dict[AskKey, Any]:
        """The answers of the guesses that would be the next at their points."""
        return {
            key: line[0].guess.future.result()
            for key, line in self._lines.items()
            if line[0].has_value
        }

    def values_near(self) -> list[Entry]:
        """The first guess of every point: in flight or finished, not confirmed."""
        return [line[0] for line in self._lines.values() if not line[0].has_failed]

    def close(self) -> list[Entry]:
        """Withdraw all that was not asked for; returns every guess that was withdrawn."""
        for key in list(self._lines):
            self.drop(key)
        for futures in self._committed.values():
            for future in futures:
                future.cancel()
        self._committed.clear()
        return self._wasted
