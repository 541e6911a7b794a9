"""When a guess is exactly the value: to the bit for floats and arrays."""

from __future__ import annotations

import math
from typing import Any

__all__ = ["is_exactly_equal"]


def is_exactly_equal(guess: Any, value: Any) -> bool:
    """Whether a step that ran on ``guess`` did what it would have done on ``value``.

    Floats must agree in the sign of zero, arrays in dtype, shape and every bit; containers are
    compared item by item, anything else by ``==``. A NaN equals nothing, so a guess of NaN is never
    accepted; nor is a guess whose comparison fails.
    """
    try:
        return _is_equal(guess, value)
    except Exception:  # a type whose == raises, or has no truth value, is never known to be equal
        return False


def _is_equal(guess: Any, value: Any) -> bool:
    if isinstance(value, float) and isinstance(guess, float):
        return guess == value and math.copysign(1.0, guess) == math.copysign(1.0, value)
    if isinstance(value, complex) and isinstance(guess, complex):
        return _is_equal(guess.real, value.real) and _is_equal(guess.imag, value.imag)
    if hasattr(value, "dtype") and hasattr(value, "tobytes"):
        return bool(
            getattr(guess, "dtype", None) == value.dtype
            and getattr(guess, "shape", None) == value.shape
            and not value.dtype.hasobject
            and guess.tobytes() == value.tobytes()
            and (guess == value).all()
        )
    if isinstance(value, list | tuple):
        return (
            type(guess) is type(value)
            and len(guess) == len(value)
            and all(map(_is_equal, guess, value))
        )
    if isinstance(value, dict):
        return (
            isinstance(guess, dict)
            and list(guess) == list(value)
            and all(_is_equal(guess[key], item) for key, item in value.items())
        )
    return bool(guess == value)
