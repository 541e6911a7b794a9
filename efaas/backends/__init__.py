"""Where circuits run. Names are imported on first use, since Qiskit and Aer are heavy."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from efaas.backends.aer import AerBackend
    from efaas.backends.drift import Drift, RecordedDrift
    from efaas.backends.experiment import Experiment
    from efaas.backends.protocol import (
        Backend,
        Estimates,
        Evaluation,
        KeepsAccounts,
        KeepsSessions,
        Outcome,
        ProviderSessionLog,
        Reattachable,
        Samples,
        SpendingLog,
        SubmissionLog,
    )
    from efaas.backends.resolve import resolve_backend
    from efaas.backends.runtime import Limits, RetryPolicy, RuntimeBackend, TimeLimits
    from efaas.backends.warm_cache import WarmCache

__all__ = [
    "AerBackend",
    "Backend",
    "Drift",
    "Estimates",
    "Evaluation",
    "Experiment",
    "KeepsAccounts",
    "KeepsSessions",
    "Limits",
    "Outcome",
    "ProviderSessionLog",
    "Reattachable",
    "RecordedDrift",
    "RetryPolicy",
    "RuntimeBackend",
    "Samples",
    "SpendingLog",
    "SubmissionLog",
    "TimeLimits",
    "WarmCache",
    "resolve_backend",
]

_HOMES = {
    "AerBackend": "aer",
    "Backend": "protocol",
    "Drift": "drift",
    "Estimates": "protocol",
    "Evaluation": "protocol",
    "Experiment": "experiment",
    "KeepsAccounts": "protocol",
    "KeepsSessions": "protocol",
    "Limits": "runtime",
    "Outcome": "protocol",
    "ProviderSessionLog": "protocol",
    "Reattachable": "protocol",
    "RecordedDrift": "drift",
    "RetryPolicy": "runtime",
    "RuntimeBackend": "runtime",
    "Samples": "protocol",
    "SpendingLog": "protocol",
    "SubmissionLog": "protocol",
    "TimeLimits": "runtime",
    "WarmCache": "warm_cache",
    "resolve_backend": "resolve",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'efaas.backends' has no attribute {name!r}")
    return getattr(importlib.import_module(f"efaas.backends.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
