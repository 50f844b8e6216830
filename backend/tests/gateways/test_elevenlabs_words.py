"""When the words of ElevenLabs' voices end: what is told of the times that it sends, and which of them are believed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from backend.gateways.elevenlabs_voice import ElevenLabsVoice
from backend.tests.gateways.speech_meetings import (
    FAIR,
    SENTENCE,
    VOICE_ID,
    elevenlabs,
    nothing_left,
    pieces,
    said,
    settings,
)
from backend.tests.protocol_servers.elevenlabs_server import ElevenLabsServer
from backend.tests.protocol_servers.speech_audio import hummed, seconds_of

Marks = list[tuple[int, Any]]


@pytest.fixture
async def voice(elevenlabs_server: ElevenLabsServer) -> AsyncGenerator[ElevenLabsVoice]:
    before = asyncio.all_tasks()
    voice = elevenlabs(elevenlabs_server.base_url, FAIR)
    yield voice
    await voice.close()
    await nothing_left(before, elevenlabs_server)


async def told(voice: ElevenLabsVoice, text: str = SENTENCE, **rest: Any) -> tuple[bytes, Marks]:
    """All the audio, and what was told."""
    marks: Marks = []

    def on_said(characters: int, end: float) -> None:
        marks.append((characters, end))

    return await said(voice, text, on_said=on_said, **rest), marks


def true_marks(text: str, speed: float = 1.0) -> Marks:
    """The ends of words, each character as long as the others."""
    ends = [place for place in range(1, len(text) + 1) if not text[place - 1].isspace()]
    ends = [place for place in ends if place == len(text) or text[place].isspace()]
    return [(place, pytest.approx(seconds_of(text, speed) * place / len(text), abs=0.002)) for place in ends]


@pytest.mark.parametrize("speed", [0.8, 1.0])
@pytest.mark.parametrize("sizes", [[], [1, 1, 1], [301, 1001, 3], [200_000]])
async def test_words_are_told_as_they_are_said(
    voice: ElevenLabsVoice, elevenlabs_server: ElevenLabsServer, sizes: list[int], speed: float
) -> None:
    elevenlabs_server.piece_sizes = sizes
    audio, marks = await told(voice, speed=speed)
    assert audio == hummed(SENTENCE, speed)
    assert marks == true_marks(SENTENCE, speed)
    asked = elevenlabs_server.requests[0]
    assert asked.path == f"/v1/text-to-speech/{VOICE_ID}/stream/with-timestamps"
    assert asked.query == {"output_format": "pcm_16000"}
    assert asked.body["text"] == SENTENCE


async def test_no_word_is_told_later_than_its_audio(voice: ElevenLabsVoice) -> None:
    came: list[float | bytes] = []
    text = f"{SENTENCE} {SENTENCE} {SENTENCE}"
    async for piece in voice.speak(text, settings(), on_said=lambda _, end: came.append(end)):
        came.append(piece)
    made = 0.0
    for one in came:
        if isinstance(one, bytes):
            made += len(one) / 32_000
        else:
            assert one > made - 0.001
    assert len([one for one in came if isinstance(one, bytes)]) > 10


async def test_pieces_are_whole_samples(voice: ElevenLabsVoice, elevenlabs_server: ElevenLabsServer) -> None:
    elevenlabs_server.piece_sizes = [1, 3, 5, 1001]
    came = await pieces(voice, on_said=lambda _, __: None)
    assert b"".join(came) == hummed(SENTENCE)
    assert all(piece and len(piece) % 2 == 0 for piece in came)


async def test_who_does_not_ask_for_words_gets_bare_audio(
    voice: ElevenLabsVoice, elevenlabs_server: ElevenLabsServer
) -> None:
    await said(voice)
    assert elevenlabs_server.requests[0].path.endswith("/stream")


@pytest.mark.parametrize("text", ["  Two  words.\n\nAnd — three ", "Grüße, 😀 und Ωμέγα", "It costs $29.50."])
async def test_places_are_those_of_the_text(voice: ElevenLabsVoice, text: str) -> None:
    assert (await told(voice, text))[1] == true_marks(text)


async def test_a_second_attempt_tells_each_word_once(
    voice: ElevenLabsVoice, elevenlabs_server: ElevenLabsServer
) -> None:
    elevenlabs_server.fault("reset", times=1)
    assert await told(voice) == (hummed(SENTENCE), true_marks(SENTENCE))
    assert len(elevenlabs_server.requests) == 2


async def test_space_may_be_more_and_less_than_was_sent(
    voice: ElevenLabsVoice, elevenlabs_server: ElevenLabsServer
) -> None:
    text = "One  two\n three"

    def bend(number: int, alignment: Any) -> Any:
        return _aligned([*"One two three", " "], [place / 10 for place in range(14)]) if number == 0 else None

    elevenlabs_server.bend = bend
    assert (await told(voice, text))[1] == [(3, 0.2), (8, 0.6), (15, 1.2)]


ODD: dict[str, Any] = {
    "none": None,
    "empty": {},
    "a number": 7,
    "a list": [1, 2],
    "other lengths": {"characters": ["L", "e"], "character_end_times_seconds": [0.1]},
    "no times": {"characters": ["L", "e", "t"]},
    "numbers for characters": {"characters": [1, 2, 3], "character_end_times_seconds": [0.1, 0.2, 0.3]},
    "times in words": {"characters": [*"Let"], "character_end_times_seconds": ["0.1", "0.2", "0.3"]},
    "times that are nothing": {"characters": [*"Let"], "character_end_times_seconds": [None, None, None]},
    "not a number": {"characters": [*"Let"], "character_end_times_seconds": [0.1, 0.2, float("nan")]},
    "endless": {"characters": [*"Let"], "character_end_times_seconds": [0.1, 0.2, float("inf")]},
    "huge": {"characters": [*"Let"], "character_end_times_seconds": [0.1, 0.2, 10**400]},
    "negative": {"characters": [*"Let"], "character_end_times_seconds": [-0.3, -0.2, -0.1]},
    "back in time": {"characters": [*"Let"], "character_end_times_seconds": [0.3, 0.2, 0.1]},
    "another text": {"characters": [*"Set"], "character_end_times_seconds": [0.1, 0.2, 0.3]},
}


@pytest.mark.parametrize("case", ODD)
async def test_times_that_cannot_be_are_not_believed_and_the_audio_is_kept(
    voice: ElevenLabsVoice, elevenlabs_server: ElevenLabsServer, case: str
) -> None:
    elevenlabs_server.bend = lambda number, alignment: ODD[case] if number == 0 else alignment
    audio, marks = await told(voice)
    assert audio == hummed(SENTENCE)
    assert marks == []


async def test_times_that_begin_anew_are_not_believed(
    voice: ElevenLabsVoice, elevenlabs_server: ElevenLabsServer
) -> None:
    def bend(number: int, alignment: Any) -> Any:
        if number == 2 and alignment:
            return {**alignment, "character_end_times_seconds": [0.01] * len(alignment["characters"])}
        return alignment

    elevenlabs_server.bend = bend
    elevenlabs_server.piece_sizes = [32_000, 32_000]
    audio, marks = await told(voice)
    assert audio == hummed(SENTENCE)
    assert marks == [one for one in true_marks(SENTENCE) if one[0] <= 2 * 15]


async def test_chunks_without_times_do_not_end_the_others(
    voice: ElevenLabsVoice, elevenlabs_server: ElevenLabsServer
) -> None:
    taken: list[Any] = []

    def bend(number: int, alignment: Any) -> Any:
        """All the times come with every third piece."""
        taken.extend([alignment] if alignment else [])
        if number % 3:
            return None
        joined = {key: [one for part in taken for one in part[key]] for key in _aligned([], [])}
        taken.clear()
        return joined

    elevenlabs_server.bend = bend
    audio, marks = await told(voice, SENTENCE[:30])
    assert audio == hummed(SENTENCE[:30])
    assert marks == true_marks(SENTENCE[:30])[: len(marks)]
    assert len(marks) >= 3


def _aligned(characters: list[str], ends: list[float]) -> dict[str, Any]:
    return {
        "characters": characters,
        "character_start_times_seconds": ends,
        "character_end_times_seconds": ends,
    }
