"""Which submissions are taken: the rules that need no more than the submission and the account."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from efaas.testing.runtime_service.messages import refuse

if TYPE_CHECKING:
    from efaas.testing.runtime_service.rules import Rules
    from efaas.testing.runtime_service.sessions import SessionRecord
    from efaas.testing.runtime_service.work import Work

__all__ = ["check_opening", "check_pending", "check_session", "check_size", "check_work"]


def check_size(num_bytes: int, rules: Rules) -> None:
    """Let a submission of so many bytes through.

    Raises:
        Refusal: It is too large.
    """
    most = rules.max_payload_bytes
    if num_bytes > most:
        raise refuse(413, 1001, f"The job has {num_bytes} bytes; at most {most} may be.")


def check_work(work: Work, rules: Rules, max_shots: int) -> None:
    """Let a job's work through; the device takes ``max_shots`` of a circuit.

    Raises:
        Refusal: It has too many pubs, shots or executions, or no sensible pause between shots.
    """
    if len(work.items) > rules.max_pubs:
        raise refuse(
            400, 1102, f"The job has {len(work.items)} pubs; at most {rules.max_pubs} may be."
        )
    delay = work.rep_delay_seconds
    if delay is not None and not (isinstance(delay, (int, float)) and 0 <= delay < math.inf):
        raise refuse(400, 1211, f"rep_delay must be seconds of 0 or more, got {delay!r}.")
    most_shots = min(rules.max_shots, max_shots)
    if max(item.shots for item in work.items) > most_shots:
        raise refuse(400, 1103, f"A circuit has more than {most_shots} shots.")
    if work.executions > rules.max_executions:
        raise refuse(
            400,
            1103,
            f"The job has {work.executions} executions; at most {rules.max_executions} may be.",
        )


def check_pending(num_pending: int, rules: Rules) -> None:
    """Let a job through, beside so many that have not ended.

    Raises:
        Refusal: The plan allows no more.
    """
    if num_pending >= rules.max_pending_jobs:
        raise refuse(
            400,
            3458,
            f"You have reached the maximum number of pending jobs ({rules.max_pending_jobs}).",
            "Wait for a job to finish before submitting a new one.",
        )


def check_session(session: SessionRecord, device: str) -> None:
    """Let a job for a device through to a session.

    Raises:
        Refusal: The session is closed, closing, or on another device.
    """
    if session.device != device:
        raise refuse(400, 1218, f"The session is on {session.device}, but the job on {device}.")
    if not session.accepts_jobs:
        raise refuse(
            400, 1217, "Session has been closed.", "Create a new session to submit jobs to."
        )


def check_opening(mode: str, max_seconds: float | None, rules: Rules) -> None:
    """Let a session or batch be opened.

    Raises:
        Refusal: The plan forbids it, or an argument is out of its range.
    """
    if mode not in ("dedicated", "batch"):
        raise refuse(400, 1211, f"The mode must be 'dedicated' or 'batch', got {mode!r}.")
    if mode == "dedicated" and not rules.may_open_sessions:
        raise refuse(
            rules.session_refusal_status,
            1352,
            f"You are not authorized to run a session when using the {rules.plan} plan.",
            "Create an instance of a different plan type or use a different execution mode.",
        )
    most = rules.max_session_seconds
    if max_seconds is not None and not 0 < max_seconds <= most:
        raise refuse(
            400, 1211, f"max_ttl must be above 0 and at most {most:g}, got {max_seconds:g}."
        )
