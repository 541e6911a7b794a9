"""How much to speculate: which guesses are worth a place in the round.

A round of ``m`` evaluations takes ``overhead + m * evaluation`` seconds, and serves as many steps
of the optimizer as are found in it. What it takes beyond the evaluations that are used is shared
by these steps: ``share = (overhead + wasted * evaluation) / steps`` seconds each. A further step of
``c`` evaluations that is used with probability ``p`` brings ``share + c * evaluation`` seconds if
it is used, and costs ``c * evaluation`` in any case; so it shortens the run as long as

    p * (share + c * evaluation) > c * evaluation

which is the marginal condition of minimising seconds per step. Where evaluations run side by side
and some places are idle, those cost no time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["CERTAIN", "Prospect", "RoundTimes", "worthwhile"]

CERTAIN = 0.999
"""A guess of at least this probability is as good as asked for."""

_IDLE_PRICE = 0.05  # below this probability not even an idle place is used: it may be wanted soon


@dataclass(frozen=True, slots=True)
class RoundTimes:
    """How long rounds take.

    Attributes:
        overhead_seconds: What a round takes whatever is in it: waiting in queues included.
        evaluation_seconds: What each evaluation adds.
        idle: Evaluations beside the first that add nothing, since places for them are idle.
    """

    overhead_seconds: float
    evaluation_seconds: float
    idle: int = 0


class Prospect(NamedTuple):
    """A guess: how probably it is used, and how many evaluations it takes."""

    probability: float
    evaluations: int


def worthwhile(
    prospects: Sequence[Prospect],
    *,
    asked: int,
    times: RoundTimes | None,
    width: int,
    allowance: float,
) -> list[int]:
    """The indices of the guesses to launch, the most probable first.

    Args:
        prospects: The guesses.
        asked: Evaluations that the round holds anyway; at least 1.
        times: How long rounds take; None while it is unknown, when only what is certain goes.
        width: Most steps in the round, the one that is asked for included; what is certain does
            not count.
        allowance: Evaluations that may still be wasted.
    """
    chosen: list[int] = []
    steps, places, waste, paid_waste = 1.0, width - 1, 0.0, 0.0
    idle = 0 if times is None else max(0, times.idle - (asked - 1))
    order = sorted(range(len(prospects)), key=lambda i: (-prospects[i].probability, i))
    for index in order:
        probability, cost = prospects[index]
        is_certain = probability >= CERTAIN
        expected_waste = (1.0 - probability) * cost
        if not is_certain and (places < 1 or waste + expected_waste > allowance):
            continue
        paid = max(0, cost - idle)
        if not _pays(probability, paid, steps, paid_waste, times):
            continue
        chosen.append(index)
        idle = max(0, idle - cost)
        steps += probability
        waste += expected_waste
        paid_waste += (1.0 - probability) * paid
        places -= not is_certain
    return chosen


def _pays(
    probability: float, cost: int, steps: float, waste: float, times: RoundTimes | None
) -> bool:
    """Whether to add a step of ``cost`` evaluations; those in idle places are not counted."""
    if times is None:
        return probability >= CERTAIN
    charged = cost * times.evaluation_seconds
    if charged == 0.0:
        return probability > _IDLE_PRICE
    share = (times.overhead_seconds + waste * times.evaluation_seconds) / steps
    return probability * (share + charged) > charged
