"""From a round of evaluations to the jobs that are sent for it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from efaas.backends.runtime.courier import Run
from efaas.backends.runtime.forms import Form
from efaas.backends.runtime.packing import Limits, Load, PlannedJob, Request, packed
from efaas.backends.runtime.reading import JobReading
from efaas.errors import ResourceLimitError, ShotsError
from efaas.model.quantities import is_count

if TYPE_CHECKING:
    from efaas.backends.experiment import Experiment
    from efaas.backends.protocol import Evaluation
    from efaas.backends.runtime.calibrations import InForce
    from efaas.backends.runtime.cost import CostModel
    from efaas.backends.runtime.primitives import Options
    from efaas.backends.runtime.round import Round
    from efaas.backends.warm_cache import WarmCache

__all__ = ["FormKey", "Planner", "most_shots"]

_TYPICAL_SHOTS = 4096
_FIRST_LOCAL_SECONDS = 0.2


def most_shots(device: Any) -> int | None:
    """Of one circuit, as the vendor's device says; None where it does not."""
    try:
        most = device.configuration().max_shots
    except AttributeError:
        return None
    return int(most) if is_count(most) else None


class FormKey(NamedTuple):
    """What identifies a compiled form in the warm cache."""

    fingerprint: str
    backend: str
    calibration_id: str
    settings: Hashable


class Planner:
    """Compiles experiments, and plans jobs. Safe to use from several threads."""

    def __init__(
        self,
        name: str,
        *,
        cache: WarmCache,
        options: Options,
        limits: Limits,
        most_shots: int | None,
        cost: CostModel,
        settings: Hashable,
        is_local: bool,
        is_seeded: bool,
        is_unwanted: Callable[[int], bool],
    ) -> None:
        """Plan nothing yet.

        Args:
            name: The backend's.
            cache: Where compiled forms are kept.
            options: Of the primitives.
            limits: What a job may hold.
            most_shots: That a circuit may have; None where nobody says.
            cost: Predicts QPU time.
            settings: Of the compiler; a part of the forms' keys.
            is_local: Whether the client simulates the device itself.
            is_seeded: Whether seeds are passed to it.
            is_unwanted: Whether nobody waits for the evaluation of that identity any more.
        """
        self._name = name
        self._cache = cache
        self._options = options
        self._limits = limits
        self._most_shots = most_shots
        self._cost = cost
        self._settings = settings
        self._is_local = is_local
        self._is_seeded = is_seeded
        self._is_unwanted = is_unwanted

    def runs_of(
        self, round_: Round, in_force: InForce, *, only: Sequence[int] | None = None
    ) -> list[Run]:
        """The jobs of a round, in order; what cannot run is marked as failed there.

        Args:
            round_: What to run.
            in_force: The calibration to compile for.
            only: Which of its evaluations; all of them if None.
        """
        requests: list[Request] = []
        places: list[int] = []
        forms: dict[int, Form] = {}
        for index, evaluation in enumerate(round_.evaluations):
            if only is not None and index not in only:
                continue
            try:
                forms[index] = self._checked_form(evaluation, in_force)
            except Exception as error:
                round_.fail([index], error)
                continue
            requests.append(self._request(evaluation, forms[index]))
            places.append(index)
        limits = self._limits
        if self._is_seeded and self._is_local:
            # The client takes one seed for a job, and a point has one of its own.
            limits = replace(limits, points=1)
        learning = self._options.learns_readout and not self._is_local
        shots = max((request.shots for request in requests), default=0) if learning else 0
        overhead = Load(shots, 0, self._cost.job_seconds + self._cost.seconds(shots, 0.0))
        jobs, refused = packed(requests, limits, per_job=overhead)
        for place, reason in refused.items():
            round_.fail([places[place]], ResourceLimitError(reason))
        runs = [self._run(job, places, round_, forms, in_force) for job in jobs]
        for run in runs:
            if not self._is_local and run.planned.load.seconds > 0:
                run.fixed_share = min(1.0, overhead.seconds / run.planned.load.seconds)
        return runs

    def _run(
        self,
        job: PlannedJob,
        places: Sequence[int],
        round_: Round,
        forms: dict[int, Form],
        in_force: InForce,
    ) -> Run:
        for pub in job.pubs:
            pub.members = [(places[index], point) for index, point in pub.members]
        reading, indices = JobReading.of(job, round_.parts, in_force.calibration.id)
        evaluations = round_.evaluations
        pubs = []
        for pub in job.pubs:
            first = pub.members[0][0]
            angles = np.array([evaluations[index].angles[point] for index, point in pub.members])
            form = forms[first]
            shape = (len(pub.members), evaluations[first].experiment.num_slots)
            experiment = evaluations[first].experiment
            pubs.append(form.pub(experiment, angles.reshape(shape), pub.wanted))
        members = [id(evaluations[index]) for index in indices]
        run = Run(job, pubs, reading, indices, lambda: all(map(self._is_unwanted, members)))
        if self._is_seeded:
            firsts = [pub.members[0] for pub in job.pubs]
            seeds = [evaluations[index].seeds[point] for index, point in firsts]
            if self._is_local:
                run.seed = seeds[0]
            else:
                run.experimental = {"seed_simulator": self._options.seeds_of_items(job.kind, seeds)}
        local = forms[job.pubs[0].members[0][0]].local
        run.device = None if local is None else local.device
        return run

    def _request(self, evaluation: Evaluation, form: Form) -> Request:
        points = len(evaluation.seeds)
        shots = evaluation.shots or 0
        factor = self._options.noise_factors if form.kind == "estimate" else 1
        wanted = evaluation.wanted or (None,) * points
        loads = {}
        for asked in set(wanted):
            executions = form.settings(asked) * shots * factor
            seconds = self._cost.seconds(executions, form.circuit_seconds)
            loads[asked] = Load(executions, form.point_bytes(), seconds)
        kept = [(asked, loads[asked]) for asked in wanted]
        return Request(
            experiment=evaluation.experiment.fingerprint,
            kind=form.kind,
            shots=shots,
            wanted=tuple(asked for asked, _ in kept),
            per_point=tuple(load for _, load in kept),
            per_pub=Load(payload_bytes=form.payload_bytes),
            # A service that takes seeds takes one for a pub.
            is_alone=form.is_alone or (self._is_seeded and not self._is_local),
        )

    def _checked_form(self, evaluation: Evaluation, in_force: InForce) -> Form:
        if evaluation.shots is None:
            what = "samples" if evaluation.experiment.is_sample else "expectation values"
            raise ShotsError(
                f"{self._name} takes {what} from shots, and exact ones were asked for: give a "
                "number of shots, as in session.objective(circuit, observable, shots=4096)"
            )
        if self._most_shots is not None and evaluation.shots > self._most_shots:
            raise ShotsError(
                f"{self._name} takes at most {self._most_shots} shots of a circuit, and "
                f"{evaluation.shots} were asked for: ask for fewer, and average several evaluations"
            )
        return self.form(evaluation.experiment, in_force)[0]

    def form(self, experiment: Experiment, in_force: InForce) -> tuple[Form, bool]:
        """The experiment as compiled for a calibration, and whether it was there already.

        Raises:
            CircuitError: The device can never run it.
        """
        key = FormKey(experiment.fingerprint, self._name, in_force.calibration.id, self._settings)

        def build() -> Form:
            form = Form.of(experiment, in_force.device, in_force.compiler, is_local=self._is_local)
            if self._is_local:
                form.seconds = _FIRST_LOCAL_SECONDS
            else:
                executions = form.settings(None) * _TYPICAL_SHOTS
                form.seconds = self._cost.seconds(executions, form.circuit_seconds)
            return form

        return self._cache.get_or_build(key, build, lambda form: form.nbytes)
