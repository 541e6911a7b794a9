"""Jobs that take no time."""

from __future__ import annotations

from typing import Any

from qiskit import QuantumCircuit
from qiskit_ibm_runtime.executor_sampler import Sampler

DEVICE = "ibm_manila"


def measured(angle: float = 0.0) -> QuantumCircuit:
    """One qubit turned and measured, as manila runs it."""
    circuit = QuantumCircuit(1, 1)
    circuit.rz(angle, 0)
    circuit.sx(0)
    circuit.measure(0, 0)
    return circuit


def submitted(mode: Any, *tags: str, shots: int = 100, **options: Any) -> Any:
    """A small job of the executor-based sampler."""
    sampler = Sampler(mode=mode)
    sampler.options.environment.job_tags = list(tags)
    for name, value in options.items():
        setattr(sampler.options, name, value)
    return sampler.run([measured()], shots=shots)
