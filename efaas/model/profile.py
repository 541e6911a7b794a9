"""What a policy may know of a circuit without seeing it."""

from __future__ import annotations

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
    """

    backend: str
    num_qubits: int
    depth: int
    two_qubit_gates: int
    layout: tuple[int, ...]
    seconds: float
    is_warm: bool


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
