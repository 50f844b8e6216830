"""Event streams: what goes over the wire, when, and what happens when one side leaves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import pytest
from fastapi import APIRouter
from starlette.types import Message, Scope

from backend.errors import RunNotFound
from backend.models.events import ServerEvent
from backend.routers.sse import EventStream, encode
from backend.telemetry import Metrics
from backend.tests.fixtures_logs import Logs
from backend.tests.routers.small_app import client_of, request, served, small_app


def event(number: int, text: str = "hi") -> ServerEvent:
    return ServerEvent(f"{number}-0", "message.delta", {"text": text})


class Source:
    """Events that a test gives out one by one; it knows whether somebody listens."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[ServerEvent | Exception | None] = asyncio.Queue()
        self.closed = asyncio.Event()

    def put(self, *items: ServerEvent | Exception | None) -> None:
        for item in items:
            self._queue.put_nowait(item)

    async def events(self) -> AsyncGenerator[ServerEvent]:
        try:
            while True:
                item = await self._queue.get()
                if item is None:
                    return
                if isinstance(item, Exception):
                    raise item
                yield item
        finally:
            self.closed.set()


class Listener:
    """One end of an ASGI connection."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.leaves = asyncio.Event()
        self.heard = asyncio.Event()
        self.scope: Scope = {"type": "http", "state": {}}

    async def receive(self) -> Message:
        await self.leaves.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self.messages.append(message)
        self.heard.set()

    def listen(self, events: AsyncIterator[ServerEvent], **options: Any) -> asyncio.Task[None]:
        stream = EventStream(events, **options)
        return asyncio.create_task(stream(self.scope, self.receive, self.send))  # pyright: ignore[reportArgumentType]

    async def hears(self) -> Message:
        async with asyncio.timeout(30):
            await self.heard.wait()
        self.heard.clear()
        return self.messages[-1]

    @property
    def bodies(self) -> list[bytes]:
        return [message["body"] for message in self.messages if message["type"] == "http.response.body"]


def test_the_wire_format() -> None:
    told = ServerEvent("3-17", "message.delta", {"text": "two\nlines \r\n\u2028 and é"})
    lines = encode(told).decode().split("\n")
    assert lines[:2] == ["id: 3-17", "event: message.delta"]
    assert lines[2] == 'data: {"text":"two\\nlines \\r\\n\u2028 and é"}'
    assert lines[3:] == ["", ""]


async def test_events_that_are_ready_together_go_out_together() -> None:
    source, listener = Source(), Listener()
    source.put(*(event(number) for number in range(100)), None)
    await listener.listen(source.events(), headers={"content-location": "/runs/1"})
    start, *_ = listener.messages
    headers = dict(start["headers"])
    assert start["status"] == 200
    assert headers[b"content-type"].startswith(b"text/event-stream")
    assert headers[b"cache-control"] == b"no-store"
    assert headers[b"x-accel-buffering"] == b"no"
    assert headers[b"content-location"] == b"/runs/1"
    assert b"content-length" not in headers
    assert b"".join(listener.bodies) == b"".join(encode(event(number)) for number in range(100))
    assert len(listener.bodies) <= 2
    assert [message["more_body"] for message in listener.messages[1:]][-1] is False


async def test_each_event_goes_out_when_it_comes() -> None:
    source, listener = Source(), Listener()
    task = listener.listen(source.events())
    for number in range(3):
        source.put(event(number))
        assert (await listener.hears())["body"] == encode(event(number))
    source.put(None)
    await task


async def test_silence_is_filled_with_comments() -> None:
    source, listener = Source(), Listener()
    task = listener.listen(source.events(), keep_alive_seconds=0.02)
    for _ in range(3):
        assert (await listener.hears())["body"].startswith(b":")
    source.put(event(1), None)
    await task
    assert encode(event(1)) in b"".join(listener.bodies)


async def test_a_client_that_leaves_ends_the_listening() -> None:
    source, listener = Source(), Listener()
    task = listener.listen(source.events())
    source.put(event(1))
    await listener.hears()
    assert not source.closed.is_set()
    listener.leaves.set()
    await asyncio.wait_for(task, 30)
    assert source.closed.is_set()
    source.put(event(2))
    await asyncio.sleep(0)
    assert encode(event(2)) not in b"".join(listener.bodies)


async def test_a_slow_client_makes_the_source_wait() -> None:
    given: list[int] = []
    go_on = asyncio.Event()

    async def endless() -> AsyncGenerator[ServerEvent]:
        for number in range(1_000):
            given.append(number)
            yield event(number, "x" * 10_000)

    class SlowListener(Listener):
        async def send(self, message: Message) -> None:
            await super().send(message)
            if message["type"] == "http.response.body":
                await go_on.wait()

    listener = SlowListener()
    task = listener.listen(endless())
    await listener.hears()
    for _ in range(100):
        await asyncio.sleep(0)
    assert len(given) < 30, "it did not pile up"
    go_on.set()
    await task
    assert len(given) == 1_000
    assert sum(map(len, listener.bodies)) == sum(len(encode(event(number, "x" * 10_000))) for number in range(1_000))


async def test_open_streams_are_counted() -> None:
    metrics, source, listener = Metrics(), Source(), Listener()
    listener.scope["state"]["metrics"] = metrics
    task = listener.listen(source.events())
    source.put(event(1))
    await listener.hears()
    assert b"numen_sse_streams 1.0" in metrics.exposition()
    source.put(None)
    await task
    assert b"numen_sse_streams 0.0" in metrics.exposition()


async def test_an_error_of_the_source_is_raised_and_the_stream_left_unfinished() -> None:
    source, listener = Source(), Listener()
    source.put(event(1), RuntimeError("lost"))
    with pytest.raises(RuntimeError, match="lost"):
        await listener.listen(source.events())
    assert b"".join(listener.bodies) == encode(event(1))
    assert listener.messages[-1]["more_body"] is True


router = APIRouter()


@router.get("/none")
async def none() -> EventStream:
    """Events of a run that does not exist."""
    source = Source()
    source.put(RunNotFound("No such run."))
    return EventStream(source.events())


@router.get("/three")
async def three() -> EventStream:
    """Three events."""
    source = Source()
    source.put(event(1), event(2), event(3), None)
    return EventStream(source.events())


async def test_an_error_before_the_first_event_is_an_answer_like_any_other() -> None:
    async with client_of(small_app(router)) as client:
        answer = await client.get("/api/none")
    assert (answer.status_code, answer.json()["code"]) == (404, "run-not-found")


async def test_over_a_real_connection(logs: Logs) -> None:
    async with served(small_app(router)) as wire:
        answer = await wire.ask(request("GET", "/api/three"))
    assert answer.count(b"event: message.delta") == 3
    assert answer.endswith(b"0\r\n\r\n")
    assert [(line["event"], line["level"]) for line in logs() if line["logger"] != "uvicorn.error"] == [
        ("request", "info")
    ]
