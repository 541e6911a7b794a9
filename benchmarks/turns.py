"""One measurement in a process of its own: a baseline and efaas take turns at the same circuit.

Run by ``evaluation_cost.py`` as ``python turns.py JSON``, where the JSON is a list: "against" or
"alone", then the function's arguments. It prints a line of JSON as soon as there is something to
tell, so that what was measured before a time limit is not lost.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from dispatch_overhead import resident_megabytes
from qiskit import QuantumCircuit
from qiskit.circuit.library import efficient_su2, qaoa_ansatz
from qiskit.primitives import BackendEstimatorV2
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler import generate_preset_pass_manager
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel
from qiskit_aer.noise.device import basic_device_gate_errors
from qiskit_aer.primitives import EstimatorV2
from qiskit_ibm_runtime.fake_provider import FakeSherbrooke, FakeTorino

import efaas

SHOTS, PRECISION = 4096, 1 / 64  # the same thing, in our words and in an estimator's
POINTS = 25
OURS_PER_TURN, OURS_SECONDS_PER_TURN = 60, 2.0
DEVICES = {"fake_torino": FakeTorino, "fake_sherbrooke": FakeSherbrooke}
Problem = tuple[QuantumCircuit, SparsePauliOp]


def h2() -> Problem:
    """H2 at 0.735 angstrom, STO-3G, Jordan-Wigner, as in ``examples/vqe_h2.py``."""
    terms = "IIII IIIZ IIZI IZII ZIII IIZZ IZIZ ZIIZ IZZI ZIZI ZZII XXXX XXYY YYXX YYYY"
    coefficients = [-0.81054798, 0.17218393, -0.22575349, 0.17218393, -0.22575349, 0.12091263]
    coefficients += [0.16892754, 0.16614543, 0.16614543, 0.17464343, 0.12091263, *[0.0452328] * 4]
    ansatz = efficient_su2(4, reps=1, entanglement="linear")
    return ansatz, SparsePauliOp(terms.split(), coefficients)


def ising(qubits: int) -> Problem:
    """An open chain in a transverse field, J = 1 and h = 0.5."""
    terms = [("ZZ", [i, i + 1], -1.0) for i in range(qubits - 1)]
    terms += [("X", [i], -0.5) for i in range(qubits)]
    observable = SparsePauliOp.from_sparse_list(terms, num_qubits=qubits)
    return efficient_su2(qubits, reps=1, entanglement="linear"), observable


def maxcut() -> Problem:
    """The largest cut of the cube's graph, with two layers."""
    edges = [[node, node ^ bit] for node in range(8) for bit in (1, 2, 4) if node < node ^ bit]
    cost = SparsePauliOp.from_sparse_list([("ZZ", edge, 0.5) for edge in edges], num_qubits=8)
    return qaoa_ansatz(cost, reps=2), cost


PROBLEMS: dict[str, Callable[[], Problem]] = {
    "4-qubit H2": h2,
    "6-qubit Ising": partial(ising, 6),
    "10-qubit Ising": partial(ising, 10),
    "8-qubit QAOA": maxcut,
}


def emit(**numbers: float | list[float]) -> None:
    print(json.dumps(numbers), flush=True)


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    value = call()
    return time.perf_counter() - started, value


def random_points(seed: int, count: int, parameters: int) -> Any:
    return np.random.default_rng(seed).uniform(-np.pi, np.pi, (count, parameters))


def transpiled(problem: str, device: Any) -> Problem:
    circuit, observable = PROBLEMS[problem]()
    isa = generate_preset_pass_manager(3, backend=device, seed_transpiler=11).run(circuit)
    return isa, observable.apply_layout(isa.layout)


def estimator_of(baseline: str, device: Any) -> Any:
    if baseline == "backend":
        return BackendEstimatorV2(backend=AerSimulator.from_backend(device))
    if baseline == "aer":
        return EstimatorV2.from_backend(device)
    from qiskit_ibm_runtime import EstimatorV2 as RuntimeEstimator

    return RuntimeEstimator(mode=device)


def aer_alone(device: Any, isa: QuantumCircuit, observable: SparsePauliOp) -> Any:
    """One density matrix by Aer on the active qubits, with the time that its C++ takes."""
    active = sorted({isa.find_bit(bit).index for step in isa.data for bit in step.qubits})
    place = {qubit: index for index, qubit in enumerate(active)}
    noise = NoiseModel()
    for name, qubits, error in basic_device_gate_errors(target=device.target):
        if place.keys() >= set(qubits):
            where = [place[qubit] for qubit in qubits]
            noise.add_quantum_error(error, name, where, warnings=False)
    simulator = AerSimulator(noise_model=noise, method="density_matrix")
    compact = QuantumCircuit(len(active))
    for step in isa.data:
        compact.append(step.operation, [place[isa.find_bit(bit).index] for bit in step.qubits])
    terms = [(p, [place[q] for q in qubits], c) for p, qubits, c in observable.to_sparse_list()]
    compacted = SparsePauliOp.from_sparse_list(terms, num_qubits=len(active))
    compact.save_expectation_value(compacted, range(len(active)))

    def evaluate(theta: Any) -> tuple[float, float, float]:
        result = simulator.run(compact.assign_parameters(theta)).result()
        return result.results[0].time_taken, float(result.data()["expectation_value"]), 1e-9

    return evaluate


def against(baseline: str, problem: str, device_name: str, turns: int) -> None:
    """A baseline's first evaluation from nothing, then turns of the baseline and of ours."""
    parameters = PROBLEMS[problem]()[0].num_parameters
    thetas = random_points(1, 1 + turns, parameters)
    started = time.perf_counter()
    device = DEVICES[device_name]()
    isa, observable = transpiled(problem, device)
    if baseline == "floor":
        evaluate = aer_alone(device, isa, observable)
    else:
        estimator = estimator_of(baseline, device)

        def evaluate(theta: Any) -> tuple[float, float, float]:
            pub = (isa, observable, theta)
            seconds, result = timed(lambda: estimator.run([pub], precision=PRECISION).result())
            return seconds, float(result[0].data.evs), float(result[0].data.stds)

    evaluate(thetas[0])
    emit(cold=time.perf_counter() - started)
    with efaas.EFSession(device, seed=1) as session:
        energy = session.objective(isa, observable, shots=SHOTS)
        # Aer's estimator knows no readout error, nor does the density matrix alone.
        reads_out = baseline in ("backend", "local")
        reference = session.objective(isa, observable, shots=SHOTS if reads_out else None)
        energy(thetas[0])
        for turn, theta in enumerate(thetas[1:]):
            theirs, value, error = evaluate(theta)
            ours: list[float] = []
            for own_theta in random_points(2 + turn, OURS_PER_TURN, parameters):
                ours.append(timed(partial(energy, own_theta))[0])
                if sum(ours) > OURS_SECONDS_PER_TURN:
                    break
            same = [future.result() for future in reference.submit_many([theta] * POINTS)]
            emit(theirs=theirs, ours=ours, deviation=abs(value - np.mean(same)) / error)


def alone(problem: str, device_name: str) -> None:
    """Our first evaluation from nothing; memory; then turns of one point and of many."""
    circuit, observable = PROBLEMS[problem]()
    thetas = random_points(1, 2000, circuit.num_parameters)
    started = time.perf_counter()
    with efaas.EFSession(device_name, seed=1) as session:
        energy = session.objective(circuit, observable, shots=SHOTS)
        energy(thetas[0])
        emit(cold=time.perf_counter() - started)
        if problem != "4-qubit H2":
            return
        for count, theta in enumerate(thetas, 1):
            energy(theta)
            if count in (100, len(thetas)):
                gc.collect()
                emit(megabytes=resident_megabytes())
        for batch in thetas.reshape(-1, POINTS, circuit.num_parameters):
            emit(one=[timed(partial(energy, theta))[0] for theta in batch[:10]])
            emit(many=timed(partial(one_round, energy, batch))[0])


def one_round(energy: Any, batch: Any) -> list[float]:
    return [future.result() for future in energy.submit_many(batch)]


if __name__ == "__main__":
    kind, *task = json.loads(sys.argv[1])
    against(*task) if kind == "against" else alone(*task)
