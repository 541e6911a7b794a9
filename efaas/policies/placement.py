"""Where a new loop goes: the protocol of placements, the least loaded backend, the best score."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

from efaas.errors import InputError
from efaas.model.quantities import is_count, is_number

if TYPE_CHECKING:
    from efaas.model.profile import CircuitProfile

__all__ = [
    "PLACEMENTS",
    "BackendLoad",
    "Best",
    "Explanation",
    "LeastLoaded",
    "Placement",
    "PlacementWeights",
    "Score",
    "scores",
]

_DAY_SECONDS = 86400.0
_MOST_DAYS = 3.0
"""Age from which a calibration says little: by then two numbers in three are uncorrelated."""

_LEAST_SECONDS = 1e-6
"""Counts as the service of an evaluation that takes no time, so that fidelity still decides."""

_MOST_LN = 600.0
"""Keeps squares of fidelities' ratios finite where gates are dead."""


@dataclass(frozen=True, slots=True)
class PlacementWeights:
    """How the terms of a score are weighed against each other.

    Attributes:
        fidelity_power: Power of the ratio of fidelities that multiplies an evaluation's service;
            2, as the shots for equal precision go with ``1 / eta^2``. At least 0.
        wait_weight: Seconds of score for a second of expected wait; at least 0.
        cold_weight: The same for a second of cold start; at least 0.
        age_share_per_day: Share by which service grows with each day of the calibration's age, up
            to three: what an uncertain fidelity costs. ESP of a fixed circuit wanders by about
            0.1 (standard deviation of ln ESP) a day, and E[1/eta^2] grows by twice its square.
        evaluations: Over which a cold start is spread; at least 1.
        most_candidates: Most backends that a loop's circuit is compiled for, least loaded first;
            at least 1.

    Raises:
        InputError: A setting is out of its range.
    """

    fidelity_power: float = 2.0
    wait_weight: float = 1.0
    cold_weight: float = 1.0
    age_share_per_day: float = 0.02
    evaluations: int = 100
    most_candidates: int = 8

    def __post_init__(self) -> None:
        for name in ("fidelity_power", "wait_weight", "cold_weight", "age_share_per_day"):
            value = getattr(self, name)
            if not (is_number(value) and 0 <= value < math.inf):
                raise InputError(f"{name} must be finite, 0 or more, got {value!r}")
        for name in ("evaluations", "most_candidates"):
            value = getattr(self, name)
            if not is_count(value):
                raise InputError(f"{name} must be an integer, 1 or more, got {value!r}")


@dataclass(frozen=True, slots=True)
class BackendLoad:
    """What a placement may know of a backend.

    Attributes:
        name: The backend.
        loops: Loops pinned to it.
        jobs: Jobs that run on it or wait for it alone.
        wait_seconds: Predicted service of these jobs, and of an evaluation of each of the loops.
        profile: The new loop's circuit as compiled for it, or None where it was not looked at.
    """

    name: str
    loops: int
    jobs: int
    wait_seconds: float = 0.0
    profile: CircuitProfile | None = None


@dataclass(frozen=True, slots=True)
class Score:
    """What an evaluation of a loop is expected to cost on a backend; all terms in seconds.

    Attributes:
        backend: The backend.
        esp: Estimated success probability of the circuit there, in [0, 1].
        service_seconds: Predicted service, times what it takes for the precision of the best.
        wait_seconds: Expected wait, weighted.
        cold_seconds: Cold start, weighted, per evaluation.
        age_seconds: For the calibration's age.
    """

    backend: str
    esp: float
    service_seconds: float
    wait_seconds: float
    cold_seconds: float
    age_seconds: float

    @property
    def total_seconds(self) -> float:
        """The score: the sum of the terms; the lowest is the best."""
        return self.service_seconds + self.wait_seconds + self.cold_seconds + self.age_seconds


def scores(candidates: Sequence[BackendLoad], weights: PlacementWeights) -> tuple[Score, ...]:
    """The scores of those candidates that were looked at, in order.

    With ``q`` the predicted seconds of an evaluation, ``eta`` the ESP, ``eta_ref`` the best
    candidate's, and p = 2::

        score = q (eta_ref / eta)^p (1 + a min(days, 3)) + w_wait wait + w_cold cold / evaluations
    """
    looked_at = [(load, load.profile) for load in candidates if load.profile is not None]
    best = max((profile.ln_esp for _, profile in looked_at), default=0.0)
    found = []
    for load, profile in looked_at:
        lost = min(weights.fidelity_power * (best - profile.ln_esp), _MOST_LN)
        service = max(profile.seconds, _LEAST_SECONDS) * math.exp(lost)
        days = min(max(profile.calibration_age_seconds, 0.0) / _DAY_SECONDS, _MOST_DAYS)
        found.append(
            Score(
                backend=load.name,
                esp=profile.esp,
                service_seconds=service,
                wait_seconds=weights.wait_weight * load.wait_seconds,
                cold_seconds=weights.cold_weight * profile.cold_seconds / weights.evaluations,
                age_seconds=weights.age_share_per_day * days * service,
            )
        )
    return tuple(found)


class Placement(Protocol):
    """Chooses the backend of a new loop."""

    @property
    def looks_at(self) -> int:
        """For how many backends, least loaded first, it wants to see the circuit; at least 1."""
        ...

    @property
    def weights(self) -> PlacementWeights:
        """How scores are weighed."""
        ...

    def choose(self, candidates: Sequence[BackendLoad]) -> str:
        """The name of one of ``candidates``, which are never empty."""
        ...

    def reason(self, candidates: Sequence[BackendLoad], chosen: str) -> str:
        """Why it chose that one, in words."""
        ...


class LeastLoaded:
    """The backend with the fewest loops, then the fewest jobs, then the first listed."""

    looks_at = 1

    def __init__(self, weights: PlacementWeights | None = None) -> None:
        self.weights = weights or PlacementWeights()

    def choose(self, candidates: Sequence[BackendLoad]) -> str:
        """The name of the least loaded candidate."""
        return min(candidates, key=lambda load: (load.loops, load.jobs)).name

    def reason(self, candidates: Sequence[BackendLoad], chosen: str) -> str:
        """By how many loops and jobs."""
        if len(candidates) == 1:
            return _ONLY
        load = next(load for load in candidates if load.name == chosen)
        return f"of {len(candidates)} it was the least loaded: {load.loops} loops, {load.jobs} jobs"


class Best:
    """The backend with the best score; of equals the least loaded, then the first listed.

    Candidates that were not looked at are left out, unless all are: then the least loaded.

    Example:
        >>> from efaas.model.profile import CircuitProfile
        >>> def load(name, loops, ln_gates):
        ...     profile = CircuitProfile(name, 2, 1, 1, (0, 1), 1.0, True, ln_gates=ln_gates)
        ...     return BackendLoad(name, loops, 0, wait_seconds=loops * 1.0, profile=profile)
        >>> Best().choose([load("noisy", 0, -0.5), load("good", 0, -0.1)])
        'good'
        >>> Best().choose([load("noisy", 0, -0.5), load("good", 2, -0.1)])
        'noisy'
    """

    def __init__(self, weights: PlacementWeights | None = None) -> None:
        self.weights = weights or PlacementWeights()

    @property
    def looks_at(self) -> int:
        """As the weights say."""
        return self.weights.most_candidates

    def choose(self, candidates: Sequence[BackendLoad]) -> str:
        """The name of the candidate with the lowest score."""
        found = {score.backend: score.total_seconds for score in scores(candidates, self.weights)}
        rated = [load for load in candidates if load.name in found] or candidates
        # Nine digits: sums of other loops' seconds differ in the last ones by their order.
        return min(
            rated,
            key=lambda load: (float(f"{found.get(load.name, 0.0):.9g}"), load.loops, load.jobs),
        ).name

    def reason(self, candidates: Sequence[BackendLoad], chosen: str) -> str:
        """How its score compares with the next best, and which term makes most of it."""
        found = scores(candidates, self.weights)
        if len(candidates) == 1:
            return _ONLY
        others = [score for score in found if score.backend != chosen]
        if not others:
            return "it was the least loaded, and no other was looked at"
        mine = next(score for score in found if score.backend == chosen)
        other = min(others, key=lambda score: score.total_seconds)
        gains = {words: getter(other) - getter(mine) for words, getter in _TERMS.items()}
        words, gain = max(gains.items(), key=lambda item: item[1])
        if gain <= 0 or math.isclose(mine.total_seconds, other.total_seconds, rel_tol=1e-9):
            return f"its score is that of {other.backend}; of equals the least loaded is taken"
        return (
            f"its score is {mine.total_seconds:.3g} s, that of {other.backend}, the next, "
            f"{other.total_seconds:.3g} s; most is saved by {words}"
        )


_ONLY = "it is the only backend that fits"
_TERMS: Mapping[str, Callable[[Score], float]] = MappingProxyType(
    {
        "fidelity and speed": lambda score: score.service_seconds,
        "the shorter wait": lambda score: score.wait_seconds,
        "the warmer start": lambda score: score.cold_seconds,
        "the younger calibration": lambda score: score.age_seconds,
    }
)


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a loop is where it is; print it for a table.

    Attributes:
        loop_id: The loop.
        backend: Where it is pinned.
        reason: Why, in words.
        candidates: What was compared at the time, the best first; the chosen one may not be the
            best where moving to a better one does not pay.
        job: What a job of the loop waits for, in words; "" if none was asked about.
    """

    loop_id: str
    backend: str
    reason: str
    candidates: tuple[Score, ...]
    job: str = ""

    def __str__(self) -> str:
        rows = self._rows()
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip()
            for row in rows
        ]
        return "\n".join([self._title(), *lines, *([self.job] if self.job else [])])

    def _repr_html_(self) -> str:
        head, *body = self._rows()
        cells = "".join(f"<th>{escape(cell)}</th>" for cell in head)
        table = "".join(
            "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in body
        )
        job = f"<p>{escape(self.job)}</p>" if self.job else ""
        return f"<p>{escape(self._title())}</p><table><tr>{cells}</tr>{table}</table>{job}"

    def _title(self) -> str:
        return f"pinned to {self.backend}: {self.reason}"

    def _rows(self) -> list[tuple[str, ...]]:
        rows: list[tuple[str, ...]] = [
            ("backend", "ESP", "service s", "wait s", "cold s", "age s", "score s", "")
        ]
        for score in self.candidates:
            seconds = (
                score.service_seconds,
                score.wait_seconds,
                score.cold_seconds,
                score.age_seconds,
                score.total_seconds,
            )
            mark = "chosen" if score.backend == self.backend else ""
            rows.append(
                (score.backend, f"{score.esp:.3f}", *[f"{each:.3g}" for each in seconds], mark)
            )
        return rows


PLACEMENTS: Mapping[str, Callable[[PlacementWeights | None], Placement]] = MappingProxyType(
    {"best": Best, "least-loaded": LeastLoaded}
)
"""The placements, by the name that a scheduler is given; each is made with its weights."""
