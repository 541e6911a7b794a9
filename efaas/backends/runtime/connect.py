"""From what a user names a device by to the vendor's backend object."""

from __future__ import annotations

import difflib
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from efaas.backends.runtime.faults import Redactor, error_of, fault_of
from efaas.backends.runtime.retry import Trouble
from efaas.backends.runtime.tokens import prompt_logins
from efaas.backends.runtime.transport import (
    ask_for_devices,
    close_connections,
    forget_configuration,
    limit_requests,
)
from efaas.backends.specs import fake_device
from efaas.errors import AccessError, EfaasError, InputError, UnavailableError, UnknownBackendError
from efaas.model.quantities import is_number

if TYPE_CHECKING:
    from qiskit.providers import BackendV2

    from efaas.backends.runtime.patience import Patience

__all__ = ["Connected", "TimeLimits", "connected", "described_devices"]

T = TypeVar("T")

_PASSING = (
    Trouble.CONNECTION,
    Trouble.TIMEOUT,
    Trouble.SERVER,
    Trouble.LIMITED,
    Trouble.GARBLED,
)


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """How long is waited for what, in seconds.

    Attributes:
        answer: For the answer to a request; the vendor's client waits for ever.
        submission: For the answer to the submission of a job.
        connection: For logging in.
        run: For a job that runs to end; it is cancelled then.
        queue: For a job to begin; None for as long as it takes. It is cancelled then.
        outage: For a device that is down to come back, before its jobs are cancelled.
    """

    answer: float = 30.0
    submission: float = 120.0
    connection: float = 120.0
    run: float = 4 * 3600.0
    queue: float | None = None
    outage: float = 1800.0

    def __post_init__(self) -> None:
        for name in ("answer", "submission", "connection", "run", "queue", "outage"):
            value = getattr(self, name)
            may_be_none = value is None and name == "queue"
            if not may_be_none and not (is_number(value) and value > 0):
                raise InputError(f"{name} of the time limits is more than 0; got {value!r}")


@dataclass(frozen=True, slots=True)
class Connected:
    """A device.

    Attributes:
        device: The vendor's backend object.
        is_local: Whether the client simulates it itself.
        logged_in: The ``QiskitRuntimeService`` that was logged in for it here, or None.
    """

    device: BackendV2
    is_local: bool
    logged_in: Any = None

    def disconnect(self) -> None:
        """Close the connections of what was logged in here."""
        if self.logged_in is not None:
            close_connections(self.logged_in)
            close_connections(self.device)


def connected(
    spec: Any,
    *,
    service: Any,
    instance: str | None,
    calibration_id: str | None,
    use_fractional_gates: bool,
    limits: TimeLimits,
    redactor: Redactor,
    patience: Patience,
) -> Connected:
    """The device that a specification means.

    Args:
        spec: The name of a device, or of a fake one; a backend object of the service, or a fake
            device.
        service: A ``QiskitRuntimeService``; None for the saved account.
        instance: Which of the account's instances; None for the service's choice.
        calibration_id: The calibration to pin it to; None for the latest.
        use_fractional_gates: Whether its fractional gates are used.
        limits: How long to wait.
        redactor: Is told of the account's secrets.
        patience: When a request that failed is made again.

    Raises:
        UnknownBackendError: The account has no device of that name.
        AccessError: There is no account, or the service does not let it in.
        UnavailableError: The service cannot be reached.
        InputError: Nothing that stands for a device.
    """
    from qiskit.providers import BackendV2
    from qiskit_ibm_runtime import IBMBackend

    if isinstance(spec, IBMBackend):
        if calibration_id is not None or use_fractional_gates or service is not None:
            raise InputError(
                f"{spec.name} is a backend object already: give service, calibration_id and "
                "use_fractional_gates to the service's backend(...), or pass its name"
            )
        _learn(spec.service, redactor)
        _limit(spec.service, spec, limits)
        return Connected(spec, is_local=False)
    if isinstance(spec, BackendV2):
        return Connected(spec, is_local=True)
    if not isinstance(spec, str):
        raise InputError(
            "expected the name of a device such as 'ibm_torino', a backend object of "
            f"QiskitRuntimeService, or a fake device; got {spec!r} ({type(spec).__name__})"
        )
    if spec.strip().lower().startswith("fake_"):
        return Connected(fake_device(spec), is_local=True)
    logged_in = None
    if service is None:
        service = logged_in = _logged_in(instance, limits, redactor, patience)
    _learn(service, redactor)
    _limit(service, None, limits)
    try:
        chosen: dict[str, Any] = {
            "instance": instance,
            "calibration_id": calibration_id,
            "use_fractional_gates": use_fractional_gates,
        }
        device = _found(service, spec, chosen, limits, redactor, patience)
    except BaseException:
        if logged_in is not None:
            close_connections(logged_in)
        raise
    _limit(service, device, limits)
    return Connected(device, is_local=False, logged_in=logged_in)


def described_devices(
    describe: Callable[[Any], T], *, limits: TimeLimits, redactor: Redactor, patience: Patience
) -> Iterator[T]:
    """What is to be said of each device that the saved account may use, by name.

    Args:
        describe: Is given the vendor's backend object, and may ask the service through it.
        limits: How long to wait.
        redactor: Is told of the account's secrets.
        patience: When a request that failed is made again.

    Raises:
        AccessError: There is no account, or the service does not let it in.
        UnavailableError: The service cannot be reached.
    """
    service = _logged_in(None, limits, redactor, patience)
    try:
        _learn(service, redactor)
        _limit(service, None, limits)
        doing = "listing devices"
        devices = _asked(service.backends, doing, limits, redactor, patience)
        for device in sorted(devices, key=lambda device: str(device.name)):
            _limit(service, device, limits)
            try:
                yield _asked(partial(describe, device), doing, limits, redactor, patience)
            finally:
                close_connections(device)
    finally:
        close_connections(service)


def _logged_in(
    instance: str | None, limits: TimeLimits, redactor: Redactor, patience: Patience
) -> Any:
    from qiskit_ibm_runtime import QiskitRuntimeService

    def log_in() -> Any:
        return _bounded(lambda: QiskitRuntimeService(instance=instance), limits.connection)

    try:
        with prompt_logins(limits.answer):
            return patience.asked(log_in, "logging in to IBM Quantum", redactor)
    except Exception as raised:
        fault = fault_of(raised, redactor)
        how = (
            "save one once, with an API key from https://quantum.cloud.ibm.com: "
            "QiskitRuntimeService.save_account(token=..., overwrite=True, set_as_default=True)"
        )
        if isinstance(raised, UnavailableError):
            failure: Exception = raised
        elif type(raised).__name__ == "AccountNotFoundError":
            failure = AccessError(f"no account of IBM Quantum is saved here; {how}")
        elif type(raised).__name__ == "InvalidAccountError" and fault.trouble not in _PASSING:
            failure = AccessError(
                f"IBM Quantum does not take the account that is saved; {how}. It said: "
                f"{fault.message}",
                status=fault.status,
            )
        else:
            failure = error_of(fault, "logging in to IBM Quantum")
    raise failure


def _found(
    service: Any,
    name: str,
    chosen: dict[str, Any],
    limits: TimeLimits,
    redactor: Redactor,
    patience: Patience,
) -> Any:
    def find() -> Any:
        try:
            return service.backend(name, **chosen)
        except Exception as raised:
            if type(raised).__name__ != "QiskitBackendNotFoundError":
                raise
            known = sorted(backend.name for backend in service.backends())
            if known and name not in known:
                raise _unknown(name, known) from None
            # The client says so, too, where it could not read the list, or the configuration.
            forget_configuration(service, name)
            ask_for_devices(service, name)
            raise ConnectionError("the service lists no devices") from None

    return _asked(find, f"looking for {name}", limits, redactor, patience)


def _asked(
    request: Callable[[], T], doing: str, limits: TimeLimits, redactor: Redactor, patience: Patience
) -> T:
    """The answer to a request, made again where that helps; what goes wrong in our words."""
    try:
        return patience.asked(lambda: _bounded(request, limits.connection), doing, redactor)
    except EfaasError:
        raise
    except Exception as raised:
        failure = error_of(fault_of(raised, redactor), doing)
    raise failure


def _unknown(name: str, known: Sequence[str]) -> UnknownBackendError:
    close = difflib.get_close_matches(name.lower(), known, n=3, cutoff=0.5)
    hint = f"; did you mean {' or '.join(map(repr, close))}?" if close else ""
    return UnknownBackendError(
        f"this account has no device {name!r}{hint or '.'} It may use {', '.join(known)}. Which "
        "devices there are depends on the instance",
        name=name,
        close_matches=close,
    )


def _learn(service: Any, redactor: Redactor) -> None:
    """Have the account's secrets taken out of all text."""
    try:
        account = service.active_account() or {}
    except Exception:  # a service that does not show its account holds nothing to hide
        return
    redactor.learn(account.get("token"))
    proxies = account.get("proxies") or {}
    if isinstance(proxies, dict):
        redactor.learn(proxies.get("password_ntlm"))


def _limit(service: Any, device: Any, limits: TimeLimits) -> None:
    for owner in (service, device):
        if owner is not None:
            limit_requests(owner, read_seconds=limits.answer, submit_seconds=limits.submission)


def _bounded(act: Callable[[], T], seconds: float) -> T:
    """The result of something that may hang: its own requests have no time limit yet."""
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(act())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, name="efaas-connect", daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not results:
        raise UnavailableError(f"IBM Quantum did not answer within {seconds:g} s")
    return results[0]
