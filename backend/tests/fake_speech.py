"""A voice and ears that can be counted, held up and broken."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from backend.errors import SpeechError
from backend.models.voice import VoiceSettings
from backend.ports import HeardEvent, Transcript, Voice
from backend.ports.speech import SAMPLE_BYTES, SAMPLE_RATE, OnSaid
from backend.services.session_audio import SessionAudio
from backend.services.speakers import Speakers
from backend.services.speech_places import TOO_MANY_RECORDINGS, SpeechPlaces
from backend.services.speech_service import SpeechService
from backend.stores.database import Database, inside_transaction
from backend.telemetry import Metrics
from backend.tests.fake_listening import FakeListening
from backend.tests.fakes import FrozenClock

BYTES_A_LETTER = 64
_WORD = re.compile(r"\S+")
ALIASES = {"calm-female": "21m00Tcm4TlvDq8ikWAM", "soothing-male": "pNInz6obpgDQGcFmaJgB"}


class FakeVoice:
    """A `TextToSpeech`: each letter is so many bytes of it, in pieces of a word.

    `fails_at` is a word with which it breaks; after the first word of a text it waits for `gate`, as it does before it
    says which voices it has.
    """

    def __init__(self, provider: str, voices: Sequence[str] = ("en-us", "de")) -> None:
        self.provider = provider
        self.known = voices
        self.said: list[tuple[str, VoiceSettings]] = []
        self.around: list[tuple[str, str]] = []
        self.listed = 0
        self.prepared = 0
        self.open = 0
        self.most_open = 0
        self.closed = False
        self.gate = asyncio.Event()
        self.gate.set()
        self.fails_at: dict[str, SpeechError] = {}
        self.away: SpeechError | None = None

    async def speak(
        self, text: str, voice: VoiceSettings, *, before: str = "", after: str = "", on_said: OnSaid | None = None
    ) -> AsyncGenerator[bytes]:
        assert not inside_transaction(), "a voice was asked inside a transaction"
        self.said.append((text, voice))
        self.around.append((before, after))
        self.open += 1
        self.most_open = max(self.open, self.most_open)
        made = 0
        try:
            for number, found in enumerate(_WORD.finditer(text)):
                word = found[0]
                if error := self.fails_at.get(word):
                    raise error
                if number:
                    await self.gate.wait()
                made += len(word) * BYTES_A_LETTER
                if on_said:
                    on_said(found.end(), made / SAMPLE_BYTES / SAMPLE_RATE)
                yield spoken(word)
        finally:
            self.open -= 1

    async def prepare(self) -> None:
        self.prepared += 1
        if self.away:
            raise self.away

    async def voices(self) -> Sequence[Voice]:
        self.listed += 1
        await self.gate.wait()
        if self.away:
            raise self.away
        return [Voice(self.provider, one, one.title(), one) for one in self.known]

    async def close(self) -> None:
        self.closed = True


class FakeEars:
    """A `SpeechToText` that hears how many bytes there were in a recording, and in a conversation what a test says.

    `error` breaks recordings, `away` the opening of a conversation; both wait for `gate`. `at_finalize` are
    the words that end a turn which was ended by hand; None leaves it to the test.
    """

    def __init__(self) -> None:
        self.heard: list[tuple[bytes, str, VoiceSettings]] = []
        self.error: SpeechError | None = None
        self.away: SpeechError | None = None
        self.at_finalize: str | None = ""
        self.gate = asyncio.Event()
        self.gate.set()
        self.listenings: list[FakeListening] = []
        self._opened = asyncio.Event()

    @property
    def open(self) -> int:
        """How many conversations are listened to."""
        return sum(not one.closed for one in self.listenings)

    @property
    def now(self) -> FakeListening:
        """The conversation that was opened last."""
        return self.listenings[-1]

    async def say(self, *events: HeardEvent) -> None:
        """These are heard in the conversation that was opened last, once there is one."""
        await self._opened.wait()
        await self.now.say(*events)

    async def break_down(self, error: SpeechError) -> None:
        """The provider is lost in the conversation that was opened last, once there is one."""
        await self._opened.wait()
        await self.now.break_down(error)

    @asynccontextmanager
    async def listen(self, voice: VoiceSettings) -> AsyncGenerator[FakeListening]:
        assert not inside_transaction(), "ears were opened inside a transaction"
        await self.gate.wait()
        if self.away:
            raise self.away
        listening = FakeListening(voice, self.at_finalize)
        self.listenings.append(listening)
        self._opened.set()
        try:
            yield listening
        finally:
            await listening.close()

    async def transcribe(self, audio: bytes, media_type: str, voice: VoiceSettings) -> Transcript:
        assert not inside_transaction(), "ears were asked inside a transaction"
        self.heard.append((audio, media_type, voice))
        await self.gate.wait()
        if self.error:
            raise self.error
        return Transcript(f"{len(audio)} bytes", 0.5, 1.5)

    async def close(self) -> None:
        pass


def spoken(text: str) -> bytes:
    """What a `FakeVoice` makes of these words."""
    return b"".join(ord(letter).to_bytes(2, "little") * (BYTES_A_LETTER // 2) for letter in text if letter != " ")


class Studio:
    """Voices, ears and what is made with them. `keys` are the providers that have one."""

    def __init__(
        self,
        database: Database,
        files: Any,
        *,
        keys: Sequence[str] = ("elevenlabs", "deepgram"),
        stands_in: bool = False,
    ) -> None:
        self.local, self.eleven, self.ears = (
            FakeVoice("local"),
            FakeVoice("elevenlabs", [*ALIASES.values()]),
            FakeEars(),
        )
        voices = {"local": self.local, "elevenlabs": self.eleven}
        self.clock = FrozenClock()
        self.metrics = Metrics()
        self.speakers = Speakers(
            {name: one for name, one in voices.items() if name in ("local", *keys)},
            {"deepgram": self.ears} if "deepgram" in keys else {},
            ALIASES,
            self.clock,
            stands_in=stands_in,
        )
        self.places = SpeechPlaces(patience_seconds=0.2)
        transcribing = SpeechPlaces(patience_seconds=0.2, refusal=TOO_MANY_RECORDINGS)
        self.speech = SpeechService(database, self.speakers, self.metrics, self.places, transcribing)
        self.recordings = SessionAudio(database, self.speech, files)

    @property
    def said(self) -> list[str]:
        """What ElevenLabs was asked to say."""
        return [text for text, _ in self.eleven.said]
