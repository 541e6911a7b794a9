"""A backend without circuits: values come from a function, when the test says so."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from efaas.backends.protocol import Estimates, Evaluation, Outcome, Samples
from efaas.backends.warm_cache import WarmCache
from efaas.errors import CircuitTooWideError, InputError
from efaas.model.calibration import Calibration
from efaas.model.job import Usage
from efaas.model.profile import CircuitProfile

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from efaas.backends.experiment import Experiment
    from efaas.clock import VirtualClock

__all__ = ["FakeBackend"]

_MOVING_A_CLOCK = threading.Lock()  # devices may share a clock, whose steps are not atomic


class _State(NamedTuple):
    """What a calibration says."""

    calibration_id: str
    ln_esp: float
    has_dead_gate: bool


def _noisy_sum(angles: NDArray[np.float64], seed: int) -> float:
    """A function of the angles with noise that the seed alone decides."""
    return float(np.cos(angles).sum() + np.random.Generator(np.random.Philox(key=seed)).normal())


class FakeBackend:
    """A backend whose values are ``value(angles, seed)``.

    It runs at once, or, with ``manual=True``, only when ``release`` is called, so that a test
    decides what is in flight without waiting for anything. With a virtual clock it is a device
    whose rounds take time: give the clock to the scheduler too, and timelines are in its seconds.

    Attributes:
        rounds: The number of points in each call of ``execute``, in order.

    Example:
        >>> from efaas.clock import VirtualClock
        >>> clock = VirtualClock()
        >>> device = FakeBackend(clock=clock, round_seconds=1.0, evaluation_seconds=0.2)
        >>> device.execute([]), clock.now()
        ([], 1.0)
    """

    def __init__(
        self,
        name: str = "fake",
        *,
        num_qubits: int = 5,
        value: Callable[[NDArray[np.float64], int], float] = _noisy_sum,
        std_error: float = 1.0,
        manual: bool = False,
        error: Callable[[Evaluation], Exception | None] | None = None,
        round_error: Callable[[Sequence[Evaluation]], Exception | None] | None = None,
        clock: VirtualClock | None = None,
        round_seconds: float = 0.0,
        evaluation_seconds: float = 0.0,
        ln_esp: float = 0.0,
        cold_seconds: float = 0.0,
    ) -> None:
        """Make a backend.

        Args:
            name: Its name.
            num_qubits: Its width.
            value: The estimate of every observable, from the angles of one point and its seed; for
                exact values the seed is 0.
            std_error: The standard error that it tells of each value that shots were asked for.
            manual: Whether ``execute`` waits for ``release``.
            error: The error of one evaluation, or None where it succeeds.
            round_error: An error that ends a whole round, or None.
            clock: Moved forward by the time that each round takes, whether it succeeds or not.
                Devices that share a clock take turns: it moves by the sum of their times.
            round_seconds: Time of a round whatever is in it, in the clock's seconds.
            evaluation_seconds: Time of one point, in the clock's seconds.
            ln_esp: Logarithm of the fidelity that profiles tell of; 0 or less.
            cold_seconds: The cold start that profiles tell of; no time is spent on it.

        Raises:
            InputError: Seconds are negative or not finite, or given without a clock; or ``ln_esp``
                is above 0 or not finite.
        """
        _check_seconds(clock, round_seconds=round_seconds, evaluation_seconds=evaluation_seconds)
        _check_fidelity(ln_esp)
        self.name = name
        self.num_qubits = num_qubits
        self.cache = WarmCache()
        self.rounds: list[int] = []
        self._value = value
        self._std_error = std_error
        self._error = error
        self._round_error = round_error
        self._turns = threading.Semaphore(0) if manual else None
        self._arrivals = threading.Semaphore(0)
        self._clock = clock
        self._round_seconds = round_seconds
        self._evaluation_seconds = evaluation_seconds
        self._cold_seconds = cold_seconds
        self._recalibrations = 0
        self._state = _State("fake", ln_esp, has_dead_gate=False)

    def calibration(self) -> Calibration:
        """A calibration without a date."""
        return Calibration(id=self._state.calibration_id, backend=self.name)

    def recalibrate(self, ln_esp: float = 0.0, *, has_dead_gate: bool = False) -> Calibration:
        """Put a new calibration in force; values stay the same function.

        Args:
            ln_esp: Logarithm of the fidelity that profiles tell of from now on; 0 or less.
            has_dead_gate: Whether every circuit needs a gate that is dead.

        Raises:
            InputError: ``ln_esp`` is above 0 or not finite.
        """
        _check_fidelity(ln_esp)
        self._recalibrations += 1
        self._state = _State(f"fake-{self._recalibrations}", ln_esp, has_dead_gate)
        return self.calibration()

    def profile(self, experiment: Experiment) -> CircuitProfile:
        """One layer on as many qubits as the circuit has."""
        if experiment.num_qubits > self.num_qubits:
            raise CircuitTooWideError(
                f"{experiment.num_qubits} qubits on {self.name}, which has {self.num_qubits}",
                num_qubits=experiment.num_qubits,
                available=self.num_qubits,
            )
        state = self._state
        key = (experiment.fingerprint, state.calibration_id)
        _, is_warm = self.cache.get_or_build(key, lambda: True, lambda _: 1)
        return CircuitProfile(
            backend=self.name,
            num_qubits=experiment.num_qubits,
            depth=1,
            two_qubit_gates=0,
            layout=tuple(range(experiment.num_qubits)),
            seconds=self._evaluation_seconds,
            is_warm=is_warm,
            ln_gates=state.ln_esp,
            has_dead_gate=state.has_dead_gate,
            cold_seconds=self._cold_seconds,
        )

    def execute(self, evaluations: Sequence[Evaluation]) -> Sequence[Outcome | Exception]:
        """The values, once released."""
        points = sum(len(evaluation.seeds) for evaluation in evaluations)
        self.rounds.append(points)
        self._arrivals.release()
        if self._turns is not None:
            self._turns.acquire()
        if self._clock is not None:
            with _MOVING_A_CLOCK:
                self._clock.advance(self._round_seconds + self._evaluation_seconds * points)
        failure = self._round_error(evaluations) if self._round_error else None
        if failure is not None:
            raise failure
        return [self._outcome(evaluation) for evaluation in evaluations]

    def close(self) -> None:
        """Let every round through from now on."""
        if self._turns is not None:
            self._turns.release(1_000_000)

    def release(self, rounds: int = 1) -> None:
        """Let the next rounds through."""
        if self._turns is None:
            raise ValueError("this FakeBackend runs at once; make it with manual=True")
        self._turns.release(rounds)

    def wait_for_round(self, timeout: float = 30.0) -> None:
        """Return when one more round has arrived than were waited for before.

        Raises:
            TimeoutError: None came.
        """
        if not self._arrivals.acquire(timeout=timeout):
            raise TimeoutError(f"no round reached {self.name} within {timeout} s")

    def _outcome(self, evaluation: Evaluation) -> Outcome | Exception:
        failure = self._error(evaluation) if self._error else None
        if failure is not None:
            return failure
        try:
            self.profile(evaluation.experiment)
        except CircuitTooWideError as error:
            return error
        # Without a clock a point takes no time, but measured usage is never zero.
        seconds = 1e-3 if self._clock is None else self._evaluation_seconds
        usage = Usage(qpu_seconds=seconds * len(evaluation.seeds))
        return Outcome(self._answer(evaluation), usage, self._state.calibration_id)

    def _answer(self, evaluation: Evaluation) -> Estimates | Samples:
        is_exact = evaluation.shots is None
        seeds = [0 if is_exact else seed for seed in evaluation.seeds]
        points = list(zip(evaluation.angles, seeds, strict=True))
        if evaluation.experiment.is_sample:
            return self._samples(evaluation)
        observables = len(evaluation.experiment.observables)
        evs = np.array([[self._value(row, seed)] * observables for row, seed in points])
        evs = evs.reshape(len(points), observables)
        for point, wanted in enumerate(evaluation.wanted or ()):
            evs[point, [i for i in range(observables) if i not in wanted]] = np.nan
        stds = np.full_like(evs, 0.0 if is_exact else self._std_error)
        return Estimates(evs, np.where(np.isnan(evs), np.nan, stds))

    def _samples(self, evaluation: Evaluation) -> Samples:
        """Uniformly random bits."""
        registers: dict[str, NDArray[np.uint8]] = {}
        num_bits = {reg.name: reg.size for reg in evaluation.experiment.circuit.cregs}
        for name, width in num_bits.items():
            shape = (evaluation.shots or 0, (width + 7) // 8)
            rows = []
            for seed in evaluation.seeds:
                generator = np.random.Generator(np.random.Philox(key=seed))
                bits = generator.integers(0, 256, size=shape, dtype=np.uint8)
                bits[:, 0] &= (1 << (width - 1) % 8 + 1) - 1
                rows.append(bits)
            registers[name] = np.stack(rows)
        return Samples(registers, num_bits)


def _check_seconds(clock: VirtualClock | None, **durations: float) -> None:
    for name, seconds in durations.items():
        if not (0.0 <= seconds < math.inf):
            raise InputError(f"{name} must be finite and at least 0, got {seconds!r}")
        if seconds and clock is None:
            raise InputError(
                f"{name}={seconds!r} needs a clock to move: pass clock=VirtualClock(), and the "
                "same clock to the scheduler"
            )


def _check_fidelity(ln_esp: float) -> None:
    if not -math.inf < ln_esp <= 0.0:
        raise InputError(f"ln_esp must be finite, 0 or less, got {ln_esp!r}")
