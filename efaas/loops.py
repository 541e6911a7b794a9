"""A session's loops: each pinned to one backend, each with a stream of seeds of its own.

Before a loop submits, its backend's calibration is compared with the one that it was compiled for.
Where that has changed, or a job of the loop failed there for good, the scheduler decides whether
the loop stays.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from efaas.dispatch.points import Points
from efaas.dispatch.scope import Request
from efaas.errors import CircuitError, CircuitTooWideError
from efaas.model.events import LoopEvent
from efaas.model.seeding import Stream
from efaas.policies.repinning import Verdict, is_settled
from efaas.scheduler.events import LoopReconsidered

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from efaas.backends.experiment import Experiment
    from efaas.backends.protocol import Backend, Outcome
    from efaas.branch import Branch
    from efaas.dispatch import Dispatcher, Guess, SessionScope
    from efaas.future import QuantumFuture
    from efaas.model.profile import CircuitProfile
    from efaas.policies.placement import Explanation

__all__ = ["Loop", "Loops", "Pin"]

logger = logging.getLogger("efaas.loops")

_MOST_EVENTS = 10_000
"""Of one session; older ones are forgotten."""


@dataclass(frozen=True, slots=True)
class _Compiled:
    """A loop's circuit on a backend."""

    calibration_id: str
    profile: CircuitProfile


@dataclass(frozen=True, slots=True)
class Pin:
    """Where a loop is.

    Attributes:
        place: The backend.
        calibration_id: The calibration that its circuit is compiled for.
        profile: The circuit as compiled there.
        settled: The same when the loop was placed, recompiled or moved: what a later calibration
            is compared with.
        explanation: Why it is there.
    """

    place: str
    calibration_id: str
    profile: CircuitProfile
    settled: CircuitProfile
    explanation: Explanation


@dataclass(slots=True)
class Loop:
    """Evaluations of one experiment that are compared with each other.

    Attributes:
        id: Unique within the scheduler.
        experiment: What it evaluates.
        pin: Where it is; replaced as a whole.
        stream: Its seeds, whatever its backend.
        scope: Where it submits.
        heed: Moves the pin if it has to, and returns it; called before every round.
    """

    id: str
    experiment: Experiment
    pin: Pin
    stream: Stream
    scope: SessionScope
    heed: Callable[[Loop], Pin]

    @property
    def profile(self) -> CircuitProfile:
        """The experiment as compiled where the loop is."""
        return self.pin.profile

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
        points = Points(angles, shots, convert, futures)
        return self.scope.submit(self._request(self.heed(self), experiment, points, wanted))

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
        pin = self.heed(self)
        return self.scope.submit_round(
            [self._request(pin, experiment, points) for points in asked],
            [(self._request(pin, experiment, points), after) for points, after in guessed],
        )

    def _request(
        self,
        pin: Pin,
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
            return Request(evaluation, pin.place, self.id, pin.profile.seconds, convert, futures)

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
        self._moving = threading.Lock()
        self._loops: dict[str, Loop] = {}
        self._by_id: dict[str, Loop] = {}
        self._events: deque[LoopEvent] = deque(maxlen=_MOST_EVENTS)
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
                loop = self._open(experiment, name)
                self._by_id[loop.id] = self._loops[name] = loop
            return self._loops[name]

    @property
    def events(self) -> tuple[LoopEvent, ...]:
        """What happened to the loops, the oldest first."""
        with self._moving:
            return tuple(self._events)

    def explanation(self, loop_id: str) -> Explanation | None:
        """Why a loop is where it is, or None for a loop of another session."""
        loop = self._by_id.get(loop_id)
        return None if loop is None else loop.pin.explanation

    def close(self) -> None:
        """Forget where the loops were pinned."""
        with self._lock:
            self._dispatcher.close_loops([loop.id for loop in self._loops.values()])

    def _open(self, experiment: Experiment, name: str) -> Loop:
        fits = self._wide_enough(experiment)
        if not fits:
            widest = max(backend.num_qubits for backend in self._backends.values())
            raise CircuitTooWideError(
                f"the circuit has {experiment.num_qubits} qubits; the widest backend here has "
                f"{widest}: take a larger device or a smaller circuit",
                num_qubits=experiment.num_qubits,
                available=widest,
            )
        loop_id = f"{self._session_id}/{name}"
        compiled: dict[str, _Compiled] = {}
        while True:
            try:
                self._compile(compiled, self._dispatcher.to_look_at(fits), experiment)
                profiles = [form.profile for form in compiled.values()]
                explanation = self._dispatcher.open_loop(loop_id, fits, profiles)
                place = explanation.backend
                self._compile(compiled, [place], experiment)
            except _CannotRunError as error:
                self._dispatcher.close_loops([loop_id])
                fits.remove(error.place)
                if not fits:
                    raise error.reason from None
            else:
                form = compiled[place]
                pin = Pin(place, form.calibration_id, form.profile, form.profile, explanation)
                stream = Stream(self._seed, name)
                return Loop(loop_id, experiment, pin, stream, self._scope, self._heed)

    def _wide_enough(self, experiment: Experiment) -> list[str]:
        return [n for n, b in self._backends.items() if b.num_qubits >= experiment.num_qubits]

    def _compile(
        self, compiled: dict[str, _Compiled], places: Iterable[str], experiment: Experiment
    ) -> None:
        """Add the circuit's form on each of the places where it is missing."""
        for place in places:
            if place not in compiled:
                backend = self._backends[place]
                try:
                    # Should the calibration change in between, the next round will see it.
                    calibration_id = backend.calibration().id
                    compiled[place] = _Compiled(calibration_id, backend.profile(experiment))
                except CircuitError as error:
                    raise _CannotRunError(place, error) from error

    # What becomes of a loop whose backend has changed.

    def _heed(self, loop: Loop) -> Pin:
        pin = loop.pin
        if not self._has_changed(loop, pin):
            return pin
        with self._moving:
            pin = loop.pin
            if self._has_changed(loop, pin):  # another thread may have seen to it
                pin = loop.pin = self._reconsidered(loop, pin)
            return pin

    def _has_changed(self, loop: Loop, pin: Pin) -> bool:
        return self._calibration_id(pin) != pin.calibration_id or self._dispatcher.has_failed(
            loop.id, pin.place
        )

    def _calibration_id(self, pin: Pin) -> str:
        try:
            return self._backends[pin.place].calibration().id
        except Exception:  # a device that cannot be asked will fail the round, and that moves it
            logger.warning("the calibration of %s cannot be read", pin.place, exc_info=True)
            return pin.calibration_id

    def _reconsidered(self, loop: Loop, pin: Pin) -> Pin:
        has_failed = self._dispatcher.has_failed(loop.id, pin.place)
        others = [place for place in self._wide_enough(loop.experiment) if place != pin.place]
        compiled: dict[str, _Compiled] = {}
        if not has_failed:
            self._compile_some(compiled, [pin.place], loop)
            now = compiled.get(pin.place)
            settings = self._dispatcher.repinning
            if now is None:
                has_failed = True
            elif is_settled(pin.settled, now.profile, settings):
                others = []
        if others and (has_failed or self._dispatcher.compares_fidelity):
            self._compile_some(compiled, self._dispatcher.to_look_at(others), loop)
        if not compiled:
            return pin  # there is nowhere else to go, so the round will tell what is wrong
        profiles = tuple(form.profile for form in compiled.values())
        decided, explanation = self._dispatcher.reconsider_loop(
            LoopReconsidered(loop.id, pin.settled, profiles, has_failed)
        )
        form = compiled[decided.backend]
        self._events.append(self._event(loop, pin, form, decided))
        settled = pin.settled if decided.kind == "stayed" else form.profile
        return Pin(decided.backend, form.calibration_id, form.profile, settled, explanation)

    def _compile_some(
        self, compiled: dict[str, _Compiled], places: Iterable[str], loop: Loop
    ) -> None:
        """Add the circuit's form on those of the places that give one."""
        for place in places:
            try:
                self._compile(compiled, [place], loop.experiment)
            except Exception:  # whatever is wrong with it, the loop need not go there
                logger.warning("%s cannot take a loop over", place, exc_info=True)

    def _event(self, loop: Loop, pin: Pin, form: _Compiled, decided: Verdict) -> LoopEvent:
        return LoopEvent(
            at=self._dispatcher.now(),
            loop_id=loop.id,
            kind=decided.kind,
            from_backend=pin.place,
            to_backend=decided.backend,
            from_calibration_id=pin.calibration_id,
            to_calibration_id=form.calibration_id,
            ln_esp_shift=decided.ln_esp_shift,
            reason=decided.reason,
        )


class _CannotRunError(Exception):
    """A backend can never run the circuit."""

    def __init__(self, place: str, reason: CircuitError) -> None:
        super().__init__(place)
        self.place = place
        self.reason = reason


def _asked_for(
    points: int, shots: int | None, wanted: tuple[tuple[int, ...], ...] | None
) -> list[bytes]:
    """What tells evaluations of one point apart that ask for different things."""
    common = b"exact" if shots is None else b"%d" % shots
    if wanted is None:
        return [common] * points
    return [common + repr(indices).encode() for indices in wanted]
