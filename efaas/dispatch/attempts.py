"""Running attempts: classical steps, and rounds of evaluations on a backend."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from efaas.backends.protocol import Estimates, Remote
from efaas.dispatch.recording import run_recorded
from efaas.model.job import Usage

if TYPE_CHECKING:
    from efaas.backends.protocol import Backend, Outcome
    from efaas.clock import Clock
    from efaas.dispatch.ticket import Ticket

__all__ = ["Result", "Values", "note_estimates", "run_round", "run_step"]

_MOST_KEPT = 1024
"""Points of a job whose estimates are kept for the trace."""


class Values:
    """What a job's futures will hold; told apart from an error that was raised."""

    __slots__ = ("values",)

    def __init__(self, values: Sequence[Any]) -> None:
        self.values = values


Result: TypeAlias = Values | BaseException


def run_step(ticket: Ticket, clock: Clock) -> Result:
    """Run a classical step; whatever it raises is its result."""
    ticket.first_shot_at = started_at = clock.now()
    try:
        result: Result = Values((cast("Callable[[], Any]", ticket.work)(),))
    except BaseException as error:
        result = error
    ticket.usage = ticket.spent = Usage(cpu_seconds=clock.now() - started_at)
    return result


def run_round(
    backend: Backend, tickets: Sequence[Ticket], clock: Clock
) -> tuple[list[tuple[Ticket, Result]], bool]:
    """Run evaluations in one round.

    Returns:
        The result of each job, and whether the round failed as a whole.
    """
    started_at = clock.now()
    for ticket in tickets:
        ticket.first_shot_at = started_at
    evaluations = [ticket.next_points() for ticket in tickets]
    if isinstance(backend, Remote):
        gone = [ticket.sent for ticket in tickets if ticket.is_cancelled()]
        backend.cancel([evaluation for evaluation in gone if evaluation is not None])
    try:
        if any(ticket.entry is not None for ticket in tickets):
            outcomes = run_recorded(backend, tickets)
        else:
            outcomes = list(backend.execute(evaluations)) if evaluations else []
        if len(outcomes) != len(tickets):
            raise RuntimeError(
                f"backend {backend.name} gave {len(outcomes)} outcomes for {len(tickets)} jobs"
            )
    except BaseException as error:  # a backend may fail in any way; its jobs must still end
        return [(ticket, error) for ticket in tickets], True
    return [(t, _converted(t, o)) for t, o in zip(tickets, outcomes, strict=True)], False


def _converted(ticket: Ticket, outcome: Outcome | Exception) -> Result:
    """What the job's futures will hold."""
    if isinstance(outcome, Exception):
        return outcome
    try:
        ticket.calibration_id = outcome.calibration_id
        ticket.compile_seconds = outcome.compile_seconds
        ticket.estimates = _kept(outcome)
        whole = ticket.add(outcome)
        if whole is None:
            return Values(())
        values = ticket.values(whole)
        if len(values) != len(ticket.futures):
            raise RuntimeError(
                f"the backend gave {len(values)} results for {len(ticket.futures)} points"
            )
        if ticket.first_shot_at is not None:
            ticket.first_shot_at += outcome.waited_seconds
        _tell_errors(ticket, whole)
        return Values(values)
    except Exception as error:  # what a backend gives that is no outcome fails this job alone
        return error


def note_estimates(ticket: Ticket, outcome: Outcome) -> None:
    """Keep the estimates that a journal gave, and tell the futures their standard errors."""
    ticket.estimates = _kept(outcome)
    _tell_errors(ticket, outcome)


def _kept(outcome: Outcome) -> Estimates | None:
    """Estimates of one observable, unless they are so many that keeping them would cost."""
    found = outcome.value
    if isinstance(found, Estimates) and found.evs.shape[-1] == 1 and len(found.evs) <= _MOST_KEPT:
        return found
    return None


def _tell_errors(ticket: Ticket, outcome: Outcome) -> None:
    """Give futures that hold one estimate each its standard error."""
    found = outcome.value
    if isinstance(found, Estimates) and found.stds.shape == (len(ticket.futures), 1):
        for future, std in zip(ticket.futures, found.stds[:, 0].tolist(), strict=True):
            future.std_error = std
