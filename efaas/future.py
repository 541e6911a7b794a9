"""QuantumFuture: a ``concurrent.futures.Future`` that one can build on before it is done."""

from __future__ import annotations

import asyncio
import copy
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future
from concurrent.futures._base import CANCELLED, PENDING, RUNNING
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, overload

from efaas.branch import Branch, current_branch
from efaas.equality import is_exactly_equal
from efaas.errors import InputError

if TYPE_CHECKING:
    from efaas.model.job import Job, JobSnapshot

__all__ = ["FutureScope", "QuantumFuture", "Submission"]

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

    @property
    def origin(self) -> tuple[str, str | None] | None:
        """The backend and the calibration id of its result, once there is one."""
        ...

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

    Attributes:
        std_error: Standard error of an objective's value, once that is there; 0 where it was
            computed exactly, None for anything else.
    """

    std_error: float | None = None

    def __init__(self, scope: FutureScope) -> None:
        super().__init__()
        self._ticket: Submission | None = None
        self._scope = scope
        self._step: QuantumFuture[Any] | None = None

    @property
    def job(self) -> JobSnapshot | None:
        """What has happened to the job so far, as a value that does not change afterwards.

        Points that were submitted together are one job. None for a derived future (from ``then``
        or ``speculate``), which is not a job itself.
        """
        if self._ticket is None:
            return None
        return self._ticket.snapshot(is_cancelled=self.cancelled())

    @property
    def origin(self) -> tuple[str, str | None] | None:
        """The backend and the calibration id that its value came from.

        As in ``job``, without the rest. None while there is no value, and for what no backend gave.
        """
        return None if self._ticket is None else self._ticket.origin

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
        """Withdraw the job if it is queued, or runs where it can be stopped; whether it is so now.

        What runs on a simulator here cannot be stopped; what runs at a provider is cancelled there,
        unless others wait for something that is in the same job.
        """
        if not super().cancel() and not self._stopped():
            return False
        with self._condition:
            is_first = self._state == CANCELLED
            if is_first:
                super().set_running_or_notify_cancel()  # or wait() would not see it end
        if is_first:
            self._scope.withdraw(self)
            if self._step is not None:
                self._step.cancel()
        return True

    def _stopped(self) -> bool:
        """Cancel it although it runs, where that can be stopped."""
        if not getattr(self._ticket, "can_be_stopped", False):
            return False
        with self._condition:
            if self._state != RUNNING:
                return False
            self._state = PENDING
        return super().cancel()

    def _claim(self) -> bool:
        """Begin to run: whether it was still pending, so that a result may be set."""
        with self._condition:
            return self._state == PENDING and self.set_running_or_notify_cancel()

    def __await__(self) -> Generator[Any, None, T]:
        """Wait in a coroutine; cancelling the coroutine cancels the job."""
        return asyncio.wrap_future(self).__await__()

    @overload
    def then(self, fn: Callable[[T], QuantumFuture[U]]) -> QuantumFuture[U]: ...

    @overload
    def then(self, fn: Callable[[T], U]) -> QuantumFuture[U]: ...

    def then(self, fn: Callable[[T], Any]) -> QuantumFuture[Any]:
        """The future of ``fn(value)``, run as a classical step once the value is here.

        Args:
            fn: Takes the value. If it returns a ``QuantumFuture``, the result is that future's.

        Raises:
            InputError: ``fn`` cannot be called.
        """
        _require_callable("then", fn)
        branch = current_branch(self._scope.root)
        out: QuantumFuture[Any] = QuantumFuture(self._scope)
        self._scope.register(out, branch)

        def run(source: Future[T]) -> None:
            if not _passed_on_failure(source, out):
                out._follow_step(self._scope.run_step(fn, (source.result(),), branch))

        _when_done(self, run, out)
        return out

    @overload
    def speculate(
        self,
        fn: Callable[[T], QuantumFuture[U]],
        *,
        guess: T | _Missing = ...,
        guesses: Iterable[T] | None = ...,
        accept: Callable[[T, T], bool] | None = ...,
    ) -> QuantumFuture[U]: ...

    @overload
    def speculate(
        self,
        fn: Callable[[T], U],
        *,
        guess: T | _Missing = ...,
        guesses: Iterable[T] | None = ...,
        accept: Callable[[T, T], bool] | None = ...,
    ) -> QuantumFuture[U]: ...

    def speculate(
        self,
        fn: Callable[[T], Any],
        *,
        guess: T | _Missing = _MISSING,
        guesses: Iterable[T] | None = None,
        accept: Callable[[T, T], bool] | None = None,
    ) -> QuantumFuture[Any]:
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
                be exactly equal, to the bit for floats and arrays (``efaas.equality``).

        Raises:
            InputError: Neither or both of ``guess`` and ``guesses`` were given, or a function
                cannot be called.
        """
        _require_callable("speculate", fn)
        if accept is not None:
            _require_callable("accept=", accept)
        if not (guesses is None or isinstance(guesses, Iterable)):
            raise InputError(f"guesses are several values of the same kind, got {guesses!r}")
        if isinstance(guess, _Missing) == (guesses is None):
            raise InputError("speculate takes either guess=... or guesses=[...]")
        tried = [guess] if not isinstance(guess, _Missing) else list(guesses or ())
        if not tried:
            raise InputError("guesses is empty: expected at least one guess of the value")
        parent = current_branch(self._scope.root)
        out: QuantumFuture[Any] = QuantumFuture(self._scope)
        self._scope.register(out, parent)
        branches: list[_GuessedBranch] = []
        if not self.done():
            branches = [_GuessedBranch(self._scope, fn, value, parent) for value in tried]

        def decide(source: Future[T]) -> None:
            if source.cancelled() or source.exception() is not None or out.cancelled():
                _roll_back(self._scope, branches)
                _passed_on_failure(source, out)
            elif accept is None:
                settle(source.result(), is_exactly_equal)
            else:
                judge = self._scope.run_step(settle, (source.result(), accept), parent)
                _when_done(judge, judged, out)

        def judged(judge: Future[Any]) -> None:
            if judge.cancelled() or judge.exception() is not None:
                _roll_back(self._scope, branches)
                _passed_on_failure(judge, out)

        def settle(value: T, is_accepted: Callable[[T, T], bool]) -> None:
            hit = next((b for b in branches if is_accepted(b.guess, value)), None)
            promoted = None if hit is None else hit.branch.commit()
            if hit is None or promoted is None:
                _roll_back(self._scope, branches, is_miss=True)
                out._follow_step(self._scope.run_step(fn, (value,), parent))
            else:
                _roll_back(self._scope, [b for b in branches if b is not hit])
                self._scope.settle(promoted=promoted, is_hit=True)
                out._follow_step(hit.step)

        def abandon(ended: Future[Any]) -> None:
            if ended.cancelled():
                _roll_back(self._scope, branches)

        _when_done(self, decide, out)
        out.add_done_callback(abandon)
        return out

    def _follow_step(self, step: QuantumFuture[Any]) -> None:
        """End as a step of our own ends; cancelled with this future."""
        self._step = step
        if self.cancelled():
            step.cancel()
        self._follow(step)

    def _follow(self, source: QuantumFuture[Any]) -> None:
        """End as ``source`` ends, or as the future that it gives."""

        def ended(done: Future[Any]) -> None:
            if _passed_on_failure(done, self):
                return
            value = done.result()
            if isinstance(value, QuantumFuture):
                self._follow(value)
            elif self._claim():
                self.set_result(value)

        _when_done(source, ended, self)


class _GuessedBranch:
    """One guess, the branch that stands for it, and the step that runs on it.

    The guess is copied, and the step has a copy of its own: the caller may go on writing into an
    array, and so may the step.
    """

    def __init__(
        self, scope: FutureScope, fn: Callable[[Any], Any], guess: Any, parent: Branch
    ) -> None:
        self.guess = _copied(guess)
        self.branch = Branch(parent)
        self.step = scope.run_step(fn, (_copied(guess),), self.branch)


def _copied(guess: Any) -> Any:
    try:
        return copy.deepcopy(guess)
    except Exception:  # what cannot be copied is the caller's to leave alone
        return guess


class _Following(threading.local):
    """What this thread has still to do for futures that have ended, or None outside."""

    pending: deque[Callable[[], None]] | None = None


_following = _Following()


def _require_callable(where: str, fn: object) -> None:
    if not callable(fn):
        raise InputError(f"{where} takes a function of the value, got {fn!r}")


def _when_done(
    source: Future[Any], act: Callable[[Future[Any]], None], out: QuantumFuture[Any]
) -> None:
    """Call ``act(source)`` once it is done; if that raises, ``out`` ends in the error.

    Futures that wait for one another in a long chain end one after the other, not one inside the
    other, or the chain's length would be bounded by the interpreter's stack.
    """

    def acted() -> None:
        try:
            act(source)
        except BaseException as error:
            if out._claim():
                out.set_exception(error)

    def ended(_: Future[Any]) -> None:
        if _following.pending is not None:
            _following.pending.append(acted)
            return
        _following.pending = deque([acted])
        try:
            while _following.pending:
                _following.pending.popleft()()
        finally:
            _following.pending = None

    source.add_done_callback(ended)


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
    if out._claim():
        out.set_exception(error)
    return True
