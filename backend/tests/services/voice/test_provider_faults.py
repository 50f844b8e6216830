"""Providers that fail in the middle of a conversation: the person is told why, and the text is kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from backend.models.tenant import Caller
from backend.services.speakers import Speakers
from backend.services.speech_service import SpeechService
from backend.services.voice.voice_service import VoiceLimits, VoiceService
from backend.stores.database import Database
from backend.tests.factories import TenantFactory
from backend.tests.fake_speech import ALIASES
from backend.tests.fakes import FixedMemory, FrozenClock, says
from backend.tests.gateways.speech_meetings import FAIR, KEY, SHORT, deepgram, elevenlabs
from backend.tests.protocol_servers.deepgram_server import DeepgramServer
from backend.tests.protocol_servers.elevenlabs_server import ElevenLabsServer
from backend.tests.protocol_servers.speech_audio import hummed
from backend.tests.services.one_server import OneServer, one_server
from backend.tests.services.voice.talking import QUICK, Call, call

ANSWER = "It is very large. It is old."
HEARD = "Tell me about the sea."
SLOW = {"slow_first_byte", "stalled", "slow_headers"}
FRAME = 640


@pytest.fixture
async def server(database: Database) -> AsyncGenerator[OneServer]:
    async with one_server(database, memory=FixedMemory()) as opened:
        yield opened


@pytest.fixture
async def caller(tenant: TenantFactory) -> Caller:
    return await tenant()


@asynccontextmanager
async def talking(
    server: OneServer,
    database: Database,
    caller: Caller,
    voice: ElevenLabsServer,
    ears: DeepgramServer,
    deadlines: dict[str, float],
) -> AsyncGenerator[Call]:
    """A conversation by the real gateways."""
    mouth, listening = elevenlabs(voice.base_url, deadlines), deepgram(ears.base_url, deadlines)
    speakers = Speakers({"elevenlabs": mouth}, {"deepgram": listening}, ALIASES, FrozenClock(), stands_in=False)
    speech = SpeechService(database, speakers, server.metrics)
    service = VoiceService(
        server.interactions, server.threads, server.sessions, speech, server.registry, server.metrics,
        VoiceLimits(QUICK, 5),
    )  # fmt: skip
    try:
        async with call(server, database, caller, service=service) as talk:
            yield talk
    finally:
        await speech.close()


def speaks_into(talk: Call, pcm: bytes) -> None:
    for at in range(0, len(pcm), FRAME):
        talk.person.sends(pcm[at : at + FRAME].ljust(FRAME, b"\0"))


def shown(error: Any) -> str:
    """What people read of an error, which is never a key."""
    text = f"{error.code} {error.title} {error.detail}"
    assert KEY not in text
    return text


VOICE_FAULTS = {
    "dead": "nobody accepts connections",
    "slow_first_byte": "did not begin to speak within",
    "stalled": "did not finish its answer within",
    "unauthorized": "401",
    "unprocessable": "422",
    "rate_limited": "limits how often",
    "status": "500",
    "cut": "broke in the middle",
    "cut_by_reset": "broke in the middle",
}


@pytest.mark.parametrize("kind", VOICE_FAULTS)
async def test_a_voice_that_fails(
    server: OneServer,
    database: Database,
    caller: Caller,
    elevenlabs_server: ElevenLabsServer,
    deepgram_server: DeepgramServer,
    kind: str,
) -> None:
    server.model.then(says(ANSWER), says("Now I speak again."))
    deadlines = SHORT if kind in SLOW else FAIR
    async with talking(server, database, caller, elevenlabs_server, deepgram_server, deadlines) as talk:
        elevenlabs_server.fault(kind)
        talk.person.types(HEARD)

        error = await talk.person.is_told("error")
        done = await talk.person.is_told("message.completed")

        assert VOICE_FAULTS[kind] in shown(error)
        assert error.turn == 1
        assert done.data["response"] == ANSWER
        assert await talk.messages() == [("user", HEARD, "complete"), ("assistant", ANSWER, "complete")]
        elevenlabs_server.reset()
        talk.person.types("And then?")
        await talk.person.is_told("audio.end", lambda told: told.turn == 2)


EARS_FAULTS = {
    "dead": "nobody accepts connections",
    "slow_headers": "within",
    "unauthorized": "401",
    "rate_limited": "limits how often",
    "status": "500",
}


@pytest.mark.parametrize("kind", EARS_FAULTS)
async def test_ears_that_cannot_be_opened(
    server: OneServer,
    database: Database,
    caller: Caller,
    elevenlabs_server: ElevenLabsServer,
    deepgram_server: DeepgramServer,
    kind: str,
) -> None:
    deepgram_server.fault(kind)
    deadlines = SHORT if kind in SLOW else FAIR
    async with talking(server, database, caller, elevenlabs_server, deepgram_server, deadlines) as talk:
        (error,) = [one for one in talk.person.told if one.type == "error"]
        assert EARS_FAULTS[kind] in shown(error)
        assert "does not listen right now" in talk.person.told[-1].listens.note  # type: ignore[union-attr]

        talk.person.types(HEARD)

        await talk.person.is_told("message.completed")
        assert [status for _, _, status in await talk.messages()] == ["complete", "complete"]


@pytest.mark.parametrize("how", ["close", "abort", "rubbish"])
async def test_ears_that_are_lost_in_the_middle(
    server: OneServer,
    database: Database,
    caller: Caller,
    elevenlabs_server: ElevenLabsServer,
    deepgram_server: DeepgramServer,
    how: str,
) -> None:
    server.model.then(says(ANSWER))
    deepgram_server.hear(HEARD)
    async with talking(server, database, caller, elevenlabs_server, deepgram_server, FAIR) as talk:
        speaks_into(talk, hummed(HEARD) + bytes(32 * 500))
        assert (await talk.person.is_told("transcript.final")).text == HEARD
        await talk.person.is_told("audio.start")

        if how == "close":
            await asyncio.to_thread(deepgram_server.hang_up, 1011, "Something broke.")
        elif how == "abort":
            await asyncio.to_thread(deepgram_server.abort)
        else:
            await asyncio.to_thread(deepgram_server.tell, "{not json")

        assert "deepgram" in shown(await talk.person.is_told("error")).lower()
        await talk.person.is_told("message.completed")
        assert await talk.messages() == [("user", HEARD, "complete"), ("assistant", ANSWER, "complete")]
        talk.person.types("Then I type.")
        await talk.person.is_told("message.completed", lambda told: told.turn == 2)
