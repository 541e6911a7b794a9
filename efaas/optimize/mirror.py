"""An oracle whose copy of the optimizer keeps up with the real one in another process."""

from __future__ import annotations

import contextlib
import os
import pickle
import time
from collections.abc import Iterable, Sequence
from itertools import count, takewhile
from typing import TYPE_CHECKING, Any

from efaas.optimize.asks import Ask
from efaas.optimize.mirror_host import MirrorHost, can_mirror, mirror_host
from efaas.optimize.path_cost import PathCost

if TYPE_CHECKING:
    from efaas.optimize.asks import Answerer, AskKey, Start, Step
    from efaas.optimize.mirror_channel import Channel

__all__ = ["MirrorOracle"]

_UNMEASURED_SECONDS = 3e-3
"""What a path takes at least: a fork, and waiting for it."""

_SEND_EVERY_SECONDS = 5e-4
"""Answers that follow each other faster than this go out together."""

_GRACE = 0.2
"""How much longer than told it waits, for the last message of a mirror that ends in time."""

_SILENCE_SECONDS = 30.0
"""After so long without an answer a mirror is given up."""


class MirrorOracle:
    """Learns what an optimizer would ask for next from a mirror that is forked where it waits.

    A path costs a fork, however long the history is. The mirror starts in the background; until
    it has caught up, and while it is late with an answer, there are no paths. Whatever happens
    to it, the worst that the caller sees is no paths. One thread at a time may use an oracle.

    Attributes:
        broken: Why it can say nothing from now on; empty as long as it can.
    """

    def __init__(self, start: Start, records: Iterable[tuple[AskKey, Any]] = ()) -> None:
        """Begin a mirror in the background.

        Args:
            start: Runs the optimizer; ``start.is_data`` must hold.
            records: Keys and answers that the real optimizer was given so far.
        """
        self.broken = ""
        self._owner = os.getpid()
        self._host: MirrorHost | None = None
        self._number = -1
        self._channel: Channel | None = None
        self._unsent: list[tuple[AskKey, Any]] = []
        self._sent_at = 0.0
        self._calls = 0  # number of the latest call, synchronisation included
        self._answered = 0  # number of the latest one that was answered
        self._asked_at = time.monotonic()
        self._path_cost = PathCost(0.0)
        self._first_cost = PathCost(_UNMEASURED_SECONDS)
        if not start.is_data:
            self.broken = "the run holds functions of the user's, which stay in this process"
            return
        if not can_mirror():
            self.broken = "this system or interpreter cannot fork a helper process"
            return
        try:
            self._host = mirror_host()
            self._number, self._channel = self._host.open()
            self._channel.post("start", start)
            known = list(records)
            if known:
                self._channel.post("records", known)
            self._calls += 1
            self._channel.post("sync", self._calls)
        except Exception as error:
            self._break(f"the mirror cannot be started: {error!r}")

    @property
    def seconds_per_path(self) -> float:
        """What a path costs of late, when several are asked for; 0 while nothing is measured."""
        return self._path_cost.seconds

    @property
    def is_ready(self) -> bool:
        """Whether the mirror has caught up with the record that it was begun with, and listens."""
        self._listen()
        return not self.broken and self._answered == self._calls

    def record(self, ask: Ask, answer: Any) -> None:
        """Take note that the real optimizer was given this answer, in its order."""
        if self.broken:
            return
        self._unsent.append((ask.key, answer))
        # Each needs to be sent at once, for the mirror to take its step while the real optimizer
        # takes it; but where there is no time for that, there is no time for messages.
        if time.monotonic() - self._sent_at >= _SEND_EVERY_SECONDS:
            self._send_records()

    def paths(
        self, answerers: Sequence[Answerer], depth: int, *, seconds: float
    ) -> list[list[Step]]:
        """For each answerer what the optimizer would ask for; see ``Oracle.paths``."""
        began_at = time.monotonic()
        self._send_records()
        if depth < 1 or not answerers or not self.is_ready or not self._first_cost.fits(seconds):
            return []
        told: dict[int, bytes] = {}
        until = began_at + seconds
        first_at = 0.0
        try:
            assert self._channel is not None
            self._calls += 1
            self._asked_at = began_at
            self._channel.post("paths", self._calls, depth, until, list(answerers))
            while self._answered != self._calls:
                message = self._channel.receive(until + _GRACE * seconds)
                if message is None:
                    break
                match message:
                    case ["path", call, index, steps] if call == self._calls:
                        first_at = first_at or time.monotonic()
                        told[index] = steps
                    case _:
                        self._hear(message)
            found = [_steps(told[index]) for index in takewhile(told.__contains__, count())]
            found = [path for path in found if path]
        except Exception as error:
            self._break(f"the mirror ended or cannot take the answerers: {error!r}")
            return []
        if first_at:
            self._first_cost.measured(first_at - began_at)
            self._path_cost.measured((time.monotonic() - began_at) / len(told))
        else:
            self._first_cost.measured(max(time.monotonic() - began_at, self._first_cost.seconds))
        return [] if self.broken else found

    def close(self) -> None:
        """End the mirror. It may be called twice."""
        self._break("it is closed")

    def _send_records(self) -> None:
        if self.broken or self._channel is None or not self._unsent:
            return
        records, self._unsent = self._unsent, []
        self._sent_at = time.monotonic()
        try:
            self._channel.post("records", records)
        except Exception as error:
            self._break(f"the mirror ended or cannot take an answer: {error!r}")

    def _listen(self) -> None:
        """Take in what the mirror has said meanwhile."""
        if self.broken or self._channel is None:
            return
        if os.getpid() != self._owner:
            self._break("the mirror belongs to the process that this one was forked from")
            return
        try:
            while (message := self._channel.receive(0.0)) is not None:
                self._hear(message)
        except Exception as error:
            self._break(f"the mirror ended: {error!r}")
            return
        is_silent = time.monotonic() - self._asked_at > _SILENCE_SECONDS
        if is_silent and self._answered != self._calls:
            self._break(f"the mirror has not answered for {_SILENCE_SECONDS:.0f} seconds")

    def _hear(self, message: tuple[Any, ...]) -> None:
        match message:
            case ["synced" | "done", call]:
                self._answered = call
            case ["broken", reason]:
                self._break(reason)

    def _break(self, reason: str) -> None:
        self.broken = self.broken or reason
        self._unsent = []
        channel, self._channel = self._channel, None
        host, self._host = self._host, None
        if channel is not None:
            channel.close()
        if host is not None and os.getpid() == self._owner:
            # Without a server there are no mirrors either.
            with contextlib.suppress(OSError):
                host.end(self._number)


def _steps(told: bytes) -> list[Step]:
    return [tuple(Ask(x, kind) for kind, x in step) for step in pickle.loads(told)]
