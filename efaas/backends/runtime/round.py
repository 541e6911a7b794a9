"""What has become of the evaluations of a round so far."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from efaas.backends.protocol import Outcome
from efaas.backends.runtime.courier import is_final
from efaas.backends.runtime.reading import Part, assembled
from efaas.model.job import Usage

if TYPE_CHECKING:
    from efaas.backends.protocol import Evaluation
    from efaas.backends.runtime.courier import Run

__all__ = ["Round"]


class Round:
    """Evaluations that are executed together.

    Attributes:
        evaluations: What was asked for.
        parts: The same as far as values go.
        errors: What went wrong, by evaluation.
        stopped: Why nothing more is to be sent, or None.
        in_doubt: An error that leaves open what became of a job, or None.
    """

    def __init__(self, evaluations: Sequence[Evaluation]) -> None:
        self.evaluations = evaluations
        self.parts = [_part(evaluation) for evaluation in evaluations]
        self.errors: dict[int, Exception] = {}
        self.stopped: Exception | None = None
        self.in_doubt: Exception | None = None
        self._values: dict[int, dict[int, Any]] = {}
        self._seconds: dict[int, float] = {}
        self._fixed: dict[int, float] = {}
        self._waited: dict[int, float] = {}

    def fail(self, indices: Sequence[int], error: BaseException | None) -> None:
        """Nothing comes of these."""
        found = error if isinstance(error, Exception) else RuntimeError(str(error))
        if not is_final(found):
            self.in_doubt = found
        for index in indices:
            self.errors.setdefault(index, found)

    def is_failed(self, indices: Sequence[int]) -> bool:
        """Whether nothing comes of any of these."""
        return all(index in self.errors for index in indices)

    def take(self, run: Run, values: Sequence[dict[int, Any]]) -> None:
        """A job has brought these."""
        points = max(1, sum(map(len, values)))
        for index, found in zip(run.evaluations, values, strict=True):
            self._values.setdefault(index, {}).update(found)
            share = run.qpu_seconds * len(found) / points
            self._seconds[index] = self._seconds.get(index, 0.0) + share
            fixed = share * run.fixed_share
            self._fixed[index] = self._fixed.get(index, 0.0) + fixed
            waited = self._waited.get(index)
            own = run.waited_seconds
            self._waited[index] = own if waited is None else min(waited, own)

    def outcome(self, index: int, calibration_id: str) -> Outcome | Exception:
        """What is to be answered."""
        if index in self.errors:
            return self.errors[index]
        value = assembled(self.parts[index], self._values.get(index, {}))
        usage = Usage(
            qpu_seconds=self._seconds.get(index, 0.0), fixed_seconds=self._fixed.get(index, 0.0)
        )
        return Outcome(value, usage, calibration_id, waited_seconds=self._waited.get(index, 0.0))


def _part(evaluation: Evaluation) -> Part:
    experiment = evaluation.experiment
    registers: tuple[tuple[str, int], ...] = ()
    if experiment.is_sample:
        registers = tuple((r.name, r.size) for r in experiment.circuit.cregs)
    return Part(len(evaluation.seeds), len(experiment.observables), registers)
