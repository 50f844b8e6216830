"""Audio is compressed while it comes, and holds up nobody."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator

import pytest

from backend.errors import SpeechFailed
from backend.services.compressed_audio import CompressedAudio


class Slow:
    """An `AudioEncoder` that gives every second byte, and waits for `go`."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.there = threading.Event()
        self.sizes: list[int] = []

    def encode(self, pcm: bytes) -> bytes:
        self.there.set()
        assert self.go.wait(5)
        self.sizes.append(len(pcm))
        return pcm[::2]

    def finish(self) -> bytes:
        return b"end"


async def _pieces(*pieces: bytes, error: Exception | None = None) -> AsyncGenerator[bytes]:
    for piece in pieces:
        yield piece
    if error:
        raise error


async def test_all_of_it_comes_and_then_the_rest() -> None:
    encoder = Slow()
    encoder.go.set()
    made = [piece async for piece in CompressedAudio(lambda: encoder).of(_pieces(b"a.b.", b"c."))]
    assert made == [b"ab", b"c", b"end"]


async def test_large_pieces_are_compressed_a_little_at_a_time() -> None:
    encoder = Slow()
    encoder.go.set()
    made = b"".join([piece async for piece in CompressedAudio(lambda: encoder).of(_pieces(bytes(200_000)))])
    assert len(made) == 100_003
    assert max(encoder.sizes) == 65_536


async def test_nobody_waits_for_the_encoder() -> None:
    encoder = Slow()
    stream = CompressedAudio(lambda: encoder).of(_pieces(b"a."))
    first = asyncio.ensure_future(anext(stream))
    assert await asyncio.to_thread(encoder.there.wait, 5)  # the loop goes on
    encoder.go.set()
    assert await first == b"a"
    await stream.aclose()


async def test_what_fails_is_told_after_what_came() -> None:
    encoder = Slow()
    encoder.go.set()
    stream = CompressedAudio(lambda: encoder).of(_pieces(b"a.", error=SpeechFailed("hoarse")))
    assert await anext(stream) == b"a"
    with pytest.raises(SpeechFailed):
        await anext(stream)
