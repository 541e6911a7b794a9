"""Pubs as evaluations: what a pub asks for, and its result from what a backend answers.

A pub names circuit, observables and parameter values in any of Qiskit's ways; the conversions
here check it all where it enters, before anything is queued.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from qiskit.circuit import CircuitInstruction, QuantumCircuit
from qiskit.primitives import (
    BitArray,
    DataBin,
    PubResult,
    SamplerPubResult,
)
from qiskit.primitives.containers.bindings_array import BindingsArray
from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit.primitives.containers.observables_array import ObservablesArray
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit.quantum_info import PauliList

from efaas.backends.experiment import Experiment
from efaas.backends.observables import pauli_sum, pauli_sum_content
from efaas.backends.protocol import Estimates, Samples
from efaas.errors import (
    CircuitError,
    InputError,
    InvariantError,
    ObservableError,
    ParameterError,
    ShotsError,
)
from efaas.model.quantities import is_count

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from numpy.typing import NDArray

    from efaas.backends.protocol import Outcome

__all__ = [
    "DEFAULT_PRECISION",
    "DEFAULT_SHOTS",
    "PubRequest",
    "SubmitsEvaluations",
    "checked_precision",
    "checked_shots",
    "estimator_request",
    "precision_of_shots",
    "sampler_request",
    "several",
    "shots_of_precision",
]

DEFAULT_PRECISION = 0.015625
"""Precision of an estimator pub that names none: 4096 shots, as Qiskit's BackendEstimatorV2."""

DEFAULT_SHOTS = 1024
"""Shots of a sampler pub that names none, as Qiskit's BackendSamplerV2."""


class SubmitsEvaluations(Protocol):
    """What the primitives need of a session."""

    def submit_evaluation(
        self,
        experiment: Experiment,
        angles: NDArray[np.float64],
        *,
        shots: int | None,
        wanted: tuple[tuple[int, ...], ...] | None = None,
        loop: str | None = None,
    ) -> Future[Any]:
        """The future ``Outcome`` of an experiment at slot angles of shape ``(points, slots)``."""
        ...


@dataclass(frozen=True, slots=True)
class PubRequest:
    """One pub as one evaluation.

    Attributes:
        experiment: What is measured.
        angles: Slot angles, one row per point of the pub's bindings in C order.
        shots: Shots of each measurement setting, or None for exact expectations.
        wanted: For each point the observables asked for there; None for all everywhere.
        postprocess: Makes the pub's result from the evaluation's outcome.
    """

    experiment: Experiment
    angles: NDArray[np.float64]
    shots: int | None
    wanted: tuple[tuple[int, ...], ...] | None
    postprocess: Callable[[Outcome], PubResult]


def estimator_request(
    pub: Any, precision: float | None = None, *, default_precision: float = DEFAULT_PRECISION
) -> PubRequest:
    """The evaluation that an estimator pub asks for.

    Parameter values and observables are broadcast as in Qiskit; every set of values is evaluated
    once, with all the observables that are wanted there.

    Args:
        pub: An ``EstimatorPub``, or ``(circuit, observables, values, precision)`` whose last one or
            two entries may be missing or None.
        precision: Standard error to aim at where the pub names none; 0 for exact expectations.
        default_precision: The same where neither does.

    Raises:
        InputError: Something in the pub cannot be used; the subclass and the message say what.
    """
    circuit, observables, values, own_precision = _estimator_parts(pub)
    target = checked_precision(
        next(p for p in (own_precision, precision, default_precision) if p is not None)
    )
    shots = shots_of_precision(target)
    grid, shape = _observable_grid(observables)
    experiment, observable_at = _experiment_of(circuit, grid, shape)
    points, point_shape = _points(experiment, values)
    point_at = np.arange(len(points)).reshape(point_shape)
    try:
        point_at, observable_at = np.broadcast_arrays(point_at, observable_at)
    except ValueError as error:
        raise ParameterError(
            f"parameter values of shape {point_shape} and observables of shape {shape} cannot be "
            "broadcast together; their dimensions have to agree, or be 1, counted from the last"
        ) from error

    def postprocess(outcome: Outcome) -> PubResult:
        estimates = outcome.value
        if not isinstance(estimates, Estimates):
            raise InvariantError("an estimate was answered with samples")
        data = DataBin(
            evs=np.asarray(estimates.evs[point_at, observable_at]),
            stds=np.asarray(estimates.stds[point_at, observable_at]),
            shape=point_at.shape,
        )
        metadata = {
            "target_precision": target,
            "shots": shots,
            "circuit_metadata": circuit.metadata,
        }
        return PubResult(data, metadata=metadata)

    wanted = _wanted(point_at, observable_at, len(points), len(experiment.observables))
    return PubRequest(experiment, experiment.slot_angles(points), shots, wanted, postprocess)


def sampler_request(
    pub: Any, shots: int | None = None, *, default_shots: int = DEFAULT_SHOTS
) -> PubRequest:
    """The evaluation that a sampler pub asks for.

    Args:
        pub: A ``SamplerPub``, a circuit, or ``(circuit, values, shots)`` whose last one or two
            entries may be missing or None.
        shots: Shots where the pub names none.
        default_shots: The same where neither does.

    Raises:
        InputError: Something in the pub cannot be used; the subclass and the message say what.
    """
    circuit, values, own_shots = _sampler_parts(pub)
    count = checked_shots(next(n for n in (own_shots, shots, default_shots) if n is not None))
    experiment = Experiment.sample(circuit)
    names = [register.name for register in circuit.cregs]
    _check_register_names(names)
    points, shape = _points(experiment, values)

    def postprocess(outcome: Outcome) -> PubResult:
        samples = outcome.value
        if not isinstance(samples, Samples):
            raise InvariantError("a sample was answered with estimates")
        arrays = {}
        for name, own in zip(names, experiment.register_names, strict=True):
            bits = samples.registers[own]
            arrays[name] = BitArray(bits.reshape(*shape, *bits.shape[1:]), samples.num_bits[own])
        data = DataBin(**arrays, shape=shape)
        metadata = {"shots": count, "circuit_metadata": circuit.metadata}
        return SamplerPubResult(data, metadata=metadata)

    return PubRequest(experiment, experiment.slot_angles(points), count, None, postprocess)


def several(pubs: Any) -> Iterator[Any]:
    """The pubs that ``run`` was given.

    Raises:
        InputError: It was given something else.
    """
    try:
        return iter(pubs)
    except TypeError:
        raise InputError(f"run takes a list of pubs, got {_shown(pubs)}") from None


def checked_precision(precision: Any) -> float:
    """The precision as a float.

    Raises:
        ShotsError: It is no finite number of 0 or more.
    """
    try:
        value = float(precision) if isinstance(precision, Real) else math.nan
    except OverflowError:  # of a very large whole number
        value = math.inf
    if not 0 <= value < math.inf:
        raise ShotsError(
            f"a precision is a number of 0 (exact) or more, got {precision!r}; "
            "1/64 takes 4096 shots"
        )
    return value


def checked_shots(shots: Any) -> int:
    """The number of shots as an int.

    Raises:
        ShotsError: It is no whole number of 1 or more.
    """
    if not is_count(shots):
        raise ShotsError(f"the number of shots must be a whole number of at least 1, got {shots!r}")
    return int(shots)


def shots_of_precision(precision: float) -> int | None:
    """Shots that reach a precision, ``ceil(1 / precision**2)``; None (exact) for 0.

    Raises:
        ShotsError: They are more than 2**53.
    """
    if precision == 0:
        return None
    if precision < 2.0**-26.5:
        raise ShotsError(
            f"a precision of {precision} takes more than 2**53 shots; use 0 for exact expectations"
        )
    return 1 if precision >= 1.0 else math.ceil(1.0 / precision**2)


def precision_of_shots(shots: int) -> float:
    """The least precision that takes so many shots, whatever is rounded."""
    precision = 1.0 / math.sqrt(shots)
    while (shots_of_precision(precision) or 0) > shots:
        precision = math.nextafter(precision, math.inf)
    return precision


def _estimator_parts(pub: Any) -> tuple[QuantumCircuit, Any, Any, float | None]:
    if isinstance(pub, EstimatorPub):
        return pub.circuit, pub.observables, pub.parameter_values, pub.precision
    if not isinstance(pub, (tuple, list)) or not 2 <= len(pub) <= 4:
        raise InputError(
            "an estimator pub is (circuit, observables), (circuit, observables, values) or "
            f"(circuit, observables, values, precision), got {_shown(pub)}; run takes a list of "
            "pubs, as in run([(circuit, observables)])"
        )
    circuit, observables, values, precision = (*pub, None, None)[:4]
    return _checked_circuit(circuit), observables, values, precision


def _sampler_parts(pub: Any) -> tuple[QuantumCircuit, Any, int | None]:
    if isinstance(pub, SamplerPub):
        return pub.circuit, pub.parameter_values, pub.shots
    if isinstance(pub, QuantumCircuit):
        return pub, None, None
    # A circuit instruction is a sequence too: run(circuit) in place of run([circuit]) gives one.
    is_pub = isinstance(pub, (tuple, list)) and not isinstance(pub, CircuitInstruction)
    if not is_pub or not 1 <= len(pub) <= 3:
        raise InputError(
            "a sampler pub is a circuit, (circuit,), (circuit, values) or (circuit, values, shots),"
            f" got {_shown(pub)}; run takes a list of pubs, as in run([circuit])"
        )
    circuit, values, shots = (*pub, None, None)[:3]
    return _checked_circuit(circuit), values, shots


def _checked_circuit(circuit: Any) -> QuantumCircuit:
    if not isinstance(circuit, QuantumCircuit):
        raise CircuitError(
            f"a pub starts with a QuantumCircuit, got {_shown(circuit)}; run takes a list of pubs, "
            "as in run([pub])"
        )
    return circuit


def _shown(value: Any) -> str:
    if isinstance(value, (tuple, list)):
        return f"a {type(value).__name__} of length {len(value)}"
    return f"a {type(value).__name__}"


def _check_register_names(names: Sequence[str]) -> None:
    """Refuse names that a result cannot hold as its fields, before anything has run."""
    try:
        DataBin(shape=(), **dict.fromkeys(names))
    except (TypeError, ValueError) as error:
        raise CircuitError(
            "a sample's result has a field for every classical register, but one of "
            f"{', '.join(map(repr, names))} cannot be a field; rename it: {error}"
        ) from error


def _observable_grid(observables: Any) -> tuple[list[Any], tuple[int, ...]]:
    """The observables in C order, and their shape; lists nest as in Qiskit."""
    if isinstance(observables, (ObservablesArray, np.ndarray)):
        observables = observables.tolist()
    if not isinstance(observables, (list, tuple, PauliList)):
        return [observables], ()
    grids = [_observable_grid(item) for item in observables]
    inner = {shape for _, shape in grids}
    if len(inner) != 1:
        raise ObservableError(
            "an array of observables needs at least one, and rows of equal length, got "
            + (f"rows of shapes {sorted(inner)}" if inner else "an empty list")
        )
    return [item for grid, _ in grids for item in grid], (len(grids), *inner.pop())


def _experiment_of(
    circuit: QuantumCircuit, grid: Sequence[Any], shape: tuple[int, ...]
) -> tuple[Experiment, NDArray[np.intp]]:
    """The experiment of the different observables, and which of them each place wants."""
    if len(grid) == 1:
        return Experiment.estimate(circuit, grid), np.zeros(shape, dtype=np.intp)
    found: dict[tuple[bytes, ...], int] = {}
    different: list[Any] = []
    positions = []
    for observable in grid:
        operator = pauli_sum(observable, num_qubits=circuit.num_qubits)
        key = pauli_sum_content(operator)
        if key not in found:
            found[key] = len(different)
            different.append(operator)
        positions.append(found[key])
    return Experiment.estimate(circuit, different), np.array(positions, np.intp).reshape(shape)


def _points(experiment: Experiment, values: Any) -> tuple[NDArray[np.float64], tuple[int, ...]]:
    """The parameter values, one row per point in C order, and the shape of the points."""
    if values is None:
        values = BindingsArray()
    elif isinstance(values, Mapping):
        for entry in values.values():
            _check_real(entry)
    elif not isinstance(values, BindingsArray):
        _check_real(values)
        values = {experiment.parameters: values}
    try:
        array = BindingsArray.coerce(values).as_array(experiment.parameters)
    except (ValueError, TypeError, KeyError) as error:
        names = experiment.parameter_names
        shown = ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
        plural = "s" * (len(names) > 1)
        wanted = f"values of its {len(names)} parameter{plural} ({shown})" if names else "no values"
        raise ParameterError(
            f"the circuit takes {wanted}, the last axis counting the parameters: {error}"
        ) from error
    shape = array.shape[:-1]
    if 0 in shape:
        raise ParameterError(f"a pub needs at least one point, got values of shape {array.shape}")
    return experiment.check_values(array.reshape(math.prod(shape), array.shape[-1])), shape


def _check_real(values: Any) -> None:
    try:
        kind = np.asarray(values).dtype.kind
    except ValueError as error:
        raise ParameterError(f"parameter values have to form an array: {error}") from error
    if kind not in "iufb":
        raise ParameterError(
            f"parameter values have to be real numbers, got {np.asarray(values).dtype.name}"
        )


def _wanted(
    point_at: NDArray[np.intp], observable_at: NDArray[np.intp], points: int, observables: int
) -> tuple[tuple[int, ...], ...] | None:
    """For each point the observables wanted there, ascending; None for all of them everywhere."""
    is_wanted = np.zeros((points, observables), dtype=bool)
    is_wanted[point_at, observable_at] = True
    if is_wanted.all():
        return None
    return tuple(tuple(int(index) for index in np.flatnonzero(row)) for row in is_wanted)
