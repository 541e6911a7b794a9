"""Every error that efaas raises on purpose.

The tree::

    EfaasError
    ├── InputError(ValueError)            what was passed in cannot be used
    │   ├── UnknownBackendError           no backend of that name
    │   ├── CircuitError                  the circuit cannot run on any backend here
    │   │   ├── CircuitTooWideError       more qubits than every device has
    │   │   ├── UnsupportedGateError      a gate that the device cannot run
    │   │   ├── MeasurementError          measurements missing, or where none may be
    │   │   └── ResourceLimitError        does not fit into the memory of this machine
    │   ├── ParameterError                values of the wrong length, NaN, infinite, unbound
    │   ├── ObservableError               wrong width, complex coefficients
    │   ├── ShotsError                    shots or precision out of range
    │   ├── GradientError                 the parameter-shift rule does not apply to a gate
    │   ├── OptimizerError                unknown method, contradictory arguments
    │   └── UnknownOptionError(AttributeError)  an option that primitives of a session do not have
    ├── BackendError(RuntimeError)        a backend cannot be asked
    ├── ClosedError(RuntimeError)         the session or scheduler is closed
    ├── DeadlockError(RuntimeError)       waiting here could never end
    ├── JobFailedError(RuntimeError)      every attempt of a job failed
    ├── JournalError(RuntimeError)        a journal cannot be used
    │   ├── JournalHeldError              another process or session writes to it
    │   ├── JournalMismatchError          of another program, version or problem
    │   ├── JournalDamagedError           its contents are not what was written
    │   └── JournalWriteError(OSError)    it cannot be read or written: disk full, no such directory
    ├── BudgetError(RuntimeError)         submitting would pass the budget
    ├── ProviderError(RuntimeError)       a vendor's service did not do what was asked
    │   ├── AccessError                   it does not let this account in
    │   ├── UnavailableError              it cannot be reached, or a device is down, for too long
    │   ├── ProviderJobError              a job failed there, was cancelled there, or does not end
    │   └── ProviderSessionError          a provider session ended, or may not be opened
    ├── MissingPackageError(ImportError)  an optional package is not installed
    └── InvariantError(AssertionError)    a bug in efaas itself; please report it

Waiting for a cancelled job raises ``concurrent.futures.CancelledError``, as the
standard library's futures do; ``BranchRolledBack`` is its subclass for a step
that goes on submitting after its speculative branch was rolled back.
"""

from __future__ import annotations

from concurrent.futures import CancelledError
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from efaas.model.job import AttemptRecord

__all__ = [
    "AccessError",
    "BackendError",
    "BranchRolledBack",
    "BudgetError",
    "CircuitError",
    "CircuitTooWideError",
    "ClosedError",
    "DeadlockError",
    "EfaasError",
    "GradientError",
    "InputError",
    "InvariantError",
    "JobFailedError",
    "JournalDamagedError",
    "JournalError",
    "JournalHeldError",
    "JournalMismatchError",
    "JournalWriteError",
    "MeasurementError",
    "MissingPackageError",
    "ObservableError",
    "OptimizerError",
    "ParameterError",
    "ProviderError",
    "ProviderJobError",
    "ProviderSessionError",
    "ResourceLimitError",
    "ShotsError",
    "UnavailableError",
    "UnknownBackendError",
    "UnknownOptionError",
    "UnsupportedGateError",
]


class EfaasError(Exception):
    """Base of every error that efaas raises on purpose."""


class InputError(EfaasError, ValueError):
    """Something passed in cannot be used; the message says what was expected."""


class UnknownBackendError(InputError):
    """No backend of that name.

    Attributes:
        name: What was asked for.
        close_matches: Known names that resemble it, best first.
    """

    def __init__(self, message: str, *, name: str, close_matches: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.name = name
        self.close_matches = tuple(close_matches)


class CircuitError(InputError):
    """The circuit cannot run on any of the backends at hand."""


class CircuitTooWideError(CircuitError):
    """The circuit has more qubits than the widest backend.

    Attributes:
        num_qubits: The circuit's width.
        available: The widest backend's number of qubits.
    """

    def __init__(self, message: str, *, num_qubits: int, available: int) -> None:
        super().__init__(message)
        self.num_qubits = num_qubits
        self.available = available


class UnsupportedGateError(CircuitError):
    """The circuit holds a gate that the device cannot run.

    Attributes:
        gate: The gate's name, where it is known.
    """

    def __init__(self, message: str, *, gate: str | None = None) -> None:
        super().__init__(message)
        self.gate = gate


class MeasurementError(CircuitError):
    """A sampled circuit measures nothing, or an estimated one ends in measurements."""


class ResourceLimitError(CircuitError):
    """Simulating the circuit would not fit into the memory of this machine."""


class ParameterError(InputError):
    """Parameter values of the wrong shape, not finite, or missing."""


class ObservableError(InputError):
    """An observable of the wrong width or with complex coefficients."""


class ShotsError(InputError):
    """A number of shots or a precision outside its range."""


class GradientError(InputError):
    """The two-term parameter-shift rule does not hold for a gate.

    Attributes:
        gate: The gate's name.
    """

    def __init__(self, message: str, *, gate: str | None = None) -> None:
        super().__init__(message)
        self.gate = gate


class OptimizerError(InputError):
    """An unknown method, or arguments that contradict each other."""


class UnknownOptionError(InputError, AttributeError):
    """An option that primitives of a session do not have; the message says where it belongs."""


class BackendError(EfaasError, RuntimeError):
    """A backend cannot be asked for its calibration or a circuit's form; ``__cause__`` is why.

    Attributes:
        backend: Its name.
    """

    def __init__(self, message: str, *, backend: str) -> None:
        super().__init__(message)
        self.backend = backend


class ClosedError(EfaasError, RuntimeError):
    """The session or scheduler was closed before this call."""


class DeadlockError(EfaasError, RuntimeError):
    """Waiting at this place could never end, so the wait is refused."""


class JobFailedError(EfaasError, RuntimeError):
    """Every attempt of a job failed; ``__cause__`` is the last attempt's error.

    Attributes:
        job_id: The job.
        attempts: One record per attempt, in order.
    """

    def __init__(self, message: str, *, job_id: int, attempts: Sequence[AttemptRecord]) -> None:
        super().__init__(message)
        self.job_id = job_id
        self.attempts = tuple(attempts)


class JournalError(EfaasError, RuntimeError):
    """A journal cannot be used; nothing in it was changed.

    Attributes:
        path: The journal's file.
    """

    def __init__(self, message: str, *, path: str) -> None:
        super().__init__(message)
        self.path = path


class JournalHeldError(JournalError):
    """Another process, or another session of this one, writes to the journal.

    Attributes:
        holder: Who, in words, where that is known.
    """

    def __init__(self, message: str, *, path: str, holder: str = "") -> None:
        super().__init__(message, path=path)
        self.holder = holder


class JournalMismatchError(JournalError):
    """The journal is of another program, version or problem.

    Attributes:
        what: What differs: "format", "rules", "seed", "backends" or "problem".
        recorded: What the journal says.
        present: What is the case now.
    """

    def __init__(
        self, message: str, *, path: str, what: str, recorded: str = "", present: str = ""
    ) -> None:
        super().__init__(message, path=path)
        self.what = what
        self.recorded = recorded
        self.present = present


class JournalDamagedError(JournalError):
    """What the journal holds is not what was written to it."""


class JournalWriteError(JournalError, OSError):
    """It cannot be opened, read or written: no such directory, no permission, disk full."""


class BudgetError(EfaasError, RuntimeError):
    """Submitting would pass the budget, so nothing was submitted.

    Attributes:
        limit: The field of ``efaas.Budget`` that would be passed.
        allowed: Its value.
        spent: What is spent or reserved of it.
        needed: What the job was expected to take of it.
    """

    def __init__(
        self, message: str, *, limit: str, allowed: float, spent: float, needed: float
    ) -> None:
        super().__init__(message)
        self.limit = limit
        self.allowed = allowed
        self.spent = spent
        self.needed = needed


class ProviderError(EfaasError, RuntimeError):
    """A vendor's service did not do what was asked, and asking again is of no use.

    Attributes:
        status: The HTTP status of its answer, where there was one.
        job_id: The provider's job, where it is about one: its result can still be fetched by that.
        is_in_doubt: Whether the service may have done it all the same.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        job_id: str | None = None,
        is_in_doubt: bool = False,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.job_id = job_id
        self.is_in_doubt = is_in_doubt


class AccessError(ProviderError):
    """The service does not let this account in, or not do this."""


class UnavailableError(ProviderError):
    """The service cannot be reached, or a device is down, for longer than was to be waited."""


class ProviderJobError(ProviderError):
    """A job failed at the provider, was cancelled there, or does not end."""


class ProviderSessionError(ProviderError):
    """A provider session ended and no other was to be opened, or none may be opened."""


class MissingPackageError(EfaasError, ImportError):
    """Something needs an optional package that is not installed.

    Attributes:
        package: The package.
    """

    def __init__(self, what: str, *, package: str, extra: str | None = None) -> None:
        """Say what needs it, and how to install it.

        Args:
            what: What needs it.
            package: The package.
            extra: The extra of efaas that brings it, or None.
        """
        wanted = f"efaas[{extra}]" if extra else package
        super().__init__(
            f"{what} needs {package}, which is not installed: pip install '{wanted}'", name=package
        )
        self.package = package


class InvariantError(EfaasError, AssertionError):
    """The scheduler's bookkeeping is inconsistent: a bug in efaas."""


class BranchRolledBack(EfaasError, CancelledError):  # noqa: N818 - it is no failure
    """A step submitted work from a speculative branch that was rolled back."""
