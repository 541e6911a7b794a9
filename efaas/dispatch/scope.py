"""A session's side of the dispatcher: what its futures need, and what it still waits for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor, Future
from contextlib import AbstractContextManager, nullcontext
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from efaas.branch import Branch, current_branch, entered
from efaas.dispatch.attempts import note_estimates
from efaas.dispatch.guess import Guess
from efaas.dispatch.ticket import Ticket
from efaas.errors import BranchRolledBack, ClosedError, DeadlockError
from efaas.future import QuantumFuture, Submission
from efaas.model.job import CPU, Demand, Job

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from efaas.backends.protocol import Evaluation, Outcome
    from efaas.dispatch.dispatcher import Dispatcher
    from efaas.dispatch.recording import Recording

__all__ = ["Request", "SessionScope"]

_NOTHING = nullcontext()
_NO_DEMAND = Demand()


@dataclass(frozen=True, slots=True)
class Request:
    """An evaluation to submit.

    Attributes:
        evaluation: What to run.
        place: The backend that its loop is pinned to.
        loop_id: The loop.
        seconds: Predicted run time of one of its points.
        convert: Makes the futures' values of the outcome; the outcome itself if None.
        futures: How many wait: one, or one per point.
        loop_name: The loop's name in its session.
        occurrences: How often each point has been asked for, this time included.
        parameters: The user's parameters at each point, where there are any.
    """

    evaluation: Evaluation
    place: str
    loop_id: str
    seconds: float = 0.0
    convert: Callable[[Outcome], Sequence[Any]] | None = None
    futures: int = 1
    loop_name: str = ""
    occurrences: tuple[int, ...] = ()
    parameters: NDArray[np.float64] | None = None


class SessionScope:
    """Submits on behalf of one session, and keeps count of what is unfinished.

    Attributes:
        root: The root of the session's speculation tree.
        hits: Guesses that came true.
        misses: Guesses that ran for nothing, and values for which no guess came true.
        recalled: Points whose values were taken from the journal.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        *,
        session_id: int,
        tenant: str,
        weight: float = 1.0,
        owner: object = None,
        recording: Recording | None = None,
        executor: Executor | None = None,
    ) -> None:
        """A scope of its own.

        Args:
            dispatcher: Where work goes.
            session_id: The session.
            tenant: Who its work is accounted to.
            weight: The tenant's share relative to others.
            owner: Kept alive as long as any future of the session is.
            recording: Where its evaluations are written down, and found again.
            executor: Where ``call`` runs functions; on the dispatcher's threads if None.
        """
        self.root = Branch()
        self._owner = owner
        self.hits = 0
        self.misses = 0
        self.recalled = 0
        self._recording = recording
        self._executor = executor
        self._dispatcher = dispatcher
        self._session_id = session_id
        self._tenant = tenant
        self._weight = weight
        self._lock = threading.Lock()
        self._derived: set[Future[Any]] = set()
        self._is_closing = False

    def submit(self, request: Callable[[Branch], Request]) -> Sequence[QuantumFuture[Any]]:
        """Queue an evaluation on the current branch.

        Args:
            request: Given the branch that it will hang on, makes the request; the tree cannot
                change meanwhile.

        Raises:
            ClosedError: The session is closed.
            BranchRolledBack: The current branch was rolled back.
        """
        return self.submit_round([request])[0][0]

    def submit_round(
        self,
        asked: Sequence[Callable[[Branch], Request]],
        guessed: Sequence[tuple[Callable[[Branch], Request], Guess | None]] = (),
    ) -> tuple[list[Sequence[QuantumFuture[Any]]], list[Guess]]:
        """Queue evaluations that are asked for, and guesses that would like to share their round.

        Args:
            asked: Makes each request, as for ``submit``; at least one.
            guessed: Makes each request that may yet be asked for, with the guess that has to be
                confirmed before it, if it is a further evaluation of that guess's point.

        Returns:
            The futures of what is asked for, and the guesses; each in order.

        Raises:
            ClosedError: The session is closed.
            BranchRolledBack: The current branch was rolled back.
        """
        branch = current_branch(self.root)
        with branch.lock:
            branch.require_alive()
            self._require_open()
            tickets = [self._evaluation(branch, request) for request in asked]
            futures = [ticket.futures for ticket in tickets]
            guesses: list[Guess] = []
            rides_with = next((ticket.job.id for ticket in tickets if not ticket.is_recalled), None)
            for request, after in guessed:
                # One that came before may have been rolled back just now: its loop has moved.
                above = branch if after is None or not after.branch.is_alive else after.branch
                below = Branch(above)
                ticket = self._evaluation(below, request, rides_with=rides_with)
                tickets.append(ticket)
                guesses.append(Guess(self, below, ticket))
            queued = [ticket for ticket in tickets if not ticket.is_recalled]
            if queued:
                self._queue(queued)
            for ticket in tickets:
                if ticket.is_recalled:
                    ticket.futures = ()  # as of any job that has ended
            return futures, guesses

    def call(self, fn: Callable[..., Any], args: Sequence[Any]) -> QuantumFuture[Any]:
        """The future of ``fn(*args)``, run as a classical step on the current branch.

        Raises:
            ClosedError: The session is closed.
            BranchRolledBack: The current branch was rolled back.
        """
        branch = current_branch(self.root)
        if self._executor is None:
            return self._submit_step(fn, args, branch)
        return self._submit_step(_run_on, (self._executor, fn, args), branch)

    def run_step(
        self, fn: Callable[..., Any], args: Sequence[Any], branch: Branch
    ) -> QuantumFuture[Any]:
        """As ``call`` on a given branch; where that is refused, the future says so."""
        try:
            return self._submit_step(fn, args, branch)
        except BranchRolledBack:
            refused: QuantumFuture[Any] = QuantumFuture(self)
            refused.cancel()
            return refused
        except ClosedError as error:
            refused = QuantumFuture(self)
            refused.set_exception(error)
            return refused

    @property
    def is_speculating(self) -> bool:
        """Whether what this thread submits now hangs on a guess."""
        return current_branch(self.root).is_speculative

    def register(self, future: QuantumFuture[Any], branch: Branch) -> None:
        """Count a derived future as unfinished work of the session."""
        with branch.lock:
            branch.require_alive()
            self._require_open()
            branch.attach(future)
        self._derived.add(future)
        future.add_done_callback(self._derived.discard)

    def waiting(self) -> AbstractContextManager[None]:
        """Entered by a thread that is about to block; a step gives its CPU slot back meanwhile."""
        self._dispatcher.refuse_deadlock()
        return self._dispatcher.paused_step() if self._dispatcher.is_in_step() else _NOTHING

    def settle(
        self,
        *,
        promoted: Iterable[QuantumFuture[Any]] = (),
        withdrawn: Iterable[QuantumFuture[Any]] = (),
        is_hit: bool | None = None,
    ) -> None:
        """Promote and withdraw jobs, and count a guess that came true or not."""
        tickets: dict[int, Submission] = {}
        queued: set[int] = set()
        for future in promoted:
            if future._ticket is not None:
                tickets[future._ticket.job.id] = future._ticket
                if not future.done():
                    queued.add(future._ticket.job.id)
        if queued:
            self._dispatcher.promote(sorted(queued))
        if self._recording is not None:
            for job_id in sorted(tickets):
                self._recording.confirm(tickets[job_id])
        self._note(list(tickets), is_hit=True)
        refused = list(withdrawn)
        for future in refused:
            future.cancel()
        self._note([f._ticket.job.id for f in refused if f._ticket is not None], is_hit=False)
        if is_hit is not None:
            with self._lock:
                self.hits += is_hit
                self.misses += not is_hit

    def withdraw(self, future: QuantumFuture[Any]) -> None:
        """Take the job of a cancelled future out of the queue."""
        if future._ticket is not None:
            self._dispatcher.cancel(future._ticket.job.id)

    def close(self, *, cancel: bool, timeout: float | None = None) -> None:
        """Refuse new work, and wait until nothing of the session is unfinished.

        Args:
            cancel: Withdraw what is queued instead of waiting for it.
            timeout: Most seconds to wait; None waits as long as it takes.

        Raises:
            DeadlockError: Called by a step or a callback of the session itself.
        """
        if self._dispatcher.is_inside(self._session_id):
            raise DeadlockError(
                "a session cannot be closed by one of its own steps or callbacks, for which "
                "closing waits; close it where it was opened"
            )
        self._is_closing = True
        for branch in self.root.open_branches():
            self.settle(withdrawn=branch.roll_back())
        if cancel:
            for future in [*self._derived, *self._dispatcher.unfinished(self._session_id)]:
                future.cancel()
        with self.waiting():
            self._dispatcher.wait_until_idle(self._session_id, timeout)

    def require_process(self) -> None:
        """See that this is the process where the session was opened.

        Raises:
            ClosedError: It is a fork of that, where nothing of the session runs.
        """
        if self._dispatcher.is_inherited:
            raise ClosedError(
                "the session runs in the process that this one was forked from: open one here, or "
                "start the process with multiprocessing's 'spawn'"
            )

    def _submit_step(
        self, fn: Callable[..., Any], args: Sequence[Any], branch: Branch
    ) -> QuantumFuture[Any]:
        context = copy_context()
        if current_branch(self.root) is branch:
            run: Callable[[], Any] = partial(context.run, fn, *args)
        else:
            run = partial(context.run, _entered_and_run, branch, fn, args)
        with branch.lock:
            branch.require_alive()
            self._require_open()
            ticket = self._ticket(branch, place=CPU, work=run)
            future = ticket.futures[0]
            self._queue([ticket])
            return future

    def _note(self, job_ids: Iterable[int], *, is_hit: bool) -> None:
        """Have it recorded whether guesses came true."""
        self._dispatcher.guesses_settled(self._session_id, sorted(set(job_ids)), is_hit=is_hit)

    def _queue(self, tickets: Sequence[Ticket]) -> None:
        """Queue jobs, which let go of their futures once they are finished."""
        try:
            self._dispatcher.submit(tickets)
        except ClosedError:
            for ticket in tickets:
                for future in ticket.futures:
                    future.cancel()
            raise

    def _evaluation(
        self,
        branch: Branch,
        request: Callable[[Branch], Request],
        *,
        rides_with: int | None = None,
    ) -> Ticket:
        made = request(branch)
        ticket = self._ticket(
            branch,
            place=made.place,
            work=made.evaluation,
            convert=made.convert,
            loop_id=made.loop_id,
            points=len(made.evaluation.seeds),
            futures=made.futures,
            rides_with=rides_with,
            seconds=made.seconds * len(made.evaluation.seeds),
        )
        if self._recording is not None and made.loop_name:  # no check of a device
            outcome = self._recording.ask(ticket, made)
            if outcome is not None:
                note_estimates(ticket, outcome)
                if ticket.recall(outcome, self._dispatcher.now()):
                    self._dispatcher.job_recalled(ticket)
                    with self._lock:
                        self.recalled += ticket.points
        return ticket

    def _ticket(
        self,
        branch: Branch,
        *,
        place: str,
        work: Evaluation | Callable[[], Any],
        convert: Callable[[Outcome], Sequence[Any]] | None = None,
        loop_id: str | None = None,
        points: int = 0,
        futures: int = 1,
        rides_with: int | None = None,
        seconds: float = 0.0,
    ) -> Ticket:
        job = Job(
            id=self._dispatcher.next_job_id(),
            session_id=self._session_id,
            tenant=self._tenant,
            places=(place,),
            loop_id=loop_id,
            speculative=branch.is_speculative,
            rides_with=rides_with,
            demand=Demand(qpu_seconds=seconds) if seconds else _NO_DEMAND,
            weight=self._weight,
            points=points or 1,
        )
        waiting: list[QuantumFuture[Any]] = [QuantumFuture(self) for _ in range(futures)]
        ticket = Ticket(job, waiting, work, convert, self._dispatcher.now(), points)
        for future in waiting:
            future._ticket = ticket
            branch.attach(future)
        return ticket

    def _require_open(self) -> None:
        """Once closing, only what committed work itself goes on to submit is let in."""
        self.require_process()
        if self._is_closing and not self._dispatcher.is_inside(self._session_id):
            raise ClosedError("the session is closed: open a new EFSession for more work")


def _entered_and_run(branch: Branch, fn: Callable[..., Any], args: Sequence[Any]) -> Any:
    with entered(branch):
        return fn(*args)


def _run_on(executor: Executor, fn: Callable[..., Any], args: Sequence[Any]) -> Any:
    """Run a step elsewhere and wait for it; the slot that it takes here is only counted."""
    return executor.submit(fn, *args).result()
