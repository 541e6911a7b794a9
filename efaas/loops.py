"""A session's loops: each pinned to one backend, each with a stream of seeds of its own."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from efaas.dispatch.points import Points
from efaas.dispatch.scope import Request
from efaas.errors import CircuitError, CircuitTooWideError
from efaas.model.seeding import Stream

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from efaas.backends.experiment import Experiment
    from efaas.backends.protocol import Backend, Outcome
    from efaas.branch import Branch
    from efaas.dispatch import Dispatcher, Guess, SessionScope
    from efaas.future import QuantumFuture
    from efaas.model.profile import CircuitProfile

__all__ = ["Loop", "Loops"]


@dataclass(frozen=True, slots=True)
class Loop:
    """Evaluations of one experiment that are compared with each other.

    Attributes:
        id: Unique within the scheduler.
        place: The backend that it is pinned to.
        stream: Its seeds.
        profile: The experiment as compiled there.
        scope: Where it submits.
    """

    id: str
    place: str
    stream: Stream
    profile: CircuitProfile
    scope: SessionScope

    def submit(
        self,
        experiment: Experiment,
        angles: NDArray[np.float64],
        *,
        shots: int | None,
        wanted: tuple[tuple[int, ...], ...] | None = None,
        convert: Callable[[Outcome], Sequence[Any]] | None = None,
        futures: int = 1,
    ) -> Sequence[QuantumFuture[Any]]:
        """Queue points as one job.

        Args:
            experiment: What to measure.
            angles: Its slots' angles, shape ``(points, slots)``.
            shots: Shots of each measurement setting, or None for exact expectations.
            wanted: For each point the observables to estimate; all of them if None.
            convert: Makes the futures' values; the ``Outcome`` itself if None.
            futures: How many to return: one, or one per point.

        Raises:
            ClosedError: The session is closed.
            BranchRolledBack: The current branch was rolled back.
        """
        return self.scope.submit(
            self._request(experiment, Points(angles, shots, convert, futures), wanted)
        )

    def submit_round(
        self,
        experiment: Experiment,
        asked: Sequence[Points],
        guessed: Sequence[tuple[Points, Guess | None]] = (),
    ) -> tuple[list[Sequence[QuantumFuture[Any]]], list[Guess]]:
        """Queue points that are asked for, and guesses that would like to share their round.

        Args:
            experiment: What to measure.
            asked: What is asked for, a job each; at least one.
            guessed: What may yet be asked for, and for a further evaluation of a guessed point
                the guess that comes before it.

        Returns:
            The futures of what is asked for, and the guesses; each in order.

        Raises:
            ClosedError: The session is closed.
            BranchRolledBack: The current branch was rolled back.
        """
        return self.scope.submit_round(
            [self._request(experiment, points) for points in asked],
            [(self._request(experiment, points), after) for points, after in guessed],
        )

    def _request(
        self,
        experiment: Experiment,
        points: Points,
        wanted: tuple[tuple[int, ...], ...] | None = None,
    ) -> Callable[[Branch], Request]:
        from efaas.backends.protocol import Evaluation

        angles, shots, convert, futures = points
        # Adding 0.0 makes the two zeros one point.
        rows = [row.tobytes() for row in angles + 0.0]
        keys = self.stream.keys(rows, _asked_for(len(angles), shots, wanted))

        def request(branch: Branch) -> Request:
            seeds = [self.stream.seed(key, branch.next_occurrence(key)) for key in keys]
            evaluation = Evaluation(experiment, angles, shots, tuple(seeds), wanted)
            return Request(evaluation, self.place, self.id, self.profile.seconds, convert, futures)

        return request


class Loops:
    """Opens a session's loops, and knows those that are open. Safe to use from several threads."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        scope: SessionScope,
        backends: Mapping[str, Backend],
        *,
        session_id: int,
        seed: int,
    ) -> None:
        self._dispatcher = dispatcher
        self._scope = scope
        self._backends = backends
        self._session_id = session_id
        self._seed = seed
        self._lock = threading.Lock()
        self._loops: dict[str, Loop] = {}
        self._objectives_of: Counter[str] = Counter()

    def of_objective(self, experiment: Experiment) -> Loop:
        """A new loop; the n-th of one experiment has the n-th stream of seeds.

        Raises:
            CircuitError: No backend here can run the circuit.
            ClosedError: The session is closed.
        """
        with self._lock:
            self._objectives_of[experiment.fingerprint] += 1
            ordinal = self._objectives_of[experiment.fingerprint]
        return self.named(experiment, f"objective {experiment.fingerprint} {ordinal}")

    def of_primitive(self, experiment: Experiment, name: str) -> Loop:
        """The loop of that name for the experiment, opened if it is new.

        Raises:
            CircuitError: No backend here can run the circuit.
            ClosedError: The session is closed.
        """
        return self.named(experiment, f"{name} {experiment.fingerprint}")

    def named(self, experiment: Experiment, name: str) -> Loop:
        """The loop of that name; pinned and warmed if it is new."""
        known = self._loops.get(name)
        if known is not None:
            return known
        with self._lock:
            if name not in self._loops:
                self._loops[name] = self._open(experiment, name)
            return self._loops[name]

    def close(self) -> None:
        """Forget where the loops were pinned."""
        with self._lock:
            self._dispatcher.close_loops([loop.id for loop in self._loops.values()])

    def _open(self, experiment: Experiment, name: str) -> Loop:
        fits = [n for n, b in self._backends.items() if b.num_qubits >= experiment.num_qubits]
        if not fits:
            widest = max(backend.num_qubits for backend in self._backends.values())
            raise CircuitTooWideError(
                f"the circuit has {experiment.num_qubits} qubits; the widest backend here has "
                f"{widest}: take a larger device or a smaller circuit",
                num_qubits=experiment.num_qubits,
                available=widest,
            )
        loop_id = f"{self._session_id}/{name}"
        while True:
            place = self._dispatcher.open_loop(loop_id, fits)
            try:
                profile = self._backends[place].profile(experiment)
            except CircuitError:
                self._dispatcher.close_loops([loop_id])
                fits.remove(place)
                if not fits:
                    raise
            else:
                return Loop(loop_id, place, Stream(self._seed, name), profile, self._scope)


def _asked_for(
    points: int, shots: int | None, wanted: tuple[tuple[int, ...], ...] | None
) -> list[bytes]:
    """What tells evaluations of one point apart that ask for different things."""
    common = b"exact" if shots is None else b"%d" % shots
    if wanted is None:
        return [common] * points
    return [common + repr(indices).encode() for indices in wanted]
