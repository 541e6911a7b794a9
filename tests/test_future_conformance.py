"""CPython's rules for futures, held against the futures of a real session.

The rules are those that CPython tests its own executors against: states, callbacks, cancelling,
``result`` and ``exception``, ``wait``, ``as_completed`` and ``asyncio``. The backend answers only
when a test lets it, so every state is held for as long as the test looks at it.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import threading
from collections.abc import Iterator
from concurrent.futures import (
    ALL_COMPLETED,
    FIRST_COMPLETED,
    FIRST_EXCEPTION,
    CancelledError,
    Future,
    InvalidStateError,
    ThreadPoolExecutor,
    as_completed,
    wait,
)
from typing import Any

import numpy as np
import pytest
from qiskit.circuit.library import efficient_su2

import efaas
from efaas.errors import JobFailedError
from efaas.future import QuantumFuture
from efaas.testing import FakeBackend

ANSATZ = efficient_su2(1, reps=0)
BAD = 13.0  # the point at which the backend fails
KINDS = ("evaluation", "step", "then", "speculate")


class Bench:
    """A session whose backend and CPU slot are each held by a job that the test lets go."""

    def __init__(self) -> None:
        self.backend = FakeBackend(
            manual=True, value=lambda angles, seed: float(angles[0]), error=_failure
        )
        self.session = efaas.EFSession(self.backend, seed=1, cpu_slots=1)
        self._energy = self.session.objective(ANSATZ, "Z")
        self._gate = threading.Event()
        self.holding = self.evaluation(0.0)
        self.backend.wait_for_round()
        self.holding_step = self.session.call(self._gate.wait, 30)

    def evaluation(self, value: float) -> QuantumFuture[float]:
        """An evaluation that gives ``value``, or fails if that is ``BAD``."""
        return self._energy.submit([value, 0.0])

    def queued(self, kind: str, value: float) -> QuantumFuture[Any]:
        """A future that waits, and will give ``value``."""
        if kind == "evaluation":
            return self.evaluation(value)
        if kind == "step":
            return self.session.call(float, value)
        if kind == "then":
            return self.evaluation(value).then(float)
        return self.evaluation(value).speculate(float, guess=value)

    def finished(self, value: float) -> QuantumFuture[float]:
        """A future that has ended."""
        self.let_round_through()
        future = self.evaluation(value)
        self.backend.wait_for_round()
        self.let_round_through()
        wait([future], 30)
        self.holding = self.evaluation(0.0)
        self.backend.wait_for_round()
        return future

    def let_round_through(self) -> None:
        """End the round that runs."""
        self.backend.release()
        wait([self.holding], 30)

    def let_everything_through(self) -> None:
        self._gate.set()
        self.backend.release(1000)

    def close(self) -> None:
        self.let_everything_through()
        self.session.close()


def _failure(evaluation: Any) -> Exception | None:
    return OSError("out of order") if evaluation.angles[0, 0] == BAD else None


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.close()
    bench.session._dispatcher.check_invariants()


class TestStates:
    @pytest.mark.parametrize("kind", KINDS)
    def test_a_queued_future_is_neither_running_nor_done(self, bench: Bench, kind: str) -> None:
        future = bench.queued(kind, 1.0)
        assert (future.running(), future.done(), future.cancelled()) == (False, False, False)
        assert "state=pending" in repr(future)

    @pytest.mark.parametrize("kind", KINDS)
    def test_a_queued_future_ends_with_its_value(self, bench: Bench, kind: str) -> None:
        future = bench.queued(kind, 1.0)
        bench.let_everything_through()
        assert (future.result(30), future.exception()) == (1.0, None)
        assert (future.running(), future.done(), future.cancelled()) == (False, True, False)
        assert not future.cancel()

    @pytest.mark.parametrize("kind", KINDS)
    def test_a_queued_future_can_be_cancelled_and_stays_so(self, bench: Bench, kind: str) -> None:
        future = bench.queued(kind, 1.0)
        assert future.cancel()
        assert future.cancel()
        assert (future.running(), future.done(), future.cancelled()) == (False, True, True)
        bench.let_everything_through()
        with pytest.raises(CancelledError):
            future.result(30)
        with pytest.raises(CancelledError):
            future.exception(30)

    def test_a_running_future_cannot_be_cancelled(self, bench: Bench) -> None:
        for future in (bench.holding, bench.holding_step):
            assert (future.running(), future.done()) == (True, False)
            assert not future.cancel()
            assert not future.cancelled()

    def test_a_failed_future_raises_what_it_tells(self, bench: Bench) -> None:
        future = bench.finished(BAD)
        error = future.exception()
        assert isinstance(error, JobFailedError)
        with pytest.raises(JobFailedError) as caught:
            future.result()
        assert caught.value is error
        assert (future.done(), future.cancelled(), future.cancel()) == (True, False, False)

    def test_a_finished_future_takes_no_second_outcome(self, bench: Bench) -> None:
        future = bench.finished(2.0)
        with pytest.raises(InvalidStateError):
            future.set_result(3.0)
        with pytest.raises(InvalidStateError):
            future.set_exception(OSError())
        assert (future.result(), future.exception()) == (2.0, None)


class TestResults:
    @pytest.mark.parametrize("kind", KINDS)
    def test_a_wait_that_runs_out_of_time_leaves_the_job_alone(
        self, bench: Bench, kind: str
    ) -> None:
        future = bench.queued(kind, 1.0)
        with pytest.raises(TimeoutError):
            future.result(timeout=0)
        with pytest.raises(TimeoutError):
            future.exception(timeout=0)
        bench.let_everything_through()
        assert future.result(30) == 1.0

    @pytest.mark.parametrize("kind", KINDS)
    def test_every_thread_that_waits_gets_the_value(self, bench: Bench, kind: str) -> None:
        future = bench.queued(kind, 1.0)
        with ThreadPoolExecutor(4) as pool:
            values = [pool.submit(future.result, 30) for _ in range(4)]
            bench.let_everything_through()
            assert [value.result(30) for value in values] == [1.0] * 4

    @pytest.mark.parametrize("kind", KINDS)
    def test_a_thread_that_waits_hears_of_a_cancellation(self, bench: Bench, kind: str) -> None:
        future = bench.queued(kind, 1.0)
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(future.result, 30)
            assert future.cancel()
            assert isinstance(waiting.exception(30), CancelledError)


class TestCallbacks:
    @pytest.mark.parametrize("kind", KINDS)
    def test_a_callback_is_called_once_with_the_future(self, bench: Bench, kind: str) -> None:
        future, called = bench.queued(kind, 1.0), threading.Semaphore(0)
        seen: list[Future[Any]] = []
        future.add_done_callback(lambda done: (seen.append(done), called.release()))
        bench.let_everything_through()
        assert called.acquire(timeout=30)
        bench.session.close()
        assert seen == [future]

    @pytest.mark.parametrize("kind", KINDS)
    def test_cancelling_calls_the_callbacks_before_it_returns(
        self, bench: Bench, kind: str
    ) -> None:
        future = bench.queued(kind, 1.0)
        seen: list[bool] = []
        future.add_done_callback(lambda done: seen.append(done.cancelled()))
        future.cancel()
        future.cancel()
        assert seen == [True]

    def test_a_callback_sees_the_error_of_a_failed_job(self, bench: Bench) -> None:
        future, seen, called = bench.evaluation(BAD), [], threading.Event()
        future.add_done_callback(lambda done: (seen.append(done.exception()), called.set()))
        bench.let_everything_through()
        assert called.wait(30)
        assert isinstance(seen[0], JobFailedError)

    def test_callbacks_are_called_in_the_order_they_were_added(self, bench: Bench) -> None:
        future, called = bench.evaluation(1.0), threading.Event()
        seen: list[int] = []
        for number in range(5):
            future.add_done_callback(lambda _, number=number: seen.append(number))
        future.add_done_callback(lambda _: called.set())
        bench.let_everything_through()
        assert called.wait(30)
        assert seen == [0, 1, 2, 3, 4]

    def test_a_callback_added_late_is_called_at_once_on_the_same_thread(self, bench: Bench) -> None:
        seen: list[int] = []
        bench.finished(1.0).add_done_callback(lambda _: seen.append(threading.get_ident()))
        assert seen == [threading.get_ident()]

    def test_a_callback_that_raises_is_logged_and_stops_no_other(
        self, bench: Bench, caplog: pytest.LogCaptureFixture
    ) -> None:
        future, called = bench.evaluation(1.0), threading.Event()
        beside = bench.evaluation(2.0)
        with caplog.at_level(logging.ERROR, logger="concurrent.futures"):
            future.add_done_callback(_raise)
            future.add_done_callback(lambda _: called.set())
            bench.let_everything_through()
            assert called.wait(30)
            assert (future.result(30), beside.result(30)) == (1.0, 2.0)
        assert "a callback's own error" in caplog.text

    def test_a_callback_that_raises_on_a_finished_future_is_only_logged(
        self, bench: Bench, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.ERROR, logger="concurrent.futures"):
            bench.finished(1.0).add_done_callback(_raise)
        assert "a callback's own error" in caplog.text

    def test_a_callback_that_raises_does_not_undo_a_cancellation(
        self, bench: Bench, caplog: pytest.LogCaptureFixture
    ) -> None:
        future = bench.evaluation(1.0)
        future.add_done_callback(_raise)
        with caplog.at_level(logging.ERROR, logger="concurrent.futures"):
            assert future.cancel()
        assert future.cancelled()
        assert wait([future], 30).done == {future}


class TestCancelRaces:
    @pytest.mark.parametrize("kind", KINDS)
    def test_of_many_threads_that_cancel_all_agree(self, bench: Bench, kind: str) -> None:
        future, called = bench.queued(kind, 1.0), []
        future.add_done_callback(called.append)
        barrier = threading.Barrier(4)

        def cancel() -> bool:
            barrier.wait(30)
            return future.cancel()

        with ThreadPoolExecutor(4) as pool:
            outcomes = [pool.submit(cancel) for _ in range(4)]
        assert [outcome.result() for outcome in outcomes] == [True] * 4
        assert called == [future]

    def test_cancel_tells_the_truth_when_it_races_the_dispatch(self, bench: Bench) -> None:
        with ThreadPoolExecutor(1) as pool:
            for turn in range(100):
                future = bench.evaluation(1.0 + turn)
                barrier = threading.Barrier(2)

                def release(barrier: threading.Barrier = barrier) -> None:
                    barrier.wait(30)
                    bench.backend.release()

                releasing = pool.submit(release)
                barrier.wait(30)
                is_cancelled = future.cancel()
                releasing.result(30)
                wait([bench.holding], 30)
                if is_cancelled:
                    assert future.cancelled()
                    bench.holding = bench.evaluation(0.0)
                    bench.backend.wait_for_round()
                else:
                    bench.backend.wait_for_round()
                    assert future.running()
                    bench.holding = future
        bench.let_everything_through()
        bench.session.close()
        assert bench.holding.done()

    @pytest.mark.parametrize("kind", KINDS)
    def test_a_cancelled_future_never_gets_a_value(self, bench: Bench, kind: str) -> None:
        futures = [bench.queued(kind, float(value)) for value in range(1, 21)]
        with ThreadPoolExecutor(2) as pool:
            cancelled = pool.map(QuantumFuture.cancel, futures)
            pool.submit(bench.let_everything_through)
            was_cancelled = list(cancelled)
        wait(futures, 30)
        assert [future.cancelled() for future in futures] == was_cancelled
        kept = [value for value, lost in enumerate(was_cancelled, 1) if not lost]
        assert [future.result() for future in futures if not future.cancelled()] == kept


class TestWait:
    def test_first_completed_returns_with_the_first(self, bench: Bench) -> None:
        queued = bench.evaluation(1.0)
        bench.backend.release()
        done, not_done = wait([bench.holding, queued], 30, FIRST_COMPLETED)
        assert (done, not_done) == ({bench.holding}, {queued})

    def test_first_completed_returns_at_once_with_what_is_done(self, bench: Bench) -> None:
        finished, cancelled = bench.finished(1.0), bench.evaluation(2.0)
        cancelled.cancel()
        futures = [finished, cancelled, bench.holding]
        done, not_done = wait(futures, 30, FIRST_COMPLETED)
        assert (done, not_done) == ({finished, cancelled}, {bench.holding})

    def test_first_exception_returns_with_the_first_failure(self, bench: Bench) -> None:
        bench.let_round_through()
        failing = bench.evaluation(BAD)
        bench.backend.wait_for_round()
        queued = bench.evaluation(1.0)
        bench.backend.release()
        done, not_done = wait([bench.holding, failing, queued], 30, FIRST_EXCEPTION)
        assert (done, not_done) == ({bench.holding, failing}, {queued})

    def test_first_exception_does_not_take_a_cancellation_for_a_failure(self, bench: Bench) -> None:
        cancelled, queued = bench.evaluation(1.0), bench.evaluation(2.0)
        cancelled.cancel()
        done, not_done = wait([cancelled, queued], 0, FIRST_EXCEPTION)
        assert (done, not_done) == ({cancelled}, {queued})

    def test_first_exception_without_a_failure_waits_for_all(self, bench: Bench) -> None:
        futures = [bench.queued(kind, 1.0) for kind in KINDS]
        bench.let_everything_through()
        assert wait(futures, 30, FIRST_EXCEPTION).done == set(futures)

    def test_all_completed_counts_values_failures_and_cancellations(self, bench: Bench) -> None:
        cancelled, plain = bench.evaluation(1.0), Future[int]()
        cancelled.cancel()
        plain.set_result(1)
        futures = [*(bench.queued(kind, 1.0) for kind in KINDS), bench.evaluation(BAD)]
        everything = [*futures, cancelled, plain]
        bench.let_everything_through()
        done, not_done = wait(everything, 30, ALL_COMPLETED)
        assert (done, not_done) == (set(everything), set())

    @pytest.mark.parametrize("kind", KINDS)
    def test_wait_ends_when_the_last_future_is_cancelled(self, bench: Bench, kind: str) -> None:
        future = bench.queued(kind, 1.0)
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(wait, [future], 30)
            future.cancel()
            assert waiting.result(30).done == {future}

    def test_wait_that_runs_out_of_time_tells_done_from_not_done(self, bench: Bench) -> None:
        finished, queued = bench.finished(1.0), bench.evaluation(2.0)
        done, not_done = wait([finished, queued], 0)
        assert (done, not_done) == ({finished}, {queued})

    def test_a_future_given_twice_is_waited_for_once(self, bench: Bench) -> None:
        finished = bench.finished(1.0)
        assert wait([finished, finished], 30).done == {finished}


class TestAsCompleted:
    def test_it_gives_all_of_them_done_cancelled_and_failed(self, bench: Bench) -> None:
        cancelled = bench.evaluation(1.0)
        cancelled.cancel()
        futures = [*(bench.queued(kind, 1.0) for kind in KINDS), bench.evaluation(BAD), cancelled]
        bench.let_everything_through()
        assert set(as_completed(futures, 30)) == set(futures)

    def test_it_gives_them_as_they_end(self, bench: Bench) -> None:
        first, second = bench.holding, bench.evaluation(1.0)
        completed = as_completed([second, first], 30)
        bench.backend.release()
        assert next(completed) is first
        bench.backend.release()
        assert next(completed) is second

    def test_a_future_given_several_times_comes_once(self, bench: Bench) -> None:
        future = bench.evaluation(1.0)
        bench.let_everything_through()
        assert list(as_completed(itertools.repeat(future, 5), 30)) == [future]

    def test_without_time_it_gives_what_is_done_and_says_what_is_missing(
        self, bench: Bench
    ) -> None:
        finished, queued = bench.finished(1.0), bench.evaluation(2.0)
        completed = as_completed([queued, finished], timeout=0)
        assert next(completed) is finished
        with pytest.raises(TimeoutError, match=r"1 \(of 2\) futures unfinished"):
            next(completed)

    def test_it_may_be_left_early(self, bench: Bench) -> None:
        finished, queued = bench.finished(1.0), bench.evaluation(2.0)
        assert next(as_completed([finished, queued], 30)) is finished
        assert not queued.done()


class TestAsyncio:
    @pytest.mark.parametrize("kind", KINDS)
    def test_it_can_be_awaited(self, bench: Bench, kind: str) -> None:
        async def main() -> Any:
            future = bench.queued(kind, 1.0)
            bench.let_everything_through()
            return await asyncio.wait_for(future, 30)

        assert asyncio.run(main()) == 1.0

    def test_an_error_is_raised_where_it_is_awaited(self, bench: Bench) -> None:
        async def main() -> None:
            future = bench.evaluation(BAD)
            bench.let_everything_through()
            await future

        with pytest.raises(JobFailedError):
            asyncio.run(main())

    def test_gather_keeps_the_order(self, bench: Bench) -> None:
        async def main() -> list[float]:
            futures = [asyncio.wrap_future(bench.evaluation(float(n))) for n in range(1, 6)]
            bench.let_everything_through()
            return list(await asyncio.gather(*futures))

        assert asyncio.run(main()) == [1.0, 2.0, 3.0, 4.0, 5.0]

    @pytest.mark.parametrize("kind", KINDS)
    def test_an_awaiting_task_that_is_cancelled_cancels_what_is_queued(
        self, bench: Bench, kind: str
    ) -> None:
        future = bench.queued(kind, 1.0)

        async def main() -> None:
            wrapped = asyncio.wrap_future(future)
            wrapped.cancel()
            await asyncio.gather(wrapped, return_exceptions=True)

        asyncio.run(main())
        assert future.cancelled()

    def test_an_awaiting_task_that_is_cancelled_leaves_what_runs(self, bench: Bench) -> None:
        async def main() -> None:
            wrapped = asyncio.wrap_future(bench.holding)
            wrapped.cancel()
            await asyncio.gather(wrapped, return_exceptions=True)

        asyncio.run(main())
        assert bench.holding.running()
        bench.let_everything_through()
        assert bench.holding.result(30) == 0.0

    def test_a_future_cancelled_elsewhere_cancels_who_awaits_it(self, bench: Bench) -> None:
        future = bench.evaluation(1.0)

        async def main() -> None:
            asyncio.get_running_loop().call_soon(future.cancel)
            await future

        with pytest.raises(asyncio.CancelledError):
            asyncio.run(main())


def _raise(_: Future[Any]) -> None:
    raise ArithmeticError("a callback's own error")


def test_the_values_are_those_of_the_points_asked_for(bench: Bench) -> None:
    values = np.arange(1.0, 9.0)
    futures = [bench.evaluation(value) for value in values]
    bench.let_everything_through()
    assert [future.result(30) for future in futures] == values.tolist()
