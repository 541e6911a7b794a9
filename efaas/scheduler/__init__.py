"""The scheduler's state machine: events in, actions out; no thread, no clock."""

from __future__ import annotations

from efaas.scheduler.actions import Action, Dispatch, Fail, Pin, Resolve, Wake
from efaas.scheduler.events import (
    AttemptEnded,
    Cancelled,
    Delivered,
    Event,
    LoopClosed,
    LoopOpened,
    Promoted,
    StepPaused,
    StepResumed,
    Submitted,
    Woken,
)
from efaas.scheduler.machine import Place, Scheduler

__all__ = [
    "Action",
    "AttemptEnded",
    "Cancelled",
    "Delivered",
    "Dispatch",
    "Event",
    "Fail",
    "LoopClosed",
    "LoopOpened",
    "Pin",
    "Place",
    "Promoted",
    "Resolve",
    "Scheduler",
    "StepPaused",
    "StepResumed",
    "Submitted",
    "Wake",
    "Woken",
]
