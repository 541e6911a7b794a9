"""What a user says about speculation: whether, how far, and at what price."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from efaas.errors import OptimizerError
from efaas.model.quantities import is_count, is_number

__all__ = ["OFF", "Speculation", "as_speculation"]

_MODES = ("off", "exact", "tolerant")
_EFFORTS = ("seconds", "steps")


@dataclass(frozen=True, slots=True)
class Speculation:
    """How an optimizer's next steps are evaluated while the present one is in flight.

    Attributes:
        mode: ``"exact"``: a guess is used only if it is the very point that the optimizer asks
            for, so that the result is scipy's to the bit. ``"off"``: only what the optimizer asks
            for is evaluated. ``"tolerant"``: a guess within ``radius`` is used too, its value
            corrected by the surrogate; the result is then close to scipy's, not equal.
        width: Most steps of the optimizer in one round, the present one included; all points of a
            finite difference are one step, and what is certain to be asked for does not count.
        depth: How many steps ahead guesses reach.
        extra_shots: Most shots spent on guesses that turn out wrong, as a fraction of those that
            the optimizer asked for.
        qpu_seconds: Most QPU seconds spent on guesses that turn out wrong, or None for no bound.
        predictor_share: How much real time the predictor may take, as a fraction of what a hit
            saves: a round's overhead, or a whole call of a plain function.
        effort: ``"seconds"``: that time is measured. ``"steps"``: it is counted in steps of the
            predictor's work, about as many as a core takes in it. What is guessed is then the same
            whatever else the machine does, as simulations and benchmarks want it, however long it
            takes.
        workers: For a plain function: how many threads call it; ``width`` by default.
        radius: In tolerant mode, the largest distance of a guess that is used (2-norm, in the
            parameters' unit). Within it, a guess is used only if the surrogate knows the
            difference between the two values well: to 0.15 of the noise of an evaluation, as one
            standard deviation; where it sees no noise, to 0.05 of the difference from the best
            value so far. See ``efaas/policies/tolerance.py``.
        seed: Of the predictor. It decides what is guessed, never what comes out.
    """

    mode: str = "exact"
    width: int = 8
    depth: int = 8
    extra_shots: float = 1.0
    qpu_seconds: float | None = None
    predictor_share: float = 0.1
    effort: str = "seconds"
    workers: int | None = None
    radius: float = 0.01
    seed: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.mode, str) or self.mode not in _MODES:
            expected = ", ".join(map(repr, _MODES))
            raise OptimizerError(f"Speculation.mode is one of {expected}; got {self.mode!r}")
        if not isinstance(self.effort, str) or self.effort not in _EFFORTS:
            expected = ", ".join(map(repr, _EFFORTS))
            raise OptimizerError(f"Speculation.effort is one of {expected}; got {self.effort!r}")
        for name in ("width", "depth"):
            _require_count(name, getattr(self, name))
        if self.workers is not None:
            _require_count("workers", self.workers)
        for name in ("extra_shots", "predictor_share", "radius", "qpu_seconds"):
            value = getattr(self, name)
            if value is None and name == "qpu_seconds":
                continue
            if not (is_number(value) and value >= 0):
                raise OptimizerError(
                    f"Speculation.{name} is a number that is not negative; got {value!r}"
                )
        if not is_count(self.seed, 0):
            raise OptimizerError(
                f"Speculation.seed is a whole number that is not negative; got {self.seed!r}"
            )

    @property
    def threads(self) -> int:
        """How many threads call a plain function; 0 where it is not speculated on."""
        return 0 if self.mode == "off" else self.workers or self.width


def as_speculation(given: Any, *, default: Speculation) -> Speculation:
    """What a ``speculation=`` argument means.

    Args:
        given: None for the default, True or False, a mode's name, or a ``Speculation``.
        default: What None means.

    Raises:
        OptimizerError: It is none of these.
    """
    if given is None:
        return default
    if isinstance(given, Speculation):
        return given
    if isinstance(given, bool):
        return Speculation() if given else OFF
    if isinstance(given, str):
        return Speculation(mode=given)
    raise OptimizerError(
        "speculation is None, True, False, 'off', 'exact', 'tolerant' or an "
        f"efaas.Speculation; got {given!r}"
    )


def _require_count(name: str, value: Any) -> None:
    if not is_count(value):
        raise OptimizerError(f"Speculation.{name} is a whole number of 1 or more; got {value!r}")


OFF = Speculation(mode="off")
"""No guess at all."""
