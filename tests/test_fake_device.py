"""The simulated device: time on a virtual clock, and the energies that the benchmarks run on it."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.quantum_info import Statevector

import efaas
from efaas.backends.experiment import Experiment
from efaas.backends.protocol import Backend, Evaluation, Outcome
from efaas.clock import VirtualClock
from efaas.errors import InputError
from efaas.testing import FakeBackend
from efaas.testing.backend_contract import BackendContract

if TYPE_CHECKING:
    from collections.abc import Sequence

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def load_problems() -> ModuleType:
    """``benchmarks/problems.py``, which is a script's neighbour and in no package."""
    spec = importlib.util.spec_from_file_location("problems", BENCHMARKS / "problems.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["problems"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


problems = load_problems()


class TestTimedFakeBackend(BackendContract):
    """Taking time changes nothing else."""

    def make_backend(self) -> Backend:
        clock = VirtualClock()
        return FakeBackend(num_qubits=10, clock=clock, round_seconds=1.0, evaluation_seconds=0.2)


def evaluation(points: int, first_seed: int = 0) -> Evaluation:
    circuit = QuantumCircuit(1)
    circuit.ry(Parameter("a"), 0)
    experiment = Experiment.estimate(circuit, ["Z"])
    return Evaluation(
        experiment, np.zeros((points, 1)), 64, tuple(range(first_seed, first_seed + points))
    )


def usages(outcomes: Sequence[Outcome | Exception]) -> list[float]:
    return [o.usage.qpu_seconds for o in outcomes if isinstance(o, Outcome)]


@settings(max_examples=30)
@given(
    rounds=st.lists(st.lists(st.integers(1, 4), max_size=4), max_size=5),
    round_seconds=st.integers(0, 8),
    evaluation_seconds=st.integers(0, 8),
)
def test_a_round_takes_its_overhead_and_the_time_of_each_point(
    rounds: list[list[int]], round_seconds: int, evaluation_seconds: int
) -> None:
    """The clock moves by the round's overhead plus the sum of its points' times, every round."""
    clock = VirtualClock(start=3.0)
    device = FakeBackend(
        clock=clock, round_seconds=round_seconds / 4, evaluation_seconds=evaluation_seconds / 4
    )
    expected = 3.0
    for sizes in rounds:
        outcomes = device.execute([evaluation(points) for points in sizes])
        expected += round_seconds / 4 + evaluation_seconds / 4 * sum(sizes)
        assert clock.now() == expected
        assert usages(outcomes) == [evaluation_seconds / 4 * points for points in sizes]
    assert device.rounds == [sum(sizes) for sizes in rounds]


def test_time_passes_in_a_round_that_fails() -> None:
    clock = VirtualClock()
    device = FakeBackend(
        clock=clock,
        round_seconds=1.0,
        evaluation_seconds=0.5,
        round_error=lambda evaluations: OSError("down"),
    )
    with pytest.raises(OSError, match="down"):
        device.execute([evaluation(2)])
    assert clock.now() == 2.0


def test_time_stands_still_until_a_manual_round_is_released() -> None:
    clock = VirtualClock()
    device = FakeBackend(manual=True, clock=clock, round_seconds=1.0)
    with efaas.EFSession(device, seed=1) as session:
        circuit = QuantumCircuit(1)
        circuit.ry(Parameter("a"), 0)
        future = session.objective(circuit, "Z").submit([0.1])
        device.wait_for_round()
        assert clock.now() == 0.0
        device.release()
        future.result(timeout=30)
    assert clock.now() == 1.0


def test_the_profile_predicts_the_time_of_a_point() -> None:
    device = FakeBackend(clock=VirtualClock(), round_seconds=1.0, evaluation_seconds=0.2)
    assert device.profile(evaluation(1).experiment).seconds == 0.2
    assert FakeBackend().profile(evaluation(1).experiment).seconds == 0.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"round_seconds": 1.0}, "round_seconds=1.0 needs a clock"),
        ({"evaluation_seconds": 0.2}, "evaluation_seconds=0.2 needs a clock"),
        ({"clock": VirtualClock(), "round_seconds": -1.0}, "at least 0, got -1.0"),
        ({"clock": VirtualClock(), "evaluation_seconds": float("nan")}, "finite.*got nan"),
    ],
)
def test_seconds_that_cannot_pass_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        FakeBackend(**arguments)


@pytest.mark.parametrize("name", problems.PROBLEMS)
def test_a_problems_energy_is_the_statevectors(name: str) -> None:
    problem = problems.PROBLEMS[name]
    energy = problem.exact_energy()
    for seed in range(3):
        theta = problem.x0(seed)
        state = Statevector(problem.circuit.assign_parameters(theta))
        expected = state.expectation_value(problem.observable).real
        assert abs(energy(theta) - expected) < 1e-12
        assert energy(theta) >= problem.ground_energy


@pytest.mark.parametrize("name", problems.PROBLEMS)
def test_a_device_gives_an_objective_the_exact_energy_and_noise_of_the_given_size(
    name: str,
) -> None:
    problem = problems.PROBLEMS[name]
    theta = problem.x0(0)
    exact = problem.exact_energy()(theta)
    with efaas.EFSession(problem.device(0.0), seed=1) as session:
        assert session.objective(problem.circuit, problem.observable)(theta) == exact
    with efaas.EFSession(problem.device(0.02), seed=1) as session:
        noisy = session.objective(problem.circuit, problem.observable, shots=4096)
        errors = [future.result() - exact for future in noisy.submit_many([theta] * 200)]
        without_shots = session.objective(problem.circuit, problem.observable, shots=None)
        assert without_shots(theta) == exact
    assert len(set(errors)) == 200
    assert 0.017 < np.std(errors) < 0.023  # two standard errors around 0.02
    assert abs(np.mean(errors)) < 0.006
