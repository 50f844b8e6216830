"""What a voice and ears must be able to do."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Protocol

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


class TextToSpeech(Protocol):
    """A provider of voices. Errors: `SpeechUnavailable`, `SpeechTimeout`, `SpeechFailed`."""

    def speak(self, text: str, voice: VoiceSettings, *, before: str = "", after: str = "") -> AsyncGenerator[bytes]:
        """PCM16 of one sentence or more as it comes, in pieces of whole samples; whoever stops early closes it.

        `voice.voice_id` is the provider's own. `before` and `after` are said around it, for the melody.
        """
        ...

    async def voices(self) -> Sequence[Voice]:
        """What there is to choose from."""
        ...

    async def close(self) -> None:
        """Give back what it holds."""
        ...


class SpeechToText(Protocol):
    """A provider of ears for whole recordings. Errors: as above."""

    async def transcribe(self, audio: bytes, media_type: str, voice: VoiceSettings) -> Transcript:
        """What was said in a recording (`audio/wav`, `audio/mpeg`, `audio/ogg`, `audio/webm`)."""
        ...

    async def close(self) -> None:
        """Give back what it holds."""
        ...
