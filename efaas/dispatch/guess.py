"""A guess: an evaluation that runs before it is known whether it will be asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from efaas.branch import Branch
    from efaas.dispatch.ticket import Ticket
    from efaas.future import FutureScope, QuantumFuture
    from efaas.model.job import Usage

__all__ = ["Guess"]


class Guess:
    """An evaluation that runs before it is known whether it will be asked for.

    It hangs on a branch of its own: until it is confirmed it leaves no trace in how often its
    point was asked for.

    Attributes:
        future: Its future.
        branch: The branch that it hangs on.
    """

    __slots__ = ("_is_settled", "_scope", "_ticket", "branch", "future")

    def __init__(self, scope: FutureScope, branch: Branch, ticket: Ticket) -> None:
        self.future: QuantumFuture[Any] = ticket.futures[0]
        self.branch = branch
        self._scope = scope
        self._ticket = ticket
        self._is_settled = False

    def confirm(self) -> bool:
        """It was asked for: it is committed now. Whether its value is the one that was asked for.

        False where the same point was asked for in another way meanwhile, or its loop has moved or
        its device was calibrated since it went out; the guess is withdrawn.
        """
        promoted = self.branch.commit()
        if promoted is None:
            self.withdraw()
            return False
        self._scope.settle(promoted=promoted, is_hit=True)
        return True

    def withdraw(self) -> None:
        """It will not be asked for: if it is still queued it never runs. May be called twice."""
        has_run = self._ticket.where is not None and not self._is_settled
        self._is_settled = True
        withdrawn = self.branch.roll_back()
        self._scope.settle(withdrawn=withdrawn, is_hit=False if has_run else None)

    @property
    def usage(self) -> Usage | None:
        """What it has used, once it has run; None before, or if it never ran."""
        return self._ticket.usage if self._ticket.finished_at is not None else None
