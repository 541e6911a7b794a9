"""The life of provider sessions: opened at the first job, watched, renewed or given up, closed.

A dedicated session is billed by the wall clock from its first job until it is closed or has been
idle for the provider's interactive time, so none is left open: it is closed with the backend, when
that is forgotten, and when the interpreter exits.
"""

from __future__ import annotations

import logging
import threading
import weakref
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from efaas.backends.runtime.held_session import HeldSession, close_held
from efaas.backends.runtime.modes import fallback_of
from efaas.backends.runtime.session_notes import SessionNotes
from efaas.backends.runtime.session_state import ProviderEvent, SessionState, warn_at
from efaas.clock import Clock, SystemClock
from efaas.errors import AccessError, ProviderError, ProviderSessionError

if TYPE_CHECKING:
    from efaas.backends.protocol import ProviderSessionLog
    from efaas.backends.runtime.client import RuntimeClient
    from efaas.policies.budget import SessionSeconds

__all__ = ["OnExpiry", "ProviderSessions"]

logger = logging.getLogger("efaas.backends.runtime")

OnExpiry = Literal["renew", "stop"]
"""What happens when a provider session has ended before the loop."""

_MOST_EVENTS = 1000
_CLOCKS_APART_SECONDS = 5.0  # the provider's clock and ours


class ProviderSessions:
    """Opens provider sessions one after the other, as they are needed. Safe for several threads.

    Attributes:
        mode: "session", "batch" or "job": what is used now.
        opened: How many were opened.
    """

    def __init__(
        self,
        client: RuntimeClient,
        mode: str,
        *,
        may_fall_back: bool,
        max_seconds: int | None,
        on_expiry: OnExpiry,
        clock: Clock,
        allowance: Callable[[], float | None],
        opened: Callable[[str], None],
    ) -> None:
        """Open nothing yet.

        Args:
            client: Asks the service.
            mode: What to use.
            may_fall_back: Whether to use another mode where the account may not use this one.
            max_seconds: How long each may last; None for what the plan allows.
            on_expiry: "renew" to open another when one has ended, "stop" to raise.
            clock: What times are measured by.
            allowance: How many seconds the budget has left for a further one.
            opened: Told of the mode of each that is opened.
        """
        self.mode = mode
        self.opened = 0
        self._client = client
        self._may_fall_back = may_fall_back
        self._max_seconds = max_seconds
        self._on_expiry = on_expiry
        self._clock = clock
        self._allowance = allowance
        self._tell = opened
        self._lock = threading.RLock()
        self._held = HeldSession(client)
        self._notes = SessionNotes()
        self._state: SessionState | None = None
        self._events: deque[ProviderEvent] = deque(maxlen=_MOST_EVENTS)
        self._timer: threading.Timer | None = None
        self._finalizer = weakref.finalize(self, close_held, self._held)

    @property
    def state(self) -> SessionState | None:
        """The provider session that is open, or None."""
        return self._state

    @property
    def events(self) -> tuple[ProviderEvent, ...]:
        """What happened, the oldest first."""
        with self._lock:
            return tuple(self._events)

    def note(self, kind: str, message: str, *, level: int = logging.INFO) -> None:
        """Remember something that happened, and log it."""
        state = self._state
        event = ProviderEvent(self._clock.now(), kind, message, None if state is None else state.id)
        with self._lock:
            self._events.append(event)
        logger.log(level, "%s: %s", self._client.name, message)

    def keep_in(self, log: ProviderSessionLog) -> None:
        """Write down there what is opened and ended, and see to what it has left."""
        with self._lock:
            state = self._state
            self._notes.add(log, open_now=None if state is None else state.id)
            if state is not None:
                self._notes.opened(state.id, state.mode)

    def take_over(self) -> None:
        """See to what an earlier process left open: one is used again, others are closed.

        Raises:
            ProviderError: The service cannot be asked.
        """
        with self._lock:
            for session_id, mode in list(self._notes.left.items()):
                self._take(session_id, mode)

    def current(self) -> Any:
        """What jobs are sent to: the open provider session, or a new one; in mode "job" the device.

        Raises:
            ProviderSessionError: One has ended, and no other is to be opened; or none may be.
            ProviderError: The service cannot be asked.
        """
        with self._lock:
            self.take_over()
            self._check_idle()
            if self.mode == "job":
                return self._client.device
            if self._held.session is None:
                self._open()
            return self._client.device if self.mode == "job" else self._held.session

    def has_ended(self) -> bool:
        """Whether the open provider session was found to take no more jobs; asks the service.

        It is let go then. What comes next is ``current``'s to decide.
        """
        with self._lock:
            session, state = self._held.session, self._state
            if session is None or state is None or self._client.is_local:
                return False
            try:
                details = self._client.session_details(session)
            except ProviderError as error:
                if error.status != 404:
                    raise
                details = {"state": "closed", "accepting_jobs": False}
            if details.get("accepting_jobs", True) and details.get("state") != "closed":
                return False
            self._let_go(self._why_ended(state), details)
            return True

    def job_began(self, since: float) -> None:
        """A job of the open provider session runs: it is billed from then on.

        Args:
            since: The last instant at which it was not seen to run: it may have begun then.
        """
        self._change(since, has_ended=False)

    def job_ended(self, since: float) -> None:
        """A job of the open provider session has ended: it is idle from now on.

        Args:
            since: When the job began, or may have begun.
        """
        self._change(since, has_ended=True)
        self._warn_in_time()

    def lasted(self) -> SessionSeconds:
        """How long provider sessions have lasted, from their first jobs on, all together."""
        with self._lock:
            state = self._state
            if state is not None:
                self._notes.has_lasted(state.id, state.mode, self._lasted(state))
            return self._notes.seconds()

    def close(self, *, drop_jobs: bool = False) -> None:
        """Close the open provider session, if there is one; another may be opened later."""
        with self._lock:
            self._cancel_timer()
            self._close_left()
            if self._held.session is None:
                return
            state, session = self._state, self._held.session
            failure = self._held.close(drop_jobs=drop_jobs)
            if failure is not None:
                self.note("close failed", failure, level=logging.WARNING)
                if state is not None and state.id is not None:
                    self._notes.left[state.id] = state.mode  # the next to ask tries again
            elif state is not None:
                self.note("closed", f"the {state.mode} {state.id} was closed")
            if state is not None:
                measured = None
                if state.first_job_at is not None and failure is None:
                    with suppress(ProviderError):  # what it is billed, in the provider's own words
                        measured = self._client.session_details(session).get("usage_time")
                lasted = self._lasted(state) if measured is None else float(measured)
                self._notes.has_lasted(state.id, state.mode, lasted)
                if failure is None:
                    self._notes.ended(state.id)
            self._state = None

    # Under the lock.

    def _open(self) -> None:
        while self.mode != "job":
            try:
                seconds = self._seconds_for_next()
                session = self._client.open_session(self.mode, seconds)
            except ProviderError as error:
                is_refusal = isinstance(error, AccessError) or error.status in (400, 403, 409)
                if not is_refusal or error.status == 401:
                    raise
                if not self._may_fall_back:
                    raise ProviderSessionError(
                        f"this account may not open a {self.mode} on {self._client.name}: leave "
                        f"mode= out, and the best that it may use is chosen. {error}",
                        status=error.status,
                    ) from None
                refused, self.mode = self.mode, fallback_of(self.mode)
                self.note(
                    "mode",
                    f"this account may not open a {refused}; using mode {self.mode!r}. Pinning, "
                    "warm cache and packing stay",
                    level=logging.WARNING,
                )
                self._tell(self.mode)
                continue
            self.opened += 1
            self._held.session = session
            self._notes.opened(getattr(session, "session_id", None), self.mode)
            details: dict[str, Any] = {}
            try:
                details = self._client.session_details(session)
            except ProviderError as error:
                logger.warning("%s", error)
            details["max_time"] = details.get("max_time") or seconds
            state = self._hold(session, details)
            self.note("opened", f"the {self.mode} {state.id} was opened")
            return

    def _hold(self, session: Any, details: dict[str, Any]) -> SessionState:
        self._held.session = session
        now = self._clock.now()
        used = float(details.get("usage_time") or 0.0)
        self._state = SessionState(
            id=getattr(session, "session_id", None),
            mode=self.mode,
            opened_at=now,
            first_job_at=now - used if used else None,
            last_job_at=now if used else None,
            interactive_seconds=details.get("interactive_timeout"),
            max_seconds=details.get("max_time"),
        )
        self._tell(self.mode)
        return self._state

    def _take(self, session_id: str, mode: str) -> None:
        """Use a provider session of an earlier process, or see that it is closed."""
        session = self._client.known_session(mode, session_id)
        try:
            details = self._client.session_details(session)
        except ProviderError as error:
            if error.status != 404:
                raise
            details = {"state": "closed"}
        used = details.get("usage_time")
        if used is not None:
            self._notes.has_lasted(session_id, mode, float(used), is_earlier=True)
        if not details.get("accepting_jobs", True) or details.get("state") == "closed":
            self.note("ended", f"the {mode} {session_id} of an earlier run has ended")
            self._notes.ended(session_id)
        elif mode == self.mode and self._held.session is None:
            self._notes.left.pop(session_id)
            self._hold(session, details)
            self._notes.opened(session_id, mode)
            self.note("adopted", f"the {mode} {session_id} of an earlier run is used again")
        else:
            self._client.close_session(session, drop_jobs=False)
            self.note("closed", f"the {mode} {session_id} of an earlier run was closed")
            self._notes.ended(session_id)

    def _close_left(self) -> None:
        """Close what an earlier process left open, and nobody has taken over."""
        for session_id, mode in list(self._notes.left.items()):
            session = self._client.known_session(mode, session_id)
            failure = HeldSession(self._client, session).close(drop_jobs=False)
            if failure is not None:
                self.note("close failed", failure, level=logging.WARNING)
                continue
            self.note("closed", f"the {mode} {session_id} of an earlier run was closed")
            with suppress(ProviderError):
                used = self._client.session_details(session).get("usage_time")
                if used is not None:
                    self._notes.has_lasted(session_id, mode, float(used), is_earlier=True)
            self._notes.ended(session_id)

    def _seconds_for_next(self) -> int | None:
        """How long the next may last.

        Raises:
            BudgetError: The budget has nothing left for one.
        """
        left = self._allowance()
        if left is None:
            return self._max_seconds
        return int(left) if self._max_seconds is None else min(int(left), self._max_seconds)

    def _check_idle(self) -> None:
        """Look whether the provider session still lives where it has been idle for long."""
        state = self._state
        ends_at = None if state is None else state.ends_at
        if ends_at is not None and self._clock.now() >= ends_at:
            self.has_ended()

    def _let_go(self, why: str, details: dict[str, Any]) -> None:
        state = self._state
        assert state is not None
        self._cancel_timer()
        self._held.session = None
        measured = details.get("usage_time")
        lasted = self._lasted(state) if measured is None else float(measured)
        self._notes.has_lasted(state.id, state.mode, lasted)
        self._notes.ended(state.id)
        self.note("ended", f"the {state.mode} {state.id} has ended: {why}", level=logging.WARNING)
        self._state = None
        if self._on_expiry == "stop":
            raise ProviderSessionError(
                f"the {state.mode} {state.id} on {self._client.name} has ended: {why}. It was to "
                "stop then (on_expiry='stop'); with on_expiry='renew' another would be opened"
            )

    def _why_ended(self, state: SessionState) -> str:
        closes_at = state.closes_at
        if closes_at is not None and self._clock.now() >= closes_at - _CLOCKS_APART_SECONDS:
            return f"its maximum time, {state.max_seconds:g} s, is over"
        return "it was closed from outside"

    def _lasted(self, state: SessionState | None) -> float:
        if state is None or state.first_job_at is None:
            return 0.0
        now = self._clock.now()
        until = now if state.ends_at is None else min(now, state.ends_at)
        return max(0.0, until - state.first_job_at)

    def _change(self, since: float, *, has_ended: bool) -> None:
        with self._lock:
            state = self._state
            if state is None:
                return
            began = state.first_job_at
            self._state = replace(
                state,
                first_job_at=max(since, state.opened_at) if began is None else began,
                last_job_at=self._clock.now() if has_ended else state.last_job_at,
            )
            if has_ended:
                self._notes.write_lasted(state.id, self._lasted(self._state))
            else:
                self._cancel_timer()

    def _warn_in_time(self) -> None:
        """Warn some time before the provider session ends, if no job comes until then."""
        with self._lock:
            self._cancel_timer()
            state = self._state
            due_at = None if state is None else warn_at(state)
            if due_at is None:
                return
            left = due_at - self._clock.now()
            if not isinstance(self._clock, SystemClock):
                if left <= 0:
                    self._warn(state)
                return
            self._timer = threading.Timer(max(0.0, left), _weakly(self, state))
            self._timer.daemon = True
            self._timer.start()

    def _warn(self, state: SessionState | None) -> None:
        with self._lock:
            if state is None or self._state is not state or state.ends_at is None:
                return  # a job has come since
            left = max(0.0, state.ends_at - self._clock.now())
            if state.ends_at == state.closes_at:
                then = "another is opened" if self._on_expiry == "renew" else "the loop stops"
                what = f"ends in {left:.0f} s, when its maximum time is over; then {then}"
            else:
                what = f"is put aside in {left:.0f} s unless a job comes; the next job then queues"
            self.note("expiring", f"the {state.mode} {state.id} {what}", level=logging.WARNING)

    def _cancel_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()


def _weakly(sessions: ProviderSessions, state: SessionState | None) -> Callable[[], None]:
    """A warning that keeps nothing alive."""
    reference = weakref.ref(sessions)

    def warn() -> None:
        alive = reference()
        if alive is not None:
            alive._warn(state)

    return warn
