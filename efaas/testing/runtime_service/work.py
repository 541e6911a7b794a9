"""What a job asks for, decoded: items to run, and how the answer is written."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from efaas.errors import InputError
from efaas.model.quantities import is_number

if TYPE_CHECKING:
    from efaas.backends.protocol import Evaluation, Outcome

__all__ = ["Item", "QpuTiming", "Runner", "Span", "Work", "Writer"]


@dataclass(frozen=True, slots=True)
class QpuTiming:
    """How many QPU seconds a job takes: a model, since nothing here is a QPU.

    ``job_seconds + circuits * circuit_seconds + executions * rep_delay``, where the pause between
    shots is the device's, or the job's own. The circuits' durations are some microseconds beside
    pauses of some hundred, and are left out.

    Attributes:
        job_seconds: Of every job.
        circuit_seconds: Of every circuit, bound to its parameters.
    """

    job_seconds: float = 1.0
    circuit_seconds: float = 0.0

    def __post_init__(self) -> None:
        """Check the numbers."""
        for seconds in (self.job_seconds, self.circuit_seconds):
            if not (is_number(seconds) and 0.0 <= seconds < math.inf):
                raise InputError(f"a job's seconds must be finite and at least 0, got {self}")

    def seconds(self, work: Work, rep_delay_seconds: float) -> float:
        """QPU seconds of a job's work."""
        delay = rep_delay_seconds if work.rep_delay_seconds is None else work.rep_delay_seconds
        return self.job_seconds + work.num_circuits * self.circuit_seconds + work.executions * delay


@dataclass(frozen=True, slots=True)
class Span:
    """When a job ran, as dates of the service."""

    start: datetime
    stop: datetime


class Runner(Protocol):
    """What runs evaluations: a simulated device, or a mock."""

    def execute(self, evaluations: Sequence[Evaluation]) -> Sequence[Outcome | Exception]:
        """One outcome, or error, for each, in order."""
        ...


class Item(Protocol):
    """A pub, or an item of a quantum program.

    Attributes:
        digests: For each point what is asked for there, independent of names.
        shots: Shots of each circuit.
        num_circuits: Circuits to execute, over all points.
    """

    @property
    def digests(self) -> Sequence[str]:
        """See above."""
        ...

    @property
    def shots(self) -> int:
        """See above."""
        ...

    @property
    def num_circuits(self) -> int:
        """See above."""
        ...

    def run(self, backend: Runner, seeds: Sequence[int]) -> Any:
        """Execute it, with one seed for each point.

        Raises:
            EfaasError: The device cannot run it.
        """
        ...


class Writer(Protocol):
    """Writes the answers of all items in the form that the client reads."""

    def __call__(self, answers: Sequence[Any], span: Span) -> str:
        """The text of the result."""
        ...


@dataclass(frozen=True, slots=True)
class Work:
    """A job's submission, decoded.

    Attributes:
        items: What is run, in order.
        write: Writes the result.
        requested_seed: See ``seeds.requested_seed``.
        rep_delay_seconds: Pause between shots that the job asks for, or None.
    """

    items: Sequence[Item]
    write: Writer
    requested_seed: Any = None
    rep_delay_seconds: float | None = None

    @property
    def num_circuits(self) -> int:
        """Circuits to execute."""
        return sum(item.num_circuits for item in self.items)

    @property
    def executions(self) -> int:
        """Shots over all circuits."""
        return sum(item.num_circuits * item.shots for item in self.items)
