"""The client's HTTP sessions, given time limits, and no retries behind our back.

The client waits for ever for an answer, and sends a job up to five times by itself where a server
says 5xx, although the first may have been accepted. Both are set on the ``requests`` session that
it keeps, which is not part of its documented interface: where it has moved, that is said, and
the rest still works.
"""

from __future__ import annotations

import json
import logging
from typing import Any
from urllib.parse import urlsplit

from requests.adapters import HTTPAdapter
from requests.exceptions import ContentDecodingError

from efaas.backends.runtime.tokens import prompted

__all__ = ["ask_for_devices", "close_connections", "forget_configuration", "limit_requests"]

logger = logging.getLogger("efaas.backends.runtime")

_CONNECT_SECONDS = 10.0


class _LimitedAdapter(HTTPAdapter):
    """Sends a request once, and waits for its answer for a limited time."""

    def __init__(self, read_seconds: float, submit_seconds: float) -> None:
        super().__init__(max_retries=0)
        self._read_seconds = read_seconds
        self._submit_seconds = submit_seconds

    def send(self, request: Any, *args: Any, **options: Any) -> Any:
        """Send it; for the arguments see ``requests``."""
        is_submission = request.method == "POST" and request.url.rstrip("/").endswith("/jobs")
        seconds = self._submit_seconds if is_submission else self._read_seconds
        options["timeout"] = (_CONNECT_SECONDS, seconds)
        response = super().send(request, *args, **options)
        if request.method == "GET" and urlsplit(request.url).path.rstrip("/").endswith("/jobs"):
            _require_list_of_jobs(response)
        return response


def _require_list_of_jobs(response: Any) -> None:
    """See that a list of jobs is one: the client takes any other object for an empty list.

    Raises:
        ContentDecodingError: It is none, so it is not known which jobs there are.
    """
    if response.status_code != 200:
        return
    try:
        found = json.loads(response.content)
    except ValueError:
        return  # the client says so itself
    if not isinstance(found, dict) or not isinstance(found.get("jobs"), list):
        raise ContentDecodingError("the service's list of jobs cannot be read")


def limit_requests(owner: Any, *, read_seconds: float, submit_seconds: float) -> bool:
    """Give the HTTP sessions of a service or a backend time limits.

    Args:
        owner: A ``QiskitRuntimeService`` or one of its backends.
        read_seconds: Longest silence while an answer is waited for, that of the identity service
            too.
        submit_seconds: The same for the submission of a job.

    Returns:
        Whether any was found.
    """
    sessions = [session for session in map(_session_of, _clients_of(owner)) if session is not None]
    for session in sessions:
        adapter = _LimitedAdapter(read_seconds, submit_seconds)
        session.mount("https://", adapter)
        session.mount("http://", adapter)
        prompted(getattr(getattr(session, "auth", None), "tm", None), read_seconds)
    if not sessions:
        logger.warning(
            "this version of qiskit-ibm-runtime keeps its HTTP sessions elsewhere: requests have "
            "no time limit"
        )
    return bool(sessions)


def close_connections(owner: Any) -> None:
    """Close the idle connections of a service's HTTP sessions; a later request opens another.

    Args:
        owner: A ``QiskitRuntimeService`` or one of its backends.
    """
    for session in map(_session_of, _clients_of(owner)):
        if session is not None:
            session.close()


def forget_configuration(service: Any, device: str) -> None:
    """Have a device's configuration asked for again: the client keeps one that it cannot read, too.

    Args:
        service: A ``QiskitRuntimeService``.
        device: The name.
    """
    kept = [getattr(service, "_backend_configs", None)]
    kept += [getattr(client, "_configuration_registry", None) for client in _clients_of(service)]
    for configurations in kept:
        if isinstance(configurations, dict):
            configurations.pop(device, None)


def ask_for_devices(service: Any, device: str) -> None:
    """Ask for the list of devices and a device's description; the client swallows why it cannot.

    Args:
        service: A ``QiskitRuntimeService``.
        device: The name.

    Raises:
        Exception: What the client raises where the service refuses, or cannot be reached.
    """
    for client in _clients_of(service):
        for name, arguments in (("list_backends", ()), ("backend_configuration", (device, True))):
            request = getattr(client, name, None)
            if callable(request):
                request(*arguments)


def _clients_of(owner: Any) -> list[Any]:
    held = getattr(owner, "__dict__", {})  # a device fetches its properties for any other attribute
    clients = [held.get("_api_client"), held.get("_active_api_client")]
    by_instance = held.get("_api_clients")
    if isinstance(by_instance, dict):
        clients.extend(by_instance.values())
    return list({id(client): client for client in clients if client is not None}.values())


def _session_of(client: Any) -> Any:
    session = getattr(client, "_session", None)
    return session if callable(getattr(session, "mount", None)) else None
