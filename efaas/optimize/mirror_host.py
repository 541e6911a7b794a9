"""This process's end of the helper process: started when first needed, gone when we are."""

from __future__ import annotations

import atexit
import json
import os
import socket
import subprocess
import sys
import threading

from efaas.optimize.mirror_channel import Channel
from efaas.optimize.mirror_server import END, FORK

__all__ = ["MirrorHost", "can_mirror", "mirror_host", "stop_mirror_host"]

_BOOTSTRAP = """\
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from efaas.optimize.mirror_server import serve
serve(int(sys.argv[2]), int(sys.argv[3]))
"""

_STOP_SECONDS = 5.0
"""How long a server may take to see that it is no longer needed, before it is killed."""


class MirrorHost:
    """A server process that forks mirrors. Its methods may be called from any thread."""

    def __init__(self) -> None:
        """Launch the server; it needs some half a second to import scipy, for which nobody waits.

        Raises:
            OSError: The process cannot be started.
        """
        self._lock = threading.Lock()
        self._next_number = 0
        self._control, theirs = socket.socketpair()
        # Isolated, as PYTHON* variables were obeyed in this process and what came of them is in
        # sys.path. The rest of the environment is kept: with another number of BLAS threads an
        # optimizer takes other steps.
        command = [sys.executable, "-I", "-c", _BOOTSTRAP, json.dumps(_absolute_path())]
        try:
            self._process = subprocess.Popen(
                [*command, str(theirs.fileno()), str(os.getpid())],
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # out of reach of the terminal's Ctrl-C
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
            )
        except BaseException:
            self._control.close()
            raise
        finally:
            theirs.close()
        self._control.setblocking(False)

    @property
    def pid(self) -> int:
        """The server's process id."""
        return self._process.pid

    def is_running(self) -> bool:
        """Whether the server has not ended."""
        return self._process.poll() is None

    def open(self) -> tuple[int, Channel]:
        """A new mirror's number, and the channel to it.

        Raises:
            OSError: The server has ended, or takes no orders.
        """
        ours, theirs = socket.socketpair()
        try:
            with self._lock:
                number = self._next_number
                self._next_number += 1
                socket.send_fds(self._control, [_order(FORK, number)], [theirs.fileno()])
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        return number, Channel(ours)

    def end(self, number: int) -> None:
        """Kill a mirror, if it still runs.

        Raises:
            OSError: The server has ended, or takes no orders.
        """
        with self._lock:
            self._control.send(_order(END, number))

    def stop(self) -> None:
        """End the server and its mirrors, and wait for it. It may be called twice."""
        self._control.close()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def disown(self) -> None:
        """In a fork of this process: it is the original's server, not ours."""
        self._control.close()
        self._process.returncode = 0


def can_mirror() -> bool:
    """Whether this system and this interpreter can have mirrors."""
    is_python = bool(sys.executable) and not getattr(sys, "frozen", False)
    return hasattr(os, "fork") and hasattr(socket, "send_fds") and is_python


_lock = threading.Lock()
_host: MirrorHost | None = None


def mirror_host() -> MirrorHost:
    """This process's server, launched if there is none that lives.

    Raises:
        OSError: It cannot be started.
    """
    global _host
    with _lock:
        if _host is not None and not _host.is_running():
            _host.stop()
            _host = None
        if _host is None:
            _host = MirrorHost()
        return _host


def stop_mirror_host() -> None:
    """End this process's server, if there is one; the next mirror launches another."""
    global _host
    with _lock:
        if _host is not None:
            _host.stop()
        _host = None


def _forget_host() -> None:
    global _lock, _host
    _lock = threading.Lock()
    if _host is not None:
        _host.disown()
    _host = None


atexit.register(stop_mirror_host)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_host)


def _order(what: bytes, number: int) -> bytes:
    return what + number.to_bytes(8, "little")


def _absolute_path() -> list[str]:
    """``sys.path`` as seen from another directory."""
    return [os.path.abspath(entry) for entry in sys.path]
