"""When the words of the voice of this machine end: what it tells, held against what is heard."""

from __future__ import annotations

import itertools
from collections.abc import AsyncGenerator
from typing import Any

import numpy as np
import pytest

from backend.gateways.local_voice import LocalVoice
from backend.models.voice import VoiceSettings
from backend.ports.speech import SAMPLE_RATE
from backend.tests.gateways.sounds import Sound, loudness, seconds, sound_of

PAUSES = "Hello, umbrellas, seven, now. Nobody. Good morning, rain."
OFF = 0.08


@pytest.fixture(scope="module")
async def local() -> AsyncGenerator[LocalVoice]:
    local = LocalVoice()
    yield local
    await local.close()


async def told(local: LocalVoice, text: str, **changed: Any) -> tuple[Sound, list[tuple[int, float]]]:
    """What is heard, and what was told; each word was told by the time that its last piece came."""
    marks: list[tuple[int, float]] = []
    late: list[float] = []
    audio = b""
    voice = VoiceSettings.model_validate({"provider": "local", "voice_id": "en-us"} | changed)

    def on_said(characters: int, end: float) -> None:
        marks.append((characters, end))
        if end < len(audio) / 2 / SAMPLE_RATE:
            late.append(end)

    async for piece in local.speak(text, voice, on_said=on_said):
        audio += piece
    sound = sound_of(audio)
    assert not late
    assert marks == sorted(marks)
    assert all(0 < end <= seconds(sound) for _, end in marks)
    return sound, marks


def between(sound: Sound, begin: float, end: float) -> Sound:
    return sound[max(0, round(begin * SAMPLE_RATE)) : round(end * SAMPLE_RATE)]


@pytest.mark.parametrize(("speed", "pitch"), [(1.0, 1.0), (0.7, 1.0), (1.7, 1.0), (1.0, 1.6), (0.9, 0.6)])
async def test_a_word_before_a_pause_ends_where_the_sound_does(local: LocalVoice, speed: float, pitch: float) -> None:
    sound, marks = await told(local, PAUSES, speed=speed, pitch=pitch)
    ends = {PAUSES[:characters].rsplit(maxsplit=1)[-1]: end for characters, end in marks}
    assert list(ends) == PAUSES.split()
    for word, end in ends.items():
        if word[-1] in ",.":
            assert loudness(between(sound, end - OFF, end)) > 300, word
            assert loudness(between(sound, end + OFF / 4, end + OFF)) < 30, word


async def test_a_word_without_a_pause_ends_where_the_next_begins(local: LocalVoice) -> None:
    # An "a" is a sound, and the lips are closed between two of them: it is all but silent there.
    sound, marks = await told(local, "bah bah bah bah bah bah bah bah")
    loud = [loudness(between(sound, at / 100, at / 100 + 0.02)) for at in range(round(seconds(sound) * 100) - 2)]
    for _, end in marks[:-1]:
        near = loud[round((end - OFF) * 100) : round((end + OFF) * 100)]
        assert min(near) < 0.3 * max(near)
    lengths = np.diff([end for _, end in marks])
    assert lengths.std() < 0.3 * lengths.mean()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("  Hello,\n\n \tthere  you. ", ["  Hello,", "\n\n \tthere", "  you."]),
        ("On\x01e\ue000 two\x00.", ["On", "\x01e", "\ue000 two\x00."]),
        ("It costs $29.50, or 12,345.", ["It", " costs", " $29.50,", " or", " 12,345."]),
        ("The well-known (big) “owl”, it's here—now.", None),
        ("Smile 😀 now \ud83d\ude00 twice.", ["Smile", " 😀", " now", " \ud83d\ude00", " twice."]),
        ("Grüße, Ωμέγα.", ["Grüße,", " Ωμέγα."]),
    ],
)
async def test_places_are_those_of_the_text_that_was_given(
    local: LocalVoice, text: str, words: list[str] | None
) -> None:
    _, marks = await told(local, text)
    places = [0, *(characters for characters, _ in marks)]
    cut = [text[begin:end] for begin, end in itertools.pairwise(places)]
    assert cut == (words or ["The", " well-known", " (big)", " “owl”,", " it's", " here—", "now."])


async def test_chinese_words_are_told_one_by_one(local: LocalVoice) -> None:
    text = "天气，世界。"
    _, marks = await told(local, text, voice_id="cmn")
    assert [text[:characters] for characters, _ in marks] == ["天", "天气，", "天气，世", "天气，世界。"]


async def test_words_of_a_long_text_are_told_in_one_time(local: LocalVoice) -> None:
    text = "Now let your shoulders sink, and breathe in. " * 30
    sound, marks = await told(local, text)
    assert marks[-1][0] == len(text.rstrip())
    assert len(marks) > 200
    # Sentences are alike, so each ends a thirtieth later than the one before.
    ends = [end for characters, end in marks if text[:characters].endswith(".")]
    assert len(ends) == 30
    assert np.diff(ends) == pytest.approx(seconds(sound) / 30, abs=OFF)


async def test_a_text_without_words_tells_none(local: LocalVoice) -> None:
    assert (await told(local, " \n "))[1] == []
