"""What a ``RuntimeBackend`` is given, checked at the door."""

from __future__ import annotations

from typing import Any

from efaas.backends.isa import check_transpiler
from efaas.backends.runtime.connect import TimeLimits
from efaas.backends.runtime.packing import Limits
from efaas.backends.runtime.retry import RetryPolicy
from efaas.backends.warm_cache import WarmCache
from efaas.errors import InputError
from efaas.model.quantities import is_count, is_number
from efaas.policies.budget import Budget

__all__ = ["check_arguments"]

_KINDS: dict[str, type] = {
    "budget": Budget,
    "limits": Limits,
    "time_limits": TimeLimits,
    "retries": RetryPolicy,
    "cache": WarmCache,
    "name": str,
    "instance": str,
    "calibration_id": str,
    "seeded": bool,
}
_WORDS: dict[type, str] = {Budget: "an efaas.Budget", str: "a name", bool: "True or False"}
_METHODS = {"clock": "now", "service": "backend"}


def check_arguments(**given: Any) -> None:
    """See that each is what ``RuntimeBackend`` says.

    Raises:
        InputError: One is not.
    """
    for name, kind in _KINDS.items():
        value = given[name]
        if not (value is None or isinstance(value, kind)) or (kind is str and value == ""):
            known = _WORDS.get(kind, f"an efaas.backends.{kind.__name__}")
            raise InputError(f"{name} is {known}, or None; got {value!r}")
    for name, method in _METHODS.items():
        value = given[name]
        if value is not None and not callable(getattr(value, method, None)):
            raise InputError(f"{name} has a method {method}(), or is None; got {value!r}")
    check_transpiler(given["optimization_level"], given["seed_transpiler"])
    ahead = given["rounds_ahead"]
    if not is_count(ahead):
        raise InputError(f"rounds_ahead must be at least 1, got {ahead!r}")
    if not isinstance(given["use_fractional_gates"], bool):
        raise InputError(
            f"use_fractional_gates is True or False, got {given['use_fractional_gates']!r}"
        )
    expiry, most = given["on_expiry"], given["max_session_seconds"]
    if not isinstance(expiry, str) or expiry not in ("renew", "stop"):
        raise InputError(f"on_expiry is 'renew' or 'stop', got {expiry!r}")
    if most is not None and not is_count(most):
        raise InputError(f"max_session_seconds is a whole number of at least 1, got {most!r}")
    every = given["calibration_seconds"]
    if not (is_number(every) and every > 0):
        raise InputError(f"calibration_seconds is more than 0, got {every!r}")
