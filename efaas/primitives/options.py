"""What scripts set as ``estimator.options`` and ``sampler.options``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from efaas.errors import UnknownOptionError
from efaas.primitives.pubs import (
    checked_precision,
    checked_shots,
    precision_of_shots,
    shots_of_precision,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["EstimatorOptions", "SamplerOptions"]

_ELSEWHERE = {
    "seed_simulator": "the seed is the session's: EFSession(..., seed=7)",
    "simulator": "the seed and the device are the session's: EFSession('fake_torino', seed=7)",
    "max_execution_time": "RuntimeBackend(..., budget=efaas.Budget(qpu_seconds=...)) bounds it",
}


class _Options:
    """Settings with checks; what else is read or set is refused with where it belongs."""

    __slots__ = ()
    _names: tuple[str, ...] = ()

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.update(**settings)

    def update(self, **settings: Any) -> None:
        """Set several.

        Raises:
            UnknownOptionError: There is no such option here.
            ShotsError: A value is out of its range.
        """
        for name, value in settings.items():
            setattr(self, name, value)

    def __getattr__(self, name: str) -> Any:
        raise self._unknown(name)

    def __setattr__(self, name: str, value: Any) -> None:
        if not name.startswith("_") and name not in self._names:
            raise self._unknown(name)
        object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={getattr(self, name)!r}" for name in self._names)
        return f"{type(self).__name__}({settings})"

    def _unknown(self, name: str) -> UnknownOptionError:
        where = _ELSEWHERE.get(
            name,
            f"options of IBM's primitives go to RuntimeBackend(..., options={{{name!r}: ...}})",
        )
        return UnknownOptionError(
            f"primitives of a session have {' and '.join(self._names)}, no option {name!r}; {where}"
        )


class EstimatorOptions(_Options):
    """Options of an estimator: the precision, which can be given as shots, too."""

    __slots__ = ("_precision",)
    _names = ("default_precision", "default_shots")

    @property
    def default_precision(self) -> float:
        """Standard error to aim at where neither pub nor ``run`` names one; 0 is exact."""
        return self._precision

    @default_precision.setter
    def default_precision(self, value: float) -> None:
        self._precision = checked_precision(value)

    @property
    def default_shots(self) -> int | None:
        """Shots of each measurement setting that the precision takes; None where it is 0."""
        return shots_of_precision(self._precision)

    @default_shots.setter
    def default_shots(self, value: int) -> None:
        self._precision = precision_of_shots(checked_shots(value))


class SamplerOptions(_Options):
    """Options of a sampler."""

    __slots__ = ("_shots",)
    _names = ("default_shots",)

    @property
    def default_shots(self) -> int:
        """Shots where neither pub nor ``run`` names a number."""
        return self._shots

    @default_shots.setter
    def default_shots(self, value: int) -> None:
        self._shots = checked_shots(value)
