"""The recorder: adds up what happened to each session's jobs, in memory that does not grow."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from efaas.model.job import CPU, JobState
from efaas.observe.report import BackendTotals, CheckTotals, SessionReport
from efaas.observe.tape import EndedJob, Tape

if TYPE_CHECKING:
    from efaas.observe.report import Alternatives
    from efaas.observe.trace import Recording, Trace
    from efaas.policies.budget import Spending

__all__ = ["FinishedJob", "Recorder"]


class FinishedJob(EndedJob, Protocol):
    """A job that has ended, and whether it was still speculative then."""

    speculative: bool


class Recorder:
    """Sums of times and counts, per session.

    One thread at a time may tell it of a job; any thread may read.
    """

    def __init__(self) -> None:
        self._places: defaultdict[int, dict[str, _Sums]] = defaultdict(dict)
        self._tapes: dict[int, Tape] = {}
        self._tenants: dict[int, str] = {}

    def tape(self, session_id: int, now: Callable[[], float], tenant: str) -> Tape:
        """Begin to write down what a session does.

        Args:
            session_id: Which session.
            now: The clock of its instants.
            tenant: Who is charged for it.
        """
        tape = self._tapes[session_id] = Tape(now)
        self._tenants[session_id] = tenant
        return tape

    def served(self) -> dict[str, float]:
        """QPU seconds by tenant, of the sessions that are not forgotten."""
        seconds = dict.fromkeys(self._tenants.values(), 0.0)
        for session_id, tenant in list(self._tenants.items()):
            places = dict(self._places.get(session_id, {}))
            seconds[tenant] += sum(s.busy_seconds for name, s in places.items() if name != CPU)
        return seconds

    def job_finished(self, finished: FinishedJob) -> None:
        """Add a job that has ended to its session's sums."""
        if finished.where is None:
            return  # cancelled before it went anywhere
        places = self._places[finished.job.session_id]
        sums = places.get(finished.where)
        if sums is None:
            sums = places[finished.where] = _Sums()
        sums.add(finished)
        tape = self._tapes.get(finished.job.session_id)
        if tape is not None:
            tape.ended(finished)

    def job_recalled(self, recalled: EndedJob) -> None:
        """Write down a job that the session's journal answered; it is in no sum."""
        tape = self._tapes.get(recalled.job.session_id)
        if tape is not None:
            tape.recalled(recalled)

    def guesses_settled(self, session_id: int, job_ids: Sequence[int], *, is_hit: bool) -> None:
        """Write down whether guesses of a session came true."""
        tape = self._tapes.get(session_id)
        if tape is not None:
            tape.settled(job_ids, is_hit=is_hit)

    def report(
        self,
        session_id: int,
        *,
        seconds: float,
        hits: int,
        misses: int,
        checks: CheckTotals,
        recalled: int = 0,
        spending: Mapping[str, Spending] | None = None,
        recording: Recording | None = None,
        play: Callable[[Trace], Alternatives] | None = None,
    ) -> SessionReport:
        """The sums of one session so far.

        Args:
            session_id: Which session.
            seconds: How long it has been open.
            hits: Guesses of ``speculate`` that came true.
            misses: Values for which none did.
            checks: What looking after the devices took.
            recalled: Points whose values were taken from the session's journal.
            spending: What was spent at providers, by backend.
            recording: What the session did, one by one.
            play: Plays a trace again under other policies.
        """
        sums = dict(self._places.get(session_id, {}))
        places = {name: place.totals() for name, place in sums.items()}
        return SessionReport(
            seconds=seconds,
            classical=places.pop(CPU, BackendTotals()),
            backends=places,
            hits=hits,
            misses=misses,
            checks=checks,
            recalled=recalled,
            spending=spending or {},
            recording=recording,
            play=play,
        )

    def forget(self, session_id: int) -> None:
        """Drop a session's sums."""
        self._places.pop(session_id, None)
        self._tapes.pop(session_id, None)
        self._tenants.pop(session_id, None)


class _Sums:
    """``BackendTotals`` while they grow."""

    __slots__ = BackendTotals.__dataclass_fields__.keys()

    def __init__(self) -> None:
        self.jobs = self.evaluations = self.failed = self.cancelled = self.speculative = 0
        self.queue_seconds = self.run_seconds = self.busy_seconds = 0.0

    def add(self, finished: FinishedJob) -> None:
        self.jobs += 1
        if finished.state is JobState.DONE:
            self.evaluations += finished.points
        self.failed += finished.state is JobState.FAILED
        self.cancelled += finished.state is JobState.CANCELLED
        self.speculative += finished.speculative
        self.busy_seconds += finished.usage.qpu_seconds + finished.usage.cpu_seconds
        if finished.dispatched_at is not None and finished.finished_at is not None:
            self.queue_seconds += finished.dispatched_at - finished.submitted_at
            self.run_seconds += finished.finished_at - finished.dispatched_at

    def totals(self) -> BackendTotals:
        return BackendTotals(**{name: getattr(self, name) for name in self.__slots__})
