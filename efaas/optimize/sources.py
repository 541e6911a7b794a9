"""Where an optimizer's answers come from: a session's objective, or a function on threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from efaas.optimize.asks import GRADIENT
from efaas.optimize.observers import Observed
from efaas.policies.speculation import RoundTimes

if TYPE_CHECKING:
    from efaas.model.job import Usage
    from efaas.optimize.asks import Ask
    from efaas.optimize.observers import Observer

__all__ = [
    "DrawsSeeds",
    "Guess",
    "Measured",
    "ObjectiveSource",
    "PooledFunction",
    "Remembers",
    "Round",
    "Source",
    "SubmitsPoints",
]


class Guess(Protocol):
    """An evaluation that runs before it is known whether it will be asked for."""

    @property
    def future(self) -> Future[Any]:
        """Its answer."""
        ...

    def confirm(self) -> bool:
        """It was asked for; whether its answer is the one that was asked for."""
        ...

    def withdraw(self) -> None:
        """It will not be asked for."""
        ...

    @property
    def usage(self) -> Usage | None:
        """What it has used, once it has run; None before, or where that is not known."""
        ...


@runtime_checkable
class SubmitsPoints(Protocol):
    """An objective whose evaluations are futures."""

    num_parameters: int
    shots: int | None

    def submit_round(
        self, asked: Sequence[Ask], guessed: Sequence[tuple[Ask, Any]] = ()
    ) -> tuple[Sequence[Future[Any]], Sequence[Any]]:
        """Evaluations in one round: some that are asked for, and guesses of what may be."""
        ...

    def evaluations_of(self, ask: Ask) -> int:
        """How many points it takes."""
        ...


@runtime_checkable
class Remembers(Protocol):
    """An objective that may know values from an earlier run."""

    def is_recorded(self, asks: Sequence[Ask]) -> bool:
        """Whether all of these, asked for now, would be answered from what is recorded."""
        ...


@runtime_checkable
class DrawsSeeds(Protocol):
    """An objective whose session is seeded."""

    def drawn_seed(self) -> int:
        """A seed for an optimizer's own random numbers; another one at each call."""
        ...


@dataclass(frozen=True, slots=True)
class Round:
    """Evaluations that went out together.

    Attributes:
        asked: What was asked for.
        futures: Their answers.
        guessed: What was guessed.
        guesses: The guesses, in the same order.
    """

    asked: Sequence[Ask]
    futures: Sequence[Future[Any]]
    guessed: Sequence[Ask]
    guesses: Sequence[Guess]


@dataclass(frozen=True, slots=True)
class Measured:
    """How long a round took.

    Attributes:
        began_at: When it was submitted, in the source's seconds.
        ended_at: When its last answer was there.
        times: What that was made of.
    """

    began_at: float
    ended_at: float
    times: RoundTimes


class Source(Protocol):
    """What answers an optimizer's asks, a round at a time."""

    @property
    def streams(self) -> bool:
        """Whether guesses also go out alone, while a guess that came true is waited for.

        It pays where a place would be idle while the optimizer computes.
        """
        ...

    @property
    def prepares(self) -> int:
        """How many guesses are prepared, of which one goes out when the value has arrived.

        0 if guesses go out with what is asked for, whatever its value will be.
        """
        ...

    def submit(self, asked: Sequence[Ask], guessed: Sequence[tuple[Ask, Guess | None]]) -> Round:
        """Begin a round.

        Args:
            asked: What the optimizer asks for.
            guessed: What it may ask for; for a further evaluation of a guessed point, with the
                guess that comes before it.
        """
        ...

    def is_recorded(self, asked: Sequence[Ask]) -> bool:
        """Whether all of these are known from an earlier run: then there is no round to share."""
        ...

    def evaluations_of(self, ask: Ask) -> int:
        """How many evaluations it takes."""
        ...

    def measured(self, begun: Round) -> Measured | None:
        """How long it took, once its futures are done; None where that is not known."""
        ...

    def close(self) -> None:
        """Let go of what it holds."""
        ...


class ObjectiveSource:
    """A session's objective: rounds are attempts of its backend."""

    streams = False
    prepares = 0

    def __init__(self, objective: SubmitsPoints) -> None:
        self._objective = objective
        self._memory = objective if isinstance(objective, Remembers) else None

    def is_recorded(self, asked: Sequence[Ask]) -> bool:
        """Whether the session's journal has them."""
        return self._memory is not None and self._memory.is_recorded(asked)

    def submit(self, asked: Sequence[Ask], guessed: Sequence[tuple[Ask, Guess | None]]) -> Round:
        """Committed jobs, and speculative ones that share their round."""
        futures, guesses = self._objective.submit_round(asked, guessed)
        return Round(asked, futures, [ask for ask, _ in guessed], guesses)

    def observers(self) -> Sequence[Observer]:
        """Those of the objective."""
        return self._objective.observers() if isinstance(self._objective, Observed) else ()

    def evaluations_of(self, ask: Ask) -> int:
        """One for a value, two per shifted angle for a gradient."""
        return self._objective.evaluations_of(ask)

    def measured(self, begun: Round) -> Measured | None:
        """By the jobs' own timelines and usage, in seconds of the session's clock."""
        jobs = {job.id: job for job in (getattr(f, "job", None) for f in begun.futures) if job}
        if any(job.is_recalled for job in jobs.values()):
            return None  # what comes from a journal says nothing about the next round
        ends = [job.timeline.finished_at for job in jobs.values()]
        if not ends or None in ends:
            return None
        began_at = min(job.timeline.submitted_at for job in jobs.values())
        ended_at = max(ends)
        # What a further evaluation would not add to is overhead, wherever it is spent.
        busy = sum(_marginal_seconds(job.usage) for job in jobs.values())
        evaluations = sum(map(self.evaluations_of, begun.asked))
        for ask, guess in zip(begun.guessed, begun.guesses, strict=True):
            if guess.usage is not None:
                busy += _marginal_seconds(guess.usage)
                evaluations += self.evaluations_of(ask)
        overhead = max(0.0, ended_at - began_at - busy)
        return Measured(began_at, ended_at, RoundTimes(overhead, busy / evaluations))

    def close(self) -> None:
        """Nothing is held: the session is the user's."""


def _marginal_seconds(usage: Usage) -> float:
    return max(0.0, usage.qpu_seconds - usage.fixed_seconds)


class PooledFunction:
    """A plain function of the user's, called on several threads."""

    streams = False
    prepares = 0

    def __init__(
        self,
        fun: Callable[..., Any],
        gradient: Callable[..., Any] | None,
        args: tuple[Any, ...],
        *,
        threads: int,
    ) -> None:
        """Start no thread yet.

        Args:
            fun: Called with the point and ``args``.
            gradient: Likewise, where the optimizer is given one.
            args: Further arguments of both.
            threads: Calls that run side by side; 0 calls at once, on the optimizer's own thread.
        """
        self._fun = fun
        self._gradient = gradient
        self._args = args
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, "efaas-fun") if threads else None
        self._lock = threading.Lock()
        self._seconds_per_call = 0.0
        self._began_at = 0.0

    def submit(self, asked: Sequence[Ask], guessed: Sequence[tuple[Ask, Guess | None]]) -> Round:
        """Queue the calls, those that are asked for first."""
        self._began_at = time.perf_counter()
        futures = [self._begun(ask) for ask in asked]
        guesses = [_Call(self._begun(ask)) for ask, _ in guessed]
        return Round(asked, futures, [ask for ask, _ in guessed], guesses)

    def is_recorded(self, asked: Sequence[Ask]) -> bool:
        """A function's values are recorded nowhere."""
        return False

    def evaluations_of(self, ask: Ask) -> int:
        """One call."""
        return 1

    def measured(self, begun: Round) -> Measured | None:
        """By the calls' mean duration: no overhead, and the other threads are idle."""
        with self._lock:
            times = RoundTimes(0.0, self._seconds_per_call, idle=max(0, self._threads - 1))
        return Measured(self._began_at, time.perf_counter(), times)

    def close(self) -> None:
        """Withdraw calls that have not begun; those that run are not waited for."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    def _begun(self, ask: Ask) -> Future[Any]:
        if self._pool is not None:  # in the caller's context: numpy keeps its error state there
            return self._pool.submit(copy_context().run, self._call, ask)
        future: Future[Any] = Future()
        try:
            future.set_result(self._call(ask))
        except Exception as error:
            future.set_exception(error)
        return future

    def _call(self, ask: Ask) -> Any:
        began_at = time.perf_counter()
        fun = self._gradient if ask.kind == GRADIENT and self._gradient else self._fun
        point = np.array(ask.x) if isinstance(ask.x, np.ndarray) else ask.x  # one of its own
        try:
            return fun(point, *self._args)
        finally:
            seconds = time.perf_counter() - began_at
            with self._lock:
                known = self._seconds_per_call
                self._seconds_per_call = seconds if not known else 0.7 * known + 0.3 * seconds


class _Call:
    """A guessed call: a deterministic function's value is right whenever it was computed."""

    def __init__(self, future: Future[Any]) -> None:
        self.future = future
        self.usage: Usage | None = None

    def confirm(self) -> bool:
        return True

    def withdraw(self) -> None:
        self.future.cancel()
