"""Counting what a run costs, and what guessing gained."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import replace
from statistics import median
from typing import TYPE_CHECKING

from efaas.optimize.report import HitRate, Origin, SpeculationReport
from efaas.policies.speculation import RoundTimes

if TYPE_CHECKING:
    from efaas.optimize.ledger import Entry
    from efaas.optimize.limits import Limits
    from efaas.optimize.sources import Measured
    from efaas.optimize.speculation import Speculation

__all__ = ["Tally"]

_WINDOW = 9  # rounds whose median says how long the next will take


class Tally:
    """The counts of one run.

    Attributes:
        predictor_seconds: Real time spent on predicting.
        times: What rounds are made of; None before the first has been measured.
        round_seconds: How long rounds take; None before the first has been measured.
        values: Values that the optimizer was given, as opposed to gradients.
    """

    def __init__(self, shots: int | None, mode: str) -> None:
        self.predictor_seconds = 0.0
        self.times: RoundTimes | None = None
        self.round_seconds: float | None = None
        self._shots = shots
        self._mode = mode
        self.values = 0
        self._used = self._rounds = self._asks = 0
        self._asked = self._guessed = 0
        self._hits: Counter[str] = Counter()
        self._misses: Counter[str] = Counter()
        self._wasted_qpu_seconds = 0.0
        self._began_at: float | None = None
        self._ended_at = 0.0
        self._waited = 0.0
        self._recent: deque[Measured] = deque(maxlen=_WINDOW)
        self._overhead_sum = 0.0
        self._measured = 0
        self._tolerated = 0
        self._origins: list[Origin] = []
        self._largest_distance = 0.0

    @property
    def has_tolerated(self) -> bool:
        """Whether some value was taken from a guess nearby."""
        return self._tolerated > 0

    def used(self, evaluations: int, *, is_value: bool = True) -> None:
        """The optimizer was given an answer that took so many evaluations."""
        self._used += evaluations
        self.values += is_value
        self._asks += 1

    def came_from(self, origin: tuple[str, str | None] | None) -> None:
        """An answer came from that backend and calibration; None where nobody knows."""
        if origin is None:
            return
        last = self._origins[-1] if self._origins else None
        if last is not None and (last.backend, last.calibration_id) == origin:
            self._origins[-1] = replace(last, answers=last.answers + 1)
        else:
            self._origins.append(Origin(*origin, 1))

    def launched(self, *, asked: int, guessed: int) -> None:
        """A round went out, or guesses alone, with so many evaluations of each kind."""
        self._rounds += asked > 0
        self._asked += asked
        self._guessed += guessed

    def ended(self, measured: Measured | None) -> None:
        """A round came back."""
        if measured is None:
            return
        if self._began_at is None:
            self._began_at = measured.began_at
        self._ended_at = max(self._ended_at, measured.ended_at)
        self._waited += measured.ended_at - measured.began_at
        self._recent.append(measured)
        self._overhead_sum += measured.times.overhead_seconds
        self._measured += 1
        self.round_seconds = median(m.ended_at - m.began_at for m in self._recent)
        self.times = RoundTimes(
            median(m.times.overhead_seconds for m in self._recent),
            median(m.times.evaluation_seconds for m in self._recent),
            measured.times.idle,
        )

    def hit(self, entry: Entry, evaluations: int) -> None:
        """A guess was asked for."""
        self._hits[entry.candidate.kind] += evaluations

    def missed(self, entry: Entry, evaluations: int) -> None:
        """A guess was withdrawn; it counts if it ran, or runs now."""
        if entry.guess.future.cancelled():
            return
        self._misses[entry.candidate.kind] += evaluations
        if entry.guess.usage is not None:
            self._wasted_qpu_seconds += entry.guess.usage.qpu_seconds

    def tolerated(self, distance: float) -> None:
        """A value was taken from a guess nearby."""
        self._tolerated += 1
        self._largest_distance = max(self._largest_distance, distance)

    def check(self, limits: Limits, evaluations: int) -> None:
        """Raise ``Stopped`` if a round with so many evaluations would pass a limit."""
        limits.check(
            rounds=self._rounds + 1,
            seconds=0.0 if self._began_at is None else self._ended_at - self._began_at,
            shots=(self._asked + self._guessed + evaluations) * (self._shots or 0),
        )

    def allowance(self, speculation: Speculation) -> float:
        """Evaluations that may still be wasted."""
        unused = self._guessed - sum(self._hits.values())
        # A run begins with credit: nothing has been asked for yet that a fraction could be of.
        allowed = speculation.extra_shots * (self._used + 2 * speculation.width) - unused
        if speculation.qpu_seconds is not None and self.times is not None:
            each = self.times.evaluation_seconds
            if each > 0.0:
                allowed = min(allowed, speculation.qpu_seconds / each - unused)
        return allowed

    def report(self, notes: tuple[str, ...] = ()) -> SpeculationReport:
        """The counts so far."""
        kinds = {
            kind: HitRate(self._hits[kind], self._misses[kind])
            for kind in {*self._hits, *self._misses}
        }
        sequential = 0.0
        if self.times is not None:
            overhead = self._overhead_sum / self._measured
            sequential = self._asks * overhead + self._used * self.times.evaluation_seconds
        return SpeculationReport(
            evaluations=self._used,
            rounds=self._rounds,
            hits=sum(self._hits.values()),
            misses=sum(self._misses.values()),
            shots=self._shots,
            wasted_qpu_seconds=self._wasted_qpu_seconds,
            kinds=kinds,
            seconds=self._waited,
            sequential_seconds=sequential,
            predictor_seconds=self.predictor_seconds,
            mode=self._mode,
            tolerated=self._tolerated,
            largest_distance=self._largest_distance,
            notes=notes,
            origins=tuple(self._origins),
        )
