"""The programs "estimator" and "sampler": pubs in, a primitive's result out."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.primitives import DataBin, PrimitiveResult, PubResult
from qiskit.primitives.containers.bindings_array import BindingsArray
from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit.primitives.containers.observables_array import ObservablesArray
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit.quantum_info import SparsePauliOp
from qiskit_ibm_runtime import RuntimeDecoder, RuntimeEncoder
from qiskit_ibm_runtime.utils.utils import is_isa_circuit

from efaas.backends.protocol import Evaluation, Outcome
from efaas.errors import EfaasError, InvariantError
from efaas.model.job import Usage
from efaas.primitives.pubs import (
    DEFAULT_PRECISION,
    PubRequest,
    estimator_request,
    sampler_request,
)
from efaas.testing.runtime_service.islands import num_active_qubits, sampled_registers
from efaas.testing.runtime_service.messages import Refusal, refuse
from efaas.testing.runtime_service.seeds import requested_seed
from efaas.testing.runtime_service.work import Runner, Span, Work

if TYPE_CHECKING:
    from qiskit.transpiler import Target


__all__ = ["PubItem", "decoded_pubs", "on_device"]

_DEFAULT_SHOTS = 4096
_MOST_TOGETHER = 10
"""Circuits of more active qubits are sampled part by part, where they fall into parts."""


class PubItem:
    """One pub as one evaluation; see ``Item``."""

    def __init__(self, request: PubRequest) -> None:
        """Count what a request, which has a number of shots, takes."""
        if request.shots is None:
            raise InvariantError("exact expectation values are refused where a job is submitted")
        self.request = request
        self.shots = request.shots
        self.num_circuits = len(request.angles) * _settings(request)
        self.digests = tuple(
            _digest(request, row, index) for index, row in enumerate(request.angles)
        )

    def run(self, backend: Runner, seeds: Sequence[int]) -> PubResult:
        """Execute it; see ``Item.run``."""
        request = self.request
        circuit = request.experiment.circuit
        if request.experiment.is_sample and num_active_qubits(circuit) > _MOST_TOGETHER:
            samples = sampled_registers(backend, circuit, request.angles, self.shots, seeds)
            return request.postprocess(Outcome(samples, Usage()))
        evaluation = Evaluation(
            request.experiment, request.angles, request.shots, tuple(seeds), request.wanted
        )
        [outcome] = backend.execute([evaluation])
        if isinstance(outcome, Exception):
            raise outcome
        return request.postprocess(outcome)


def decoded_pubs(program: str, body: bytes, target: Target) -> Work:
    """The work of an "estimator" or "sampler" job.

    Options other than shots, precision, seed and pause are read and have no effect: there is no
    mitigation, twirling or decoupling on the server's side.

    Args:
        program: Which of the two.
        body: The submission.
        target: Of the device it is for.

    Raises:
        Refusal: It cannot be understood, or the device cannot run it.
    """
    try:
        params = json.loads(body, cls=RuntimeDecoder)["params"]
        pubs = params["pubs"]
        options = params.get("options") or {}
        if params.get("version", 2) != 2 or not isinstance(pubs, list) or not pubs:
            raise ValueError("expected version 2 and at least one pub")
        read = _estimator_item if program == "estimator" else _sampler_item
        items = [read(pub, options, target) for pub in pubs]
    except Refusal:
        raise
    except (EfaasError, ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise refuse(400, 1211, f"The inputs of the program are not valid: {error}") from error
    delay = (options.get("execution") or {}).get("rep_delay")
    return Work(items, _written(program, options), requested_seed(options), delay)


def on_device(circuit: QuantumCircuit, target: Target) -> QuantumCircuit:
    """The circuit on all qubits of the device, its own being the first.

    Raises:
        Refusal: It is no ISA circuit of the device.
    """
    problem = is_isa_circuit(circuit, target)
    if problem:
        raise refuse(
            400,
            1517,
            f"Circuits do not match the target system: {problem}",
            "Transform the circuits to ISA circuits of the device.",
        )
    if circuit.num_qubits == target.num_qubits:
        return circuit
    wide = QuantumCircuit(
        QuantumRegister(target.num_qubits, "q"), circuit.clbits, name=circuit.name
    )
    wide.metadata = circuit.metadata
    for register in circuit.cregs:
        wide.add_register(ClassicalRegister(bits=list(register), name=register.name))
    wide.compose(circuit, range(circuit.num_qubits), circuit.clbits, inplace=True)
    return wide


def _estimator_item(pub: Any, options: dict[str, Any], target: Target) -> PubItem:
    circuit, observables, values, precision = (*pub, None, None)[:4]
    wide = on_device(circuit, target)
    array = ObservablesArray.coerce(observables)
    if wide.num_qubits != circuit.num_qubits:
        array = array.apply_layout(None, wide.num_qubits)
    coerced = EstimatorPub.coerce((wide, array, _bindings(circuit, values), precision))
    default = options.get("default_precision")
    if options.get("default_shots") is not None:
        default = 1.0 / math.sqrt(options["default_shots"])
    request = estimator_request(
        coerced, default_precision=DEFAULT_PRECISION if default is None else default
    )
    if request.shots is None:
        raise refuse(400, 1211, "A precision must be greater than 0.")
    return PubItem(request)


def _sampler_item(pub: Any, options: dict[str, Any], target: Target) -> PubItem:
    circuit, values, shots = (*pub, None, None)[:3]
    wide = on_device(circuit, target)
    coerced = SamplerPub.coerce((wide, _bindings(circuit, values), shots))
    default = options.get("default_shots")
    return PubItem(
        sampler_request(coerced, default_shots=_DEFAULT_SHOTS if default is None else default)
    )


def _bindings(circuit: QuantumCircuit, values: Any) -> BindingsArray | None:
    if values is None:
        return None
    array = np.asarray(values, dtype=np.float64)
    if not circuit.num_parameters:
        if array.size:
            raise ValueError(f"a circuit without parameters got values of shape {array.shape}")
        return BindingsArray(shape=array.shape[:-1])
    return BindingsArray({tuple(circuit.parameters): array})


def _settings(request: PubRequest) -> int:
    """Measurement settings: groups of terms that are measured together."""
    if request.experiment.is_sample:
        return 1
    every = SparsePauliOp.sum(list(request.experiment.observables)).simplify()
    return len(every.group_commuting(qubit_wise=True))


def _digest(request: PubRequest, angles: Any, index: int) -> str:
    wanted = None if request.wanted is None else request.wanted[index]
    content = (request.experiment.fingerprint, angles.tobytes(), request.shots, wanted)
    return blake2b(repr(content).encode(), digest_size=16).hexdigest()


def _written(program: str, options: dict[str, Any]) -> Any:
    def write(answers: Sequence[PubResult], span: Span) -> str:
        results = [
            _with_ensemble_errors(answer) if program == "estimator" else answer
            for answer in answers
        ]
        metadata = {
            "version": 2,
            "execution": {"start": span.start.isoformat(), "stop": span.stop.isoformat()},
        }
        return json.dumps(PrimitiveResult(results, metadata=metadata), cls=RuntimeEncoder)

    return write


def _with_ensemble_errors(result: PubResult) -> PubResult:
    """The result with the field that the service gives beside ``stds``; here they are equal."""
    data = result.data
    fields = {**dict(data.items()), "ensemble_standard_error": data.stds}
    metadata = {name: value for name, value in result.metadata.items() if value is not None}
    return PubResult(DataBin(**fields, shape=data.shape), metadata=metadata)
