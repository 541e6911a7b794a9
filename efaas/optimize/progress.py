"""Progress of a run, as one line that says how far it is, what it found and what it costs."""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from efaas.errors import OptimizerError
from efaas.notebook import is_notebook
from efaas.optimize.lines import Lines, lines

if TYPE_CHECKING:
    from efaas.model.standing import Standing
    from efaas.optimize.limits import Limits
    from efaas.optimize.observers import Observer

__all__ = ["Progress", "Standings", "progress_of"]

_QUIET_SECONDS = 0.5
"""A run that is over sooner shows nothing, unless it was asked to."""

_numbers = itertools.count(1)


@runtime_checkable
class Standings(Protocol):
    """An objective that knows where its loop stands."""

    shots: int | None

    def now(self) -> float:
        """The present instant of its clock, in seconds."""
        ...

    def standing(self) -> Standing:
        """Where its loop is now, and what it has used."""
        ...


def progress_of(
    fun: Any, progress: bool | None, limits: Limits, options: Mapping[str, Any] | None
) -> list[Observer]:
    """Who shows the progress of a run: nobody, or a ``Progress``.

    Args:
        fun: The objective.
        progress: True for always, False for never, None where somebody sees it: on a terminal and
            in a notebook.
        limits: When the run will be stopped.
        options: The optimizer's.

    Raises:
        OptimizerError: ``progress`` is something else.
    """
    if progress is not None and not isinstance(progress, bool):
        raise OptimizerError(f"progress is True, False or None, got {progress!r}")
    is_seen = is_notebook() or (sys.stderr is not None and sys.stderr.isatty())
    if progress is False or (progress is None and not is_seen):
        return []
    quiet = 0.0 if progress else _QUIET_SECONDS
    return [Progress(fun, limits, options or {}, lines(), quiet_seconds=quiet)]


class Progress:
    """Shows one run; told of it as an ``Observer``."""

    def __init__(
        self,
        fun: Any,
        limits: Limits,
        options: Mapping[str, Any],
        shown_on: Lines,
        *,
        quiet_seconds: float = 0.0,
    ) -> None:
        """Show nothing yet.

        Args:
            fun: The objective; one of a session tells more.
            limits: When the run will be stopped.
            options: The optimizer's; its bounds on evaluations are looked at.
            shown_on: The lines.
            quiet_seconds: Show nothing before the run takes so long.
        """
        self._fun = fun if isinstance(fun, Standings) else None
        self._shots = 0 if self._fun is None else self._fun.shots or 0
        self._now = time.monotonic if self._fun is None else self._fun.now
        self._limits = limits
        self._most = _most_evaluations(options)
        self._lines = shown_on
        self._quiet_until = time.monotonic() + quiet_seconds
        self._has_shown = False
        self._name = f"run {next(_numbers)}"
        self._began_at = self._asked_at = self._now()
        self._rounds = self._evaluations = self._asked = self._guessed = self._hits = 0
        self._value: tuple[float, float | None] | None = None
        self._best: tuple[float, float | None] | None = None
        self._std: float | None = None
        self._ttns: float | None = None
        self._waiting: Sequence[Any] = ()

    def asked(self) -> None:
        """The optimizer asks for something."""
        self._asked_at = self._now()
        self._std = None

    def hit(self) -> None:
        """What it asks for was guessed."""
        self._hits += 1

    def launching(self) -> None:
        """A round is about to be sent out."""

    def launched(self, futures: Sequence[Any], *, asked: int, guessed: int) -> None:
        """It was sent out."""
        self._rounds += 1
        self._asked += asked
        self._guessed += guessed
        self._waiting = futures
        self._show()

    def took(self, future: Any) -> None:
        """The answer is this future's."""
        self._std = getattr(future, "std_error", None)
        if self._waiting and future is self._waiting[0]:
            job = getattr(future, "job", None)
            if job is not None and job.timeline.first_shot_at is not None:
                self._ttns = max(0.0, job.timeline.first_shot_at - self._asked_at)
            self._waiting = ()

    def answered(
        self, kind: str, value: float | None, *, evaluations: int, best: float | None
    ) -> None:
        """The optimizer has its answer."""
        self._evaluations += evaluations
        if value is not None:
            self._value = (value, self._std)
            if best is not None and value == best and (self._best is None or best < self._best[0]):
                self._best = self._value
        self._show()

    def ended(self) -> None:
        """The run is over."""
        if self._has_shown or (self._rounds and time.monotonic() >= self._quiet_until):
            self._lines.show(self, partial(self.text, has_ended=True), is_last=True)

    def text(self, *, has_ended: bool = False) -> str:
        """The line."""
        parts = [f"{self._name}: round {self._rounds:,}, {self._evaluations:,} evaluations"]
        if self._value is not None and not has_ended:
            parts.append(f"now {_estimate(*self._value)}")
        if self._best is not None:
            parts.append(f"best {_estimate(*self._best)}")
        if self._ttns is not None:
            parts.append(f"TTNS {_duration(self._ttns)}")
        if self._guessed:
            parts.append(f"{self._hits:,} of {self._guessed:,} guesses used")
        standing = None if self._fun is None else self._fun.standing()
        if standing is not None:
            parts += self._spent(standing)
        seconds = self._now() - self._began_at
        left = None if has_ended else self._seconds_left(seconds, standing)
        parts.append(f"{_duration(seconds)} gone" + ("" if left is None else f", {left} left"))
        return " | ".join([*parts, "done"] if has_ended else parts)

    def _show(self) -> None:
        if self._has_shown or time.monotonic() >= self._quiet_until:
            self._has_shown = True
            self._lines.show(self, self.text)

    def _spent(self, standing: Standing) -> list[str]:
        where = standing.backend
        if standing.calibration_age_seconds is not None:
            where += f", calibrated {_duration(standing.calibration_age_seconds)} ago"
        spent = f"{standing.qpu_seconds:.3g} QPU s"
        if self._shots:
            shots = (self._asked + self._guessed) * self._shots
            of = "" if self._limits.max_shots is None else f" of {self._limits.max_shots:,}"
            spent = f"{shots:,}{of} shots, {spent}"
        budget = ", ".join(map(str, standing.budget))
        return [where, spent, *([f"budget {budget}"] if budget else [])]

    def _seconds_left(self, seconds: float, standing: Standing | None) -> str | None:
        """At the present pace, until the first bound that is known; in words."""
        limits = self._limits
        shots = (self._asked + self._guessed) * self._shots
        bounds: list[tuple[float, float | None]] = [
            (self._rounds, limits.max_rounds),
            (self._evaluations, self._most),
            (shots, limits.max_shots),
            (seconds, limits.max_seconds),
        ]
        if standing is not None:
            bounds += [(use.spent, use.allowed) for use in standing.budget]
        left = [
            seconds * (most - done) / done for done, most in bounds if most is not None and done > 0
        ]
        return None if not left else f"at most {_duration(max(0.0, min(left)))}"


def _most_evaluations(options: Mapping[str, Any]) -> int | None:
    for name in ("maxfev", "maxfun"):
        most = options.get(name)
        if isinstance(most, int) and most > 0:
            return most
    return None


def _estimate(value: float, std: float | None) -> str:
    return f"{value:.6g}" if not std else f"{value:.6g} ± {std:.2g}"


def _duration(seconds: float) -> str:
    for unit, size in (("d", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    if seconds >= 1:
        return f"{seconds:.3g} s"
    return f"{1e3 * seconds:.3g} ms"
