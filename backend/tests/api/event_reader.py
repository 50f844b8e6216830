"""Reads Server-Sent Events strictly: what the format does not allow, or our streams never send, is an error."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx

TERMINAL = ("message.completed", "run.failed")


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a run."""

    id: str
    type: str
    data: Any


async def events_of(answer: httpx.Response) -> AsyncIterator[Event]:
    """The events of a stream as they come."""
    assert answer.status_code == 200, await answer.aread()
    assert answer.headers["content-type"].partition(";")[0] == "text/event-stream"
    assert answer.headers["cache-control"] == "no-store"
    waiting = b""
    async for piece in answer.aiter_raw():
        *blocks, waiting = (waiting + piece).split(b"\n\n")
        for block in blocks:
            if not block.startswith(b":"):
                yield _event(block.decode())
    assert waiting == b"", "the stream ended in the middle of an event"


def _event(block: str) -> Event:
    lines = [line.partition(": ") for line in block.split("\n")]
    assert [name for name, _, _ in lines] == ["id", "event", "data"], block
    identifier, kind, data = (value for _, _, value in lines)
    return Event(identifier, kind, json.loads(data))


async def all_events(answer: httpx.Response) -> list[Event]:
    """The events of a stream that has ended, checked as a whole: one start at most, one end, the last of all."""
    events = [event async for event in events_of(answer)]
    assert [event.type in TERMINAL for event in events] == [False] * (len(events) - 1) + [True]
    assert len({event.id for event in events}) == len(events)
    return events


def text_of(events: list[Event]) -> str:
    """What the deltas say together."""
    return "".join(event.data["text"] for event in events if event.type == "message.delta")
