"""Where everything that a trace needs comes together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from efaas.model.job import CPU, JobState
from efaas.model.standing import Standing
from efaas.model.trace import TracedLoop
from efaas.observe.run_log import RunLog
from efaas.observe.trace import Recording
from efaas.observe.view import LoopNow, UnfinishedJob, present_tables

if TYPE_CHECKING:
    from efaas.model.calibration import Calibration
    from efaas.model.events import LoopEvent
    from efaas.model.job import Job
    from efaas.model.profile import CircuitProfile
    from efaas.observe.summary import Table
    from efaas.observe.tape import RunTape, Tape
    from efaas.policies.budget import Spending
    from efaas.policies.placement import Explanation

__all__ = ["Pinned", "Sight"]


class Pinned(Protocol):
    """Where a loop is, as its session says it."""

    @property
    def explanation(self) -> Explanation:
        """Why it is there."""
        ...

    @property
    def profile(self) -> CircuitProfile:
        """Its circuit as compiled there."""
        ...

    @property
    def calibration_id(self) -> str:
        """The calibration that it is compiled for."""
        ...


class Calibrated(Protocol):
    """A backend that says by which numbers it goes."""

    def calibration(self) -> Calibration:
        """The present one."""
        ...


@runtime_checkable
class Spends(Protocol):
    """A backend at a provider that charges."""

    def spending(self) -> Spending:
        """What was spent so far."""
        ...


class KnowsLoops(Protocol):
    """The loops of a session."""

    @property
    def events(self) -> tuple[LoopEvent, ...]:
        """What happened to them."""
        ...

    def pin_of(self, loop_id: str) -> Pinned | None:
        """Where a loop is, or None for a loop of another session."""
        ...


class Sight:
    """One session as it is seen from outside."""

    def __init__(
        self,
        tape: Tape,
        *,
        loops: KnowsLoops,
        backends: Mapping[str, Calibrated],
        seed: int,
        tenant: str,
    ) -> None:
        """Begin to look.

        Args:
            tape: What the session does is written on it.
            loops: Those of the session.
            backends: Those of the session, by name.
            seed: The session's.
            tenant: The session's.
        """
        self.tape = tape
        self._known = loops
        self._backends = backends
        self._seed = seed
        self._tenant = tenant
        self._opened_at = tape.now()

    def recording(self) -> Recording:
        """What the session did until now."""
        return Recording(
            self.tape,
            events=self._known.events,
            loops=self.loops,
            opened_at=self._opened_at,
            taken_on=datetime.now(UTC).isoformat(timespec="seconds"),
            seed=self._seed,
            tenant=self._tenant,
        )

    def present(
        self,
        jobs: Sequence[tuple[Job, JobState, bool, float | None]],
        served: dict[str, float],
        weights: dict[str, float],
    ) -> list[Table]:
        """What goes on now.

        Args:
            jobs: The unfinished jobs of every session, their states, whether each hangs on a
                guess, and since when it waits.
            served: QPU seconds of each tenant.
            weights: Weight of each tenant.
        """
        unfinished = [
            UnfinishedJob(
                job.places[0], job.tenant, job.loop_id, state is JobState.RUNNING, is_guess, at
            )
            for job, state, is_guess, at in jobs
        ]
        return present_tables(
            now=self.tape.now(),
            places=[*self._backends, CPU],
            loops=self._loops_now(),
            jobs=unfinished,
            served=served,
            weights=weights,
        )

    def _loops_now(self) -> list[LoopNow]:
        rounds = Counter(begun.loop_id for begun in self.tape.rounds.copy())
        answers = {answer.loop_id: answer for answer in self.tape.answers.copy()}
        evaluations: Counter[str] = Counter()
        for answer in self.tape.answers.copy():
            evaluations[answer.loop_id] += answer.evaluations
        found = []
        used = dict(self.tape.qpu_seconds)
        for number, (loop_id, seconds) in enumerate(used.items(), 1):
            pin = self._known.pin_of(loop_id)
            found.append(
                LoopNow(
                    loop_id,
                    f"loop {number}",
                    "" if pin is None else pin.explanation.backend,
                    rounds[loop_id],
                    evaluations[loop_id],
                    answers[loop_id].best if loop_id in answers else None,
                    seconds,
                )
            )
        return found

    def loops(self, loop_ids: Iterable[str]) -> list[TracedLoop]:
        """Where the loops are now, and why; those that are known."""
        found = []
        for loop_id in loop_ids:
            pin = self._known.pin_of(loop_id)
            if pin is not None:
                found.append(self._loop(loop_id, pin))
        return found

    def observers(self, loop_id: str) -> list[RunTape | RunLog]:
        """Who is told of a run of an optimizer on a loop."""
        tape = self.tape.run(loop_id)
        return [tape, RunLog(loop_id, tape.run)]

    def standing(self, loop_id: str, backend: str) -> Standing:
        """Where a loop stands now.

        Args:
            loop_id: The loop.
            backend: Where it is pinned.
        """
        try:
            age = self._backends[backend].calibration().age_seconds()
        except Exception:  # a device that cannot be asked now has no date
            age = None
        device = self._backends[backend]
        budget = device.spending().uses if isinstance(device, Spends) else ()
        return Standing(backend, age, self.tape.qpu_seconds.get(loop_id, 0.0), budget)

    def _loop(self, loop_id: str, pin: Pinned) -> TracedLoop:
        backend = pin.explanation.backend
        return TracedLoop(
            id=loop_id,
            backend=backend,
            reason=pin.explanation.reason,
            calibration_id=pin.calibration_id,
            calibration_taken_at=self._taken_at(backend, pin.calibration_id),
            num_qubits=pin.profile.num_qubits,
            two_qubit_gates=pin.profile.two_qubit_gates,
            depth=pin.profile.depth,
            esp=pin.profile.esp,
        )

    def _taken_at(self, backend: str, calibration_id: str) -> str | None:
        try:
            calibration = self._backends[backend].calibration()
        except Exception:  # a device that cannot be asked now has no date
            return None
        if calibration.id != calibration_id or calibration.taken_at is None:
            return None
        return calibration.taken_at.isoformat()
