"""What is simulated: devices, loops, background jobs; every number with its unit and source.

Sources: [P] the experiment of EFaaS (arXiv 2605.27540) and its artifact. [I] documentation of a
provider's sessions as of 2025. [M] measured with this library. [D] a choice of ours, for the
reason given.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import Any

from efaas.errors import InputError
from efaas.model.quantities import is_count, is_number

__all__ = [
    "Background",
    "Calibrations",
    "Devices",
    "Loops",
    "Provider",
    "Scenario",
    "SpeculationPrice",
]


@dataclass(frozen=True, slots=True)
class Calibrations:
    """How long a calibration is good for.

    Attributes:
        valid_seconds: Age up to which it is valid, ``tau``; noise grows with age beyond 0.
        duration_seconds: How long a new one takes; the device does nothing else meanwhile.
        margin_seconds: A loop asks for a new one when the present one has less left than this.
        drift: What noise grows by in ``valid_seconds``; 0 for none. Error rates are those of a
            fresh calibration times ``1 + drift * min(age / valid_seconds, 2)``.
        age_spread: How old the calibrations are at the beginning: uniform, for each device, from
            nothing to this share of ``valid_seconds``.
        hourly_seconds: How long the provider's own calibration of every hour takes, whoever waits,
            at a minute that is drawn for each device; 0 for none. What runs is let end first.
        daily_seconds: The same, once a day.
    """

    valid_seconds: float = 300.0  # [P]
    duration_seconds: float = 30.0  # [P]
    margin_seconds: float = 10.0  # [P]
    drift: float = 1.0  # [P]
    age_spread: float = 0.0  # [P] all are fresh
    hourly_seconds: float = 0.0  # [P] none; [I] IBM had 2 to 3 minutes
    daily_seconds: float = 0.0  # [P] none; [I] IBM had 30 to 90 minutes


@dataclass(frozen=True, slots=True)
class Devices:
    """The QPUs, all alike but for their fidelity.

    Attributes:
        count: How many.
        evaluation_seconds: Mean service of one evaluation; uniform within ``jitter_seconds``.
        jitter_seconds: Half of the uniform distribution's width.
        points_per_job: Points that such an evaluation may hold at once; more take in proportion.
        one_qubit_error: Depolarising probability of a one-qubit gate, freshly calibrated.
        two_qubit_error: The same of a two-qubit gate.
        fidelity_spread: Standard deviation over the devices of ln of their error rates.
        failures_per_hour: Attempts' failures of each device, a Poisson process; each costs the
            attempt, which runs again.
    """

    count: int = 3  # [P]
    evaluation_seconds: float = 2.0  # [P] t_qpu
    jitter_seconds: float = 0.3  # [P]
    points_per_job: int = 2  # [P] both points of a step of SPSA are one job
    one_qubit_error: float = 0.001  # [P]
    two_qubit_error: float = 0.01  # [P]
    fidelity_spread: float = 0.0  # [P] all alike
    failures_per_hour: float = 0.0  # [P] none


@dataclass(frozen=True, slots=True)
class Loops:
    """The optimizations.

    Attributes:
        count: How many.
        arrivals_per_hour: Poisson rate at which they come; 0 for all at the beginning.
        think_seconds: The classical step between an evaluation's result and the next ask.
        think_jitter: Its standard deviation over its mean (normal, cut at a tenth of the mean).
        max_steps: Most steps of each, a job each.
        tenants: Among whom they are shared out in turn.
        cold_start_seconds: Least and most time, uniform, to compile and load what a job needs.
        recompile_seconds: Compiling anew for a new calibration, where the rest is loaded.
    """

    count: int = 1  # [P]
    arrivals_per_hour: float = 0.0  # [P]
    think_seconds: float = 1.5  # [P] t_cpu
    think_jitter: float = 0.0  # [P]
    max_steps: int = 1000  # [P]
    tenants: int = 1  # [P]
    cold_start_seconds: tuple[float, float] = (2.0, 8.0)  # [P] of a FaaS worker
    recompile_seconds: float = 0.4  # [M] 4 to 10 qubits on 127: 0.04 to 0.4 s


@dataclass(frozen=True, slots=True)
class Background:
    """Jobs of others.

    Attributes:
        jobs_per_second: Poisson rate over all devices; 0 for none.
        service_seconds: Their mean service.
        log_deviation: Of log-normal service: the standard deviation of its logarithm; 0 for
            exponential service.
        burst_size: Mean number of jobs that come together, geometric; 1 for no bursts.
        longest_seconds: Service is cut there.
    """

    jobs_per_second: float = 0.05  # [P]
    service_seconds: float = 5.0  # [P]
    log_deviation: float = 0.0  # [P] exponential
    burst_size: float = 1.0  # [P]
    longest_seconds: float = math.inf  # [P]

    @property
    def load(self) -> float:
        """Devices that they keep busy on average."""
        return self.jobs_per_second * self.service_seconds


@dataclass(frozen=True, slots=True)
class Provider:
    """How a cloud lets jobs in, where a policy goes through its queue.

    Attributes:
        queue_log_mean: Mean of ln of the queue's delay in seconds.
        queue_log_deviation: Its standard deviation; the mean delay is
            ``exp(mean + deviation ** 2 / 2)``.
        pilot_start_seconds: From a pilot job's turn to its first task.
        pilot_task_seconds: What a pilot adds to every task.
        interactive_seconds: Idle time after which a provider session is closed.
        max_session_seconds: Most time that a session or a reservation lasts.
        balance_seconds: Period of a balancer that places jobs in batches.
        network_seconds: From a loop to its device, and again from there to the loop, for each job.
    """

    queue_log_mean: float = 3.5  # [P]
    queue_log_deviation: float = 0.8  # [P]
    pilot_start_seconds: float = 2.0  # [P]
    pilot_task_seconds: float = 0.5  # [P]
    interactive_seconds: float = 60.0  # [I] a minute on premium plans
    max_session_seconds: float = 28800.0  # [I] eight hours
    balance_seconds: float = 120.0  # [D] the trigger that Qonductor publishes
    network_seconds: float = 0.0  # [P] its cycles have none, though it names 0.5 s for both ways

    @property
    def mean_queue_seconds(self) -> float:
        """The mean delay."""
        return math.exp(self.queue_log_mean + self.queue_log_deviation**2 / 2)


@dataclass(frozen=True, slots=True)
class SpeculationPrice:
    """How guessing is bounded.

    Attributes:
        predictor_share: Predictor's time over the time that a hit saves.
        extra_evaluations: Most evaluations wasted over those used.
    """

    predictor_share: float = 0.05  # [D] half of what sessions take: studies run many loops
    extra_evaluations: float = 1.0  # [D] the library's default


@dataclass(frozen=True, slots=True)
class Scenario:
    """A cloud and its load. All times are virtual seconds.

    Attributes:
        horizon_seconds: How long duty cycles and waits are measured.
        classical_nodes: Classical steps that run side by side.
        devices: The QPUs.
        calibrations: Of each of them.
        loops: The optimizations.
        background: Jobs of others.
        provider: The queue in front.
        speculation: How guessing is bounded.

    Example:
        >>> round(Scenario().provider.mean_queue_seconds, 1)
        45.6
    """

    horizon_seconds: float = 3000.0  # [P]
    classical_nodes: int = 4  # [P]
    devices: Devices = field(default_factory=Devices)
    calibrations: Calibrations = field(default_factory=Calibrations)
    loops: Loops = field(default_factory=Loops)
    background: Background = field(default_factory=Background)
    provider: Provider = field(default_factory=Provider)
    speculation: SpeculationPrice = field(default_factory=SpeculationPrice)

    def __post_init__(self) -> None:
        for each in fields(self):
            value: Any = getattr(self, each.name)
            kind: Any = each.default_factory
            if not isinstance(kind, type):
                check(f"Scenario.{each.name}", value)
                continue
            if not isinstance(value, kind):
                raise InputError(f"Scenario.{each.name} is a {kind.__name__}; got {value!r}")
            for part in fields(kind):
                check(f"{kind.__name__}.{part.name}", getattr(value, part.name))
        devices, calibrations = self.devices, self.calibrations
        if devices.jitter_seconds > devices.evaluation_seconds:
            raise InputError(
                f"Devices.jitter_seconds is at most evaluation_seconds, here "
                f"{devices.evaluation_seconds!r}; got {devices.jitter_seconds!r}: set it as well"
            )
        if calibrations.hourly_seconds / 3600.0 + calibrations.daily_seconds / 86400.0 >= 1.0:
            raise InputError(
                "Calibrations.hourly_seconds of every hour and daily_seconds of every day leave no "
                f"time; got {calibrations.hourly_seconds!r} and {calibrations.daily_seconds!r}"
            )

    @property
    def device_names(self) -> tuple[str, ...]:
        """The QPUs' names."""
        return tuple([f"qpu{number}" for number in range(1, self.devices.count + 1)])


_POSITIVE = {
    "valid_seconds",
    "evaluation_seconds",
    "horizon_seconds",
    "service_seconds",
    "interactive_seconds",
    "max_session_seconds",
    "balance_seconds",
    "longest_seconds",
}


_COUNTS = {"count", "points_per_job", "classical_nodes", "max_steps", "tenants"}
_PROBABILITIES = {"one_qubit_error", "two_qubit_error"}


def check(name: str, value: Any) -> None:
    """Refuse what a field of a scenario cannot hold.

    Raises:
        InputError: It is of another kind, negative, or 0 where it must be positive.
    """
    short = name.rpartition(".")[2]
    if short == "cold_start_seconds":
        if not isinstance(value, tuple) or len(value) != 2:
            raise InputError(f"{name} is a pair of numbers, the least and the most; got {value!r}")
        for number in value:
            _check_number(name, number)
        if value[0] > value[1]:
            raise InputError(f"{name} is the least and then the most; got {value!r}")
    elif short in _COUNTS:
        if not is_count(value):
            raise InputError(f"{name} is a whole number, 1 or more; got {value!r}")
    else:
        _check_number(name, value)


def _check_number(name: str, value: Any) -> None:
    short = name.rpartition(".")[2]
    if not is_number(value):
        raise InputError(f"{name} is a number; got {value!r}")
    if math.isinf(value) and short != "longest_seconds":
        raise InputError(f"{name} is a finite number; got {value!r}")
    if value < 0 and short != "queue_log_mean":
        raise InputError(f"{name} is 0 or more; got {value!r}")
    if short in _POSITIVE and value <= 0:
        raise InputError(f"{name} is greater than 0; got {value!r}")
    if short == "burst_size" and value < 1:
        raise InputError(f"{name} is 1 or more; got {value!r}")
    if short in _PROBABILITIES and value > 1:
        raise InputError(f"{name} is a probability from 0 to 1; got {value!r}")
