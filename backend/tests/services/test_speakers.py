"""Who speaks for a contract, and in which voice."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from backend.errors import Invalid, SpeechFailed, SpeechTimeout, SpeechUnavailable
from backend.gateways.local_voice import LocalVoice
from backend.models.voice import VoiceSettings
from backend.stores.database import Database
from backend.tests.fake_speech import ALIASES, Studio
from backend.tests.fixtures_api import eventually
from backend.tests.gateways.sounds import pitch, sound_of

NOWHERE = cast("Database", None)  # who speaks is no question of rows


def studio(**rest: Any) -> Studio:
    return Studio(NOWHERE, None, **rest)


def voice(voice_id: str = "calm-female", **rest: Any) -> VoiceSettings:
    return VoiceSettings(voice_id=voice_id, **rest)


def test_an_alias_stands_for_the_providers_voice() -> None:
    chosen = studio().speakers.choose(voice(speed=0.9))
    assert (chosen.provider, chosen.note) == ("elevenlabs", "")
    assert chosen.settings == voice(ALIASES["calm-female"], speed=0.9)


def test_a_voice_of_the_provider_is_taken_as_it_is() -> None:
    chosen = studio().speakers.choose(voice("EXAVITQu4vr4xnSDxMaL"))
    assert chosen.settings.voice_id == "EXAVITQu4vr4xnSDxMaL"


@pytest.mark.parametrize("voice_id", ["calm-femal", "en-us", "21m00Tcm4TlvDq8ikWA", "21m00Tcm4TlvDq8ikWAMM"])
def test_an_unknown_voice_is_refused_with_the_known_aliases(voice_id: str) -> None:
    with pytest.raises(Invalid, match="calm-female, soothing-male"):
        studio().speakers.choose(voice(voice_id))
    with pytest.raises(Invalid, match="GET /api/v1/voices"):
        studio(keys=(), stands_in=True).speakers.choose(voice(voice_id))


def test_without_a_key_the_variable_is_named() -> None:
    here = studio(keys=())
    with pytest.raises(SpeechUnavailable, match="set ELEVENLABS_API_KEY"):
        here.speakers.choose(voice())
    with pytest.raises(SpeechUnavailable, match="set DEEPGRAM_API_KEY"):
        here.speakers.ears(voice())


def test_in_the_first_run_this_machine_speaks_and_says_so() -> None:
    """It is told what was asked for, and finds a voice of that language by itself."""
    here = studio(keys=(), stands_in=True)
    wanted = voice(language="de-AT", speed=0.8, stability=0.2)
    chosen = here.speakers.choose(wanted)
    assert (chosen.provider, chosen.speaker, chosen.settings) == ("local", here.local, wanted)
    assert "ELEVENLABS_API_KEY is not set" in chosen.note
    assert chosen.note.isascii()


async def test_who_stands_in_is_a_woman_where_one_was_asked_for_and_a_man_where_a_man_was() -> None:
    here, local = studio(keys=(), stands_in=True), LocalVoice()
    pitches: list[float] = []
    for voice_id in ("calm-female", "soothing-male"):
        chosen = here.speakers.choose(voice(voice_id))
        said = local.speak("Now let your shoulders sink, and breathe in slowly.", chosen.settings)
        pitches.append(pitch(sound_of(b"".join([piece async for piece in said]))))
    await local.close()
    assert pitches[0] > 1.5 * pitches[1]


def test_a_provider_that_has_a_key_is_not_replaced() -> None:
    chosen = studio(stands_in=True).speakers.choose(voice())
    assert chosen.provider == "elevenlabs"


def test_an_alias_may_be_spoken_by_this_machine() -> None:
    """A person chose a voice by its alias, and the agent speaks locally: as if another provider had been asked."""
    chosen = studio().speakers.choose(voice("soothing-male", provider="local", language="de-DE"))
    assert (chosen.provider, chosen.settings.provider, chosen.note) == ("local", "elevenlabs", "")
    assert chosen.settings.voice_id == "soothing-male"
    kept = studio().speakers.choose(voice("fr", provider="local"))
    assert (kept.settings.voice_id, kept.settings.provider) == ("fr", "local")


async def test_voices_are_listed_with_their_aliases_and_asked_for_every_ten_minutes() -> None:
    here = studio()
    listed = await here.speakers.offered()
    assert [(one.provider, one.voice_id, one.aliases) for one in listed.voices] == [
        ("local", "en-us", ()),
        ("local", "de", ()),
        ("elevenlabs", ALIASES["calm-female"], ("calm-female",)),
        ("elevenlabs", ALIASES["soothing-male"], ("soothing-male",)),
    ]
    assert listed.absent == []
    assert await here.speakers.offered() == listed
    assert (here.local.listed, here.eleven.listed) == (1, 1)
    here.clock.advance(seconds=601)
    await here.speakers.offered()
    assert (here.local.listed, here.eleven.listed) == (2, 2)


async def test_a_provider_that_does_not_answer_hides_no_other() -> None:
    here = studio()
    here.eleven.away = SpeechFailed("ElevenLabs answered 500.")
    listed = await here.speakers.offered()
    assert {one.provider for one in listed.voices} == {"local"}
    assert [(one.provider, one.reason) for one in listed.absent] == [("elevenlabs", "ElevenLabs answered 500.")]
    here.eleven.away = None
    here.clock.advance(seconds=9)
    assert (await here.speakers.offered()) == listed  # who is down is not asked by everybody
    here.clock.advance(seconds=2)
    assert (await here.speakers.offered()).absent == []
    assert here.eleven.listed == 2


async def test_a_provider_that_takes_its_time_is_asked_once_by_all_who_wait() -> None:
    here = studio()
    here.eleven.gate.clear()
    first, second, third = (asyncio.create_task(here.speakers.offered()) for _ in range(3))
    await eventually(lambda: here.eleven.listed > 0)
    first.cancel()  # who asked for all of them goes away
    await asyncio.wait([first])
    here.eleven.away = SpeechTimeout("ElevenLabs did not answer within 10 seconds.")
    here.eleven.gate.set()
    told = await asyncio.gather(second, third)
    assert [one.absent[0].reason for one in told] == ["ElevenLabs did not answer within 10 seconds."] * 2
    assert (first.cancelled(), here.eleven.listed) == (True, 1)


async def test_a_provider_that_never_answers_does_not_hold_up_the_end() -> None:
    here = studio()
    here.eleven.gate.clear()
    asking = asyncio.create_task(here.speakers.offered())
    await eventually(lambda: here.eleven.listed > 0)
    async with asyncio.timeout(30):
        await here.speakers.close()
        await asyncio.wait([asking])
    assert here.eleven.closed


async def test_a_provider_without_a_key_is_named_as_absent() -> None:
    (absent,) = (await studio(keys=()).speakers.offered()).absent
    assert (absent.provider, "ELEVENLABS_API_KEY" in absent.reason) == ("elevenlabs", True)
