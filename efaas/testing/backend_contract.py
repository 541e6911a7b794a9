"""What every ``Backend`` must do, as tests to inherit.

Example::

    class TestMyBackend(BackendContract):
        def make_backend(self) -> Backend:
            return MyBackend()
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter

from efaas.backends.experiment import Experiment
from efaas.backends.protocol import Backend, Estimates, Evaluation, Outcome, Samples
from efaas.errors import CircuitError, CircuitTooWideError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

__all__ = ["BackendContract"]

_SEEDS = (0, 1, 2**64 + 5, 2**128 - 1, 77, 3)


class BackendContract(ABC):
    """Tests that any backend passes; a subclass says how one is made.

    Attributes:
        shots: Shots of the evaluations here; fewer make a slow backend's suite shorter.
        has_exact_values: Whether the backend can estimate without shots.
    """

    shots = 64
    has_exact_values = True

    @abstractmethod
    def make_backend(self) -> Backend:
        """A new backend with at least two qubits."""

    @pytest.fixture
    def backend(self) -> Iterator[Backend]:
        """A backend that is closed after the test."""
        backend = self.make_backend()
        yield backend
        backend.close()

    def test_it_satisfies_the_protocol(self, backend: Backend) -> None:
        assert isinstance(backend, Backend)
        assert backend.name
        assert backend.num_qubits >= 2

    def test_an_outcome_names_the_calibration_it_ran_under(self, backend: Backend) -> None:
        before = backend.calibration()
        outcome = _success(backend.execute([_estimate(self.shots)]))
        assert outcome.calibration_id == before.id == backend.calibration().id
        assert before.backend == backend.name

    def test_estimates_have_one_row_a_point_and_one_column_an_observable(
        self, backend: Backend
    ) -> None:
        value = _estimates(backend.execute([_estimate(self.shots)]))
        assert value.evs.shape == value.stds.shape == (len(_SEEDS), 2)
        assert np.isfinite(value.evs).all()
        assert (value.stds >= 0).all()

    def test_samples_are_packed_as_bit_arrays(self, backend: Backend) -> None:
        value = _samples(backend.execute([_sample(self.shots)]))
        wide, narrow = _sample(self.shots).experiment.register_names
        assert value.num_bits == {wide: 9, narrow: 1}
        assert list(value.registers) == [wide, narrow]
        assert value.registers[wide].shape == (len(_SEEDS), self.shots, 2)
        assert value.registers[narrow].shape == (len(_SEEDS), self.shots, 1)
        assert all(rows.dtype == np.uint8 for rows in value.registers.values())
        assert (value.registers[wide][..., 0] <= 1).all()
        assert (value.registers[narrow] <= 1).all()

    def test_the_same_seed_gives_the_same_bits(self, backend: Backend) -> None:
        for evaluation in (_estimate(self.shots), _sample(self.shots)):
            first = _bits(backend.execute([evaluation])[0])
            assert _bits(backend.execute([evaluation])[0]) == first

    def test_another_seed_gives_other_shots(self, backend: Backend) -> None:
        [rows, _] = _samples(backend.execute([_sample(self.shots)])).registers.values()
        assert len({row.tobytes() for row in rows}) > 1

    def test_a_new_backend_gives_the_same_bits(self, backend: Backend) -> None:
        other = self.make_backend()
        try:
            for evaluation in (_estimate(self.shots), _sample(self.shots)):
                assert _bits(other.execute([evaluation])[0]) == _bits(
                    backend.execute([evaluation])[0]
                )
        finally:
            other.close()

    def test_a_point_is_the_same_alone_and_in_a_batch(self, backend: Backend) -> None:
        for whole in (_estimate(self.shots), _sample(self.shots)):
            together = _rows(backend.execute([whole]))
            alone = [_rows(backend.execute([single]))[0] for single in _singles(whole)]
            fused = [_rows([outcome])[0] for outcome in backend.execute(_singles(whole))]
            assert together == alone == fused

    def test_outcomes_come_in_the_order_of_the_evaluations(self, backend: Backend) -> None:
        whole = _estimate(self.shots)
        mixed = [*_singles(whole), _sample(self.shots), _estimate(2 * self.shots)]
        forward = [_bits(outcome) for outcome in backend.execute(mixed)]
        backward = [_bits(outcome) for outcome in backend.execute(mixed[::-1])]
        assert forward == backward[::-1]
        assert len(set(forward)) == len(mixed)

    def test_nothing_asked_is_nothing_answered(self, backend: Backend) -> None:
        assert list(backend.execute([])) == []

    def test_what_is_not_wanted_is_nan(self, backend: Backend) -> None:
        wanted = ((0,), (1,), (0, 1), (), (1,), (0,))
        value = _estimates(backend.execute([_estimate(self.shots, wanted=wanted)]))
        expected = np.array([[i in asked for i in range(2)] for asked in wanted])
        assert np.array_equal(~np.isnan(value.evs), expected)
        assert np.array_equal(~np.isnan(value.stds), expected)

    def test_what_one_point_wants_changes_no_other(self, backend: Backend) -> None:
        wanted = ((0,), (1,), (0, 1), (0,), (1,), (0,))
        together = _rows(backend.execute([_estimate(self.shots, wanted=wanted)]))
        alone = [
            _rows(backend.execute([single]))[0]
            for single in _singles(_estimate(self.shots, wanted=wanted))
        ]
        assert together == alone

    def test_exact_values_have_no_error_and_ignore_the_seed(self, backend: Backend) -> None:
        if not self.has_exact_values:
            pytest.skip("this backend has no exact values")
        experiment = _experiment()
        angles = _angles(experiment)
        values = [
            _estimates(backend.execute([Evaluation(experiment, angles, None, seeds)]))
            for seeds in (_SEEDS, _SEEDS[::-1])
        ]
        assert values[0].evs.tobytes() == values[1].evs.tobytes()
        assert not values[0].stds.any()

    def test_a_failing_evaluation_leaves_the_others_alone(self, backend: Backend) -> None:
        good = _estimate(self.shots)
        too_wide = _too_wide(backend)
        outcomes = backend.execute([good, too_wide, good])
        assert isinstance(outcomes[1], CircuitError)
        expected = _bits(backend.execute([good])[0])
        assert [_bits(outcomes[0]), _bits(outcomes[2])] == [expected, expected]

    def test_a_profile_warms_the_experiment_up(self, backend: Backend) -> None:
        experiment = _experiment()
        cold = backend.profile(experiment)
        warm = backend.profile(_experiment())
        assert (cold.is_warm, warm.is_warm) == (False, True)
        assert (cold.backend, cold.layout) == (backend.name, warm.layout)
        assert len(cold.layout) == experiment.num_qubits
        assert warm.seconds >= 0
        hits = backend.cache.info().hits
        backend.execute([_estimate(self.shots)])
        assert backend.cache.info().hits > hits
        assert backend.cache.info().misses == 1

    def test_a_profile_refuses_what_cannot_run(self, backend: Backend) -> None:
        with pytest.raises(CircuitTooWideError) as caught:
            backend.profile(_too_wide(backend).experiment)
        assert caught.value.available == backend.num_qubits
        assert caught.value.num_qubits == backend.num_qubits + 1

    def test_usage_is_measured(self, backend: Backend) -> None:
        outcome = _success(backend.execute([_estimate(self.shots)]))
        assert outcome.usage.qpu_seconds > 0

    def test_it_may_be_closed_twice(self, backend: Backend) -> None:
        backend.close()
        backend.close()


def _experiment() -> Experiment:
    circuit = QuantumCircuit(2)
    circuit.ry(Parameter("a"), 0)
    circuit.cx(0, 1)
    circuit.rz(Parameter("b"), 1)
    circuit.rx(Parameter("c"), 1)
    return Experiment.estimate(circuit, [{"ZZ": 0.5, "XI": -1.0}, "IY"])


def _sampled() -> Experiment:
    from qiskit.circuit import ClassicalRegister

    circuit = QuantumCircuit(2)
    wide, narrow = ClassicalRegister(9, "wide"), ClassicalRegister(1, "narrow")
    circuit.add_register(wide)
    circuit.add_register(narrow)
    circuit.ry(Parameter("a"), 0)
    circuit.ry(Parameter("b"), 1)
    circuit.cx(0, 1)
    circuit.measure(0, wide[8])
    circuit.measure(1, narrow[0])
    return Experiment.sample(circuit)


def _angles(experiment: Experiment) -> NDArray[np.float64]:
    values = np.linspace(0.3, 2.8, len(_SEEDS) * experiment.num_parameters)
    return experiment.slot_angles(values.reshape(len(_SEEDS), -1))


def _estimate(shots: int, wanted: tuple[tuple[int, ...], ...] | None = None) -> Evaluation:
    experiment = _experiment()
    return Evaluation(experiment, _angles(experiment), shots, _SEEDS, wanted)


def _sample(shots: int) -> Evaluation:
    experiment = _sampled()
    return Evaluation(experiment, _angles(experiment), shots, _SEEDS)


def _too_wide(backend: Backend) -> Evaluation:
    circuit = QuantumCircuit(backend.num_qubits + 1)
    circuit.x(0)
    experiment = Experiment.estimate(circuit, ["Z" * circuit.num_qubits])
    return Evaluation(experiment, np.zeros((1, 0)), 8, (0,))


def _singles(evaluation: Evaluation) -> list[Evaluation]:
    """Each of its points as an evaluation of its own."""
    return [
        Evaluation(
            evaluation.experiment,
            evaluation.angles[point : point + 1],
            evaluation.shots,
            (seed,),
            None if evaluation.wanted is None else (evaluation.wanted[point],),
        )
        for point, seed in enumerate(evaluation.seeds)
    ]


def _success(outcomes: Sequence[Outcome | Exception]) -> Outcome:
    [outcome] = outcomes
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def _estimates(outcomes: Sequence[Outcome | Exception]) -> Estimates:
    value = _success(outcomes).value
    assert isinstance(value, Estimates)
    return value


def _samples(outcomes: Sequence[Outcome | Exception]) -> Samples:
    value = _success(outcomes).value
    assert isinstance(value, Samples)
    return value


def _rows(outcomes: Sequence[Outcome | Exception]) -> list[bytes]:
    """The bits of each point."""
    value = _success(outcomes).value
    if isinstance(value, Estimates):
        return [a.tobytes() + b.tobytes() for a, b in zip(value.evs, value.stds, strict=True)]
    registers = value.registers.values()
    points = len(next(iter(registers)))
    return [b"".join(rows[point].tobytes() for rows in registers) for point in range(points)]


def _bits(outcome: Outcome | Exception) -> bytes:
    return b"".join(_rows([outcome]))
