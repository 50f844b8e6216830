"""Texts become speech and recordings texts, as the agent's contract says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from uuid import uuid4

import pytest

from backend.errors import (
    AgentArchived,
    AgentInactive,
    AgentNotFound,
    Invalid,
    SpeechFailed,
    SpeechTimeout,
    SpeechUnavailable,
)
from backend.models.agent_requests import AgentUpdateRequest
from backend.models.speech import Heard, PreviewRequest
from backend.models.tenant import Caller
from backend.models.voice import VoiceSettings
from backend.services.speech_service import Spoken
from backend.services.spoken_segments import Utterance
from backend.stores.database import Database
from backend.tests.factories import TenantFactory
from backend.tests.fair_time import fair_timeout
from backend.tests.fake_speech import ALIASES, BYTES_A_LETTER, Studio, spoken
from backend.tests.services.one_server import OneServer, one_server

VOICE = {"provider": "elevenlabs", "voice_id": "calm-female", "speed": 0.9}


@pytest.fixture
async def server(database: Database) -> AsyncGenerator[OneServer]:
    async with one_server(database) as opened:
        yield opened


@pytest.fixture
async def caller(tenant: TenantFactory) -> Caller:
    return await tenant()


@pytest.fixture
def studio(database: Database) -> Studio:
    return Studio(database, None)


async def heard(said: Spoken) -> bytes:
    try:
        return b"".join([piece async for piece in said.audio])
    finally:
        await said.audio.close()


async def test_an_agent_that_is_switched_to_text_neither_speaks_nor_listens(
    server: OneServer, studio: Studio, caller: Caller
) -> None:
    off = {"configuration": {"voice_enabled": False}, "voice": VOICE}
    switched_off, spoken_to = await server.agent(caller, **off), await server.agent(caller, type="voice", **off)
    with pytest.raises(Invalid, match=r"set `configuration\.voice_enabled`"):
        await studio.speech.say(caller, switched_off, "Hello.")
    with pytest.raises(Invalid, match=r"set `configuration\.voice_enabled`"):
        await studio.speech.voice(caller, switched_off)
    assert studio.said == []
    assert (await studio.speech.voice(caller, spoken_to)).voice_id == "calm-female"  # its type is what switches it on


async def test_the_ends_of_words_are_told(studio: Studio) -> None:
    told: list[tuple[int, float]] = []

    def on_said(characters: int, seconds: float) -> None:
        told.append((characters, seconds))

    voice = studio.speech.chosen(VoiceSettings.model_validate(VOICE))
    words = Utterance("Breathe  in.", "", "")
    audio = b"".join([piece async for piece in studio.speech.speak(uuid4(), voice, words, on_said=on_said)])
    assert audio == spoken("Breathe in.")
    assert told == [(7, 7 * BYTES_A_LETTER / 32_000), (12, 10 * BYTES_A_LETTER / 32_000)]


async def test_a_text_is_spoken_in_the_agents_voice(server: OneServer, studio: Studio, caller: Caller) -> None:
    agent = await server.agent(caller, voice=VOICE)
    said = await studio.speech.say(caller, agent, "Breathe in. And slowly out.")
    assert await heard(said) == spoken("Breathe in. And slowly out.")
    assert (said.provider, said.note) == ("elevenlabs", "")
    ((_, settings),) = studio.eleven.said
    assert (settings.voice_id, settings.speed) == (ALIASES["calm-female"], 0.9)


async def test_long_texts_are_spoken_in_pieces(server: OneServer, studio: Studio, caller: Caller) -> None:
    agent = await server.agent(caller, voice=VOICE)
    text = " ".join(f"The sentence of number {number} is this." for number in range(60))
    assert await heard(await studio.speech.say(caller, agent, text)) == spoken(text)
    assert " ".join(studio.said) == text
    assert len(studio.said) > 2
    assert studio.eleven.around[1][0].endswith(studio.said[0][-20:] + " ")


async def test_who_has_no_voice_and_who_is_away(server: OneServer, studio: Studio, caller: Caller) -> None:
    speech = studio.speech
    silent = await server.agent(caller)
    with pytest.raises(Invalid, match="no `voice`"):
        await speech.say(caller, silent, "Hello")
    with pytest.raises(Invalid, match="no `voice`"):
        await speech.voice(caller, silent)
    with pytest.raises(AgentNotFound):
        await speech.say(caller, uuid4(), "Hello")
    agent = await server.agent(caller, voice=VOICE)
    await server.agents.update(caller, agent, AgentUpdateRequest.model_validate({"status": "inactive"}), None)
    with pytest.raises(AgentInactive):
        await speech.say(caller, agent, "Hello")
    await server.agents.archive(caller, agent)
    with pytest.raises(AgentArchived):
        await speech.say(caller, agent, "Hello")
    assert studio.eleven.said == []


async def test_another_tenants_agent_says_nothing(
    server: OneServer, studio: Studio, caller: Caller, tenant: TenantFactory
) -> None:
    agent = await server.agent(caller, voice=VOICE)
    with pytest.raises(AgentNotFound):
        await studio.speech.say(await tenant(), agent, "Hello")


async def test_what_fails_is_told_and_nobody_else_speaks(server: OneServer, studio: Studio, caller: Caller) -> None:
    agent = await server.agent(caller, voice=VOICE)
    studio.eleven.fails_at["Hello"] = SpeechTimeout("too slow")
    with pytest.raises(SpeechTimeout):
        await studio.speech.say(caller, agent, "Hello you")
    said = await studio.speech.say(caller, agent, "Well, Hello")
    with pytest.raises(SpeechTimeout):
        await heard(said)
    assert studio.local.said == []
    shown = studio.metrics.exposition().decode()
    assert 'numen_speech_calls_total{outcome="speech-timeout",provider="elevenlabs"} 2.0' in shown


async def test_a_preview_in_any_voice(studio: Studio, caller: Caller) -> None:
    said = await studio.speech.preview(caller, PreviewRequest(provider="local", voice_id="de", text="Guten Tag"))
    assert await heard(said) == spoken("Guten Tag")
    assert said.provider == "local"
    with pytest.raises(Invalid, match="known are elevenlabs, local"):
        await studio.speech.preview(caller, PreviewRequest(provider="parrot", voice_id="de"))


async def test_a_recording_is_heard_by_the_agents_settings(server: OneServer, studio: Studio, caller: Caller) -> None:
    agent = await server.agent(caller, voice={**VOICE, "stt_language": "de"})
    voice = await studio.speech.voice(caller, agent)
    found = await studio.speech.hear(caller, voice, b"12345", "audio/ogg")
    assert (found.text, found.confidence, found.seconds, found.provider) == ("5 bytes", 0.5, 1.5, "deepgram")
    ((_, media_type, settings),) = studio.ears.heard
    assert (media_type, settings.stt_language) == ("audio/ogg", "de")
    studio.ears.error = SpeechFailed("what was that?")
    with pytest.raises(SpeechFailed):
        await studio.speech.hear(caller, voice, b"12345", "audio/ogg")


async def test_one_tenant_does_not_take_every_place(
    server: OneServer, studio: Studio, caller: Caller, tenant: TenantFactory
) -> None:
    agent = await server.agent(caller, voice=VOICE)
    studio.eleven.gate.clear()
    begun = [await studio.speech.say(caller, agent, "One two") for _ in range(4)]
    with pytest.raises(SpeechUnavailable) as refused:
        await studio.speech.say(caller, agent, "One two")
    assert refused.value.context["retry_after"] > 0
    other = await tenant()
    theirs = await server.agent(other, voice=VOICE)
    said = await studio.speech.say(other, theirs, "One two")
    studio.eleven.gate.set()
    for one in (*begun, said):
        assert await heard(one) == spoken("One two")
    again = await studio.speech.say(caller, agent, "One two")
    assert await heard(again) == spoken("One two")


async def test_who_sends_recordings_takes_no_place_from_who_is_spoken_to(
    server: OneServer, studio: Studio, caller: Caller
) -> None:
    agent = await server.agent(caller, voice=VOICE)
    voice = await studio.speech.voice(caller, agent)
    studio.ears.gate.clear()
    hearing = [asyncio.create_task(studio.speech.hear(caller, voice, b"12345", "audio/ogg")) for _ in range(5)]
    with pytest.raises(SpeechUnavailable, match="Too many recordings"):
        await next(asyncio.as_completed(hearing))
    assert len(studio.ears.heard) == 4
    assert await heard(await studio.speech.say(caller, agent, "One two")) == spoken("One two")
    studio.ears.gate.set()
    ended = await asyncio.gather(*hearing, return_exceptions=True)
    assert sum(isinstance(one, Heard) for one in ended) == 4


async def test_a_listener_who_stays_away_takes_no_place(server: OneServer, studio: Studio, caller: Caller) -> None:
    agent = await server.agent(caller, voice=VOICE)
    idle = [await studio.speech.say(caller, agent, "One two three") for _ in range(20)]
    async with fair_timeout(2):
        while studio.eleven.open:  # noqa: ASYNC110 — the voice tells nobody that it has ended
            await asyncio.sleep(0)
    for one in idle:
        await one.audio.close()


async def test_nothing_is_said_inside_a_transaction(
    database: Database, server: OneServer, studio: Studio, caller: Caller
) -> None:
    agent = await server.agent(caller, voice=VOICE)
    voice = await studio.speech.voice(caller, agent)
    async with database.tenant(caller.tenant_id):
        with pytest.raises(RuntimeError, match="inside a transaction"):
            await studio.speech.say(caller, agent, "Hello")
        with pytest.raises(RuntimeError, match="inside a transaction"):
            await studio.speech.hear(caller, voice, b"1", "audio/wav")
