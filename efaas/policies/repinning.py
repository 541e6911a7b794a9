"""Whether a loop stays where it is when its backend's calibration changes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from efaas.errors import InputError
from efaas.model.quantities import is_number
from efaas.policies.placement import scores

if TYPE_CHECKING:
    from efaas.model.events import LoopEventKind
    from efaas.model.profile import CircuitProfile
    from efaas.policies.placement import BackendLoad, PlacementWeights

__all__ = ["RepinSettings", "Verdict", "is_settled", "verdict"]


@dataclass(frozen=True, slots=True)
class RepinSettings:
    """When a loop stays, and when it moves.

    Attributes:
        stay_below: Change of ln ESP of a loop's circuit below which nothing is compared; more
            than 0. At 0.02 the energies of two small problems moved by about two standard errors
            of 4096 shots.
        move_share: Share of the score here that a move has to save, beside what it costs; in
            [0, 1).
        bridge_evaluations: Evaluations that a move costs: those that make values of both sides
            comparable; 0 or more.
        reevaluate: Whether a loop's best point is evaluated once more where the loop has moved to,
            or was compiled anew, and told in the event beside its value before.

    Raises:
        InputError: A setting is out of its range.
    """

    stay_below: float = 0.02
    move_share: float = 0.1
    bridge_evaluations: int = 2
    reevaluate: bool = True

    def __post_init__(self) -> None:
        if not (is_number(self.stay_below) and 0 < self.stay_below < math.inf):
            raise InputError(f"stay_below must be finite and above 0, got {self.stay_below!r}")
        if not (is_number(self.move_share) and 0 <= self.move_share < 1):
            raise InputError(f"move_share must be in [0, 1), got {self.move_share!r}")
        bridge = self.bridge_evaluations
        if not (is_number(bridge) and 0 <= bridge < math.inf):
            raise InputError(
                f"bridge_evaluations must be finite, 0 or more, got {self.bridge_evaluations!r}"
            )
        if not isinstance(self.reevaluate, bool):
            raise InputError(f"reevaluate must be True or False, got {self.reevaluate!r}")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a loop.

    Attributes:
        kind: "stayed", "recompiled" or "moved".
        backend: Where it goes on.
        ln_esp_shift: By how much ln ESP of its circuit has changed where it was.
        reason: Why, in words.
    """

    kind: LoopEventKind
    backend: str
    ln_esp_shift: float
    reason: str


def is_settled(before: CircuitProfile, now: CircuitProfile, settings: RepinSettings) -> bool:
    """Whether a loop stays, whatever other backends offer: it has not lost enough to ask them."""
    return not now.has_dead_gate and now.ln_esp - before.ln_esp > -settings.stay_below


def verdict(
    before: CircuitProfile,
    candidates: Sequence[BackendLoad],
    weights: PlacementWeights,
    settings: RepinSettings,
) -> Verdict:
    """What becomes of a loop under a new calibration.

    Args:
        before: Its circuit when it was last placed, recompiled or moved. Not that of the last
            calibration: small losses add up.
        candidates: Its backend first, without the loop itself and with its circuit as compiled
            now; then others, with theirs.
        weights: Of the scores.
        settings: When it stays, and when it moves.
    """
    here = candidates[0]
    if here.profile is None:
        raise InputError(f"expected the circuit as compiled for {here.name}, got None")
    shift = here.profile.ln_esp - before.ln_esp
    change = f"ln ESP changed by {shift:+.3f} there"
    if not here.profile.has_dead_gate and abs(shift) < settings.stay_below:
        return Verdict(
            "stayed", here.name, shift, f"{change}, less than {settings.stay_below:g} either way"
        )
    if is_settled(before, here.profile, settings):
        return Verdict("recompiled", here.name, shift, f"{change}, for the better")
    if here.profile.has_dead_gate:
        change = f"the circuit needs a gate that is dead there; {change}"
    mine, *others = scores(candidates, weights)
    if not others:
        return Verdict(
            "recompiled", here.name, shift, f"{change}, and no other backend is compared"
        )
    best = min(others, key=lambda score: score.total_seconds)
    bridge = settings.bridge_evaluations * best.service_seconds / weights.evaluations
    saved = mine.total_seconds - best.total_seconds
    needed = settings.move_share * mine.total_seconds + bridge
    compared = (
        f"{best.backend} would save {saved:.3g} s of {mine.total_seconds:.3g} s an evaluation, "
        f"and {needed:.3g} s are asked for"
    )
    if saved > needed:
        return Verdict("moved", best.backend, shift, f"{change}; {compared}")
    return Verdict("recompiled", here.name, shift, f"{change}; {compared}")
