"""Requests and answers, apart from how they travel; and the service's refusals."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Answer", "LoggedRequest", "Refusal", "Request", "answer_of", "refuse"]

_MORE_INFO = "https://cloud.ibm.com/apidocs/quantum-computing#error-handling"


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it came in.

    Attributes:
        method: "GET", "POST", ...
        path: Without the query.
        query: Values of each name, in order.
        headers: By lower-case name.
        body: As sent.
        endpoint: What it asks for, such as "submit"; see ``ENDPOINTS``.
        names: What the path names: "job_id", "session_id", "device" or "entry".
    """

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: bytes
    endpoint: str
    names: Mapping[str, str] = field(default_factory=dict)

    def first(self, name: str) -> str | None:
        """The first value of a query's name, or None."""
        values = self.query.get(name)
        return values[0] if values else None

    def json(self) -> dict[str, Any]:
        """The body as a JSON object.

        Raises:
            Refusal: It is none.
        """
        try:
            value = json.loads(self.body)
        except ValueError as error:
            raise refuse(400, 1211, f"The request body is not valid JSON: {error}.") from error
        if not isinstance(value, dict):
            raise refuse(400, 1211, "The request body must be a JSON object.")
        return value


@dataclass(frozen=True, slots=True)
class LoggedRequest:
    """One line of the request log.

    Attributes:
        at: Instant of the service's clock.
        method: "GET", "POST", ...
        path: Without the query.
        endpoint: What it asked for.
        status: HTTP status of the answer, or None where none was sent.
        was_processed: Whether the service did what was asked before it answered, or failed to.
        injected: The fault that was injected, or "".
    """

    at: float
    method: str
    path: str
    endpoint: str
    status: int | None
    was_processed: bool
    injected: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer.

    Attributes:
        status: HTTP status.
        body: As sent.
        content_type: Of the body.
        headers: Further headers.
    """

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


class Refusal(Exception):  # noqa: N818 - an answer, raised to leave a route early
    """A request that the service turns down; carries the answer."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status, answer.body.decode())
        self.answer = answer


def answer_of(value: Any, status: int = 200) -> Answer:
    """The JSON answer of a value."""
    return Answer(status, json.dumps(value).encode())


def refuse(
    status: int,
    code: int,
    message: str,
    solution: str = "",
    headers: Mapping[str, str] | None = None,
) -> Refusal:
    """The refusal in the service's form, with its own code beside the HTTP status."""
    error = {"code": code, "message": message, "solution": solution, "more_info": _MORE_INFO}
    body = json.dumps({"errors": [error], "trace": "loopback"}, separators=(",", ":"))
    return Refusal(Answer(status, body.encode(), headers=dict(headers or {})))
