"""Requests and answers over HTTP on the loopback interface, and the faults of the network."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from efaas.testing.runtime_service.faults import (
    Disconnect,
    Faults,
    Garble,
    Hang,
    HttpError,
    Injection,
    Truncate,
)
from efaas.testing.runtime_service.messages import (
    Answer,
    LoggedRequest,
    Refusal,
    Request,
    answer_of,
    refuse,
)
from efaas.testing.runtime_service.routes import Routes, endpoint_of

__all__ = ["LoopbackServer"]

_MESSAGES = {
    401: "You are not authorized to perform this action.",
    403: "You are not authorized to perform this action.",
    404: "Not found.",
    409: "The request is in conflict with the present state.",
    429: "Too many requests.",
}
_RESET = struct.pack("ii", 1, 0)


class LoopbackServer:
    """Serves routes on a free port of 127.0.0.1, a thread for each connection."""

    def __init__(
        self,
        routes: Routes,
        faults: Faults,
        log: Callable[[LoggedRequest], None],
        now: Callable[[], float],
    ) -> None:
        """Bind a port; nothing is answered before ``start``.

        Args:
            routes: Answers what is asked.
            faults: What goes wrong.
            log: Called with every request after its answer.
            now: The instant for the log.
        """
        self._server = _Server(("127.0.0.1", 0), _Connection)
        self._server.routes = routes
        self._server.faults = faults
        self._server.log = log
        self._server.now = now
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(
            target=self._server.serve_forever,
            kwargs={"poll_interval": 0.02},
            name="efaas-loopback-server",
            daemon=True,
        )

    def start(self) -> None:
        """Start to answer."""
        self._thread.start()

    def close(self, timeout: float) -> bool:
        """Break every connection; whether all threads have ended within so many seconds."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout)
        return self._server.end_connections(timeout) and not self._thread.is_alive()


class _Server(ThreadingHTTPServer):
    daemon_threads = True  # a service that nobody closes must not keep a process alive
    request_queue_size = 128
    routes: Routes
    faults: Faults
    log: Callable[[LoggedRequest], None]
    now: Callable[[], float]

    def __init__(self, *args: Any) -> None:
        self._alive: dict[threading.Thread, socket.socket] = {}
        self._alive_lock = threading.Lock()
        super().__init__(*args)

    def process_request(self, request: Any, client_address: Any) -> None:
        thread = threading.Thread(
            target=self._serve_connection,
            args=(request, client_address),
            name="efaas-loopback-connection",
            daemon=True,
        )
        with self._alive_lock:
            self._alive[thread] = request
        thread.start()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that breaks is nothing to report."""

    def end_connections(self, timeout: float) -> bool:
        with self._alive_lock:
            alive = dict(self._alive)
        for connection in alive.values():
            _shut(connection)
        for thread in alive:
            thread.join(timeout)
        return not any(thread.is_alive() for thread in alive)

    def _serve_connection(self, request: Any, client_address: Any) -> None:
        try:
            self.process_request_thread(request, client_address)
        finally:
            with self._alive_lock:
                self._alive.pop(threading.current_thread(), None)


class _Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "efaas-loopback"
    sys_version = ""
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body leave together
    server: _Server

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_PUT(self) -> None:
        self._serve()

    def do_PATCH(self) -> None:
        self._serve()

    def do_DELETE(self) -> None:
        self._serve()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
        """Nothing on standard error; the service keeps a log of its own."""

    def _serve(self) -> None:
        request = self._request()
        try:
            injection = self.server.faults.of_request(request)
        except Exception as error:  # the test's predicate failed: it must be told
            self._send(_defect(error))
            return
        if injection is None:
            answer = self._processed(request)
            self._note(request, answer.status, was_processed=True)
            self._send(answer)
            return
        self._fail(request, injection)

    def _request(self) -> Request:
        parts = urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        endpoint, names = endpoint_of(self.command, parts.path)
        return Request(
            method=self.command,
            path=parts.path,
            query=parse_qs(parts.query),
            headers={name.lower(): value for name, value in self.headers.items()},
            body=self.rfile.read(length),
            endpoint=endpoint,
            names=names,
        )

    def _processed(self, request: Request) -> Answer:
        try:
            return self.server.routes.answer(request)
        except Refusal as refusal:
            return refusal.answer
        except Exception as error:  # a defect here must reach the test that meets it
            return _defect(error)

    def _fail(self, request: Request, injection: Injection) -> None:
        fault = injection.fault
        is_processed = isinstance(fault, (Truncate, Garble)) or getattr(fault, "after", False)
        answer = self._processed(request) if is_processed else Answer(200)
        status = answer.status if isinstance(fault, (Truncate, Garble)) else None
        if isinstance(fault, HttpError):
            status = fault.status
        self._note(request, status, was_processed=is_processed, injected=type(fault).__name__)
        if isinstance(fault, HttpError):
            self._send(_error_answer(fault))
        elif isinstance(fault, Garble):
            self._send(_garbled(answer, fault))
        elif isinstance(fault, Truncate):
            self._send(answer, keep=fault.keep)
            self._break()
        elif isinstance(fault, Hang):
            injection.wait(fault.seconds)
            self._break()
        elif isinstance(fault, Disconnect):
            self._break()

    def _note(
        self, request: Request, status: int | None, *, was_processed: bool, injected: str = ""
    ) -> None:
        self.server.log(
            LoggedRequest(
                at=self.server.now(),
                method=request.method,
                path=request.path,
                endpoint=request.endpoint,
                status=status,
                was_processed=was_processed,
                injected=injected,
            )
        )

    def _send(self, answer: Answer, keep: float = 1.0) -> None:
        self.send_response(answer.status)
        if answer.status != 204:
            self.send_header("Content-Type", answer.content_type)
            self.send_header("Content-Length", str(len(answer.body)))
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        if answer.status != 204:
            self.wfile.write(answer.body[: int(len(answer.body) * keep)])
        self.wfile.flush()

    def _break(self) -> None:
        """End the connection without another byte, abruptly."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        _shut(self.connection)


def _defect(error: Exception) -> Answer:
    return refuse(500, 1000, f"{type(error).__name__}: {error}").answer


def _error_answer(fault: HttpError) -> Answer:
    headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
    message = fault.message or _MESSAGES.get(fault.status, "Internal error, try again.")
    return refuse(fault.status, fault.code, message, headers=headers).answer


def _garbled(answer: Answer, fault: Garble) -> Answer:
    if fault.how == "json":
        return Answer(answer.status if answer.status != 204 else 200, b'{"id": "d0", \x00\xff ]')
    try:
        value = json.loads(answer.body)
    except ValueError:
        value = None
    return answer_of({"unexpected": True} if not isinstance(value, list) else [None])


def _shut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # it is broken already
