"""Conversations with ears, as the tests of them hold them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from backend.gateways.deepgram_live import LivePatience
from backend.gateways.deepgram_speech import DeepgramSpeech
from backend.ports import HeardEvent, Listening, WordsHeard
from backend.ports.speech import SAMPLE_BYTES, SAMPLE_RATE
from backend.tests.gateways.speech_meetings import settings

FRAME_BYTES = SAMPLE_RATE // 50 * SAMPLE_BYTES
HASTE = LivePatience(keep_alive_seconds=0.05, finalize_seconds=0.2)

T = TypeVar("T", bound=HeardEvent)


def quiet(seconds: float) -> bytes:
    """PCM16 of nothing."""
    return bytes(round(SAMPLE_RATE * seconds) * SAMPLE_BYTES)


class Talk:
    """One conversation: what is said into it, and all that was heard."""

    def __init__(self, ears: Listening) -> None:
        self.ears = ears
        self.heard: list[HeardEvent] = []
        self._news = asyncio.Condition()
        self.listening = asyncio.create_task(self._listen())

    async def say(self, pcm: bytes) -> None:
        """In frames, as fast as they are taken."""
        for start in range(0, len(pcm), FRAME_BYTES):
            await self.ears.hear(pcm[start : start + FRAME_BYTES])

    async def until(self, kind: type[T], meets: Callable[[T], bool] = lambda _: True, count: int = 1) -> T:
        """The event of this kind, once it is there so often. Errors: `TimeoutError`; what broke the ears."""

        def found() -> list[T]:
            return [event for event in self.heard if isinstance(event, kind) and meets(event)]

        async with asyncio.timeout(30), self._news:
            await self._news.wait_for(lambda: len(found()) >= count or self.listening.done())
        if len(found()) < count:
            self.listening.result()
        return found()[count - 1]

    async def end_of_turn(self, count: int = 1) -> WordsHeard:
        """The words that end a turn."""
        return await self.until(WordsHeard, lambda words: words.ends_turn, count)

    def turns(self) -> list[str]:
        """The final words of each turn."""
        turns: list[str] = []
        pieces: list[str] = []
        for event in self.heard:
            if isinstance(event, WordsHeard) and event.final:
                pieces.append(event.text)
                if event.ends_turn:
                    turns.append(" ".join(piece for piece in pieces if piece))
                    pieces = []
        return turns

    async def _listen(self) -> None:
        try:
            async for event in self.ears.events():
                self.heard.append(event)
                await self._tell()
        finally:
            await self._tell()

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()


@asynccontextmanager
async def talk(ears: DeepgramSpeech, **voice: object) -> AsyncGenerator[Talk]:
    """A conversation whose events are listened to."""
    async with ears.listen(settings(**voice)) as open_ears:
        conversation = Talk(open_ears)
        try:
            yield conversation
        finally:
            conversation.listening.cancel()
            await asyncio.wait({conversation.listening})
