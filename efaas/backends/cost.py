"""How long an experiment takes and how much memory it needs, before anything runs.

The constants were measured on one core of a 2.5 GHz server processor, on Ising and QAOA circuits
of 4 to 20 qubits. They only have to be right to a factor of two: between the engines lie orders
of magnitude, but for a few qubits around twelve.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

__all__ = ["Costs", "aer_threads", "exact_costs", "memory_limit_bytes", "trajectory_costs"]

_STATE_COPIES = 2.5
"""Peak memory of the exact engine, in states (2.0 measured at 12 and 13 qubits)."""

_CALL_SECONDS = 6e-5
_MULTIPLICATION_SECONDS = 1e-10
_READING_SECONDS = 4e-9
"""Per number of the state and setting."""

_INSTRUCTION_SECONDS = 5e-7
_AMPLITUDE_SECONDS = 1.3e-9
"""Of one instruction of one shot, and of each amplitude in it."""

_RUN_SECONDS = 8e-3
_ASSEMBLY_SECONDS = 1e-4
"""Of one circuit of a run of Aer, and of each of its instructions, whatever the shots."""


@dataclass(frozen=True, slots=True)
class Costs:
    """What one engine would need for one point.

    Attributes:
        fixed_seconds: Whatever the number of shots.
        seconds_per_shot: On top of it.
        bytes: Memory in use at once.
    """

    fixed_seconds: float
    seconds_per_shot: float
    bytes: float

    def seconds(self, shots: int | None) -> float:
        """Predicted seconds of a point."""
        return self.fixed_seconds + self.seconds_per_shot * (shots or 0)


def exact_costs(state_bytes: float, multiplications: float, settings: int) -> Costs:
    """Costs of the exact engine.

    Args:
        state_bytes: Size of the state.
        multiplications: Real multiplications of the evolution.
        settings: Measurement settings.
    """
    reading = settings * _READING_SECONDS * state_bytes / 8
    seconds = _CALL_SECONDS + _MULTIPLICATION_SECONDS * multiplications + reading
    return Costs(seconds, 0.0, _STATE_COPIES * state_bytes)


def trajectory_costs(num_qubits: int, instructions: int, settings: int) -> Costs:
    """Costs of the trajectory engine.

    Args:
        num_qubits: Active qubits.
        instructions: Instructions of the circuit.
        settings: Measurement settings.
    """
    amplitudes = 2.0**num_qubits
    per_shot = instructions * (_INSTRUCTION_SECONDS + _AMPLITUDE_SECONDS * amplitudes)
    fixed = settings * (_RUN_SECONDS + _ASSEMBLY_SECONDS * instructions)
    # Each thread holds the state of its shot.
    return Costs(fixed, settings * per_shot, 16 * amplitudes * (1 + aer_threads()))


def aer_threads() -> int:
    """Threads of a run of Aer; no result depends on it."""
    if hasattr(os, "sched_getaffinity"):
        return min(8, len(os.sched_getaffinity(0)))
    return min(8, os.cpu_count() or 1)


def memory_limit_bytes(max_memory_mb: int | None) -> float:
    """What a simulation may use: as told, or half of this machine's memory."""
    if max_memory_mb is not None:
        return max_memory_mb * 2.0**20
    try:
        return 0.5 * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        # Where the system does not tell, 4 GB are a safe guess.
        return 2.0**32
