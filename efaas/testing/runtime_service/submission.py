"""A submission's fields, checked: what a job is, apart from what it runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from efaas.testing.runtime_service.messages import refuse

__all__ = ["Submission"]

_PROGRAMS = ("estimator", "sampler", "executor")


@dataclass(frozen=True, slots=True)
class Submission:
    """What a client sends to submit a job.

    Attributes:
        program: "estimator", "sampler" or "executor".
        device: The name of the device.
        params: The inputs of the program.
        tags: In the order given.
        session_id: A session or batch, or None.
        max_seconds: QPU seconds after which it is to be stopped, or None.
        is_private: Whether inputs and results are kept from the job's description.
        calibration_id: The calibration to run it under, or None for that in force when it runs.
    """

    program: str
    device: str
    params: dict[str, Any]
    tags: tuple[str, ...]
    session_id: str | None
    max_seconds: float | None
    is_private: bool
    calibration_id: str | None = None

    @classmethod
    def of(cls, fields: dict[str, Any]) -> Submission:
        """The submission of a request's fields.

        Raises:
            Refusal: A field is missing, or of the wrong kind.
        """
        program = fields.get("program_id")
        if program not in _PROGRAMS:
            raise refuse(404, 1216, f"Program not found: {program!r}.")
        tags = fields.get("tags") or []
        if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
            raise refuse(400, 1211, "tags must be a list of strings.")
        cost = fields.get("cost")
        if cost is not None and not (_is_number(cost) and cost > 0):
            raise refuse(400, 1211, f"cost must be a number of seconds above 0, got {cost!r}.")
        session_id, calibration_id = fields.get("session_id"), fields.get("calibration_id")
        for name, value in (("session_id", session_id), ("calibration_id", calibration_id)):
            if value is not None and not isinstance(value, str):
                raise refuse(400, 1211, f"{name} must be a string, got {value!r}.")
        device, params = fields.get("backend"), fields.get("params")
        if not isinstance(device, str):
            raise refuse(400, 1211, f"backend must be a device's name, got {device!r}.")
        if not isinstance(params, dict):
            raise refuse(400, 1211, "params must be an object with the program's inputs.")
        return cls(
            program=program,
            device=device,
            params=params,
            tags=tuple(tags),
            max_seconds=cost,
            is_private=fields.get("private") is True,
            session_id=session_id,
            calibration_id=calibration_id,
        )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
