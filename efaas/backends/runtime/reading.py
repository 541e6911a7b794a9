"""From a job's result to the evaluations' values; as text it outlives the process.

What is needed to read a result is written down before the job is sent, so that a later process
can take it over by its id.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from efaas.backends.protocol import Estimates, Samples
from efaas.errors import InputError

if TYPE_CHECKING:
    from efaas.backends.runtime.packing import PlannedJob

__all__ = ["JobReading", "Part", "assembled"]

_VERSION = 1


@dataclass(frozen=True, slots=True)
class Part:
    """One evaluation, as far as its values go.

    Attributes:
        points: How many it has.
        observables: How many its experiment has; 0 for a sample.
        registers: For a sample the width of each register, in order.
    """

    points: int
    observables: int
    registers: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class JobReading:
    """How a job's result is read.

    Attributes:
        parts: The evaluations that have points in the job.
        pubs: For each pub its points as (part, point), and the observables that it estimates.
        calibration_id: The calibration that it was compiled for.
    """

    parts: tuple[Part, ...]
    pubs: tuple[tuple[tuple[tuple[int, int], ...], tuple[int, ...]], ...]
    calibration_id: str

    @classmethod
    def of(
        cls, job: PlannedJob, parts: Sequence[Part], calibration_id: str
    ) -> tuple[JobReading, list[int]]:
        """The reading of a planned job.

        Args:
            job: The plan; its requests are the evaluations of a round.
            parts: Of all evaluations of the round.
            calibration_id: The calibration that it is compiled for.

        Returns:
            The reading, and which evaluation each of its parts is.
        """
        indices = list(dict.fromkeys(index for index, _ in job.members))
        place = {index: part for part, index in enumerate(indices)}
        pubs = []
        for pub in job.pubs:
            members = tuple((place[index], point) for index, point in pub.members)
            every = range(parts[pub.members[0][0]].observables)
            pubs.append((members, tuple(every if pub.wanted is None else pub.wanted)))
        chosen = tuple(parts[index] for index in indices)
        return cls(chosen, tuple(pubs), calibration_id), indices

    @property
    def points(self) -> list[list[int]]:
        """For each part the points of it that are in the job, in ascending order."""
        found: list[list[int]] = [[] for _ in self.parts]
        for members, _ in self.pubs:
            for part, point in members:
                found[part].append(point)
        return [sorted(points) for points in found]

    def values(self, result: Any) -> list[dict[int, Any]]:
        """For each part the values of its points that are in the job.

        An estimate's is ``(evs, stds)``, each of the width of its observables and NaN where one
        was not wanted; a sample's maps each register to its rows.

        Args:
            result: The primitive's.

        Raises:
            ValueError: It is not of this job.
        """
        if len(result) != len(self.pubs):
            raise ValueError(f"expected the results of {len(self.pubs)} pubs, got {len(result)}")
        found: list[dict[int, Any]] = [{} for _ in self.parts]
        for (members, wanted), of_pub in zip(self.pubs, result, strict=True):
            part = self.parts[members[0][0]]
            read = self._samples if part.registers else self._estimates
            for (index, point), value in zip(
                members, read(part, len(members), wanted, of_pub.data), strict=True
            ):
                found[index][point] = value
        return found

    def as_text(self) -> str:
        """The reading as JSON."""
        return json.dumps({"version": _VERSION, **asdict(self)}, separators=(",", ":"))

    @classmethod
    def from_text(cls, text: str) -> JobReading:
        """The reading that ``as_text`` wrote.

        Raises:
            InputError: It is of another version, or damaged.
        """
        try:
            content = json.loads(text)
            if content["version"] != _VERSION:
                raise InputError(
                    f"expected version {_VERSION} of how a job's result is read, got "
                    f"{content['version']}: go on with the version of efaas that wrote it"
                )
            parts = tuple(
                Part(p["points"], p["observables"], tuple((n, b) for n, b in p["registers"]))
                for p in content["parts"]
            )
            pubs = tuple(
                (tuple((i, p) for i, p in members), tuple(wanted))
                for members, wanted in content["pubs"]
            )
            return cls(parts, pubs, content["calibration_id"])
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"what is written of a job cannot be read: {error}") from error

    @staticmethod
    def _estimates(part: Part, points: int, wanted: Sequence[int], data: Any) -> list[Any]:
        shape = (len(wanted), points)
        evs = np.asarray(data.evs, dtype=np.float64).reshape(shape)
        stds = np.asarray(data.stds, dtype=np.float64).reshape(shape)
        values = []
        for point in range(points):
            row = np.full((2, part.observables), np.nan)
            row[0, list(wanted)] = evs[:, point]
            row[1, list(wanted)] = stds[:, point]
            values.append((row[0], row[1]))
        return values

    @staticmethod
    def _samples(part: Part, points: int, wanted: Sequence[int], data: Any) -> list[Any]:
        arrays = {}
        for name, width in part.registers:
            bits = getattr(data, name).array
            arrays[name] = np.asarray(bits, dtype=np.uint8).reshape(points, -1, -(-width // 8))
        return [{name: rows[point] for name, rows in arrays.items()} for point in range(points)]


def assembled(part: Part, values: dict[int, Any]) -> Estimates | Samples:
    """An evaluation's value from those of its points; a point without a value wanted nothing.

    Args:
        part: The evaluation.
        values: By point.
    """
    if part.registers:
        rows = [values[point] for point in range(part.points)]
        return Samples(
            {name: np.stack([row[name] for row in rows]) for name, _ in part.registers},
            dict(part.registers),
        )
    evs = np.full((part.points, part.observables), np.nan)
    stds = np.full((part.points, part.observables), np.nan)
    for point, (mean, error) in values.items():
        evs[point], stds[point] = mean, error
    return Estimates(evs, stds)
