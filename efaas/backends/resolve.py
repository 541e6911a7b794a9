"""From what a user passes as a backend to a ``Backend``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from efaas.backends.aer import AerBackend
from efaas.backends.protocol import Backend

if TYPE_CHECKING:
    from concurrent.futures import Executor

__all__ = ["resolve_backend"]


def resolve_backend(spec: Any, *, executor: Executor | None = None) -> Backend:
    """The backend that a specification means; a ``Backend`` is returned as it is.

    Args:
        spec: A fake device's name, "aer", an ``AerSimulator``, a ``BackendV2`` with a target, or
            anything that is a ``Backend`` already.
        executor: Where the long runs of a backend that is made here go.

    Raises:
        UnknownBackendError: There is no backend of that name.
        InputError: Nothing that stands for a backend.

    Example:
        >>> resolve_backend("aer").calibration().id
        'ideal'
    """
    if not isinstance(spec, (str, type)) and isinstance(spec, Backend):
        return spec
    return AerBackend(spec, executor=executor)
