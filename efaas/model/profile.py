"""What a policy may know of a circuit without seeing it."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["CacheInfo", "CircuitProfile"]


@dataclass(frozen=True, slots=True)
class CircuitProfile:
    """A circuit as compiled for one backend.

    Attributes:
        backend: The backend.
        num_qubits: Active physical qubits.
        depth: Depth of the ISA circuit.
        two_qubit_gates: Number of two-qubit gates of the ISA circuit.
        layout: Physical qubit of each virtual qubit, in order.
        seconds: Predicted run time of one evaluation, in seconds.
        is_warm: Whether the compiled form was there already.
        ln_gates: Natural logarithm of the probability that no gate errs, as expected when it was
            compiled; 0 or less, and 0 where nothing is known.
        ln_readout: The same for reading qubits.
        ln_idle: The same for waiting qubits.
        ln_measured: What a sentinel measured beyond what the calibration says; below 0 for a loss.
        has_dead_gate: Whether it needs an operation that the calibration calls broken.
        calibration_age_seconds: Age of the calibration at which these were expected.
        cold_seconds: What a first run there still has to wait for, compiling excepted.
    """

    backend: str
    num_qubits: int
    depth: int
    two_qubit_gates: int
    layout: tuple[int, ...]
    seconds: float
    is_warm: bool
    ln_gates: float = 0.0
    ln_readout: float = 0.0
    ln_idle: float = 0.0
    ln_measured: float = 0.0
    has_dead_gate: bool = False
    calibration_age_seconds: float = 0.0
    cold_seconds: float = 0.0

    @property
    def ln_esp(self) -> float:
        """Natural logarithm of the estimated success probability; 0 or less."""
        return min(self.ln_gates + self.ln_readout + self.ln_idle + self.ln_measured, 0.0)

    @property
    def esp(self) -> float:
        """The estimated success probability, in [0, 1]."""
        return math.exp(self.ln_esp)


@dataclass(frozen=True, slots=True)
class CacheInfo:
    """Counters of a warm calibration cache.

    Attributes:
        hits: Look-ups that found a compiled form.
        misses: Look-ups that had to compile.
        evictions: Entries dropped to stay within the bounds.
        entries: Entries held now.
        bytes: Their approximate size in bytes.
        max_entries: The bound on ``entries``.
        max_bytes: The bound on ``bytes``.
    """

    hits: int
    misses: int
    evictions: int
    entries: int
    bytes: int
    max_entries: int
    max_bytes: int

    def __add__(self, other: CacheInfo) -> CacheInfo:
        """Sum over several caches."""
        return CacheInfo(
            self.hits + other.hits,
            self.misses + other.misses,
            self.evictions + other.evictions,
            self.entries + other.entries,
            self.bytes + other.bytes,
            self.max_entries + other.max_entries,
            self.max_bytes + other.max_bytes,
        )
