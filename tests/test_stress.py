"""Several threads, one session, everything at once: every future ends, and ends rightly.

What each thread does is drawn from a seed; how the threads interleave is not, and must not matter.
The backend computes a function of the point alone, so the value of every future is known.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from qiskit.circuit.library import efficient_su2

import efaas
from efaas.errors import BranchRolledBack, ClosedError, JobFailedError
from efaas.testing import FakeBackend

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from efaas.future import QuantumFuture
    from efaas.objective import Objective

ANSATZ = efficient_su2(1, reps=0)
THREADS = 6
TURNS = 60
LEVELS = 3  # values are 0, 1 or 2, so that guesses are right often enough


def level(angles: NDArray[np.float64], seed: int = 0) -> float:
    """The value at a point: a number that one guesses one time in three."""
    return float(int(np.abs(angles).sum() * 1000) % LEVELS)


def efaas_threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("efaas")]


@dataclass
class Expected:
    """A future and what it has to give; None for anything."""

    future: Future[Any]
    value: Any = None
    is_cancelled: bool = False

    def check(self) -> None:
        assert self.future.done()
        if self.is_cancelled:
            with pytest.raises(CancelledError):
                self.future.result()
        elif self.value is not None:
            np.testing.assert_array_equal(self.future.result(), self.value)


class Worker:
    """One thread's share: submits, builds on what it submitted, cancels some of it."""

    def __init__(self, session: efaas.EFSession, energy: Objective, seed: int) -> None:
        self.made: list[Expected] = []
        self._session = session
        self._energy = energy
        self._random = np.random.default_rng(seed)

    def turn(self) -> None:
        acts: Sequence[Callable[[], None]] = (
            self.submit,
            self.submit_many,
            self.gradient,
            self.then,
            self.speculate,
            self.speculate_twice,
            self.call,
            self.cancel,
        )
        acts[self._random.integers(len(acts))]()

    def submit(self) -> None:
        point = self._point()
        self._made(self._energy.submit(point), level(point))

    def submit_many(self) -> None:
        points = np.stack([self._point() for _ in range(self._random.integers(1, 5))])
        for point, future in zip(points, self._energy.submit_many(points), strict=True):
            self._made(future, level(point))

    def gradient(self) -> None:
        self._made(self._energy.gradient(self._point()), None)

    def then(self) -> None:
        first, second = self._point(), self._point()
        out = self._energy.submit(first).then(lambda value: self._energy.submit(second + value))
        self._made(out, level(second + level(first)))

    def speculate(self) -> None:
        first, second = self._point(), self._point()
        out = self._energy.submit(first).speculate(
            lambda value: self._energy.submit(second + value), guess=self._guess()
        )
        self._made(out, level(second + level(first)))

    def speculate_twice(self) -> None:
        """A speculation in a speculation, one of whose steps raises on some guesses."""
        first, second = self._point(), self._point()
        guess = self._guess()

        def step(value: float) -> QuantumFuture[float]:
            inner = self._energy.submit(second + value)
            return inner.speculate(lambda found: 10.0 / (1.0 + found * value), guesses=[guess])

        def risky(value: float) -> QuantumFuture[float]:
            if value != level(first):
                raise ArithmeticError("a wrong guess")
            return step(value)

        chosen = risky if self._random.integers(2) else step
        out = self._energy.submit(first).speculate(chosen, guesses=[guess, (guess + 1) % LEVELS])
        value = level(first)
        self._made(out, 10.0 / (1.0 + level(second + value) * value))

    def call(self) -> None:
        """A step that waits for other steps and for an evaluation."""
        point = self._point()

        def step() -> float:
            return self._session.call(float, 1).result() + self._energy(point)

        self._made(self._session.call(step), 1.0 + level(point))

    def cancel(self) -> None:
        if self.made:
            chosen = self.made[self._random.integers(len(self.made))]
            chosen.is_cancelled = chosen.future.cancel()

    def _made(self, future: Future[Any], value: Any) -> None:
        self.made.append(Expected(future, value))

    def _point(self) -> NDArray[np.float64]:
        return self._random.integers(0, 4, size=2) / 1000

    def _guess(self) -> float:
        return float(self._random.integers(LEVELS))


def run_together(acts: Sequence[Callable[[], None]]) -> None:
    """Run each on a thread of its own, all begun at once; raise what one of them raises."""
    barrier = threading.Barrier(len(acts))

    def begin(act: Callable[[], None]) -> None:
        barrier.wait(30)
        act()

    with ThreadPoolExecutor(len(acts)) as pool:
        for running in [pool.submit(begin, act) for act in acts]:
            running.result(60)


@pytest.mark.parametrize("cpu_slots", [1, 4])
@pytest.mark.parametrize("seed", [1, 2])
def test_threads_that_share_a_session_each_get_their_own_values(seed: int, cpu_slots: int) -> None:
    """Every future ends as its program ends when run alone, cancelled ones aside."""
    with efaas.EFSession(FakeBackend(value=level), seed=seed, cpu_slots=cpu_slots) as session:
        energy = session.objective(ANSATZ, "Z")
        workers = [Worker(session, energy, 100 * seed + number) for number in range(THREADS)]

        def work(worker: Worker) -> None:
            for _ in range(TURNS):
                worker.turn()
                session._dispatcher.check_invariants()

        run_together([lambda worker=worker: work(worker) for worker in workers])
        made = [expected for worker in workers for expected in worker.made]
        assert not wait([expected.future for expected in made], 60).not_done
        session._dispatcher.check_invariants()
    for expected in made:
        expected.check()
    assert session._scope.root.open_branches() == []
    assert efaas_threads() == []


@pytest.mark.parametrize("seed", [1, 2])
def test_rounds_that_fail_fail_only_the_points_that_are_bad(seed: int) -> None:
    """A point's own outcome is the same whatever shared a round with it."""
    bad = 0.003

    def round_error(evaluations: Sequence[Any]) -> Exception | None:
        is_bad = any((evaluation.angles[:, 0] == bad).any() for evaluation in evaluations)
        return OSError("a bad point") if is_bad else None

    backend = FakeBackend(value=level, round_error=round_error)
    with efaas.EFSession(backend, seed=seed) as session:
        energy = session.objective(ANSATZ, "Z")
        made: list[tuple[float, Expected]] = []

        def work(number: int) -> None:
            random = np.random.default_rng(10 * seed + number)
            for _ in range(10):
                points = random.integers(0, 4, size=(4, 2)) / 1000
                for point, future in zip(points, energy.submit_many(points), strict=True):
                    made.append((point[0], Expected(future, level(point))))

        run_together([lambda number=number: work(number) for number in range(THREADS)])
        assert not wait([expected.future for _, expected in made], 60).not_done
        session._dispatcher.check_invariants()
    for first, expected in made:
        if first == bad:
            assert isinstance(expected.future.exception(), JobFailedError)
        else:
            expected.check()
    assert efaas_threads() == []


@pytest.mark.parametrize("cancel", [False, True])
@pytest.mark.parametrize("is_shared", [False, True])
def test_a_session_closed_under_its_threads_leaves_no_future_unfinished(
    cancel: bool, is_shared: bool
) -> None:
    """Whenever the session closes, every future it gave out ends and every thread is told."""
    scheduler = efaas.EFScheduler(FakeBackend(value=level), cpu_slots=2)
    for turn in range(6):
        own = None if is_shared else FakeBackend(value=level)
        session = efaas.EFSession(own, scheduler=scheduler if is_shared else None, seed=turn)
        energy = session.objective(ANSATZ, "Z")
        workers = [Worker(session, energy, 100 * turn + number) for number in range(THREADS)]
        under_way = threading.Semaphore(0)

        def work(worker: Worker, under_way: threading.Semaphore = under_way) -> None:
            try:
                while True:
                    worker.turn()
                    under_way.release()
            except (ClosedError, BranchRolledBack):
                return

        def close(
            session: efaas.EFSession = session,
            under_way: threading.Semaphore = under_way,
            turns: int = 10 * turn,
        ) -> None:
            for _ in range(turns):
                assert under_way.acquire(timeout=30)
            session.close(cancel=cancel)

        run_together([close, *[lambda worker=worker: work(worker) for worker in workers]])
        futures = [expected.future for worker in workers for expected in worker.made]
        assert not wait(futures, 30).not_done
        session._dispatcher.check_invariants()
    scheduler.close()
    assert efaas_threads() == []
