"""What becomes of a loop when its device has changed.

Before a loop submits, its backend's calibration is compared with the one that it was compiled for.
Where that has changed, a job of the loop failed there for good, or the sentinel raised an alarm,
the scheduler decides whether the loop stays. Whatever it decides, guesses that went out before
are withdrawn: their values are those of another device.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING
from weakref import WeakSet

from efaas.loops.compiled import Compiled, compile_on, wide_enough
from efaas.loops.events import LoopEvents
from efaas.loops.loop import Loop, Pin
from efaas.model.events import LoopEvent
from efaas.policies.repinning import Verdict, is_settled
from efaas.scheduler.events import LoopReconsidered

if TYPE_CHECKING:
    from efaas.backends.protocol import Backend
    from efaas.dispatch import Dispatcher
    from efaas.loops.watch import Alarm
    from efaas.model.events import LoopEventCause

__all__ = ["Reconsidering"]

logger = logging.getLogger("efaas.loops")


class Reconsidering:
    """Moves the pins of a session's loops. Safe to use from several threads.

    Attributes:
        events: What was decided so far.
    """

    def __init__(self, dispatcher: Dispatcher, backends: Mapping[str, Backend]) -> None:
        self.events = LoopEvents()
        self._dispatcher = dispatcher
        self._backends = backends
        self._moving = threading.Lock()

    def heed(self, loop: Loop) -> Pin:
        """Where the loop is; moved if it has to."""
        pin = loop.pin
        if not self._has_changed(loop, pin):
            return pin
        with self._moving:
            before = loop.pin
            if self._has_changed(loop, before):  # another thread may have seen to it
                loop.pin = self._reconsidered(loop, before)
            pin = loop.pin
        if pin is not before:
            # Without the lock, since callbacks run: until it is done, no guess of them holds.
            for branch in list(before.branches):
                loop.scope.settle(withdrawn=branch.roll_back())
            if loop.book is not None:
                loop.book.drop_guesses(loop.stream.name)
        return pin

    def is_in_force(self, loop: Loop, pin: Pin) -> bool:
        """Whether the loop is still at ``pin``, and its device as it was then."""
        return loop.pin is pin and self._calibration_id(pin) == pin.calibration_id

    def _has_changed(self, loop: Loop, pin: Pin) -> bool:
        return (
            self._calibration_id(pin) != pin.calibration_id
            or (loop.watch is not None and loop.watch.alarm is not None)
            or self._dispatcher.has_failed(loop.id, pin.place)
        )

    def _calibration_id(self, pin: Pin) -> str:
        try:
            return self._backends[pin.place].calibration().id
        except Exception:  # a device that cannot be asked will fail the round, and that moves it
            logger.warning("the calibration of %s cannot be read", pin.place, exc_info=True)
            return pin.calibration_id

    def _reconsidered(self, loop: Loop, pin: Pin) -> Pin:
        alarm = None if loop.watch is None else loop.watch.alarm
        if alarm is not None:
            # The shift adds to what was measured before, until the device is calibrated anew.
            here = (pin.place, pin.calibration_id)
            loop.measured[here] = loop.measured.get(here, 0.0) + alarm.ln_esp_shift
        has_failed = self._dispatcher.has_failed(loop.id, pin.place)
        others = [p for p in wide_enough(self._backends, loop.experiment) if p != pin.place]
        compiled: dict[str, Compiled] = {}
        if not has_failed:
            self._compile_some(compiled, [pin.place], loop)
            now = compiled.get(pin.place)
            if now is None:
                has_failed = True
            elif is_settled(pin.settled, now.profile, self._dispatcher.repinning):
                others = []
        if others and (has_failed or self._dispatcher.compares_fidelity):
            self._compile_some(compiled, self._dispatcher.to_look_at(others), loop)
        if not compiled:
            # There is nowhere else to go, so the round will tell what is wrong.
            form = Compiled(pin.calibration_id, pin.profile)
            decided = Verdict("stayed", pin.place, 0.0, "no backend takes the circuit now")
            explanation = pin.explanation
        else:
            profiles = tuple(form.profile for form in compiled.values())
            decided, explanation = self._dispatcher.reconsider_loop(
                LoopReconsidered(loop.id, pin.settled, profiles, has_failed)
            )
            form = compiled[decided.backend]
        cause: LoopEventCause = "failure" if has_failed else "calibration"
        if not has_failed and form.calibration_id == pin.calibration_id and alarm is not None:
            cause = "sentinel"
        if not compiled and alarm is None:
            return pin
        number = self.events.add(self._event(loop, pin, form, decided, cause, alarm))
        if loop.book is not None:
            name = loop.stream.name
            loop.book.note(decided.kind, decided.reason, name)
            loop.book.move_loop(name, decided.backend, form.calibration_id)
        stayed = decided.kind == "stayed"
        after = Pin(
            decided.backend,
            form.calibration_id,
            form.profile,
            pin.settled if stayed else form.profile,
            explanation,
            pin.is_in_force,
            WeakSet(),
        )
        if loop.watch is not None:
            is_wanted = self._dispatcher.repinning.reevaluate
            told = partial(self.events.compared, number) if is_wanted else None
            loop.watch.settled(after, told, stayed=stayed)
        return after

    def _compile_some(
        self, compiled: dict[str, Compiled], places: Iterable[str], loop: Loop
    ) -> None:
        """Add the circuit's form on those of the places that give one."""
        for place in places:
            try:
                compile_on(compiled, self._backends, [place], loop.experiment)
            except Exception:  # whatever is wrong with it, the loop need not go there
                logger.warning("%s cannot take a loop over", place, exc_info=True)
                continue
            form = compiled[place]
            measured = loop.measured.get((place, form.calibration_id), 0.0)
            if measured:
                known = replace(form.profile, ln_measured=measured)
                compiled[place] = replace(form, profile=known)

    def _event(
        self,
        loop: Loop,
        pin: Pin,
        form: Compiled,
        decided: Verdict,
        cause: LoopEventCause,
        alarm: Alarm | None,
    ) -> LoopEvent:
        reason = decided.reason
        if alarm is not None:
            reason = (
                f"one point changed by {alarm.shift.difference:+.3g}, with a standard error of "
                f"{alarm.shift.std:.2g} (p = {alarm.shift.p:.1e}); {reason}"
            )
        return LoopEvent(
            at=self._dispatcher.now(),
            loop_id=loop.id,
            kind=decided.kind,
            from_backend=pin.place,
            to_backend=decided.backend,
            from_calibration_id=pin.calibration_id,
            to_calibration_id=form.calibration_id,
            ln_esp_shift=decided.ln_esp_shift,
            reason=reason,
            cause=cause,
            shift=None if alarm is None else alarm.shift,
        )
