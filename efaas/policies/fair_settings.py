"""The bounds and times of fair queueing."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from efaas.errors import InputError
from efaas.model.quantities import is_count, is_number

__all__ = ["FairSettings"]


@dataclass(frozen=True, slots=True)
class FairSettings:
    """The bounds and times of ``FairQueue``; all times in seconds.

    Attributes:
        max_overtakes: Most jobs that are submitted later and start earlier at a place, for any
            committed job; at least 1.
        max_wait_seconds: A committed job that has waited for longer goes before all younger ones.
        loop_idle_seconds: A loop that has been idle for longer is not active any more.
        slot_seconds: Service, idle time held for it included, after which a loop gives its slot
            back while others wait.
        max_utilisation: Loops share a device as long as they are predicted to use no more of it;
            above 1, some of them wait for each other, and less of the device's time is idle.
        max_hold_seconds: Most time that a device is kept free for a loop's next job; 0 for never.
        max_round_seconds: Predicted service up to which jobs share a round where a loop that
            holds a slot may want to go next; it never waits behind more, unless a single job is
            longer.
        most_lead_seconds: As in ``FairShares``.
    """

    max_overtakes: int = 1000
    max_wait_seconds: float = 1800.0
    loop_idle_seconds: float = 30.0
    slot_seconds: float = 900.0
    max_utilisation: float = 2.0
    max_hold_seconds: float = 5.0
    max_round_seconds: float = 10.0
    most_lead_seconds: float = 60.0

    def __post_init__(self) -> None:
        if not is_count(self.max_overtakes):
            raise InputError(
                f"max_overtakes must be a whole number of at least 1, got {self.max_overtakes!r}"
            )
        for entry in fields(self):
            if not is_number(getattr(self, entry.name)):
                raise InputError(
                    f"{entry.name} must be a number, got {getattr(self, entry.name)!r}"
                )
        for name in ("max_wait_seconds", "loop_idle_seconds", "slot_seconds", "max_utilisation"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} must be positive, got {getattr(self, name)!r}")
        for name in ("max_hold_seconds", "max_round_seconds", "most_lead_seconds"):
            if not 0 <= getattr(self, name) < math.inf:
                raise InputError(f"{name} must be finite, 0 or more, got {getattr(self, name)!r}")
        if self.max_hold_seconds > self.loop_idle_seconds:
            raise InputError(
                f"max_hold_seconds ({self.max_hold_seconds}) must not exceed loop_idle_seconds "
                f"({self.loop_idle_seconds}): a device is held for active loops only"
            )
