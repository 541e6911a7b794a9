"""Guesses that go out while the optimizer computes, and are chosen when the value is there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import scipy.optimize

from efaas.model.job import Usage
from efaas.optimize.drive import drive
from efaas.optimize.limits import Limits
from efaas.optimize.sources import Guess, Measured, Round
from efaas.optimize.speculation import Speculation
from efaas.optimize.start import MinimizeStart
from efaas.policies.speculation import RoundTimes

if TYPE_CHECKING:
    from efaas.optimize.asks import Ask

OPTIONS = {"maxfev": 30, "adaptive": True}


def rosenbrock(x: np.ndarray) -> float:
    return float(scipy.optimize.rosen(x))


class OnDemand(Future[Any]):
    """Done when somebody waits for it, or for its device."""

    def __init__(self, compute: Callable[[], Any]) -> None:
        super().__init__()
        self._compute = compute

    def result(self, timeout: float | None = None) -> Any:
        if not self.done():
            self.set_result(self._compute())
        return super().result(timeout)


class StreamedGuess:
    """A guess that has run by the time it is confirmed."""

    usage = Usage(qpu_seconds=1.0)

    def __init__(self, future: OnDemand) -> None:
        self.future = future

    def confirm(self) -> bool:
        return True

    def withdraw(self) -> None:
        self.future.cancel()


class Streaming:
    """A source with one device, which is idle while the optimizer computes."""

    streams = True

    def __init__(self, prepares: int) -> None:
        self.prepares = prepares
        self.asked = 0
        self.guessed: list[bytes] = []

    def submit(self, asked: Sequence[Ask], guessed: Sequence[tuple[Ask, Guess | None]]) -> Round:
        self.asked += len(asked)
        self.guessed += [ask.x.tobytes() for ask, _ in guessed]
        futures = [OnDemand(partial(rosenbrock, ask.x)) for ask in asked]
        guesses = [StreamedGuess(OnDemand(partial(rosenbrock, ask.x))) for ask, _ in guessed]
        return Round(asked, futures, [ask for ask, _ in guessed], guesses)

    def is_recorded(self, asked: Sequence[Ask]) -> bool:
        return False

    def evaluations_of(self, ask: Ask) -> int:
        return 1

    def measured(self, begun: Round) -> Measured | None:
        return Measured(0.0, 3.5, RoundTimes(1.5, 0.5)) if begun.futures else None

    def close(self) -> None:
        """Nothing is held."""


@cache
def run(prepares: int, repetition: int = 0) -> tuple[Any, Streaming]:
    start = MinimizeStart.prepared(
        MinimizeStart(np.array([-1.0, 1.5, 0.5]), (), {"method": "Nelder-Mead", "options": OPTIONS})
    )
    source = Streaming(prepares)
    result = drive(
        start.run,
        source,
        Speculation(width=2, depth=1, predictor_share=0.01, effort="steps"),
        start=start,
        limits=Limits(),
    )
    return result, source


@pytest.mark.parametrize("prepares", [0, 4])
def test_the_result_is_scipy_s_however_guesses_go_out(prepares: int) -> None:
    result, _ = run(prepares)
    expected = scipy.optimize.minimize(
        rosenbrock, np.array([-1.0, 1.5, 0.5]), method="Nelder-Mead", options=OPTIONS
    )
    assert result.x.tobytes() == expected.x.tobytes()
    assert (result.fun, result.nfev) == (expected.fun, expected.nfev)


def test_steps_that_were_guessed_are_not_asked_for_and_count_as_no_round() -> None:
    result, source = run(prepares=4)
    report = result.speculation
    assert report.hits > 0
    assert report.evaluations == source.asked + report.hits
    assert report.rounds == source.asked


def test_choosing_when_the_value_is_there_hits_more_often_than_choosing_before() -> None:
    assert run(4)[0].speculation.hits > run(0)[0].speculation.hits


def test_a_work_clock_makes_what_is_guessed_the_same_in_every_run() -> None:
    assert run(4)[1].guessed == run(4, 1)[1].guessed
