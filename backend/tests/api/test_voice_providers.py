"""Speech over HTTP from providers with a key: what they are asked, and what becomes of what they do wrong."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from backend.routers.audio_answer import HEADER_BYTES
from backend.tests.fixtures_api import Api, Person, api_settings, serving
from backend.tests.protocol_servers.deepgram_server import DeepgramServer
from backend.tests.protocol_servers.elevenlabs_server import SARAH, ElevenLabsServer
from backend.tests.protocol_servers.speech_audio import hummed, recording

KEY = "sk_canary4711canary4711canary4711"
VOICE: dict[str, Any] = {"voice_id": "calm-female", "speed": 0.9, "stt_model": "nova-3", "stt_language": "de"}
TEXT = "Let your shoulders sink, and breathe out slowly."


@pytest.fixture(scope="module")
async def house(
    database_url: str,
    elevenlabs_server_process: ElevenLabsServer,
    deepgram_server_process: DeepgramServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncGenerator[Api]:
    """A deployment with keys for both."""
    settings = api_settings(
        database_url,
        tmp_path_factory.mktemp("prompts"),
        elevenlabs_api_key=SecretStr(KEY),
        elevenlabs_base_url=elevenlabs_server_process.base_url,
        deepgram_api_key=SecretStr(KEY),
        deepgram_base_url=deepgram_server_process.base_url,
        voice_aliases={"calm-female": SARAH["voice_id"]},
    )
    async with serving(settings) as api:
        yield api


@pytest.fixture
async def person(
    house: Api, elevenlabs_server: ElevenLabsServer, deepgram_server: DeepgramServer
) -> AsyncGenerator[Person]:
    elevenlabs_server.key = deepgram_server.key = KEY
    yield await house.owner()
    await house.hang_up()


async def speak(person: Person, text: str = TEXT, **voice: Any) -> httpx.Response:
    agent = await person.make_agent(voice={**VOICE, **voice})
    return await person.http.post(f"/api/v1/agents/{agent['id']}/speech", json={"text": text})


async def test_the_provider_speaks_in_the_voice_that_the_alias_stands_for(
    person: Person, elevenlabs_server: ElevenLabsServer
) -> None:
    answer = await speak(person)
    assert (answer.status_code, answer.headers["numen-voice-provider"]) == (200, "elevenlabs")
    assert answer.content[HEADER_BYTES:] == hummed(TEXT, 0.9)
    (asked,) = elevenlabs_server.spoken
    assert SARAH["voice_id"] in asked.path
    assert (asked.body["text"], asked.body["voice_settings"]["speed"]) == (TEXT, 0.9)


async def test_an_unknown_voice_is_refused_before_anybody_is_asked(
    person: Person, elevenlabs_server: ElevenLabsServer
) -> None:
    answer = await speak(person, voice_id="calm-woman")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid-request")
    assert "calm-female" in answer.json()["detail"]
    assert elevenlabs_server.requests == []


async def test_a_voice_that_the_provider_does_not_know_is_the_contracts_mistake(
    person: Person, elevenlabs_server: ElevenLabsServer
) -> None:
    elevenlabs_server.known = {SARAH["voice_id"]}
    answer = await speak(person, voice_id="A" * 20)
    assert (answer.status_code, answer.json()["code"]) == (422, "unknown-voice")
    assert "GET /api/v1/voices" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("fault", "options", "status"),
    [("unauthorized", {}, 503), ("status", {"status": 400}, 502), ("dead", {}, 503), ("mp3", {}, 502)],
)
async def test_what_fails_before_the_first_sound_is_a_problem_and_nobody_else_speaks(
    person: Person, elevenlabs_server: ElevenLabsServer, fault: str, options: dict[str, Any], status: int
) -> None:
    elevenlabs_server.fault(fault, **options)
    answer = await speak(person)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert "ElevenLabs" in answer.json()["detail"]
    assert KEY not in answer.text


@pytest.mark.parametrize("accept", ["audio/wav", "audio/mpeg"])
@pytest.mark.parametrize("fault", ["cut", "cut_by_reset", "endless"])
async def test_what_fails_in_the_middle_cuts_the_answer(
    person: Person, elevenlabs_server: ElevenLabsServer, fault: str, accept: str
) -> None:
    elevenlabs_server.fault(fault)
    agent = await person.make_agent(voice=VOICE)
    url, headers = f"/api/v1/agents/{agent['id']}/speech", {"accept": accept}
    with pytest.raises(httpx.RemoteProtocolError):
        await person.http.post(url, json={"text": TEXT}, headers=headers)


async def test_voices_of_all_providers_are_listed(house: Api, person: Person) -> None:
    listed = await person.ok("GET", "/api/v1/voices")
    assert listed["absent"] == []
    (sarah,) = [one for one in listed["voices"] if one["provider"] == "elevenlabs"]
    assert (sarah["voice_id"], sarah["aliases"]) == (SARAH["voice_id"], ["calm-female"])
    assert sarah["preview_url"] == SARAH["preview_url"]
    assert any(one["provider"] == "local" for one in listed["voices"])


async def test_a_recording_is_written_down(person: Person, deepgram_server: DeepgramServer) -> None:
    agent = await person.make_agent(voice=VOICE)
    deepgram_server.hear("Ich möchte besser schlafen.")
    sound = recording(hummed("Something that takes some time to say. " * 40))
    assert len(sound) > 2_000_000  # more than any other body may have
    url = f"/api/v1/agents/{agent['id']}/transcriptions"
    answer = await person.http.post(url, content=sound, headers={"content-type": "audio/wav; codecs=1"})
    assert answer.status_code == 200, answer.text
    heard = answer.json()
    assert (heard["text"], heard["confidence"], heard["provider"]) == ("Ich möchte besser schlafen.", 0.98, "deepgram")
    assert heard["seconds"] == pytest.approx((len(sound) - HEADER_BYTES) / 32_000, rel=0.01)
    (asked,) = deepgram_server.requests
    assert (asked.raw, asked.headers["content-type"]) == (sound, "audio/wav")
    assert (asked.query["model"], asked.query["language"]) == ("nova-3", "de")


async def test_a_repeated_recording_is_heard_once(person: Person, deepgram_server: DeepgramServer) -> None:
    agent = await person.make_agent(voice=VOICE)
    url = f"/api/v1/agents/{agent['id']}/transcriptions"
    headers = {"content-type": "audio/wav", "idempotency-key": "one"}
    sound = recording(hummed("Hello."))
    answers = [await person.http.post(url, content=sound, headers=headers) for _ in range(2)]
    assert answers[0].json() == answers[1].json()
    assert answers[1].headers["idempotent-replayed"] == "true"
    assert len(deepgram_server.requests) == 1


async def test_what_goes_wrong_with_the_ears_is_told(person: Person, deepgram_server: DeepgramServer) -> None:
    agent = await person.make_agent(voice={**VOICE, "stt_model": "nova-0"})
    url = f"/api/v1/agents/{agent['id']}/transcriptions"
    answer = await person.http.post(url, content=b"RIFF", headers={"content-type": "audio/wav"})
    assert (answer.status_code, answer.json()["code"]) == (502, "speech-failed")
    assert re.search("Deepgram", answer.json()["detail"])
    assert KEY not in answer.text
