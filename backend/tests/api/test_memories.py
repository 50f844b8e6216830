"""Memories as clients use them: found, kept once, corrected, forgotten, and explained by receipts."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import httpx
import pytest

from backend.tests.fixtures_api import Api, Person, random_id

AGENTS = "/api/v1/agents"
MEMORIES = "/api/v1/memories"
OFFLINE = {"configuration": {"llm_provider": "offline"}}


@pytest.fixture
async def person(api: Api) -> Person:
    return await api.owner()


@pytest.fixture
async def url(person: Person) -> str:
    """The memories of a new agent."""
    return f"{AGENTS}/{(await person.make_agent(**OFFLINE))['id']}/memories"


async def known(person: Person, url: str, *texts: str, **more: Any) -> list[dict[str, Any]]:
    return [await person.ok("POST", url, {"text": text, **more}) for text in texts]


async def turn(person: Person, agent_id: str, message: str, **rest: Any) -> dict[str, Any]:
    return await person.ok("POST", f"{AGENTS}/{agent_id}/chat", {"message": message}, **rest)


async def indexed(person: Person, url: str) -> None:
    """Wait until everything that the agent knows can be found."""
    async with asyncio.timeout(20):
        while not all(one["indexed_at"] for one in await person.ok("GET", url)):  # noqa: ASYNC110 — over HTTP
            await asyncio.sleep(0.02)


async def test_keeping_says_where(person: Person, url: str) -> None:
    made = await person.http.post(url, json={"text": "  I like tea. ", "user_id": str(person.caller.user_id)})
    memory = made.json()
    assert (made.status_code, memory["text"], memory["scope"], memory["origin"]) == (201, "I like tea.", "user", "api")
    assert (made.headers["location"], made.headers["etag"]) == (f"{MEMORIES}/{memory['id']}", '"1"')
    again = await person.http.post(url, json={"text": "i like TEA", "user_id": str(person.caller.user_id)})
    assert (again.status_code, again.json()["id"], again.json()["confirmations"]) == (200, memory["id"], 1)
    assert "location" not in again.headers
    assert (await person.http.get(made.headers["location"])).json()["text"] == "I like tea."


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"text": ""}, "/text"),
        ({"text": " \n "}, "/text"),
        ({"text": "x" * 8001}, "/text"),
        ({"text": 7}, "/text"),
        ({"text": "x", "kind": "rumour"}, "/kind"),
        ({"text": "x", "valid_from": "2024-05-01T10:00:00"}, "/valid_from"),
        ({"text": "x", "origin": "chat"}, "/origin"),
        ({"text": "x", "user_id": "me"}, "/user_id"),
        ({}, "/text"),
    ],
)
async def test_what_is_no_memory_is_refused(person: Person, url: str, body: dict[str, Any], pointer: str) -> None:
    for path, sent, at in ((url, body, pointer), (f"{url}/batch", {"memories": [body]}, f"/memories/0{pointer}")):
        refused = await person.http.post(path, json=sent)
        assert refused.status_code == 422
        assert [one["pointer"] for one in refused.json()["errors"]] == [at]
    for memories in ([], [{"text": "x"}] * 501):
        assert (await person.http.post(f"{url}/batch", json={"memories": memories})).status_code == 422
    assert await person.ok("GET", url) == []


async def test_members_write_their_own(api: Api, person: Person, url: str) -> None:
    member = await api.colleague(person, "member")
    refused = await member.http.post(url, json={"text": "For everybody."})
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    assert "name user_id or thread_id" in refused.json()["detail"]
    refused = await member.http.post(url, json={"text": "Of another.", "user_id": str(person.caller.user_id)})
    assert (refused.status_code, refused.json()["code"]) == (404, "user-not-found")
    [mine] = await known(member, url, "I like tea.", user_id=str(member.caller.user_id))
    thread = await member.ok("POST", url.replace("memories", "threads"))
    [there] = await known(member, url, "I am in a hurry.", thread_id=thread["id"])
    assert (there["scope"], there["user_id"]) == ("thread", str(member.caller.user_id))
    await known(person, url, "Everybody may know.")
    assert [one["id"] for one in await member.ok("GET", url)] == [there["id"], mine["id"]]
    assert len(await person.ok("GET", url)) == 3


async def test_a_walk_over_all_pages_meets_each_once(person: Person, url: str) -> None:
    texts = [f"Fact {number}" for number in range(60)]
    kept = await person.ok("POST", f"{url}/batch", {"memories": [{"text": text, "kind": "fact"} for text in texts]})
    assert (kept["created"], len(set(kept["ids"]))) == (60, 60)
    await known(person, url, "A note")
    seen: list[str] = []
    following: str | None = f"{url}?limit=7&kind=fact"
    while following is not None:
        page = await person.http.get(following)
        assert page.headers["x-total-count"] == "60"
        seen += [one["id"] for one in page.json()]
        link = re.fullmatch(r'<([^>]+)>; rel="next"', page.headers.get("link", ""))
        following = link[1] if link else None
    assert len(seen) == 60
    assert set(seen) == set(kept["ids"])
    assert [
        one["id"] for one in await person.ok("GET", url, params={"limit": 5, "offset": 56, "kind": "fact"})
    ] == seen[56:]


async def test_searching(person: Person, url: str) -> None:
    texts = ("My boat is called Heron.", "My sister bakes bread.", "The harbour is closed in winter.")
    await known(person, url, *texts)
    await indexed(person, url)
    found = await person.ok("GET", f"{url}/search", params={"q": "What is my boat called?"})
    assert found[0]["memory"]["text"] == "My boat is called Heron."
    parts = found[0]["parts"]
    assert set(parts) == {"score", "relevance", "semantic", "recency", "reinforcement"}
    assert parts["score"] == max(one["parts"]["score"] for one in found)
    ranked = await person.http.get(url, params={"q": "What is my boat called?"})
    assert ranked.json()[0] == found[0]["memory"]
    assert ranked.headers["x-total-count"] == str(len(ranked.json()))
    assert "link" not in ranked.headers
    assert len(await person.ok("GET", f"{url}/search", params={"q": "boat harbour bread", "limit": 1})) == 1
    second = await person.ok("GET", url, params={"q": "boat", "offset": 1, "limit": 1})
    assert second == (await person.ok("GET", url, params={"q": "boat"}))[1:2]
    assert len(await person.ok("GET", url, params={"q": "  "})) == 3


@pytest.mark.parametrize("query", ["q=", f"q={'x' * 2001}", "limit=101&q=x", "kind=rumour&q=x", "user_id=me&q=x", ""])
async def test_searches_have_bounds(person: Person, url: str, query: str) -> None:
    refused = await person.http.get(f"{url}/search?{query}")
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["in"] == "query"
    page = await person.http.get(f"{url}?q=x&cursor=MjAyNg")
    assert (page.status_code, page.json()["errors"][0]["name"]) == (422, "cursor")


async def test_reading_and_correcting(person: Person, url: str) -> None:
    [memory] = await known(person, url, "Opens at nine.")
    where = f"{MEMORIES}/{memory['id']}"
    assert (await person.http.get(where, headers={"if-none-match": '"1"'})).status_code == 304
    changed = await person.http.patch(where, json={"text": "Opens at ten."}, headers={"if-match": '"1"'})
    assert (changed.status_code, changed.headers["etag"], changed.json()["revision"]) == (200, '"2"', 2)
    stale = await person.http.patch(where, json={"text": "Opens at noon."}, headers={"if-match": '"1"'})
    assert (stale.status_code, stale.json()["code"], stale.json()["current_revision"]) == (
        412,
        "precondition-failed",
        2,
    )
    await known(person, url, "Opens at noon.")
    twin = await person.http.patch(where, json={"text": "opens at noon"})
    assert (twin.status_code, twin.json()["code"]) == (409, "conflict")
    for nothing in ({}, {"superseded": True}, {"text": None}, {"confirmations": 5}, {"user_id": random_id()}):
        assert (await person.http.patch(where, json=nothing)).status_code == 422, nothing
    assert (await person.http.get(where)).json()["text"] == "Opens at ten."
    history = await person.ok("GET", f"{where}/history")
    assert [(one["action"], one["text"]) for one in history] == [
        ("created", "Opens at nine."),
        ("edited", "Opens at ten."),
    ]


async def test_forgetting(person: Person, url: str) -> None:
    [memory] = await known(person, url, "My boat is called Heron.")
    await indexed(person, url)
    where = f"{MEMORIES}/{memory['id']}"
    forgotten = await person.http.delete(where)
    assert (forgotten.status_code, forgotten.content) == (204, b"")
    for gone in (await person.http.get(where), await person.http.delete(where)):
        assert (gone.status_code, gone.json()["code"]) == (404, "memory-not-found")
    assert await person.ok("GET", url, params={"q": "My boat is called Heron."}) == []
    history = await person.ok("GET", f"{where}/history")
    assert [(one["action"], one["text"]) for one in history] == [("created", None), ("forgotten", None)]


async def test_an_answer_from_another_thread_is_explained(person: Person, url: str) -> None:
    agent_id = url.split("/")[-2]
    told = await turn(person, agent_id, "My boat is called Heron, and it lies in the harbour of Faro.")
    await indexed(person, url)
    answer = await turn(person, agent_id, "Where does my boat lie?")
    assert answer["thread_id"] != told["thread_id"]
    assert "Faro" in answer["response"]
    assert answer["metadata"]["memory"] == "ok"

    where = f"/api/v1/messages/{answer['message_id']}/recall"
    receipt = await person.ok("GET", where)
    assert (receipt["memory"], receipt["confidence"]) == ("ok", answer["metadata"]["memory_confidence"])
    first = receipt["recalled"][0]
    assert first["text"] == "My boat is called Heron, and it lies in the harbour of Faro."
    assert (first["rank"], first["scope"], first["source_thread_id"]) == (1, "user", told["thread_id"])
    assert (first["rank_now"], first["parts_now"]) == (None, None)
    said = await person.ok("GET", f"/api/v1/threads/{told['thread_id']}/messages")
    assert first["source_message_id"] == said[0]["id"]

    feedback = f"/api/v1/threads/{answer['thread_id']}/messages/{answer['message_id']}/feedback"
    for score in (1, 1, 0.5):
        await person.ok("PUT", feedback, {"score": score})
    memory = await person.ok("GET", f"{MEMORIES}/{first['memory_id']}")
    assert (memory["confirmations"], memory["uses"]) == (0.5, 1)
    await indexed(person, url)
    now = (await person.ok("GET", where, params={"as_of": "now"}))["recalled"][0]
    assert (now["rank"], now["rank_now"]) == (1, 1)
    assert now["parts_now"]["reinforcement"] > now["parts"]["reinforcement"] == 0

    assert (await person.ok("DELETE", f"/api/v1/threads/{told['thread_id']}/memories"))["forgotten"] == 1
    assert (await person.ok("GET", where))["recalled"][0]["text"] is None
    assert (await person.http.get(where, params={"as_of": "then"})).status_code == 422


async def test_what_has_no_receipt_says_why(person: Person) -> None:
    agent = await person.make_agent(configuration={"llm_provider": "offline", "memory_enabled": False})
    answer = await turn(person, agent["id"], "Hello, do you know me?")
    assert answer["metadata"]["memory"] == "off"

    async def refusal(message_id: str) -> tuple[int, str, str]:
        refused: httpx.Response = await person.http.get(f"/api/v1/messages/{message_id}/recall")
        return refused.status_code, refused.json()["code"], refused.json()["detail"]

    status, code, detail = await refusal(answer["message_id"])
    assert (status, code) == (404, "receipt-not-found")
    assert "switched off" in detail
    question = (await person.ok("GET", f"/api/v1/threads/{answer['thread_id']}/messages"))[0]
    assert (await refusal(question["id"]))[1] == "receipt-not-found"
    assert (await refusal(random_id()))[:2] == (404, "message-not-found")


async def test_people_behind_one_key_have_memories_of_their_own(person: Person, url: str) -> None:
    agent_id = url.split("/")[-2]
    one, other = ({"numen-user": name} for name in ("customer-1", "customer-2"))
    await turn(person, agent_id, "My boat is called Heron.", headers=one)
    await indexed(person, url)
    mine = await person.ok("GET", url, headers=one)
    assert [memory["text"] for memory in mine] == ["My boat is called Heron."]
    assert await person.ok("GET", url, headers=other) == []
    assert await person.ok("GET", f"{url}/search", params={"q": "boat"}, headers=other) == []
    asked = await turn(person, agent_id, "What is my boat called?", headers=other)
    assert "Heron" not in asked["response"]
    assert (await person.ok("GET", f"/api/v1/messages/{asked['message_id']}/recall", headers=other))["recalled"] == []
    for method, body in (("GET", None), ("PATCH", {"text": "Mine."}), ("DELETE", None)):
        refused = await person.http.request(method, f"{MEMORIES}/{mine[0]['id']}", json=body, headers=other)
        assert (refused.status_code, refused.json()["code"]) == (404, "memory-not-found")
