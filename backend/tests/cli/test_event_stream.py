"""A stream over a bad connection: a real server on a real socket, which drops it where the test says."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from uuid import UUID, uuid4

import pytest

from backend.cli.api_client import ApiClient
from backend.cli.client_settings import ClientSettings
from backend.cli.event_stream import ChatTurn, Event, RunStream, parse_events
from backend.cli.failures import Refused, Unreachable

RUN = str(uuid4())
STARTED = ("1-0", "run.started", {"run_id": RUN})
ONE, TWO = ("1-3", "message.delta", {"text": "one"}), ("1-6", "message.delta", {"text": "two"})
COMPLETED = ("2-6", "message.completed", {"response": "onetwo"})
Told = tuple[str, str, dict[str, str]]


def stream(*events: Told, whole: bool = True, located: bool = True) -> bytes:
    """An answer with these events; not whole, the connection ends in the middle of a chunk."""
    body = "".join(f"id: {at}\nevent: {kind}\ndata: {json.dumps(data)}\n\n" for at, kind, data in events).encode()
    head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n"
    head += f"content-location: /api/v1/runs/{RUN}/events\r\n" if located else ""
    chunk = f"{len(body):x}\r\n".encode() + body + b"\r\n" if body else b""
    return head.encode() + b"\r\n" + chunk + (b"0\r\n\r\n" if whole else b"ff\r\nid: 9")


def problem(status: int) -> bytes:
    body = json.dumps({"status": status, "code": "x", "title": "No", "detail": f"No, {status}."}).encode()
    head = f"HTTP/1.1 {status} No\r\ncontent-type: application/problem+json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


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


@pytest.fixture
def begin(bad_server: BadServer) -> Generator[Callable[[], RunStream]]:
    """Begins a turn at the bad server."""
    with ApiClient(ClientSettings(bad_server.url, None, on_this_machine=True)) as api:
        yield lambda: ChatTurn(api, "agent", "Hello", None)


def told(run: RunStream) -> list[Told]:
    return [(one.id, one.type, one.data) for one in run]


def test_a_stream_without_trouble(bad_server: BadServer, begin: Callable[[], RunStream]) -> None:
    bad_server.answers = [stream(STARTED, ONE, TWO, COMPLETED)]
    run = begin()
    assert told(run) == [STARTED, ONE, TWO, COMPLETED]
    assert (run.run_id, run.reconnected) == (UUID(RUN), 0)
    assert bad_server.heard[0].startswith("POST /api/v1/agents/agent/chat/stream ")


def test_a_lost_connection_is_taken_up_after_the_last_event(
    bad_server: BadServer, begin: Callable[[], RunStream]
) -> None:
    bad_server.answers = [stream(STARTED, ONE, whole=False), b"", stream(TWO, whole=False), stream(COMPLETED)]
    run = begin()
    assert told(run) == [STARTED, ONE, TWO, COMPLETED]
    assert run.reconnected == 3
    ids = [line for request in bad_server.heard for line in request.split("\r\n") if line.startswith("last-event-id")]
    assert ids == ["last-event-id: 1-3", "last-event-id: 1-3", "last-event-id: 1-6"]
    assert all(request.startswith(f"GET /api/v1/runs/{RUN}/events ") for request in bad_server.heard[1:])


def test_a_stream_that_ends_too_early_is_taken_up_as_well(
    bad_server: BadServer, begin: Callable[[], RunStream]
) -> None:
    bad_server.answers = [stream(STARTED, ONE), stream(TWO, COMPLETED)]
    assert told(begin()) == [STARTED, ONE, TWO, COMPLETED]


def test_a_first_request_that_is_lost_is_sent_again_under_the_same_key(
    bad_server: BadServer, begin: Callable[[], RunStream]
) -> None:
    bad_server.answers = [b"", problem(409), problem(503), stream(STARTED, COMPLETED, located=False)]
    assert told(begin()) == [STARTED, COMPLETED]
    keys = {
        line for request in bad_server.heard for line in request.split("\r\n") if line.startswith("idempotency-key")
    }
    assert (len(bad_server.heard), len(keys)) == (4, 1)


@pytest.mark.parametrize("status", [401, 404, 409, 422, 503])
def test_a_refusal_is_not_tried_again(bad_server: BadServer, begin: Callable[[], RunStream], status: int) -> None:
    bad_server.answers = [problem(status)]
    with pytest.raises(Refused, match=f"No, {status}."):
        told(begin())
    assert len(bad_server.heard) == 1


def test_where_nobody_answers_it_is_said_at_once() -> None:
    nowhere = ClientSettings("http://127.0.0.1:1", None, on_this_machine=True)
    with ApiClient(nowhere) as api, pytest.raises(Unreachable, match="Start it with `numen serve`"):
        told(ChatTurn(api, "agent", "Hello", None))


def test_a_run_can_be_cancelled_before_its_first_event(bad_server: BadServer, begin: Callable[[], RunStream]) -> None:
    bad_server.answers = [stream(STARTED), problem(409)]
    run = begin()
    run.cancel()
    assert bad_server.heard[1].startswith(f"POST /api/v1/runs/{RUN}/cancel ")


def test_events_are_parsed_whatever_pieces_they_come_in() -> None:
    whole = ': hello\n\nid: 1\r\nevent: x\r\ndata: {"a":\r\ndata: "\u2028ü"}\r\n\r\ndata: {}\n\n'
    text = f'{whole}id: 3\ndata: {{"cut":'.encode()
    expected = [Event("1", "x", {"a": "\u2028ü"}), Event("", "message", {})]
    for size in (1, 2, 3, 7, len(text)):
        pieces = [text[at : at + size] for at in range(0, len(text), size)]
        assert list(parse_events(pieces)) == expected
