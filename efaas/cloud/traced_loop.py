"""A loop played from its trace: the same steps, guesses that hit and miss as they did."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from efaas.cloud.trace import LoopTrace
    from efaas.cloud.twin import LoopPort, TwinJob

__all__ = ["TracedLoop"]


class TracedLoop:
    """Asks for the steps of a trace, one after the other.

    Where guesses are run, the guess of a step is submitted together with the step before it, or as
    soon as that one, guessed itself, has been asked for.
    """

    def __init__(self, trace: LoopTrace) -> None:
        """Nothing is asked for yet.

        Args:
            trace: What to play.
        """
        self.name = trace.name
        self._steps = trace.steps
        self._guess: TwinJob | None = None
        self._port: LoopPort

    def begin(self, port: LoopPort) -> None:
        """Ask for the first step."""
        self._port = port
        self._ask(0)

    def stop(self) -> None:
        """Nothing is held."""

    def _ask(self, number: int) -> None:
        """The optimizer wants the step now."""
        guess, self._guess = self._guess, None
        port = self._port
        if guess is not None and self._steps[number].guess == "hit":
            port.promote(guess)
            self._guess_next(number)
            if guess.is_delivered:
                self._answered(number, guess)
            return
        if guess is not None:
            port.withdraw(guess)
        then = partial(self._resolved, number)
        port.submit(self._seconds(number), then, points=self._steps[number].evaluations)
        self._guess_next(number)

    def _guess_next(self, number: int) -> None:
        following = number + 1
        if (
            self._port.speculates
            and following < len(self._steps)
            and self._steps[following].guess != "none"
        ):
            self._guess = self._port.submit(
                self._seconds(following),
                partial(self._resolved, following),
                points=self._steps[following].evaluations,
                is_guess=True,
            )

    def _resolved(self, number: int, it: TwinJob) -> None:
        """A result is there; a guess's is kept until it is asked for."""
        if not it.is_guess and not it.is_withdrawn:
            self._answered(number, it)

    def _answered(self, number: int, it: TwinJob) -> None:
        self._port.used(it, self._steps[number].gap)
        if number + 1 == len(self._steps):
            self._port.close()
            return
        think = self._steps[number + 1].think_seconds
        self._port.think(think, partial(self._ask, number + 1))

    def _seconds(self, number: int) -> float:
        step = self._steps[number]
        if step.service_seconds is not None:
            return step.service_seconds
        jobs = -(-step.evaluations // self._port.twin.scenario.devices.points_per_job)
        return jobs * self._port.service_seconds(number)
