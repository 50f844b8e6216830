"""Slow senders are hung up on, slow apps are not their fault, and what is no HTTP is told so in the one shape."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

import pytest
from fastapi import APIRouter
from starlette.types import Message, Receive, Scope, Send

from backend.routers.slow_sender import HEADER_LIMIT_BYTES
from backend.routers.strict_json import StrictRoute
from backend.tests.fair_time import fair_timeout
from backend.tests.routers.small_app import Note, Wire, request, served, small_app, status_of

JSON = "Content-Type: application/json"
SHORT = 0.15
LONG = 10.0
BODY = b'{"message":"a"}'
KEPT = request("GET", "/api/notes").replace(b"Connection: close\r\n", b"")

router = APIRouter(route_class=StrictRoute)


@router.post("/slow")
async def take_your_time(note: Note) -> Note:
    """Answer after the sender's deadlines would have passed."""
    await asyncio.sleep(3 * SHORT)
    return note


def problem_of(answer: bytes) -> dict[str, Any]:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-type: application/problem+json" in head
    assert b"connection: close" in head
    problem = json.loads(body)
    assert f"x-request-id: {problem['request_id']}".encode() in head
    return problem


async def all_of(reader: asyncio.StreamReader) -> bytes:
    heard = b""
    with contextlib.suppress(ConnectionResetError):  # it hangs up on who still sends
        while piece := await reader.read(65_536):
            heard += piece
    return heard


async def drip(wire: Wire, start: bytes, piece: bytes) -> bytes:
    """Send a piece every 20 ms, for ever, and return what the server says before it hangs up."""
    async with fair_timeout(LONG):
        reader, writer = await asyncio.open_connection("127.0.0.1", wire.port)
        writer.write(start)
        answer = asyncio.create_task(all_of(reader))
        while not answer.done():
            await asyncio.wait({answer}, timeout=0.02)
            writer.write(piece)
        writer.transport.abort()
        return answer.result()


async def test_a_header_that_drips_in_is_cut_off() -> None:
    async with served(small_app(), header_seconds=SHORT, body_seconds=LONG) as wire:
        answer = await drip(wire, b"GET /api/notes HTTP/1.1\r\nHost: x\r\nX-a: ", b"a")
    assert status_of(answer) == 408
    assert problem_of(answer)["code"] == "request-timeout"


async def test_a_second_header_on_a_kept_connection_is_cut_off_too() -> None:
    async with served(small_app(), header_seconds=SHORT, body_seconds=LONG) as wire:
        answer = await drip(wire, KEPT + b"GET /api/notes HTTP/1.1\r\nX-a: ", b"a")
    assert answer.count(b"HTTP/1.1 200") == 1
    assert answer.count(b"HTTP/1.1 408") == 1


async def test_a_body_that_drips_in_is_cut_off() -> None:
    async with served(small_app(), header_seconds=LONG, body_seconds=SHORT) as wire:
        start = request("POST", "/api/notes", b" " * 900, [JSON, "X-Request-ID: mine"])[:-890]
        answer = await drip(wire, start, b" ")
    problem = problem_of(answer)
    assert (status_of(answer), problem["instance"], problem["request_id"]) == (408, "/api/notes", "mine")


async def test_chunks_that_drip_in_are_cut_off() -> None:
    async with served(small_app(), header_seconds=LONG, body_seconds=SHORT) as wire:
        start = request("POST", "/api/notes", headers=[JSON, "Transfer-Encoding: chunked"])
        assert status_of(await drip(wire, start, b"1\r\n \r\n")) == 408


@pytest.mark.parametrize("start", [b"", KEPT], ids=["new", "kept"])
async def test_line_breaks_hold_no_connection(start: bytes) -> None:
    async with served(small_app(), header_seconds=SHORT, body_seconds=LONG) as wire:
        answer = await drip(wire, start, b"\r\n")
    assert answer.count(b"HTTP/1.1") == bool(start)


async def test_silence_is_hung_up_on_without_a_word() -> None:
    async with served(small_app(), header_seconds=SHORT, body_seconds=LONG) as wire:
        assert await wire.ask(b"", seconds=LONG / 2) == b""


async def test_a_hundred_slow_senders_and_an_innocent_one() -> None:
    async with served(small_app(), header_seconds=SHORT, body_seconds=SHORT) as wire, asyncio.TaskGroup() as group:
        starts = [b"GET / HTTP/1.1\r\nX-a: ", request("POST", "/x", b" " * 900)[:-890]]
        attacks = [group.create_task(drip(wire, start, b"a")) for start in starts * 50]
        assert status_of(await wire.ask(request("POST", "/api/notes", BODY, [JSON]), seconds=1)) == 201
        for attack in attacks:
            assert status_of(await attack) == 408


async def test_an_app_may_take_longer_than_any_sender() -> None:
    async with served(small_app(router), header_seconds=SHORT, body_seconds=SHORT) as wire:
        assert status_of(await wire.ask(request("POST", "/api/slow", BODY, [JSON]))) == 200


async def test_a_slow_app_does_not_make_the_next_request_late() -> None:
    first = request("POST", "/api/slow", BODY, [JSON]).replace(b"Connection: close\r\n", b"")
    second = request("GET", "/api/notes")
    async with served(small_app(router), header_seconds=SHORT, body_seconds=SHORT) as wire:
        answers = await wire.ask(first + second[:10], second[10:], pause=2 * SHORT)
    assert answers.count(b"HTTP/1.1 200 OK") == 2


async def test_a_body_the_app_has_not_asked_for_yet_is_not_late() -> None:
    size = 1_000_000  # more than the server reads ahead

    async def reads_late(_: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(5 * SHORT)
        message: Message = {"more_body": True}
        got = 0
        while message.get("more_body"):
            message = await receive()
            got += len(message.get("body", b""))
        assert got == size
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    async with served(reads_late, header_seconds=SHORT, body_seconds=2 * SHORT) as wire:
        assert status_of(await wire.ask(request("POST", "/", b"x" * size))) == 200


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"CONNECT numen.test:80 HTTP/1.1\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET / HTTP/1.1\r\nX-a: b\x00c\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
async def test_what_is_no_http_is_told_so(sent: bytes) -> None:
    async with served(small_app()) as wire:
        answer = await wire.ask(sent)
    assert status_of(answer) == 400
    assert problem_of(answer)["code"] == "malformed-request"


async def test_an_endless_header_has_an_end() -> None:
    async with served(small_app(), header_seconds=LONG) as wire:
        answer = await drip(wire, b"GET / HTTP/1.1\r\nX-a: ", b"a" * 8_000)
        assert wire.bytes_read < 3 * HEADER_LIMIT_BYTES
    assert status_of(answer) == 431
    assert problem_of(answer)["code"] == "header-too-large"


async def test_fields_after_the_body_do_not_join_the_header() -> None:
    chunked = request("POST", "/api/notes", headers=[JSON, "Transfer-Encoding: chunked"])
    async with served(_echo_headers) as wire:
        answer = await wire.ask(chunked + b"1\r\n \r\n0\r\nAuthorization: Bearer late\r\n\r\n")
    assert b"Bearer late" not in answer


async def test_an_offer_of_http2_does_not_cost_the_body() -> None:
    offer = [JSON, "Upgrade: h2c", "HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABk"]
    sent = request("POST", "/api/notes", BODY, offer)
    sent = sent.replace(b"Connection: close", b"Connection: Upgrade, HTTP2-Settings, close")
    async with served(small_app()) as wire:
        assert status_of(await wire.ask(sent)) == 201


async def _echo_headers(scope: Scope, receive: Receive, send: Send) -> None:
    while (await receive()).get("more_body"):
        pass
    body = repr(scope["headers"]).encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
