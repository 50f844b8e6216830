"""A stream is listened to until enough was heard."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from backend.errors import ModelFailed
from backend.graphs.until import until


class _Source:
    def __init__(self, *pieces: str, gate: asyncio.Event | None = None) -> None:
        self._pieces = pieces
        self._gate = gate
        self.closed = False

    async def stream(self) -> AsyncGenerator[str]:
        try:
            for piece in self._pieces:
                if piece == "wait" and self._gate is not None:
                    await self._gate.wait()
                elif piece == "fail":
                    raise ModelFailed("It broke.")
                else:
                    yield piece
        finally:
            self.closed = True


async def _heard(source: _Source, enough: asyncio.Event | None) -> list[str]:
    async with aclosing(source.stream()) as pieces:
        return [piece async for piece in until(enough, pieces)]


async def test_without_an_event_everything_is_heard() -> None:
    source = _Source("a", "b")

    assert await _heard(source, None) == ["a", "b"]
    assert source.closed


async def test_an_event_that_does_not_come_changes_nothing() -> None:
    assert await _heard(_Source("a", "b"), asyncio.Event()) == ["a", "b"]


async def test_waiting_ends_when_it_is_enough() -> None:
    enough, never = asyncio.Event(), asyncio.Event()
    source = _Source("a", "wait", "b", gate=never)
    hearing = asyncio.create_task(_heard(source, enough))
    await asyncio.sleep(0.01)
    assert not hearing.done()

    enough.set()

    assert await hearing == ["a"]
    assert source.closed


async def test_what_is_there_at_once_is_taken_all_the_same() -> None:
    enough = asyncio.Event()
    enough.set()

    assert await _heard(_Source("a", "b", "wait", "c", gate=asyncio.Event()), enough) == ["a", "b"]


async def test_errors_come_through() -> None:
    with pytest.raises(ModelFailed):
        await _heard(_Source("a", "fail"), asyncio.Event())


async def test_whoever_is_cancelled_leaves_the_stream_closed() -> None:
    source = _Source("a", "wait", gate=asyncio.Event())
    hearing = asyncio.create_task(_heard(source, asyncio.Event()))
    await asyncio.sleep(0.01)

    hearing.cancel()

    with pytest.raises(asyncio.CancelledError):
        await hearing
    assert source.closed
