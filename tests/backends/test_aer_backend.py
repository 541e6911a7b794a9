"""The Aer backend's edges: names, limits, methods, cache."""

from __future__ import annotations

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import ClassicalRegister, Gate, Parameter, QuantumRegister
from qiskit.circuit.library import efficient_su2
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit_aer import AerSimulator
from qiskit_ibm_runtime import fake_provider
from scipy.stats import chi2_contingency

from efaas.backends.aer import AerBackend
from efaas.backends.experiment import Experiment
from efaas.backends.protocol import Estimates, Evaluation, Outcome, Samples
from efaas.backends.resolve import resolve_backend
from efaas.backends.specs import fake_device_names
from efaas.backends.warm_cache import WarmCache
from efaas.errors import (
    CircuitError,
    CircuitTooWideError,
    InputError,
    ResourceLimitError,
    ShotsError,
    UnknownBackendError,
    UnsupportedGateError,
)


def _chain(num_qubits: int) -> QuantumCircuit:
    circuit = QuantumCircuit(num_qubits)
    for qubit in range(num_qubits):
        circuit.ry(Parameter(f"t{qubit:02}"), qubit)
    for qubit in range(num_qubits - 1):
        circuit.cx(qubit, qubit + 1)
    return circuit


def _evaluation(experiment: Experiment, shots: int | None, seed: int = 0) -> Evaluation:
    values = np.linspace(0.1, 1.4, experiment.num_parameters)[None, :]
    return Evaluation(experiment, experiment.slot_angles(values), shots, (seed,))


def _run(backend: AerBackend, experiment: Experiment, shots: int | None) -> Outcome:
    [outcome] = backend.execute([_evaluation(experiment, shots)])
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def _ev(backend: AerBackend, experiment: Experiment, shots: int | None = None) -> float:
    value = _run(backend, experiment, shots).value
    assert isinstance(value, Estimates)
    return float(value.evs[0, 0])


# Names and objects


@pytest.mark.parametrize(
    ("name", "close"),
    [
        ("fake_torin", "fake_torino"),
        ("FakeSherbrooke", "fake_sherbrooke"),
        ("ibm_fez", "fake_fez"),
        ("FakeManilaV2", "fake_manila"),
    ],
)
def test_an_unknown_name_is_answered_with_close_ones(name: str, close: str) -> None:
    with pytest.raises(UnknownBackendError, match=close) as caught:
        resolve_backend(name)
    assert caught.value.name == name
    assert close in caught.value.close_matches


def test_a_name_like_no_other_is_answered_with_what_is_accepted() -> None:
    with pytest.raises(UnknownBackendError, match="'fake_torino', 'aer'"):
        resolve_backend("qqqqqqq")


def test_every_fake_device_is_known_by_its_name() -> None:
    names = fake_device_names()
    assert len(names) > 50
    assert {"fake_torino", "fake_manila", "fake_fez"} < set(names)


@pytest.mark.parametrize("spec", [3, None, AerBackend, object(), ["fake_manila"]])
def test_what_is_no_backend_is_refused(spec: object) -> None:
    with pytest.raises(InputError, match="expected the name of a fake device"):
        resolve_backend(spec)


def test_a_backend_is_returned_as_it_is() -> None:
    backend = AerBackend("aer")
    assert resolve_backend(backend) is backend


def test_fake_devices_generic_backends_and_simulators_are_accepted() -> None:
    manila = fake_provider.FakeManilaV2()
    specs = [manila, GenericBackendV2(4, seed=1), AerSimulator(), AerSimulator.from_backend(manila)]
    backends = [resolve_backend(spec) for spec in specs]
    assert [backend.num_qubits for backend in backends] == [5, 4, AerSimulator().num_qubits, 5]
    for backend in backends:
        assert isinstance(backend, AerBackend)
        assert abs(_ev(backend, Experiment.estimate(_chain(3), ["ZZZ"]))) <= 1


def test_a_fake_device_has_its_date() -> None:
    calibration = AerBackend("fake_torino").calibration()
    assert calibration.taken_at is not None
    assert calibration.taken_at.tzinfo is not None
    assert calibration.taken_at.year >= 2020
    assert calibration.id == AerBackend(fake_provider.FakeTorino()).calibration().id


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "magic"}, "method must be one of"),
        ({"workers": -1}, "workers"),
        ({"max_memory_mb": 0}, "max_memory_mb"),
        ({"optimization_level": 4}, "optimization_level"),
        ({"method": "statevector"}, "is noisy"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        AerBackend("fake_manila", **options)  # type: ignore[arg-type]


# Circuits that cannot run


def test_a_circuit_wider_than_the_device_is_refused() -> None:
    with pytest.raises(CircuitTooWideError, match="6 qubits, but fake_manila has 5"):
        AerBackend("fake_manila").profile(Experiment.estimate(_chain(6), ["Z" * 6]))


@pytest.mark.parametrize("spec", ["fake_manila", "aer"])
def test_a_gate_that_nothing_is_known_of_is_named(spec: str) -> None:
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.append(Gate("mystery", 2, []), [0, 1])
    with pytest.raises(UnsupportedGateError, match="mystery") as caught:
        AerBackend(spec).profile(Experiment.estimate(circuit, ["ZZ"]))
    assert caught.value.gate == "mystery"


def test_a_sample_without_shots_is_an_error_of_that_evaluation() -> None:
    circuit = _chain(2)
    circuit.measure_all()
    with pytest.raises(ShotsError, match="number of shots"):
        _run(AerBackend("aer"), Experiment.sample(circuit), None)


def test_what_does_not_fit_into_memory_is_refused_before_it_runs() -> None:
    experiment = Experiment.estimate(_chain(20), ["Z" * 20])
    with pytest.raises(ResourceLimitError, match="MB of memory"):
        AerBackend("fake_torino", max_memory_mb=16).profile(experiment)
    with pytest.raises(ResourceLimitError, match="MB of memory"):
        AerBackend("fake_torino", method="density_matrix").profile(experiment)
    with pytest.raises(ResourceLimitError, match="MB of memory"):
        AerBackend("aer", max_memory_mb=8).profile(experiment)


def test_exact_values_beyond_the_exact_engine_are_refused_with_a_way_out() -> None:
    experiment = Experiment.estimate(_chain(18), ["Z" * 18])
    backend = AerBackend("fake_torino", max_memory_mb=4096)
    assert backend.profile(experiment).num_qubits >= 18
    with pytest.raises(ResourceLimitError, match="ask for shots"):
        _run(backend, experiment, None)


# Large circuits


@pytest.mark.parametrize("num_qubits", [12, 20])
def test_large_noisy_circuits_are_run_shot_by_shot(num_qubits: int) -> None:
    backend = AerBackend("fake_torino")
    experiment = Experiment.estimate(_chain(num_qubits), ["Z" + "I" * (num_qubits - 1)])
    value = _run(backend, experiment, 2).value
    assert isinstance(value, Estimates)
    assert value.evs[0, 0] in (-1.0, 0.0, 1.0)


@pytest.mark.parametrize("num_qubits", [12, 18])
def test_large_ideal_circuits_have_exact_values(num_qubits: int) -> None:
    """A chain of CNOTs makes the last qubit's Z the product of all cosines."""
    experiment = Experiment.estimate(
        _chain(num_qubits), ["Z" + "I" * (num_qubits - 1), "I" * (num_qubits - 1) + "X"]
    )
    evaluation = _evaluation(experiment, None)
    expected = np.prod(np.cos(evaluation.angles[0]))
    backend = AerBackend("aer")
    assert _ev(backend, experiment) == pytest.approx(expected, abs=1e-10)
    assert _ev(backend, experiment, 1000) == pytest.approx(expected, abs=0.2)


def test_a_wide_sample_has_the_right_distribution() -> None:
    circuit = QuantumCircuit(14)
    circuit.h(0)
    for qubit in range(13):
        circuit.cx(qubit, qubit + 1)
    circuit.measure_all()
    value = _run(AerBackend("aer"), Experiment.sample(circuit), 500).value
    assert isinstance(value, Samples)
    shots = [int.from_bytes(row.tobytes(), "big") for row in value.registers["out0"][0]]
    assert set(shots) == {0, 2**14 - 1}
    assert 180 < sum(map(bool, shots)) < 320


# Measurements on the way


def _teleported_one() -> QuantumCircuit:
    circuit = QuantumCircuit(QuantumRegister(3), ClassicalRegister(2, "way"))
    way = circuit.cregs[0]
    circuit.x(0)
    circuit.h(1)
    circuit.cx(1, 2)
    circuit.cx(0, 1)
    circuit.h(0)
    circuit.measure([0, 1], way)
    with circuit.if_test((way[1], 1)):
        circuit.x(2)
    with circuit.if_test((way[0], 1)):
        circuit.z(2)
    return circuit


def test_outcomes_on_the_way_steer_and_are_reported() -> None:
    """Teleported by control flow, the answer is always 1; the way there is random."""
    circuit = _teleported_one()
    end = ClassicalRegister(1, "end")
    circuit.add_register(end)
    circuit.measure(2, end)
    value = _run(AerBackend("aer"), Experiment.sample(circuit), 200).value
    assert isinstance(value, Samples)
    assert (value.registers["end"] == 1).all()
    assert set(np.unique(value.registers["way"])) == {0, 1, 2, 3}


def test_what_is_steered_by_outcomes_has_estimates_but_no_exact_values() -> None:
    experiment = Experiment.estimate(_teleported_one(), ["ZII"])
    assert _ev(AerBackend("aer"), experiment, 50) == -1.0
    with pytest.raises(CircuitError, match="shot by shot"):
        _run(AerBackend("aer"), experiment, None)


def test_a_bit_written_twice_keeps_the_last_value() -> None:
    circuit = QuantumCircuit(2, 1)
    circuit.x(0)
    circuit.measure(0, 0)
    circuit.measure(1, 0)
    for method in ("automatic", "trajectories"):
        value = _run(AerBackend("aer", method=method), Experiment.sample(circuit), 20).value
        assert isinstance(value, Samples)
        assert not value.registers["out0"].any()


def test_bits_that_nothing_is_measured_into_are_zero() -> None:
    circuit = QuantumCircuit(
        QuantumRegister(1), ClassicalRegister(3, "a"), ClassicalRegister(1, "b")
    )
    circuit.x(0)
    circuit.measure(0, 1)
    value = _run(AerBackend("aer"), Experiment.sample(circuit), 7).value
    assert isinstance(value, Samples)
    assert list(value.num_bits.values()) == [3, 1]
    three, one = value.registers.values()
    assert (three == 2).all()
    assert not one.any()


def _read_often(*times: int) -> QuantumCircuit:
    """An entangled state whose qubits are read so often, each time into a register of its own."""
    circuit = QuantumCircuit(len(times))
    circuit.ry(0.7, 0)
    for qubit in range(1, len(times)):
        circuit.cx(qubit - 1, qubit)
        circuit.rx(0.4, qubit)
    for turn in range(max(times)):
        register = ClassicalRegister(len(times), f"turn{turn}")
        circuit.add_register(register)
        circuit.barrier()
        for qubit, most in enumerate(times):
            if turn < most:
                circuit.measure(qubit, register[qubit])
    return circuit


def _histogram(method: str, experiment: Experiment) -> np.ndarray:
    """How often each combination of all registers' bits came; they have three bits at most."""
    value = _run(AerBackend("fake_torino", method=method), experiment, 20_000).value
    assert isinstance(value, Samples)
    together = np.zeros(20_000, dtype=np.intp)
    for rows in value.registers.values():
        together = 8 * together + rows[0, :, 0]
    return np.bincount(together, minlength=2**9)


@pytest.mark.parametrize("times", [(2, 2, 2), (1, 3), (2, 1, 0)])
def test_qubits_read_several_times_have_a_readout_error_each_time(times: tuple[int, ...]) -> None:
    experiment = Experiment.sample(_read_often(*times))
    exact = _histogram("density_matrix", experiment)
    assert _histogram("automatic", experiment).tolist() == exact.tolist()
    seen = np.array([exact, _histogram("trajectories", experiment)])
    assert chi2_contingency(seen[:, seen.sum(axis=0) > 20]).pvalue > 1e-4
    readings_differ = sum(count for bits, count in enumerate(exact) if bits % 8 != bits // 8 % 8)
    assert readings_differ > 0


def test_a_qubit_that_decays_between_its_readings_does_so() -> None:
    circuit = QuantumCircuit(1, 2)
    circuit.x(0)
    circuit.measure(0, 0)
    circuit.delay(100, 0, unit="us")
    circuit.measure(0, 1)
    counts = _histogram("automatic", Experiment.sample(circuit))
    assert counts[0b11] > 2000
    assert counts[0b01] > 2000 > 10 * counts[0b10]


# Methods


@pytest.mark.parametrize("method", ["automatic", "density_matrix", "statevector", "trajectories"])
def test_every_method_gives_the_same_distribution(method: str) -> None:
    experiment = Experiment.estimate(_chain(8), ["Z" * 8, "X" * 8])
    found = _ev(AerBackend("aer", method=method), experiment, 20_000)
    assert found == pytest.approx(_ev(AerBackend("aer"), experiment), abs=5 / np.sqrt(20_000))


def test_pure_states_refuse_what_makes_them_mixed() -> None:
    circuit = _chain(2)
    circuit.reset(0)
    with pytest.raises(CircuitError, match="pure states only"):
        AerBackend("aer", method="statevector").profile(Experiment.estimate(circuit, ["ZZ"]))


# The cache


def test_a_circuit_rebuilt_from_scratch_is_a_hit() -> None:
    backend = AerBackend("fake_manila")
    for iteration in range(5):
        values = np.random.default_rng(iteration).normal(size=12)
        bound = efficient_su2(3, reps=1, entanglement="linear").assign_parameters(values)
        _run(backend, Experiment.estimate(bound, ["ZZZ"]), 10)
    info = backend.cache.info()
    assert (info.misses, info.hits, info.entries) == (1, 4, 1)
    assert info.bytes > 1000


def test_the_least_recently_used_form_is_evicted() -> None:
    backend = AerBackend("aer", cache=WarmCache(max_entries=2))
    experiments = [Experiment.estimate(_chain(n), ["Z" * n]) for n in (1, 2, 3)]
    for experiment in experiments:
        _run(backend, experiment, 10)
    assert backend.cache.info().evictions == 1
    assert backend.profile(experiments[2]).is_warm
    assert not backend.profile(experiments[0]).is_warm


def test_backends_of_other_methods_do_not_share_forms() -> None:
    cache = WarmCache()
    experiment = Experiment.estimate(_chain(2), ["ZZ"])
    AerBackend("fake_manila", cache=cache).profile(experiment)
    other = AerBackend("fake_manila", cache=cache, method="trajectories")
    assert not other.profile(experiment).is_warm


def test_the_predicted_time_follows_the_measured_one() -> None:
    backend = AerBackend("fake_manila")
    experiment = Experiment.estimate(_chain(4), ["ZZZZ"])
    before = backend.profile(experiment).seconds
    measured = []
    for seed in range(40):
        [outcome] = backend.execute([_evaluation(experiment, 100, seed)])
        assert isinstance(outcome, Outcome)
        measured.append(outcome.usage.qpu_seconds)
    after = backend.profile(experiment).seconds
    assert before > 0
    # A busy machine takes any time for one of them.
    assert min(measured) / 2 < after < 2 * max(measured)


def test_an_observable_on_idle_qubits_reads_their_ground_state() -> None:
    circuit = QuantumCircuit(4)
    circuit.x(0)
    experiment = Experiment.estimate(circuit, ["ZIII", "IIIZ", "XIII", "IIII"])
    [outcome] = AerBackend("fake_manila").execute([_evaluation(experiment, None)])
    assert isinstance(outcome, Outcome)
    assert isinstance(outcome.value, Estimates)
    np.testing.assert_allclose(outcome.value.evs[0], [1, -1, 0, 1], atol=2e-3)


def test_an_empty_circuit_is_all_zeros() -> None:
    experiment = Experiment.estimate(QuantumCircuit(2), ["II", "ZZ"])
    for shots in (None, 5):
        [outcome] = AerBackend("aer").execute([_evaluation(experiment, shots)])
        assert isinstance(outcome, Outcome), outcome
        assert isinstance(outcome.value, Estimates)
        assert outcome.value.evs.tolist() == [[1.0, 1.0]]
