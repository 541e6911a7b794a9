"""What an account may do: the limits of a plan."""

from __future__ import annotations

from dataclasses import dataclass

from efaas.errors import InputError

__all__ = ["PLANS", "Rules", "rules_of"]


@dataclass(frozen=True, slots=True)
class Rules:
    """The limits of a plan; change one with ``dataclasses.replace``.

    The numbers are the service's as far as they are public, and settings of a test otherwise.

    Attributes:
        plan: The plan's name, as the account's instance shows it.
        pricing: Its kind of price, as the catalog shows it: "free", "paygo" or "subscription".
        may_open_sessions: Whether dedicated sessions are allowed; batches always are.
        session_refusal_status: The HTTP status that goes with the code 1352 where they are not.
        max_pending_jobs: Jobs that may be queued or running at once.
        usage_limit_seconds: QPU seconds after which queued jobs no longer start; None for no
            limit.
        max_pubs: Pubs, or items of a quantum program, of a job.
        max_shots: Shots of a circuit.
        max_executions: Shots of a job, over all its circuits and points.
        max_payload_bytes: Size of a submission.
        max_job_seconds: QPU seconds of a job, whatever it asks for.
        interactive_seconds: Time that a session stays active without a job.
        max_session_seconds: Time that a session stays open at most, and by default.
    """

    plan: str
    pricing: str
    may_open_sessions: bool
    session_refusal_status: int = 400
    max_pending_jobs: int = 5000
    usage_limit_seconds: float | None = None
    max_pubs: int = 1000
    max_shots: int = 100_000
    max_executions: int = 5_000_000
    max_payload_bytes: int = 80_000_000
    max_job_seconds: float = 10_800.0
    interactive_seconds: float = 60.0
    max_session_seconds: float = 28_800.0

    def __post_init__(self) -> None:
        """Check the numbers."""
        for name in ("max_pending_jobs", "max_pubs", "max_shots", "max_executions"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, got {getattr(self, name)!r}")
        for name in ("max_payload_bytes", "max_job_seconds", "max_session_seconds"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} must be above 0, got {getattr(self, name)!r}")
        for name in ("interactive_seconds", "usage_limit_seconds"):
            if getattr(self, name) is not None and not getattr(self, name) >= 0:
                raise InputError(f"{name} must be 0 or more, got {getattr(self, name)!r}")
        if not 400 <= self.session_refusal_status <= 499:
            raise InputError(
                "session_refusal_status must be a client's error, 400 to 499, got "
                f"{self.session_refusal_status!r}"
            )


PLANS = {
    "open": Rules(
        plan="open",
        pricing="free",
        may_open_sessions=False,
        max_pending_jobs=3,
        usage_limit_seconds=600.0,
    ),
    "flex": Rules(plan="flex", pricing="subscription", may_open_sessions=True),
    "premium": Rules(plan="premium", pricing="subscription", may_open_sessions=True),
}
"""The plans that can be named."""


def rules_of(plan: str | Rules) -> Rules:
    """The rules that a plan's name means, or those given.

    Raises:
        InputError: There is no plan of that name.
    """
    if isinstance(plan, Rules):
        return plan
    if plan not in PLANS:
        raise InputError(f"plan must be one of {', '.join(PLANS)}, or Rules(...), got {plan!r}")
    return PLANS[plan]
