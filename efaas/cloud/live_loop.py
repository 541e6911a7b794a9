"""A real optimizer in virtual time.

The optimizer is a function that blocks where it waits. It runs on a thread of its own, and the
baton is handed to and fro: at any instant either the event engine runs or one optimizer, so that
nothing depends on how threads are scheduled. Below ``minimize`` stands a ``Source`` whose answers
come from the twin; when the last answer that the optimizer waited for is there, the classical step
is waited for too.
"""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from efaas.cloud.trace import LoopTrace, TraceStep
from efaas.model.job import Usage
from efaas.optimize.drive import drive
from efaas.optimize.limits import Limits, Stopped
from efaas.optimize.sources import Measured, Round
from efaas.optimize.speculation import Speculation
from efaas.optimize.start import MinimizeStart, takes_workers
from efaas.policies.speculation import RoundTimes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from efaas.cloud.problems import Method, Problem
    from efaas.cloud.twin import LoopPort, TwinJob
    from efaas.optimize.asks import Ask
    from efaas.optimize.sources import Guess

__all__ = ["LiveLoop"]

_ENDED = "the simulation has ended"


class LiveLoop:
    """A loop whose steps are computed as it goes, by a real optimizer on a real objective."""

    def __init__(
        self,
        problem: Problem,
        method: Method,
        *,
        method_name: str,
        seed: int,
        restarts: bool = True,
    ) -> None:
        """Nothing runs yet.

        Args:
            problem: What is optimized.
            method: By what.
            method_name: Its name.
            seed: Of the shots, and of an optimizer that draws.
            restarts: Whether an optimizer that ends before its steps are up begins anew from there.
        """
        self.name = f"{problem.name} by {method_name}"
        self.problem = problem
        self._method = method
        self._method_name = method_name
        self._seed = seed
        self._restarts = restarts
        self._baton = _Baton()
        self._gap: float | None = None
        self._best = np.inf
        self._steps: list[TraceStep] = []
        self._port: LoopPort
        self._source: _TwinSource

    def begin(self, port: LoopPort) -> None:
        """Run until it waits for the first time."""
        self._port = port
        self._source = _TwinSource(self, port, self._baton)
        self._gap = self.problem.energy.gap(self.problem.x0)
        self._baton.start(self._run)

    def stop(self) -> None:
        """Leave the optimizer, wherever it is."""
        self._baton.stop()

    @property
    def trace(self) -> LoopTrace:
        """What it did so far, to be played again."""
        energy = self.problem.energy
        return LoopTrace(
            self.problem.name,
            self._method_name,
            self._seed,
            energy.ansatz.num_qubits,
            energy.observable.mixed - energy.observable.ground,
            tuple(self._steps),
            energy.observable.circuits,
            energy.shots,
        )

    def note(self, evaluations: int, guess: str) -> float | None:
        """A step has been used; returns how far from the best the optimizer is."""
        gap = None if self._gap is None else round(self._gap, 9)
        self._steps.append(TraceStep(evaluations, gap, guess))
        return gap

    def value(self, x: NDArray[np.float64], noise_scale: float, occurrence: int) -> float:
        """What the device gives for a point, the ``occurrence``-th time it is asked for."""
        digest = hashlib.blake2b(x.tobytes(), digest_size=8, key=str(self._seed).encode())
        digest.update(occurrence.to_bytes(4, "little"))
        seed = int.from_bytes(digest.digest(), "little")
        return self.problem.energy.measured(x, noise_scale, seed)

    def used(self, x: NDArray[np.float64], value: float) -> None:
        """The optimizer has been given a value."""
        if value < self._best and not self._method.tells_its_point:
            self._best = value
            self._gap = self.problem.energy.gap(x)

    def _run(self) -> None:
        """Runs of the optimizer, each from where the one before ended, until the steps are up."""
        x, runs = self.problem.x0, 0
        while self._source.steps_left > 0:
            before = self._source.steps_left
            result = self._minimized(x, runs)
            if result.get("x") is not None:
                x = np.asarray(result["x"], dtype=np.float64)
            runs += 1
            if self._source.steps_left == before or not self._restarts:
                break
        self._port.close()

    def _minimized(self, x: NDArray[np.float64], runs: int) -> Any:
        method, port = self._method, self._port
        guesses = port.speculates and method.can_guess
        price = port.twin.scenario.speculation
        width = 1 + self._source.guesses_in_a_gap
        speculation = Speculation(
            mode="exact" if guesses else "off",
            width=width,
            depth=width - 1,
            extra_shots=price.extra_evaluations,
            predictor_share=price.predictor_share,
            effort="steps",
        )
        passed = {
            "method": method.method,
            "options": method.options(x, self._source.steps_left, runs, self._seed),
        }
        start = MinimizeStart.prepared(
            MinimizeStart(
                x, (), passed, self._called_back, takes_workers(method.method), may_call_ahead=True
            )
        )
        with np.errstate(all="ignore"):
            return drive(
                start.run,
                self._source,
                speculation,
                start=start if guesses else None,
                limits=Limits(),
            )

    def _called_back(self, xk: Any) -> None:
        if self._method.tells_its_point:
            self._gap = self.problem.energy.gap(np.asarray(xk, dtype=np.float64))


class _TwinSource:
    """Answers an optimizer's asks by jobs of the twin: a job for what is asked for at once."""

    streams = True
    prepares: int

    def __init__(self, loop: LiveLoop, port: LoopPort, baton: _Baton) -> None:
        scenario = port.twin.scenario
        self.steps_left = scenario.loops.max_steps
        self._points_per_job = scenario.devices.points_per_job
        self._loop = loop
        self._port = port
        self._baton = baton
        self._asked: Counter[bytes] = Counter()  # how often each point was asked for
        self._guessed: Counter[bytes] = Counter()  # guesses of it that are open
        self._open = 0  # futures that were asked for and not used
        self._step = 0
        self._is_guessing = False
        # Each is computed on a classical node while the device runs.
        self.prepares = scenario.classical_nodes
        think = scenario.loops.think_seconds
        service = scenario.devices.evaluation_seconds
        self.guesses_in_a_gap = max(1, round(think / service))
        # A hit hides the shorter of the two; a miss costs what it runs on beyond the gap.
        self._times = RoundTimes(min(think, service), max(service - think, 0.0))

    def submit(self, asked: Sequence[Ask], guessed: Sequence[tuple[Ask, Guess | None]]) -> Round:
        """One job for what is asked for, one for each guess."""
        futures: list[_TwinFuture] = []
        if asked:
            guess = "miss" if self._is_guessing else "none"
            self._count_step()
            batch = _Batch(self, [(ask.x, self._occurrence(ask)) for ask in asked], guess)
            batch.job = self._port.submit(
                self._seconds(len(asked)), batch.resolve, points=len(asked)
            )
            futures = batch.futures
            self._open += len(futures)
            self._asked.update(ask.x.tobytes() for ask in asked)
        guesses = [self._guess(ask) for ask, _ in guessed]
        self._is_guessing = bool(guesses) or self._guessed.total() > 0
        return Round(asked, futures, [ask for ask, _ in guessed], guesses)

    def is_recorded(self, asked: Sequence[Ask]) -> bool:
        """Nothing is known from an earlier run."""
        return False

    def evaluations_of(self, ask: Ask) -> int:
        """One."""
        return 1

    def measured(self, begun: Round) -> Measured | None:
        """What a hit saves and a miss costs, as the scenario has it."""
        if not begun.futures:
            return None
        job = cast("_TwinFuture", begun.futures[0]).batch.the_job
        return Measured(job.ready_at, min(job.ended_at, self._port.now), self._times)

    def close(self) -> None:
        """Nothing is held."""
        self._open = 0

    def confirmed(self, guess: _TwinGuess) -> None:
        """A guess is asked for."""
        self._count_step()
        self._open += 1
        key = guess.key
        self._asked[key] += 1
        self._guessed[key] -= 1
        self._is_guessing = self._guessed.total() > 0
        self._port.promote(guess.batch.the_job)

    def withdrawn(self, guess: _TwinGuess) -> None:
        """A guess was wrong."""
        self._guessed[guess.key] -= 1
        self._port.withdraw(guess.batch.the_job)

    def value(self, x: NDArray[np.float64], noise_scale: float, occurrence: int) -> float:
        """What the device gives."""
        return self._loop.value(x, noise_scale, occurrence)

    def wait_for(self, future: _TwinFuture) -> None:
        """Let virtual time go on until it is there, and with the last one the optimizer thinks."""
        if not self._open or future.is_used or not self._baton.is_mine:
            return
        while not future.done():
            future.is_awaited = True
            self._baton.wait()
        future.is_used = True
        self._open -= 1
        batch = future.batch
        self._loop.used(batch.point_of(future), Future.result(future))
        if all(each.is_used for each in batch.futures):
            gap = self._loop.note(len(batch.futures), batch.guess)
            self._port.used(batch.the_job, gap)
        if not self._open:
            self._port.think(None, self._baton.resume)
            self._baton.wait()

    def resolved(self, futures: Sequence[_TwinFuture]) -> None:
        """Go on with the optimizer, if it waits for one of these."""
        if any(future.is_awaited for future in futures):
            self._baton.resume()

    def _guess(self, ask: Ask) -> _TwinGuess:
        batch = _Batch(self, [(ask.x, self._occurrence(ask))], "hit")
        self._guessed[ask.x.tobytes()] += 1
        batch.job = self._port.submit(self._seconds(1), batch.resolve, is_guess=True)
        return _TwinGuess(self, batch)

    def _occurrence(self, ask: Ask) -> int:
        key = ask.x.tobytes()
        return self._asked[key] + self._guessed[key] + 1

    def _seconds(self, points: int) -> float:
        """Of a job with so many points; a guess is of the step that comes after this one."""
        return -(-points // self._points_per_job) * self._port.service_seconds(self._step)

    def _count_step(self) -> None:
        if not self.steps_left:
            raise Stopped("all steps are made")
        self.steps_left -= 1
        self._step += 1


class _Batch:
    """The points of one job, and their futures."""

    def __init__(
        self, source: _TwinSource, points: Sequence[tuple[NDArray[np.float64], int]], guess: str
    ) -> None:
        self.guess = guess
        self.job: TwinJob | None = None
        self.futures = [_TwinFuture(source, self) for _ in points]
        self._source = source
        self._points = points

    @property
    def the_job(self) -> TwinJob:
        """The twin's job."""
        assert self.job is not None
        return self.job

    def point_of(self, future: _TwinFuture) -> NDArray[np.float64]:
        """Where the future's value is of."""
        return self._points[self.futures.index(future)][0]

    @property
    def key(self) -> bytes:
        """The first point."""
        return self._points[0][0].tobytes()

    def resolve(self, job: TwinJob) -> None:
        """Its result is there."""
        for (x, occurrence), future in zip(self._points, self.futures, strict=True):
            if not future.cancelled():
                future.set_result(self._source.value(x, job.noise_scale, occurrence))
        self._source.resolved(self.futures)


class _TwinFuture(Future[Any]):
    """A value in virtual time: who asks for it lets time go on."""

    def __init__(self, source: _TwinSource, batch: _Batch) -> None:
        super().__init__()
        self.batch = batch
        self.is_used = False
        self.is_awaited = False
        self.is_asked = batch.guess != "hit"
        self._source = source

    def result(self, timeout: float | None = None) -> Any:
        """The value."""
        if self.is_asked:
            self._source.wait_for(self)
        return super().result(0.0)


class _TwinGuess:
    """A guess in the twin."""

    def __init__(self, source: _TwinSource, batch: _Batch) -> None:
        self.batch = batch
        self.key = batch.key
        self.future = batch.futures[0]
        self._source = source

    @property
    def usage(self) -> Usage | None:
        """Its service, once it has run."""
        job = self.batch.the_job
        return Usage(qpu_seconds=job.seconds) if job.is_done else None

    def confirm(self) -> bool:
        """It was asked for."""
        self._source.confirmed(self)
        self.future.is_asked = True
        return True

    def withdraw(self) -> None:
        """It will not be asked for."""
        self._source.withdrawn(self)
        if self.batch.the_job.started_at == float("inf"):
            self.future.cancel()


class _Baton:
    """Hands control to a thread and back: one of the two runs at any time."""

    def __init__(self) -> None:
        self._mine = threading.Lock()  # free: the optimizer may run
        self._mine.acquire()
        self._theirs = threading.Lock()  # free: the engine may run
        self._theirs.acquire()
        self._error: BaseException | None = None
        self._is_stopping = False
        self._thread: threading.Thread | None = None

    @property
    def is_mine(self) -> bool:
        """Whether this is the optimizer's thread."""
        return threading.current_thread() is self._thread

    def start(self, run: Callable[[], None]) -> None:
        """Run it until it waits."""
        self._thread = threading.Thread(target=self._body, args=(run,), daemon=True)
        self._thread.start()
        self._back()

    def resume(self) -> None:
        """Engine's side: let the optimizer go on until it waits again, or ends."""
        self._mine.release()
        self._back()

    def wait(self) -> None:
        """Optimizer's side: let the engine go on until it resumes this."""
        if self._is_stopping:
            raise Stopped(_ENDED)
        self._theirs.release()
        self._mine.acquire()
        if self._is_stopping:
            raise Stopped(_ENDED)

    def stop(self) -> None:
        """Engine's side: end the optimizer."""
        if self._thread is not None and self._thread.is_alive():
            self._is_stopping = True
            self.resume()
            self._thread.join()

    def _back(self) -> None:
        self._theirs.acquire()
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def _body(self, run: Callable[[], None]) -> None:
        try:
            run()
        except Stopped:
            pass
        except BaseException as error:  # raised again where the engine runs
            self._error = error
        finally:
            self._theirs.release()
