"""The program "executor": a quantum program in, sampled bits out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np
from ibm_quantum_schemas.common import CompressedTensorModel
from ibm_quantum_schemas.executor.version_2_0 import (
    ChunkPart,
    ChunkSpan,
    ItemMetadataModel,
    MetadataModel,
    ParamsModel,
    QuantumProgramResultItemModel,
    QuantumProgramResultModel,
)
from pydantic import ValidationError
from qiskit_ibm_runtime.fake_provider.executor.broadcast_sample import broadcast_sample
from qiskit_ibm_runtime.quantum_program.converters.converters_2_0 import quantum_program_from_2_0
from samplomatic.quantum_program import SamplexItem

from efaas.errors import EfaasError
from efaas.primitives.pubs import sampler_request
from efaas.testing.runtime_service.islands import islands_of, sampled_bits
from efaas.testing.runtime_service.messages import Refusal, refuse
from efaas.testing.runtime_service.primitive_programs import on_device
from efaas.testing.runtime_service.seeds import requested_seed
from efaas.testing.runtime_service.work import Runner, Span, Work

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from qiskit import QuantumCircuit
    from qiskit.transpiler import Target


__all__ = ["ProgramItem", "decoded_program"]

_VERSION = "v2.0"


class ProgramItem:
    """One item of a quantum program, as one point: its randomizations are drawn together."""

    def __init__(self, item: Any, circuit: QuantumCircuit, shots: int, content: bytes) -> None:
        """Count what it takes.

        Args:
            item: The item, with its arguments.
            circuit: Its circuit on the device's qubits.
            shots: Shots of each bound circuit.
            content: Its arguments as they were sent, for its digest.
        """
        self._item = item
        if isinstance(item, SamplexItem):
            item.samplex.finalize()
        self._circuit = circuit
        self.shape = tuple(item.shape)
        self.shots = shots
        self.num_circuits = math.prod(self.shape)
        request = sampler_request((circuit, np.zeros(circuit.num_parameters)), shots)
        fingerprint = request.experiment.fingerprint
        digest = blake2b(repr((fingerprint, self.shape, shots)).encode() + content, digest_size=16)
        self.digests = (digest.hexdigest(),)

    def run(self, backend: Runner, seeds: Sequence[int]) -> dict[str, NDArray[Any]]:
        """The registers' bits, of shape ``(*shape, shots, bits)``, and what the samplex gives."""
        generator = np.random.default_rng(np.random.SeedSequence(seeds[0]))
        values, extra = self._values(generator)
        points = [int.from_bytes(generator.bytes(16), "little") for _ in values]
        circuit = self._circuit
        islands = islands_of(circuit)
        bits = sampled_bits(backend, islands, circuit.num_clbits, values, self.shots, points)
        bits = bits.reshape(*self.shape, self.shots, circuit.num_clbits)
        index_of = {bit: index for index, bit in enumerate(circuit.clbits)}
        registers = {
            register.name: bits[..., [index_of[bit] for bit in register]]
            for register in circuit.cregs
        }
        return {**extra, **registers}

    def _values(
        self, generator: np.random.Generator
    ) -> tuple[NDArray[np.float64], dict[str, NDArray[Any]]]:
        """The circuit's parameters, one row a point, and what else the samplex gives."""
        item = self._item
        if isinstance(item, SamplexItem):
            extra = broadcast_sample(item.samplex, item.samplex_arguments, self.shape, generator)
            values = extra.pop("parameter_values", np.zeros((*self.shape, 0)))
        else:
            values, extra = item.circuit_arguments, {}
        width = self._circuit.num_parameters
        rows = np.broadcast_to(values, (*self.shape, width)).reshape(self.num_circuits, width)
        return np.asarray(rows, dtype=np.float64), extra


def decoded_program(params: dict[str, Any], target: Target) -> Work:
    """The work of an "executor" job.

    Args:
        params: Its inputs.
        target: Of the device it is for.

    Raises:
        Refusal: It cannot be understood, or the device cannot run it.
    """
    version = params.get("schema_version")
    if version != _VERSION:
        raise refuse(400, 1211, f"The schema {version!r} is not supported; use {_VERSION!r}.")
    try:
        model = ParamsModel.model_validate(params)
        if model.quantum_program.meas_level != "classified":
            raise ValueError("only classified measurements are supported")
        program, _ = quantum_program_from_2_0(model)
        items = [
            ProgramItem(item, on_device(item.circuit, target), program.shots, _content(item_model))
            for item, item_model in zip(program.items, model.quantum_program.items, strict=True)
        ]
        if not items:
            raise ValueError("expected at least one item")
    except Refusal:
        raise
    except (EfaasError, ValidationError, ValueError, TypeError, KeyError) as error:
        raise refuse(400, 1211, f"The inputs of the program are not valid: {error}") from error
    return Work(
        items,
        _written(model, items),
        requested_seed({"experimental": model.options.experimental}),
        model.options.rep_delay,
    )


def _content(item_model: Any) -> bytes:
    """An item's arguments by their values alone: the client numbers their names as it goes."""
    dump = item_model.model_dump(mode="json")
    arguments = list(dump.get("samplex_arguments", {}).values())
    return repr((arguments, dump.get("circuit_arguments"))).encode()


def _written(model: ParamsModel, items: Sequence[ProgramItem]) -> Any:
    def write(answers: Sequence[dict[str, NDArray[Any]]], span: Span) -> str:
        data = [
            QuantumProgramResultItemModel(
                results={
                    name: CompressedTensorModel.from_numpy(np.asarray(array))
                    for name, array in answer.items()
                },
                metadata=ItemMetadataModel(),
            )
            for answer in answers
        ]
        parts = [
            ChunkPart(
                idx_item=index,
                size=item.num_circuits,
                permutation=list(range(len(item.shape))),
                element_range=(0, item.num_circuits, 1),
            )
            for index, item in enumerate(items)
        ]
        result = QuantumProgramResultModel(
            data=data,
            metadata=MetadataModel(
                chunk_timing=[ChunkSpan(start=span.start, stop=span.stop, parts=parts)]
            ),
            passthrough_data=model.quantum_program.passthrough_data,
            semantic_role=model.quantum_program.semantic_role,
        )
        return str(result.model_dump_json())

    return write
