"""Sessions as one recording over HTTP, spoken by the real voice of this machine."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Any

import httpx
import pytest

from backend.routers.audio_answer import HEADER_BYTES
from backend.scripts.default_agents import load_default_agents
from backend.tests.api.event_reader import all_events
from backend.tests.api.speaking import VOICE, loudest, seconds, speak
from backend.tests.fixtures_api import Api, Person, api_settings, eventually, random_id, serving
from backend.tests.mp3_frames import seconds_of_mp3

BRIEFLY = ("I want to sleep through the night", "Calm, it is about sleep, and a woman's voice", "No", "Yes")


@pytest.fixture(scope="module")
async def offline(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Api]:
    """A deployment without any model; the only one at its database, whose others would erase without these files."""
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


OF_WHAT_WAS_BEFORE = {"range": "bytes=100-", "if-range": '"of what was before"'}


@pytest.mark.parametrize(
    ("person", "speed", "asked"),
    [(1.0, 1.0, {"range": "bytes=0-"}), (0.9, 0.9, OF_WHAT_WAS_BEFORE)],
    indirect=["person"],
    ids=["usual", "slower"],
)
async def test_a_session_lasts_as_long_as_its_words_and_its_pauses(
    person: Person, speed: float, asked: dict[str, str]
) -> None:
    url = await written(person)
    first = await person.http.get(f"{url}/audio", headers=asked)
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
    for tag, status, length in ((whole.headers["etag"], 206, 10), ('"another"', 200, size)):
        part = await person.http.get(url, headers={"range": "bytes=0-9", "if-range": tag})
        assert (part.status_code, len(part.content)) == (status, length)


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
