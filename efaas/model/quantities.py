"""What counts as a number where a user says one; comparing anything else may raise anything."""

from __future__ import annotations

from numbers import Integral, Real
from typing import TypeGuard

__all__ = ["is_count", "is_number"]


def is_number(value: object) -> TypeGuard[float]:
    """Whether it is a real number, infinite ones among them, and neither NaN nor a truth value.

    Example:
        >>> is_number(2.5), is_number("2.5"), is_number(True), is_number(float("nan"))
        (True, False, False, False)
    """
    is_truth = isinstance(value, bool)
    return not is_truth and isinstance(value, Real) and bool(value == value)


def is_count(value: object, least: int = 1) -> TypeGuard[int]:
    """Whether it is a whole number of at least so many.

    Example:
        >>> is_count(1), is_count(0), is_count(1.0)
        (True, False, False)
    """
    is_truth = isinstance(value, bool)
    return not is_truth and isinstance(value, Integral) and int(value) >= least
