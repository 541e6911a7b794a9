"""Loops that compete: many of them on few devices, beside batch jobs, under every policy.

*Grid*: VQE and QAOA by four optimizers, 3 to 64 loops on 3 to 8 devices, batch load from none to
as much as the devices can serve. *Sensitivity*: one crowd, one thing changed at a time. *Drift*:
SPSA live, each policy with the noise of its own calibrations. Loops of the first two are recorded
once, by real optimizers that guess as they go, and then played under every policy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import TYPE_CHECKING, Any

from efaas.cloud.contended import contended
from efaas.cloud.kernel import random_stream
from efaas.cloud.live_loop import LiveLoop
from efaas.cloud.mixed_loops import KINDS, LoopKind, drawn_kinds, recorded, small_problem
from efaas.cloud.policies import POLICIES
from efaas.cloud.problems import METHODS
from efaas.cloud.scenario import Background, Scenario
from efaas.cloud.traced_loop import TracedLoop
from efaas.cloud.twin import Twin

if TYPE_CHECKING:
    from efaas.cloud.study import Row
    from efaas.cloud.trace import LoopTrace

__all__ = [
    "CROWD",
    "ContentionTask",
    "Recording",
    "Recordings",
    "contention_tasks",
    "recording_tasks",
    "run_contention_task",
    "run_recording",
]

CROWDS = ((64, 8), (24, 6), (8, 3), (3, 3))
"""Loops and devices."""

CROWD = (24, 6)
"""The one that sensitivities are told of."""

LOADS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Batch jobs' QPU time over that of the devices."""

_BATCH_SECONDS = 20.0
_LONGEST_HOURS = 8.0
"""Virtual time after which whoever has not ended is taken as he is."""

_COMPARED = (
    *("sbq", "sr", "pq", "efaas-paper", "exclusive", "session"),
    *("efaas", "efaas-no-speculation", "oracle"),
)
_DRIFTING = ("pq", "efaas-paper", "session", "efaas", "oracle")

_HOURLY = {"valid_seconds": 1e9, "age_spread": 0.0, "hourly_seconds": 150.0}
"""The provider's own calibrations, at minutes of their own; loops ask for none."""

_CHANGES: Mapping[str, Mapping[str, Any]] = {
    "hit rate": {"0": 0.0, "0.3": 0.3, "0.6": 0.6, "0.9": 0.9},
    "classical step": {"0.2 s": 0.2, "0.5 s": 0.5, "1.5 s": 1.5, "5 s": 5.0},
    "calibration": {
        "30 s in 300 s": {},
        "150 s hourly": _HOURLY,
        "150 s hourly, 1 h daily": _HOURLY | {"daily_seconds": 3600.0},
        "none": _HOURLY | {"hourly_seconds": 0.0},
    },
}
"""What is changed, to what."""


@dataclass(frozen=True, slots=True)
class Recording:
    """A loop to be recorded."""

    kind: LoopKind
    steps: int

    def __str__(self) -> str:
        return f"recording {self.kind}"


@dataclass(frozen=True)
class Recordings:
    """Loops as they ran alone.

    Attributes:
        traces: By kind.
        each: How many there are of each kind of problem and optimizer.
    """

    traces: Mapping[LoopKind, LoopTrace]
    each: int

    def best_gap(self, kind: LoopKind) -> float:
        """The least gap that any optimizer came to from the same start."""
        gaps = [
            step.gap
            for other, trace in self.traces.items()
            if (other.problem, other.number) == (kind.problem, kind.number)
            for step in trace.steps
            if step.gap is not None
        ]
        return min(gaps)


@dataclass(frozen=True, slots=True)
class ContentionTask:
    """A crowd at a load, under several policies.

    Attributes:
        part: "grid", "sensitivity" or "drift".
        seed: Of the load and the choice of loops.
        loops: How many.
        devices: How many.
        load: Of batch jobs, over what the devices can serve.
        policies: Their names.
        recordings: The loops; None where they run live.
        what: What is changed; "" for nothing.
        to: To what.
    """

    part: str
    seed: int
    loops: int
    devices: int
    load: float
    policies: tuple[str, ...]
    recordings: Recordings | None = field(repr=False)
    what: str = ""
    to: str = ""

    def __str__(self) -> str:
        return f"{self.loops} loops, load {self.load:g} {self.what}"


def recording_tasks(*, quick: bool) -> list[Recording]:
    """The loops that the others need; the longest first."""
    each, steps = (1, 30) if quick else (4, 120)
    kinds = sorted(KINDS, key=lambda kind: not METHODS[kind[1]].can_guess)
    return [Recording(LoopKind(*kind, number), steps) for kind in kinds for number in range(each)]


def run_recording(task: Recording) -> list[Row]:
    """One row with the trace."""
    return [{"kind": task.kind, "trace": recorded(task.kind, task.steps)}]


def contention_tasks(seeds: int, rows: Sequence[Row], *, quick: bool) -> list[ContentionTask]:
    """All parts, the largest crowds first.

    Args:
        seeds: How many of each.
        rows: What ``run_recording`` gave.
        quick: Small crowds only.
    """
    traces = {row["kind"]: row["trace"] for row in rows}
    recordings = Recordings(traces, len(traces) // len(KINDS))
    crowds, loads = (((8, 3),), (0.5,)) if quick else (CROWDS, LOADS)
    numbers = range(seeds)
    tasks = [
        ContentionTask("grid", seed, loops, devices, load, tuple(POLICIES), recordings)
        for loops, devices in crowds
        for load in loads
        for seed in numbers
    ]
    if quick:
        return tasks
    tasks += [
        ContentionTask("sensitivity", seed, *CROWD, 0.5, _COMPARED, recordings, what, to)
        for what, values in _CHANGES.items()
        for to in values
        for seed in numbers
    ]
    tasks += [
        ContentionTask("drift", seed, 4, 3, 0.25, _DRIFTING, None, "drift", to)
        for to in ("0", "1", "3")
        for seed in numbers
    ]
    return tasks


def run_contention_task(task: ContentionTask) -> list[Row]:
    """A row for each policy."""
    scenario = _scenario(task)
    head = {
        "part": task.part,
        "seed": task.seed,
        "loops": task.loops,
        "devices": task.devices,
        "load": task.load,
        "what": task.what,
        "to": task.to,
    }
    if task.recordings is None:
        return [head | {"policy": name} | _live(task, name, scenario) for name in task.policies]
    kinds = drawn_kinds(task.loops, task.recordings.each, task.seed)
    traces = [task.recordings.traces[kind] for kind in kinds]
    best_gaps = [task.recordings.best_gap(kind) for kind in kinds]
    if task.what == "hit rate":
        share = _CHANGES[task.what][task.to]
        traces = [_guessed(trace, share, task.seed) for trace in traces]
    rows = []
    for name in task.policies:
        policy = POLICIES[name]
        twin = Twin(scenario, policy, [TracedLoop(trace) for trace in traces], seed=task.seed)
        outcome = twin.run(until=3600.0 * _LONGEST_HOURS)
        billing = policy.traits.billing
        rows.append(
            head | {"policy": name} | contended(outcome, scenario, traces, best_gaps, billing)
        )
    return rows


def _scenario(task: ContentionTask) -> Scenario:
    base = Scenario()
    scenario = replace(
        base,
        horizon_seconds=1.0,  # as long as loops run
        classical_nodes=task.loops,  # everybody brings his own
        devices=replace(base.devices, count=task.devices),
        # Devices were not all calibrated at the instant at which the loops come.
        calibrations=replace(base.calibrations, age_spread=1.0),
        loops=replace(base.loops, count=task.loops, tenants=4, think_jitter=0.2),
        background=Background(
            jobs_per_second=task.load * task.devices / _BATCH_SECONDS,
            service_seconds=_BATCH_SECONDS,
            log_deviation=0.8,
            longest_seconds=300.0,
        ),
    )
    match task.what:
        case "classical step":
            think = _CHANGES[task.what][task.to]
            return replace(scenario, loops=replace(scenario.loops, think_seconds=think))
        case "calibration":
            calibrations = replace(scenario.calibrations, **_CHANGES[task.what][task.to])
            return replace(scenario, calibrations=calibrations)
        case "drift":
            calibrations = replace(scenario.calibrations, drift=float(task.to))
            loops = replace(scenario.loops, max_steps=120)
            return replace(scenario, calibrations=calibrations, loops=loops)
    return scenario


def _guessed(trace: LoopTrace, hit_rate: float, seed: int) -> LoopTrace:
    """The same loop if that share of its steps had been guessed right, and the rest wrong."""
    draw = random_stream(seed, "guesses", trace.name, trace.method)
    guesses = ["hit" if draw.random() < hit_rate else "miss" for _ in trace.steps]
    if not hit_rate:
        guesses = ["none"] * len(guesses)
    steps = [replace(step, guess=it) for step, it in zip(trace.steps, guesses, strict=True)]
    return replace(trace, steps=tuple(steps))


def _live(task: ContentionTask, policy: str, scenario: Scenario) -> dict[str, Any]:
    """Where SPSA ends under a policy."""
    loops = [
        LiveLoop(
            small_problem("vqe", task.seed * task.loops + number),
            METHODS["spsa"],
            method_name="spsa",
            seed=task.seed * task.loops + number,
        )
        for number in range(task.loops)
    ]
    outcome = Twin(scenario, POLICIES[policy], loops, seed=task.seed).run()
    valid = scenario.calibrations.valid_seconds
    steps = [step for loop in outcome.loops for step in loop.steps]
    return {
        "last_gap": fmean(loop.steps[-1].gap or 0.0 for loop in outcome.loops),
        "drifted": fmean(float(step.age_seconds > valid) for step in steps),
    }
