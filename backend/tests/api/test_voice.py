"""Speech over HTTP, spoken by the real voice of this machine."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from backend.routers.voice import RECORDING_BYTES
from backend.tests.api.speaking import VOICE, WORDS, loudest, seconds, speak, speech_of
from backend.tests.fixtures_api import Api, random_id
from backend.tests.fixtures_server import NumenServer
from backend.tests.mp3_frames import seconds_of_mp3

# --- speech ---


async def test_an_agent_speaks_at_its_speed(api: Api) -> None:
    owner = await api.owner()
    normal, fast = [await owner.make_agent(voice={**VOICE, "speed": speed}) for speed in (1.0, 1.5)]
    answer = await speak(owner, normal, accept="audio/wav")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "audio/wav"
    assert answer.headers["numen-voice-provider"] == "local"
    assert "numen-voice-note" not in answer.headers
    assert "content-length" not in answer.headers
    assert 3 < seconds(answer.content) < 12
    assert loudest(answer.content) > 3_000
    faster = await speak(owner, fast)
    assert seconds(answer.content) / seconds(faster.content) == pytest.approx(1.5, rel=0.1)


async def test_speech_as_mp3(api: Api) -> None:
    owner = await api.owner()
    agent = await owner.make_agent(voice=VOICE)
    wav, mp3 = [await speak(owner, agent, accept=kind) for kind in ("audio/*", "audio/mpeg, audio/wav;q=0.9")]
    assert [one.headers["content-type"] for one in (wav, mp3)] == ["audio/wav", "audio/mpeg"]
    assert mp3.headers["numen-voice-provider"] == "local"
    assert "accept" in mp3.headers["vary"].lower()
    assert seconds_of_mp3(mp3.content) == pytest.approx(seconds(wav.content), abs=0.2)
    assert len(mp3.content) < 0.3 * len(wav.content)
    asked = {"provider": "local", "voice_id": "de", "text": "Guten Tag."}
    preview = await owner.http.post("/api/v1/voices/preview", json=asked, headers={"accept": "audio/mpeg"})
    assert (preview.status_code, preview.headers["content-type"]) == (200, "audio/mpeg")
    assert seconds_of_mp3(preview.content) > 0.5


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"text": "x" * 5_000}, 200),
        ({"text": "x" * 5_001}, 422),
        ({"text": " \n "}, 422),
        ({}, 422),
        ({"text": "Hi", "voice_id": "de"}, 422),
    ],
)
async def test_what_may_be_said(api: Api, body: dict[str, str], status: int) -> None:
    owner = await api.owner()
    agent = await owner.make_agent(voice=VOICE)
    assert (await owner.http.post(speech_of(agent), json=body)).status_code == status


async def test_what_cannot_be_spoken_says_why(api: Api) -> None:
    owner = await api.owner()
    silent, cloudy = await owner.make_agent(), await owner.make_agent(voice={"voice_id": "calm-female"})
    off = await owner.make_agent(voice=VOICE, configuration={"voice_enabled": False})
    parrot = await owner.make_agent(voice={**VOICE, "voice_id": "parrot"})
    foreign = await owner.make_agent(voice={**VOICE, "voice_id": "calm-female", "language": "tl"})
    answers = {
        "no voice": (await speak(owner, silent), 422, "no `voice`"),
        "switched off": (await speak(owner, off), 422, "set `configuration.voice_enabled`"),
        "unknown voice": (await speak(owner, parrot), 422, "no voice parrot"),
        "unknown voice, and where to look": (await speak(owner, parrot), 422, "GET /api/v1/voices"),
        "unknown language": (await speak(owner, foreign), 422, "does not speak tl"),
        "no key": (await speak(owner, cloudy), 503, "ELEVENLABS_API_KEY"),
        "ogg": (await speak(owner, cloudy, accept="audio/ogg"), 406, "audio/wav and as audio/mpeg"),
    }
    for name, (answer, status, told) in answers.items():
        assert answer.status_code == status, name
        assert answer.headers["content-type"] == "application/problem+json", name
        assert told in answer.json()["detail"], name


async def test_who_may_speak(api: Api) -> None:
    owner = await api.owner()
    viewer, member = await api.colleague(owner, "viewer"), await api.colleague(owner, "member")
    agent = await owner.make_agent(voice=VOICE)
    assert (await speak(viewer, agent)).status_code == 403
    assert (await speak(member, agent)).status_code == 200
    stranger = await api.owner()
    foreign, unknown = await speak(stranger, agent), await speak(stranger, {"id": random_id()})
    assert (foreign.status_code, foreign.json()["code"]) == (unknown.status_code, unknown.json()["code"])
    assert foreign.json()["code"] == "agent-not-found"
    assert (await api.client().post(speech_of(agent), json={"text": "Hi"})).status_code == 401


async def test_a_repeated_request_speaks_again(api: Api) -> None:
    owner = await api.owner()
    agent = await owner.make_agent(voice=VOICE)
    first, again = [await speak(owner, agent, **{"idempotency-key": "one"}) for _ in range(2)]
    assert (first.status_code, again.status_code) == (200, 200)
    assert seconds(first.content) == pytest.approx(seconds(again.content), rel=0.01)  # breath is random


async def test_many_at_once(api: Api) -> None:
    owner = await api.owner()
    agent = await owner.make_agent(voice=VOICE)
    answers = await asyncio.gather(*(speak(owner, agent) for _ in range(12)))
    assert [one.status_code for one in answers] == [200] * 12
    assert max(seconds(one.content) for one in answers) < 1.01 * min(seconds(one.content) for one in answers)


# --- voices ---


async def test_voices_are_listed_and_can_be_heard(api: Api) -> None:
    owner = await api.owner()
    listed = await owner.ok("GET", "/api/v1/voices")
    local = {one["voice_id"] for one in listed["voices"] if one["provider"] == "local"}
    assert {"en-us", "de"} <= local
    assert [one["provider"] for one in listed["absent"]] == ["elevenlabs"]
    asked = {"provider": "local", "voice_id": "de", "text": "Guten Tag."}
    heard = await owner.http.post("/api/v1/voices/preview", json=asked)
    assert (heard.status_code, heard.headers["content-type"]) == (200, "audio/wav")
    assert loudest(heard.content) > 1_000
    too_long = await owner.http.post("/api/v1/voices/preview", json={**asked, "text": "x" * 301})
    unknown = await owner.http.post("/api/v1/voices/preview", json={**asked, "provider": "parrot"})
    assert (too_long.status_code, unknown.status_code) == (422, 422)
    parrot = await owner.http.post("/api/v1/voices/preview", json={**asked, "voice_id": "parrot"})
    assert (parrot.status_code, parrot.json()["code"]) == (422, "unknown-voice")


# --- recordings ---


async def test_recordings_that_are_not_taken(api: Api) -> None:
    owner = await api.owner()
    agent = await owner.make_agent(voice=VOICE)
    url = f"/api/v1/agents/{agent['id']}/transcriptions"

    async def send(content: bytes, kind: str | None = "audio/wav", **headers: str) -> tuple[int, str]:
        answer = await owner.http.post(
            url, content=content, headers={**({"content-type": kind} if kind else {}), **headers}
        )
        return answer.status_code, answer.json()["code"]

    assert await send(b"{}", "application/json") == (415, "unsupported-media-type")
    assert await send(b"RIFF", None) == (415, "unsupported-media-type")
    assert await send(b"RIFF", "audio/") == (415, "unsupported-media-type")
    assert await send(b"") == (422, "invalid-request")
    assert await send(bytes(RECORDING_BYTES + 1)) == (413, "body-too-large")
    assert await send(bytes(2_000_000)) == (503, "speech-unavailable")
    assert await send(b"RIFF", "audio/webm;codecs=opus", **{"idempotency-key": "k"}) == (503, "speech-unavailable")


# --- the first run ---


def test_in_the_first_run_this_machine_speaks_and_says_so(running_server: NumenServer) -> None:
    with httpx.Client(base_url=running_server.url, trust_env=False, timeout=30) as http:
        (agent,) = http.get("/api/v1/agents", params={"q": "TherapyAgent"}).json()[:1]
        assert agent["voice"]["provider"] == "elevenlabs"
        answer = http.post(speech_of(agent), json={"text": WORDS})
        assert answer.status_code == 200
        assert answer.headers["numen-voice-provider"] == "local"
        assert "ELEVENLABS_API_KEY" in answer.headers["numen-voice-note"]
        assert loudest(answer.content) > 3_000
        heard = http.post(
            f"/api/v1/agents/{agent['id']}/transcriptions", content=answer.content,
            headers={"content-type": "audio/wav"},
        )  # fmt: skip
        assert (heard.status_code, "DEEPGRAM_API_KEY" in heard.json()["detail"]) == (503, True)
