"""A loop as it was once run: its steps, to be played again under any policy.

A trace file is JSON lines. The first line is the head; each further line is a step, one job of the
optimizer: what it took to compute it, how many evaluations it holds, how good the point is that
the optimizer held after it, and what had been guessed while the step before it ran.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from efaas.errors import InputError
from efaas.model.quantities import is_count, is_number

__all__ = ["LoopTrace", "TraceStep", "read_traces", "write_traces"]

_FORMAT = "efaas-loop-trace"
_VERSION = 1
_HEAD_DEFAULTS: dict[str, Any] = {
    "name": "",
    "method": "",
    "seed": 0,
    "num_qubits": 0,
    "span": 0.0,
    "circuits": 0,
    "shots": 0,
}
_HEAD = tuple(_HEAD_DEFAULTS)


@dataclass(frozen=True, slots=True)
class TraceStep:
    """One job of a loop.

    Attributes:
        evaluations: Points in it; at least 1.
        gap: How far the optimizer's present point was from the best, after this step: 0 at the
            best reachable energy, 1 at that of the maximally mixed state. None where unknown.
        guess: What had been guessed while the step before was running: "hit" if it was this step,
            "miss" if it was another one, "none" if nothing was worth a guess.
        think_seconds: The classical step before it, as measured; None to draw it of the scenario.
        service_seconds: Service of its job, as measured; None to draw it of the scenario.
    """

    evaluations: int = 1
    gap: float | None = None
    guess: str = "none"
    think_seconds: float | None = None
    service_seconds: float | None = None

    def __post_init__(self) -> None:
        if self.guess not in ("none", "hit", "miss"):
            raise InputError(f"guess is 'none', 'hit' or 'miss'; got {self.guess!r}")
        if not is_count(self.evaluations):
            raise InputError(f"evaluations is a whole number, 1 or more; got {self.evaluations!r}")
        if self.gap is not None and not is_number(self.gap):
            raise InputError(f"gap is a number, or null; got {self.gap!r}")
        for name in ("think_seconds", "service_seconds"):
            seconds = getattr(self, name)
            if seconds is not None and not (is_number(seconds) and 0.0 <= seconds < math.inf):
                raise InputError(f"{name} is a finite number, 0 or more, or null; got {seconds!r}")


@dataclass(frozen=True, slots=True)
class LoopTrace:
    """A loop's steps, in order.

    Attributes:
        name: What was optimized.
        method: By which optimizer.
        seed: Of the start and the noise.
        num_qubits: Of the circuit.
        span: Energy of the maximally mixed state over that of the ground state; 0 where unknown.
        steps: The jobs.
        circuits: Circuits of an evaluation, one for each measurement setting; 0 where unknown.
        shots: Of each circuit; 0 where unknown.
    """

    name: str
    method: str
    seed: int
    num_qubits: int
    span: float
    steps: tuple[TraceStep, ...]
    circuits: int = 0
    shots: int = 0

    def __post_init__(self) -> None:
        for name in ("name", "method"):
            if not isinstance(getattr(self, name), str):
                raise InputError(f"{name} is text; got {getattr(self, name)!r}")
        for name in ("num_qubits", "circuits", "shots"):
            if not is_count(getattr(self, name), least=0):
                raise InputError(f"{name} is a whole number; got {getattr(self, name)!r}")
        if not is_number(self.span):
            raise InputError(f"span is a number; got {self.span!r}")

    @property
    def hit_rate(self) -> float:
        """Hits over steps but the first: the share of classical steps that guessing hides."""
        hits = sum(step.guess == "hit" for step in self.steps)
        return hits / max(len(self.steps) - 1, 1)


def write_traces(path: Path, traces: Iterable[LoopTrace]) -> None:
    """Write loops to a file of JSON lines, one after the other."""
    with path.open("w", encoding="utf-8") as file:
        for trace in traces:
            head = {each: getattr(trace, each) for each in _HEAD}
            file.write(json.dumps({"format": _FORMAT, "version": _VERSION} | head) + "\n")
            file.writelines(json.dumps(_lean(step)) + "\n" for step in trace.steps)


def read_traces(path: Path) -> Sequence[LoopTrace]:
    """The loops of a file that ``write_traces`` wrote.

    Raises:
        InputError: The file is not of this form; the message names the line.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeError) as error:
        raise InputError(f"cannot read {path}: expected loops as JSON lines ({error})") from error
    loops: list[tuple[LoopTrace, list[TraceStep]]] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            if not isinstance(record, dict):
                raise InputError(f"expected an object, {{...}}; got {line[:40]!r}")
            if "format" in record:
                loops.append((_head_of(record), []))
            elif not loops:
                raise InputError(f"expected the head, {{'format': {_FORMAT!r}, ...}}, first")
            else:
                loops[-1][1].append(TraceStep(**_known(record, _DEFAULTS)))
        except ValueError as error:
            raise InputError(f"{path}, line {number}: {error}") from error
    if not loops:
        raise InputError(f"{path} holds no loop")
    return [replace(head, steps=tuple(steps)) for head, steps in loops]


def _head_of(record: dict[str, Any]) -> LoopTrace:
    if record.pop("format") != _FORMAT or record.pop("version", None) != _VERSION:
        raise InputError(f"expected {_FORMAT!r} of version {_VERSION}")
    return LoopTrace(**(_HEAD_DEFAULTS | _known(record, _HEAD_DEFAULTS)), steps=())


def _known(record: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    for name in record:
        if name not in names:
            raise InputError(f"unknown {name!r}; known are {', '.join(names)}")
    return record


_DEFAULTS = {each.name: each.default for each in fields(TraceStep)}


def _lean(step: TraceStep) -> dict[str, Any]:
    return {name: value for name, value in asdict(step).items() if value != _DEFAULTS[name]}
