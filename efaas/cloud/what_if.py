"""What a session's loops would have waited for, and cost, under other policies."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from efaas.cloud.comparison import compared, comparison_table
from efaas.cloud.page import table_html
from efaas.cloud.policies import POLICIES
from efaas.cloud.recorded import lasting, loops_of
from efaas.cloud.scenario import Scenario
from efaas.errors import InputError
from efaas.model.quantities import is_count, is_number

if TYPE_CHECKING:
    from efaas.cloud.study import Row
    from efaas.cloud.tables import Table
    from efaas.observe.trace import Trace

__all__ = ["WhatIf", "what_if"]

# What is asked by default, and how a user knows it.
_ASKED = {
    "sbq": "every evaluation waits in the provider's queue",
    "batch": "a provider's batch mode",
    "session": "a provider's session",
    "pq": "Pilot-Quantum: one wait, then the device is held",
    "efaas": "this library",
}


@dataclass(frozen=True, repr=False)
class WhatIf:
    """The answer; ``print`` it for a table.

    Attributes:
        rows: One for each policy and seed, with seconds, shares from 0 to 1, and ``dollars`` a
            loop by provider and mode.
    """

    rows: tuple[Row, ...]

    @property
    def table(self) -> Table:
        """Means over the seeds, with 95 % intervals."""
        table = comparison_table(self.rows)
        known = [f"{row[0]}: {_ASKED[row[0]]}" for row in table.rows if row[0] in _ASKED]
        return replace(
            table, notes=(f"{'; '.join(known)}.", *table.notes) if known else table.notes
        )

    def __repr__(self) -> str:  # a prompt shows the table
        return self.table.text()

    def _repr_html_(self) -> str:
        return table_html(self.table)


def what_if(
    trace: Trace,
    policies: Sequence[str] | None = None,
    *,
    scenario: Scenario | None = None,
    seeds: int = 3,
    evaluation_seconds: float | None = None,
) -> WhatIf:
    """The loops of a trace, played again in a simulated cloud.

    Args:
        trace: Of a session, or ``efaas.observe.load_trace("run.jsonl")``.
        policies: Names among ``efaas.cloud.policies.POLICIES``; the usual ones by default.
        scenario: The cloud; by default that of the experiment of EFaaS.
        seeds: How many loads to play them under; at least 1.
        evaluation_seconds: QPU seconds of an evaluation, in place of what was measured.

    Raises:
        InputError: It has no loop, or an argument is out of its range.
    """
    from efaas.observe.trace import Trace

    if not isinstance(trace, Trace):
        raise InputError(
            f"expected a session's trace, or efaas.observe.load_trace('run.jsonl'); got {trace!r}"
        )
    names = tuple(_ASKED) if policies is None else _policies(policies)
    if scenario is not None and not isinstance(scenario, Scenario):
        raise InputError(
            f"scenario is an efaas.cloud.scenario.Scenario, or None for the default; got "
            f"{scenario!r}"
        )
    if not is_count(seeds):
        raise InputError(f"seeds is a whole number, 1 or more; got {seeds!r}")
    if evaluation_seconds is not None and not (
        is_number(evaluation_seconds) and 0.0 < evaluation_seconds < math.inf
    ):
        raise InputError(
            f"evaluation_seconds is a finite number greater than 0; got {evaluation_seconds!r}"
        )
    loops = loops_of(trace)
    if evaluation_seconds is not None:
        loops = [lasting(loop, float(evaluation_seconds)) for loop in loops]
    cloud = Scenario() if scenario is None else scenario
    rows = [row for seed in range(seeds) for row in compared(loops, cloud, names, seed)]
    return WhatIf(tuple(rows))


def _policies(given: object) -> tuple[str, ...]:
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise InputError(f"policies is a list of names, as ['session', 'efaas']; got {given!r}")
    names = tuple(given)
    for name in names:
        if not isinstance(name, str) or name not in POLICIES:
            raise InputError(f"policies are among {', '.join(POLICIES)}; got {name!r}")
    if not names:
        raise InputError("policies names at least one; got none")
    return names
