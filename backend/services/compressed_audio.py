"""CompressedAudio: samples on their way become a file of a smaller kind, as they come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable

from backend.ports.speech import AudioEncoder

_AT_ONCE = 65_536
"""Bytes, two seconds of audio: who goes away leaves no more behind than this."""


class CompressedAudio:
    """`encoder` makes one for each stream; it works in threads, so that nobody else waits meanwhile."""

    def __init__(self, encoder: Callable[[], AudioEncoder]) -> None:
        self._encoder = encoder

    async def of(self, pieces: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
        """The same audio, compressed; close it when you stop early, and `pieces` in any case. Errors: theirs."""
        encoder = self._encoder()
        async for piece in pieces:
            for begin in range(0, len(piece), _AT_ONCE):
                made = await asyncio.to_thread(encoder.encode, piece[begin : begin + _AT_ONCE])
                if made:
                    yield made
        rest = await asyncio.to_thread(encoder.finish)
        if rest:
            yield rest
