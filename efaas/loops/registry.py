"""A session's loops: each pinned to one backend, each with a stream of seeds of its own."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING
from weakref import WeakSet

from efaas.errors import CircuitTooWideError
from efaas.loops.compiled import CannotRunError, Compiled, compile_on, wide_enough
from efaas.loops.loop import Loop, Pin
from efaas.loops.reconsidering import Reconsidering
from efaas.loops.watch import Watch
from efaas.model.record import LoopRecord
from efaas.model.seeding import Stream
from efaas.observe.report import CheckTotals

if TYPE_CHECKING:
    from efaas.backends.experiment import Experiment
    from efaas.backends.protocol import Backend
    from efaas.dispatch import Dispatcher, SessionScope
    from efaas.journal import Book
    from efaas.model.events import LoopEvent
    from efaas.policies.placement import Explanation
    from efaas.policies.sentinel import Sentinel

__all__ = ["Loops"]


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
        sentinel: Sentinel | None = None,
        book: Book | None = None,
    ) -> None:
        self._dispatcher = dispatcher
        self._scope = scope
        self._backends = backends
        self._session_id = session_id
        self._seed = seed
        self._sentinel = sentinel
        self._book = book
        self._reconsidering = Reconsidering(dispatcher, backends)
        self._lock = threading.Lock()
        self._loops: dict[str, Loop] = {}
        self._by_id: dict[str, Loop] = {}
        self._objectives_of: Counter[str] = Counter()

    def of_objective(self, experiment: Experiment) -> Loop:
        """A new loop; the n-th of one experiment has the n-th stream of seeds.

        Raises:
            CircuitError: No backend here can run the circuit.
            BackendError: None can be asked.
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
            BackendError: None can be asked.
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
        return self._reconsidering.events.all()

    @property
    def checks(self) -> CheckTotals:
        """Evaluations that nobody asked for, of all loops together."""
        watches = [loop.watch for loop in list(self._loops.values()) if loop.watch is not None]
        return sum((watch.totals for watch in watches), start=CheckTotals())

    def explanation(self, loop_id: str) -> Explanation | None:
        """Why a loop is where it is, or None for a loop of another session."""
        pin = self.pin_of(loop_id)
        return None if pin is None else pin.explanation

    def pin_of(self, loop_id: str) -> Pin | None:
        """Where a loop is, or None for a loop of another session."""
        loop = self._by_id.get(loop_id)
        return None if loop is None else loop.pin

    def close(self) -> None:
        """Forget where the loops were pinned."""
        with self._lock:
            self._dispatcher.close_loops([loop.id for loop in self._loops.values()])

    def _open(self, experiment: Experiment, name: str) -> Loop:
        fits = wide_enough(self._backends, experiment)
        if not fits:
            widest = max(backend.num_qubits for backend in self._backends.values())
            raise CircuitTooWideError(
                f"the circuit has {experiment.num_qubits} qubits; the widest backend here has "
                f"{widest}: take a larger device or a smaller circuit",
                num_qubits=experiment.num_qubits,
                available=widest,
            )
        loop_id = f"{self._session_id}/{name}"
        if self._book is not None:
            self._book.identity.require_problem(name, experiment.fingerprint)
            recorded = self._book.loop(name)
            if recorded is not None and recorded.backend in fits:
                fits = [recorded.backend]  # its values are that device's
        compiled: dict[str, Compiled] = {}
        while True:
            try:
                looked_at = self._dispatcher.to_look_at(fits)
                compile_on(compiled, self._backends, looked_at, experiment)
                profiles = [form.profile for form in compiled.values()]
                explanation = self._dispatcher.open_loop(loop_id, fits, profiles)
                compile_on(compiled, self._backends, [explanation.backend], experiment)
            except CannotRunError as error:
                self._dispatcher.close_loops([loop_id])
                fits.remove(error.place)
                compiled.pop(error.place, None)
                if not fits:
                    raise error.reason from error.reason.__cause__
            else:
                form = compiled[explanation.backend]
                return self._opened(loop_id, experiment, name, form, explanation)

    def _opened(
        self,
        loop_id: str,
        experiment: Experiment,
        name: str,
        form: Compiled,
        explanation: Explanation,
    ) -> Loop:
        pin = Pin(
            explanation.backend,
            form.calibration_id,
            form.profile,
            form.profile,
            explanation,
            lambda pin: self._reconsidering.is_in_force(self._by_id[loop_id], pin),
            WeakSet(),
        )
        if self._book is not None:
            names = experiment.parameter_names
            self._book.open_loop(
                LoopRecord(name, experiment.fingerprint, pin.place, pin.calibration_id, names)
            )
        watch = None
        is_wanted = self._sentinel is not None or self._dispatcher.repinning.reevaluate
        if is_wanted and len(experiment.observables) == 1:
            # A stream of its own: what the loop asks for has the seeds that it has without.
            watch = Watch(experiment, Stream(self._seed, f"{name} watch"), self._sentinel, pin)
        return Loop(
            loop_id,
            experiment,
            Stream(self._seed, name),
            self._scope,
            self._reconsidering.heed,
            watch,
            pin,
            {},
            self._book,
        )
