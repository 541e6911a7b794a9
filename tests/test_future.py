"""QuantumFuture: CPython's rules for futures, ``then``, and ``speculate``."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import (
    FIRST_COMPLETED,
    CancelledError,
    Future,
    as_completed,
    wait,
)
from typing import TYPE_CHECKING

import numpy as np
import pytest

from efaas.branch import BranchState
from efaas.equality import is_exactly_equal
from efaas.errors import BranchRolledBack, InputError
from efaas.testing import ManualScope

if TYPE_CHECKING:
    from efaas.future import QuantumFuture


@pytest.fixture
def scope() -> ManualScope:
    return ManualScope()


def run_all_steps(scope: ManualScope) -> None:
    while scope.steps:
        scope.run_next_step()


class TestAsAFuture:
    def test_it_is_a_future_of_the_standard_library(self, scope: ManualScope) -> None:
        assert isinstance(scope.submit("x"), Future)

    def test_states_follow_the_job(self, scope: ManualScope) -> None:
        future = scope.submit("x")
        assert (future.running(), future.done()) == (False, False)
        assert future._claim()
        assert (future.running(), future.done()) == (True, False)
        future.set_result(3)
        assert (future.running(), future.done(), future.result()) == (False, True, 3)

    def test_a_running_job_cannot_be_cancelled(self, scope: ManualScope) -> None:
        future = scope.submit("x")
        future._claim()
        assert not future.cancel()
        assert not future.cancelled()

    def test_a_cancelled_future_cannot_be_claimed(self, scope: ManualScope) -> None:
        future = scope.submit("x")
        assert future.cancel()
        assert future.cancel()
        assert not future._claim()
        with pytest.raises(CancelledError):
            future.result()

    def test_wait_sees_a_cancelled_future_end(self, scope: ManualScope) -> None:
        future = scope.submit("x")
        threading.Timer(0.01, future.cancel).start()
        assert wait([future], timeout=30).done == {future}

    def test_wait_and_as_completed_take_it_beside_plain_futures(self, scope: ManualScope) -> None:
        plain: Future[int] = Future()
        first, second = scope.submit("x"), scope.submit("y")
        scope.deliver(scope.jobs[1], 2)
        assert wait([first, second, plain], return_when=FIRST_COMPLETED).done == {second}
        scope.deliver(scope.jobs[0], 1)
        plain.set_result(0)
        assert {f.result() for f in as_completed([first, second, plain])} == {0, 1, 2}

    def test_callbacks_run_once_with_the_future(self, scope: ManualScope) -> None:
        future, seen = scope.submit("x"), []
        future.add_done_callback(seen.append)
        scope.deliver(scope.jobs[0], 1)
        future.add_done_callback(seen.append)
        assert seen == [future, future]

    def test_a_result_that_does_not_come_in_time_is_a_timeout(self, scope: ManualScope) -> None:
        with pytest.raises(TimeoutError):
            scope.submit("x").result(timeout=0)

    def test_cancel_and_claim_agree_when_they_race(self, scope: ManualScope) -> None:
        for _ in range(200):
            future = scope.submit("x")
            barrier = threading.Barrier(2)
            won: dict[str, bool] = {}

            def claim(
                future: QuantumFuture[int] = future,
                won: dict[str, bool] = won,
                barrier: threading.Barrier = barrier,
            ) -> None:
                barrier.wait()
                won["claim"] = future._claim()

            thread = threading.Thread(target=claim)
            thread.start()
            barrier.wait()
            won["cancel"] = future.cancel()
            thread.join()
            assert won["claim"] != won["cancel"]

    def test_it_can_be_awaited(self, scope: ManualScope) -> None:
        async def main() -> int:
            future = scope.submit("x")
            asyncio.get_running_loop().call_soon(scope.deliver, scope.jobs[0], 5)
            return await future

        assert asyncio.run(main()) == 5

    def test_cancelling_a_coroutine_that_awaits_it_cancels_the_job(
        self, scope: ManualScope
    ) -> None:
        async def main() -> None:
            future = scope.submit("x")

            async def waiter() -> None:
                await future

            task = asyncio.create_task(waiter())
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert future.cancelled()

        asyncio.run(main())

    def test_wrap_future_takes_it(self, scope: ManualScope) -> None:
        async def main() -> int:
            future = scope.submit("x")
            wrapped = asyncio.wrap_future(future)
            scope.deliver(scope.jobs[0], 4)
            return await wrapped

        assert asyncio.run(main()) == 4


class TestThen:
    def test_it_gives_the_function_of_the_value(self, scope: ManualScope) -> None:
        out = scope.submit("x").then(lambda value: value + 1)
        scope.deliver(scope.jobs[0], 1)
        run_all_steps(scope)
        assert out.result() == 2

    def test_a_future_that_the_function_returns_is_waited_for(self, scope: ManualScope) -> None:
        out = scope.submit("x").then(lambda value: scope.submit(("y", value)))
        scope.deliver(scope.jobs[0], 1)
        run_all_steps(scope)
        assert not out.done()
        scope.deliver(scope.jobs[1], "done")
        assert out.result() == "done"

    def test_an_error_is_passed_on_without_calling_the_function(self, scope: ManualScope) -> None:
        out = scope.submit("x").then(lambda value: pytest.fail("called"))
        scope.deliver(scope.jobs[0], KeyError("lost"))
        assert scope.steps == []
        with pytest.raises(KeyError, match="lost"):
            out.result()

    def test_an_error_of_the_function_is_the_result(self, scope: ManualScope) -> None:
        out = scope.submit("x").then(lambda value: 1 / value)
        scope.deliver(scope.jobs[0], 0)
        run_all_steps(scope)
        assert isinstance(out.exception(), ZeroDivisionError)

    def test_a_cancelled_source_cancels_it(self, scope: ManualScope) -> None:
        source = scope.submit("x")
        out = source.then(lambda value: value)
        source.cancel()
        assert out.cancelled()

    def test_once_cancelled_its_step_never_runs(self, scope: ManualScope) -> None:
        called = []
        out = scope.submit("x").then(called.append)
        scope.deliver(scope.jobs[0], 1)
        assert out.cancel()
        run_all_steps(scope)
        assert called == []

    def test_a_derived_future_is_no_job(self, scope: ManualScope) -> None:
        assert scope.submit("x").then(lambda value: value).job is None


class TestSpeculate:
    def test_the_branch_begins_before_the_value_is_here(self, scope: ManualScope) -> None:
        scope.submit("x").speculate(lambda value: scope.submit(("next", value)), guess=7)
        run_all_steps(scope)
        assert [job.key for job in scope.jobs] == ["x", ("next", 7)]
        assert scope.jobs[1].branch.is_speculative

    def test_a_hit_commits_the_branch_and_promotes_its_jobs(self, scope: ManualScope) -> None:
        out = scope.submit("x").speculate(lambda value: scope.submit(("next", value)), guess=7)
        run_all_steps(scope)
        scope.deliver(scope.jobs[0], 7)
        assert scope.jobs[1].future in scope.promoted
        assert scope.jobs[1].branch.state is BranchState.COMMITTED
        scope.deliver(scope.jobs[1], "energy")
        assert (out.result(), scope.hits, scope.misses) == ("energy", 1, 0)
        assert len(scope.jobs) == 2

    def test_a_miss_withdraws_the_branch_and_runs_the_true_value(self, scope: ManualScope) -> None:
        out = scope.submit("x").speculate(lambda value: scope.submit(("next", value)), guess=7)
        run_all_steps(scope)
        scope.deliver(scope.jobs[0], 8)
        assert scope.jobs[1].future.cancelled()
        run_all_steps(scope)
        assert [job.key for job in scope.committed_jobs()] == ["x", ("next", 8)]
        scope.deliver(scope.jobs[2], "energy")
        assert (out.result(), scope.hits, scope.misses) == ("energy", 0, 1)

    def test_of_several_guesses_the_accepted_one_commits(self, scope: ManualScope) -> None:
        out = scope.submit("x").speculate(lambda value: value * 10, guesses=[1, 2, 3])
        scope.deliver(scope.jobs[0], 2)
        run_all_steps(scope)
        assert (out.result(), scope.hits) == (20, 1)

    def test_a_value_that_comes_before_the_branch_has_run_still_counts(
        self, scope: ManualScope
    ) -> None:
        out = scope.submit("x").speculate(lambda value: scope.submit(("next", value)), guess=7)
        scope.deliver(scope.jobs[0], 7)
        run_all_steps(scope)
        assert not scope.jobs[1].branch.is_speculative
        scope.deliver(scope.jobs[1], 1)
        assert out.result() == 1

    def test_a_value_that_is_here_already_needs_no_guess(self, scope: ManualScope) -> None:
        source = scope.submit("x")
        scope.deliver(scope.jobs[0], 3)
        out = source.speculate(lambda value: value + 1, guess=0)
        assert len(scope.steps) == 1
        run_all_steps(scope)
        assert out.result() == 4

    def test_an_error_on_a_rejected_guess_is_never_seen(self, scope: ManualScope) -> None:
        out = scope.submit("x").speculate(lambda value: 10 / value, guess=0)
        run_all_steps(scope)
        scope.deliver(scope.jobs[0], 5)
        run_all_steps(scope)
        assert out.result() == 2

    def test_an_error_on_the_accepted_guess_is_the_result(self, scope: ManualScope) -> None:
        out = scope.submit("x").speculate(lambda value: 10 / value, guess=0)
        run_all_steps(scope)
        scope.deliver(scope.jobs[0], 0)
        assert isinstance(out.exception(), ZeroDivisionError)

    def test_an_error_of_the_source_is_the_result(self, scope: ManualScope) -> None:
        out = scope.submit("x").speculate(lambda value: scope.submit("next"), guess=0)
        run_all_steps(scope)
        scope.deliver(scope.jobs[0], OSError("down"))
        assert isinstance(out.exception(), OSError)
        assert scope.jobs[1].future.cancelled()

    def test_acceptance_may_be_tolerant(self, scope: ManualScope) -> None:
        out = scope.submit("x").speculate(
            lambda value: ("ran on", value), guess=1.0, accept=lambda g, v: abs(g - v) < 0.1
        )
        scope.deliver(scope.jobs[0], 1.05)
        run_all_steps(scope)
        assert out.result() == ("ran on", 1.0)

    def test_an_error_of_accept_is_the_result(self, scope: ManualScope) -> None:
        out = scope.submit("x").speculate(
            lambda value: scope.submit("next"), guess=1, accept=lambda g, v: 1 / 0
        )
        run_all_steps(scope)
        scope.deliver(scope.jobs[0], 1)
        run_all_steps(scope)
        assert isinstance(out.exception(), ZeroDivisionError)
        assert scope.jobs[1].future.cancelled()

    def test_none_is_a_guess_like_any_other(self, scope: ManualScope) -> None:
        out = scope.submit("x").speculate(lambda value: value is None, guess=None)
        scope.deliver(scope.jobs[0], None)
        run_all_steps(scope)
        assert (out.result(), scope.hits) == (True, 1)

    @pytest.mark.parametrize("arguments", [{}, {"guess": 1, "guesses": [1]}, {"guesses": []}])
    def test_a_guess_is_asked_for(self, scope: ManualScope, arguments: dict[str, object]) -> None:
        with pytest.raises(InputError, match="guess"):
            scope.submit("x").speculate(lambda value: value, **arguments)  # type: ignore[arg-type]

    def test_cancelling_it_withdraws_its_branches(self, scope: ManualScope) -> None:
        out = scope.submit("x").speculate(lambda value: scope.submit("next"), guess=1)
        run_all_steps(scope)
        out.cancel()
        assert scope.jobs[1].future.cancelled()
        assert not scope.jobs[0].future.cancelled()

    def test_a_step_of_a_branch_rolled_back_can_submit_nothing_more(
        self, scope: ManualScope
    ) -> None:
        refused = []

        def step(value: int) -> None:
            scope.deliver(scope.jobs[0], 2)  # the truth arrives while the step runs
            try:
                scope.submit("late")
            except BranchRolledBack as error:
                refused.append(error)

        scope.submit("x").speculate(step, guess=1)
        scope.run_next_step()
        assert len(refused) == 1
        assert [job.key for job in scope.jobs] == ["x"]


class TestSpeculationLeavesOthersAlone:
    def test_a_rollback_does_not_cancel_what_was_submitted_outside(
        self, scope: ManualScope
    ) -> None:
        shared, ready = scope.submit("shared"), scope.submit("ready")
        source = scope.submit("x")
        source.speculate(lambda value: ready.then(lambda _: shared), guess=1)
        scope.deliver(scope.jobs[1], 0)
        run_all_steps(scope)
        scope.deliver(scope.jobs[2], 2)
        assert not shared.cancelled()

    def test_the_caller_may_write_into_the_guess_afterwards(self, scope: ManualScope) -> None:
        guess = np.array([1.0])
        out = scope.submit("x").speculate(lambda value: float(value[0]), guess=guess)
        guess[0] = 2.0
        run_all_steps(scope)
        scope.deliver(scope.jobs[0], np.array([2.0]))
        run_all_steps(scope)
        assert (out.result(), scope.misses) == (2.0, 1)

    def test_a_right_guess_whose_branch_was_withdrawn_is_computed_anew(
        self, scope: ManualScope
    ) -> None:
        out = scope.submit("x").speculate(lambda value: value + 1, guess=1)
        for branch in scope.root.open_branches():
            scope.settle(withdrawn=branch.roll_back())
        scope.deliver(scope.jobs[0], 1)
        run_all_steps(scope)
        assert (out.result(), scope.hits) == (2, 0)

    def test_a_comparison_that_fails_is_a_wrong_guess(self, scope: ManualScope) -> None:
        odd = np.array([np.zeros(2), np.zeros(3)], dtype=object)
        out = scope.submit("x").speculate(len, guess=odd)
        run_all_steps(scope)
        scope.deliver(scope.jobs[0], odd)
        run_all_steps(scope)
        assert (out.result(), scope.misses) == (2, 1)


class TestLongChains:
    LENGTH = 3000  # far beyond the depth of the interpreter's stack

    def test_a_chain_of_steps_that_each_submit_ends(self, scope: ManualScope) -> None:
        def step(left: int) -> object:
            return scope.submit(left).then(lambda _: step(left - 1) if left else "end")

        out = step(self.LENGTH)
        while scope.steps or scope.waiting_jobs():
            for job in scope.waiting_jobs():
                scope.deliver(job, None)
            run_all_steps(scope)
        assert out.result() == "end"  # type: ignore[attr-defined]

    def test_an_error_goes_down_a_long_chain(self, scope: ManualScope) -> None:
        out = scope.submit("x")
        for _ in range(self.LENGTH):
            out = out.then(lambda value: value)
        scope.deliver(scope.jobs[0], OSError("down"))
        assert isinstance(out.exception(), OSError)


class TestNestedSpeculation:
    def chain(self, scope: ManualScope, guesses: list[int]) -> QuantumFuture[object]:
        def step(value: int, rest: list[int]) -> object:
            future = scope.submit(("after", value))
            if not rest:
                return future
            return future.speculate(lambda v: step(v, rest[1:]), guess=rest[0])

        return scope.submit("x").speculate(lambda v: step(v, guesses[1:]), guess=guesses[0])

    def test_an_inner_hit_stays_speculative_until_the_outer_guess_comes_true(
        self, scope: ManualScope
    ) -> None:
        out = self.chain(scope, [1, 2])
        run_all_steps(scope)
        run_all_steps(scope)
        assert [job.key for job in scope.jobs] == ["x", ("after", 1), ("after", 2)]
        scope.deliver(scope.jobs[1], 2)
        assert scope.jobs[2].branch.is_speculative
        assert scope.promoted == []
        scope.deliver(scope.jobs[0], 1)
        assert not scope.jobs[2].branch.is_speculative
        assert {scope.jobs[1].future, scope.jobs[2].future} <= set(scope.promoted)
        scope.deliver(scope.jobs[2], "end")
        assert out.result() == "end"

    def test_an_outer_miss_takes_the_whole_subtree_along(self, scope: ManualScope) -> None:
        self.chain(scope, [1, 2, 3])
        run_all_steps(scope)
        scope.deliver(scope.jobs[0], 9)
        assert all(job.future.cancelled() for job in scope.jobs[1:4])

    def test_an_inner_miss_costs_only_the_inner_branch(self, scope: ManualScope) -> None:
        out = self.chain(scope, [1, 2])
        run_all_steps(scope)
        scope.deliver(scope.jobs[0], 1)
        scope.deliver(scope.jobs[1], 5)
        assert scope.jobs[2].future.cancelled()
        run_all_steps(scope)
        scope.deliver(scope.jobs[3], "end")
        assert (scope.jobs[3].key, out.result()) == (("after", 5), "end")


class TestOccurrences:
    def test_a_rolled_back_branch_leaves_no_trace_in_the_counts(self, scope: ManualScope) -> None:
        source = scope.submit("x")
        source.speculate(lambda value: scope.submit("point"), guess=1)
        run_all_steps(scope)
        scope.deliver(scope.jobs[0], 2)
        run_all_steps(scope)
        assert [job.occurrence for job in scope.jobs if job.key == "point"] == [1, 1]

    def test_a_committed_branch_counts(self, scope: ManualScope) -> None:
        source = scope.submit("x")
        source.speculate(lambda value: scope.submit("point"), guess=1)
        run_all_steps(scope)
        scope.deliver(scope.jobs[0], 1)
        scope.submit("point")
        assert [job.occurrence for job in scope.jobs if job.key == "point"] == [1, 2]

    def test_a_branch_that_was_overtaken_at_a_point_is_computed_anew(
        self, scope: ManualScope
    ) -> None:
        source = scope.submit("x")
        out = source.speculate(lambda value: scope.submit("point"), guess=1)
        run_all_steps(scope)
        scope.submit("point")  # without speculation this would have come first
        scope.deliver(scope.jobs[0], 1)
        run_all_steps(scope)
        committed = [job for job in scope.committed_jobs() if job.key == "point"]
        assert [job.occurrence for job in committed] == [1, 2]
        scope.deliver(committed[1], "energy")
        assert out.result() == "energy"

    def test_an_inner_branch_that_commits_counts_in_the_outer_one(self, scope: ManualScope) -> None:
        def outer(value: int) -> object:
            inner = scope.submit("y").speculate(lambda _: scope.submit("point"), guess=1)
            return inner.then(lambda _: scope.submit("point"))

        scope.submit("x").speculate(outer, guess=1)
        run_all_steps(scope)
        scope.deliver(scope.jobs[1], 1)
        scope.deliver(scope.jobs[2], "first")
        run_all_steps(scope)
        scope.deliver(scope.jobs[0], 1)
        occurrences = [j.occurrence for j in scope.committed_jobs() if j.key == "point"]
        assert occurrences == [1, 2]

    def test_a_branch_below_a_committed_one_is_still_found(self, scope: ManualScope) -> None:
        def outer(value: int) -> object:
            return scope.submit("y").speculate(lambda _: scope.submit("deep"), guess=1)

        scope.submit("x").speculate(outer, guess=1)
        run_all_steps(scope)
        scope.deliver(scope.jobs[0], 1)
        assert len(scope.root.open_branches()) == 1

    def test_a_branch_counts_on_from_what_it_grew_from(self, scope: ManualScope) -> None:
        scope.submit("point")
        source = scope.submit("x")
        source.speculate(lambda value: [scope.submit("point"), scope.submit("point")], guess=1)
        run_all_steps(scope)
        assert [job.occurrence for job in scope.jobs if job.key == "point"] == [1, 2, 3]


@pytest.mark.parametrize(
    ("guess", "value", "equal"),
    [
        (1.0, 1.0, True),
        (0.0, -0.0, False),
        (float("nan"), float("nan"), False),
        (1, 1.0, True),
        (np.array([1.0, 2.0]), np.array([1.0, 2.0]), True),
        (np.array([0.0]), np.array([-0.0]), False),
        (np.array([1.0]), np.array([1.0], dtype=np.float32), False),
        (np.array([1.0]), np.array([1.0, 1.0]), False),
        ([1.0, (2.0,)], [1.0, (2.0,)], True),
        ([1.0], (1.0,), False),
        ({"a": 1.0}, {"a": 1.0}, True),
        ({"a": 0.0}, {"a": -0.0}, False),
        ("x", "x", True),
        (np.array([1.0, 2.0]), 1.0, False),
    ],
)
def test_exact_equality_is_to_the_bit(guess: object, value: object, equal: bool) -> None:
    assert is_exactly_equal(guess, value) is equal
