"""The voice of this machine, heard: what it says, how fast and how high."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator
from typing import Any

import numpy as np
import pytest

from backend.errors import SpeechFailed
from backend.gateways.local_voice import LONGEST_TEXT, LocalVoice
from backend.models.voice import VoiceSettings
from backend.ports.speech import SAMPLE_RATE, TextToSpeech
from backend.tests.gateways.sounds import Sound, alike, loudness, pitch, seconds, sound_of

SENTENCES = (
    "Now let your shoulders sink. Breathe in slowly, and feel how the air moves. "
    "Nothing else matters at this moment, and you can rest here."
)
MANY_PAUSES = "Yes. No. Wait. Rest. Let go. Good. Now, slowly, down. And up."
LONG = f"{SENTENCES} " * 40


@pytest.fixture(scope="module")
async def local() -> AsyncGenerator[LocalVoice]:
    local = LocalVoice()
    yield local
    await local.close()


def settings(**changed: Any) -> VoiceSettings:
    return VoiceSettings.model_validate({"provider": "local", "voice_id": "en-us"} | changed)


async def heard(local: TextToSpeech, text: str, **changed: Any) -> Sound:
    pieces = [piece async for piece in local.speak(text, settings(**changed), before="So.", after="And so on.")]
    assert all(piece and len(piece) % 2 == 0 for piece in pieces)
    return sound_of(b"".join(pieces))


async def test_it_speaks(local: LocalVoice) -> None:
    sound = await heard(local, SENTENCES)
    assert 6 < seconds(sound) < 10
    assert loudness(sound) > 1000
    assert np.abs(sound.astype(np.int32)).max() < 32_767
    assert alike(sound, await heard(local, SENTENCES))
    assert not alike(sound, await heard(local, SENTENCES[::-1]))


async def test_it_speaks_in_pieces(local: LocalVoice) -> None:
    pieces = [piece async for piece in local.speak(SENTENCES, settings())]
    assert len(pieces) > 10
    assert max(map(len, pieces)) < 2 * SAMPLE_RATE


@pytest.mark.parametrize("text", [SENTENCES, MANY_PAUSES, "Breathe in."])
@pytest.mark.parametrize("speed", [0.5, 0.8, 1.25, 2.0])
async def test_speed_is_true(local: LocalVoice, text: str, speed: float) -> None:
    normal, changed = await heard(local, text), await heard(local, text, speed=speed)
    assert seconds(normal) / seconds(changed) == pytest.approx(speed, rel=0.02)
    assert loudness(changed) == pytest.approx(loudness(normal), rel=0.1)


@pytest.mark.parametrize("voice_id", ["en-us", "calm-female"])
@pytest.mark.parametrize("wanted", [0.5, 0.8, 1.25, 2.0])
async def test_pitch_is_true_and_the_speed_stays(local: LocalVoice, voice_id: str, wanted: float) -> None:
    normal = await heard(local, SENTENCES, voice_id=voice_id)
    changed = await heard(local, SENTENCES, voice_id=voice_id, pitch=wanted)
    assert pitch(changed) / pitch(normal) == pytest.approx(wanted, rel=0.15)
    assert seconds(changed) == pytest.approx(seconds(normal), rel=0.03)


async def test_a_slow_voice_is_as_high_as_a_quick_one(local: LocalVoice) -> None:
    slow, quick = await heard(local, SENTENCES, speed=0.7), await heard(local, SENTENCES, speed=1.6)
    assert pitch(slow) == pytest.approx(pitch(quick), rel=0.05)


async def test_a_womans_voice_is_higher_than_a_mans(local: LocalVoice) -> None:
    woman, man = [await heard(local, SENTENCES, voice_id=name) for name in ("calm-female", "soothing-male")]
    assert pitch(woman) > 1.5 * pitch(man)


async def test_a_contract_of_another_provider_is_spoken_in_its_language(local: LocalVoice) -> None:
    theirs = VoiceSettings(provider="elevenlabs", voice_id="21m00Tcm4TlvDq8ikWAM", language="de-AT", stability=0.2)
    sound = sound_of(b"".join([piece async for piece in local.speak("Atmen Sie ein und aus.", theirs)]))
    assert alike(sound, await heard(local, "Atmen Sie ein und aus.", voice_id="de"))
    assert not alike(sound, await heard(local, "Atmen Sie ein und aus.", voice_id="en-us"))


@pytest.mark.parametrize("text", ["", "  \n ", "\x00\x01", "\ue000", "\ud800"])
async def test_a_text_without_words_is_silence(local: LocalVoice, text: str) -> None:
    assert len(await heard(local, text)) == 0


@pytest.mark.parametrize(
    "text",
    [
        "a\x00b", "😀👨\u200d👩\u200d👧", "日本語のテキスト", "שלום עולם", "Привет", "\u202eabc", "[[h@l'oU]]",
        "&lt;&#0;", "!" * 5000, "1" * 400, "a" * 3000, "<speak><break time='9999s'/>hi</speak>",
        "\ufeffhi", "e" + "\u0301" * 400,
    ],
)  # fmt: skip
async def test_odd_texts_are_spoken_as_well_as_they_can_be(local: LocalVoice, text: str) -> None:
    before = await heard(local, "Breathe in.")
    assert 0 < seconds(await heard(local, text)) < 120
    assert alike(await heard(local, "Breathe in."), before)


async def test_a_control_character_is_no_command(local: LocalVoice) -> None:
    commanded = await heard(local, f"\x01300S {SENTENCES}")
    assert seconds(commanded) > seconds(await heard(local, SENTENCES))


async def test_a_text_of_many_sentences_is_spoken_to_its_end(local: LocalVoice) -> None:
    one, forty = await heard(local, SENTENCES), await heard(local, LONG)
    assert seconds(forty) == pytest.approx(40 * seconds(one), rel=0.02)


async def test_a_text_that_is_too_long_is_refused_before_anything_is_said(local: LocalVoice) -> None:
    with pytest.raises(SpeechFailed, match=r"100,001 characters .* at most 100,000"):
        await heard(local, "a" * (LONGEST_TEXT + 1))


async def test_its_voices_can_be_named(local: LocalVoice) -> None:
    voices = {one.voice_id: one for one in await local.voices()}
    assert len(voices) > 100
    assert (voices["en-us"].provider, voices["en-us"].language) == ("local", "en-US")
    assert voices["pt-br"].name == "Portuguese (Brazil)"
    for voice_id in ("en-us", "cmn", "nb", "vi-vn-x-central"):
        assert loudness(await heard(local, "Hello, 1, 2, 3.", voice_id=voice_id)) > 100
    with pytest.raises(SpeechFailed, match="no voice nobody"):
        await heard(local, "Hello.", voice_id="nobody")


async def test_callers_at_the_same_time_hear_what_they_asked_for(local: LocalVoice) -> None:
    texts = [f"{'Wait. ' * (number % 5)}{number} birds, and {number * 7} more." for number in range(20)]
    alone = [await heard(local, text) for text in texts]
    together = await asyncio.gather(*(heard(local, text) for text in texts))
    assert all(alike(one, other) for one, other in zip(alone, together, strict=True))
    assert not any(alike(one, other) for one, other in itertools.pairwise(together))
