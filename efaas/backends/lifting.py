"""Lifting: a circuit taken apart into its structure and the angles of its gates.

Every parameterised gate angle becomes a *slot*: a parameter of its own, whatever expression the
user wrote there. What is left, the structure, is the same for all values and all names of the
parameters, so it is what compiled forms are kept by.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qiskit.circuit import (
    ClassicalRegister,
    Clbit,
    ControlFlowOp,
    ControlledGate,
    Delay,
    ForLoopOp,
    Gate,
    Instruction,
    Parameter,
    ParameterExpression,
    QuantumCircuit,
    WhileLoopOp,
)
from qiskit.circuit.library import MCPhaseGate

from efaas.backends.content import ContentReader
from efaas.errors import UnsupportedGateError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from qiskit.circuit import CircuitInstruction

__all__ = ["Lifting", "SlotUse"]

_WHOLE = frozenset(
    {
        *("barrier", "measure", "reset", "break_loop", "continue_loop"),
        *("mcx", "mcx_gray", "mcx_recursive", "mcx_vchain", "ccz", "rcccx", "c3sx"),
        *("unitary", "initialize", "state_preparation", "permutation", "pauli", "diagonal"),
        *("isometry", "multiplexer", "ucrx", "ucry", "ucrz", "kraus", "superop", "roerror"),
    }
)
"""Instructions that their name, width, parameters and control state say all about, and whose
numbers are no rotation angles: they are kept whole and never looked into."""

_AUTOMATIC_NAME = re.compile(r"c*circuit-\d+(-\d+)?(_dg)?")
"""Names that Qiskit counts up for circuits without one: two builds of a circuit differ in them."""

_PROBES = (0.6180339887498949, 1.4142135623730951)


@dataclass(frozen=True, slots=True)
class SlotUse:
    """Where a slot's angle goes.

    Attributes:
        gate: Name of the gate.
        position: Which of the gate's angles it is.
        is_repeated: Whether the gate stands in a loop, so that one run may apply it many times.
        is_mixed: Whether the gate's angle is a function of the slot and a loop's counter.
    """

    gate: str
    position: int
    is_repeated: bool = False
    is_mixed: bool = False


@dataclass(frozen=True, slots=True)
class _Kept:
    """A gate parameter that stays as it is, but for the slots substituted in it."""

    value: Any
    slots: Mapping[Parameter, int]


@dataclass(frozen=True, slots=True)
class _Step:
    """One instruction of the lifted circuit; ``params`` is None where they stay untouched."""

    instruction: CircuitInstruction
    name: str
    qubits: tuple[int, ...]
    clbits: tuple[int, ...]
    params: tuple[int | _Kept, ...] | None = None
    blocks: tuple[tuple[QuantumCircuit, list[_Step]], ...] = ()


@dataclass(frozen=True, slots=True)
class _Scope:
    """Where the walk stands: whether numbers are lifted, and the loops around it."""

    constants: bool
    is_repeated: bool = False
    counters: tuple[Parameter, ...] = ()


class Lifting:
    """A circuit's structure and its slots.

    Where the circuit has no free parameter, the numbers on its rotation gates are lifted in their
    stead: a script that binds its circuit anew at every iteration then has one structure.
    Composite gates are taken apart until the angles sit on gates of Qiskit's standard set, or on
    gates that nothing is known about. Global phases are dropped, as nothing measures them.

    Attributes:
        parameters: The circuit's free parameters, in its own order; a loop's counter is not free.
        expressions: For each slot the user's expression or number.
        uses: For each slot where its angle goes.
        structure: All the rest as nested tuples of plain values; equal structures mean the same
            experiment at equal angles.
        has_measurement: Whether anything is measured.
        registers: The classical registers, named by their position: Qiskit numbers those of
            ``measure_all`` through, so that two builds of one circuit have other names. Where
            classical values steer the circuit they have the user's names.

    Raises:
        UnsupportedGateError: The duration of a delay is a parameter.
    """

    def __init__(self, circuit: QuantumCircuit) -> None:
        # A copy, so that a circuit changed by its owner later does not change this one.
        self._source = circuit.copy()
        self._expressions: list[ParameterExpression | float] = []
        self._uses: list[SlotUse] = []
        self._content = ContentReader()
        self.has_measurement = False
        # Some releases of Qiskit count a loop's counter among the circuit's parameters.
        counters = set(_loop_counters(self._source))
        self.parameters: tuple[Parameter, ...] = tuple(
            parameter for parameter in circuit.parameters if parameter not in counters
        )
        scope = _Scope(constants=not self.parameters)
        self._steps: list[_Step] = []
        wires = range(circuit.num_qubits), range(circuit.num_clbits)
        self.structure = tuple(self._walk(self._source, *wires, scope, self._steps))
        is_steered = _is_steered(self._source, self._steps)
        self._frame = self._source.copy_empty_like() if is_steered else _renamed(self._source)
        self.registers: tuple[ClassicalRegister, ...] = tuple(self._frame.cregs)
        self.expressions = tuple(self._expressions)
        self.uses = tuple(self._uses)

    def circuit(self, slots: Sequence[Parameter]) -> QuantumCircuit:
        """A new circuit with the given parameters in the slots, and ``registers``."""
        return _filled(self._frame.copy(), self._steps, slots)

    def final_measurements(self) -> tuple[int, ...]:
        """Qubits whose last operation is a measurement that nothing reads, in ascending order."""
        touched: set[int] = set()
        read: set[int] = set()
        final: set[int] = set()
        for step in reversed(self._steps):
            if step.name == "measure":
                if not touched.issuperset(step.qubits) and not read.issuperset(step.clbits):
                    final.update(step.qubits)
            elif step.name == "store":
                read.update(range(self._source.num_clbits))
            elif step.name not in ("barrier", "delay"):
                touched.update(step.qubits)
                if step.blocks:
                    read.update(step.clbits)
        return tuple(sorted(final))

    def _walk(
        self,
        circuit: QuantumCircuit,
        qubits: Sequence[int],
        clbits: Sequence[int],
        scope: _Scope,
        steps: list[_Step],
    ) -> list[Any]:
        """Append the steps of ``circuit``, laid on the given wires; returns their structure."""
        structure: list[Any] = []
        qubit_at = dict(zip(circuit.qubits, qubits, strict=True))
        clbit_at = dict(zip(circuit.clbits, clbits, strict=True))
        for instruction in circuit.data:
            name = instruction.name
            on = tuple([qubit_at[bit] for bit in instruction.qubits])
            if instruction.is_standard_gate():
                if name == "global_phase":
                    continue
                params = instruction.params
                if params:
                    entries, content = self._lifted(name, params, scope)
                    structure.append((name, instruction.label, on, content))
                    steps.append(_Step(instruction, name, on, (), entries))
                else:
                    structure.append((name, instruction.label, on))
                    steps.append(_Step(instruction, name, on, ()))
                continue
            to = tuple([clbit_at[bit] for bit in instruction.clbits])
            if isinstance(instruction.operation, ControlFlowOp):
                structure.append(self._control_flow(instruction, on, to, clbit_at, scope, steps))
            else:
                structure.extend(self._other(instruction, on, to, clbit_at, scope, steps))
        return structure

    def _other(
        self,
        instruction: CircuitInstruction,
        on: tuple[int, ...],
        to: tuple[int, ...],
        clbit_at: Mapping[Clbit, int],
        scope: _Scope,
        steps: list[_Step],
    ) -> Iterator[Any]:
        """What is no standard gate and no control flow."""
        operation = instruction.operation
        name = instruction.name
        self.has_measurement |= name == "measure"
        if not isinstance(operation, Instruction):
            yield from self._walk(_synthesized(operation), on, to, scope, steps)
            return
        # The instruction itself does not hold the parameters of classical operations.
        params = operation.params
        free = any(isinstance(value, ParameterExpression) and value.parameters for value in params)
        if isinstance(operation, Delay):
            if free:
                raise UnsupportedGateError(
                    f"a delay needs a number as its duration, got the parameter expression "
                    f"{params[0]}; bind it before",
                    gate="delay",
                )
            content = tuple(self._content.read(value, clbit_at) for value in params)
            yield (name, on, content, operation.unit)
            steps.append(_Step(instruction, name, on, to))
            return
        controls = getattr(operation, "ctrl_state", None)
        if isinstance(operation, MCPhaseGate) and name == "mcphase" and (free or scope.constants):
            entries, lifted = self._lifted(name, params, scope)
            yield (name, instruction.label, on, lifted)
            steps.append(_Step(instruction, name, on, to, entries))
            return
        definition = None if _is_whole(operation) else operation.definition
        if definition is not None and (free or scope.constants or to):
            yield from self._walk(definition, on, to, scope, steps)
            return
        entries = None
        if free:
            entries, content = self._lifted(name, params, scope)
        else:
            content = tuple(self._content.read(value, clbit_at) for value in params)
        inside: tuple[Any, ...] = ()
        if definition is not None:
            fixed = _Scope(constants=False)
            inside = tuple(self._walk(definition, range(len(on)), range(len(to)), fixed, []))
        shown = "" if _AUTOMATIC_NAME.fullmatch(name) and inside else name
        yield (shown, instruction.label, on, to, controls, content, inside)
        steps.append(_Step(instruction, name, on, to, entries))

    def _lifted(
        self, gate: str, params: Sequence[Any], scope: _Scope
    ) -> tuple[tuple[int | _Kept, ...] | None, tuple[Any, ...]]:
        """The entries of a gate's parameters, and their structure; None if all stay."""
        entries: list[int | _Kept] = []
        content: list[Any] = []
        for position, value in enumerate(params):
            if isinstance(value, ParameterExpression):
                if not value.parameters:
                    value = float(value.numeric())
                elif scope.counters and not set(scope.counters).isdisjoint(value.parameters):
                    kept, shown = self._mixed(gate, position, value, scope)
                    entries.append(kept)
                    content.append(shown)
                    continue
            is_free = isinstance(value, ParameterExpression)
            if is_free or (scope.constants and isinstance(value, (int, float))):
                slot = self._slot(value, SlotUse(gate, position, scope.is_repeated))
                entries.append(slot)
                content.append(("slot", slot))
            else:
                entries.append(_Kept(value, {}))
                is_number = isinstance(value, (int, float))
                content.append(float(value) if is_number else self._content.read(value, {}))
        is_touched = any(isinstance(entry, int) or entry.slots for entry in entries)
        return (tuple(entries) if is_touched else None), tuple(content)

    def _mixed(
        self, gate: str, position: int, value: ParameterExpression, scope: _Scope
    ) -> tuple[_Kept, Any]:
        """An angle that depends on a loop's counter: each user parameter in it gets a slot."""
        unbound = set(value.parameters).difference(scope.counters)
        free = sorted(unbound, key=lambda p: (p.name, p.uuid))
        slots = {
            parameter: self._slot(parameter, SlotUse(gate, position, True, True))
            for parameter in free
        }
        order = [*free, *(c for c in scope.counters if c in value.parameters)]
        plain = value.subs({p: Parameter(f"_{rank}") for rank, p in enumerate(order)})
        samples = [
            complex(value.bind({p: probe + rank for rank, p in enumerate(order)}).numeric())
            for probe in _PROBES
        ]
        depths = tuple(scope.counters.index(c) for c in order[len(free) :])
        shown = ("expr", str(plain), repr(samples), tuple(slots.values()), depths)
        return _Kept(value, slots), shown

    def _slot(self, value: ParameterExpression | float, use: SlotUse) -> int:
        self._expressions.append(value)
        self._uses.append(use)
        return len(self._uses) - 1

    def _control_flow(
        self,
        instruction: CircuitInstruction,
        on: tuple[int, ...],
        to: tuple[int, ...],
        clbit_at: Mapping[Clbit, int],
        scope: _Scope,
        steps: list[_Step],
    ) -> Any:
        operation = instruction.operation
        head = self._content.read_control(operation, clbit_at)
        inner = scope
        if isinstance(operation, (WhileLoopOp, ForLoopOp)):
            counters = scope.counters
            if isinstance(operation, ForLoopOp) and isinstance(operation.params[1], Parameter):
                counters = (*counters, operation.params[1])
            inner = _Scope(scope.constants, True, counters)
        blocks: list[tuple[QuantumCircuit, list[_Step]]] = []
        inside: list[Any] = []
        for block in operation.blocks:
            wires = range(block.num_qubits), range(block.num_clbits)
            block_steps: list[_Step] = []
            inside.append(tuple(self._walk(block, *wires, inner, block_steps)))
            blocks.append((block, block_steps))
        steps.append(_Step(instruction, instruction.name, on, to, None, tuple(blocks)))
        return (instruction.name, on, to, head, tuple(inside))


def _is_whole(operation: Instruction) -> bool:
    """Whether the name says it all; a user's own gate may bear any name."""
    kind = operation.base_class
    is_own = kind in (Gate, ControlledGate, Instruction) or not kind.__module__.startswith("qiskit")
    return not is_own and (operation.name in _WHOLE or operation.name.startswith(("save_", "set_")))


def _loop_counters(circuit: QuantumCircuit) -> Iterator[Parameter]:
    for instruction in circuit.data:
        if instruction.is_control_flow():
            if isinstance(instruction.operation, ForLoopOp):
                yield instruction.operation.params[1]
            for block in instruction.operation.blocks:
                yield from _loop_counters(block)


def _is_steered(circuit: QuantumCircuit, steps: Sequence[_Step]) -> bool:
    """Whether classical values may decide on the way what happens, or when."""
    variables: list[Any] = [*circuit.iter_vars(), *getattr(circuit, "iter_stretches", tuple)()]
    return bool(variables) or any(step.blocks or step.name == "store" for step in steps)


def _renamed(source: QuantumCircuit) -> QuantumCircuit:
    """An empty circuit on the wires of ``source``, its classical registers named by position."""
    circuit = QuantumCircuit(source.qubits, source.clbits)
    for register in source.qregs:
        circuit.add_register(register)
    taken = {register.name for register in source.qregs}
    for index, register in enumerate(source.cregs):
        name = f"out{index}"
        while name in taken:
            name = f"{name}_"
        circuit.add_register(ClassicalRegister(name=name, bits=list(register)))
    return circuit


def _filled(
    circuit: QuantumCircuit, steps: Sequence[_Step], slots: Sequence[Parameter]
) -> QuantumCircuit:
    """The circuit, which is empty, with the given steps in it."""
    circuit.global_phase = 0
    circuit.metadata = {}
    for step in steps:
        qubits = [circuit.qubits[index] for index in step.qubits]
        clbits = [circuit.clbits[index] for index in step.clbits]
        instruction = step.instruction
        if step.blocks:
            blocks = [
                _filled(block.copy_empty_like(), inner, slots) for block, inner in step.blocks
            ]
            operation = instruction.operation.replace_blocks(blocks)
            instruction = instruction.replace(operation, qubits, clbits)
        elif step.params is None:
            instruction = instruction.replace(qubits=qubits, clbits=clbits)
        else:
            # Replacing only the instruction's parameters would leave those of the gate object
            # that some instructions carry along.
            operation = instruction.operation.to_mutable()
            operation.params = [_param(entry, slots) for entry in step.params]
            instruction = instruction.replace(operation, qubits, clbits)
        circuit.append(instruction)
    return circuit


def _param(entry: int | _Kept, slots: Sequence[Parameter]) -> Any:
    if isinstance(entry, int):
        return slots[entry]
    if entry.slots:
        return entry.value.subs({parameter: slots[slot] for parameter, slot in entry.slots.items()})
    return entry.value


def _synthesized(operation: Any) -> QuantumCircuit:
    """A circuit of an operation that only the transpiler can take apart (Clifford, annotated)."""
    # Rarely needed, and slow to import.
    from qiskit.transpiler import PassManager
    from qiskit.transpiler.passes import HighLevelSynthesis

    circuit = QuantumCircuit(operation.num_qubits, operation.num_clbits)
    circuit.append(operation, circuit.qubits, circuit.clbits)
    basis = ["p", "rx", "ry", "rz", "h", "x", "y", "z", "s", "sdg", "t", "tdg", "sx", "cx", "u"]
    return PassManager([HighLevelSynthesis(basis_gates=basis)]).run(circuit)
