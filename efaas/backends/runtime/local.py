"""The client's local testing mode, on the active qubits.

The client simulates a fake device by the vendor's own primitives, which measure every qubit of
it: 133 at once cannot be simulated. Given a device that is made of the active qubits, it runs the
same classes on the same noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qiskit.providers import BackendV2, Options
from qiskit.quantum_info import PauliList, SparsePauliOp
from qiskit.transpiler import QubitProperties, Target

from efaas.backends.compact import compacted

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

    from efaas.backends.device import Device
    from efaas.backends.isa import IsaCircuit

__all__ = ["ActiveQubits", "LocalForm"]


class ActiveQubits(BackendV2):  # type: ignore[misc]
    """A device made of some qubits of another, with their numbers."""

    def __init__(self, device: Device, active: Sequence[int]) -> None:
        """Restrict a device.

        Args:
            device: The whole.
            active: The qubits to keep, in order.
        """
        super().__init__(name=f"{device.name}_active")
        self._target = _restricted(device.target, active)

    @property
    def target(self) -> Target:
        """Its instructions and their numbers."""
        return self._target

    @property
    def max_circuits(self) -> None:
        """As many as there are."""
        return

    @classmethod
    def _default_options(cls) -> Options:
        return Options()

    def run(self, run_input: Any, **options: Any) -> Any:
        """It is described only; the client simulates it."""
        raise NotImplementedError("this device is simulated by the client's primitives")


@dataclass(frozen=True)
class LocalForm:
    """A compiled circuit on its active qubits.

    Attributes:
        device: What the client is to simulate.
        circuit: On that device's qubits.
        observables: On that device's qubits.
    """

    device: ActiveQubits
    circuit: QuantumCircuit
    observables: tuple[SparsePauliOp, ...]

    @classmethod
    def of(cls, isa: IsaCircuit, active: Sequence[int], device: Device) -> LocalForm:
        """Restrict a compiled circuit to its active qubits."""
        columns = list(active)
        observables = tuple(
            SparsePauliOp(
                PauliList.from_symplectic(
                    observable.paulis.z[:, columns], observable.paulis.x[:, columns]
                ),
                observable.coeffs,
            )
            for observable in isa.observables
        )
        circuit = compacted(isa.circuit, active, None)
        return cls(ActiveQubits(device, active), circuit, observables)


def _restricted(target: Target, active: Sequence[int]) -> Target:
    place = {qubit: index for index, qubit in enumerate(active)}
    qubits = target.qubit_properties
    restricted = Target(
        num_qubits=len(active),
        dt=target.dt,
        qubit_properties=[
            qubits[qubit] if qubits is not None else QubitProperties() for qubit in active
        ],
    )
    for name in target.operation_names:
        operation = target.operation_from_name(name)
        entries = target[name]
        if isinstance(operation, type):
            restricted.add_instruction(operation, name=name)
        elif entries is None or None in entries:
            restricted.add_instruction(operation, None, name=name)
        else:
            kept = {
                tuple(place[qubit] for qubit in where): numbers
                for where, numbers in entries.items()
                if all(qubit in place for qubit in where)
            }
            if kept:
                restricted.add_instruction(operation, kept, name=name)
    return restricted
