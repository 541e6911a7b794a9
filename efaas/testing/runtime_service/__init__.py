"""A runtime service on the loopback interface, for tests of whatever uses the real one.

``RuntimeService`` speaks the interface that ``QiskitRuntimeService`` uses, enforces the service's
rules on a clock of its own, executes jobs, and fails in every way that it is told to.
"""

from __future__ import annotations

from efaas.testing.runtime_service.faults import (
    Disconnect,
    Garble,
    Hang,
    HttpError,
    Injection,
    JobCancelled,
    JobFails,
    JobNeverEnds,
    Truncate,
)
from efaas.testing.runtime_service.messages import LoggedRequest, Request
from efaas.testing.runtime_service.records import Charge, JobRecord
from efaas.testing.runtime_service.routes import ENDPOINTS
from efaas.testing.runtime_service.rules import PLANS, Rules
from efaas.testing.runtime_service.service import RuntimeService
from efaas.testing.runtime_service.sessions import SessionRecord
from efaas.testing.runtime_service.work import QpuTiming

__all__ = [
    "ENDPOINTS",
    "PLANS",
    "Charge",
    "Disconnect",
    "Garble",
    "Hang",
    "HttpError",
    "Injection",
    "JobCancelled",
    "JobFails",
    "JobNeverEnds",
    "JobRecord",
    "LoggedRequest",
    "QpuTiming",
    "Request",
    "Rules",
    "RuntimeService",
    "SessionRecord",
    "Truncate",
]
