"""The dispatcher: drives the scheduler and does what it says.

Whatever happens (a submission, a cancellation, the answer of a backend) is handed to the
scheduler under one lock, on the thread where it happened, and the attempts that the scheduler
starts are sent off at once. The thread whose attempt has ended finishes its futures, after the
next attempt was sent off and never under the lock: a slow callback delays no device, though
speculative jobs wait for it, since it may be about to prove their guess wrong.
"""

from __future__ import annotations

import itertools
import logging
import os
import threading
import weakref
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import InvalidStateError
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from efaas.backends.protocol import Remote
from efaas.clock import Clock, SystemClock
from efaas.dispatch.alarm import Alarm
from efaas.dispatch.attempts import Values, run_round, run_step
from efaas.dispatch.lane import Lane, shut_down
from efaas.dispatch.undivided import Undivided
from efaas.errors import (
    BudgetError,
    ClosedError,
    DeadlockError,
    InputError,
    InvariantError,
    JobFailedError,
    ProviderError,
    ProviderSessionError,
)
from efaas.model.job import CPU, JobState
from efaas.policies.placement import LeastLoaded
from efaas.policies.repinning import RepinSettings
from efaas.scheduler import (
    AttemptEnded,
    Cancelled,
    Delivered,
    Dispatch,
    Fail,
    LoopClosed,
    LoopOpened,
    Pin,
    Place,
    Promoted,
    Resolve,
    Scheduler,
    StepPaused,
    StepResumed,
    Submitted,
    Wake,
    Woken,
)

if TYPE_CHECKING:
    from efaas.backends.protocol import Backend
    from efaas.dispatch.ticket import Ticket
    from efaas.future import QuantumFuture
    from efaas.model.job import Job
    from efaas.model.profile import CircuitProfile
    from efaas.policies.ordering import Ordering
    from efaas.policies.placement import Explanation, Placement
    from efaas.policies.repinning import Verdict
    from efaas.scheduler import Event
    from efaas.scheduler.events import LoopReconsidered

__all__ = ["Dispatcher", "Recorder"]

logger = logging.getLogger("efaas.dispatch")

_BATCH_LIMIT = 1024


class Recorder(Protocol):
    """Told of what happens."""

    def job_finished(self, ticket: Ticket) -> None:
        """A job has ended; the ticket may be read but not kept."""
        ...

    def job_recalled(self, ticket: Ticket) -> None:
        """A journal has answered a job; the ticket may be read but not kept."""
        ...

    def guesses_settled(self, session_id: int, job_ids: Sequence[int], *, is_hit: bool) -> None:
        """It is known whether jobs of a session that were guesses came true."""
        ...


class _Local(threading.local):
    """What a thread is doing: the attempt it runs as a classical step, or finishing futures."""

    attempt_id: int | None = None
    is_finishing: bool = False
    session_id: int | None = None  # whose step, or whose future


class _Deciding(Undivided):
    """Holds a dispatcher's lock; who lets go of it gives up what no thread can be had for."""

    __slots__ = ("_dispatcher",)

    def __init__(self, dispatcher: Dispatcher) -> None:
        super().__init__(dispatcher._lock)
        self._dispatcher = dispatcher

    def __exit__(self, *raised: Any) -> None:
        try:
            super().__exit__(*raised)
        finally:
            if self._dispatcher._stranded:
                self._dispatcher._give_up()


class Dispatcher:
    """Runs jobs on backends and classical steps on threads, in the scheduler's order.

    All methods may be called from any thread.
    """

    def __init__(
        self,
        backends: Mapping[str, Backend],
        *,
        cpu_slots: int,
        ordering: Ordering | None = None,
        placement: Placement | None = None,
        repinning: RepinSettings | None = None,
        clock: Clock | None = None,
        recorder: Recorder | None = None,
    ) -> None:
        """Start with every place idle.

        Args:
            backends: Where evaluations run, by name.
            cpu_slots: Classical steps that run side by side.
            ordering: Who goes first.
            placement: Where new loops go; to the least loaded backend by default.
            repinning: When loops move.
            clock: Source of the timelines' instants.
            recorder: Told of every job that ends.
        """
        self.backends = dict(backends)
        self._remotes = {n: b for n, b in self.backends.items() if isinstance(b, Remote)}
        places = {name: Place(slots=1, batch_limit=_BATCH_LIMIT) for name in self.backends}
        for name, remote in self._remotes.items():
            places[name] = Place(slots=remote.slots, batch_limit=_BATCH_LIMIT)
        places[CPU] = Place(slots=cpu_slots)
        self._placement = placement or LeastLoaded()
        self.repinning = repinning or RepinSettings()
        self._scheduler = Scheduler(
            places, ordering=ordering, placement=self._placement, repinning=self.repinning
        )
        self._failed_loops: dict[str, str] = {}
        self._clock = clock or SystemClock()
        self._recorder = recorder
        # Re-entrant: a garbage collection inside may close a session that nobody refers to.
        self._lock = threading.RLock()
        self._tickets: dict[int, Ticket] = {}
        self._unfinished: dict[int, int] = {}  # jobs whose future is not finished, by session
        self._job_ids = itertools.count(1)
        self._lanes = {name: Lane(f"efaas-{name}") for name in places}
        weakref.finalize(self, shut_down, list(self._lanes.values())).atexit = False
        self._local = _Local()
        self._pid = os.getpid()
        self._is_closed = self._is_abandoned = False
        self._stranded: list[Ticket] = []  # no thread can be had for them any more
        self._idle = threading.Condition(self._lock)
        self._wait_for_idle = 0  # threads that do
        # Jobs whose futures are finished, until the scheduler is told. Whoever comes next tells
        # it, unless somebody waits for it: taking the lock at once would get in the way of the
        # thread that the result has just woken.
        self._delivered: deque[Ticket] = deque()
        self._alarm = Alarm(self._woken)
        self._heeds_deliveries = False

    def now(self) -> float:
        """The present instant of this dispatcher's clock, in seconds."""
        return self._clock.now()

    @property
    def is_inherited(self) -> bool:
        """Whether this process is a fork of that where it was made, without its threads."""
        return os.getpid() != self._pid

    def next_job_id(self) -> int:
        """An id for the next job, larger than all before."""
        return next(self._job_ids)

    def submit(self, tickets: Sequence[Ticket]) -> None:
        """Queue the jobs of a round, in order.

        Raises:
            ClosedError: The dispatcher is closed.
        """
        with _Deciding(self):
            self._require_open()
            self._queue(tickets)

    def cancel(self, job_id: int) -> None:
        """Take a job out of the queue, or stop it, if all of its futures are cancelled."""
        with _Deciding(self):
            ticket = self._tickets.get(job_id)
            if ticket is None or not ticket.is_cancelled():
                return
            now = self._clock.now()
            self._handle(Cancelled((job_id,)), now)
            if ticket.state is JobState.QUEUED:
                self._forget(ticket, JobState.CANCELLED, now)
                self._count_down(ticket)
                return
            where, sent = ticket.where, ticket.sent
        if sent is not None and where in self._remotes:
            self._remotes[where].cancel([sent])

    def promote(self, job_ids: Sequence[int]) -> None:
        """Make speculative jobs committed."""
        with _Deciding(self):
            for job_id in job_ids:
                if job_id in self._tickets:
                    self._tickets[job_id].speculative = False
            self._handle(Promoted(tuple(job_ids)), self._clock.now())

    def job_recalled(self, ticket: Ticket) -> None:
        """A journal has answered a job: for the recorder."""
        if self._recorder is not None:
            self._recorder.job_recalled(ticket)

    def guesses_settled(self, session_id: int, job_ids: Sequence[int], *, is_hit: bool) -> None:
        """It is known whether jobs that were guesses came true: for the recorder."""
        if self._recorder is not None and job_ids:
            self._recorder.guesses_settled(session_id, job_ids, is_hit=is_hit)

    @property
    def compares_fidelity(self) -> bool:
        """Whether loops go where they fare better, not only where the load is least."""
        return self._placement.looks_at > 1

    def to_look_at(self, places: Sequence[str]) -> list[str]:
        """Those of ``places`` for which the placement wants a loop's circuit compiled."""
        if len(places) == 1:
            return list(places)
        with _Deciding(self):
            return self._scheduler.least_loaded(places, self._placement.looks_at)

    def open_loop(
        self, loop_id: str, places: Sequence[str], profiles: Sequence[CircuitProfile] = ()
    ) -> Explanation:
        """Pin a loop to one of ``places``, and say why that one.

        Args:
            loop_id: The loop.
            places: Backends that can run it, as far as is known.
            profiles: Its circuit as compiled for some of them.

        Raises:
            ClosedError: The dispatcher is closed.
        """
        with _Deciding(self):
            self._require_open()
            event = LoopOpened(loop_id, tuple(places), tuple(profiles))
            self._handle(event, self._clock.now())
            return self._scheduler.explanation(loop_id)

    def reconsider_loop(self, event: LoopReconsidered) -> tuple[Verdict, Explanation]:
        """Let an open loop stay or move, and say why, with what was compared.

        Raises:
            ClosedError: The dispatcher is closed.
        """
        with _Deciding(self):
            self._require_open()
            self._failed_loops.pop(event.loop_id, None)
            self._handle(event, self._clock.now())
            decided = self._scheduler.verdict(event.loop_id)
            if decided is None:
                raise InvariantError(f"the scheduler gave no verdict on {event.loop_id}")
            return decided, self._scheduler.explanation(event.loop_id)

    def has_failed(self, loop_id: str, place: str) -> bool:
        """Whether a job of the loop has failed there for good since the loop was last moved."""
        return self._failed_loops.get(loop_id) == place

    def unfinished_jobs(self) -> list[tuple[Job, JobState, bool, float | None]]:
        """The jobs that wait or run, whether each hangs on a guess, and since when it waits."""
        with self._lock:
            return [(t.job, t.state, t.speculative, t.queued_at) for t in self._tickets.values()]

    def wait_of(self, job_id: int) -> str:
        """Why a job is not finished yet, in words; "" if it is."""
        with self._lock:
            return self._scheduler.wait_of(job_id)

    def close_loops(self, loop_ids: Sequence[str]) -> None:
        """Forget where loops were pinned."""
        with _Deciding(self):
            for loop_id in loop_ids:
                self._failed_loops.pop(loop_id, None)
                self._handle(LoopClosed(loop_id), self._clock.now())

    def refuse_deadlock(self) -> None:
        """Raise ``DeadlockError`` on a thread that is finishing futures."""
        if self._local.is_finishing:
            raise DeadlockError(
                "this wait could never end: it was called from a done-callback, on the thread "
                "that finishes futures. Use future.then(fn) to go on with the value instead"
            )

    def is_in_step(self) -> bool:
        """Whether this thread runs a classical step."""
        return self._local.attempt_id is not None

    def is_inside(self, session_id: int) -> bool:
        """Whether this thread runs a step of the session, or finishes a future of it."""
        return self._local.session_id == session_id

    def unfinished(self, session_id: int) -> list[QuantumFuture[Any]]:
        """The futures of a session's jobs that are queued or running."""
        with self._lock:
            tickets = self._tickets.values()
            return [f for t in tickets if t.job.session_id == session_id for f in t.futures]

    def wait_until_idle(self, session_id: int | None, timeout: float | None = None) -> bool:
        """Wait until no job of a session (of any, if None) is unfinished; whether that is so."""

        def is_idle() -> bool:
            return (
                not self._unfinished if session_id is None else session_id not in self._unfinished
            )

        with _Deciding(self):
            self._heed_deliveries()
        with self._idle:
            self._wait_for_idle += 1
            try:
                return self._idle.wait_for(is_idle, timeout)
            finally:
                self._wait_for_idle -= 1

    @contextmanager
    def paused_step(self) -> Iterator[None]:
        """Free the CPU slot of the step that this thread runs, while it waits for a job."""
        attempt_id = self._local.attempt_id
        if attempt_id is None:
            yield
            return
        with _Deciding(self):
            self._handle(StepPaused(attempt_id), self._clock.now())
        try:
            yield
        finally:
            with _Deciding(self):
                self._handle(StepResumed(attempt_id), self._clock.now())

    def check_invariants(self) -> None:
        """Raise ``InvariantError`` if the bookkeeping contradicts itself."""
        with self._lock:
            self._scheduler.check_invariants()

    def close(self, *, timeout: float | None = None) -> None:
        """Withdraw what is queued, wait for what runs, end the threads. May be called twice.

        Args:
            timeout: Most seconds to wait for running attempts; after that their futures fail
                with ``ClosedError``. None waits as long as they take.
        """
        with self._lock:
            self._is_closed = True
            queued = self._take_queued(JobState.CANCELLED)
        self._alarm.close()
        self._withdraw(queued)
        is_inside = self._local.session_id is not None
        if not is_inside:
            if not self.wait_until_idle(None, timeout):
                self._is_abandoned = True
            self._abandon()
        for lane in self._lanes.values():
            lane.shutdown(wait=not self._is_abandoned and not is_inside)

    # Under the lock.

    def _require_open(self) -> None:
        if self._is_closed:
            raise ClosedError("the scheduler is closed; open a new EFSession or EFScheduler")

    def _heed_deliveries(self) -> None:
        """From now on the scheduler is told of every delivery at once."""
        self._heeds_deliveries = True
        self._take_deliveries()

    def _take_deliveries(self, now: float | None = None) -> None:
        """Tell the scheduler which results have reached whoever waited for them."""
        delivered = []
        while self._delivered:
            delivered.append(self._delivered.popleft())
        if delivered:
            if now is None:
                now = self._clock.now()
            self._handle(Delivered(tuple([t.job.id for t in delivered])), now)
            for ticket in delivered:
                self._count_down(ticket)

    def _queue(self, tickets: Sequence[Ticket], *, is_alone: bool = False) -> None:
        now = self._clock.now()
        if tickets[-1].job.speculative:  # those of a round come last
            self._heed_deliveries()
        elif self._delivered:
            self._take_deliveries(now)
        for ticket in tickets:
            ticket.queued_at = now
            self._tickets[ticket.job.id] = ticket
            session_id = ticket.job.session_id
            self._unfinished[session_id] = self._unfinished.get(session_id, 0) + 1
        self._handle(Submitted(tuple([ticket.job for ticket in tickets]), is_alone), now)

    def _handle(self, event: Event, now: float) -> list[tuple[Ticket, bool]]:
        """Do what the scheduler says; returns the jobs that have ended, and whether well."""
        ended = []
        for action in self._scheduler.handle(event, now):
            match action:
                case Dispatch():
                    self._dispatch(action, now)
                case Resolve():
                    ended.append((self._tickets[action.job_id], True))
                case Fail():
                    ended.append((self._tickets[action.job_id], False))
                case Wake(place, at):
                    self._alarm.set(place, at)
                case Pin():
                    pass  # asked for on behalf of a loop, which is told why, too
        return ended

    def _dispatch(self, dispatch: Dispatch, now: float) -> None:
        tickets = [self._tickets[job_id] for job_id in dispatch.job_ids]
        cut = dispatch.cut or {}
        ready = [ticket for ticket in tickets if ticket.claim(is_cut=ticket.job.id in cut)]
        for ticket in ready:
            ticket.dispatched(dispatch.place, now, cut.get(ticket.job.id))
            ticket.can_be_stopped = dispatch.place in self._remotes
        try:
            self._lanes[dispatch.place].submit(self._run, dispatch, ready)
        except RuntimeError:  # the program is ending
            self._is_closed = True
            self._stranded += ready

    def _take_queued(self, state: JobState) -> list[Ticket]:
        """Take all jobs out of the queue, which end in that state."""
        queued = [t for t in self._tickets.values() if t.state is JobState.QUEUED]
        now = self._clock.now()
        self._handle(Cancelled(tuple(t.job.id for t in queued)), now)
        for ticket in queued:
            self._forget(ticket, state, now)
        return queued

    def _forget(self, ticket: Ticket, state: JobState, now: float) -> None:
        del self._tickets[ticket.job.id]
        ticket.finished(state, now)
        if self._recorder is not None:
            self._recorder.job_finished(ticket)

    def _count_down(self, ticket: Ticket) -> None:
        """A job's future is finished, so nobody need wait for it any more."""
        session_id = ticket.job.session_id
        left = self._unfinished[session_id] - 1
        if left:
            self._unfinished[session_id] = left
            return
        del self._unfinished[session_id]
        if self._wait_for_idle:
            self._idle.notify_all()

    # Without the lock.

    def _give_up(self) -> None:
        """End what no thread will run, since the program is ending; what runs goes on."""
        with self._lock:
            stranded, self._stranded = self._stranded, []
            now = self._clock.now()
            for ticket in stranded:
                self._forget(ticket, JobState.FAILED, now)
            given_up = stranded + self._take_queued(JobState.FAILED)
        self._withdraw(given_up)

    def _abandon(self) -> None:
        """Give up on attempts that take too long to end."""
        with self._lock:
            given_up = list(self._tickets.values())
            now = self._clock.now()
            for ticket in given_up:
                ticket.attempted(now, ClosedError("the scheduler was closed while this job ran"))
                self._forget(ticket, JobState.FAILED, now)
        self._withdraw(given_up)

    def _withdraw(self, tickets: Sequence[Ticket]) -> None:
        """Cancel the futures of jobs that will not run, or fail those that had begun to."""
        for ticket in tickets:
            for future in ticket.futures:
                if not future.cancel():
                    future.set_exception(self._failure(ticket))
        with self._lock:
            for ticket in tickets:
                self._count_down(ticket)

    def _finish(self, ended: Sequence[tuple[Ticket, bool, Sequence[Any]]]) -> None:
        """Give results to whoever waits; callbacks run in here.

        The last first: a thread that waits for a round's results in order then wakes once, not at
        every one of them.
        """
        self._local.is_finishing = True
        for ticket, is_success, values in reversed(ended):
            self._local.session_id = ticket.job.session_id
            for row in reversed(range(len(ticket.futures))):
                future = ticket.futures[row]
                if future.done() or future._ticket is not ticket:
                    continue  # cancelled just before its attempt began, or tried alone now
                try:
                    if is_success:
                        future.set_result(values[row])
                    else:
                        future.set_exception(self._failure(ticket))
                except InvalidStateError:
                    pass  # cancelled at this very moment
                except BaseException:  # a callback that calls sys.exit must not cost the others
                    logger.exception("a done-callback raised")
            ticket.futures = ()  # a future that nobody keeps goes at once
        self._local.is_finishing = False
        self._local.session_id = None

    def _failure(self, ticket: Ticket) -> BaseException:
        """A step's own error; a backend's as the cause of a ``JobFailedError``."""
        error = ticket.error or ClosedError("the scheduler was closed before this job ran again")
        if ticket.job.places == (CPU,):
            return error
        attempts = ticket.snapshot().attempts
        failure = JobFailedError(
            f"job {ticket.job.id} failed on {ticket.where} after {len(attempts)} attempt(s): "
            f"{type(error).__name__}: {error}",
            job_id=ticket.job.id,
            attempts=attempts,
        )
        failure.__cause__ = error
        return failure

    def _woken(self, place: str) -> None:
        with _Deciding(self):
            if not self._is_closed:
                self._handle(Woken(place), self._clock.now())

    # On the threads where attempts run.

    def _run(self, dispatch: Dispatch, tickets: Sequence[Ticket]) -> None:
        """Run an attempt and hand in its results."""
        if dispatch.place != CPU:
            results, is_batch_failure = run_round(
                self.backends[dispatch.place], tickets, self._clock
            )
            self._report(dispatch.attempt_id, results, is_batch_failure=is_batch_failure)
            return
        results = []
        for ticket in tickets:
            self._local.attempt_id = dispatch.attempt_id
            self._local.session_id = ticket.job.session_id
            results.append((ticket, run_step(ticket, self._clock)))
            self._local.attempt_id = self._local.session_id = None
        self._report(dispatch.attempt_id, results)

    def _report(
        self,
        attempt_id: int,
        results: Sequence[tuple[Ticket, Values | BaseException]],
        *,
        is_batch_failure: bool = False,
    ) -> None:
        with _Deciding(self):
            if self._is_abandoned:
                return
            now = self._clock.now()
            failed_ids = []
            values = {}
            for ticket, result in results:
                if isinstance(result, Values):
                    ticket.attempted(now, None)
                    if ticket.has_rest():
                        ticket.requeued()
                    values[ticket.job.id] = result.values
                else:
                    ticket.attempted(now, result)
                    ticket.requeued()  # unless the scheduler finds that it has failed for good
                    failed_ids.append(ticket.job.id)
            usage = {ticket.job.id: ticket.spent for ticket, _ in results}
            event = AttemptEnded(attempt_id, tuple(failed_ids), is_batch_failure, usage)
            try:
                ended = self._handle(event, now)
            except Exception as error:  # a bug of ours: whoever waits must still hear of it
                logger.critical("the scheduler failed on the end of an attempt", exc_info=True)
                ended = [(ticket, False) for ticket, _ in results]
                for ticket, _ in ended:
                    ticket.error = error
            for ticket, is_success in ended:
                parts = [] if is_success else self._parts(ticket)
                if not is_success and not parts:
                    self._note_failure(ticket)
                state = JobState.DONE if is_success else JobState.FAILED
                self._forget(ticket, JobState.CANCELLED if ticket.is_cancelled() else state, now)
                if parts:
                    self._queue(parts, is_alone=True)
            for ticket, _ in results:  # stopped while they ran: the scheduler has dropped them
                if ticket.job.id in self._tickets and ticket.is_cancelled():
                    self._forget(ticket, JobState.CANCELLED, now)
                    self._count_down(ticket)
        if not ended:
            return
        self._finish([(t, ok, values.get(t.job.id, ())) for t, ok in ended])
        self._delivered.extend([ticket for ticket, _ in ended])
        if self._heeds_deliveries:
            with _Deciding(self):
                self._take_deliveries()

    def _note_failure(self, ticket: Ticket) -> None:
        """Remember where a loop's job failed, unless by its own fault."""
        loop_id, where = ticket.job.loop_id, ticket.where
        own_fault = isinstance(ticket.error, InputError | BudgetError | ProviderSessionError)
        if loop_id is not None and where is not None and not own_fault:
            self._failed_loops[loop_id] = where

    def _parts(self, ticket: Ticket) -> list[Ticket]:
        """A job for each point of a round that failed, so that the good ones still succeed."""
        if len(ticket.futures) == 1 or self._is_closed:
            return []
        if isinstance(ticket.error, ProviderError | BudgetError):
            return []  # the provider would be asked, and paid, once more for each of them
        return [
            ticket.part(
                row, replace(ticket.job, id=self.next_job_id(), speculative=ticket.speculative)
            )
            for row, future in enumerate(ticket.futures)
            if not future.done()
        ]
