"""A real server on a real socket, which says what the test wrote and hangs up where the test says."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import pytest

RUN = str(uuid4())
STARTED = ("1-0", "run.started", {"run_id": RUN})
ONE, TWO = ("1-3", "message.delta", {"text": "one"}), ("1-6", "message.delta", {"text": "two"})
COMPLETED = ("2-6", "message.completed", {"response": "onetwo"})
Told = tuple[str, str, dict[str, Any]]


def _head(status: str, kind: str, *more: str) -> bytes:
    """What comes before the body; `close`, or the client sends its next request on a connection that is closing."""
    return "\r\n".join([f"HTTP/1.1 {status}", f"content-type: {kind}", "connection: close", *more, "", ""]).encode()


def stream(*events: Told, whole: bool = True, located: bool = True) -> bytes:
    """An answer with these events; not whole, the connection ends in the middle of a chunk."""
    body = "".join(f"id: {at}\nevent: {kind}\ndata: {json.dumps(data)}\n\n" for at, kind, data in events).encode()
    location = [f"content-location: /api/v1/runs/{RUN}/events"] if located else []
    head = _head("200 OK", "text/event-stream", "transfer-encoding: chunked", *location)
    chunk = f"{len(body):x}\r\n".encode() + body + b"\r\n" if body else b""
    return head + chunk + (b"0\r\n\r\n" if whole else b"ff\r\nid: 9")


def problem(status: int) -> bytes:
    body = json.dumps({"status": status, "code": "x", "title": "No", "detail": f"No, {status}."}).encode()
    return _head(f"{status} No", "application/problem+json", f"content-length: {len(body)}") + body


def document(content: Any) -> bytes:
    """An answer that is no stream."""
    body = json.dumps(content).encode()
    return _head("200 OK", "application/json", f"content-length: {len(body)}") + body


@dataclass
class BadServer:
    """Answers each connection with the next of `answers`, and then closes it; `heard` are the requests."""

    answers: list[bytes] = field(default_factory=list[bytes])
    heard: list[str] = field(default_factory=list[str])

    def __post_init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            connection, _ = self._socket.accept()
            with connection:
                request = connection.recv(65536).decode()
                if request.startswith("STOP"):
                    return
                self.heard.append(request)
                connection.sendall(self.answers.pop(0) if self.answers else b"")

    def close(self) -> None:
        with socket.create_connection(self._socket.getsockname()) as last:
            last.sendall(b"STOP")
        self._thread.join()
        self._socket.close()


@pytest.fixture
def bad_server() -> Generator[BadServer]:
    server = BadServer()
    yield server
    server.close()
