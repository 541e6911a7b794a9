"""EFSession and EFScheduler: where a user comes in, and where the parts are put together."""

from __future__ import annotations

import itertools
import os
import secrets
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any

from efaas.backends.protocol import KeepsAccounts, KeepsSessions, Remote
from efaas.clock import SystemClock
from efaas.dispatch import Dispatcher, Recording, SessionScope
from efaas.errors import (
    ClosedError,
    DeadlockError,
    InputError,
)
from efaas.future import QuantumFuture
from efaas.journal import Book
from efaas.journal.settings import as_journal
from efaas.loops import Loops
from efaas.model.confined import Confined
from efaas.model.quantities import is_count, is_number
from efaas.objective import Objective
from efaas.observe import Recorder, Sight
from efaas.policies.fair_settings import FairSettings
from efaas.policies.orderings import ORDERINGS, Surroundings
from efaas.policies.placement import PLACEMENTS, PlacementWeights
from efaas.policies.repinning import RepinSettings
from efaas.policies.resuming import RULES, Facts
from efaas.policies.sentinel import Sentinel

if TYPE_CHECKING:
    from concurrent.futures import Executor

    import numpy as np
    from numpy.typing import NDArray

    from efaas.backends.experiment import Experiment
    from efaas.backends.protocol import Backend, Outcome
    from efaas.clock import Clock
    from efaas.cloud.scenario import Scenario
    from efaas.cloud.what_if import WhatIf
    from efaas.journal import Journal
    from efaas.model.events import LoopEvent
    from efaas.model.profile import CacheInfo
    from efaas.model.record import Spend
    from efaas.observe import SessionReport, Trace
    from efaas.observe.summary import Table
    from efaas.observe.view import View
    from efaas.policies.placement import Explanation
    from efaas.primitives import SessionEstimator, SessionSampler

__all__ = ["EFScheduler", "EFSession"]

DEFAULT_BACKEND = "fake_torino"
_CLOSE_SECONDS = 5.0  # how long a cancelled session waits for attempts that cannot be stopped


class EFScheduler(Confined):
    """Backends and classical slots that several sessions share.

    Example:
        >>> with EFScheduler(backends=["aer"]) as scheduler:
        ...     with scheduler.session(tenant="ada", seed=1) as session:
        ...         session.call(pow, 2, 5).result()
        32
    """

    def __init__(
        self,
        backends: Any = DEFAULT_BACKEND,
        *,
        cpu_slots: int | None = None,
        ordering: str = "fair",
        placement: str = "best",
        fairness: FairSettings | None = None,
        weights: PlacementWeights | None = None,
        repinning: RepinSettings | None = None,
        clock: Clock | None = None,
        executor: Executor | None = None,
    ) -> None:
        """Start the scheduler; nothing runs yet.

        Args:
            backends: A backend or several: the name of a fake device (``"fake_torino"``), ``"aer"``
                for an ideal simulator, any fake device object, an ``AerSimulator``, or a backend
                from ``efaas.backends``.
            cpu_slots: Classical steps that run side by side; the machine's cores by default.
            ordering: Who goes first; ``"fair"``: loops that iterate keep their device, tenants get
                QPU and CPU time in proportion to their weights, and no job waits for ever;
                ``"fifo"``: first come first served; ``"paper"``: the priority rule of EFaaS. In
                each, committed jobs go before speculative ones.
            fairness: Bounds and times of the fair ordering.
            placement: Where a new loop goes; ``"best"``: to the backend with the best score of
                fidelity, wait, cold start and age; ``"least-loaded"``: to that with the fewest
                loops and jobs.
            weights: How the terms of a score are weighed.
            repinning: When a change of calibration moves a loop.
            clock: Source of the timelines' instants: the machine's by default, a
                ``efaas.clock.VirtualClock`` for simulated devices.
            executor: Where functions given to ``call`` run, and long simulations of backends that
                are made here: any ``concurrent.futures.Executor``, such as a Dask client's
                ``get_executor()``. It is not shut down. What is sent to other processes has to be
                picklable, and cannot use the session.

        Raises:
            UnknownBackendError: No backend of that name.
            InputError: No backend at all, two of one name, an unknown policy, ``cpu_slots``
                below 1, settings of the wrong type, or ``fairness`` for an ordering that has no
                use for it.
        """
        slots = cpu_slots if cpu_slots is not None else os.cpu_count() or 1
        if not is_count(slots):
            raise InputError(f"cpu_slots must be a whole number of at least 1, got {cpu_slots!r}")
        if clock is not None and not callable(getattr(clock, "now", None)):
            raise InputError(f"clock must have a method now(), got {clock!r}")
        order = _chosen("ordering", ordering, ORDERINGS)
        if fairness is not None and ordering != "fair":
            raise InputError(f"fairness is for ordering='fair'; {ordering!r} has no use for it")
        place = _chosen("placement", placement, PLACEMENTS)
        _check_type("fairness", fairness, FairSettings)
        _check_type("weights", weights, PlacementWeights)
        _check_type("repinning", repinning, RepinSettings)
        if executor is not None and not callable(getattr(executor, "submit", None)):
            raise InputError(f"executor must have a method submit(), got {executor!r}")
        self._executor = executor
        self._backends, self._owned = _resolved(backends, executor)
        self._recorder = Recorder()
        around = Surroundings(
            tuple(self._backends),
            cpu_slots=slots,
            can_hold=clock is None or isinstance(clock, SystemClock),  # a virtual one stands still
            settings=fairness,
        )
        self._dispatcher = Dispatcher(
            self._backends,
            cpu_slots=slots,
            ordering=order(around),
            placement=place(weights),
            repinning=repinning,
            recorder=self._recorder,
            clock=clock,
        )
        self._lock = threading.Lock()
        self._sessions: weakref.WeakSet[EFSession] = weakref.WeakSet()
        self._session_ids = itertools.count(1)
        self._finalizer = weakref.finalize(
            self, _shut_down, self._dispatcher, self._backends, self._owned, _CLOSE_SECONDS
        )

    @property
    def backends(self) -> tuple[str, ...]:
        """The names of the backends, in order."""
        return tuple(self._backends)

    def session(
        self,
        *,
        tenant: str = "default",
        weight: float | None = None,
        seed: int | None = None,
        sentinel: Sentinel | None = None,
        journal: str | os.PathLike[str] | Journal | None = None,
    ) -> EFSession:
        """A session of this scheduler; closing it leaves the scheduler open.

        Args:
            tenant: Who its work is accounted to.
            weight: The tenant's share relative to others; positive. By default that of its other
                open sessions, or 1.
            seed: Fixes every random number of the session; drawn at random if None.
            sentinel: Looks after the devices between calibrations, as for ``EFSession``.
            journal: As for ``EFSession``; a file of its own for each session.

        Raises:
            ClosedError: The scheduler is closed.
            InputError: ``weight`` is not positive and finite, or not that of the tenant's other
                open sessions; or ``seed`` is negative.
            JournalError: The journal cannot be used; the kind of error says why.
        """
        return EFSession(
            scheduler=self,
            tenant=tenant,
            weight=weight,
            seed=seed,
            sentinel=sentinel,
            journal=journal,
        )

    def cache_info(self) -> CacheInfo:
        """Counters of the warm calibration caches of all backends together."""
        infos = [backend.cache.info() for backend in self._backends.values()]
        return sum(infos[1:], start=infos[0])

    def close(self, *, cancel: bool = False) -> None:
        """Close every session, then end the threads. May be called twice.

        Args:
            cancel: Withdraw what is queued instead of waiting for it.
        """
        if self._dispatcher.is_inherited:
            return
        with self._lock:
            sessions = list(self._sessions)
        try:
            for session in sessions:
                session.close(cancel=cancel)
            if not cancel:  # work of sessions that nobody kept
                self._dispatcher.wait_until_idle(None)
        except BaseException:  # Ctrl-C while waiting for one of them
            cancel = True
            for session in sessions:
                session.close(cancel=True)
            raise
        finally:
            seconds = _CLOSE_SECONDS if cancel else None
            _shut_down(self._dispatcher, self._backends, self._owned, seconds)
            self._finalizer.detach()

    def __enter__(self) -> EFScheduler:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close(cancel=kind is not None)

    def __repr__(self) -> str:
        return f"<EFScheduler over {', '.join(self._backends)}>"

    def _attach(
        self,
        session: EFSession,
        tenant: str,
        weight: float | None,
        recording: Recording | None,
    ) -> tuple[int, SessionScope]:
        if not self._finalizer.alive:
            raise ClosedError("the scheduler is closed; open a new EFScheduler")
        session_id = next(self._session_ids)
        with self._lock:
            others = [other for other in self._sessions if other.tenant == tenant]
            if weight is None:
                weight = others[0].weight if others else 1.0
            elif others and others[0].weight != weight:
                raise InputError(
                    f"tenant {tenant!r} has open sessions of weight {others[0].weight:g}, got "
                    f"weight={weight:g}: a tenant has one weight, leave it out or give the same"
                )
            session.weight = float(weight)
            self._sessions.add(session)
        weakref.finalize(session, self._recorder.forget, session_id).atexit = False
        scope = SessionScope(
            self._dispatcher,
            session_id=session_id,
            tenant=tenant,
            weight=session.weight,
            owner=self,
            recording=recording,
            executor=self._executor,
        )
        return session_id, scope

    def _present(self, sight: Sight) -> Callable[[], list[Table]]:
        """Reads what goes on, as one session sees it."""

        def read() -> list[Table]:
            weights = {session.tenant: session.weight for session in list(self._sessions)}
            return sight.present(
                self._dispatcher.unfinished_jobs(), self._recorder.served(), weights
            )

        return read

    def _detach(self, session: EFSession) -> None:
        with self._lock:
            self._sessions.discard(session)


class EFSession(Confined):
    """An open session: objectives, primitives and classical steps on warm, pinned backends.

    Use it in a ``with`` block: leaving it waits for committed work, withdraws speculative work
    and ends the threads; leaving it by an exception or Ctrl-C withdraws everything queued. May be
    used from several threads.

    Attributes:
        seed: The seed in use; give it to another session to get the same numbers.
        tenant: Who its work is accounted to.
        weight: The tenant's share relative to others.
    """

    def __init__(
        self,
        backends: Any = None,
        *,
        seed: int | None = None,
        tenant: str = "default",
        weight: float | None = None,
        scheduler: EFScheduler | None = None,
        cpu_slots: int | None = None,
        clock: Clock | None = None,
        sentinel: Sentinel | None = None,
        executor: Executor | None = None,
        journal: str | os.PathLike[str] | Journal | None = None,
    ) -> None:
        """Open a session.

        Args:
            backends: As for ``EFScheduler``; ``"fake_torino"`` by default. A scheduler of its own
                is made for them.
            seed: Fixes every random number of the session; non-negative. Drawn at random if None.
            tenant: Who its work is accounted to.
            weight: The tenant's share relative to others; positive. By default that of its other
                open sessions, or 1.
            scheduler: Share this scheduler instead of making one; then no ``backends``.
            cpu_slots: Classical steps that run side by side; the machine's cores by default.
            clock: Source of the timelines' instants, as for ``EFScheduler``.
            sentinel: Has the best point of each loop with one observable evaluated once more now
                and then, so that a device that changes between calibrations is noticed. None by
                default, since it costs shots.
            executor: Where functions and long simulations run, as for ``EFScheduler``.
            journal: A file that everything is written down in, and that the same script resumes
                from when it runs again: a path, or an ``efaas.Journal`` with settings.

        Raises:
            UnknownBackendError: No backend of that name.
            InputError: Another argument is out of its range, or both ``backends`` and
                ``scheduler`` are given.
            JournalError: The journal cannot be used; the kind of error says why.
        """
        own = (backends, cpu_slots, clock, executor)
        if scheduler is not None and any(given is not None for given in own):
            raise InputError(
                "a session takes either backends, cpu_slots, clock and executor, or a scheduler"
            )
        if scheduler is not None and not isinstance(scheduler, EFScheduler):
            raise InputError(f"scheduler must be an EFScheduler or None, got {scheduler!r}")
        if weight is not None and not (is_number(weight) and 0 < weight < float("inf")):
            raise InputError(f"weight must be positive and finite, got {weight!r}")
        if not isinstance(tenant, str) or not tenant:
            raise InputError(f"tenant must be a name, got {tenant!r}")
        if seed is not None and not is_count(seed, 0):
            raise InputError(f"seed must be a non-negative integer or None, got {seed!r}")
        _check_type("sentinel", sentinel, Sentinel)
        self._book = None if journal is None else Book(as_journal(journal))
        self.tenant = tenant
        self._owns_scheduler = scheduler is None
        opened = None
        try:
            self._scheduler = opened = scheduler or EFScheduler(
                DEFAULT_BACKEND if backends is None else backends,
                cpu_slots=cpu_slots,
                clock=clock,
                executor=executor,
            )
            self.seed = self._seed(seed)
            self.weight: float
            recording = None if self._book is None else Recording(self._book)
            self._id, self._scope = self._scheduler._attach(self, tenant, weight, recording)
            self._provider_logs = _kept(self._scheduler._backends, self._book)
        except BaseException:
            if self._owns_scheduler and opened is not None:
                opened.close(cancel=True)
            if self._book is not None:
                self._book.close()
            raise
        self._dispatcher = self._scheduler._dispatcher
        self._opened_at = self._dispatcher.now()
        self._loops = Loops(
            self._dispatcher,
            self._scope,
            self._scheduler._backends,
            session_id=self._id,
            seed=self.seed,
            sentinel=sentinel,
            book=self._book,
        )
        self._sight = Sight(
            self._scheduler._recorder.tape(self._id, self._dispatcher.now, tenant),
            loops=self._loops,
            backends=self._scheduler._backends,
            seed=self.seed,
            tenant=tenant,
        )
        self._is_closed = self._is_ended = False

    # Quantum work.

    def objective(self, circuit: Any, observable: Any, *, shots: int | None = 4096) -> Objective:
        """The expectation value of ``observable`` as a function of the circuit's parameters.

        Args:
            circuit: A parameterised ``QuantumCircuit`` without final measurements. An abstract
                one is transpiled, and the observable laid out with it; one that is already ISA
                for the backend is used as it is.
            observable: A Hermitian ``SparsePauliOp``, or whatever Qiskit makes one of, as wide as
                the circuit.
            shots: Shots of each measurement setting, at least 1; None for the exact expectation
                under the device's gate noise.

        Raises:
            CircuitError: No backend here can run the circuit.
            BackendError: None can be asked.
            ObservableError: The wrong width, or complex coefficients.
            ShotsError: ``shots`` is below 1.
            ClosedError: The session is closed.
        """
        from efaas.backends.experiment import Experiment
        from efaas.primitives.pubs import checked_shots

        self._require_open()
        if shots is not None:
            shots = checked_shots(shots)
        experiment = Experiment.estimate(circuit, [observable])
        loop = self._loops.of_objective(experiment)
        return Objective(loop, experiment, shots=shots, sight=self._sight)

    def estimate(self, *pub: Any, precision: float | None = None) -> QuantumFuture[Any]:
        """The future of one estimator pub's ``PubResult``.

        Args:
            pub: An ``EstimatorPub``, a tuple that Qiskit makes one of, or the tuple's parts:
                ``estimate(circuit, observables, parameter_values, precision)``.
            precision: Standard error to aim at, for a pub that names none; 0 for exact
                expectations. 1/64 (4096 shots) by default.

        Raises:
            InputError: The pub cannot be used; the kind of error says why.
            ClosedError: The session is closed.
        """
        from efaas.primitives.pubs import estimator_request

        self._require_open()
        return self._submit_request(estimator_request(_one_pub(pub), precision))

    def sample(self, *pub: Any, shots: int | None = None) -> QuantumFuture[Any]:
        """The future of one sampler pub's ``SamplerPubResult``.

        Args:
            pub: A ``SamplerPub``, a circuit, a tuple that Qiskit makes a pub of, or the tuple's
                parts: ``sample(circuit, parameter_values, shots)``.
            shots: For a pub that names none; 1024 by default.

        Raises:
            InputError: The pub cannot be used; the kind of error says why.
            ClosedError: The session is closed.
        """
        from efaas.primitives.pubs import sampler_request

        self._require_open()
        return self._submit_request(sampler_request(_one_pub(pub), shots))

    def estimator(self, **options: Any) -> SessionEstimator:
        """A ``BaseEstimatorV2`` that runs on this session.

        Args:
            options: As for ``efaas.primitives.SessionEstimator``.
        """
        from efaas.primitives import SessionEstimator

        self._require_open()
        return SessionEstimator(self, **options)

    def sampler(self, **options: Any) -> SessionSampler:
        """A ``BaseSamplerV2`` that runs on this session.

        Args:
            options: As for ``efaas.primitives.SessionSampler``.
        """
        from efaas.primitives import SessionSampler

        self._require_open()
        return SessionSampler(self, **options)

    def submit_evaluation(
        self,
        experiment: Experiment,
        angles: NDArray[np.float64],
        *,
        shots: int | None,
        wanted: tuple[tuple[int, ...], ...] | None = None,
        loop: str | None = None,
        convert: Callable[[Outcome], Any] | None = None,
    ) -> QuantumFuture[Any]:
        """Queue one evaluation; what the primitives are built on.

        Args:
            experiment: What to measure.
            angles: Its slots' angles, shape ``(points, slots)``.
            shots: Shots of each measurement setting, or None for exact expectations.
            wanted: For each point the observables to estimate; all of them if None.
            loop: Evaluations of one experiment and loop run on one backend.
            convert: Makes the future's value; the ``Outcome`` itself if None.
        """
        opened = self._loops.of_primitive(experiment, loop or "session")
        only = None if convert is None else _alone(convert)
        return opened.submit(experiment, angles, shots=shots, wanted=wanted, convert=only)[0]

    # Classical work.

    def call(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> QuantumFuture[Any]:
        """The future of ``fn(*args, **kwargs)``, run on one of the session's CPU slots.

        Raises:
            ClosedError: The session is closed.
        """
        if not callable(fn):
            raise InputError(f"call takes a function and its arguments, got {fn!r}")
        return self._scope.call(partial(fn, **kwargs) if kwargs else fn, args)

    # Seeing and ending.

    def cache_info(self) -> CacheInfo:
        """Counters of the warm calibration caches of the session's backends."""
        return self._scheduler.cache_info()

    def report(self) -> SessionReport:
        """Where the time went so far; print it for a table."""
        return self._scheduler._recorder.report(
            self._id,
            seconds=self._dispatcher.now() - self._opened_at,
            hits=self._scope.hits,
            misses=self._scope.misses,
            checks=self._loops.checks,
            recalled=self._scope.recalled,
            spending={
                name: backend.spending()
                for name, backend in self._scheduler._backends.items()
                if isinstance(backend, Remote)
            },
            recording=self._sight.recording(),
            play=_played,
        )

    @property
    def trace(self) -> Trace:
        """What ran where and when until now, and what the optimizers did; ``save`` it to a file.

        It is made of what is remembered when it is asked for: keep it to look at it twice.
        """
        return self._sight.recording().trace

    def what_if(
        self,
        policies: Sequence[str] | None = None,
        *,
        scenario: Scenario | None = None,
        seeds: int = 3,
        evaluation_seconds: float | None = None,
    ) -> WhatIf:
        """What its loops would have waited for, and cost, in a cloud; print it for a table.

        The loops are played again in the simulated cloud, with the times that were measured. A
        saved trace is played by ``python -m efaas.cloud replay``, or ``efaas.cloud.what_if``.

        Args:
            policies: Names of policies, as ``python -m efaas.cloud --help`` lists them; a batch
                queue, a provider's batch and session modes, a pilot job and this library by
                default.
            scenario: The cloud; by default that of the experiment of EFaaS.
            seeds: How many loads to play them under; at least 1.
            evaluation_seconds: QPU seconds of an evaluation, in place of what was measured: a
                simulator's evaluations are far shorter than a device's.

        Raises:
            InputError: No loop has evaluated anything yet, or an argument is out of its range.
        """
        from efaas.cloud.what_if import what_if

        return what_if(
            self.trace,
            policies,
            scenario=scenario,
            seeds=seeds,
            evaluation_seconds=evaluation_seconds,
        )

    def watch(self, every_seconds: float = 1.0) -> View:
        """What goes on now: loops, devices, queues and tenants' shares.

        In a notebook, as a cell's last line, it is kept fresh until the session is closed;
        elsewhere, ``print`` it each time that you want to know.

        Args:
            every_seconds: How often a notebook shows it anew; more than 0.

        Raises:
            InputError: ``every_seconds`` is out of its range.
        """
        from efaas.observe.view import View

        if not (is_number(every_seconds) and 0 < every_seconds < float("inf")):
            raise InputError(f"every_seconds is a number above 0, got {every_seconds!r}")
        session = weakref.ref(self)
        read = self._scheduler._present(self._sight)
        return View(read, partial(_is_over, session), every_seconds)

    @property
    def spend(self) -> Spend | None:
        """What everything in the session's journal has cost, over all runs; None without one."""
        return None if self._book is None else self._book.spent()

    @property
    def events(self) -> tuple[LoopEvent, ...]:
        """What changed under the session's loops, and what was done about it, oldest first.

        They are noticed when a loop submits. ``future.job.calibration_id`` says on which side of
        a change a result is.
        """
        return self._loops.events

    def explain(self, what: Objective | QuantumFuture[Any]) -> Explanation:
        """Why a loop is where it is, and why a job of it waits; print it for a table.

        Args:
            what: An objective of this session, or the future of one of its evaluations.

        Raises:
            InputError: It is neither.
        """
        if isinstance(what, Objective):
            loop_id, job_id = what.loop_id, None
        elif isinstance(what, QuantumFuture) and what.job is not None and what.job.loop_id:
            loop_id, job_id = what.job.loop_id, what.job.id
        else:
            raise InputError(
                f"explain takes an objective or the future of an evaluation, got {what!r}"
            )
        explanation = self._loops.explanation(loop_id)
        if explanation is None:
            raise InputError(f"{what!r} is of another session: ask that one to explain it")
        if job_id is None:
            return explanation
        return replace(explanation, job=self._dispatcher.wait_of(job_id))

    def close(self, *, cancel: bool = False) -> None:
        """End the session: wait for committed work, withdraw speculative work. May be called twice.

        Args:
            cancel: Withdraw everything that is queued instead of waiting for it; attempts that
                run and cannot be stopped are waited for, some seconds at most.

        Raises:
            DeadlockError: Called by one of the session's own steps or callbacks.
        """
        if self._is_ended or self._dispatcher.is_inherited:
            return
        self._is_closed = True
        try:
            self._scope.close(cancel=cancel, timeout=_CLOSE_SECONDS if cancel else None)
        except DeadlockError:
            self._is_closed = False
            raise
        except BaseException:  # Ctrl-C while waiting
            self._end(cancel=True)
            raise
        self._end(cancel=cancel)

    def _end(self, *, cancel: bool) -> None:
        self._is_ended = True
        try:
            if cancel:
                self._scope.close(cancel=True, timeout=_CLOSE_SECONDS)
        finally:
            self._loops.close()
            self._scheduler._detach(self)
            try:
                if self._owns_scheduler:
                    self._scheduler.close(cancel=cancel)
            finally:
                if self._book is not None:
                    self._book.close()

    def __enter__(self) -> EFSession:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close(cancel=kind is not None)

    def __repr__(self) -> str:
        state = "closed" if self._is_closed else "open"
        return f"<EFSession of {self.tenant}, {state}, over {', '.join(self._scheduler.backends)}>"

    # Inside.

    def _seed(self, given: int | None) -> int:
        """The seed that was given, or the journal's, or a new one."""
        if self._book is None:
            return secrets.randbits(64) if given is None else int(given)
        recorded = self._book.identity.facts
        if given is None and recorded is not None:
            given = recorded.seed
        seed = secrets.randbits(64) if given is None else int(given)
        self._book.check(Facts(RULES, seed, self._scheduler.backends))
        return seed

    def _require_open(self) -> None:
        self._scope.require_process()
        if self._is_closed and not self._dispatcher.is_inside(self._id):
            raise ClosedError("the session is closed: open a new EFSession for more work")

    def _submit_request(self, request: Any) -> QuantumFuture[Any]:
        return self.submit_evaluation(
            request.experiment,
            request.angles,
            shots=request.shots,
            wanted=request.wanted,
            convert=request.postprocess,
        )


def _kept(backends: Mapping[str, Backend], book: Book | None) -> list[object]:
    """Where backends write what is open and spent, which they do as long as these are kept."""
    logs: list[object] = []
    for name, backend in backends.items():
        if book is not None and isinstance(backend, KeepsSessions):
            sessions = book.provider_sessions(name)
            logs.append(sessions)
            backend.keep_sessions_in(sessions)
        if book is not None and isinstance(backend, KeepsAccounts):
            spending = book.spending(name)
            logs.append(spending)
            backend.keep_accounts_in(spending)
    return logs


def _played(trace: Trace) -> WhatIf:
    from efaas.cloud.what_if import what_if

    return what_if(trace)


# Not a method: what is seen of a session must not keep it from going when nobody refers to it.
def _is_over(session: weakref.ref[EFSession]) -> bool:
    seen = session()
    return seen is None or seen._is_ended


def _alone(convert: Callable[[Outcome], Any]) -> Callable[[Outcome], Sequence[Any]]:
    return lambda outcome: (convert(outcome),)


def _one_pub(pub: tuple[Any, ...]) -> Any:
    if not pub:
        raise InputError("expected a pub: a circuit with its observables or parameter values")
    if len(pub) == 1:
        return pub[0]
    if any(isinstance(part, tuple) and part and hasattr(part[0], "qregs") for part in pub):
        raise InputError("expected one pub, got several: submit each by a call of its own")
    return pub


def _check_type(name: str, value: Any, kind: type) -> None:
    if value is not None and not isinstance(value, kind):
        raise InputError(f"{name} must be a {kind.__name__} or None, got {value!r}")


def _chosen(kind: str, name: str, known: Any) -> Any:
    if not isinstance(name, str) or name not in known:
        raise InputError(f"unknown {kind} {name!r}: expected one of {', '.join(sorted(known))}")
    return known[name]


def _resolved(backends: Any, executor: Executor | None) -> tuple[dict[str, Backend], list[Backend]]:
    """The backends by name, and those of them that were made here."""
    from efaas.backends import resolve_backend

    specs = list(backends) if isinstance(backends, list | tuple | set) else [backends]
    if not specs:
        raise InputError("expected at least one backend, such as 'fake_torino' or 'aer'; got none")
    found: dict[str, Backend] = {}
    owned: list[Backend] = []
    for spec in specs:
        backend = resolve_backend(spec, executor=executor)
        if backend is not spec:
            owned.append(backend)
        if backend.name in found:
            raise InputError(
                f"two backends are named {backend.name!r}; give one of them another name with "
                "efaas.backends.AerBackend(..., name=...)"
            )
        found[backend.name] = backend
    return found, owned


def _shut_down(
    dispatcher: Dispatcher,
    backends: Mapping[str, Backend],
    owned: Sequence[Backend],
    timeout: float | None,
) -> None:
    if dispatcher.is_inherited:
        return
    try:
        dispatcher.close(timeout=timeout)
    finally:
        for backend in backends.values():
            if backend in owned:
                backend.close()
            elif isinstance(backend, Remote):
                backend.release()  # the user's own may be used again; nothing is kept open
