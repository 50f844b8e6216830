"""Sessions from outside, without a model: plain sentences lead to a plan, a plan to a script, whatever is restarted."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from backend.scripts.default_agents import load_default_agents
from backend.tests.api.event_reader import all_events, text_of
from backend.tests.fixtures_api import Api, Person, api_settings, random_id, serving

SESSIONS = "/api/v1/sessions"
SAID = (
    ("Hello", "goals"),
    ("I want to sleep through the night and stop worrying about work", "preferences"),
    ("Calm, please", "preferences"),
    ("It is about sleep", "preferences"),
    ("A woman's voice", "preferences"),
    ("I love the sea", "confirmation"),
    ("Make it gentle instead", "confirmation"),
    ("Yes, that is right", "complete"),
)
BRIEFLY = ("I want to sleep through the night", "Calm, it is about sleep, and a woman's voice", "No", "Yes")
PLAN = {"tone": "gentle", "session_type": "sleep_hypnosis", "voice_id": "calm-female"}
PARTS = ["induction", "deepening", "therapy", "emergence"]


@pytest.fixture(scope="module")
async def offline(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Api]:
    async with offline_house(database_url, tmp_path_factory.mktemp("prompts")) as api:
        yield api


@contextlib.asynccontextmanager
async def offline_house(database_url: str, prompts: Path) -> AsyncGenerator[Api]:
    """A deployment without any model."""
    settings = api_settings(database_url, prompts, llm_provider="offline", openai_api_key=None)
    async with serving(settings) as api:
        yield api


@pytest.fixture
async def person(offline: Api) -> AsyncGenerator[Person]:
    """Somebody whose tenant has the default agents."""
    owner = await offline.owner()
    await make_default_agents(owner)
    yield owner
    await offline.settled()


async def make_default_agents(owner: Person) -> None:
    for shipped in load_default_agents().values():
        await owner.make_agent(**shipped.model_dump(mode="json", exclude_unset=True))


async def say(person: Person, session: dict[str, Any], message: str, **headers: str) -> dict[str, Any]:
    return await person.ok("POST", f"{SESSIONS}/{session['id']}/messages", {"message": message}, headers=headers)


async def events_of(person: Person, run: str, **headers: str) -> list[Any]:
    async with asyncio.timeout(20), person.http.stream("GET", f"/api/v1/runs/{run}/events", headers=headers) as answer:
        return await all_events(answer)


async def completed(person: Person) -> dict[str, Any]:
    """A session whose interview is complete."""
    session = await person.ok("POST", SESSIONS)
    for message, stage in SAID:
        session = await say(person, session, message)
        assert session["stage"] == stage, (message, session)
    return session


async def test_five_requests_lead_to_a_script(offline: Api, person: Person) -> None:
    session = await completed(person)
    assert session["plan"].items() >= PLAN.items()
    assert session["plan"]["goals"] == ["sleep through the night", "stop worrying about work"]
    assert "sea" in session["plan"]["notes"]
    assert list(session["plan"]) == ["goals", "tone", "session_type", "voice_id", "notes"]
    url = f"{SESSIONS}/{session['id']}"
    refused = await person.http.post(f"{url}/therapy")
    assert (refused.status_code, refused.json()["code"]) == (409, "session-state")
    agreed = await person.ok("POST", f"{url}/consent", {"accepted": True})
    assert agreed["consented_at"]
    run = await person.ok("POST", f"{url}/therapy")
    assert run["kind"] == "script"
    told = await events_of(person, run["id"])
    assert [event.data["name"] for event in told if event.type == "part.started"] == PARTS
    assert told[-1].type == "message.completed"
    assert told[-1].data["metadata"]["offline"] is True
    script = await person.ok("GET", f"{url}/script")
    assert script["complete"]
    assert [part["name"] for part in script["parts"]] == PARTS
    assert text_of(told) == "\n\n".join(part["text"] for part in script["parts"])
    for part in script["parts"]:
        assert "[" not in part["text"]
        assert part["pauses"]
        assert all(0 <= pause["offset"] <= len(part["text"]) for pause in part["pauses"])
    assert "sleep through the night" in text_of(told)
    done = await person.ok("GET", url)
    assert (done["status"], done["therapy_run_id"]) == ("completed", run["id"])
    lines = (await person.ok("GET", f"{url}/transcript"))["lines"]
    speakers = [line["speaker"] for line in lines]
    assert speakers == ["intake", *(["person", "intake"] * len(SAID)), *(["therapy"] * 4)]


async def test_both_agents_know_the_person_next_time(offline: Api, person: Person) -> None:
    session = await completed(person)
    url = f"{SESSIONS}/{session['id']}"
    await person.ok("POST", f"{url}/consent", {"accepted": True})
    run = await person.ok("POST", f"{url}/therapy")
    await events_of(person, run["id"])
    await offline.settled()
    for agent in (session["intake_agent_id"], session["therapy_agent_id"]):
        path = f"/api/v1/agents/{agent}/memories?kind=reflection"
        (memory,) = await person.ok("GET", path)
        assert (memory["origin"], memory["scope"]) == ("agent", "user")
        assert memory["indexed_at"]
        assert "sleep" in memory["text"]
        reply = await person.ok(
            "POST", f"/api/v1/agents/{agent}/chat", {"message": "What did I want to change last time, my sleep?"}
        )
        receipt = await person.ok("GET", f"/api/v1/messages/{reply['message_id']}/recall")
        assert memory["id"] in {one["memory_id"] for one in receipt["recalled"]}


async def test_it_goes_on_whatever_is_restarted(
    database_url: str, person: Person, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Each request is answered by a server that was started for it."""
    steps: list[tuple[str, str, Any]] = [("POST", "", None)]
    steps += [("POST", "/messages", {"message": message}) for message in BRIEFLY]
    steps += [("POST", "/consent", {"accepted": True}), ("POST", "/therapy", None)]
    session: dict[str, Any] = {}
    for method, path, body in steps:
        async with offline_house(database_url, tmp_path_factory.mktemp("again")) as house:
            http = house.client(person.key)
            answer = await http.request(method, f"{SESSIONS}/{session['id']}{path}" if session else SESSIONS, json=body)
            assert answer.is_success, answer.text
            session = session or answer.json()
    async with offline_house(database_url, tmp_path_factory.mktemp("last")) as house:
        http = house.client(person.key)
        async with asyncio.timeout(30):
            while (after := (await http.get(f"{SESSIONS}/{session['id']}")).json())["status"] == "therapy":  # noqa: ASYNC110 — asked from outside
                await asyncio.sleep(0.1)
        assert after["status"] == "completed", after
        script = (await http.get(f"{SESSIONS}/{session['id']}/script")).json()
        assert [part["name"] for part in script["parts"]] == PARTS


async def test_a_product_speaks_for_its_people(offline: Api, person: Person) -> None:
    one, other = ({"numen-user": name} for name in ("customer-1", "customer-2"))
    session = await person.ok("POST", SESSIONS, headers=one)
    after = await say(person, session, "I want to sleep better", **one)
    assert after["stage"] == "preferences"
    assert (await person.http.get(f"{SESSIONS}/{session['id']}", headers=other)).status_code == 404
    assert await person.ok("GET", SESSIONS, headers=other) == []
    assert [found["id"] for found in await person.ok("GET", SESSIONS, headers=one)] == [session["id"]]


async def test_an_admin_may_begin_one_for_somebody_and_a_member_may_not(offline: Api, person: Person) -> None:
    member = await offline.colleague(person, "member")
    for_member = {"user_id": str(member.caller.user_id)}
    session = await person.ok("POST", SESSIONS, for_member)
    assert session["user_id"] == for_member["user_id"]
    assert (await member.ok("GET", f"{SESSIONS}/{session['id']}"))["id"] == session["id"]
    refused = await member.http.post(SESSIONS, json={"user_id": str(person.caller.user_id)})
    assert (refused.status_code, refused.json()["code"]) == (404, "user-not-found")


async def test_lists_are_paged(person: Person) -> None:
    made = [(await person.ok("POST", SESSIONS))["id"] for _ in range(5)]
    seen: list[str] = []
    address: str | None = f"{SESSIONS}?limit=2"
    while address is not None:
        answer = await person.http.get(address)
        assert answer.headers["x-total-count"] == "5"
        seen += [one["id"] for one in answer.json()]
        address = answer.links["next"]["url"] if "next" in answer.links else None
    assert seen == made[::-1]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"intake_agent_id": "therapy"}, "/intake_agent_id"),
        ({"therapy_agent_id": "intake"}, "/therapy_agent_id"),
        ({"user_id": "nobody"}, "/user_id"),
        ({"plan": {}}, "/plan"),
    ],
)
async def test_what_cannot_be_honoured_is_refused_where_it_stands(
    person: Person, body: dict[str, Any], pointer: str
) -> None:
    agents = {agent["metadata"]["tags"][1]: agent["id"] for agent in await person.ok("GET", "/api/v1/agents")}
    given = {name: agents.get(value, value) if isinstance(value, str) else value for name, value in body.items()}
    answer = await person.http.post(SESSIONS, json=given)
    assert answer.status_code == 422, answer.text
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]


async def test_what_does_not_exist_is_not_found(person: Person) -> None:
    url = f"{SESSIONS}/{random_id()}"
    for method, path, body in (
        ("GET", "", None),
        ("GET", "/script", None),
        ("GET", "/transcript", None),
        ("POST", "/messages", {"message": "Hello"}),
        ("POST", "/consent", {"accepted": True}),
        ("POST", "/therapy", None),
    ):
        answer = await person.http.request(method, f"{url}{path}", json=body)
        assert (answer.status_code, answer.json()["code"]) == (404, "session-not-found"), path


async def test_a_crisis_ends_the_session_with_help(offline: Api, person: Person) -> None:
    session = await person.ok("POST", SESSIONS)
    before = session["response"]
    over = await say(person, session, "I want to kill myself")
    assert over["status"] == "failed"
    assert over["error"]["code"] == "crisis"
    assert over["response"] != before
    messages = await person.ok("GET", f"/api/v1/threads/{session['intake_thread_id']}/messages")
    assert messages[-1]["content"] == over["response"]
    assert messages[-1]["metadata"]["safety"]["crisis"] is True
    url = f"{SESSIONS}/{session['id']}"
    for path, body in (("/messages", {"message": "Hi"}), ("/consent", {"accepted": True}), ("/therapy", None)):
        answer = await person.http.post(f"{url}{path}", json=body)
        assert (answer.status_code, answer.json()["code"]) == (409, "session-state"), path
