"""An oracle that runs the optimizer again, from its start, on the recorded answers."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from efaas.optimize.asks import EndOfPath
from efaas.optimize.path_cost import PathCost
from efaas.optimize.reentrant import let_cobyqa_nest
from efaas.optimize.rehearsal import UNKNOWN, Rehearsal, difference, own_copy
from efaas.optimize.silence import silence

if TYPE_CHECKING:
    from efaas.optimize.asks import Answerer, Ask, AskKey, Start, Step
    from efaas.optimize.work_clock import Timer

__all__ = ["ReplayOracle"]

let_cobyqa_nest()  # here, as it must be done before the real run begins

_UNMEASURED_SECONDS = 2e-4
"""What the shortest replay takes: scipy checks its arguments."""

_UNMEASURED_STEP_SECONDS = 3e-5
"""What scipy's plainer methods take from one ask to the next."""

_OVERRUN = 1.5
"""A replay is given up when all of them have taken this multiple of their time."""


class ReplayOracle:
    """Learns what an optimizer would ask for next by replaying it in this process.

    A replay costs what the optimizer itself cost so far, the evaluations apart. It may run while
    the real optimizer of the same kind is blocked in its objective. One thread at a time may use
    an oracle.

    Attributes:
        broken: Why it can say nothing from now on; empty as long as it can.
    """

    def __init__(self, start: Start, *, timer: Timer = time.perf_counter) -> None:
        """Nothing runs yet.

        Args:
            start: Runs the optimizer.
            timer: Measures what replays take.
        """
        self._timer = timer
        self.broken = ""
        self._start = start
        self._records: list[tuple[AskKey, Any]] = []
        self._cost = PathCost(_UNMEASURED_SECONDS)
        self._measured_records = 0
        self._step_seconds = _UNMEASURED_STEP_SECONDS

    @property
    def seconds_per_path(self) -> float:
        """What a path is expected to cost now; 0 while nothing is measured."""
        return self._cost.seconds + self._further_seconds if self._cost.seconds else 0.0

    @property
    def records(self) -> Sequence[tuple[AskKey, Any]]:
        """The keys and answers so far, in their order; not to be written to."""
        return self._records

    def record(self, ask: Ask, answer: Any) -> None:
        """Take note that the real optimizer was given this answer, in its order."""
        self._records.append((ask.key, own_copy(answer)))

    def paths(
        self, answerers: Sequence[Answerer], depth: int, *, seconds: float
    ) -> list[list[Step]]:
        """For each answerer what the optimizer would ask for; see ``Oracle.paths``."""
        began_at = self._timer()
        found: list[list[Step]] = []
        if self.broken or depth < 1 or not answerers:
            return found
        with self._untouched_random_numbers():
            for answerer in answerers:
                left = seconds - (self._timer() - began_at)
                if not self._cost.fits(left, further_seconds=self._further_seconds):
                    break
                replay = _Replay(self._records, began_at + _OVERRUN * seconds, self._timer)
                path = self._replayed(replay, answerer, depth)
                if path is None:
                    return []
                if replay.is_late:
                    break
                if path:
                    found.append(path)
        return found

    def close(self) -> None:
        """Forget the record."""
        self.broken = self.broken or "it is closed"
        self._records = []

    @property
    def _further_seconds(self) -> float:
        """What the records since the latest measurement add to a replay."""
        return (len(self._records) - self._measured_records) * self._step_seconds

    def _replayed(self, replay: _Replay, answerer: Answerer, depth: int) -> list[Step] | None:
        """The path; None if the optimizer turns out not to repeat itself."""
        rehearsal = Rehearsal(replay.answer)
        rehearsal.explore(answerer, depth)
        started_at = self._timer()
        ending = "ended"
        with silence():
            try:
                self._start(rehearsal)
            except EndOfPath:
                pass
            except Exception as error:
                # On a path this is what the optimizer does under such answers. The real run has
                # come past the record, so there it is a difference.
                ending = f"raised {error!r}"
        self._measure(replay, started_at)
        if replay.difference:
            self.broken = replay.difference
        elif not replay.is_late and replay.position < len(self._records):
            self.broken = (
                f"the optimizer {ending} after {replay.position} answers when it was run again, "
                f"but went on after {len(self._records)} before: it is not deterministic"
            )
        return None if self.broken else rehearsal.steps

    def _measure(self, replay: _Replay, started_at: float) -> None:
        ended_at = self._timer()
        taken = ended_at - started_at
        records = len(self._records)
        if replay.is_late and replay.position < records:
            # Given up on the way: what the whole would have taken at this pace.
            taken *= (records + 1) / (replay.position + 1)
        self._cost.measured(taken)
        self._measured_records = records
        if replay.position > 1:
            repeated = (replay.latest_at or ended_at) - (replay.first_at or started_at)
            self._step_seconds = repeated / replay.position

    @contextmanager
    def _untouched_random_numbers(self) -> Iterator[None]:
        """Hide replays from functions of the user's that draw from the global generators.

        Without this, a seeded program would see other numbers with speculation than without.
        """
        if self._start.is_data:
            yield
            return
        python_state = random.getstate()
        numpy_state = np.random.get_state()  # noqa: NPY002 the user's, not ours
        try:
            yield
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)  # noqa: NPY002 likewise


class _Replay:
    """Gives the recorded answers once more, in order, and watches the clock.

    Attributes:
        position: Recorded answers given so far.
        difference: What the optimizer asked for that it had not asked before; empty if nothing.
        is_late: Whether it was given up because it took too long.
        first_at: When the first recorded answer was given; None before.
        latest_at: When the record had ended and the optimizer went on; None before.
    """

    def __init__(
        self, records: Sequence[tuple[AskKey, Any]], give_up_at: float, timer: Timer
    ) -> None:
        self.position = 0
        self.difference = ""
        self.is_late = False
        self.first_at: float | None = None
        self.latest_at: float | None = None
        self._records = records
        self._give_up_at = give_up_at
        self._timer = timer

    def answer(self, ask: Ask) -> Any:
        """The recorded answer, ``UNKNOWN`` after the last one; raises ``EndOfPath`` if late."""
        now = self._timer()
        if now > self._give_up_at:
            self.is_late = True
        if self.is_late or self.difference:
            raise EndOfPath
        if self.position == len(self._records):
            self.latest_at = self.latest_at or now
            return UNKNOWN
        self.first_at = self.first_at or now
        key, answer = self._records[self.position]
        if ask.key != key:
            self.difference = (
                f"at its ask {self.position + 1} of {len(self._records)} the optimizer, run again, "
                f"asked for {difference(ask, key)}: it is not deterministic"
            )
            raise EndOfPath
        self.position += 1
        return answer
