"""Voices, ears and settings for the tests of the speech gateways."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from typing import Any

from backend.errors import SpeechError
from backend.gateways.deepgram_speech import DeepgramSpeech
from backend.gateways.elevenlabs_voice import ElevenLabsVoice
from backend.models.voice import VoiceSettings
from backend.ports import TextToSpeech
from backend.ports.speech import OnSaid
from backend.tests.gateways.model_requests import SettableClock
from backend.tests.protocol_servers.speech_server import SpeechServer

KEY = "sk_canary4711canary4711canary4711"
VOICE_ID = "EXAVITQu4vr4xnSDxMaL"
SENTENCE = "Let your shoulders sink, and breathe out slowly."
FAIR: dict[str, float] = {"connect_seconds": 10.0, "first_byte_seconds": 10.0, "total_seconds": 20.0}
SHORT: dict[str, float] = {"connect_seconds": 0.3, "first_byte_seconds": 0.3, "total_seconds": 0.5}
LONGEST_WAIT = 3.0
"""Seconds that no test may wait for an error, whatever the deadline."""


def settings(**rest: Any) -> VoiceSettings:
    """The agent's voice."""
    return VoiceSettings.model_validate({"voice_id": VOICE_ID, **rest})


def elevenlabs(base_url: str, deadlines: dict[str, float] = FAIR, key: str = KEY, **rest: Any) -> ElevenLabsVoice:
    """A voice at a server; close it."""
    waits: dict[str, Any] = {**deadlines, **rest}
    return ElevenLabsVoice(api_key=key, clock=SettableClock(), base_url=base_url, **waits)


def deepgram(base_url: str, deadlines: dict[str, float] = FAIR, key: str = KEY, **rest: Any) -> DeepgramSpeech:
    """Ears at a server; close them."""
    waits: dict[str, Any] = {name: seconds for name, seconds in deadlines.items() if name != "first_byte_seconds"}
    waits |= rest
    return DeepgramSpeech(api_key=key, clock=SettableClock(), base_url=base_url, **waits)


async def said(voice: TextToSpeech, text: str = SENTENCE, **rest: Any) -> bytes:
    """All the audio of a text."""
    return b"".join(await pieces(voice, text, **rest))


async def pieces(
    voice: TextToSpeech,
    text: str = SENTENCE,
    *,
    before: str = "",
    after: str = "",
    on_said: OnSaid | None = None,
    **rest: Any,
) -> list[bytes]:
    """The audio of a text as it came."""
    async with aclosing(voice.speak(text, settings(**rest), before=before, after=after, on_said=on_said)) as spoken:
        return [piece async for piece in spoken]


async def nothing_left(before: set[asyncio.Task[Any]], server: SpeechServer) -> None:
    """Assert that no task and no connection of a closed gateway is left."""
    for _ in range(20):
        await asyncio.sleep(0)
    assert asyncio.all_tasks() - {asyncio.current_task()} <= before
    end = time.monotonic() + 10
    while server.open_connections:
        assert time.monotonic() < end, "a connection stayed open"
        await asyncio.sleep(0.005)


def fit_to_show(error: SpeechError, provider: str) -> None:
    """Assert that an error is short, names the provider, and that nothing of the key is in it or behind it."""
    assert error.context["provider"] == provider
    assert provider in error.detail.lower()
    assert len(error.detail) < 500
    seen: BaseException | None = error
    while seen is not None:
        assert "canary" not in f"{seen} {seen.args} {vars(seen)}"
        seen = seen.__cause__ or seen.__context__
