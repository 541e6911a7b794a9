"""What a policy of the simulated cloud is: how jobs get in, in which order, and on what terms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from efaas.cloud.prices import JOBS
from efaas.policies.placement import LeastLoaded

if TYPE_CHECKING:
    import random

    from efaas.cloud.scenario import Scenario
    from efaas.policies.ordering import Ordering
    from efaas.policies.placement import Placement

__all__ = ["Policy", "Traits"]


@dataclass(frozen=True, slots=True)
class Traits:
    """The terms on which jobs run.

    Attributes:
        pins: Whether a loop stays on one device.
        is_warm: Whether what was compiled is kept: a cold start is paid once, then compiling anew
            after a calibration. None where starts cost nothing, as in the paper's model.
        speculates: Whether loops' guesses are run.
        preempts: Whether a loop's job throws out a background job, which begins again later.
        renews_by_running: Whether a shot counts as a calibration: the paper's sliding rule, which
            is not physical. Otherwise a calibration is as old as it is.
        places_background: Whether background jobs go to any device; otherwise they were sent to
            one of them, at random, by who submitted them.
        knows_the_future: Whether classical steps, starts and calibrations cost nothing.
        billing: How it may be sold: "jobs" for what runs, "session" for the time that a loop has
            its device.
    """

    pins: bool = True
    is_warm: bool | None = None
    speculates: bool = False
    preempts: bool = False
    renews_by_running: bool = True
    places_background: bool = False
    knows_the_future: bool = False
    billing: tuple[str, ...] = (JOBS,)


class Policy(Protocol):
    """A way to run a cloud."""

    @property
    def name(self) -> str:
        """What it is called on the command line."""
        ...

    @property
    def title(self) -> str:
        """What it is, in a few words."""
        ...

    @property
    def traits(self) -> Traits:
        """The terms on which jobs run."""
        ...

    def ordering(self, scenario: Scenario) -> Ordering:
        """A new queue order, for one run."""
        ...

    def placement(self) -> Placement:
        """Where a new loop goes."""
        ...

    def access_seconds(self, scenario: Scenario, draw: random.Random, *, is_first: bool) -> float:
        """What a loop's job waits for outside before it stands in the queue.

        Args:
            scenario: The cloud.
            draw: Random numbers of this loop and this purpose.
            is_first: Whether it is the loop's first job, or the first after its session ended.
        """
        ...


class Defaults:
    """What most policies do: loops go to the least loaded device, and nothing is in front."""

    traits = Traits()

    def placement(self) -> Placement:
        """The device with the fewest loops."""
        return LeastLoaded()

    def access_seconds(self, scenario: Scenario, draw: random.Random, *, is_first: bool) -> float:
        """Nothing."""
        return 0.0


def queue_seconds(scenario: Scenario, draw: random.Random) -> float:
    """One passage through the provider's queue."""
    provider = scenario.provider
    return draw.lognormvariate(provider.queue_log_mean, provider.queue_log_deviation)
