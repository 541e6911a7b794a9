"""A device of IBM's service, or a fake one in the client's local testing mode, as a backend."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from efaas.backends.experiment import Experiment
from efaas.backends.protocol import Evaluation, Outcome
from efaas.backends.runtime.accounts import Accounts
from efaas.backends.runtime.arguments import check_arguments
from efaas.backends.runtime.calibrations import TrackedCalibration
from efaas.backends.runtime.client import RuntimeClient
from efaas.backends.runtime.connect import TimeLimits, connected
from efaas.backends.runtime.cost import CostEstimate, CostModel
from efaas.backends.runtime.courier import Courier, Run
from efaas.backends.runtime.faults import Redactor
from efaas.backends.runtime.modes import checked_mode, default_mode
from efaas.backends.runtime.packing import Limits
from efaas.backends.runtime.patience import Patience
from efaas.backends.runtime.pause import pause_on
from efaas.backends.runtime.planning import FormKey, Planner, most_shots
from efaas.backends.runtime.primitives import checked_options
from efaas.backends.runtime.provider_session import ProviderSessions
from efaas.backends.runtime.retry import RetryPolicy
from efaas.backends.runtime.round import Round
from efaas.backends.runtime.running import RoundRunner
from efaas.backends.runtime.status import PendingJob, QueueWatch, RuntimeStatus
from efaas.backends.warm_cache import WarmCache
from efaas.clock import SystemClock
from efaas.errors import (
    InputError,
    ProviderError,
    ShotsError,
)
from efaas.model.profile import CircuitProfile
from efaas.model.quantities import is_count
from efaas.policies.budget import NO_BUDGET, Budget

if TYPE_CHECKING:
    from efaas.backends.protocol import ProviderSessionLog, SpendingLog, SubmissionLog
    from efaas.backends.runtime.provider_session import OnExpiry
    from efaas.backends.runtime.session_state import ProviderEvent
    from efaas.clock import Clock
    from efaas.model.calibration import Calibration
    from efaas.policies.budget import Spending

__all__ = ["RuntimeBackend"]

_TYPICAL_SHOTS = 4096
_MOST_POINTS = 100_000  # of an estimate of costs


class RuntimeBackend:
    """A device of IBM's service; see ``Backend`` for the methods not described here.

    All evaluations of a round go in as few jobs as the provider's limits allow, what is committed
    first. Provider sessions are opened at the first job and closed with the session, on errors,
    and when the interpreter exits. Nothing is submitted that would pass the budget.

    A fake device, by name or as an object, is simulated by the vendor's own primitives in their
    local testing mode: the same code runs, and no service is asked.

    What hardware measures is not seeded. In local testing mode, and with ``seeded=True``, the
    result of a point is a function of its angles, its seed and the calibration.

    Attributes:
        name: The device's name.
        num_qubits: Its width.
        cache: Its warm calibration cache.
        slots: Rounds that are sent ahead, so that the device goes from one to the next.

    Example:
        >>> backend = RuntimeBackend("fake_manila")
        >>> backend.mode, backend.num_qubits
        ('job', 5)
        >>> backend.close()
    """

    def __init__(
        self,
        device: Any,
        *,
        mode: str | None = None,
        options: Any = None,
        sampler_options: Any = None,
        service: Any = None,
        instance: str | None = None,
        calibration_id: str | None = None,
        use_fractional_gates: bool = False,
        max_session_seconds: int | None = None,
        on_expiry: OnExpiry = "renew",
        budget: Budget | None = None,
        limits: Limits | None = None,
        time_limits: TimeLimits | None = None,
        retries: RetryPolicy | None = None,
        rounds_ahead: int = 2,
        calibration_seconds: float = 300.0,
        seeded: bool | None = None,
        name: str | None = None,
        cache: WarmCache | None = None,
        optimization_level: int = 3,
        seed_transpiler: int = 11,
        clock: Clock | None = None,
    ) -> None:
        """Connect to a device; nothing is run, and no session is opened yet.

        Args:
            device: The name of a device such as ``"ibm_torino"``, a backend object of
                ``QiskitRuntimeService``, or a fake device by name or as an object.
            mode: ``"session"`` keeps the device and is billed by the wall clock; ``"batch"`` and
                ``"job"`` are billed by QPU time. None for the best that the account may use.
            options: For the vendor's ``Estimator``: a mapping such as
                ``{"resilience_level": 1, "dynamical_decoupling": {"enable": True}}``, or its
                ``EstimatorOptions``.
            sampler_options: The same for its ``Sampler``; by default what of ``options`` it has.
            service: A ``QiskitRuntimeService``; None for the saved account.
            instance: Which of the account's instances; None for the service's choice.
            calibration_id: A calibration to stay with; None for the latest.
            use_fractional_gates: Whether the device's fractional gates are used.
            max_session_seconds: How long a provider session may last; None for what the plan
                allows.
            on_expiry: When a provider session has ended before the loop: ``"renew"`` opens
                another, ``"stop"`` ends the loop with the best so far.
            budget: What may be spent, with a journal over all runs of it; None for no bounds.
            limits: What the provider takes in one job.
            time_limits: How long is waited for what.
            retries: When a failed request is made again.
            rounds_ahead: Rounds that are at the provider at a time, at least 1.
            calibration_seconds: How often the service is asked for a new calibration; it is done
                while a job is waited for.
            seeded: Whether seeds are passed to the device: only simulators take them. By default
                in local testing mode.
            name: What to call it; by default its own name.
            cache: Where compiled forms are kept; by default a new one.
            optimization_level: Of the transpiler, 0 to 3.
            seed_transpiler: Seed of the transpiler.
            clock: What times are measured by; by default the system's.

        Raises:
            UnknownBackendError: The account has no device of that name.
            AccessError: There is no account, or the service does not let it in.
            UnavailableError: The service cannot be reached.
            InputError: An argument is out of its range.
        """
        check_arguments(
            service=service,
            instance=instance,
            calibration_id=calibration_id,
            use_fractional_gates=use_fractional_gates,
            max_session_seconds=max_session_seconds,
            on_expiry=on_expiry,
            budget=budget,
            limits=limits,
            time_limits=time_limits,
            retries=retries,
            rounds_ahead=rounds_ahead,
            calibration_seconds=calibration_seconds,
            seeded=seeded,
            name=name,
            cache=cache,
            optimization_level=optimization_level,
            seed_transpiler=seed_transpiler,
            clock=clock,
        )
        checked_mode(mode)
        self._options = checked_options(options, sampler_options)
        time_limits = time_limits or TimeLimits()
        self._clock = clock or SystemClock()
        self._limits = limits or Limits()
        redactor = Redactor()
        pause = pause_on(self._clock)
        retries = retries or RetryPolicy()
        found = connected(
            device,
            service=service,
            instance=instance,
            calibration_id=calibration_id,
            use_fractional_gates=use_fractional_gates,
            limits=time_limits,
            redactor=redactor,
            patience=Patience(retries, pause),
        )
        self._disconnect = weakref.finalize(self, found.disconnect)
        self._client = RuntimeClient(
            found.device,
            options=self._options,
            pause=pause,
            policy=retries,
            redactor=redactor,
            is_local=found.is_local,
        )
        self.name = name or self._client.name
        self.cache = WarmCache() if cache is None else cache
        self.slots = 1 if found.is_local else rounds_ahead
        self._calibrations = TrackedCalibration(
            self._client,
            self.name,
            settings={
                "optimization_level": optimization_level,
                "seed_transpiler": seed_transpiler,
            },
            refresh_seconds=calibration_seconds,
            clock=self._clock,
            changed=self._calibration_changed,
        )
        self.num_qubits = self._calibrations.present.device.num_qubits
        self._cost = CostModel.of(found.device)
        unwanted: set[int] = set()
        self._planner = Planner(
            self.name,
            cache=self.cache,
            options=self._options,
            limits=self._limits,
            most_shots=None if found.is_local else most_shots(found.device),
            cost=self._cost,
            settings=(optimization_level, seed_transpiler, use_fractional_gates),
            is_local=found.is_local,
            is_seeded=found.is_local if seeded is None else seeded,
            is_unwanted=unwanted.__contains__,
        )
        self._plan = self._client.plan() if mode is None else None
        chosen = mode or default_mode(self._plan, is_local=found.is_local)
        if found.is_local:
            chosen = "job"
        self._accounts = Accounts(
            budget or NO_BUDGET,
            bills_sessions=chosen == "session",
            measured=lambda job: self._client.measured(job).qpu_seconds,
            used=self._client.used,
            learned=self._cost.learn,
            now=self._clock.now,
        )
        self._sessions = ProviderSessions(
            self._client,
            chosen,
            may_fall_back=mode is None,
            max_seconds=max_session_seconds,
            on_expiry=on_expiry,
            clock=self._clock,
            allowance=lambda: self._accounts.seconds_for_a_session(self._sessions.lasted()),
            opened=lambda used: self._accounts.bill_sessions(used == "session"),
        )
        self._courier = Courier(
            self._client,
            self._sessions,
            self._accounts,
            self._calibrations,
            limits=time_limits,
            clock=self._clock,
            pause=pause,
        )
        self._queue = QueueWatch(self._client, self._clock)
        self._is_closed = False
        self._runner = RoundRunner(
            self._client,
            self._planner,
            self._courier,
            self._calibrations,
            pending_jobs=self._limits.pending_jobs,
            is_closed=lambda: self._is_closed,
            unwanted=unwanted,
        )

    # What a scheduler asks of every backend.

    def calibration(self) -> Calibration:
        """The latest calibration that is known; asks nobody."""
        return self._calibrations.present.calibration

    def profile(self, experiment: Experiment) -> CircuitProfile:
        """The experiment as compiled for this device; compiles it if it is cold.

        Raises:
            CircuitError: This device can never run it.
        """
        in_force = self._calibrations.present
        form, is_warm = self._planner.form(experiment, in_force)
        age = in_force.calibration.age_seconds(datetime.now(UTC))
        return CircuitProfile(
            backend=self.name,
            num_qubits=len(form.active),
            depth=form.depth,
            two_qubit_gates=form.two_qubit_gates,
            layout=form.layout,
            seconds=form.seconds,
            is_warm=is_warm,
            ln_gates=form.fidelity.gates,
            ln_readout=form.fidelity.readout,
            ln_idle=form.fidelity.idle,
            has_dead_gate=form.has_dead_gate,
            calibration_age_seconds=0.0 if age is None else max(0.0, age),
            cold_seconds=self._queue.seconds(),
        )

    def execute(self, evaluations: Sequence[Evaluation]) -> Sequence[Outcome | Exception]:
        """Run the evaluations in one round: one outcome, or error, for each, in order."""
        return self._runner.run(evaluations)

    def execute_logged(
        self, evaluations: Sequence[Evaluation], log: SubmissionLog
    ) -> Sequence[Outcome | Exception]:
        """As ``execute``, telling the log of each job: before, once it was taken, and its end.

        Raises:
            ProviderError: What became of a job is not known; ``reattach`` finds that out.
        """
        return self._runner.run(evaluations, log)

    def reattach(self, submission: Any) -> Sequence[Outcome | Exception] | None:
        """The results of a job of an earlier process; waits for it.

        Args:
            submission: With the ``tag``, ``job_id`` and ``payload`` that were written down.

        Returns:
            An outcome, or error, for each of its evaluations, in order, of the points that are in
            the job; None if the provider has no such job.

        Raises:
            ProviderError: It is not known what became of it.
        """
        return self._runner.reattach(submission.tag, submission.job_id, submission.payload)

    def cancel(self, evaluations: Sequence[Evaluation]) -> None:
        """Nobody waits for these any more: jobs that hold nothing else are cancelled there."""
        self._runner.give_up(evaluations)

    def keep_sessions_in(self, log: ProviderSessionLog) -> None:
        """Write provider sessions down there, and see to those that an earlier process left."""
        self._sessions.keep_in(log)

    def keep_accounts_in(self, log: SpendingLog) -> None:
        """Write down there what jobs cost, and go on from what earlier processes have spent."""
        self._accounts.keep_in(log)

    def release(self) -> None:
        """Close the provider session, if one is open; a later job opens another."""
        self._sessions.close(drop_jobs=bool(self._courier.runs))
        for _ in range(10):  # what was not known when the jobs ended may be by now
            if not self._accounts.settle_late(at_once=True):
                break

    def close(self) -> None:
        """Cancel what runs, close the provider session, and run nothing more."""
        if self._is_closed:
            return
        self._is_closed = True
        self._client.stop()
        self._courier.wake()
        self._sessions.close(drop_jobs=bool(self._courier.runs))
        self._disconnect()

    # What a user may want to know.

    @property
    def mode(self) -> str:
        """What is used now: "session", "batch" or "job"."""
        return self._sessions.mode

    @property
    def plan(self) -> str | None:
        """The plan of the account's instance, where it was looked at to choose a mode."""
        return self._plan

    @property
    def events(self) -> tuple[ProviderEvent, ...]:
        """What happened at the provider: sessions opened, ended and closed, outages, changes."""
        return self._sessions.events

    def calibration_age_seconds(self) -> float | None:
        """Seconds since the calibration in force was taken; None where that is not known."""
        return self.calibration().age_seconds()

    def refresh_calibration(self) -> Calibration:
        """Ask the service for the latest calibration now, and return it."""
        self._calibrations.refresh()
        return self.calibration()

    def spending(self) -> Spending:
        """What was spent so far: expected before, measured after; by earlier runs, too."""
        self._accounts.note_sessions(self._sessions.lasted())
        return self._accounts.spending()

    def status(self) -> RuntimeStatus:
        """The device, the provider session, and the jobs on their way; asks the service."""
        device = self._client.device_status()
        jobs = []
        for run in list(self._courier.runs):
            measured = self._client.measured(run.job)
            jobs.append(
                PendingJob(
                    id=str(run.job_id),
                    tag=run.tag,
                    state=self._client.status(run.job),
                    queue_position=measured.queue_position,
                    expected_start=measured.expected_start,
                    qpu_seconds=measured.qpu_seconds,
                    points=len(run.planned.members),
                )
            )
        return RuntimeStatus(
            backend=self.name,
            is_operational=device.is_operational,
            message=device.message,
            pending_jobs=device.pending_jobs,
            mode=self.mode,
            session=self._sessions.state,
            session_seconds=self._sessions.lasted().total,
            jobs=tuple(jobs),
        )

    def cost(
        self,
        circuit: Any,
        observables: Any = None,
        *,
        shots: int = _TYPICAL_SHOTS,
        points: int = 1,
        dry_run: bool = False,
    ) -> CostEstimate:
        """What a round of evaluations would take; nothing is run.

        Args:
            circuit: What to evaluate.
            observables: One or several to estimate; None to sample what the circuit measures.
            shots: Shots of each measurement setting.
            points: How many sets of parameter values, in one round; at most 100,000.
            dry_run: Ask the service instead of the formula: a job is sent to the device's mock,
                where there is one. Costs requests, and no QPU time.

        Raises:
            CircuitError: This device cannot run it.
            ShotsError: ``shots`` is below 1.
            InputError: ``points`` is out of its range.
            ResourceLimitError: A single point passes the provider's limits.
            ProviderError: The service gives no dry run.
        """
        if not is_count(shots):
            raise ShotsError(f"shots must be a whole number of at least 1, got {shots!r}")
        if not is_count(points) or points > _MOST_POINTS:
            raise InputError(f"points must be 1 to {_MOST_POINTS:,}, got {points!r}")
        if observables is None:
            experiment = Experiment.sample(circuit)
        else:
            several = observables if isinstance(observables, list | tuple) else [observables]
            experiment = Experiment.estimate(circuit, several)
        angles = np.zeros((points, experiment.num_slots))
        evaluation = Evaluation(experiment, angles, shots, tuple(range(points)))
        jobs = self._planned([evaluation])
        seconds = sum(run.planned.load.seconds for run in jobs)
        source = "formula"
        if dry_run:
            seconds, source = sum(map(self._dry_run, jobs)), "dry run"
        price = self._accounts.spending().budget.price_per_second
        money = None if price is None else price * seconds
        return CostEstimate(len(jobs), seconds, source, money)

    def __repr__(self) -> str:
        where = "local testing mode" if self._client.is_local else f"mode {self.mode!r}"
        return f"<RuntimeBackend {self.name!r}: {self.num_qubits} qubits, {where}>"

    # Inside.

    def _calibration_changed(self, before: Calibration, after: Calibration) -> None:
        self.cache.drop(
            lambda key: (
                isinstance(key, FormKey)
                and key.backend == self.name
                and key.calibration_id == before.id
            )
        )
        taken = "" if after.taken_at is None else f", taken at {after.taken_at.isoformat()}"
        self._sessions.note("calibration", f"calibration {after.id} is in force{taken}")

    def _planned(self, evaluations: Sequence[Evaluation]) -> list[Run]:
        round_ = Round(evaluations)
        runs = self._planner.runs_of(round_, self._calibrations.present)
        for error in round_.errors.values():
            raise error
        return runs

    def _dry_run(self, run: Run) -> float:
        from efaas.backends.runtime.client import Order

        if self._client.is_local:
            raise InputError(
                f"{self.name} is simulated here, so there is no service to ask for a dry run"
            )
        order = Order(run.planned.kind, run.pubs, run.planned.shots, "efaas-dry-run")
        job = self._client.submit(order, self._client.device, dry_run=True)
        expected = self._client.expected_usage(job)
        if expected is None:
            raise ProviderError("the service gave no estimate for a dry run", job_id=job.job_id())
        return expected
