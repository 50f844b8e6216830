"""A POST that comes twice, thirty times, after a crash or with another body: one effect, one answer."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import httpx
import pytest

from backend.tests.api.event_reader import all_events, text_of
from backend.tests.api.route_cases import SPEAKING, Route, World, all_routes, make_world
from backend.tests.fixtures_api import Api, Person
from backend.tests.protocol_servers.openai_server import DEFAULT_ANSWER, OpenAIServer

if TYPE_CHECKING:
    from asyncpg import Connection

DUPLICATES = 30
POSTS = (
    "createAgent", "importAgent", "rollbackAgent", "duplicateAgent", "createThread", "chat", "streamChat", "cancelRun",
    "createApiKey", "createMemory", "createMemories", "createWebhook", "createSession", "answerInterview",
    "consentToPlan", "startTherapy", "startRun", "answerApproval",
)  # fmt: skip
SECRETS = {"createApiKey": "api_key_id", "createWebhook": "webhook_id"}
"""Their answers hold a secret, so that a repeat is refused, with the id of what was made under this name."""
MOVE_ON = {"createMemory": ("indexed_at",), "startTherapy": ("status", "text", "finished_at"),
           "startRun": ("status", "text", "finished_at", "approvals"),
           "answerApproval": ("status", "text", "finished_at")}  # fmt: skip
"""What the server may have done more about, by the time that it is asked again."""
_COUNTS = """
SELECT (SELECT count(*) FROM agents) AS agents, (SELECT count(*) FROM agent_versions) AS versions,
       (SELECT count(*) FROM threads) AS threads, (SELECT count(*) FROM thread_messages) AS messages,
       (SELECT count(*) FROM runs) AS runs, (SELECT count(*) FROM runs WHERE status = 'cancelled') AS cancelled,
       (SELECT count(*) FROM api_keys) AS keys, (SELECT count(*) FROM webhooks) AS webhooks,
       (SELECT count(*) FROM audit_log) AS audited, (SELECT count(*) FROM sessions) AS sessions,
       (SELECT count(*) FROM memories) AS memories, (SELECT count(*) FROM memory_revisions) AS revisions"""
_CRASHED = """
UPDATE idempotency_keys
   SET state = 'running', leased_until = now() - interval '1 second', status = NULL, headers = NULL, body = NULL
 WHERE key = $1"""


async def counts(owner: Connection) -> dict[str, int]:
    row = await owner.fetchrow(_COUNTS)
    assert row is not None
    return dict(row)


def growth(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    return {name: after[name] - before[name] for name in after}


async def world_for(api: Api, person: Person, openai_server: OpenAIServer, route: Route) -> World:
    """A world in which the route succeeds: cancelling needs a run that is still going on."""
    openai_server.reset()
    world = await make_world(api, person)
    if route.operation != "cancelRun":
        return world
    openai_server.fault("slow_total", times=1)
    url = f"/api/v1/agents/{world.agent_id}/chat/stream"
    async with person.http.stream("POST", url, json={"message": "Hello"}) as answer:
        run_id = answer.headers["content-location"].split("/")[-2]
    return replace(world, run_id=run_id)


async def told(answer: httpx.Response) -> Any:
    """What an answer says, whatever the pieces in which a stream came."""
    if not answer.headers["content-type"].startswith("text/event-stream"):
        return await answer.aread() and answer.json()
    events = await all_events(answer)
    return [text_of(events), *((event.type, event.data) for event in events if event.type != "message.delta")]


async def post(person: Person, route: Route, world: World, key: str | None) -> tuple[int, Any]:
    """Status and meaning of an answer; asked again, as a client does, while the first request is worked on."""
    headers = {} if key is None else {"idempotency-key": key}
    while True:
        async with person.http.stream("POST", route.url(world.values()), json=route.body, headers=headers) as answer:
            said = await told(answer)
            if answer.status_code != 409 or said["code"] != "request-in-progress":
                return answer.status_code, said
            assert int(answer.headers["retry-after"]) >= 1
        await asyncio.sleep(0.02)


def post_routes(api: Api) -> dict[str, Route]:
    """Those that take a key of the caller's; an event has an id of its own, see `test_triggers.py`."""
    routes = [route for route in all_routes(api.app) if route.method == "POST" and not route.signed]
    return {route.operation: route for route in routes if route.operation not in SPEAKING}


async def test_every_post_is_here_and_documents_the_header(served_api: Api) -> None:
    routes = post_routes(served_api)
    assert set(routes) == set(POSTS)
    document = served_api.app.openapi()
    for route in routes.values():
        parameters = document["paths"][route.path]["post"]["parameters"]
        assert "Idempotency-Key" in {one["name"] for one in parameters}, route


@pytest.mark.parametrize("operation", POSTS)
async def test_thirty_at_once_are_one(api: Api, openai_server: OpenAIServer, owner: Connection, operation: str) -> None:
    person = await api.owner()
    route = post_routes(api)[operation]
    world = await world_for(api, person, openai_server, route)
    before = await counts(owner)
    assert (await post(person, route, world, None))[0] < 300
    await api.settled()
    alone = growth(before, await counts(owner))
    assert sum(alone.values()) > 0

    world = await world_for(api, person, openai_server, route)
    calls = len(openai_server.calls)
    before = await counts(owner)
    key = str(uuid4())
    answers = await asyncio.gather(*(post(person, route, world, key) for _ in range(DUPLICATES)))
    await api.settled()
    assert growth(before, await counts(owner)) == alone
    assert len(openai_server.calls) - calls <= 1
    good = [said for status, said in answers if status < 300]
    if operation in SECRETS:
        assert len(good) == 1
        refused = [said for status, said in answers if status == 409]
        assert len(refused) == DUPLICATES - 1
        name = SECRETS[operation]
        assert {(said["code"], said[name]) for said in refused} == {("secret-already-shown", good[0]["id"])}
    else:
        assert len(good) == DUPLICATES
        assert all(said == good[0] for said in good)


@pytest.mark.parametrize("operation", POSTS)
async def test_a_crash_before_the_answer_is_kept(
    api: Api, openai_server: OpenAIServer, owner: Connection, operation: str
) -> None:
    """The effect is there, the stored answer is not: the second try finds what the first one made."""
    person = await api.owner()
    route = post_routes(api)[operation]
    world = await world_for(api, person, openai_server, route)
    key = str(uuid4())
    status, said = await post(person, route, world, key)
    assert status < 300
    await api.settled()
    before = await counts(owner)
    assert await owner.execute(_CRASHED, key) == "UPDATE 1"
    again, said_again = await post(person, route, world, key)
    await api.settled()
    assert await counts(owner) == before
    if operation in SECRETS:
        name = SECRETS[operation]
        assert (again, said_again["code"], said_again[name]) == (409, "secret-already-shown", said["id"])
    elif operation == "cancelRun":
        assert (again, said_again["code"]) == (409, "run-finished")
    else:
        for name in MOVE_ON.get(operation, ()):
            said[name] = said_again[name]
        assert (again, said_again) == (status, said)


@pytest.mark.parametrize("operation", POSTS)
async def test_the_same_key_for_something_else_is_refused(
    api: Api, openai_server: OpenAIServer, owner: Connection, operation: str
) -> None:
    person = await api.owner()
    route = post_routes(api)[operation]
    world = await world_for(api, person, openai_server, route)
    key = str(uuid4())
    assert (await post(person, route, world, key))[0] < 300
    await api.settled()
    before = await counts(owner)
    url, headers = route.url(world.values()), {"idempotency-key": key}
    other_field = {"createThread": "title", "createMemory": "text"}.get(operation, "name")
    other_body = {**(route.body or {}), other_field: "another"}
    if route.takes_body:
        changed = {"message": "Other"} if operation in ("chat", "streamChat") else other_body
        changed = {"version": "1.1.0"} if operation == "rollbackAgent" else changed
        if operation != "importAgent":  # a file with one more field is no file at all
            answer = await person.http.post(url, json=changed, headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (422, "idempotency-key-reused")
    answer = await person.http.post(f"{url}?x=1", json=route.body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency-key-reused")
    other = f"/api/v1/agents/{world.agent_id}/threads"
    answer = await person.http.post(other, json={"title": "x"}, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency-key-reused")
    assert await counts(owner) == before


async def test_keys_of_different_people_are_different_keys(api: Api) -> None:
    one, stranger = await api.owner(), await api.owner()
    colleague = await api.colleague(one, "admin")
    headers = {"idempotency-key": "the-same"}
    body = {"name": "Mine", "identity": {"short_description": "m"}}
    made = [await person.ok("POST", "/api/v1/agents", body, headers=headers) for person in (one, colleague, stranger)]
    assert len({agent["id"] for agent in made}) == 3
    # The product's own users behind one key are people as well.
    agent = made[0]["id"]
    for person in ("customer-1", "customer-2"):
        reply = await one.ok(
            "POST", f"/api/v1/agents/{agent}/chat", {"message": "Hello"}, headers={**headers, "numen-user": person}
        )
        made.append(reply)
    assert made[-1]["thread_id"] != made[-2]["thread_id"]


async def test_a_replay_is_marked_and_keeps_its_headers(api: Api) -> None:
    person = await api.owner()
    body = {"name": "Mine", "identity": {"short_description": "m"}}
    first, second = [
        await person.http.post("/api/v1/agents", json=body, headers={"idempotency-key": "k"}) for _ in range(2)
    ]
    assert first.content == second.content
    for name in ("etag", "location", "content-type"):
        assert first.headers[name] == second.headers[name]
    assert (first.headers.get("idempotent-replayed"), second.headers["idempotent-replayed"]) == (None, "true")
    assert first.headers["x-request-id"] != second.headers["x-request-id"]


async def test_what_failed_may_be_tried_again(api: Api, owner: Connection) -> None:
    """An error is no effect: once its reason is gone, the same request under the same key succeeds."""
    person = await api.owner()
    agent = await person.make_agent()
    url, headers = f"/api/v1/agents/{agent['id']}", {"idempotency-key": "again"}
    await person.ok("PATCH", url, {"status": "inactive"})
    refused = await person.http.post(f"{url}/chat", json={"message": "Hello"}, headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (409, "agent-inactive")
    await person.ok("PATCH", url, {"status": "active"})
    reply = await person.ok("POST", f"{url}/chat", {"message": "Hello"}, headers=headers)
    assert reply["metadata"]["message_count"] == 2
    assert (await counts(owner))["messages"] == 2


@pytest.mark.parametrize("key", ["", "x" * 256, "a b", "\u00e9", "tab\tbed"])
async def test_keys_that_are_none(api: Api, owner: Connection, key: str) -> None:
    person = await api.owner()
    body = {"name": "Mine", "identity": {"short_description": "m"}}
    answer = await person.http.post("/api/v1/agents", json=body, headers=[(b"idempotency-key", key.encode())])
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert (error["in"], error["name"]) == ("header", "Idempotency-Key")
    twice = [("idempotency-key", "a"), ("idempotency-key", "b")]
    assert (await person.http.post("/api/v1/agents", json=body, headers=twice)).status_code == 422
    assert (await counts(owner))["agents"] == 0


async def test_a_server_that_died_in_the_middle_of_a_turn(
    api: Api, owner: Connection, openai_server: OpenAIServer
) -> None:
    """Its rows say that it still works; once it is given up, the same request is answered in its place."""
    person = await api.owner()
    agent = await person.make_agent()
    url, headers = f"/api/v1/agents/{agent['id']}/chat", {"idempotency-key": "turn"}
    reply = await person.ok("POST", url, {"message": "Hello"}, headers=headers)
    run_id, thread_id = UUID(reply["metadata"]["run_id"]), UUID(reply["thread_id"])
    await owner.execute(_CRASHED, "turn")
    await owner.execute("DELETE FROM thread_messages WHERE thread_id = $1 AND role = 'assistant'", thread_id)
    await owner.execute(
        "UPDATE runs SET status = 'running', marks = '[]', text = '', leased_until = now() + interval '1 hour' "
        "WHERE id = $1",
        run_id,
    )
    await owner.execute(
        "UPDATE threads SET active_run_id = $2, active_until = now() + interval '1 hour', message_count = 1 "
        "WHERE id = $1",
        thread_id,
        run_id,
    )
    busy = await person.http.post(url, json={"message": "Hello"}, headers=headers)
    assert (busy.status_code, busy.json()["code"]) == (409, "request-in-progress")
    await owner.execute("UPDATE runs SET leased_until = now() - interval '1 second' WHERE id = $1", run_id)
    assert await api.container.runs.recover_orphans() == 1
    messages = f"/api/v1/threads/{thread_id}/messages"
    assert [one["status"] for one in await person.ok("GET", messages)] == ["complete", "failed"]
    again = await person.ok("POST", url, {"message": "Hello"}, headers=headers)
    assert again["response"] == DEFAULT_ANSWER
    assert [one["content"] for one in await person.ok("GET", messages)] == ["Hello", DEFAULT_ANSWER]
    assert [said["content"] for said in openai_server.calls[-1].body["messages"][1:]] == ["Hello"]
