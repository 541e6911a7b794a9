"""Batch invariance: a point's result depends on its angles and seed, and on nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.circuit.library import efficient_su2

from efaas.backends.aer import AerBackend
from efaas.backends.experiment import Experiment
from efaas.backends.protocol import Estimates, Evaluation, Outcome

if TYPE_CHECKING:
    from numpy.typing import NDArray

OBSERVABLES = (
    {"ZZI": 0.5, "XXI": -0.2, "IYY": 0.3, "III": 1.0},
    {"IIZ": 1.0, "ZIZ": 0.25},
)


def _ansatz() -> QuantumCircuit:
    return efficient_su2(3, reps=1, entanglement="linear")


def _estimate() -> Experiment:
    return Experiment.estimate(_ansatz(), OBSERVABLES)


def _sample() -> Experiment:
    circuit = _ansatz()
    circuit.measure_all()
    return Experiment.sample(circuit)


def _steered() -> Experiment:
    """Outcomes of a measurement on the way are part of the result."""
    circuit = QuantumCircuit(2, 2)
    circuit.ry(Parameter("a"), 0)
    circuit.measure(0, 0)
    circuit.ry(Parameter("b"), 0)
    circuit.cx(0, 1)
    circuit.measure(1, 1)
    return Experiment.sample(circuit)


def _curved() -> Experiment:
    theta = Parameter("theta")
    circuit = QuantumCircuit(3)
    circuit.rx(theta**2, 0)
    circuit.cx(0, 1)
    circuit.u(theta, 2 * theta, 0.3, 2)
    circuit.cx(1, 2)
    return Experiment.estimate(circuit, OBSERVABLES)


EXPERIMENTS = {
    "estimate": _estimate(),
    "sample": _sample(),
    "steered": _steered(),
    "curved": _curved(),
}
POOL = 50
SEEDS = tuple(int(seed) * 2**70 + 12345 for seed in range(POOL))


def _angles(experiment: Experiment) -> NDArray[np.float64]:
    values = np.random.default_rng(8).uniform(-7, 7, size=(POOL, experiment.num_parameters))
    return experiment.slot_angles(values)


def _run(
    backend: AerBackend, kind: str, points: list[int], shots: int | None, *, split: bool = False
) -> list[bytes]:
    """The bits of the given points of the pool, computed in one call."""
    experiment = EXPERIMENTS[kind]
    angles = _angles(experiment)
    groups = [[point] for point in points] if split else [points]
    outcomes = backend.execute(
        [
            Evaluation(experiment, angles[group], shots, tuple(SEEDS[p] for p in group))
            for group in groups
        ]
    )
    return [bits for outcome in outcomes for bits in _bits(outcome)]


def _bits(outcome: Outcome | Exception) -> list[bytes]:
    assert isinstance(outcome, Outcome), outcome
    value = outcome.value
    if isinstance(value, Estimates):
        return [a.tobytes() + b.tobytes() for a, b in zip(value.evs, value.stds, strict=True)]
    [rows] = value.registers.values()
    return [row.tobytes() for row in rows]


CASES = [
    ("noisy", "estimate", 100),
    ("noisy", "estimate", None),
    ("noisy", "curved", 100),
    ("noisy", "sample", 100),
    ("pure", "estimate", 100),
    ("pure", "estimate", None),
    ("pure", "sample", 100),
    ("trajectories", "estimate", 8),
    ("trajectories", "sample", 8),
    ("noisy", "steered", 8),
]


@pytest.fixture(scope="module")
def backends() -> Iterator[dict[str, AerBackend]]:
    made = {
        "noisy": AerBackend("fake_manila"),
        "pure": AerBackend("aer", method="statevector"),
        "trajectories": AerBackend("fake_manila", method="trajectories"),
    }
    yield made
    for backend in made.values():
        backend.close()


@pytest.fixture(scope="module")
def alone(backends: dict[str, AerBackend]) -> dict[tuple[str, str, int | None], list[bytes]]:
    """Every point of the pool computed in a call of its own."""
    return {
        (name, kind, shots): [_run(backends[name], kind, [p], shots)[0] for p in range(POOL)]
        for name, kind, shots in CASES
    }


@pytest.mark.parametrize("case", CASES, ids=str)
@given(data=st.data())
@settings(max_examples=8)
def test_a_point_is_the_same_in_any_batch(
    case: tuple[str, str, int | None],
    backends: dict[str, AerBackend],
    alone: dict[tuple[str, str, int | None], list[bytes]],
    data: st.DataObject,
) -> None:
    """For every sequence of points, with repetitions: result i is that of point i alone."""
    name, kind, shots = case
    points = data.draw(st.lists(st.integers(0, POOL - 1), min_size=1, max_size=8))
    split = data.draw(st.booleans())
    assert _run(backends[name], kind, points, shots, split=split) == [
        alone[case][point] for point in points
    ]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_point_is_the_same_in_a_batch_of_fifty(
    case: tuple[str, str, int | None],
    backends: dict[str, AerBackend],
    alone: dict[tuple[str, str, int | None], list[bytes]],
) -> None:
    name, kind, shots = case
    order = np.random.default_rng(3).permutation(POOL).tolist()
    assert _run(backends[name], kind, order, shots) == [alone[case][point] for point in order]


def test_points_that_want_other_observables_do_not_disturb(
    backends: dict[str, AerBackend],
) -> None:
    experiment = EXPERIMENTS["estimate"]
    angles = _angles(experiment)
    wanted = tuple(((0,), (1,), (0, 1))[point % 3] for point in range(POOL))
    backend = backends["noisy"]
    [together] = backend.execute([Evaluation(experiment, angles, 100, SEEDS, wanted)])
    for point in (0, 1, 2, 31):
        row = Evaluation(experiment, angles, 100, SEEDS, wanted).at([point])
        assert _bits(backend.execute([row])[0])[0] == _bits(together)[point]


def test_large_states_are_the_same_in_any_batch() -> None:
    """Seven qubits: states are computed in chunks of points, in buffers, and in blocks."""
    circuit = efficient_su2(7, reps=1, entanglement="linear")
    experiment = Experiment.estimate(circuit, ["ZZIIIII", "IIXXIII", {"IIIIIYZ": 1, "Z" * 7: 2}])
    values = np.random.default_rng(1).normal(size=(9, experiment.num_parameters))
    angles = experiment.slot_angles(values)
    backend = AerBackend("fake_torino")
    for shots in (None, 50):
        [whole] = backend.execute([Evaluation(experiment, angles, shots, SEEDS[:9])])
        for point in (0, 4, 8):
            single = Evaluation(experiment, angles[[point]], shots, (SEEDS[point],))
            assert _bits(backend.execute([single])[0])[0] == _bits(whole)[point]


@pytest.mark.parametrize(
    ("spec", "method", "kind", "shots"),
    [
        ("fake_manila", "automatic", "estimate", 100),
        ("fake_manila", "automatic", "sample", 100),
        ("fake_manila", "trajectories", "estimate", 8),
        ("fake_manila", "automatic", "steered", 8),
    ],
)
def test_worker_processes_give_the_same_bits(
    spec: str, method: str, kind: str, shots: int, two_workers: dict[str, AerBackend]
) -> None:
    here = AerBackend(spec, method=method)
    there = two_workers[method]
    points = list(range(7))
    expected = _run(here, kind, points, shots)
    assert _run(there, kind, points, shots) == expected
    # A second time the workers hold the program.
    assert _run(there, kind, points, shots) == expected


@pytest.fixture(scope="module")
def two_workers() -> Iterator[dict[str, AerBackend]]:
    """Backends that send everything to their workers."""
    made = {
        method: AerBackend("fake_manila", method=method, workers=2, worker_seconds=0.0)
        for method in ("automatic", "trajectories")
    }
    yield made
    for backend in made.values():
        backend.close()
