"""An objective as an optimizer sees it: it answers ask by ask, and is answered round by round.

Whatever the optimizer asks for is looked up in the ledger of what was begun before; only if it is
not there, a round goes out, with what will probably be asked for next beside it. The k-th answer
at a point is the k-th that the objective gives there, so what the optimizer sees does not depend
on what was guessed.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.optimize import OptimizeResult

from efaas.errors import BudgetError, InputError, JobFailedError, ProviderSessionError
from efaas.optimize.asks import GRADIENT, VALUE, Ask
from efaas.optimize.ledger import Entry, Ledger
from efaas.optimize.limits import BUDGET_REACHED, PROVIDER_SESSION_ENDED, Stopped
from efaas.optimize.observers import Observers
from efaas.optimize.scenarios import value_in
from efaas.optimize.tally import Tally
from efaas.policies.speculation import CERTAIN, Prospect, worthwhile
from efaas.policies.tolerance import is_as_good

if TYPE_CHECKING:
    from concurrent.futures import Future

    from numpy.typing import NDArray

    from efaas.optimize.asks import AskKey, Step
    from efaas.optimize.limits import Limits
    from efaas.optimize.predictor import Candidate, Predictor
    from efaas.optimize.report import SpeculationReport
    from efaas.optimize.sources import Round, Source
    from efaas.optimize.speculation import Speculation
    from efaas.optimize.work_clock import Timer

__all__ = ["RoundedObjective"]

logger = logging.getLogger("efaas.optimize")

_FIRST_SECONDS = 1e-2  # what the predictor may use before a round has been measured
_LEAST_SECONDS = 1e-4  # a smaller budget is not worth looking at
_MOST_STEPS = 128  # of what is certain, in one round


class _Heard(BaseException):
    """Leaves a function at what it asks for."""


class RoundedObjective:
    """Calls like a plain function; knows what it waited for.

    Attributes:
        best: The best value so far and its point, or None.
    """

    def __init__(
        self,
        source: Source,
        speculation: Speculation,
        *,
        predictor: Predictor | None,
        limits: Limits,
        shots: int | None = None,
        timer: Timer = time.perf_counter,
        observers: Observers | None = None,
    ) -> None:
        """Wrap a source of answers.

        Args:
            source: Where answers come from.
            speculation: How much to guess.
            predictor: What to guess; None to guess nothing.
            limits: When to stop.
            shots: Shots of each measurement setting of an evaluation.
            timer: Measures what predicting takes.
            observers: Told of the run as it goes.
        """
        self._timer = timer
        self.best: tuple[float, Any] | None = None
        self._source = source
        self._observers = observers or Observers()
        self._speculation = speculation
        self._predictor = predictor
        self._limits = limits
        self._ledger = Ledger()
        # An optimizer may ask from several threads, where its caller gave it workers.
        self._lock = threading.RLock()
        self._notes: tuple[str, ...] = ()
        self._heard: list[Ask] | None = None  # while it is found out what will be asked for
        self._tally = Tally(shots, speculation.mode)
        self._round: Round | None = None
        self._entries: list[Entry] = []  # what was guessed and is not settled
        self._confirmed: set[int] = set()  # which of them were asked for, by id

    def value(self, x: Any, *_: Any) -> Any:
        """The objective at ``x``; waits for it."""
        return self._answer(Ask(x))

    def gradient(self, x: Any, *_: Any) -> Any:
        """The gradient at ``x``; waits for it."""
        return self._answer(Ask(x, GRADIENT))

    def map(self, fn: Callable[[Any], Any], points: Iterable[Any]) -> Iterator[Any]:
        """``map(fn, points)``, its evaluations sent out in one round first.

        This is what optimizers take as ``workers``. What ``fn`` asks for at its points is found
        out by calling it and leaving it at once; it is called again for its result, lazily, as
        the built-in ``map`` does.
        """
        rows = list(points)
        asks: list[Ask] = []
        self._heard = asks
        try:
            for row in rows:
                with suppress(_Heard):
                    fn(row)
        finally:
            self._heard = None
        if asks:
            self._ensure(tuple(asks))
        return map(fn, rows)

    def ahead(self, points: Iterable[Any]) -> None:
        """Evaluate in one round what will be asked for next, each point once, in any order."""
        asks = tuple([Ask(point) for point in points])
        if asks:
            self._ensure(asks)

    @property
    def has_tolerated(self) -> bool:
        """Whether some value was taken from a guess nearby."""
        return self._tally.has_tolerated

    def exact_value(self, x: Any) -> Any:
        """The objective at ``x`` itself, whatever may be near."""
        ask = Ask(x)
        future = self._committed(ask)
        answer = _value(future)
        self._tally.came_from(getattr(future, "origin", None))
        self._tally.used(self._source.evaluations_of(ask))
        return answer

    def stopped(self, status: int, message: str) -> OptimizeResult:
        """The result of a run that was ended from outside: its best point so far; None for none."""
        value, x = self.best if self.best is not None else (np.nan, None)
        found = "no point has a value yet" if x is None else "x is the best point so far"
        fields = {
            "x": None if x is None else np.array(x),
            "fun": value,
            "nfev": self._tally.values,
            "success": False,
            "status": status,
            "message": f"Stopped: {message}; {found}.",
        }
        return OptimizeResult(**fields)

    def report(self, notes: tuple[str, ...] = ()) -> SpeculationReport:
        """The counts so far; ``close`` completes them."""
        return self._tally.report(notes + self._notes)

    def close(self) -> None:
        """Withdraw what was guessed and never asked for."""
        self._measure()
        for entry in self._ledger.close():
            self._tally.missed(entry, self._source.evaluations_of(entry.ask))

    def _answer(self, ask: Ask) -> Any:
        if self._heard is not None:
            self._heard.append(ask)
            raise _Heard
        self._observers.asked()
        with self._lock:
            future = self._ledger.take(ask.key)
            if future is None:
                near = self._near(ask)
                if near is not None:
                    return near
                future = self._committed(ask)
                if self._source.prepares and self._predictor is not None:
                    future.add_done_callback(self._arrived)
        answer = _value(future)
        self._observers.took(future)
        with self._lock:
            self._tally.came_from(getattr(future, "origin", None))
            self._consumed(ask, answer)
        return answer

    def _committed(self, ask: Ask) -> Future[Any]:
        """The answer to something that is asked for now, sent out if it was not begun before."""
        self._ensure((ask,))
        future = self._ledger.take(ask.key)
        assert future is not None
        return future

    def _consumed(self, ask: Ask, answer: Any) -> None:
        self._tally.used(self._source.evaluations_of(ask), is_value=ask.kind == VALUE)
        if self._predictor is not None:
            with self._predicting():
                self._predictor.observe(ask, answer)
        if ask.kind == VALUE:
            self._note_best(ask, answer)
        self._observers.answered(
            ask,
            answer,
            evaluations=self._source.evaluations_of(ask),
            best=None if self.best is None else self.best[0],
        )

    def _note_best(self, ask: Ask, answer: Any) -> None:
        value = answer[0] if isinstance(answer, tuple | list) else answer
        if np.size(value) == 1 and np.isrealobj(value):
            number = float(np.asarray(value).reshape(-1)[0])
            if np.isfinite(number) and (self.best is None or number < self.best[0]):
                self.best = (number, ask.x)

    def _ensure(self, step: Step) -> None:
        """See that all of a step is in the ledger as committed."""
        missing = [ask for ask in step if not self._is_confirmed(ask)]
        if missing:
            self._launch(step, missing)
        elif self._source.streams and self._predictor is not None:
            self._measure()
            self._begin(step, [], 0)

    def _is_confirmed(self, ask: Ask) -> bool:
        entry = self._ledger.confirm(ask)
        if entry is None:
            return False
        self._confirmed.add(id(entry))
        self._tally.hit(entry, self._source.evaluations_of(ask))
        self._observers.hit()
        return True

    def _launch(self, step: Step, missing: list[Ask]) -> None:
        self._measure()
        evaluations = sum(map(self._source.evaluations_of, missing))
        self._tally.check(self._limits, evaluations)
        self._begin(step, missing, evaluations)

    def _begin(self, step: Step, missing: list[Ask], evaluations: int) -> None:
        """Send out what is missing, and guesses with it."""
        chosen: list[Candidate] = []
        # Guesses share a round; where the values are recorded there is none, and they would be
        # paid for once more.
        is_recorded = self._source.is_recorded(missing)
        if not is_recorded:
            with self._predicting():
                chosen = self._chosen(step, evaluations)
        kept: dict[AskKey, int] = {}
        for candidate in chosen:
            for ask in candidate.step:
                place = _place(candidate, ask, step)
                kept[ask.key] = max(kept.get(ask.key, 0), place + 1)
        self._ledger.drop_unstarted(kept)
        guesses = []
        for candidate in chosen:
            for ask in candidate.step:
                line = list(self._ledger.line(ask.key))
                if len(line) == _place(candidate, ask, step):
                    guesses.append((candidate, ask, line[-1].guess if line else None))
        if not missing and not guesses:
            return
        self._observers.launching()
        try:
            self._round = self._source.submit(missing, [(ask, after) for _, ask, after in guesses])
        except InputError:
            if not guesses:
                raise
            guesses = []  # a guess may lie where the objective has no value
            self._round = self._source.submit(missing, [])
        for ask, future in zip(missing, self._round.futures, strict=True):
            self._ledger.add_committed(ask, future)
        for (candidate, ask, _), guess in zip(guesses, self._round.guesses, strict=True):
            entry = Entry(ask, guess, candidate)
            self._ledger.add_guess(entry)
            self._entries.append(entry)
        guessed = sum(self._source.evaluations_of(ask) for _, ask, _ in guesses)
        self._tally.launched(asked=evaluations, guessed=guessed)
        self._observers.launched(self._round.futures, asked=evaluations, guessed=guessed)
        budget = self._budget()
        if self._predictor is not None and budget >= _LEAST_SECONDS and not is_recorded:
            with self._predicting():
                self._predictor.absorb(budget)

    def _arrived(self, future: Future[Any]) -> None:
        """The pending value is there: send out the guess that fits it, if one was prepared."""
        with self._lock:
            if self._predictor is None or future.cancelled() or future.exception() is not None:
                return
            value = value_in(future.result())
            candidate = None
            with self._predicting():
                candidate = None if value is None else self._predictor.given(value)
            if candidate is None or any(self._ledger.line(ask.key) for ask in candidate.step):
                return
            prospect = Prospect(
                candidate.probability, sum(map(self._source.evaluations_of, candidate.step))
            )
            if not worthwhile(
                [prospect],
                asked=1,
                times=self._tally.times,
                width=2,
                allowance=self._tally.allowance(self._speculation),
            ):
                return
            begun = self._source.submit([], [(ask, None) for ask in candidate.step])
            for ask, guess in zip(candidate.step, begun.guesses, strict=True):
                entry = Entry(ask, guess, candidate)
                self._ledger.add_guess(entry)
                self._entries.append(entry)
            self._tally.launched(asked=0, guessed=prospect.evaluations)

    def _measure(self) -> None:
        """Take in how long the latest round took, and which of its guesses came true."""
        if self._round is None:
            return
        self._tally.ended(self._source.measured(self._round))
        self._round = None
        # Where rounds overlap, a guess is open until it is asked for or withdrawn.
        is_open = self._ledger.holds if self._source.streams else lambda _: False
        ended = [entry for entry in self._entries if not is_open(entry)]
        self._entries = [entry for entry in self._entries if is_open(entry)]
        if self._predictor is not None:
            settled: dict[int, tuple[Candidate, bool]] = {}
            for entry in ended:
                candidate, was_hit = settled.get(id(entry.candidate), (entry.candidate, False))
                is_hit = was_hit or id(entry) in self._confirmed
                settled[id(entry.candidate)] = (candidate, is_hit)
            with self._predicting():
                for candidate, is_hit in settled.values():
                    self._predictor.settle(candidate, is_hit)
        self._confirmed.clear()

    @contextmanager
    def _predicting(self) -> Iterator[None]:
        """Entered where the predictor works: its time is counted.

        No error of a prediction may cost the run: it goes on without, and the report says so.
        """
        began_at = self._timer()
        try:
            yield
        except Exception as error:
            self._predictor = None
            self._notes += (f"guessing ended early: {type(error).__name__}: {error}",)
            logger.warning("the predictor failed; nothing is guessed from here on", exc_info=True)
        finally:
            self._tally.predictor_seconds += self._timer() - began_at

    def _budget(self) -> float:
        """Real seconds that the predictor may use now."""
        times, seconds = self._tally.times, self._tally.round_seconds
        if times is None or seconds is None:
            return _FIRST_SECONDS
        # Without idle places a guess that comes true saves a round's overhead, and no more.
        saved = seconds if times.idle else min(seconds, times.overhead_seconds)
        return self._speculation.predictor_share * saved

    def _chosen(self, step: Step, asked: int) -> list[Candidate]:
        """The guesses that are worth a place in the round."""
        budget = self._budget()
        if self._predictor is None or budget < _LEAST_SECONDS:
            return []
        began_at = self._timer()
        known = self._ledger.known()
        depth = self._speculation.depth
        candidates: list[Candidate] = []
        while True:
            further = self._predictor.candidates(
                step,
                known=known,
                depth=depth,
                limit=max(self._speculation.width, depth),
                seconds=budget - (self._timer() - began_at),
            )
            candidates = further or candidates  # there may be no time to look so far
            certain = sum(candidate.probability >= CERTAIN for candidate in further)
            if certain < depth or depth >= _MOST_STEPS:
                break
            depth = min(4 * depth, _MOST_STEPS)  # a simplex, or another set: see where it ends
        if self._source.prepares:  # the others wait until the pending value tells them apart
            candidates = [it for it in candidates if it.probability >= CERTAIN]
        new = []
        prospects = []
        for candidate in candidates:
            asks = [
                ask
                for ask in candidate.step
                if len(self._ledger.line(ask.key)) <= _place(candidate, ask, step)
            ]
            if asks:
                new.append(candidate)
                evaluations = sum(map(self._source.evaluations_of, asks))
                prospects.append(Prospect(candidate.probability, evaluations))
        picked = worthwhile(
            prospects,
            asked=max(asked, 1),
            times=self._tally.times,
            width=self._speculation.width,
            allowance=self._tally.allowance(self._speculation),
        )
        return [new[index] for index in picked]

    def _near(self, ask: Ask) -> float | None:
        """In tolerant mode: the value of a guess nearby that is as good, corrected; or None."""
        if self._speculation.mode != "tolerant" or self._predictor is None or ask.kind != VALUE:
            return None
        if self.best is None:
            return None
        near: NDArray[Any] = np.asarray(ask.x)
        best: tuple[float, Entry] | None = None
        for entry in self._ledger.values_near():
            if entry.ask.kind != VALUE or len(entry.candidate.step) > 1:
                continue  # the differences of a finite difference are what it is about
            if entry.ask.key == ask.key:
                return None  # exact
            distance = float(np.linalg.norm(np.asarray(entry.ask.x) - near))
            if distance <= self._speculation.radius and (best is None or distance < best[0]):
                best = (distance, entry)
        if best is None:
            return None
        distance, entry = best
        substitution = None
        with self._predicting():
            substitution = self._predictor.substitution(entry.ask.x, ask.x, best=self.best[0])
        if substitution is None or not is_as_good(substitution):
            return None
        if not self._is_confirmed(entry.ask):
            return None
        future: Future[Any] | None = self._ledger.take(entry.ask.key)
        assert future is not None
        corrected = float(_value(future)) + substitution.difference
        self._tally.came_from(getattr(future, "origin", None))
        self._tally.tolerated(distance)
        self._consumed(ask, corrected)
        return corrected


def _value(future: Future[Any]) -> Any:
    """A future's value; leaves the optimizer where going on is not allowed."""
    try:
        return future.result()
    except KeyboardInterrupt:
        future.cancel()  # it may be in a provider's queue for hours
        raise
    except JobFailedError as failed:
        match failed.__cause__:
            case BudgetError() as error:
                raise Stopped(str(error), BUDGET_REACHED) from error
            case ProviderSessionError() as error:
                raise Stopped(str(error), PROVIDER_SESSION_ENDED) from error
        raise


def _place(candidate: Candidate, ask: Ask, pending: Step) -> int:
    """Where in the line of its point's guesses it stands; what is pending is committed."""
    return candidate.repeat - sum(other.key == ask.key for other in pending)
