"""The queue orders by the name that a scheduler is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from efaas.policies.fair_queue import FairQueue
from efaas.policies.ordering import FirstComeFirstServed, Ordering
from efaas.policies.paper_priority import PaperPriority

if TYPE_CHECKING:
    from efaas.policies.fair_settings import FairSettings

__all__ = ["ORDERINGS", "Surroundings"]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What an ordering may want to know of the scheduler that it is for.

    Attributes:
        places: The backends' names.
        cpu_slots: Classical steps that run side by side.
        can_hold: Whether somebody asks again when a place has been held for long enough.
        settings: Of the fair ordering.
    """

    places: Sequence[str] = ()
    cpu_slots: int = 1
    can_hold: bool = True
    settings: FairSettings | None = None


def _fair(around: Surroundings) -> Ordering:
    return FairQueue(
        around.places,
        cpu_slots=around.cpu_slots,
        settings=around.settings,
        can_hold=around.can_hold,
    )


ORDERINGS: Mapping[str, Callable[[Surroundings], Ordering]] = MappingProxyType(
    {
        "fair": _fair,
        "fifo": lambda around: FirstComeFirstServed(),
        "paper": lambda around: PaperPriority(),
    }
)
"""Dual-resource fair queueing, first come first served, and the paper's priority rule."""
