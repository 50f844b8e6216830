"""What a voice and ears must be able to do."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from backend.models.voice import VoiceSettings

SAMPLE_RATE = 16_000
"""Audio is PCM16 (signed, little endian), mono, this many samples a second, wherever it is not a file."""
SAMPLE_BYTES = 2


@dataclass(frozen=True, slots=True)
class Voice:
    """A voice that a provider has. `preview_url` is empty where the provider has none."""

    provider: str
    voice_id: str
    name: str
    language: str = ""
    description: str = ""
    preview_url: str = ""


@dataclass(frozen=True, slots=True)
class Transcript:
    """What was heard; `confidence` in [0, 1], `seconds` of audio."""

    text: str
    confidence: float
    seconds: float


OnSaid = Callable[[int, float], None]
"""So many characters of the text have been said, words and all, when so many seconds of its audio are over."""


class AudioEncoder(Protocol):
    """Makes one file of another kind from PCM16, piece by piece. Any thread may call it, one at a time."""

    def encode(self, pcm: bytes) -> bytes:
        """What is finished with these samples, often a little less than they are; may be nothing yet."""
        ...

    def finish(self) -> bytes:
        """The rest."""
        ...


class TextToSpeech(Protocol):
    """A provider of voices. Errors: `SpeechUnavailable`, `SpeechTimeout`, `SpeechFailed`."""

    def speak(
        self, text: str, voice: VoiceSettings, *, before: str = "", after: str = "", on_said: OnSaid | None = None
    ) -> AsyncGenerator[bytes]:
        """PCM16 of one sentence or more as it comes, in pieces of whole samples; whoever stops early closes it.

        `voice.voice_id` is the provider's own. `before` and `after` are said around it, for the melody. `on_said` is
        told the end of each word in order, no later than the piece of audio in which it ends; a provider that does not
        know calls it never.
        """
        ...

    async def prepare(self) -> None:
        """Load what takes long to load, so that the first text does not wait for it."""
        ...

    async def voices(self) -> Sequence[Voice]:
        """What there is to choose from."""
        ...

    async def close(self) -> None:
        """Give back what it holds."""
        ...


@dataclass(frozen=True, slots=True)
class SpeechBegan:
    """Somebody began to make sounds like speech, so many seconds into the audio."""

    seconds: float


@dataclass(frozen=True, slots=True)
class WordsHeard:
    """Words, until so many seconds into the audio. Only `final` ones stay as they are, each given once.

    With `ends_turn` the person has stopped talking; the text may be empty then. `asked`: they said so (`finalize`).
    """

    text: str
    final: bool
    ends_turn: bool
    seconds: float
    asked: bool = False


@dataclass(frozen=True, slots=True)
class SpeechEnded:
    """No more words for a while, the last ones at so many seconds: the end of a turn that had no other sign."""

    seconds: float


HeardEvent: TypeAlias = SpeechBegan | WordsHeard | SpeechEnded


class Listening(Protocol):
    """Ears that are open. Errors, of all: as above, once the provider is lost."""

    async def hear(self, pcm: bytes) -> None:
        """Give it the next audio, PCM16."""
        ...

    async def finalize(self) -> None:
        """What was given is all of a turn: have it written down now. A `WordsHeard` that ends the turn follows."""
        ...

    def events(self) -> AsyncIterator[HeardEvent]:
        """What is heard, as it is; ends when the provider closes in good order."""
        ...


class SpeechToText(Protocol):
    """A provider of ears. Errors: as above."""

    def listen(self, voice: VoiceSettings) -> AbstractAsyncContextManager[Listening]:
        """Ears for one conversation, kept open through silence until the block ends."""
        ...

    async def transcribe(self, audio: bytes, media_type: str, voice: VoiceSettings) -> Transcript:
        """What was said in a recording (`audio/wav`, `audio/mpeg`, `audio/ogg`, `audio/webm`)."""
        ...

    async def close(self) -> None:
        """Give back what it holds."""
        ...
