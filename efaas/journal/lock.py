"""One writer at a time: a lock that ends with its process, and says who holds it."""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

from efaas.errors import JournalError, JournalHeldError, JournalWriteError

try:
    import fcntl
except ImportError:  # no POSIX system: everything but journals works there
    fcntl = None  # type: ignore[assignment]

__all__ = ["WriterLock"]

_in_this_process: set[Path] = set()
# Re-entrant: a garbage collection inside may close a session that nobody refers to.
_guard = threading.RLock()


def _forget_in_child() -> None:
    """What the parent holds, a forked child does not."""
    global _guard
    _in_this_process.clear()
    _guard = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)


class WriterLock:
    """Held from construction until ``release``, or until the process ends in whatever way.

    A POSIX record lock on a file beside the journal. It is not inherited by forked processes, so
    a child that outlives its parent does not keep the journal. It does not tell two holders in
    one process apart; a set of paths does that.
    """

    def __init__(self, journal: Path) -> None:
        """Take it.

        Raises:
            JournalHeldError: Somebody else holds it.
            JournalWriteError: The lock file cannot be written.
            JournalError: This system has no locks that end with their process.
        """
        if fcntl is None:
            raise JournalError(
                f"the journal {journal} needs POSIX file locks, which this system has not; leave "
                "journal out here",
                path=str(journal),
            )
        self._journal = journal
        self._path = journal.with_name(journal.name + "-lock")
        self._pid = os.getpid()
        with _guard:
            if journal in _in_this_process:
                raise _held(journal, f"another session of this process (pid {self._pid})")
            self._descriptor: int | None = self._taken()
            _in_this_process.add(journal)

    def release(self) -> None:
        """Let others have it. It may be called twice, and in a forked child it does nothing."""
        with _guard:
            descriptor, self._descriptor = self._descriptor, None
            if descriptor is None or os.getpid() != self._pid:
                return
            _in_this_process.discard(self._journal)
            with suppress(OSError):
                os.unlink(self._path)
            os.close(descriptor)

    def _taken(self) -> int:
        while True:
            try:
                descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            except OSError as error:
                raise JournalWriteError(
                    f"the journal {self._journal} cannot be written: {error.strerror} "
                    f"({self._path.name}); its directory has to exist and be writable, or open "
                    "it with mode='read'",
                    path=str(self._journal),
                ) from error
            try:
                fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                holder = _described(descriptor)
                os.close(descriptor)
                raise _held(self._journal, holder) from None
            if self._is_current(descriptor):
                self._sign(descriptor)
                return descriptor
            os.close(descriptor)  # its holder removed it between our two calls

    def _is_current(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(os.fstat(descriptor), os.stat(self._path))
        except FileNotFoundError:
            return False

    def _sign(self, descriptor: int) -> None:
        text = json.dumps(
            {
                "pid": os.getpid(),
                "host": socket.gethostname(),
                "program": Path(sys.argv[0] or "python").name,
                "since": time.strftime("%Y-%m-%d %H:%M:%S"),
            }
        ).encode()
        with suppress(OSError):  # on a full disk it holds all the same, without a name
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, text, 0)


def _held(journal: Path, holder: str) -> JournalHeldError:
    return JournalHeldError(
        f"the journal {journal} is in use by {holder}; wait for it to end, give another file, or "
        "open it with mode='read'",
        path=str(journal),
        holder=holder,
    )


def _described(descriptor: int) -> str:
    """Who has signed."""
    try:
        signed = json.loads(os.pread(descriptor, 4096, 0))
        return (
            f"{signed['program']} (pid {signed['pid']} on {signed['host']}, since "
            f"{signed['since']})"
        )
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
