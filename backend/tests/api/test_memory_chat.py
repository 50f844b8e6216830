"""An agent that knows people: across their threads, nobody else's, and honest when it cannot look. All offline."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any
from uuid import uuid4

import pytest

from backend.tests.fair_time import fair_timeout
from backend.tests.fixtures_api import Api, Person, api_settings, serving

INTAKE: dict[str, Any] = {
    "name": "Welcome desk",
    "configuration": {"llm_provider": "offline"},
    "traits": {"verbosity": 30, "humor": 10},
}
FACTS = ["My dog is called Rex.", "I work as a nurse at the harbour clinic.", "I moved to Lisbon in May."]
QUESTION = "What is my dog called?"


@pytest.fixture(scope="module")
async def house(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Api]:
    """A server of this module's own: its index is switched off by a test."""
    data = tmp_path_factory.mktemp("data")
    settings = api_settings(database_url, tmp_path_factory.mktemp("prompts"), data_dir=data, llm_provider="offline")
    async with serving(settings) as api:
        await api.container.memory.embedder.embed(["warm"])
        yield api


@pytest.fixture
async def person(house: Api) -> AsyncGenerator[Person]:
    yield await house.owner()
    await house.hang_up()
    await house.settled()


async def say(person: Person, agent: str, message: str, thread: str | None = None) -> dict[str, Any]:
    return await person.ok("POST", f"/api/v1/agents/{agent}/chat", {"message": message, "thread_id": thread})


async def intake(house: Api, person: Person, agent: str) -> str:
    """Tell an agent about oneself, in one thread, and wait until it can be found."""
    thread = None
    for fact in FACTS:
        thread = (await say(person, agent, fact, thread))["thread_id"]
    assert thread is not None
    await indexed(house)
    return thread


async def indexed(house: Api) -> None:
    """Wait until the index has everything."""
    async with asyncio.timeout(20):
        while True:
            await house.container.memory.relay.drain(5)
            async with house.container.database.worker() as worker:
                if not (await worker.waiting(["memory.index"])).pending:
                    return
            await asyncio.sleep(0.02)


async def answer_to(person: Person, agent: str, question: str = QUESTION) -> dict[str, Any]:
    """The answer in a new thread."""
    return await say(person, agent, question)


async def test_what_was_said_in_one_thread_is_known_in_another(house: Api, person: Person) -> None:
    agent = (await person.make_agent(**INTAKE))["id"]
    thread = await intake(house, person, agent)
    reply = await answer_to(person, agent)
    assert reply["thread_id"] != thread
    assert "Rex" in reply["response"]
    metadata = reply["metadata"]
    assert (metadata["memory"], metadata["offline"]) == ("ok", True)
    assert metadata["memory_confidence"] > 0.5
    receipt = await person.ok("GET", f"/api/v1/messages/{reply['message_id']}/recall")
    first = receipt["recalled"][0]
    assert (first["text"], first["source_thread_id"], first["scope"]) == ("My dog is called Rex.", thread, "user")
    assert first["parts"]["semantic"] == 1
    assert 0.99 < first["parts"]["recency"] <= 1
    assert "nurse" in (await answer_to(person, agent, "Where do I work?"))["response"]


async def test_asked_what_it_knows_of_somebody_it_tells(house: Api, person: Person) -> None:
    agent = (await person.make_agent(**INTAKE))["id"]
    await intake(house, person, agent)
    reply = await answer_to(person, agent, "What do you know about me?")
    assert any(fact.rstrip(".") in reply["response"] for fact in FACTS)
    receipt = await person.ok("GET", f"/api/v1/messages/{reply['message_id']}/recall")
    assert {one["text"] for one in receipt["recalled"]} == set(FACTS)
    assert receipt["confidence"] == pytest.approx(1 - 0.5**3)


async def test_it_is_known_of_nobody_else_and_to_nobody_else(house: Api, person: Person) -> None:
    agent = (await person.make_agent(**INTAKE))["id"]
    other_agent = (await person.make_agent(**INTAKE))["id"]
    await intake(house, person, agent)
    colleague, stranger = await house.colleague(person, "member"), await house.owner()
    foreign_agent = (await stranger.make_agent(**INTAKE))["id"]
    for asking, asked in ((colleague, agent), (person, other_agent), (stranger, foreign_agent)):
        for question in (QUESTION, "What do you know about me?"):
            reply = await answer_to(asking, asked, question)
            assert not any(word in reply["response"] for word in ("Rex", "nurse", "Lisbon"))
            assert (reply["metadata"]["memory"], reply["metadata"]["memory_confidence"]) == ("ok", 0)
            receipt = await asking.ok("GET", f"/api/v1/messages/{reply['message_id']}/recall")
            assert (receipt["recalled"], receipt["near_misses"]) == ([], [])


async def test_what_is_in_the_conversation_is_not_recalled_again(house: Api, person: Person) -> None:
    agent = (await person.make_agent(**INTAKE))["id"]
    thread = await intake(house, person, agent)
    reply = await say(person, agent, QUESTION, thread)
    assert "Rex" in reply["response"]
    receipt = await person.ok("GET", f"/api/v1/messages/{reply['message_id']}/recall")
    assert receipt["recalled"] == []
    assert {one["reason"] for one in receipt["near_misses"]} == {"in_view"}


async def test_news_takes_the_place_of_what_was_known(house: Api, person: Person) -> None:
    agent = (await person.make_agent(**INTAKE))["id"]
    await say(person, agent, "I live in Porto.")
    await indexed(house)
    await say(person, agent, "I live in Lisbon now.")
    await indexed(house)
    reply = await answer_to(person, agent, "Where do I live?")
    assert "Lisbon" in reply["response"]
    assert "Porto" not in reply["response"]
    receipt = await person.ok("GET", f"/api/v1/messages/{reply['message_id']}/recall")
    assert [(one["text"], one["reason"]) for one in receipt["near_misses"]] == [("I live in Porto.", "superseded")]


async def test_praise_moves_what_an_answer_was_built_on(house: Api, person: Person) -> None:
    agent = (await person.make_agent(**INTAKE))["id"]
    await intake(house, person, agent)
    reply = await answer_to(person, agent)
    place = f"/api/v1/threads/{reply['thread_id']}/messages/{reply['message_id']}/feedback"
    await person.ok("PUT", place, {"score": 1.0})
    receipt = await person.ok("GET", f"/api/v1/messages/{reply['message_id']}/recall?as_of=now")
    first = receipt["recalled"][0]
    assert first["rank_now"] == 1
    assert first["parts_now"]["reinforcement"] > first["parts"]["reinforcement"] == 0
    assert first["parts_now"]["score"] > first["parts"]["score"]


async def test_without_memory_nothing_is_kept(house: Api, person: Person) -> None:
    configuration = {"llm_provider": "offline", "memory_enabled": False}
    agent = (await person.make_agent(**{**INTAKE, "configuration": configuration}))["id"]
    reply = await say(person, agent, FACTS[0])
    assert reply["metadata"]["memory"] == "off"
    assert (await person.http.get(f"/api/v1/messages/{reply['message_id']}/recall")).status_code == 404
    assert (await person.ok("GET", f"/api/v1/agents/{agent}/memories")) == []


async def test_a_repeated_turn_is_kept_once(house: Api, person: Person) -> None:
    agent = (await person.make_agent(**INTAKE))["id"]
    key = {"idempotency-key": str(uuid4())}
    for _ in range(3):
        await person.ok("POST", f"/api/v1/agents/{agent}/chat", {"message": FACTS[0]}, headers=key)
    [memory] = await person.ok("GET", f"/api/v1/agents/{agent}/memories")
    assert (memory["text"], memory["confirmations"]) == (FACTS[0], 0)


async def test_with_the_index_away_it_answers_in_time_and_says_so(house: Api, person: Person) -> None:
    agent = (await person.make_agent(**INTAKE))["id"]
    await intake(house, person, agent)
    await house.container.memory.engine.index.close()
    async with fair_timeout(2):
        reply = await answer_to(person, agent)
    assert (reply["metadata"]["memory"], reply["metadata"]["memory_confidence"]) == ("degraded", 0)
    assert "Rex" not in reply["response"]
    receipt = await person.ok("GET", f"/api/v1/messages/{reply['message_id']}/recall")
    assert (receipt["memory"], receipt["recalled"]) == ("degraded", [])
