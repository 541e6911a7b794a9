"""How a loop iterates: how long it thinks between its rounds, and whether it is one at all."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["LoopPace"]

_GAIN = 0.25
_DEVIATIONS = 4.0
"""Mean deviations beyond the mean think time in which nearly every next job comes, as in the
retransmission timer of TCP (Jacobson, Congestion avoidance and control, SIGCOMM 1988)."""

_EARNED_BY = 2
"""Rounds submitted after a result was seen that make a loop: one could be chance."""


@dataclass(slots=True)
class LoopPace:
    """What was seen of a loop.

    Attributes:
        unfinished: Its committed jobs that wait or run.
        iterations: Rounds submitted after the results of the ones before.
        idle_since: When its last result was in; None while it has jobs or before the first.
        withdrawn_at: When its last job was withdrawn, if that was the last that happened to it.
        think_seconds: Typical time from result to next job.
        deviation_seconds: Typical difference from that.
        round_seconds: Typical service of a round.
        slot_seconds: Service since it holds its slot, idle time held for it included.
        holds: How often its device was held for it, and came back in time; both fade.
    """

    unfinished: int = 0
    iterations: int = 0
    idle_since: float | None = None
    withdrawn_at: float | None = None
    think_seconds: float = 0.0
    deviation_seconds: float = 0.0
    round_seconds: float = 0.0
    slot_seconds: float = 0.0
    holds: tuple[float, float] = (1.0, 1.0)

    def is_active(self, now: float, idle_seconds: float) -> bool:
        """Whether it has earned its name by iterating, and not been idle for longer."""
        if self.iterations < _EARNED_BY:
            return False
        since = self.withdrawn_at if self.idle_since is None else self.idle_since
        return since is None or now - since <= idle_seconds

    def submitted(self, now: float, idle_seconds: float) -> None:
        """A committed job of it is queued."""
        if self.idle_since is not None:
            think = now - self.idle_since
            if think > idle_seconds:
                self.iterations = 0
            elif self.iterations == 0:
                self.think_seconds, self.deviation_seconds = think, 0.5 * think
            else:
                error = think - self.think_seconds
                self.think_seconds += _GAIN * error
                self.deviation_seconds += _GAIN * (abs(error) - self.deviation_seconds)
            self.iterations += think <= idle_seconds
            self.idle_since = None
        self.withdrawn_at = None
        self.unfinished += 1

    def finished(self, now: float) -> None:
        """One of them has ended."""
        self.unfinished -= 1
        if not self.unfinished:
            self.idle_since = now

    def withdrawn(self, now: float) -> None:
        """One of them will not run. What comes next is not a step after a result."""
        self.unfinished -= 1
        if not self.unfinished:
            self.withdrawn_at = now

    def served(self, seconds: float) -> None:
        """A round of it has taken so long."""
        gain = _GAIN if self.round_seconds else 1.0
        self.round_seconds += gain * (seconds - self.round_seconds)
        self.slot_seconds += seconds

    def expected_at(self) -> float:
        """When its next job is expected; only while it thinks."""
        assert self.idle_since is not None
        return self.idle_since + self.think_seconds

    def latest_at(self) -> float:
        """By when its next job has nearly always come; only while it thinks."""
        return self.expected_at() + _DEVIATIONS * self.deviation_seconds

    def utilisation(self) -> float:
        """The share of its time in which it uses the device, from 0 to 1."""
        cycle = self.round_seconds + self.think_seconds
        return self.round_seconds / cycle if cycle else 1.0

    def settled(self, came_in_time: bool) -> None:
        """Learn whether holding a device for it was of use."""
        held, of_use = self.holds
        self.holds = (0.9 * held + 1.0, 0.9 * of_use + came_in_time)

    def hold_pays(self, held_seconds: float, wait_seconds: float) -> bool:
        """Whether to hold a device for it.

        Args:
            held_seconds: How long it would stay idle at the most.
            wait_seconds: How long the loop would wait otherwise.
        """
        held, of_use = self.holds
        chance = of_use / held
        idle = chance * min(self.think_seconds, held_seconds) + (1.0 - chance) * held_seconds
        return chance * wait_seconds > idle
