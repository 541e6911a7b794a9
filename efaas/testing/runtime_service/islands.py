"""Sampling wide circuits part by part.

The client's estimator measures every qubit of a device, with twirls on each. What no gate
connects is independent, so such a circuit falls into islands: each is sampled on its own, and
the outcomes are put side by side. Small islands share a run.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister

from efaas.backends.protocol import Evaluation, Samples
from efaas.errors import InvariantError
from efaas.primitives.pubs import sampler_request

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from efaas.testing.runtime_service.work import Runner


__all__ = ["Island", "islands_of", "num_active_qubits", "sampled_bits", "sampled_registers"]

_SHARED_QUBITS = 4
"""Islands are joined up to this many qubits; the cost of a run grows fast beyond."""


@dataclass(frozen=True)
class Island:
    """A part of a circuit that is independent of the rest.

    Attributes:
        circuit: On the device's qubits, with one classical register.
        clbits: For each bit of that register, which classical bit of the whole it is.
        columns: For each of its parameters, which parameter of the whole it is.
    """

    circuit: QuantumCircuit
    clbits: tuple[int, ...]
    columns: tuple[int, ...]


def num_active_qubits(circuit: QuantumCircuit) -> int:
    """Qubits that something other than a barrier happens to."""
    return len(
        {
            qubit
            for instruction in circuit.data
            if instruction.operation.name != "barrier"
            for qubit in instruction.qubits
        }
    )


def islands_of(circuit: QuantumCircuit) -> list[Island]:
    """The parts of a circuit, by their first qubit; small ones joined, unmeasured ones left out."""
    qubit_at = {bit: index for index, bit in enumerate(circuit.qubits)}
    clbit_at = {bit: index for index, bit in enumerate(circuit.clbits)}
    parents = list(range(circuit.num_qubits + circuit.num_clbits))

    def root(node: int) -> int:
        while parents[node] != node:
            parents[node] = parents[parents[node]]
            node = parents[node]
        return node

    members: list[tuple[int, int]] = []  # position of an instruction, a node that it touches
    for position, instruction in enumerate(circuit.data):
        if instruction.operation.name == "barrier":
            continue
        nodes = [qubit_at[bit] for bit in instruction.qubits]
        nodes += [circuit.num_qubits + clbit_at[bit] for bit in instruction.clbits]
        for node in nodes[1:]:
            parents[root(node)] = root(nodes[0])
        members.append((position, nodes[0]))
    positions: dict[int, list[int]] = defaultdict(list)
    for position, node in members:
        positions[root(node)].append(position)
    qubits: dict[int, list[int]] = defaultdict(list)
    for node in range(circuit.num_qubits):
        qubits[root(node)].append(node)
    measured = {root(circuit.num_qubits + clbit) for clbit in range(circuit.num_clbits)}
    columns = {parameter: index for index, parameter in enumerate(circuit.parameters)}
    roots = sorted((qubits[part][0], part) for part in positions if part in measured)
    return [
        _island(circuit, sorted(p for part in group for p in positions[part]), columns)
        for group in _joined([part for _, part in roots], qubits)
    ]


def sampled_bits(
    backend: Runner,
    islands: Sequence[Island],
    num_clbits: int,
    values: NDArray[np.float64],
    shots: int,
    seeds: Sequence[int],
) -> NDArray[np.bool_]:
    """The classical bits of every shot, shape ``(points, shots, clbits)``.

    Args:
        backend: What runs the islands.
        islands: The parts of the circuit.
        num_clbits: Classical bits of the whole.
        values: Its parameters, shape ``(points, parameters)``.
        shots: Shots of each point.
        seeds: One for each point.

    Raises:
        EfaasError: The device cannot run a part.
    """
    bits = np.zeros((len(values), shots, num_clbits), dtype=np.bool_)
    evaluations = []
    for index, island in enumerate(islands):
        request = sampler_request((island.circuit, values[:, list(island.columns)]), shots)
        own = tuple(_seed(seed, index) for seed in seeds)
        evaluations.append(Evaluation(request.experiment, request.angles, shots, own))
    for island, outcome in zip(islands, backend.execute(evaluations), strict=True):
        if isinstance(outcome, Exception):
            raise outcome
        if not isinstance(outcome.value, Samples):
            raise InvariantError("a sample was answered with estimates")
        [packed] = outcome.value.registers.values()
        # Bit 0 is the lowest bit of the last byte.
        unpacked = np.unpackbits(packed[..., ::-1], axis=-1, bitorder="little")
        bits[..., list(island.clbits)] = unpacked[..., : len(island.clbits)]
    return bits


def sampled_registers(
    backend: Runner,
    circuit: QuantumCircuit,
    values: NDArray[np.float64],
    shots: int,
    seeds: Sequence[int],
) -> Samples:
    """The same as the classical registers of a circuit; see ``sampled_bits``."""
    bits = sampled_bits(backend, islands_of(circuit), circuit.num_clbits, values, shots, seeds)
    index_of = {bit: index for index, bit in enumerate(circuit.clbits)}
    packed = {
        register.name: np.packbits(
            bits[..., [index_of[bit] for bit in register]], axis=-1, bitorder="little"
        )[..., ::-1]
        for register in circuit.cregs
    }
    return Samples(packed, {register.name: register.size for register in circuit.cregs})


def _joined(parts: Sequence[int], qubits: dict[int, list[int]]) -> list[list[int]]:
    groups: list[list[int]] = []
    room = 0
    for part in parts:
        size = len(qubits[part])
        if groups and size <= room:
            groups[-1].append(part)
            room -= size
        else:
            groups.append([part])
            room = _SHARED_QUBITS - size
    return groups


def _island(
    circuit: QuantumCircuit, positions: Sequence[int], columns: dict[object, int]
) -> Island:
    clbits = sorted(
        {circuit.find_bit(bit).index for p in positions for bit in circuit.data[p].clbits}
    )
    part = QuantumCircuit(
        QuantumRegister(circuit.num_qubits, "q"), ClassicalRegister(len(clbits), "part")
    )
    place = {clbit: index for index, clbit in enumerate(clbits)}
    for position in positions:
        instruction = circuit.data[position]
        part.append(
            instruction.operation,
            [circuit.find_bit(bit).index for bit in instruction.qubits],
            [place[circuit.find_bit(bit).index] for bit in instruction.clbits],
        )
    return Island(part, tuple(clbits), tuple(columns[p] for p in part.parameters))


def _seed(seed: int, island: int) -> int:
    digest = blake2b(f"{seed}/{island}".encode(), digest_size=16).digest()
    return int.from_bytes(digest, "little")
