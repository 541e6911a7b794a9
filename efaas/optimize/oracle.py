"""The oracle to use: it goes on from a stage, or replays as long as that is cheap, or mirrors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from efaas.optimize.mirror import MirrorOracle
from efaas.optimize.mirror_host import can_mirror
from efaas.optimize.replay import ReplayOracle
from efaas.optimize.resumed import ResumedOracle
from efaas.optimize.stages import first_stage

if TYPE_CHECKING:
    from efaas.optimize.asks import Answerer, Ask, Oracle, Start, Step

__all__ = ["AdaptiveOracle", "oracle_for"]

_MIRROR_ABOVE_SECONDS = 0.004
"""A replay dearer than this costs more than a fork."""

_MOST_MIRRORS = 2
"""How often a mirror is begun: one that ended once may have been killed by accident."""


def oracle_for(start: Start) -> Oracle:
    """A copy of the optimizer at the least cost.

    Args:
        start: Runs the optimizer. If it holds functions of the user's, they are called in this
            process only.
    """
    adaptive = AdaptiveOracle(start)
    try:
        stage = first_stage(start)
        return adaptive if stage is None else ResumedOracle(stage, adaptive)
    except Exception:  # what is wrong with what it was given, the run itself will say
        return adaptive


class AdaptiveOracle:
    """Replays the optimizer, or mirrors it where that is measured to be cheaper.

    One thread at a time may use an oracle.
    """

    def __init__(
        self, start: Start, *, mirror_above_seconds: float = _MIRROR_ABOVE_SECONDS
    ) -> None:
        """Nothing runs yet.

        Args:
            start: Runs the optimizer.
            mirror_above_seconds: What a replay must cost for a mirror to be begun.
        """
        self._start = start
        self._mirror_above_seconds = mirror_above_seconds
        self._replay = ReplayOracle(start)
        self._mirror: MirrorOracle | None = None
        self._mirrors_left = _MOST_MIRRORS if start.is_data and can_mirror() else 0

    @property
    def broken(self) -> str:
        """Why it can say nothing from now on; empty as long as it can."""
        return self._replay.broken

    @property
    def mirror(self) -> MirrorOracle | None:
        """The mirror that was begun, if there is one; it need not be ready."""
        return self._mirror

    @property
    def is_mirroring(self) -> bool:
        """Whether the next paths come from a mirror."""
        if self._mirror is None or not self._mirror.is_ready:
            return False
        mirrored, replayed = self._mirror.seconds_per_path, self._replay.seconds_per_path
        return mirrored <= max(replayed, self._mirror_above_seconds)

    @property
    def seconds_per_path(self) -> float:
        """What a path is expected to cost now; 0 while nothing is measured."""
        if self.is_mirroring and self._mirror is not None:
            return self._mirror.seconds_per_path or self._mirror_above_seconds
        return self._replay.seconds_per_path

    def record(self, ask: Ask, answer: Any) -> None:
        """Take note that the real optimizer was given this answer, in its order."""
        self._replay.record(ask, answer)
        if self._mirror is not None:
            self._mirror.record(ask, answer)

    def paths(
        self, answerers: Sequence[Answerer], depth: int, *, seconds: float
    ) -> list[list[Step]]:
        """For each answerer what the optimizer would ask for; see ``Oracle.paths``."""
        if self.broken:
            return []
        if self._mirror is not None and self.is_mirroring:
            return self._mirror.paths(answerers, depth, seconds=seconds)
        found = self._replay.paths(answerers, depth, seconds=seconds)
        self._consider_mirror(seconds)
        return found

    def close(self) -> None:
        """End the mirror, if there is one, and forget the record. It may be called twice."""
        self._mirrors_left = 0
        if self._mirror is not None:
            self._mirror.close()
        self._replay.close()

    def _consider_mirror(self, seconds: float) -> None:
        """Begin a mirror if replays are dear, and a fork is not too dear as well."""
        if self._mirror is not None and self._mirror.broken:
            self._mirror = None
        if self._mirror is not None or self._mirrors_left == 0:
            return
        is_dear = self._replay.seconds_per_path > self._mirror_above_seconds
        if is_dear and seconds >= self._mirror_above_seconds:
            self._mirrors_left -= 1
            self._mirror = MirrorOracle(self._start, self._replay.records)
