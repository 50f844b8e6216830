"""FlowingAudio: audio that a provider makes at its own pace and a listener takes at theirs."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Self


class FlowingAudio:
    """Takes from `source` as fast as it gives: a slow listener holds up nobody who waits for the same provider.

    What is not taken yet is held in memory, so the source must be bounded. Whoever has one closes it.
    """

    def __init__(self, source: AsyncGenerator[bytes]) -> None:
        self._waiting: deque[bytes] = deque()
        self._news = asyncio.Event()
        self._task = asyncio.create_task(self._take_in(source))
        self._task.add_done_callback(lambda _: self._news.set())

    @classmethod
    async def begun(cls, source: AsyncGenerator[bytes]) -> Self:
        """With the first piece there already: what fails before that is raised here. Errors: those of the source."""
        audio = cls(source)
        try:
            await audio._something()
        except BaseException:
            await audio.close()
            raise
        return audio

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        """Everything that is there, at least one piece. Errors: those of the source, after all that it gave."""
        await self._something()
        if not self._waiting:
            raise StopAsyncIteration
        ready = b"".join(self._waiting)
        self._waiting.clear()
        return ready

    async def close(self) -> None:
        """Stop the source, unless it has ended."""
        self._task.cancel()
        await asyncio.wait([self._task])
        if not self._task.cancelled():
            self._task.exception()  # nobody listens any more; asyncio would complain that nobody asked

    async def _something(self) -> None:
        while not self._waiting:
            if self._task.done():
                self._task.result()
                return
            self._news.clear()
            await self._news.wait()

    async def _take_in(self, source: AsyncGenerator[bytes]) -> None:
        async with aclosing(source):
            async for piece in source:
                if piece:
                    self._waiting.append(piece)
                    self._news.set()
