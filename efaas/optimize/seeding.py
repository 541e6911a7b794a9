"""The random numbers that scipy's functions draw from, and copies of them that draw the same."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Seeding"]


@dataclass(frozen=True, slots=True)
class Seeding:
    """How a caller gave random numbers to one of scipy's functions.

    Attributes:
        given: What scipy is handed: ``rng``, ``seed``, both (scipy refuses that), or nothing, which
            means numpy's global generator.
        template: The same as a copy that nobody else draws from; empty where there is none.
        is_chosen: Whether the caller chose them, rather than leave them to chance.
    """

    given: Mapping[str, Any]
    template: Mapping[str, Any]
    is_chosen: bool

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Seeding:
        """Read ``rng=`` and ``seed=`` as scipy does, drawing no number.

        Scipy takes a keyword ``rng`` through ``numpy.random.default_rng``; a keyword ``seed``, and
        either of them given by position, has the older meaning, where an int seeds a
        ``RandomState`` and None is numpy's global one.
        """
        if set(given) == {"rng"}:
            try:
                generator = np.random.default_rng(given["rng"])
            except (TypeError, ValueError):  # scipy says what is wrong with it
                return cls(given, {}, is_chosen=False)
            chosen = given["rng"] is not None
            return cls({"rng": generator}, {"rng": copy.deepcopy(generator)}, is_chosen=chosen)
        if len(given) > 1:
            return cls(given, {}, is_chosen=False)
        everybodys = np.random.mtrand._rand
        seed = given.get("seed")
        if seed is None or seed is np.random or seed is everybodys:
            return cls(given, {"seed": copy.deepcopy(everybodys)}, is_chosen=False)
        return cls(given, {"seed": copy.deepcopy(seed)}, is_chosen=True)

    @classmethod
    def unused(cls) -> Seeding:
        """For a function that draws no random numbers."""
        return cls({}, {}, is_chosen=True)

    def fresh(self) -> dict[str, Any]:
        """The random numbers from their beginning, the same each time."""
        return copy.deepcopy(dict(self.template))
