"""A listener's pace is not the provider's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from backend.errors import SpeechFailed
from backend.services.flowing_audio import FlowingAudio
from backend.tests.fair_time import fair_timeout


class Source:
    """Gives these pieces, then raises, or waits for ever."""

    def __init__(self, *pieces: bytes, error: Exception | None = None, hangs: bool = False) -> None:
        self._pieces = pieces
        self._error = error
        self._hangs = hangs
        self.given = asyncio.Event()
        self.closed = False

    async def pieces(self) -> AsyncGenerator[bytes]:
        try:
            for piece in self._pieces:
                yield piece
            self.given.set()
            if self._error:
                raise self._error
            if self._hangs:
                await asyncio.Event().wait()
        finally:
            self.closed = True


async def test_a_slow_listener_does_not_hold_the_source_up() -> None:
    source = Source(b"one", b"two", b"three")
    audio = await FlowingAudio.begun(source.pieces())
    async with fair_timeout(2):
        await source.given.wait()
        while not source.closed:  # noqa: ASYNC110 — the source's own end, of which nobody is told
            await asyncio.sleep(0)
    assert b"".join([piece async for piece in audio]) == b"onetwothree"
    await audio.close()


async def test_what_fails_before_the_first_piece_fails_at_once() -> None:
    with pytest.raises(SpeechFailed, match="no voice"):
        await FlowingAudio.begun(Source(b"", error=SpeechFailed("no voice")).pieces())


async def test_what_fails_later_is_told_after_what_was_said() -> None:
    source = Source(b"one", error=SpeechFailed("hoarse"))
    audio = await FlowingAudio.begun(source.pieces())
    assert await anext(audio) == b"one"
    with pytest.raises(SpeechFailed, match="hoarse"):
        await anext(audio)
    await audio.close()


async def test_nothing_said_is_an_end() -> None:
    audio = await FlowingAudio.begun(Source().pieces())
    assert [piece async for piece in audio] == []
    await audio.close()


async def test_who_goes_away_stops_the_source() -> None:
    source = Source(b"one", hangs=True)
    audio = await FlowingAudio.begun(source.pieces())
    assert not source.closed
    await audio.close()
    assert source.closed


async def test_who_goes_away_before_the_first_piece_stops_it_too() -> None:
    source = Source(hangs=True)
    waiting = asyncio.create_task(FlowingAudio.begun(source.pieces()))
    async with fair_timeout(2):
        await source.given.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert source.closed
