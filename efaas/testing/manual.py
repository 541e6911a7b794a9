"""A scope that a test drives by hand: futures and speculation without threads or clocks."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from efaas.branch import Branch, current_branch, entered
from efaas.errors import BranchRolledBack
from efaas.future import QuantumFuture

__all__ = ["ManualJob", "ManualScope"]


@dataclass(eq=False, slots=True)
class ManualJob:
    """A job that waits for the test to deliver its value.

    Attributes:
        future: Who waits.
        key: What was asked for.
        occurrence: How often it was asked for on its branch, this time included.
        branch: What it hangs on.
    """

    future: QuantumFuture[Any]
    key: Hashable
    occurrence: int
    branch: Branch


class ManualScope:
    """What futures need, with every classical step and every result in the test's hand.

    Attributes:
        root: The committed root of the tree.
        jobs: Every job ever submitted, in order.
        steps: Futures of classical steps that have not run yet, in order.
        promoted: Futures that were promoted, in order.
        hits: Guesses that came true.
        misses: Values for which no guess came true.

    Example:
        >>> scope = ManualScope()
        >>> doubled = scope.submit("energy").speculate(lambda value: 2 * value, guess=1)
        >>> scope.run_next_step()
        >>> scope.deliver(scope.jobs[0], 1)
        >>> doubled.result(), scope.hits
        (2, 1)
    """

    def __init__(self) -> None:
        self.root = Branch()
        self.jobs: list[ManualJob] = []
        self.steps: list[QuantumFuture[Any]] = []
        self.promoted: list[QuantumFuture[Any]] = []
        self.hits = 0
        self.misses = 0
        self._step_work: dict[QuantumFuture[Any], Callable[[], Any]] = {}

    def submit(self, key: Hashable) -> QuantumFuture[Any]:
        """The future of a job on the current branch."""
        branch = current_branch(self.root)
        with branch.lock:
            branch.require_alive()
            future: QuantumFuture[Any] = QuantumFuture(self)
            branch.attach(future)
            self.jobs.append(ManualJob(future, key, branch.next_occurrence(key), branch))
        return future

    def deliver(self, job: ManualJob, value: Any) -> None:
        """Finish a job with a value, or with an error if ``value`` is one."""
        if not job.future._claim():
            return
        if isinstance(value, BaseException):
            job.future.set_exception(value)
        else:
            job.future.set_result(value)

    def run_next_step(self, index: int = 0) -> None:
        """Run one of the waiting steps."""
        future = self.steps.pop(index)
        work = self._step_work.pop(future)
        if not future._claim():
            return
        try:
            value = work()
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(value)

    def waiting_jobs(self) -> list[ManualJob]:
        """The jobs that are neither finished nor cancelled."""
        return [job for job in self.jobs if not job.future.done()]

    def committed_jobs(self) -> list[ManualJob]:
        """The jobs on the true trajectory."""
        return [job for job in self.jobs if not job.branch.is_speculative]

    # What futures need.

    def run_step(
        self, fn: Callable[..., Any], args: Sequence[Any], branch: Branch
    ) -> QuantumFuture[Any]:
        """The future of ``fn(*args)``; it waits in ``steps``."""
        future: QuantumFuture[Any] = QuantumFuture(self)
        try:
            self.register(future, branch)
        except BranchRolledBack:
            future.cancel()
            return future

        def work() -> Any:
            with entered(branch):
                return fn(*args)

        self._step_work[future] = work
        self.steps.append(future)
        return future

    def register(self, future: QuantumFuture[Any], branch: Branch) -> None:
        """Hang a derived future on its branch."""
        with branch.lock:
            branch.require_alive()
            branch.attach(future)

    def waiting(self) -> AbstractContextManager[None]:
        """Blocking is the test's own affair."""
        return nullcontext()

    def settle(
        self,
        *,
        promoted: Iterable[QuantumFuture[Any]] = (),
        withdrawn: Iterable[QuantumFuture[Any]] = (),
        is_hit: bool | None = None,
    ) -> None:
        """Record the promoted, cancel the withdrawn, count."""
        self.promoted.extend(promoted)
        for future in withdrawn:
            future.cancel()
        self.hits += is_hit is True
        self.misses += is_hit is False

    def withdraw(self, future: QuantumFuture[Any]) -> None:
        """A cancelled future's job is simply never delivered."""
