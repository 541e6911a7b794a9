"""What was spent at providers, against the budget, as a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from efaas.observe.summary import Cell, Column, Table

if TYPE_CHECKING:
    from efaas.policies.budget import Spending

__all__ = ["spent_table"]


def spent_table(spending: Mapping[str, Spending]) -> Table:
    """A row for each thing that was spent or is bounded; no rows without a provider.

    Args:
        spending: What was spent, by backend.
    """
    rows: list[tuple[Cell, ...]] = []
    for name, spent in spending.items():
        allowed = {use.name: use.allowed for use in spent.uses}
        amounts: list[tuple[str, float, float | None]] = [
            ("jobs", spent.jobs, None),
            ("QPU s", spent.qpu_seconds, spent.expected_seconds),
            ("session s", spent.session_seconds, None),
        ]
        if spent.money is not None:
            amounts.append(("money", spent.money, None))
        for what, amount, expected in amounts:
            most = allowed.get(what)
            if amount or most is not None:
                share = amount / most if most else None
                rows.append((name, what, amount, expected, most, share))
    return Table(
        "spent",
        "Spent at providers",
        (
            Column("where"),
            Column("what"),
            Column("spent", ",.6g", "By all sessions of the backend; money at the price given."),
            Column("expected", ",.6g", "What was expected before the jobs were sent."),
            Column("budget", ",.6g", "The bound; nothing is sent that would pass it."),
            Column("used", ".0%", "Spent over the bound."),
        ),
        tuple(rows),
    )
