"""Open ears that hear what a test says."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator

from backend.errors import SpeechError
from backend.models.voice import VoiceSettings
from backend.ports import HeardEvent, WordsHeard
from backend.ports.speech import SAMPLE_BYTES, SAMPLE_RATE


class FakeListening:
    """A `Listening`. `finalize` is answered with the words `at_finalize`, or by nobody where that is None."""

    def __init__(self, voice: VoiceSettings, at_finalize: str | None = "") -> None:
        self.voice = voice
        self.at_finalize = at_finalize
        self.audio = bytearray()
        self.pieces: list[int] = []
        self.finalized = 0
        self.closed = False
        self._events: deque[HeardEvent] = deque()
        self._lost: SpeechError | None = None
        self._over = False
        self._news = asyncio.Condition()

    @property
    def seconds(self) -> float:
        """How much was heard."""
        return len(self.audio) / (SAMPLE_RATE * SAMPLE_BYTES)

    async def hear(self, pcm: bytes) -> None:
        self._check()
        self.audio += pcm
        self.pieces.append(len(pcm))
        await self._tell()

    async def finalize(self) -> None:
        self._check()
        self.finalized += 1
        if self.at_finalize is not None:
            self._events.append(WordsHeard(self.at_finalize, True, True, self.seconds))
        await self._tell()

    async def events(self) -> AsyncIterator[HeardEvent]:
        while True:
            async with self._news:
                await self._news.wait_for(lambda: self._events or self._lost or self._over)
                if not self._events and self._lost:
                    raise self._lost
                if not self._events:
                    return
                event = self._events.popleft()
            yield event

    async def say(self, *events: HeardEvent) -> None:
        """These are heard, after whatever was not taken yet."""
        self._events.extend(events)
        await self._tell()

    async def break_down(self, error: SpeechError) -> None:
        """The provider is lost: what is asked of it from now on is this error."""
        self._lost = error
        await self._tell()

    async def end(self) -> None:
        """The provider closes in good order."""
        self._over = True
        await self._tell()

    async def until_heard(self, size: int) -> None:
        """Wait until so many bytes of audio came."""
        async with self._news:
            await self._news.wait_for(lambda: len(self.audio) >= size)

    async def until_finalized(self, times: int = 1) -> None:
        """Wait until a turn was ended by hand, so many times."""
        async with self._news:
            await self._news.wait_for(lambda: self.finalized >= times)

    async def until_closed(self) -> None:
        """Wait until the conversation let go of it."""
        async with self._news:
            await self._news.wait_for(lambda: self.closed)

    async def close(self) -> None:
        self.closed = True
        self._over = True
        await self._tell()

    def _check(self) -> None:
        assert not self.closed, "closed ears were asked"
        if self._lost:
            raise self._lost

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()
