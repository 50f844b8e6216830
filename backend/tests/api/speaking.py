"""What tests of speech over HTTP share: a voice, words to say, and what is in the WAV file that comes back."""

from __future__ import annotations

import array
import io
import wave
from typing import Any

import httpx

from backend.routers.audio_answer import HEADER_BYTES
from backend.tests.fixtures_api import Person

VOICE: dict[str, Any] = {"provider": "local", "voice_id": "en-us", "speed": 1.0}
WORDS = "Breathe in slowly, and let your shoulders sink. You are safe here, and nothing has to be done."


def speech_of(agent: dict[str, Any]) -> str:
    """The address at which it speaks."""
    return f"/api/v1/agents/{agent['id']}/speech"


async def speak(person: Person, agent: dict[str, Any], text: str = WORDS, **headers: str) -> httpx.Response:
    """Have it say this."""
    return await person.http.post(speech_of(agent), json={"text": text}, headers=headers)


def sound(content: bytes) -> array.array[int]:
    """The samples of a WAV file, also of one whose length was not known when it began."""
    if content[4:8] == b"\xff\xff\xff\xff":
        data = content[HEADER_BYTES:]
    else:
        with wave.open(io.BytesIO(content)) as read:
            assert (read.getframerate(), read.getnchannels(), read.getsampwidth()) == (16_000, 1, 2)
            data = read.readframes(read.getnframes())
    assert len(data) % 2 == 0
    return array.array("h", data)


def seconds(content: bytes) -> float:
    """How long it is."""
    return len(sound(content)) / 16_000


def loudest(content: bytes) -> int:
    """The largest distance of a sample from silence, up to 32,768."""
    return max((abs(one) for one in sound(content)), default=0)
