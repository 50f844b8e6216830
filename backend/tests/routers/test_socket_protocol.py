"""WebSockets on the wire: handshakes that are none, frames that are none, and clients that do not read or do not leave.

The tables of malformed sockets are in `backend/tests/api/test_voice_socket.py`; here are the reasons for each override.
"""

from __future__ import annotations

import asyncio
import json
import socket as plain
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from fastapi import APIRouter, WebSocket
from starlette.websockets import WebSocketDisconnect

from backend.routers.socket_protocol import MOST_FRAGMENTS
from backend.tests.fair_time import fair_timeout
from backend.tests.fixtures_api import eventually
from backend.tests.fixtures_logs import Logs
from backend.tests.raw_socket import BINARY, CONT, PING, TEXT, RawSocket, closing, frame, handshake, text
from backend.tests.routers.small_app import Wire, request, served, small_app, status_of

ECHO = "/api/echo"
SHORT = 0.15


class Ends:
    """How the app's side of each socket ended."""

    def __init__(self) -> None:
        self.codes: list[int] = []
        self.busy = asyncio.Event()
        self.heard = asyncio.Event()


router = APIRouter()
ends = Ends()


@router.websocket("/echo")
async def echo(socket: WebSocket) -> None:
    """Send everything back."""
    await socket.accept()
    try:
        while True:
            message = await socket.receive()
            if message["type"] == "websocket.disconnect":
                ends.codes.append(message["code"])
                return
            if message.get("text") == "fail":
                raise RuntimeError("a secret detail: password=hunter2")
            if message.get("text") == "flood":
                while True:
                    await socket.send_bytes(bytes(60_000))
            await socket.send({**message, "type": "websocket.send"})
    except WebSocketDisconnect as gone:
        ends.codes.append(gone.code)


@router.websocket("/speaks")
async def speak(socket: WebSocket) -> None:
    """Say much at once, and leave."""
    await socket.accept()
    await socket.send_bytes(bytes(20_000_000))


@router.websocket("/hears")
async def hear(socket: WebSocket) -> None:
    """Wait for audio, and say that it came."""
    await socket.accept()
    while (await socket.receive())["type"] != "websocket.disconnect":
        ends.heard.set()


@router.websocket("/busy")
async def work(socket: WebSocket) -> None:
    """Accept, and have no time to listen."""
    await socket.accept()
    await ends.busy.wait()


@router.websocket("/leaves")
async def leave(socket: WebSocket) -> None:
    """Close at once."""
    await socket.accept()
    await socket.close(4000, "enough")


@router.websocket("/fails")
async def fail(socket: WebSocket) -> None:
    """Fail before the handshake is answered."""
    raise RuntimeError("a secret detail: password=hunter2")


@pytest.fixture(scope="module")
async def shared_wire() -> AsyncGenerator[Wire]:
    async with served(small_app(router)) as wire:
        yield wire


@pytest.fixture
async def wire(shared_wire: Wire) -> AsyncGenerator[Wire]:
    ends.codes.clear()
    before = len(asyncio.all_tasks())
    yield shared_wire
    await eventually(lambda: len(asyncio.all_tasks()) <= before)


async def refused(wire: Wire, sent: bytes) -> tuple[int, str]:
    """Status and problem code of the answer to this handshake."""
    async with asyncio.timeout(30), await RawSocket.connected(wire.port) as client:
        client.send(sent)
        await client.read_head()
        head = client.so_far
        assert head.headers["content-type"] == "application/problem+json"
        problem = json.loads(head.body)
        assert problem["status"] == head.status
        assert head.headers["x-request-id"] == problem["request_id"]
        assert not await client.read_frame(), "the connection stays open"
        return head.status, problem["code"]


async def test_what_is_sent_comes_back(wire: Wire) -> None:
    async with await RawSocket.opened(
        wire.port, ECHO, **{"Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits"}
    ) as client:
        assert len(client.so_far.headers["x-request-id"]) == 32
        assert "sec-websocket-extensions" not in client.so_far.headers
        client.send(frame(BINARY, b"ab"), frame(PING, b"are you there?"), text({"type": "a"}))
        await client.until("a")
        client.send(closing(1000))
        ended = await client.ended()
    assert (ended.events, ended.audio, ended.pongs, ended.code) == ([{"type": "a"}], 2, 1, 1000)
    assert ends.codes == [1000]


async def test_a_caller_names_the_request_of_a_socket(wire: Wire) -> None:
    async with await RawSocket.opened(wire.port, ECHO, **{"X-Request-ID": "mine"}) as client:
        assert client.so_far.headers["x-request-id"] == "mine"


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (handshake(ECHO, {"Sec-WebSocket-Key": None}), 400, "malformed-request"),
        (handshake(ECHO, {"Sec-WebSocket-Key": "c2hvcnQ="}), 400, "malformed-request"),
        (handshake(ECHO, {"Sec-WebSocket-Key": "not base 64!"}), 400, "malformed-request"),
        (handshake(ECHO, {"Sec-WebSocket-Version": None}), 426, "upgrade-required"),
        (handshake(ECHO, {"Sec-WebSocket-Version": "8"}), 426, "upgrade-required"),
        (handshake(ECHO, {"Sec-WebSocket-Version": ["13", "13"]}), 426, "upgrade-required"),
        (handshake(ECHO, {"Content-Length": "5"}) + b"hello", 400, "malformed-request"),
        (handshake(ECHO, {"Transfer-Encoding": "chunked"}) + b"0\r\n\r\n", 400, "malformed-request"),
        (handshake(f"{ECHO}?{'a' * 8200}"), 431, "header-too-large"),
        (handshake(ECHO, {"X-Long": "a" * 8200}), 431, "header-too-large"),
        (handshake(ECHO, {f"X-{number}": "a" for number in range(130)}), 431, "header-too-large"),
        (handshake("/api/\N{SNOWMAN}"), 400, "malformed-request"),
        (handshake("/api/%zz"), 400, "malformed-url"),
        (handshake("/api/a%2fb"), 400, "malformed-url"),
        (handshake("/api/nothing"), 404, "route-not-found"),
        (handshake("/api/notes"), 404, "route-not-found"),
        (handshake("/api/fails"), 500, "internal"),
    ],
)
async def test_a_handshake_that_is_none_is_refused_with_a_problem(
    wire: Wire, sent: bytes, status: int, code: str
) -> None:
    assert await refused(wire, sent) == (status, code)


async def test_a_refused_handshake_is_one_line_in_the_log(wire: Wire, logs: Logs) -> None:
    await refused(wire, handshake("/api/nothing"))
    assert [(line["event"], line["status"]) for line in logs()] == [("socket", 404)]


async def test_an_app_that_still_speaks_when_the_socket_is_closed_hears_of_it(wire: Wire, logs: Logs) -> None:
    async with await RawSocket.opened(wire.port, ECHO) as client:
        client.send(text("flood"))
        assert await client.read_frame()
        client.send(frame(0x3))
        ended = await client.ended()
    await eventually(lambda: bool(ends.codes))
    assert ended.code == 1002
    assert [line["event"] for line in logs()] == ["socket"]


async def test_a_handshake_says_which_version_we_speak(wire: Wire) -> None:
    async with await RawSocket.connected(wire.port) as client:
        client.send(handshake(ECHO, {"Sec-WebSocket-Version": "12"}))
        await client.read_head()
    assert client.so_far.headers["sec-websocket-version"] == "13"
    assert client.so_far.headers["upgrade"] == "websocket"


@pytest.mark.parametrize("method", ["POST", "PUT", "HEAD"])
async def test_an_upgrade_with_another_method_is_a_plain_request(wire: Wire, method: str) -> None:
    answer = await wire.ask(handshake(ECHO, {"Connection": "Upgrade, close"}, method=method))
    assert status_of(answer) == 404


async def test_a_connection_may_become_a_socket_later(wire: Wire) -> None:
    async with await RawSocket.connected(wire.port) as client:
        client.send(request("GET", "/api/notes").replace(b"close", b"keep-alive"))
        await client.read_head()
        assert client.so_far.status == 200
        client.send(handshake(ECHO))
        await client.read_head()
        client.send(text({"type": "a"}))
        await client.until("a")


async def test_an_upgrade_behind_an_unanswered_request_is_refused(wire: Wire) -> None:
    answer = await wire.ask(request("GET", "/api/notes").replace(b"close", b"keep-alive"), handshake(ECHO))
    assert status_of(answer) == 400
    assert b"101" not in answer


async def test_what_comes_before_the_answer_of_the_handshake_is_refused() -> None:
    slow = APIRouter()

    @slow.websocket("/slow")
    async def accept_late(socket: WebSocket) -> None:
        await asyncio.sleep(SHORT)
        await socket.accept()

    async with served(small_app(slow)) as late, await RawSocket.connected(late.port) as client:
        client.send(handshake("/api/slow"))
        await asyncio.sleep(SHORT / 3)
        client.send(frame(0x3, b"no frame"))
        await client.read_head()
        assert (client.so_far.status, await client.read_frame()) == (400, False)


async def test_a_client_that_leaves_before_the_answer_is_nothing_to_speak_of(logs: Logs) -> None:
    late = APIRouter()
    ended = asyncio.Event()

    @late.websocket("/late")
    async def accept_late(socket: WebSocket) -> None:
        try:
            assert (await socket.receive())["type"] == "websocket.connect"
            assert (await socket.receive())["type"] == "websocket.disconnect"
            await socket.accept()
        finally:
            ended.set()

    async with served(small_app(late)) as wire, await RawSocket.connected(wire.port) as client:
        client.send(handshake("/api/late"))
        await asyncio.sleep(SHORT)
        client.abort()
        await ended.wait()
    assert [(line["event"], line["status"]) for line in logs() if line["logger"] != "uvicorn.error"] == [
        ("socket", 499)
    ]


async def test_the_deadline_of_headers_does_not_end_sockets() -> None:
    async with (
        served(small_app(router), header_seconds=SHORT) as wire,
        await RawSocket.opened(wire.port, ECHO) as client,
    ):
        await asyncio.sleep(3 * SHORT)
        client.send(text({"type": "still here"}))
        await client.until("still here")


async def test_a_sender_of_too_much_is_told_so_although_it_sends_on(wire: Wire) -> None:
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(30):
        client = await shaken(wire, ECHO)
        await loop.sock_sendall(client, frame(BINARY, bytes(8_000_000)))  # a broken connection would be an error
        told = await loop.sock_recv(client, 1_000)
        client.close()
    assert told[2:4] == (1009).to_bytes(2)
    assert ends.codes == [1009]


async def test_fragments_are_one_message(wire: Wire) -> None:
    async with await RawSocket.opened(wire.port, ECHO) as client:
        client.send(frame(TEXT, b'{"type":', fin=False), frame(PING), frame(CONT, b' "\xc3', fin=False))
        client.send(frame(CONT, b'\xa4"}'))
        assert await client.until("ä") == {"type": "ä"}
        assert client.so_far.pongs == 1


async def test_fragments_have_an_end(wire: Wire) -> None:
    async with await RawSocket.opened(wire.port, ECHO) as client:
        client.send(frame(TEXT, fin=False), frame(CONT, fin=False) * (MOST_FRAGMENTS + 5), frame(PING))
        ended = await client.ended()
    assert (ended.code, ended.reason) == (1009, f"A message may have {MOST_FRAGMENTS} fragments.")


@pytest.mark.parametrize("sent", [text(b"\xff"), frame(TEXT, b"\xc3", fin=False) + frame(CONT, b"(")])
async def test_text_that_is_none_ends_the_socket(wire: Wire, logs: Logs, sent: bytes) -> None:
    async with await RawSocket.opened(wire.port, ECHO) as client:
        client.send(sent, frame(PING), text("late"))
        ended = await client.ended()
    assert (ended.code, ended.events, ends.codes) == (1007, [], [1007])
    assert [line["event"] for line in logs()] == ["socket"]


async def test_a_client_that_does_not_answer_the_close_is_left(wire: Wire) -> None:
    async with asyncio.timeout(8), await RawSocket.opened(wire.port, "/api/leaves") as client:
        assert await client.rest() == b"\x88\x08\x0f\xa0enough"


async def test_an_app_that_fails_leaves_no_detail(wire: Wire, logs: Logs) -> None:
    async with await RawSocket.opened(wire.port, ECHO) as client:
        client.send(text("fail"))
        ended = await client.ended()
    assert ended.code is None or ended.code == 1011
    (told,) = [line for line in logs() if line["event"] == "socket failed"]
    assert "hunter2" not in str(told)


async def shaken(wire: Wire, target: str) -> plain.socket:
    """A connection with little room for what it does not read, after its handshake."""
    client = plain.socket()
    client.setsockopt(plain.SOL_SOCKET, plain.SO_RCVBUF, 4096)
    client.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(client, ("127.0.0.1", wire.port))
    await loop.sock_sendall(client, handshake(target))
    assert b" 101 " in await loop.sock_recv(client, 4096)
    return client


async def deaf_client(wire: Wire, target: str, sent: bytes) -> tuple[plain.socket, int]:
    """A client that sends as much of this as the server takes, and reads nothing; how much that was."""
    loop = asyncio.get_running_loop()
    client = await shaken(wire, target)
    taken = 0
    while taken < len(sent):
        try:
            async with fair_timeout(1.0):
                await loop.sock_sendall(client, sent[taken : taken + 65_536])
        except TimeoutError:
            break
        taken += len(sent[taken : taken + 65_536])
    return client, taken


async def test_pings_of_a_client_that_does_not_read_do_not_pile_up(wire: Wire) -> None:
    pings = frame(PING, b"x" * 125) * 400_000
    client, taken = await deaf_client(wire, "/api/hears", pings + frame(PING, b"the newest") + frame(BINARY, b"ab"))
    assert taken >= len(pings)
    answered = b""
    async with fair_timeout(30):
        await ends.heard.wait()
        while not answered.endswith(b"the newest"):
            answered += await asyncio.get_running_loop().sock_recv(client, 1_000_000)
    client.close()
    assert len(answered) < len(pings) / 4


async def test_what_an_app_has_left_behind_does_not_wait_for_ever(wire: Wire) -> None:
    with await shaken(wire, "/api/speaks"):
        await eventually(lambda: wire.connections() == 0, 8)


async def test_what_an_app_does_not_take_yet_does_not_pile_up(wire: Wire) -> None:
    audio = frame(BINARY, bytes(640)) * 100_000
    client, taken = await deaf_client(wire, "/api/busy", audio)
    client.close()
    ends.busy.set()
    assert taken < len(audio) / 2, "the server takes audio for ever"


async def test_a_client_that_does_not_read_and_answers_no_ping_is_gone() -> None:
    async with served(small_app(router), sockets={"ws_ping_interval": 0.2, "ws_ping_timeout": 0.2}) as wire:
        ends.codes.clear()
        client, _ = await deaf_client(wire, ECHO, text("flood"))
        try:
            await eventually(lambda: bool(ends.codes), 8)
        finally:
            client.close()


async def test_a_stopping_server_says_goodbye() -> None:
    ends.codes.clear()
    async with served(small_app(router)) as wire, await RawSocket.opened(wire.port, ECHO) as client:
        client.send(text({"type": "here"}))
        await client.until("here")
        wire.stop()
        ended: Any = await asyncio.wait_for(client.ended(), 30)
    assert (ended.code, ended.reason) == (1001, "The server stops.")
    assert ends.codes == [1001]
