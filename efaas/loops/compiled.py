"""A loop's circuit on backends, as far as it was compiled for them."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from efaas.errors import BackendError, CircuitError, EfaasError

if TYPE_CHECKING:
    from efaas.backends.experiment import Experiment
    from efaas.backends.protocol import Backend
    from efaas.model.profile import CircuitProfile

__all__ = ["CannotRunError", "Compiled", "compile_on", "wide_enough"]

logger = logging.getLogger("efaas.loops")


@dataclass(frozen=True, slots=True)
class Compiled:
    """A loop's circuit on a backend."""

    calibration_id: str
    profile: CircuitProfile


class CannotRunError(Exception):
    """A backend cannot run the circuit; the reason is a ``CircuitError`` or a ``BackendError``."""

    def __init__(self, place: str, reason: EfaasError) -> None:
        super().__init__(place)
        self.place = place
        self.reason = reason


def wide_enough(backends: Mapping[str, Backend], experiment: Experiment) -> list[str]:
    """Those that have as many qubits as the circuit."""
    return [n for n, b in backends.items() if b.num_qubits >= experiment.num_qubits]


def compile_on(
    compiled: dict[str, Compiled],
    backends: Mapping[str, Backend],
    places: Iterable[str],
    experiment: Experiment,
) -> None:
    """Add the circuit's form on each of the places where it is missing.

    Raises:
        CannotRunError: A backend can never run it, cannot be asked, or predicts NaN.
    """
    for place in places:
        if place not in compiled:
            backend = backends[place]
            try:
                # Should the calibration change in between, the next round will see it.
                calibration_id = backend.calibration().id
                profile = backend.profile(experiment)
                _check(profile)
                compiled[place] = Compiled(calibration_id, profile)
            except CircuitError as error:
                raise CannotRunError(place, error) from error
            except EfaasError:  # what was passed in is wrong, whatever the backend
                raise
            except Exception as error:  # a backend may fail in any way
                logger.warning("%s cannot be asked", place, exc_info=True)
                gone = BackendError(
                    f"{place} cannot be asked for its calibration or the circuit's form: "
                    f"{type(error).__name__}: {error}; leave it out, or try later",
                    backend=place,
                )
                gone.__cause__ = error
                raise CannotRunError(place, gone) from error


def _check(profile: CircuitProfile) -> None:
    """A number that is none would make every comparison with it false."""
    for name in ("seconds", "ln_esp", "calibration_age_seconds", "cold_seconds"):
        value = getattr(profile, name)
        if not math.isfinite(value):
            raise CircuitError(
                f"{profile.backend} predicts {name} = {value} for the circuit; a finite number was "
                "expected: look at its calibration, or leave the backend out"
            )
