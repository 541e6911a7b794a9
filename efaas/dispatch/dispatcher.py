"""The dispatcher: drives the scheduler and does what it says.

Whatever happens (a submission, a cancellation, the answer of a backend) is handed to the
scheduler under one lock, on the thread where it happened, and the attempts that the scheduler
starts are sent off at once. Futures are finished by one thread of their own, never under the
lock: a slow callback delays other callbacks, but not the devices.
"""

from __future__ import annotations

import itertools
import logging
import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol, cast

from efaas.clock import Clock, SystemClock
from efaas.errors import ClosedError, DeadlockError, JobFailedError
from efaas.model.job import CPU, JobState, Usage
from efaas.scheduler import (
    AttemptEnded,
    Cancelled,
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
)

if TYPE_CHECKING:
    from efaas.backends.protocol import Backend, Evaluation, Outcome
    from efaas.dispatch.ticket import Ticket
    from efaas.policies.ordering import Ordering
    from efaas.policies.placement import Placement
    from efaas.scheduler import Event

__all__ = ["Dispatcher", "Recorder"]

logger = logging.getLogger("efaas.dispatch")

_STEP_THREADS = 1024  # a bound on threads only: how many steps run is the scheduler's decision
_BATCH_LIMIT = 1024


class Recorder(Protocol):
    """Told of what happens."""

    def job_finished(self, ticket: Ticket) -> None:
        """A job has ended; the ticket may be read but not kept."""
        ...


class _Local(threading.local):
    """The attempt that a thread runs as a classical step."""

    attempt_id: int | None = None


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
        clock: Clock | None = None,
        recorder: Recorder | None = None,
    ) -> None:
        """Start with every place idle.

        Args:
            backends: Where evaluations run, by name.
            cpu_slots: Classical steps that run side by side.
            ordering: Who goes first.
            placement: Where new loops go.
            clock: Source of the timelines' instants.
            recorder: Told of every job that ends.
        """
        self.backends = dict(backends)
        places = {name: Place(slots=1, batch_limit=_BATCH_LIMIT) for name in self.backends}
        places[CPU] = Place(slots=cpu_slots)
        self._scheduler = Scheduler(places, ordering=ordering, placement=placement)
        self._clock = clock or SystemClock()
        self._recorder = recorder
        # Re-entrant: a garbage collection inside may close a session that nobody refers to.
        self._lock = threading.RLock()
        self._tickets: dict[int, Ticket] = {}
        self._job_ids = itertools.count(1)
        self._lanes = {
            name: ThreadPoolExecutor(1, thread_name_prefix=f"efaas-{name}") for name in backends
        }
        self._lanes[CPU] = ThreadPoolExecutor(_STEP_THREADS, thread_name_prefix="efaas-step")
        self._local = _Local()
        self._is_closed = self._is_abandoned = False
        self._ended: queue.SimpleQueue[tuple[Ticket, bool] | None] = queue.SimpleQueue()
        self._finisher = threading.Thread(target=self._finish_all, name="efaas-futures")
        self._finisher.daemon = True
        self._finisher.start()

    def now(self) -> float:
        """The present instant of this dispatcher's clock, in seconds."""
        return self._clock.now()

    def next_job_id(self) -> int:
        """An id for the next job, larger than all before."""
        return next(self._job_ids)

    def submit(self, tickets: Sequence[Ticket]) -> None:
        """Queue the jobs of one round.

        Raises:
            ClosedError: The dispatcher is closed.
        """
        with self._lock:
            self._require_open()
            now = self._clock.now()
            for ticket in tickets:
                ticket.queued_at = now
                self._tickets[ticket.job.id] = ticket
            self._handle(Submitted(tuple([ticket.job for ticket in tickets])), now)

    def cancel(self, job_ids: Sequence[int]) -> None:
        """Take jobs, whose futures are cancelled already, out of the queue."""
        with self._lock:
            self._handle(Cancelled(tuple(job_ids)), self._clock.now())
            for job_id in job_ids:
                ticket = self._tickets.get(job_id)
                if ticket is not None and ticket.state is JobState.QUEUED:
                    self._forget(ticket, JobState.CANCELLED)

    def promote(self, job_ids: Sequence[int]) -> None:
        """Make speculative jobs committed."""
        with self._lock:
            for job_id in job_ids:
                if job_id in self._tickets:
                    self._tickets[job_id].speculative = False
            self._handle(Promoted(tuple(job_ids)), self._clock.now())

    def open_loop(self, loop_id: str, places: Sequence[str]) -> str:
        """Pin a loop to one of ``places`` and return which.

        Raises:
            ClosedError: The dispatcher is closed.
        """
        with self._lock:
            self._require_open()
            actions = self._scheduler.handle(LoopOpened(loop_id, tuple(places)), self._clock.now())
            return next(action.place for action in actions if isinstance(action, Pin))

    def close_loops(self, loop_ids: Sequence[str]) -> None:
        """Forget where loops were pinned."""
        with self._lock:
            for loop_id in loop_ids:
                self._handle(LoopClosed(loop_id), self._clock.now())

    def refuse_deadlock(self) -> None:
        """Raise ``DeadlockError`` on the thread that finishes futures."""
        if threading.current_thread() is self._finisher:
            raise DeadlockError(
                "this wait could never end: it was called from a done-callback, on the thread "
                "that finishes futures. Use future.then(fn) to go on with the value instead"
            )

    def is_own_thread(self) -> bool:
        """Whether this thread finishes futures or runs a classical step."""
        return self._local.attempt_id is not None or threading.current_thread() is self._finisher

    @contextmanager
    def paused_step(self) -> Iterator[None]:
        """Free the CPU slot of the step that this thread runs, while it waits for a job."""
        attempt_id = self._local.attempt_id
        if attempt_id is None:
            yield
            return
        with self._lock:
            self._handle(StepPaused(attempt_id), self._clock.now())
        try:
            yield
        finally:
            with self._lock:
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
            queued = [t for t in self._tickets.values() if t.state is JobState.QUEUED]
            self._handle(Cancelled(tuple(t.job.id for t in queued)), self._clock.now())
            for ticket in queued:
                self._forget(ticket, JobState.CANCELLED)
            self._stop_if_idle()
        for ticket in queued:
            ticket.future.cancel()
        if self.is_own_thread():
            return  # closed from a step or a callback: the threads end by themselves
        self._finisher.join(timeout)
        if self._finisher.is_alive():
            self._abandon()
            self._finisher.join()
        for lane in self._lanes.values():
            lane.shutdown(wait=not self._is_abandoned)

    # Under the lock.

    def _require_open(self) -> None:
        if self._is_closed:
            raise ClosedError("the scheduler is closed; open a new EFSession or EFScheduler")

    def _handle(self, event: Event, now: float) -> None:
        for action in self._scheduler.handle(event, now):
            match action:
                case Dispatch():
                    self._dispatch(action, now)
                case Resolve(job_id) | Fail(job_id):
                    self._ended.put((self._tickets[job_id], isinstance(action, Resolve)))
                case Pin():
                    pass  # asked for by open_loop, which reads it itself

    def _dispatch(self, dispatch: Dispatch, now: float) -> None:
        tickets = [self._tickets[job_id] for job_id in dispatch.job_ids]
        ready = [t for t in tickets if t.future.claim() or t.future.running()]
        for ticket in ready:
            ticket.dispatched(dispatch.place, now)
        run = self._run_step if dispatch.place == CPU else self._run_round
        try:
            self._lanes[dispatch.place].submit(run, dispatch, ready)
        except RuntimeError as error:  # the interpreter is shutting down
            self._report(dispatch.attempt_id, [(ticket, error) for ticket in ready])

    def _forget(self, ticket: Ticket, state: JobState) -> None:
        if self._tickets.pop(ticket.job.id, None) is None:
            return
        ticket.finished(state, self._clock.now())
        if self._recorder is not None:
            self._recorder.job_finished(ticket)
        self._stop_if_idle()

    def _stop_if_idle(self) -> None:
        if self._is_closed and not self._tickets:
            self._ended.put(None)
            for lane in self._lanes.values():
                lane.shutdown(wait=False)

    def _abandon(self) -> None:
        """Give up on attempts that take too long to end."""
        with self._lock:
            self._is_abandoned = True
            for ticket in self._tickets.values():
                ticket.error = ClosedError("the scheduler was closed while this job ran")
                self._ended.put((ticket, False))

    # On the thread that finishes futures.

    def _finish_all(self) -> None:
        while (ended := self._ended.get()) is not None:
            ticket, is_success = ended
            if ticket.future.done():  # cancelled, or abandoned when its attempt was about to end
                with self._lock:
                    self._forget(ticket, JobState.CANCELLED)
            elif is_success:
                value = ticket.outcome
                with self._lock:
                    self._forget(ticket, JobState.DONE)
                ticket.future.set_result(value)
            else:
                error = self._failure(ticket)
                with self._lock:
                    self._forget(ticket, JobState.FAILED)
                ticket.future.set_exception(error)

    def _failure(self, ticket: Ticket) -> BaseException:
        """A step's own error; a backend's as the cause of a ``JobFailedError``."""
        error = cast("BaseException", ticket.error)
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

    # On the threads where attempts run.

    def _run_step(self, dispatch: Dispatch, tickets: Sequence[Ticket]) -> None:
        results: list[tuple[Ticket, _Value | BaseException]] = []
        for ticket in tickets:
            ticket.first_shot_at = started_at = self._clock.now()
            self._local.attempt_id = dispatch.attempt_id
            try:
                result: _Value | BaseException = _Value(cast("Callable[[], Any]", ticket.work)())
            except BaseException as error:  # whatever a step raises is its outcome
                result = error
            self._local.attempt_id = None
            ticket.usage = Usage(cpu_seconds=self._clock.now() - started_at)
            results.append((ticket, result))
        self._report(dispatch.attempt_id, results)

    def _run_round(self, dispatch: Dispatch, tickets: Sequence[Ticket]) -> None:
        started_at = self._clock.now()
        for ticket in tickets:
            ticket.first_shot_at = started_at
        backend = self.backends[dispatch.place]
        evaluations = [cast("Evaluation", ticket.work) for ticket in tickets]
        try:
            outcomes = list(backend.execute(evaluations)) if evaluations else []
            if len(outcomes) != len(tickets):
                raise RuntimeError(
                    f"backend {backend.name} gave {len(outcomes)} outcomes for {len(tickets)} jobs"
                )
        except BaseException as error:  # a backend may fail in any way; its jobs must still end
            failures = [(ticket, error) for ticket in tickets]
            self._report(dispatch.attempt_id, failures, is_batch_failure=True)
            return
        results = [(t, _converted(t, o)) for t, o in zip(tickets, outcomes, strict=True)]
        self._report(dispatch.attempt_id, results)

    def _report(
        self,
        attempt_id: int,
        results: Sequence[tuple[Ticket, _Value | BaseException]],
        *,
        is_batch_failure: bool = False,
    ) -> None:
        with self._lock:
            now = self._clock.now()
            failed_ids = []
            for ticket, result in results:
                if isinstance(result, _Value):
                    ticket.attempted(now, None)
                    ticket.outcome = result.value
                else:
                    ticket.attempted(now, result)
                    failed_ids.append(ticket.job.id)
            if self._is_abandoned:
                return
            try:
                self._handle(AttemptEnded(attempt_id, tuple(failed_ids), is_batch_failure), now)
            except Exception as error:  # a bug of ours: whoever waits must still hear of it
                logger.critical("the scheduler failed on the end of an attempt", exc_info=True)
                for ticket, _ in results:
                    ticket.error = error
                    self._ended.put((ticket, False))


class _Value:
    """A value, told apart from an error that was raised."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


def _converted(ticket: Ticket, outcome: Outcome | Exception) -> _Value | BaseException:
    """The value that the ticket's future will hold."""
    if isinstance(outcome, Exception):
        return outcome
    ticket.usage = outcome.usage
    ticket.calibration_id = outcome.calibration_id
    try:
        return _Value(outcome if ticket.convert is None else ticket.convert(outcome))
    except Exception as error:
        return error
