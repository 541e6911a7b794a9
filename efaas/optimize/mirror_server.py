"""The helper process: it forks mirrors, which fork at their pending ask.

Nothing here runs in the user's process. The server imports numpy and scipy once and forks a
mirror for each run of an optimizer. A mirror runs the optimizer on the real answers and stops
where they end. To learn what the optimizer would ask for next, it forks a child for every
answerer; the child goes on with made-up answers and ends. No process here has threads of ours,
prints, or reads anything but its socket.
"""

from __future__ import annotations

import gc
import os
import pickle
import select
import signal
import socket
import time
import warnings
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import scipy.optimize  # so that no mirror has to import it

from efaas.optimize.asks import Ask, EndOfPath
from efaas.optimize.mirror_channel import Channel
from efaas.optimize.path_cost import PathCost
from efaas.optimize.rehearsal import UNKNOWN, Rehearsal, difference

if TYPE_CHECKING:
    from efaas.optimize.asks import Answerer, AskKey

__all__ = ["END", "FORK", "ORDER_BYTES", "serve"]

FORK = b"f"
"""To the server, with a socket: fork a mirror that talks through it."""

END = b"e"
"""To the server: kill that mirror, whatever it does."""

ORDER_BYTES = 9
"""An order to the server: what to do, and a mirror's number in eight bytes."""

_GLANCE_SECONDS = 2.0
"""How often it looks whether its parent lives. The end of the socket says so at once, unless a
fork of the parent has kept that open."""

_UNMEASURED_SECONDS = 2e-3
"""What a fork takes at least."""

_SIDE_BY_SIDE = 2
"""Children at a time: the real run is waiting meanwhile, so it needs no core."""

_SLOWER = 1.5
"""What a child that was late would have taken at least, over the time it was given."""

_WHOLE = b"\nwhole"
"""What a child writes last, as it may be killed while it writes."""


def serve(control_fd: int, parent: int) -> NoReturn:
    """Fork mirrors on demand until the parent is gone, then end with all of them.

    Args:
        control_fd: The socket that orders come through.
        parent: The process id of the parent.
    """
    assert scipy.optimize is not None
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    gc.collect()
    gc.freeze()  # collections in forks would copy every page that they look at
    mirrors: dict[int, int] = {}

    def reap(*_: object) -> None:
        for number, pid in list(mirrors.items()):
            if os.waitpid(pid, os.WNOHANG)[0]:
                del mirrors[number]

    signal.signal(signal.SIGCHLD, reap)
    control = socket.socket(fileno=control_fd)
    poll = select.poll()
    poll.register(control, select.POLLIN)
    while os.getppid() == parent:
        if not poll.poll(1e3 * _GLANCE_SECONDS):
            continue
        order, fds, _flags, _address = socket.recv_fds(control, ORDER_BYTES, 1)
        if not order:
            break
        number = int.from_bytes(order[1:], "little")
        # A mirror that ended between fork and entry would stay a zombie.
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
        if order[:1] == FORK:
            pid = os.fork()
            if pid == 0:
                control.close()
                _mirror(socket.socket(fileno=fds[0]))
            mirrors[number] = pid
            os.close(fds[0])
        elif number in mirrors:
            os.kill(mirrors[number], signal.SIGKILL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for pid in mirrors.values():
        os.kill(pid, signal.SIGKILL)
    os._exit(0)


def _mirror(end: socket.socket) -> NoReturn:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
    try:
        _Mirror(Channel(end)).run()
    finally:
        os._exit(1)


class _Mirror:
    """Runs an optimizer on the answers that come through a channel."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._server = os.getppid()
        self._rehearsal = Rehearsal(self._recorded)
        self._records: deque[tuple[AskKey, Any]] = deque()
        self._cost = PathCost(_UNMEASURED_SECONDS)
        self._path_fd = -1  # in a child: where the path goes
        self._ending: list[int] = []  # children that have told their path

    def run(self) -> NoReturn:
        """Run the optimizer, and answer until the parent has enough of it."""
        try:
            [_start, start] = self._message()
            start(self._rehearsal)
            ending = "ended"
        except EndOfPath:
            ending = "ended"
        except Exception as error:
            ending = f"raised {error!r}"
        if self._path_fd >= 0:
            self._tell_path()
        if self._records:
            self._break(f"the optimizer {ending} in the mirror, but went on in the real run")
        while True:
            match self._message():
                case ["records", _records]:
                    self._break(f"the optimizer {ending} in the mirror, but not in the real run")
                case ["paths", call, *_rest]:
                    self._channel.post("done", call)
                case ["sync", number]:
                    self._channel.post("synced", number)

    def _recorded(self, ask: Ask) -> Any:
        """The real answer; in a child ``UNKNOWN``. Waits for one of them."""
        if self._path_fd >= 0:
            return UNKNOWN
        while not self._records:
            match self._message():
                case ["records", records]:
                    self._records.extend(records)
                case ["sync", number]:
                    self._channel.post("synced", number)
                case ["paths", call, depth, until, answerers]:
                    if self._fork_paths(call, depth, until, answerers):
                        return UNKNOWN
        key, answer = self._records.popleft()
        if ask.key != key:
            self._break(f"the mirror asked for {difference(ask, key)}")
        return answer

    def _message(self) -> tuple[Any, ...]:
        try:
            while os.getppid() == self._server:
                message = self._channel.receive(time.monotonic() + _GLANCE_SECONDS)
                if message is not None:
                    return message
        except (OSError, EOFError):
            pass
        except Exception as error:
            self._break(f"a message to the mirror cannot be unpickled: {error!r}")
        os._exit(0)

    def _break(self, reason: str) -> NoReturn:
        self._channel.post("broken", reason)
        self._channel.drain(time.monotonic() + _GLANCE_SECONDS)
        os._exit(0)

    def _fork_paths(
        self, call: int, depth: int, until: float, answerers: Sequence[Answerer]
    ) -> bool:
        """Fork a child per answerer as long as they fit; True in a child."""
        waiting = deque(enumerate(answerers))
        running: dict[int, tuple[int, int, float, bytearray]] = {}
        poll = select.poll()
        while True:
            while waiting and len(running) < _SIDE_BY_SIDE:
                began_at = time.monotonic()
                if not self._cost.fits(until - began_at):
                    waiting.clear()
                    break
                index, answerer = waiting.popleft()
                reads, writes = os.pipe()
                pid = os.fork()
                if pid == 0:
                    gc.disable()  # it would copy the pages that it looks at
                    self._path_fd = writes
                    self._rehearsal.explore(answerer, depth)
                    self._end_in(max(until - time.monotonic(), 1e-4))
                    return True
                os.close(writes)
                running[reads] = (index, pid, began_at, bytearray())
                poll.register(reads, select.POLLIN)
            if not running:
                self._channel.post("done", call)
                return False
            for fd, _event in poll.poll():
                index, pid, began_at, told = running[fd]
                if data := os.read(fd, 1 << 16):
                    told += data
                    continue
                poll.unregister(fd)
                os.close(fd)
                del running[fd]
                self._finish(call, index, pid, began_at, until, bytes(told))

    def _end_in(self, seconds: float) -> None:
        """In a child: then tell the path as far as it goes; nobody has to watch it."""
        signal.signal(signal.SIGALRM, lambda *_: self._tell_path())
        signal.setitimer(signal.ITIMER_REAL, seconds)
        # A handler waits for foreign code to return; this does not.
        signal.setitimer(signal.ITIMER_PROF, _SLOWER * seconds)

    def _finish(
        self, call: int, index: int, pid: int, began_at: float, until: float, told: bytes
    ) -> None:
        taken = time.monotonic() - began_at
        if told.endswith(_WHOLE):
            # The end of its process takes as long as its beginning; nobody has to wait for that.
            self._ending.append(pid)
            self._cost.measured(taken if time.monotonic() < until else _SLOWER * taken)
            self._channel.post("path", call, index, told[: -len(_WHOLE)])
        else:
            _pid, status = os.waitpid(pid, 0)
            if not os.WIFSIGNALED(status) or os.WTERMSIG(status) != signal.SIGPROF:
                self._break(f"a fork of the mirror ended with status {status}")
            self._cost.measured(_SLOWER * taken)
        self._ending = [pid for pid in self._ending if not os.waitpid(pid, os.WNOHANG)[0]]

    def _tell_path(self) -> NoReturn:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        steps = [[(ask.kind, ask.x) for ask in step] for step in self._rehearsal.steps]
        told = memoryview(pickle.dumps(steps, protocol=pickle.HIGHEST_PROTOCOL) + _WHOLE)
        while told:
            told = told[os.write(self._path_fd, told) :]
        os.close(self._path_fd)
        os._exit(0)
