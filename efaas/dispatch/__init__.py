"""The imperative shell: one thread that feeds events to the scheduler and does what it says."""

from __future__ import annotations

from efaas.dispatch.dispatcher import Dispatcher
from efaas.dispatch.guess import Guess
from efaas.dispatch.points import Points
from efaas.dispatch.recording import Recording
from efaas.dispatch.scope import SessionScope
from efaas.dispatch.ticket import Ticket

__all__ = ["Dispatcher", "Guess", "Points", "Recording", "SessionScope", "Ticket"]
