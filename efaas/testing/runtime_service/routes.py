"""The endpoints: which request asks for what, and the service's answers."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from efaas.testing.runtime_service.device_routes import DeviceRoutes
from efaas.testing.runtime_service.job_routes import JobRoutes
from efaas.testing.runtime_service.messages import Answer, Request, refuse
from efaas.testing.runtime_service.session_routes import SessionRoutes

if TYPE_CHECKING:
    from efaas.testing.runtime_service.cloud import Cloud
    from efaas.testing.runtime_service.identity import Identity

__all__ = ["API_PATH", "ENDPOINTS", "Routes", "endpoint_of"]

API_PATH = "/experimental/v1"
"""Where the interface begins. The client takes an address with this word in it as it is."""

_API = re.escape(API_PATH)
_PATTERNS = tuple(
    (method, re.compile(pattern), endpoint)
    for method, pattern, endpoint in [
        ("POST", r"/identity/token", "token"),
        ("POST", r"/v3/resources/search", "instances"),
        ("GET", rf"{_API}/backends", "backends"),
        ("GET", rf"{_API}/backends/(?P<device>[^/]+)/configuration", "configuration"),
        ("GET", rf"{_API}/backends/(?P<device>[^/]+)/properties", "properties"),
        ("GET", rf"{_API}/backends/(?P<device>[^/]+)/status", "status"),
        ("GET", rf"{_API}/instances/usage", "usage"),
        ("POST", rf"{_API}/jobs", "submit"),
        ("GET", rf"{_API}/jobs", "jobs"),
        ("GET", rf"{_API}/jobs/(?P<job_id>[^/]+)", "job"),
        ("DELETE", rf"{_API}/jobs/(?P<job_id>[^/]+)", "delete"),
        ("GET", rf"{_API}/jobs/(?P<job_id>[^/]+)/results", "results"),
        ("GET", rf"{_API}/jobs/(?P<job_id>[^/]+)/metrics", "metrics"),
        ("GET", rf"{_API}/jobs/(?P<job_id>[^/]+)/logs", "logs"),
        ("POST", rf"{_API}/jobs/(?P<job_id>[^/]+)/cancel", "cancel"),
        ("PUT", rf"{_API}/jobs/(?P<job_id>[^/]+)/tags", "tags"),
        ("POST", rf"{_API}/sessions", "open_session"),
        ("GET", rf"{_API}/sessions/(?P<session_id>[^/]+)", "session"),
        ("PATCH", rf"{_API}/sessions/(?P<session_id>[^/]+)", "close_session"),
        ("DELETE", rf"{_API}/sessions/(?P<session_id>[^/]+)/close", "cancel_session"),
        ("GET", r"/(?P<entry>[^/]+)", "catalog"),
    ]
)

ENDPOINTS = frozenset(endpoint for _, _, endpoint in _PATTERNS)
"""What can be asked for; the names under which faults are injected."""


def endpoint_of(method: str, path: str) -> tuple[str, Mapping[str, str]]:
    """What a request asks for, and what its path names; "unknown" for nothing known."""
    for known, pattern, endpoint in _PATTERNS:
        match = pattern.fullmatch(path)
        if known == method and match:
            return endpoint, match.groupdict()
    return "unknown", {}


class Routes:
    """Answers requests from the state of a cloud."""

    def __init__(self, cloud: Cloud, identity: Identity, poll_seconds: float) -> None:
        """Build the tables; see ``JobRoutes`` for ``poll_seconds``."""
        self._identity = identity
        self._public: Mapping[str, Callable[[Request], Answer]] = {
            "token": identity.token,
            "instances": identity.instances,
            "catalog": identity.catalog_entry,
        }
        self._private: Mapping[str, Callable[[Request], Answer]] = {
            **DeviceRoutes(cloud).table,
            **JobRoutes(cloud, poll_seconds).table,
            **SessionRoutes(cloud).table,
        }

    def answer(self, request: Request) -> Answer:
        """Do what is asked.

        Raises:
            Refusal: It is not allowed, or makes no sense.
        """
        if request.endpoint in self._public:
            return self._public[request.endpoint](request)
        if request.endpoint not in self._private:
            raise refuse(404, 1404, f"There is no {request.method} {request.path}.")
        self._identity.check(request)
        return self._private[request.endpoint](request)
