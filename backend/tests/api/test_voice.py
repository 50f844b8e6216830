"""Speech over HTTP, spoken by the real voice of this machine."""

from __future__ import annotations

import array
import asyncio
import contextlib
import io
import wave
from collections.abc import AsyncGenerator
from typing import Any

import httpx
import pytest

from backend.routers.audio_answer import HEADER_BYTES
from backend.routers.voice import RECORDING_BYTES
from backend.scripts.default_agents import load_default_agents
from backend.tests.api.event_reader import all_events
from backend.tests.fixtures_api import Api, Person, api_settings, eventually, random_id, serving
from backend.tests.fixtures_server import NumenServer
from backend.tests.mp3_frames import seconds_of_mp3

VOICE: dict[str, Any] = {"provider": "local", "voice_id": "en-us", "speed": 1.0}
WORDS = "Breathe in slowly, and let your shoulders sink. You are safe here, and nothing has to be done."


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
    return len(sound(content)) / 16_000


def loudest(content: bytes) -> int:
    return max((abs(one) for one in sound(content)), default=0)


def speech_of(agent: dict[str, Any]) -> str:
    return f"/api/v1/agents/{agent['id']}/speech"


async def speak(person: Person, agent: dict[str, Any], text: str = WORDS, **headers: str) -> httpx.Response:
    return await person.http.post(speech_of(agent), json={"text": text}, headers=headers)


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


# --- sessions ---


BRIEFLY = ("I want to sleep through the night", "Calm, it is about sleep, and a woman's voice", "No", "Yes")


@pytest.fixture(scope="module")
async def offline(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Api]:
    """A deployment without any model."""
    prompts = tmp_path_factory.mktemp("prompts")
    settings = api_settings(database_url, prompts, llm_provider="offline", openai_api_key=None)
    async with serving(settings) as api:
        yield api


@pytest.fixture
async def person(offline: Api, request: pytest.FixtureRequest) -> AsyncGenerator[Person]:
    """Somebody whose tenant has the default agents, which speak locally, and briefly; at nine tenths of the speed."""
    owner = await offline.owner()
    await make_speaking_agents(owner, getattr(request, "param", 0.9))
    yield owner
    await offline.settled()


async def make_speaking_agents(owner: Person, speed: float) -> None:
    for shipped in load_default_agents().values():
        contract = shipped.model_dump(mode="json", exclude_unset=True)
        contract["voice"] = {**VOICE, "speed": speed}
        script: dict[str, list[dict[str, Any]]] = contract.get("script") or {"parts": []}
        for part in script["parts"]:
            part["minutes"] = 0.7
        await owner.make_agent(**contract)


async def written(person: Person) -> str:
    """The address of a session whose script is written."""
    session = await person.ok("POST", "/api/v1/sessions")
    url = f"/api/v1/sessions/{session['id']}"
    for message in BRIEFLY:
        session = await person.ok("POST", f"{url}/messages", {"message": message})
    assert session["stage"] == "complete", session
    await person.ok("POST", f"{url}/consent", {"accepted": True})
    run = await person.ok("POST", f"{url}/therapy")
    async with asyncio.timeout(20), person.http.stream("GET", f"/api/v1/runs/{run['id']}/events") as answer:
        assert (await all_events(answer))[-1].type == "message.completed"
    return url


@pytest.mark.parametrize(("person", "speed"), [(1.0, 1.0), (0.9, 0.9)], indirect=["person"])
async def test_a_session_lasts_as_long_as_its_words_and_its_pauses(person: Person, speed: float) -> None:
    url = await written(person)
    first = await person.http.get(f"{url}/audio", headers={"range": "bytes=0-"})
    assert (first.status_code, first.headers["content-type"]) == (200, "audio/wav")
    assert first.headers["numen-voice-provider"] == "local"
    script = await person.ok("GET", f"{url}/script")
    assert len(script["parts"]) == 4
    silent = sum(pause["seconds"] for part in script["parts"] for pause in part["pauses"])
    plain = await person.make_agent(voice=VOICE)
    alone = sum([seconds((await speak(person, plain, part["text"])).content) for part in script["parts"]])
    words = sum(len(part["text"].split()) for part in script["parts"])
    assert 120 < 60 * words / alone < 230  # words a minute, of which many are short
    assert silent > 5
    assert seconds(first.content) == pytest.approx(alone / speed + silent, rel=0.1)
    assert loudest(first.content) > 3_000
    whole = await person.http.get(f"{url}/audio")  # a file now, which says how long it is
    assert seconds(whole.content) == seconds(first.content)


async def test_a_part_of_a_session(person: Person) -> None:
    url = f"{await written(person)}/audio"
    middle = await person.http.get(url, headers={"range": "bytes=1000-1999"})  # before anything was spoken
    whole = await person.http.get(url)
    size = int(whole.headers["content-length"])
    assert (whole.status_code, len(whole.content), whole.headers["accept-ranges"]) == (200, size, "bytes")
    assert seconds(whole.content) == (size - HEADER_BYTES) / 32_000
    assert (middle.status_code, middle.content) == (206, whole.content[1000:2000])
    assert middle.headers["content-range"] == f"bytes 1000-1999/{size}"
    assert middle.headers["etag"] == whole.headers["etag"]
    for asked, begin, end in (("0-99", 0, 100), ("20-60", 20, 61), ("-500", size - 500, size), ("44-", 44, size)):
        part = await person.http.get(url, headers={"range": f"bytes={asked}"})
        assert (part.status_code, part.content) == (206, whole.content[begin:end]), asked
    behind = await person.http.get(url, headers={"range": f"bytes={size}-"})
    assert (behind.status_code, behind.json()["length"]) == (416, size)
    other = await person.http.get(url, headers={"range": "bytes=0-9", "if-range": '"another"'})
    assert (other.status_code, len(other.content)) == (200, size)


async def test_a_session_as_mp3(person: Person) -> None:
    url = f"{await written(person)}/audio"
    first = await person.http.get(url, headers={"accept": "audio/mpeg"})  # while it is spoken
    whole = await person.http.get(url)
    again = await person.http.get(url, headers={"accept": "audio/mpeg", "range": "bytes=5-9"})
    assert [one.status_code for one in (first, whole, again)] == [200, 200, 200]
    assert first.headers["content-type"] == again.headers["content-type"] == "audio/mpeg"
    assert (first.headers["accept-ranges"], "etag" in first.headers) == ("none", False)
    assert first.content == again.content
    assert seconds_of_mp3(first.content) == pytest.approx(seconds(whole.content), abs=0.2)


async def test_two_sessions_are_heard_at_once(person: Person) -> None:
    urls = [await written(person) for _ in range(2)]
    answers = await asyncio.gather(*(person.http.get(f"{url}/audio") for url in urls for _ in range(3)))
    assert [one.status_code for one in answers] == [200] * 6
    assert len({one.content[HEADER_BYTES:] for one in answers[:3]}) == 1
    assert len({one.content[HEADER_BYTES:] for one in answers[3:]}) == 1


async def test_nothing_to_hear_yet(person: Person) -> None:
    session = await person.ok("POST", "/api/v1/sessions")
    early = await person.http.get(f"/api/v1/sessions/{session['id']}/audio")
    assert (early.status_code, early.json()["code"]) == (409, "session-state")


async def test_a_session_is_heard_by_its_person_and_admins(offline: Api, person: Person) -> None:
    url = await written(person)
    colleague, admin = await offline.colleague(person, "member"), await offline.colleague(person, "admin")
    stranger = await offline.owner()
    unknown = await stranger.http.get(f"/api/v1/sessions/{random_id()}/audio")
    for other in (colleague, stranger):
        answer = await other.http.get(f"{url}/audio")
        assert (answer.status_code, answer.json()["code"]) == (unknown.status_code, "session-not-found")
        assert answer.json()["detail"] == unknown.json()["detail"]
    assert (await admin.http.get(f"{url}/audio")).status_code == 200


@pytest.mark.parametrize("heard", ["all", "some"])
async def test_an_erased_person_leaves_no_audio(offline: Api, person: Person, heard: str) -> None:
    """Also while it is still being spoken."""
    customer = {"numen-user": "customer-9"}
    speaker = offline.client(person.key, **customer)
    theirs = Person(person.caller, person.key, speaker)
    url = await written(theirs)
    me = await theirs.ok("GET", "/api/v1/me")
    folder = offline.container.settings.data_dir / "audio" / me["tenant_id"]
    listening = asyncio.create_task(speaker.get(f"{url}/audio"))
    if heard == "all":
        assert (await listening).status_code == 200
    else:
        await eventually(lambda: any(folder.rglob("*.pcm")), seconds=20)
    erasure = await person.ok("DELETE", f"/api/v1/users/{me['user_id']}/data")
    with contextlib.suppress(httpx.RemoteProtocolError):  # cut in the middle, or whole by then
        await listening
    async with asyncio.timeout(30):
        while (found := await person.ok("GET", f"/api/v1/erasures/{erasure['id']}"))["status"] != "done":  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    (audio,) = [one for one in found["certificate"]["stores"] if one["store"] == "session_audio"]
    assert audio["found_after"] == 0
    assert audio["removed"] > 0 or heard == "some"  # who still speaks it clears away what it began, too
    assert not [one for one in folder.rglob("*") if one.is_file()]


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
