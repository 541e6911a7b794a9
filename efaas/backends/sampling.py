"""Random numbers that belong to a point: drawn from its own seed and from nothing else."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

__all__ = ["draw_outcomes", "point_generator", "simulator_seed", "thread_generator"]

_MASK = 2**64 - 1


class _Reseeded(threading.local):
    """One generator per thread, set back for each point: a new one costs twenty times as much."""

    def __init__(self) -> None:
        bits = np.random.Philox(key=0)
        generator = np.random.Generator(bits)
        # Plain numbers: the state is read one number at a time, which arrays make slow.
        inner = {"counter": (0, 0, 0, 0), "key": (0, 0)}
        state: Any = {
            "bit_generator": "Philox",
            "state": inner,
            "buffer": (0, 0, 0, 0),
            "buffer_pos": 4,
            "has_uint32": 0,
            "uinteger": 0,
        }

        def restart(seed: int) -> None:
            inner["key"] = (seed & _MASK, seed >> 64)
            bits.state = state

        self.generator = generator
        self.restart = restart


_LOCAL = _Reseeded()


def thread_generator() -> tuple[np.random.Generator, Callable[[int], None]]:
    """This thread's only generator, and what sets it to the start of a seed's stream.

    For loops over points: see ``point_generator``.
    """
    local = _LOCAL
    return local.generator, local.restart


def point_generator(seed: int) -> np.random.Generator:
    """The generator of a seed, at its start: the stream of ``Generator(Philox(key=seed))``.

    It is this thread's only one: draw all that a point needs before asking for another.

    Args:
        seed: From 0 to ``2**128 - 1``.
    """
    generator, restart = thread_generator()
    restart(seed)
    return generator


def simulator_seed(seed: int) -> int:
    """A seed for Aer, which takes 31 bits, derived from a point's 128-bit seed."""
    return int(point_generator(seed).integers(2**31 - 1))


def draw_outcomes(
    generator: np.random.Generator, probabilities: NDArray[np.float64], shots: int
) -> NDArray[np.intp]:
    """Outcomes of independent shots, in the order of the shots.

    Args:
        generator: Where the randomness comes from.
        probabilities: Not negative; they need not add up to exactly 1.
        shots: How many.
    """
    cumulated = np.cumsum(probabilities)
    drawn = np.searchsorted(cumulated, generator.random(shots) * cumulated[-1], side="right")
    # A draw just below the total can be rounded up to it.
    outcomes: NDArray[np.intp] = np.minimum(drawn, len(probabilities) - 1)
    return outcomes
