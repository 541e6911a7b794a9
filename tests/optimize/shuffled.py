"""An objective without a session, whose evaluations finish in any order that a test likes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

import numpy as np

from efaas.model.job import JobSnapshot, JobState, Timeline, Usage
from efaas.optimize.asks import Ask, AskKey


class ShuffledObjective:
    """Answers asks by ``answer(ask, occurrence)``, in rounds on a clock of its own.

    Nothing runs until somebody waits: then evaluations finish in a random order until the one
    that is waited for is there. It keeps books on what a session promises: the n-th committed ask
    of a point has the n-th answer, and a guess has the occurrence that it will be asked as.

    Args:
        lost: The share of guesses that end in an error which is not the objective's.

    Attributes:
        asked: Everything that an optimizer was given the answer to, in order.
    """

    def __init__(
        self,
        answer: Callable[[Ask, int], Any],
        num_parameters: int,
        *,
        seed: int = 0,
        overhead: float = 20.0,
        each: float = 1.0,
        shots: int | None = 100,
        lost: float = 0.0,
    ) -> None:
        self.num_parameters = num_parameters
        self.shots = shots
        self.asked: list[AskKey] = []
        self.rounds = 0
        self.ran = 0
        self._answer = answer
        self._random = np.random.default_rng(seed)
        self._counts: Counter[AskKey] = Counter()
        self._pending: list[tuple[_Future, Ask, int]] = []
        self._now = 0.0
        self._overhead = overhead
        self._each = each
        self._lost = lost

    def __call__(self, x: Any) -> Any:
        """What plain scipy calls."""
        ask = Ask(x)
        self.asked.append(ask.key)
        return self._answer(ask, self._commit(ask))

    def gradient_at(self, x: Any) -> Any:
        """What plain scipy calls as ``jac``."""
        ask = Ask(x, "gradient")
        self.asked.append(ask.key)
        return self._answer(ask, self._commit(ask))

    def submit_round(
        self, asked: Sequence[Ask], guessed: Sequence[tuple[Ask, Any]] = ()
    ) -> tuple[list[_Future], list[_Guess]]:
        began_at, self.rounds = self._now, self.rounds + 1
        self._now += self._overhead + self._each * (len(asked) + len(guessed))
        futures: list[_Future] = [self._begin(ask, self._commit(ask), began_at) for ask in asked]
        guesses: list[_Guess] = []
        for future, ask in zip(futures, asked, strict=True):
            future.committed_as = ask.key
        for ask, after in guessed:
            occurrence = self._counts[ask.key] + 1 if after is None else after.occurrence + 1
            guess = self._begin(ask, occurrence, began_at)
            guess.is_lost = bool(self._random.random() < self._lost)
            guesses.append(_Guess(self, ask, occurrence, guess))
        return futures, guesses

    def evaluations_of(self, ask: Ask) -> int:
        return 1

    def commit_guess(self, guess: _Guess) -> bool:
        if self._counts[guess.ask.key] + 1 != guess.occurrence:
            return False
        self._commit(guess.ask)
        return True

    def run_until(self, future: _Future) -> None:
        while not future.done():
            chosen = int(self._random.integers(len(self._pending)))
            other, ask, occurrence = self._pending.pop(chosen)
            if not other.set_running_or_notify_cancel():
                continue
            self.ran += 1
            if other.is_lost:
                other.set_exception(OSError("the backend lost it"))
                continue
            try:
                other.set_result(self._answer(ask, occurrence))
            except Exception as error:
                other.set_exception(error)

    def _commit(self, ask: Ask) -> int:
        self._counts[ask.key] += 1
        return self._counts[ask.key]

    def _begin(self, ask: Ask, occurrence: int, began_at: float) -> _Future:
        timeline = Timeline(began_at, began_at, began_at, began_at, self._now)
        job = JobSnapshot(
            id=len(self.asked) * 10_000 + len(self._pending),
            state=JobState.DONE,
            backend="shuffled",
            calibration_id=None,
            speculative=False,
            loop_id=None,
            attempts=(),
            timeline=timeline,
            usage=Usage(qpu_seconds=self._each),
        )
        future = _Future(self, job)
        self._pending.append((future, ask, occurrence))
        return future


class _Future(Future[Any]):
    def __init__(self, objective: ShuffledObjective, job: JobSnapshot) -> None:
        super().__init__()
        self._objective = objective
        self.job = job
        self.is_lost = False
        self.committed_as: AskKey | None = None

    def result(self, timeout: float | None = None) -> Any:
        if not self.cancelled():
            self._objective.run_until(self)
        if self.committed_as is not None:
            self._objective.asked.append(self.committed_as)
        return super().result(timeout)


class _Guess:
    def __init__(
        self, objective: ShuffledObjective, ask: Ask, occurrence: int, future: _Future
    ) -> None:
        self.ask = ask
        self.occurrence = occurrence
        self.future = future
        self._objective = objective

    @property
    def usage(self) -> Usage | None:
        done = self.future.done() and not self.future.cancelled()
        return self.future.job.usage if done else None

    def confirm(self) -> bool:
        if not self._objective.commit_guess(self):
            return False
        if not self.future.done():
            self.future.is_lost = False  # as good as asked for
        self.future.committed_as = self.ask.key
        return True

    def withdraw(self) -> None:
        self.future.cancel()
