"""From what the vendor's client raises to a fault, and to an error of ours, without secrets.

The client wraps an HTTP error in two or three of its own and drops the status on the way; it is
still there in the chain of causes.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from efaas.backends.runtime.retry import Fault, Trouble
from efaas.errors import AccessError, ProviderError, UnavailableError

__all__ = ["Redactor", "error_of", "fault_of"]

_MOST_CHARACTERS = 600
_BEARER = re.compile(r"(?i)\b(bearer|apikey|authorization)\b([\s:=\"']+)[^\s\"',;}]+")
_JSON_WEB_TOKEN = re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]*")
_STATUS = re.compile(r"\b([45]\d\d) (?:Client|Server) Error\b")
_LIMITED = (408, 425, 429)


class Redactor:
    """Takes secrets out of text: those that it was told of, and whatever looks like a token."""

    def __init__(self) -> None:
        self._secrets: set[str] = set()
        self._lock = threading.Lock()

    def learn(self, secret: object) -> None:
        """Never let this through."""
        if isinstance(secret, str) and len(secret) >= 4:
            with self._lock:
                self._secrets.add(secret)

    def clean(self, text: object) -> str:
        """The text without secrets, and not too long."""
        cleaned = str(text)
        with self._lock:
            secrets = sorted(self._secrets, key=len, reverse=True)
        for secret in secrets:
            cleaned = cleaned.replace(secret, "[secret]")
        cleaned = _JSON_WEB_TOKEN.sub("[secret]", cleaned)
        cleaned = _BEARER.sub(r"\1\2[secret]", cleaned)
        if len(cleaned) > _MOST_CHARACTERS:
            cleaned = f"{cleaned[:_MOST_CHARACTERS]} ..."
        return cleaned

    def __repr__(self) -> str:
        return f"<Redactor of {len(self._secrets)} secrets>"


def fault_of(error: BaseException, redactor: Redactor, *, now: datetime | None = None) -> Fault:
    """What went wrong.

    Args:
        error: What the client raised.
        redactor: Knows the secrets.
        now: What a Retry-After that is a date counts from; by default the present.
    """
    message = redactor.clean(f"{type(error).__name__}: {error}")
    status, retry_after = None, None
    for link in _chain(error):
        response = getattr(link, "response", None)
        if response is not None and getattr(response, "status_code", None):
            status = int(response.status_code)
            retry_after = _seconds(response.headers.get("Retry-After"), now)
            break
        code = getattr(link, "status_code", None)
        if isinstance(code, int) and code > 0:
            status = code
    if status is None:
        found = _STATUS.search(str(error))
        status = int(found[1]) if found else None
    return Fault(_trouble(error, status), message, status, retry_after)


def error_of(fault: Fault, doing: str, *, job_id: str | None = None) -> ProviderError:
    """The error to raise when a fault is not to pass.

    Args:
        fault: The last failure.
        doing: What was being done, as in "submitting a job to ibm_torino".
        job_id: The provider's job, where it is about one.
    """
    about = f"; the provider's job is {job_id}" if job_id else ""
    if fault.trouble is Trouble.ACCESS:
        advice = (
            "the API key or token is wrong, expired, or of another account: save a new one with "
            "QiskitRuntimeService.save_account(..., overwrite=True)"
            if fault.status == 401
            else "the account may not do this: look at its plan and at the instance that is used"
        )
        return AccessError(
            f"the service refused access ({fault.status}) while {doing}: {advice}. It said: "
            f"{fault.message}",
            status=fault.status,
            job_id=job_id,
        )
    if fault.trouble.may_pass and fault.trouble not in (Trouble.NOT_FOUND, Trouble.CONFLICT):
        return UnavailableError(
            f"the service could not be reached while {doing}, however often it was tried{about}. "
            f"The last failure: {fault.message}",
            status=fault.status,
            job_id=job_id,
        )
    return ProviderError(
        f"the service refused, while {doing}{about}: {fault.message}",
        status=fault.status,
        job_id=job_id,
    )


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what it came from, also where that is not to be shown."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _trouble(error: BaseException, status: int | None) -> Trouble:
    names = {name for link in _chain(error) for name in _type_names(link)}
    if status in (401, 403) or "IBMNotAuthorizedError" in names:
        return Trouble.ACCESS
    if status == 404:
        return Trouble.NOT_FOUND
    if status == 409:
        return Trouble.CONFLICT
    if status in _LIMITED:
        return Trouble.LIMITED
    if status is not None and 400 <= status < 500:
        return Trouble.REFUSED
    if status is not None and status >= 500:
        return Trouble.SERVER
    if names & {"ReadTimeout", "ConnectTimeout", "Timeout", "ReadTimeoutError", "TimeoutError"}:
        return Trouble.TIMEOUT
    if names & {"ConnectionError", "ChunkedEncodingError", "ProtocolError", "OSError"}:
        # A JSON error of requests is an OSError, too, but an answer had come.
        return Trouble.GARBLED if "JSONDecodeError" in names else Trouble.CONNECTION
    if "QiskitBackendNotFoundError" in names:  # it is found anew for each job, and was there before
        return Trouble.GARBLED
    if names & {"IBMInputValueError", "ValidationError"}:
        return Trouble.CLIENT
    if "PyJWTError" in names:  # of an access token
        return Trouble.GARBLED
    if isinstance(error, TypeError | KeyError | ValueError | LookupError | AttributeError):
        return Trouble.GARBLED
    if "RequestsApiError" in names:
        return Trouble.CONNECTION
    return Trouble.REFUSED


def _type_names(error: BaseException) -> list[str]:
    return [kind.__name__ for kind in type(error).__mro__]


def _seconds(retry_after: Any, now: datetime | None) -> float | None:
    """A Retry-After header in seconds: it is a number, or a date."""
    if retry_after is None:
        return None
    try:
        return max(0.0, float(retry_after))
    except ValueError:
        pass
    try:
        then = parsedate_to_datetime(retry_after)
    except (TypeError, ValueError):
        return None
    then = then if then.tzinfo else then.replace(tzinfo=UTC)
    return max(0.0, (then - (now or datetime.now(UTC))).total_seconds())
