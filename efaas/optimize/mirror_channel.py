"""Messages between this process and the mirrors of its optimizers."""

from __future__ import annotations

import pickle
import select
import socket
import struct
import time
from typing import Any, TypeAlias

__all__ = ["Channel", "Message"]

Message: TypeAlias = tuple[Any, ...]
"""A word for what it is, then its parts."""

_LENGTH = struct.Struct("<Q")
_CHUNK_BYTES = 1 << 18


class Channel:
    """Sends and receives pickled messages, and never waits longer than told.

    What the other end does not take yet is kept, and sent along with later calls. Both ends
    belong to this program, so unpickling is safe here.
    """

    def __init__(self, end: socket.socket) -> None:
        """Own one end of a connected pair of sockets."""
        end.setblocking(False)
        self._end = end
        self._poll = select.poll()
        self._outgoing = bytearray()
        self._incoming = bytearray()

    def post(self, *message: Any) -> None:
        """Send a message, now or with a later call.

        Raises:
            Exception: It cannot be pickled; then nothing was sent.
            OSError: The other end is gone.
        """
        pickled = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
        self._outgoing += _LENGTH.pack(len(pickled))
        self._outgoing += pickled
        self.flush()

    def flush(self) -> None:
        """Send what the other end takes without waiting.

        Raises:
            OSError: The other end is gone.
        """
        while self._outgoing:
            try:
                sent = self._end.send(self._outgoing)
            except BlockingIOError:
                return
            del self._outgoing[:sent]

    def receive(self, until: float) -> Message | None:
        """The next message; None if there is none by then.

        Args:
            until: An instant of ``time.monotonic``. If it has passed, only what is there already
                is received.

        Raises:
            EOFError: The other end is closed.
            OSError: The other end is gone.
            Exception: The message cannot be unpickled.
        """
        while True:
            self.flush()
            if (message := self._unpacked()) is not None:
                return message
            try:
                data = self._end.recv(_CHUNK_BYTES)
            except BlockingIOError:
                if not self._wait(until):
                    return None
                continue
            if not data:
                raise EOFError("the other end is closed")
            self._incoming += data

    def drain(self, until: float) -> None:
        """Send the rest, waiting no longer than that.

        Raises:
            OSError: The other end is gone.
        """
        self.flush()
        while self._outgoing:
            self._poll.register(self._end, select.POLLOUT)
            if not self._poll.poll(max(0.0, 1e3 * (until - time.monotonic()))):
                return
            self.flush()

    def close(self) -> None:
        """Close this end; the other one sees it. It may be called twice."""
        self._end.close()

    def __del__(self) -> None:
        self._end.close()

    def _unpacked(self) -> Message | None:
        if len(self._incoming) < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(self._incoming)
        end = _LENGTH.size + length
        if len(self._incoming) < end:
            return None
        pickled = bytes(self._incoming[_LENGTH.size : end])
        del self._incoming[:end]
        message: Message = pickle.loads(pickled)
        return message

    def _wait(self, until: float) -> bool:
        """Whether anything can be read or sent before that instant."""
        wanted = select.POLLIN | (select.POLLOUT if self._outgoing else 0)
        self._poll.register(self._end, wanted)
        return bool(self._poll.poll(max(0.0, 1e3 * (until - time.monotonic()))))
