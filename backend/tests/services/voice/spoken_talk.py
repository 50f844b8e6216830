"""An answer that is being spoken to a client which plays it in real time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from itertools import accumulate
from uuid import uuid4

from backend.models.voice import VoiceSettings
from backend.models.voice_frames import AudioEnd, AudioStart
from backend.ports import OnSaid
from backend.services.hearing import Hearing
from backend.services.speakers import ChosenVoice
from backend.services.voice.sentences import Sentences
from backend.services.voice.spoken_answer import KEPT_MS, SpokenAnswer
from backend.stores.database import Database
from backend.tests.fake_speech import FakeVoice, Studio, spoken
from backend.tests.services.voice.loudspeaker import Loudspeaker

SHORT = "The sea is large. It is full of fish. Many people love it."
LONG = " ".join(f"This is sentence number {number} of an answer about the sea." for number in range(10))
LONGEST_WORD = 9 * 64


def in_sentences(text: str) -> list[str]:
    found = Sentences()
    return [one.text for one in found.push(text) + found.rest()]


def word_ends(text: str) -> list[int]:
    """Where in its audio each word of a text ends."""
    return list(accumulate(len(spoken(word)) for word in text.split()))


class Wordless(FakeVoice):
    """Does not tell where the words end."""

    def speak(
        self, text: str, voice: VoiceSettings, *, before: str = "", after: str = "", on_said: OnSaid | None = None
    ) -> AsyncGenerator[bytes]:
        return super().speak(text, voice, before=before, after=after)


class Talk:
    """An answer that is being spoken to a loudspeaker."""

    def __init__(self, studio: Studio, speaker: Loudspeaker, voice: FakeVoice) -> None:
        self.studio = studio
        self.voice = voice
        self.speaker = speaker
        self.socket = speaker.socket
        self.hearing = Hearing()
        self.answer = self.spoken_answer()
        self.running: asyncio.Task[None] | None = None

    def spoken_answer(self, *, kept_ms: int = KEPT_MS) -> SpokenAnswer:
        """Another answer to the same client."""
        chosen = ChosenVoice(self.voice.provider, self.voice, VoiceSettings(provider="local", voice_id="en-us"))
        return SpokenAnswer(self.studio.speech, uuid4(), chosen, 7, self.socket, self.hearing, kept_ms=kept_ms)

    @property
    def said(self) -> list[str]:
        """What was asked to be said."""
        return [text for text, _ in self.voice.said]

    @property
    def starts(self) -> int:
        """How often audio began."""
        return sum(isinstance(one, AudioStart) for one in self.socket.told)

    async def all_is_sent(self) -> None:
        """Wait for the end of the audio."""
        await self.socket.until(lambda: any(isinstance(one, AudioEnd) for one in self.socket.told))

    def begin(self, text: str, *, whole: bool = True) -> None:
        """Speak this, by default all of the answer."""
        self.answer.push(text)
        if whole:
            self.answer.end_of_text()
        self.running = asyncio.create_task(self.answer.run())

    async def falls_silent(self) -> None:
        """Wait until everything that was sent is played."""
        await self.socket.until(lambda: self.socket.frames)
        async with asyncio.timeout(30):
            while self.answer.audible:  # noqa: ASYNC110 — time tells nobody
                await asyncio.sleep(0.002)

    async def over(self) -> None:
        """Wait for its end. Errors: those of `run`."""
        assert self.running
        async with asyncio.timeout(30):
            await self.running

    async def drops(self) -> None:
        """The client is told to be silent, and tells how far it came."""
        assert self.answer.hold()
        self.speaker.drop()
        self.answer.played(self.speaker.played_ms)


@asynccontextmanager
async def leaving_nothing(talk: Talk) -> AsyncGenerator[None]:
    before = asyncio.all_tasks()
    yield
    assert asyncio.all_tasks() <= before
    assert talk.voice.open == 0


@asynccontextmanager
async def spoken_to(database: Database, voice: FakeVoice) -> AsyncGenerator[Talk]:
    """A `Talk` by this voice, which ends with the block."""
    made = Talk(Studio(database, None), Loudspeaker(), voice)
    try:
        yield made
    finally:
        if made.running:
            made.running.cancel()
            await asyncio.wait({made.running})


@asynccontextmanager
async def reporting(talk: Talk) -> AsyncGenerator[None]:
    """The client tells all the time what it has played."""

    async def report() -> None:
        while True:
            await asyncio.sleep(0.02)
            if talk.speaker.played:
                talk.answer.played(talk.speaker.played_ms)

    reports = asyncio.create_task(report())
    try:
        yield
    finally:
        reports.cancel()
        await asyncio.wait({reports})
