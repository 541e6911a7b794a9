"""QuantumFuture: a ``concurrent.futures.Future`` that one can build on before it is done."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future
from concurrent.futures._base import CANCELLED, PENDING
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from efaas.branch import Branch, current_branch
from efaas.errors import InputError

if TYPE_CHECKING:
    from efaas.model.job import Job, JobSnapshot

__all__ = ["FutureScope", "QuantumFuture", "Submission", "is_exactly_equal"]

T = TypeVar("T")
U = TypeVar("U")


class _Missing:
    """No guess was given: None may be one."""


_MISSING = _Missing()


class FutureScope(Protocol):
    """What a future needs of the session that made it."""

    root: Branch

    def run_step(
        self, fn: Callable[..., Any], args: Sequence[Any], branch: Branch
    ) -> QuantumFuture[Any]:
        """The future of ``fn(*args)``, run as a classical step that hangs on ``branch``.

        Never raises: where no step can run any more, the future has failed or is cancelled.
        """
        ...

    def register(self, future: QuantumFuture[Any], branch: Branch) -> None:
        """Count a derived future as unfinished work of the session."""
        ...

    def waiting(self) -> AbstractContextManager[None]:
        """Entered by a thread that is about to block on an unfinished future.

        Raises:
            DeadlockError: This thread is the one that would finish it.
        """
        ...

    def settle(
        self,
        *,
        promoted: Iterable[QuantumFuture[Any]] = (),
        withdrawn: Iterable[QuantumFuture[Any]] = (),
        is_hit: bool | None = None,
    ) -> None:
        """Promote and withdraw jobs, and count a guess that came true or not."""
        ...

    def withdraw(self, future: QuantumFuture[Any]) -> None:
        """Take the job of a cancelled future out of the queue."""
        ...


class Submission(Protocol):
    """The job behind a future."""

    job: Job

    def snapshot(self, *, is_cancelled: bool = False) -> JobSnapshot:
        """What has happened to it so far, to a future that was cancelled or not."""
        ...


class QuantumFuture(Future[T]):
    """The result of a job that may still be running; everything ``Future`` can do, and more.

    Made by a session, never directly. ``concurrent.futures.wait``, ``as_completed``,
    ``asyncio.wrap_future`` and ``await`` take it as they take any future. A callback added with
    ``add_done_callback`` runs on the thread that finishes futures, so it must be short; a wait
    for another unfinished future in there is refused, since that thread would wait for itself.
    Use ``then`` for real work.
    """

    def __init__(self, scope: FutureScope) -> None:
        super().__init__()
        self.ticket: Submission | None = None
        self._scope = scope
        self._sources: tuple[QuantumFuture[Any], ...] = ()

    @property
    def job(self) -> JobSnapshot | None:
        """What has happened to the job so far, as a value that does not change afterwards.

        Points that were submitted together are one job. None for a derived future (from ``then``
        or ``speculate``), which is not a job itself.
        """
        if self.ticket is None:
            return None
        return self.ticket.snapshot(is_cancelled=self.cancelled())

    def result(self, timeout: float | None = None) -> T:
        """The value, waiting for it at most ``timeout`` seconds.

        Raises:
            TimeoutError: It did not come in time; the job goes on.
            concurrent.futures.CancelledError: The job was cancelled.
            JobFailedError: Every attempt failed.
            DeadlockError: Called, before it is done, from a done-callback.
        """
        if self.done():
            return super().result(timeout)
        with self._scope.waiting():
            return super().result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """The error that the job ended in, or None; waits as ``result`` does."""
        if self.done():
            return super().exception(timeout)
        with self._scope.waiting():
            return super().exception(timeout)

    def cancel(self) -> bool:
        """Withdraw the job if it is still queued; whether it is cancelled now."""
        if not super().cancel():
            return False
        with self._condition:
            is_first = self._state == CANCELLED
            if is_first:
                super().set_running_or_notify_cancel()  # or wait() would not see it end
        if is_first:
            self._scope.withdraw(self)
            for source in self._sources:
                source.cancel()
        return True

    def claim(self) -> bool:
        """Begin to run: whether it was still pending, so that a result may be set."""
        with self._condition:
            return self._state == PENDING and self.set_running_or_notify_cancel()

    def __await__(self) -> Generator[Any, None, T]:
        """Wait in a coroutine; cancelling the coroutine cancels the job."""
        return asyncio.wrap_future(self).__await__()

    def then(self, fn: Callable[[T], U | QuantumFuture[U]]) -> QuantumFuture[U]:
        """The future of ``fn(value)``, run as a classical step once the value is here.

        Args:
            fn: Takes the value. If it returns a ``QuantumFuture``, the result is that future's.
        """
        branch = current_branch(self._scope.root)
        out: QuantumFuture[U] = QuantumFuture(self._scope)
        self._scope.register(out, branch)

        def run(source: Future[T]) -> None:
            if not _passed_on_failure(source, out):
                out._follow_step(fn, source.result(), branch)

        self.add_done_callback(run)
        return out

    def speculate(
        self,
        fn: Callable[[T], U | QuantumFuture[U]],
        *,
        guess: T | _Missing = _MISSING,
        guesses: Iterable[T] | None = None,
        accept: Callable[[T, T], bool] | None = None,
    ) -> QuantumFuture[U]:
        """The future of ``fn(value)``, begun now on a guess of the value.

        ``fn(guess)`` starts at once as a classical step. What it submits through this session is
        speculative: it runs only where nothing committed could. When the value arrives and a
        guess is accepted, that branch commits: its work is promoted, and its outcome (a value,
        or an exception of ``fn``) is the outcome. Every other branch is rolled back: its queued
        jobs never run, and nothing of it is visible, its exceptions included. If no guess is
        accepted, ``fn(value)`` runs.

        Args:
            fn: Takes the value; it must have no effect outside the session, since it may run on a
                wrong guess. If it returns a ``QuantumFuture``, the result is that future's.
            guess: One guess of the value.
            guesses: Several guesses, in order of preference, instead of ``guess``.
            accept: ``accept(guess, value)`` tells whether the guess will do. By default it must
                be exactly equal, to the bit for floats and arrays.

        Raises:
            InputError: Neither or both of ``guess`` and ``guesses`` were given.
        """
        if isinstance(guess, _Missing) == (guesses is None):
            raise InputError("speculate takes either guess=... or guesses=[...]")
        tried = [guess] if not isinstance(guess, _Missing) else list(guesses or ())
        if not tried:
            raise InputError("guesses is empty: expected at least one guess of the value")
        parent = current_branch(self._scope.root)
        out: QuantumFuture[U] = QuantumFuture(self._scope)
        self._scope.register(out, parent)
        if self.done():
            branches = []
        else:
            branches = [_GuessedBranch(self._scope, fn, value, parent) for value in tried]

        def decide(source: Future[T]) -> None:
            if source.cancelled() or source.exception() is not None or out.cancelled():
                _roll_back(self._scope, branches)
                _passed_on_failure(source, out)
            elif accept is None:
                _settle(source.result(), is_exactly_equal)
            else:
                judge = self._scope.run_step(_settle, (source.result(), accept), parent)
                judge.add_done_callback(judged)

        def judged(judge: Future[Any]) -> None:
            if judge.cancelled() or judge.exception() is not None:
                _roll_back(self._scope, branches)
                _passed_on_failure(judge, out)

        def _settle(value: T, is_accepted: Callable[[T, T], bool]) -> None:
            hit = next((b for b in branches if is_accepted(b.guess, value)), None)
            _roll_back(self._scope, [b for b in branches if b is not hit], is_miss=hit is None)
            if hit is None:
                out._follow_step(fn, value, parent)
            else:
                self._scope.settle(promoted=hit.branch.commit(), is_hit=True)
                out._follow(hit.step)

        def abandon(ended: Future[U]) -> None:
            if ended.cancelled():
                _roll_back(self._scope, branches)

        self.add_done_callback(decide)
        out.add_done_callback(abandon)
        return out

    def _follow_step(self, fn: Callable[[Any], Any], value: Any, branch: Branch) -> None:
        """Run ``fn(value)`` on ``branch`` and end as it ends."""
        self._follow(self._scope.run_step(fn, (value,), branch))

    def _follow(self, source: QuantumFuture[Any]) -> None:
        """End as ``source`` ends, or as the future that it gives."""
        self._sources = (source,)
        if self.cancelled():
            source.cancel()

        def ended(done: Future[Any]) -> None:
            if _passed_on_failure(done, self):
                return
            value = done.result()
            if isinstance(value, QuantumFuture):
                self._follow(value)
            elif self.claim():
                self.set_result(value)

        source.add_done_callback(ended)


class _GuessedBranch:
    """One guess, the branch that stands for it, and the step that runs on it."""

    def __init__(
        self, scope: FutureScope, fn: Callable[[Any], Any], guess: Any, parent: Branch
    ) -> None:
        self.guess = guess
        self.branch = Branch(parent)
        self.step = scope.run_step(fn, (guess,), self.branch)


def _roll_back(
    scope: FutureScope, branches: Sequence[_GuessedBranch], *, is_miss: bool = False
) -> None:
    withdrawn = [future for guessed in branches for future in guessed.branch.roll_back()]
    scope.settle(withdrawn=withdrawn, is_hit=False if is_miss and branches else None)


def _passed_on_failure(source: Future[Any], out: QuantumFuture[Any]) -> bool:
    """Whether ``source`` has no value to give; then ``out`` has ended as it did."""
    if source.cancelled():
        out.cancel()
        return True
    error = source.exception()
    if error is None:
        return out.cancelled()
    if out.claim():
        out.set_exception(error)
    return True


def is_exactly_equal(guess: Any, value: Any) -> bool:
    """Whether two values cannot be told apart: bits for arrays, sign of zero for floats.

    A NaN equals nothing, so a guess of NaN is never accepted.
    """
    if hasattr(value, "dtype") and hasattr(value, "tobytes") and getattr(value, "ndim", 0) > 0:
        return (
            getattr(guess, "dtype", None) == value.dtype
            and getattr(guess, "shape", None) == value.shape
            and guess.tobytes() == value.tobytes()
            and bool((guess == value).all())
        )
    if isinstance(value, list | tuple):
        return (
            type(guess) is type(value)
            and len(guess) == len(value)
            and all(map(is_exactly_equal, guess, value))
        )
    if isinstance(value, dict):
        return (
            isinstance(guess, dict)
            and list(guess) == list(value)
            and all(is_exactly_equal(guess[key], item) for key, item in value.items())
        )
    if isinstance(value, float) and isinstance(guess, float):
        return guess == value and math.copysign(1.0, guess) == math.copysign(1.0, value)
    try:
        return bool(guess == value)
    except Exception:  # a type whose == gives no truth value is never known to be equal
        return False
