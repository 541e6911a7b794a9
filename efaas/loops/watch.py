"""A loop's watch: knows its best point, and has it evaluated once more now and then.

Two reasons to do so. The sentinel looks whether the device still gives what it gave. After a loop
has moved, the best point's value there tells how values of both sides compare. These evaluations
ride in a round of the loop, with seeds of their own: what the loop asks for stays what it is.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from efaas.backends.protocol import Estimates, Evaluation
from efaas.model.events import Comparison
from efaas.observe.report import CheckTotals
from efaas.policies.sentinel import SentinelTest, ln_damping

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from efaas.backends.experiment import Experiment
    from efaas.backends.protocol import Outcome
    from efaas.branch import Branch
    from efaas.dispatch.points import Points
    from efaas.loops.loop import Pin
    from efaas.model.events import Shift
    from efaas.model.seeding import Stream
    from efaas.policies.sentinel import Sentinel

__all__ = ["Alarm", "Check", "Watch"]


@dataclass(frozen=True, slots=True, eq=False)
class _Point:
    """An evaluated point: its angles, shape ``(slots,)``, and the estimate there."""

    angles: NDArray[np.float64]
    shots: int | None
    value: float
    std: float


_Role: TypeAlias = Literal["compared", "watched", "adopted"]
"""Why a point is evaluated once more: to compare two devices, to test the device, or to be what
is tested from now on."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """The device is not as it was.

    Attributes:
        shift: What the check found.
        ln_esp_shift: The change of ln ESP that would explain it.
    """

    shift: Shift
    ln_esp_shift: float


@dataclass(frozen=True, slots=True)
class Check:
    """Evaluations that ride in a round.

    Attributes:
        evaluation: What to run.
        heard: Takes its outcome in.
        ended: Told when it has ended, well or not.
    """

    evaluation: Evaluation
    heard: Callable[[Outcome], Sequence[Any]]
    ended: Callable[[], None]


class Watch:
    """Of one loop with one observable. Safe to use from several threads."""

    def __init__(
        self, experiment: Experiment, stream: Stream, sentinel: Sentinel | None, pin: Pin
    ) -> None:
        """Nothing is known yet.

        Args:
            experiment: What the loop evaluates.
            stream: Seeds of its own.
            sentinel: When to check; None for never.
            pin: Where the loop is.
        """
        self._experiment = experiment
        self._mixed = experiment.mixed_values[0]
        self._stream = stream
        self._sentinel = sentinel
        self._test = (
            None if sentinel is None else SentinelTest(false_alarm_rate=sentinel.false_alarm_rate)
        )
        self._lock = threading.Lock()
        self._pin = pin
        self._best: _Point | None = None
        self._maybe: list[tuple[Branch, _Point]] = []  # lower still, but only guessed so far
        self._to_compare: _Point | None = None
        self._compared: Callable[[Comparison], None] = lambda _: None
        self._watched: _Point | None = None
        self._alarm: Alarm | None = None
        self._in_flight = False
        self._rounds = 0  # since the last check
        self._asked = self._checked = 0  # shots
        self._occurrences: Counter[bytes] = Counter()
        self._totals = CheckTotals()

    @property
    def alarm(self) -> Alarm | None:
        """The alarm that was not heeded yet, if there is one."""
        return self._alarm

    @property
    def may_check(self) -> bool:
        """Whether anything can be due at all; without a sentinel that is after a move only."""
        return self._sentinel is not None or self._to_compare is not None

    @property
    def totals(self) -> CheckTotals:
        """What was spent so far."""
        return self._totals

    def seeing(
        self, pin: Pin, branch: Branch, points: Points
    ) -> Callable[[Outcome], Sequence[Any]]:
        """The points' own ``convert``, with a look at the values."""
        convert = points.convert

        def convert_and_see(outcome: Outcome) -> Sequence[Any]:
            self._saw(pin, branch, points, outcome)
            return (outcome,) if convert is None else convert(outcome)

        return convert_and_see

    def settled(
        self, pin: Pin, compared: Callable[[Comparison], None] | None, *, stayed: bool
    ) -> None:
        """The loop was reconsidered.

        Args:
            pin: Where it is now.
            compared: Told how the best point's values on both sides compare; None if they need not
                be compared.
            stayed: Whether it stayed, so that its values are still comparable.
        """
        with self._lock:
            self._take_confirmed()
            self._pin = pin
            self._alarm = None
            self._to_compare = None
            if self._test is not None:
                self._test.restart()
            if stayed:
                return
            if compared is not None:
                self._to_compare, self._compared = self._best, compared
            self._best = self._watched = None
            self._maybe.clear()

    def check(self, pin: Pin, asked: Sequence[Points]) -> Check | None:
        """What is to ride in a round in which ``asked`` goes out; None if nothing is due."""
        with self._lock:
            self._rounds += 1
            self._asked += sum(_shots(points.shots, len(points.angles)) for points in asked)
            if self._in_flight or pin is not self._pin:
                return None
            due = self._due()
            if not due:
                return None
            shots = self._shots_of(due)
            self._in_flight = True
            self._rounds = 0
            self._checked += _shots(shots, len(due))
            angles = np.stack([point.angles for _, point in due])
            names = [row.tobytes() for row in angles]
            seeds = []
            for key in self._stream.keys(names, [b""] * len(names)):
                self._occurrences[key] += 1
                seeds.append(self._stream.seed(key, self._occurrences[key]))
            evaluation = Evaluation(self._experiment, angles, shots, tuple(seeds))

        def heard(outcome: Outcome) -> Sequence[Any]:
            self._heard(pin, due, outcome, shots)
            return (outcome,)

        return Check(evaluation, heard, self._ended)

    # Under the lock.

    def _due(self) -> list[tuple[_Role, _Point]]:
        if self._to_compare is not None:
            compared, self._to_compare = self._to_compare, None
            return [("compared", compared)]
        sentinel = self._sentinel
        if sentinel is None or self._rounds < sentinel.every_rounds:
            return []
        self._take_confirmed()
        best, watched = self._best, self._watched
        due: list[tuple[_Role, _Point]] = []
        if watched is not None:
            due.append(("watched", watched))
        if best is not None and (
            watched is None or not np.array_equal(best.angles, watched.angles)
        ):
            due.append(("adopted", best))
        room = sentinel.most_share * self._asked - self._checked
        while due and _shots(self._shots_of(due), len(due)) > room:
            due.pop()
        return due

    def _shots_of(self, due: Sequence[tuple[_Role, _Point]]) -> int | None:
        shots = due[-1][1].shots
        if shots is None or self._sentinel is None:
            return shots
        return self._sentinel.shots or shots

    def _take_confirmed(self) -> None:
        """Look which of the guesses with lower values were asked for meanwhile."""
        undecided = []
        for branch, point in self._maybe:
            if branch.is_alive:
                if branch.is_speculative:
                    undecided.append((branch, point))
                else:
                    self._note(point)
        self._maybe = undecided

    def _note(self, point: _Point) -> None:
        if self._best is None or point.value < self._best.value:
            self._best = point

    # Where attempts end.

    def _saw(self, pin: Pin, branch: Branch, points: Points, outcome: Outcome) -> None:
        estimates = outcome.value
        if not isinstance(estimates, Estimates) or len(estimates.evs) != len(points.angles):
            return  # some of the points were cancelled, or run one by one
        row = int(np.argmin(estimates.evs[:, 0]))
        value, std = float(estimates.evs[row, 0]), float(estimates.stds[row, 0])
        with self._lock:
            is_lower = self._best is None or value < self._best.value
            if pin is not self._pin or not is_lower or not np.isfinite(value + std):
                return
            point = _Point(points.angles[row] + 0.0, points.shots, value, std)
            if not branch.is_speculative:
                self._note(point)
                return
            self._maybe.append((branch, point))
            if len(self._maybe) > _MOST_GUESSES:
                self._take_confirmed()

    def _heard(
        self,
        pin: Pin,
        due: Sequence[tuple[_Role, _Point]],
        outcome: Outcome,
        shots: int | None,
    ) -> None:
        with self._lock:
            totals = self._totals
            self._totals = replace(
                totals,
                evaluations=totals.evaluations + len(due),
                shots=totals.shots + len(due) * (shots or 0),
                busy_seconds=totals.busy_seconds + outcome.usage.qpu_seconds,
            )
            estimates = outcome.value
            if pin is not self._pin or not isinstance(estimates, Estimates):
                return
            if outcome.calibration_id not in (None, pin.calibration_id):
                return  # it came too late: the loop will be reconsidered anyway
            for (role, point), value, std in zip(
                due, estimates.evs[:, 0].tolist(), estimates.stds[:, 0].tolist(), strict=True
            ):
                self._take(role, _Point(point.angles, point.shots, value, std), point)

    def _take(self, role: _Role, now: _Point, before: _Point) -> None:
        if role == "compared":
            self._compared(Comparison(before.value, now.value, before.std, now.std))
            self._note(now)
        if self._test is None:
            return
        if role != "watched":
            self._watched = now
            self._test.restart()
        shift = self._test.check(now.value, now.std)
        if shift is not None and shift.is_alarm:
            reference = now.value - shift.difference
            change = ln_damping(reference, now.value, mixed=self._mixed, std=shift.std)
            self._alarm = Alarm(shift, change)
            self._totals = replace(self._totals, alarms=self._totals.alarms + 1)
        if role == "watched" and shift is not None:
            self._totals = replace(self._totals, tests=self._totals.tests + 1)

    def _ended(self) -> None:
        with self._lock:
            self._in_flight = False


_MOST_GUESSES = 256  # with values below the best that is known, before they are looked through


def _shots(shots: int | None, points: int) -> int:
    """Shots of some points; an exact evaluation counts as one."""
    return (shots or 1) * points
