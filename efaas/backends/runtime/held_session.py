"""The provider session that is open, closed even where its owner is gone."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any

from efaas.errors import ProviderError

if TYPE_CHECKING:
    from efaas.backends.runtime.client import RuntimeClient

__all__ = ["HeldSession", "close_held"]

logger = logging.getLogger("efaas.backends.runtime")


class HeldSession:
    """The open provider session, so that it can be closed when its owner is gone.

    Attributes:
        client: Asks the service.
        session: The vendor's session object; None if none is open.
    """

    def __init__(self, client: RuntimeClient, session: Any = None) -> None:
        self.client = client
        self.session = session
        self._pid = os.getpid()

    def close(self, *, drop_jobs: bool) -> str | None:
        """Close it; what went wrong, if anything did."""
        session, self.session = self.session, None
        if session is None or os.getpid() != self._pid:  # a fork leaves it to its parent
            return None
        try:
            self.client.close_session(session, drop_jobs=drop_jobs)
        except ProviderError as error:
            if error.status in (404, 409):  # it was closed already
                return None
            return (
                f"the provider session {getattr(session, 'session_id', None)} could not be closed, "
                f"and may be billed until it has been idle for long enough: {error}"
            )
        return None


def close_held(held: HeldSession) -> None:
    """Close what is left open by a backend that was forgotten, or at the interpreter's exit."""
    failure = held.close(drop_jobs=True)
    if failure is not None:
        logger.warning("%s", failure)
