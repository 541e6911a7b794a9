"""Devices of IBM's service, through qiskit-ibm-runtime."""

from __future__ import annotations

from efaas.backends.runtime.backend import RuntimeBackend
from efaas.backends.runtime.connect import TimeLimits
from efaas.backends.runtime.cost import CostEstimate
from efaas.backends.runtime.packing import Limits
from efaas.backends.runtime.retry import RetryPolicy
from efaas.backends.runtime.status import RuntimeStatus

__all__ = [
    "CostEstimate",
    "Limits",
    "RetryPolicy",
    "RuntimeBackend",
    "RuntimeStatus",
    "TimeLimits",
]
