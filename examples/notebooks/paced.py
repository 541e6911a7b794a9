"""A simulated device that takes a device's time, so that a notebook can show where time goes."""

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from efaas.backends import AerBackend
from efaas.clock import VirtualClock


class PacedBackend(AerBackend):
    """A fake device whose rounds take a fixed time, and a time for each evaluation in them.

    A real device does: each round waits in a queue, is loaded and started, whatever is in it.
    """

    def __init__(
        self,
        name: str,
        *,
        round_seconds: float,
        evaluation_seconds: float = 0.001,
        clock: VirtualClock | None = None,
        **options: Any,
    ) -> None:
        """Make the device.

        Args:
            name: Of a fake device, such as "fake_torino".
            round_seconds: Time of a round, whatever is in it.
            evaluation_seconds: Time of each evaluation; it is what the device is used for.
            clock: A virtual clock is moved on; without one, time really goes by.
            options: As for ``AerBackend``.
        """
        super().__init__(name, clock=clock, **options)
        self._round_seconds = round_seconds
        self._evaluation_seconds = evaluation_seconds
        self._wait = time.sleep if clock is None else clock.advance

    def profile(self, experiment: Any) -> Any:
        """The circuit as compiled here, with this device's time in place of the simulator's."""
        return replace(super().profile(experiment), seconds=self._evaluation_seconds)

    def execute(self, evaluations: Sequence[Any]) -> Sequence[Any]:
        """The simulator's answers, once their time has gone by."""
        began_at = time.perf_counter()
        outcomes = super().execute(evaluations)
        used = [self._evaluation_seconds * len(evaluation.seeds) for evaluation in evaluations]
        simulating = time.perf_counter() - began_at if self._wait is time.sleep else 0.0
        self._wait(max(0.0, self._round_seconds + sum(used) - simulating))
        return [
            outcome
            if isinstance(outcome, Exception)
            else replace(outcome, usage=replace(outcome.usage, qpu_seconds=seconds))
            for outcome, seconds in zip(outcomes, used, strict=True)
        ]
