"""What is of use only in the process that made it."""

from __future__ import annotations

from typing import NoReturn, SupportsIndex

from efaas.errors import InputError

__all__ = ["Confined"]


class Confined:
    """Stands on threads and devices of its process; pickled or copied, it would not."""

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        """Refuse to be copied or sent to another process.

        Raises:
            InputError: Always.
        """
        raise InputError(
            f"a {type(self).__name__} works only in the process that made it, and can be neither "
            "pickled nor copied: open a session in the other process, use threads in this one, or "
            "have long simulations spread over processes with EFSession(executor=...)"
        )
