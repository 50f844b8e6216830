"""Addresses that cannot be read and bodies over the limit are refused on every route, and the sender gets to know."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from uuid import UUID

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message, Scope

from backend.tests.routers.small_app import (
    BODY_LIMIT,
    UPLOAD_LIMIT,
    Wire,
    client_of,
    request,
    served,
    small_app,
    status_of,
)

ID = str(UUID("7c1f0a52-6a0e-4a6e-9d57-2f0b8a1c3d4e"))
JSON = "Content-Type: application/json"
ROUTES = [("POST", "/api/notes"), ("GET", f"/api/notes/{ID}"), ("PUT", "/api/notes"), ("DELETE", "/nowhere")]


@pytest.fixture(scope="module")
async def wire() -> AsyncGenerator[Wire]:
    """The small app, served once for all of these tests."""
    async with served(small_app()) as wire:
        yield wire


@pytest.mark.parametrize(
    ("address", "status"),
    [
        (f"/api/notes/{ID}/pages/1.0.0", 200),
        (f"/api/notes/{ID}/pages/caf%C3%A9", 200),
        (f"/api/notes/{ID}/pages/a%00b", 400),
        (f"/api/notes/{ID}/pages/a%0Ab", 400),
        (f"/api/notes/{ID}/pages/a%7Fb", 400),
        (f"/api/notes/{ID}/pages/a%2Fb", 400),
        (f"/api/notes/{ID}/pages/..%5Cb", 400),
        (f"/api/notes/{ID}/pages/%FF%FE", 400),
        (f"/api/notes/{ID}/pages/%ED%A0%80", 400),
        (f"/api/notes/{ID}/pages/%C0%80", 400),
        (f"/api/notes/{ID}/pages/100%", 400),
        (f"/api/notes/{ID}/pages/%zz", 400),
        ("/api/notes/%00", 400),
        ("/%2e%2e/%2e%2e/etc/passwd", 404),
        ("//api/notes", 404),
        ("/api/notes?q=100%25&limit=5", 200),
        ("/api/notes?q=line%0Abreak", 200),
        ("/api/notes?q=%00", 400),
        ("/api/notes?q=%FF", 400),
        ("/api/notes?q=%ED%A0%80", 400),
        ("/api/notes?q=%u0041", 400),
        ("/api/notes?q=%", 400),
        ("/api/notes?%00=q", 400),
        ("/api/notes?q=\xff", 400),
    ],
)
async def test_addresses(wire: Wire, address: str, status: int) -> None:
    answer = await wire.ask(request("GET", address))
    assert status_of(answer) == status, answer
    if status >= 400:
        assert b"application/problem+json" in answer


@given(st.text(alphabet="%0123456789abcdefABCDEF/?&=._~-", max_size=30))
async def test_any_address_is_no_fault_of_ours(tail: str) -> None:
    seen: list[int] = []

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            seen.append(message["status"])

    path, _, query = tail.partition("?")
    await small_app()(_scope(f"/api/notes/{path}", query), _nothing, send)
    assert seen[0] < 500


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize("chunked", [False, True])
async def test_fifty_megabytes_are_refused_and_the_sender_learns_why(
    wire: Wire, method: str, path: str, chunked: bool
) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(500):
            yield b"x" * 100_000

    async with httpx.AsyncClient(verify=False) as client:  # noqa: S501 — no TLS here
        content = endless() if chunked else b"x" * 50_000_000
        answer = await client.request(method, f"http://127.0.0.1:{wire.port}{path}", content=content)
    assert (answer.status_code, answer.json()["code"]) == (413, "body-too-large")
    assert answer.headers["connection"] == "close"


@pytest.mark.parametrize("head", ["Content-Length: 50000000", "Transfer-Encoding: chunked"])
async def test_the_refusal_comes_before_more_than_the_limit_was_read(wire: Wire, head: str) -> None:
    before = wire.bytes_read
    async with asyncio.timeout(30):
        reader, writer = await asyncio.open_connection("127.0.0.1", wire.port)
        writer.write(request("PUT", "/nowhere", headers=[head]))
        answer = asyncio.create_task(reader.readuntil(b"\r\n\r\n"))
        for _ in range(500):
            writer.write(b"186a0\r\n" + b"x" * 100_000 + b"\r\n")
            await writer.drain()
            await asyncio.sleep(0.005)
            if answer.done():
                break
        assert status_of(await answer) == 413
        assert wire.bytes_read - before < BODY_LIMIT + 300_000
        writer.transport.abort()


async def test_throwing_away_has_an_end() -> None:
    async with served(small_app(linger_seconds=0.1)) as wire:
        answer = await wire.ask(request("PUT", "/nowhere", headers=["Content-Length: 50000000"]), seconds=5)
    assert status_of(answer) == 413


async def test_a_body_a_little_too_large_is_answered_without_a_wait() -> None:
    async with served(small_app(linger_seconds=30)) as wire:
        body = b"x" * (BODY_LIMIT + 100_000)
        answer = await wire.ask(request("POST", "/api/notes", body), seconds=5)
    assert status_of(answer) == 413


@pytest.mark.parametrize(("size", "status"), [(BODY_LIMIT, 422), (BODY_LIMIT + 1, 413)])
async def test_the_limit_itself_is_allowed(wire: Wire, size: int, status: int) -> None:
    body = b'{"message":"' + b"x" * (size - 14) + b'"}'
    assert len(body) == size
    assert status_of(await wire.ask(request("POST", "/api/notes", body, [JSON]))) == status


async def test_a_body_in_pieces_arrives_whole(wire: Wire) -> None:
    body = b'{"message":"in pieces"}'
    whole = request("POST", "/api/notes", body, [JSON])
    answer = await wire.ask(whole[:-15], whole[-15:-5], whole[-5:], pause=0.02)
    assert status_of(answer) == 201
    assert answer.endswith(b'{"message":"in pieces","meta":{}}')


async def test_a_sender_that_leaves_in_the_middle_is_missed_by_nobody(wire: Wire) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", wire.port)
    writer.write(request("POST", "/api/notes", b'{"message":"a"}', [JSON])[:-3])
    await writer.drain()
    writer.close()
    assert status_of(await wire.ask(request("GET", "/api/notes"))) == 200


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_encoded_bodies_are_refused(method: str) -> None:
    async with client_of(small_app()) as client:
        answer = await client.request(method, "/api/notes", content=b"\x1f\x8b", headers={"content-encoding": "gzip"})
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported-media-type")
    assert answer.headers["accept-encoding"] == "identity"


async def test_a_client_that_asks_first_is_told_to_go_on_or_not(wire: Wire) -> None:
    expect = [JSON, "Expect: 100-continue"]
    small, large = b'{"message":"a"}', b"x" * (BODY_LIMIT + 1)
    head = request("POST", "/api/notes", small, expect)
    going_on = await wire.ask(head[: -len(small)], small, pause=0.05)
    refused = await wire.ask(request("POST", "/api/notes", large, expect)[: -len(large)])
    assert going_on.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201")
    assert status_of(refused) == 413


# --- bodies that their route reads by itself ---

KEY = "Authorization: Bearer somebody"
UPLOAD = ("POST", "/api/uploads")


@pytest.mark.parametrize(
    ("size", "status"), [(3, 200), (BODY_LIMIT + 1, 200), (UPLOAD_LIMIT, 200), (UPLOAD_LIMIT + 1, 413)]
)
async def test_a_large_body_reaches_the_route_that_takes_it(wire: Wire, size: int, status: int) -> None:
    answer = await wire.ask(request(*UPLOAD, b"x" * size, [KEY]))
    assert status_of(answer) == status
    if status == 200:
        assert answer.endswith(b'{"bytes":%d}' % size)


async def test_a_body_of_unknown_length_ends_at_the_same_limit(wire: Wire) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 100_000

    url = f"http://127.0.0.1:{wire.port}/api/uploads"
    before = wire.bytes_read
    async with httpx.AsyncClient(verify=False) as client:  # noqa: S501 — no TLS here
        answer = await client.post(url, content=_ending(endless(), 60), headers={"authorization": "Bearer x"})
        assert (answer.status_code, answer.json()["code"]) == (413, "body-too-large")
        again = await client.post(url, content=b"1234", headers={"authorization": "Bearer x"})
    assert again.json() == {"bytes": 4}
    assert wire.bytes_read - before > UPLOAD_LIMIT


async def test_who_is_not_known_is_refused_before_their_body_is_read(wire: Wire) -> None:
    whole = request(*UPLOAD, b"x" * 4_000_000)
    async with asyncio.timeout(30):
        reader, writer = await asyncio.open_connection("127.0.0.1", wire.port)
        writer.write(whole[:1_000])
        assert status_of(await reader.readuntil(b"\r\n\r\n")) == 401
        writer.transport.abort()


async def test_every_other_address_and_method_keeps_its_limit(wire: Wire) -> None:
    for method, path in (("PUT", "/api/uploads"), ("POST", "/api/uploads/more"), ("POST", "/api/notes/uploads")):
        answer = await wire.ask(request(method, path, b"x" * (BODY_LIMIT + 1), [KEY]))
        assert status_of(answer) == 413


async def test_an_upload_that_leaves_in_the_middle_is_missed_by_nobody(wire: Wire) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", wire.port)
    writer.write(request(*UPLOAD, b"x" * 200_000, [KEY])[:-3])
    await writer.drain()
    writer.close()
    assert status_of(await wire.ask(request(*UPLOAD, b"1", [KEY]))) == 200


async def test_encoded_uploads_are_refused(wire: Wire) -> None:
    answer = await wire.ask(request(*UPLOAD, b"x", [KEY, "Content-Encoding: gzip"]))
    assert status_of(answer) == 415


async def _ending(pieces: AsyncIterator[bytes], most: int) -> AsyncIterator[bytes]:
    for _ in range(most):
        yield await anext(pieces)


def _scope(path: str, query: str) -> Scope:
    return {
        "type": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [],
        "root_path": "",
        "scheme": "http",
        "server": ("127.0.0.1", 80),
        "client": None,
    }


async def _nothing() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}
