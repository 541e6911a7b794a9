"""What a backend is: somewhere that evaluations run.

An ``Experiment`` says what is measured, independent of any device. An ``Evaluation`` asks for
it at one or more points. A ``Backend`` answers with one ``Outcome`` per evaluation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from efaas.backends.experiment import Experiment
    from efaas.backends.warm_cache import WarmCache
    from efaas.model.calibration import Calibration
    from efaas.model.job import Usage
    from efaas.model.profile import CircuitProfile
    from efaas.model.record import (
        JobSpend,
        ProviderSessionRecord,
        Reservation,
        Submission,
    )
    from efaas.policies.budget import Spending

__all__ = [
    "Backend",
    "Estimates",
    "Evaluation",
    "KeepsAccounts",
    "KeepsSessions",
    "Outcome",
    "ProviderSessionLog",
    "Reattachable",
    "Remote",
    "Samples",
    "SpendingLog",
    "SubmissionLog",
]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """An experiment at one or more points.

    Attributes:
        experiment: What is measured.
        angles: Angle slots of the experiment, one row per point, shape ``(points, slots)``, finite.
        shots: Shots of each measurement setting, or None for the exact noisy expectation.
        seeds: One 128-bit seed per point; the point's result is a function of it, of the
            angles and of the calibration, and of nothing else.
        wanted: For each point the indices of the observables to estimate; None for all of them
            at every point.
    """

    experiment: Experiment
    angles: NDArray[np.float64]
    shots: int | None
    seeds: tuple[int, ...]
    wanted: tuple[tuple[int, ...], ...] | None = None

    def at(self, points: Sequence[int]) -> Evaluation:
        """The same at some of the points; their results stay the same too."""
        chosen = list(points)
        return replace(
            self,
            angles=self.angles[chosen],
            seeds=tuple([self.seeds[point] for point in chosen]),
            wanted=None if self.wanted is None else tuple([self.wanted[p] for p in chosen]),
        )


@dataclass(frozen=True, slots=True)
class Estimates:
    """Expectation values.

    Attributes:
        evs: Shape ``(points, observables)``; NaN where an observable was not wanted.
        stds: Standard errors of ``evs``, same shape; 0 for exact expectations.
    """

    evs: NDArray[np.float64]
    stds: NDArray[np.float64]

    @property
    def num_points(self) -> int:
        """How many points were estimated."""
        return len(self.evs)

    def followed_by(self, other: Estimates) -> Estimates:
        """These points and then the other's, of the same experiment."""
        import numpy as np

        return Estimates(
            np.concatenate([self.evs, other.evs]), np.concatenate([self.stds, other.stds])
        )


@dataclass(frozen=True, slots=True)
class Samples:
    """Measured bits.

    Attributes:
        registers: For each of the experiment's ``register_names``, in their order, the packed
            outcomes as Qiskit's ``BitArray`` holds them: ``uint8`` of shape ``(points, shots,
            bytes)``.
        num_bits: Width of each register.
    """

    registers: dict[str, NDArray[np.uint8]]
    num_bits: dict[str, int]

    @property
    def num_points(self) -> int:
        """How many points were sampled."""
        return len(next(iter(self.registers.values())))

    def followed_by(self, other: Samples) -> Samples:
        """These points and then the other's, of the same experiment."""
        import numpy as np

        registers = {
            name: np.concatenate([bits, other.registers[name]])
            for name, bits in self.registers.items()
        }
        return Samples(registers, self.num_bits)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer to one evaluation.

    Attributes:
        value: Its estimates or samples.
        usage: What it cost.
        calibration_id: The calibration it ran under.
        waited_seconds: How much of its attempt went by before its first shot, as in a provider's
            queue.
        compile_seconds: How much of the attempt was compiling, since the circuit was cold.
    """

    value: Estimates | Samples
    usage: Usage
    calibration_id: str | None = None
    waited_seconds: float = field(default=0.0, kw_only=True)
    compile_seconds: float = field(default=0.0, kw_only=True)

    def followed_by(self, other: Outcome) -> Outcome:
        """The outcome of an evaluation that was cut, from its two parts; what the first cost."""
        value = self.value.followed_by(other.value)  # type: ignore[arg-type]
        return Outcome(value, self.usage, other.calibration_id)


@runtime_checkable
class Backend(Protocol):
    """Somewhere that evaluations run. All methods may be called from any thread.

    Attributes:
        name: Unique within a scheduler.
        num_qubits: Width of the device.
        cache: Its warm calibration cache.
    """

    name: str
    num_qubits: int
    cache: WarmCache

    def calibration(self) -> Calibration:
        """The calibration that a run starting now would use; asked before every round."""
        ...

    def profile(self, experiment: Experiment) -> CircuitProfile:
        """The experiment as compiled for the present calibration; compiles it if it is cold.

        Its fidelity is what is expected at the calibration's age, where the backend can say.

        Raises:
            CircuitError: This backend can never run it.
        """
        ...

    def execute(self, evaluations: Sequence[Evaluation]) -> Sequence[Outcome | Exception]:
        """Run the evaluations in one round: one outcome, or error, for each, in order."""
        ...

    def close(self) -> None:
        """Release what the backend holds; it may be called twice."""
        ...


class SubmissionLog(Protocol):
    """Where a backend writes down the provider's jobs that it makes of a round."""

    def sending(
        self,
        evaluations: Sequence[int],
        payload: str = "",
        points: Sequence[Sequence[int]] | None = None,
        reservation: Reservation | None = None,
    ) -> str:
        """A job is about to be sent; returns the tag to put on it.

        When this returns, it is written down for good; if it raises, send nothing.

        Args:
            evaluations: Which of the round's evaluations are in the job, in the job's order.
            payload: What ``reattach`` will need to read the result.
            points: Which points of each of these are in it, where an evaluation is split over
                several jobs; all of them if None.
            reservation: What it may take, of a backend that keeps accounts.
        """
        ...

    def accepted(self, tag: str, job_id: str) -> None:
        """The provider has taken the job, under this id."""
        ...

    def refused(self, tag: str, reason: str) -> None:
        """The provider has certainly not taken the job, nor will it."""
        ...

    def ended(self, tag: str, outcomes: Sequence[Outcome | Exception]) -> None:
        """The job has ended; told as soon as it is known, whatever becomes of the round's others.

        Args:
            tag: Which job.
            outcomes: An outcome, or error, for each of its evaluations, in the job's order, of
                the points that are in the job.
        """
        ...


@runtime_checkable
class Reattachable(Protocol):
    """A backend whose jobs go on elsewhere when this process ends.

    What has to be told apart is whether a job's fate is known. An exception that is *returned* in
    an evaluation's place says that the job has ended, and that this was its end. An exception
    that is *raised* says that the job may still run, or may have run: it is asked for again, by
    ``reattach``, before anything is sent once more.
    """

    def execute_logged(
        self, evaluations: Sequence[Evaluation], log: SubmissionLog
    ) -> Sequence[Outcome | Exception]:
        """As ``execute``, telling the log of each job: before, once it was taken, and its end."""
        ...

    def reattach(self, submission: Submission) -> Sequence[Outcome | Exception] | None:
        """The results of a job of an earlier process, or of an earlier attempt; waits for it.

        Args:
            submission: The job; without a ``job_id`` it is looked for by its tag.

        Returns:
            An outcome, or error, for each of its evaluations, in order, of the points that are in
            the job; None if the provider has no such job.
        """
        ...


class ProviderSessionLog(Protocol):
    """Where a backend's provider sessions are written down."""

    def known(self) -> Sequence[ProviderSessionRecord]:
        """Those of earlier processes, in the order in which they were opened."""
        ...

    def opened(self, session_id: str, mode: str) -> None:
        """One was opened; it is written down for good when this returns."""
        ...

    def lasted(self, session_id: str, seconds: float) -> None:
        """One has lasted so long by now, from its first job on."""
        ...

    def ended(self, session_id: str, seconds: float | None) -> None:
        """One is closed, or takes no more jobs, and has lasted so long, where that is known."""
        ...


@runtime_checkable
class KeepsSessions(Protocol):
    """A backend that keeps provider sessions open between its jobs."""

    def keep_sessions_in(self, log: ProviderSessionLog) -> None:
        """Write them down there, and see to those that an earlier process left open.

        One of them is used again, where it still takes jobs of this backend; the others are
        closed. It is done before the next job, or when the backend is released. How long all of
        them have lasted counts towards the backend's budget.

        Args:
            log: Kept as long as somebody else refers to it.
        """
        ...


class SpendingLog(Protocol):
    """Where it is written down what a backend's jobs have cost."""

    def spent(self) -> Sequence[JobSpend]:
        """The jobs of earlier processes that the provider has, or may have, taken."""
        ...

    def measured(self, tag: str, job_id: str | None, seconds: float | None) -> None:
        """A job has ended and took so many QPU seconds; None while the provider has not said."""
        ...


@runtime_checkable
class KeepsAccounts(Protocol):
    """A backend with a budget, which is to hold for a run over all its lives."""

    def keep_accounts_in(self, log: SpendingLog) -> None:
        """Write down there what jobs cost, and go on from what earlier processes have spent.

        Args:
            log: Kept as long as somebody else refers to it.
        """
        ...


@runtime_checkable
class Remote(Protocol):
    """What a backend has beside the methods of ``Backend`` if its jobs run elsewhere.

    Attributes:
        slots: Rounds that are sent there at a time.
    """

    slots: int

    def cancel(self, evaluations: Sequence[Evaluation]) -> None:
        """Nobody waits any more for these, which are being executed; returns at once."""
        ...

    def release(self) -> None:
        """Let go of what is kept, or billed, between jobs; they may come again later."""
        ...

    def spending(self) -> Spending:
        """What was spent there so far."""
        ...
