"""Another tenant's things, and another person's conversations: as absent as what never was."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from backend.scripts.default_agents import load_default_agents
from backend.tests.api.raw_http import Answer, RawConnection
from backend.tests.api.route_cases import BODIES, IDS, SESSIONS, VERSIONS, Route, World, all_routes, make_world, nowhere
from backend.tests.fixtures_api import Api, Person, random_id

if TYPE_CHECKING:
    from asyncpg import Connection

ROLES = ("owner", "admin", "member", "viewer")
VICTIMS = 5
_ROWS = "SELECT t::text AS row FROM {table} t WHERE tenant_id::text = ANY($1) ORDER BY 1"
_SIGNS = ("request_id", "instance")  # what may differ between two answers that must look the same


def absent(answer: httpx.Response | Answer) -> tuple[int, Any, frozenset[str]]:
    """All that an answer tells, without its own request's id and address."""
    body = answer.json()
    return (
        answer.status_code,
        {name: value for name, value in body.items() if name not in _SIGNS},
        frozenset(answer.headers) - {"x-request-id"},
    )


def request_of(route: Route, values: Mapping[str, str]) -> dict[str, Any]:
    return {"method": route.method, "url": route.url(values), "json": route.body}


async def fingerprint(owner: Connection, tenants: list[str]) -> str:
    """Everything that the database holds of these tenants."""
    tables = await owner.fetch(
        "SELECT DISTINCT table_name FROM information_schema.columns WHERE column_name = 'tenant_id'"
    )
    digest = hashlib.sha256()
    for row in sorted(one["table_name"] for one in tables):
        if row in ("api_keys", "outbox"):  # a key's last use, and what the relay is about to take away
            continue
        rows = await owner.fetch(_ROWS.format(table=row), tenants)
        digest.update(repr([one["row"] for one in rows]).encode())
    return digest.hexdigest()


async def test_every_route_has_a_case(served_api: Api) -> None:
    routes = all_routes(served_api.app)
    assert len(routes) > 20
    known = {*IDS, *VERSIONS, "code"}
    for route in routes:
        assert set(route.parameters) <= known, f"{route}: tell route_cases.py what its ids are"
        if route.takes_body:
            assert route.operation in BODIES, f"{route}: give route_cases.py a body for {route.operation}"
    assert set(BODIES) <= {route.operation for route in routes}, "a body of an operation that is gone"


async def attack(port: int, routes: list[Route], attacker: Person, own: World, victims: list[World]) -> int:
    """Every id of the victims in every place of the addresses, the other places filled with one's own; how many."""
    headers = {"authorization": f"Bearer {attacker.key}", "content-type": "application/json"}
    tries = 0
    kinds = [pair for victim in victims for pair in victim.values().items()]
    async with RawConnection(port) as connection:

        async def absent_at(route: Route, place: str, value: str) -> Any:
            body = json.dumps(route.body).encode() if route.takes_body else None
            url = route.url({**own.values(), place: value})
            return absent(await connection.request(route.method, url, headers, body))

        for route, place in [(one, place) for one in routes for place in one.ids]:
            control = await absent_at(route, place, random_id())
            assert control[0] in ((401,) if route.signed else (403, 404)), (route, place, control)
            for kind, foreign in kinds:
                told = await absent_at(route, place, foreign)
                assert told == control, f"{route}: a foreign {kind} for {place} is told from a random one"
                tries += 1
    return tries


async def test_nothing_of_another_tenant_is_there(api: Api, owner: Connection) -> None:
    ours, *others = [await api.owner() for _ in range(VICTIMS + 1)]
    victims = [await make_world(api, other) for other in others]
    attackers = [ours] + [await api.colleague(ours, role) for role in ROLES[1:]]
    worlds = [await make_world(api, ours, attacker) for attacker in attackers]
    await api.settled()
    tenants = [str(other.caller.tenant_id) for other in others]
    before = await fingerprint(owner, tenants)
    routes = [route for route in all_routes(api.app) if route.ids]
    work = [
        attack(api.port, routes, attacker, world, victims) for attacker, world in zip(attackers, worlds, strict=True)
    ]
    tries = sum(await asyncio.gather(*work))
    assert tries >= 2_000, tries
    assert await fingerprint(owner, tenants) == before


async def test_ones_own_things_are_there(api: Api) -> None:
    """The control: with the owner's own key each of these requests succeeds, so that 404 above means something."""
    mine = await api.owner()
    world = await make_world(api, mine)
    for route in all_routes(api.app):
        answer = await mine.http.request(**request_of(route, world.values()), headers=route.headers(world))
        expected = {"cancelRun": 409, "transcribe": 415}.get(route.operation)  # it is over; there is no recording
        assert answer.is_success or answer.status_code == expected, (
            f"{route} answered {answer.status_code}: {answer.text[:500]}"
        )


@pytest.mark.parametrize("path", ["chat", "chat/stream"])
async def test_a_foreign_thread_is_not_talked_in(api: Api, owner: Connection, path: str) -> None:
    mine, theirs = await api.owner(), await api.owner()
    world, foreign = await make_world(api, mine), await make_world(api, theirs)
    colleague = await make_world(api, mine, await api.colleague(mine, "member"))
    elsewhere = await make_world(api, mine)  # a conversation of one's own, but with another agent
    await api.settled()
    before = await fingerprint(owner, [str(theirs.caller.tenant_id)])
    url = f"/api/v1/agents/{world.agent_id}/{path}"
    answers = [
        absent(await mine.http.post(url, json={"message": "Hello", "thread_id": thread_id}))
        for thread_id in (random_id(), foreign.thread_id, colleague.thread_id, elsewhere.thread_id, foreign.run_id)
    ]
    assert answers[0][0] == 404
    assert all(answer == answers[0] for answer in answers)
    assert await fingerprint(owner, [str(theirs.caller.tenant_id)]) == before


async def test_foreign_ids_in_queries(api: Api) -> None:
    mine, theirs = await api.owner(), await api.owner()
    world, foreign = await make_world(api, mine), await make_world(api, theirs)
    url = f"/api/v1/threads/{world.thread_id}/messages"
    unknown = absent(await mine.http.get(url, params={"before": random_id()}))
    assert unknown[0] == 404
    assert absent(await mine.http.get(url, params={"before": foreign.message_id})) == unknown
    linked = await theirs.http.get("/api/v1/agents", params={"limit": 1})
    assert linked.headers["x-total-count"] == "4"
    cursor = "rubbish"
    assert (await mine.http.get("/api/v1/agents", params={"cursor": cursor})).status_code == 422


async def test_foreign_ids_in_memories(api: Api) -> None:
    """Whose a memory would be: a stranger's, and what is nobody's, are refused alike; as a filter they find nothing."""
    mine, theirs = await api.owner(), await api.owner()
    world, foreign = await make_world(api, mine), await make_world(api, theirs)
    url = f"/api/v1/agents/{world.agent_id}/memories"
    ids = {"user_id": str(theirs.caller.user_id), "thread_id": foreign.thread_id}
    for name, foreign_id in ids.items():
        nobodys, somebodys = ({"text": "x", name: one} for one in (random_id(), foreign_id))
        unknown = absent(await mine.http.post(url, json=nobodys))
        assert unknown[0] == 404
        assert absent(await mine.http.post(url, json=somebodys)) == unknown
        for one in (nobodys, somebodys):
            assert absent(await mine.http.post(f"{url}/batch", json={"memories": [one]})) == unknown
        for query in ({name: foreign_id}, {name: foreign_id, "q": "telescope"}):
            assert await mine.ok("GET", url, params=query) == []


async def test_lists_hold_ones_own(api: Api) -> None:
    mine, theirs = await api.owner(), await api.owner()
    world, foreign = await make_world(api, mine), await make_world(api, theirs)
    agents = {agent["id"]: agent["name"] for agent in await mine.ok("GET", "/api/v1/agents")}
    named = {one for one, name in agents.items() if name in {one.name for one in load_default_agents().values()}}
    assert len(named) == 2
    assert {*agents} - named == {world.agent_id, world.working_agent_id}
    sessions = {session["id"] for session in await mine.ok("GET", "/api/v1/sessions")}
    assert sessions == {world.values()[name] for name in SESSIONS}
    assert [one["id"] for one in await mine.ok("GET", f"/api/v1/agents/{world.working_agent_id}/webhooks")] == [
        world.webhook_id
    ]
    memories = await mine.ok("GET", f"/api/v1/agents/{world.agent_id}/memories")
    assert world.memory_id in {one["id"] for one in memories}
    assert foreign.memory_id not in {one["id"] for one in memories}
    assert await mine.ok("GET", "/api/v1/agents", params={"q": "Stargazer", "status": "archived"}) == []
    keys = {key["id"] for key in await mine.ok("GET", "/api/v1/api-keys")}
    assert world.api_key_id in keys
    assert foreign.api_key_id not in keys


CONVERSATION_ROUTES = (
    "getThread", "updateThread", "listMessages", "giveFeedback", "getRun", "streamRunEvents", "getMemory", "getRecall",
    "updateMemory", "listMemoryRevisions", "getSession", "getSessionScript", "getSessionTranscript", "answerInterview",
    "consentToPlan", "startTherapy",
)  # fmt: skip


async def test_a_colleagues_conversation_is_private_but_to_admins(api: Api) -> None:
    owner = await api.owner()
    writer, colleague, admin = [await api.colleague(owner, role) for role in ("member", "member", "admin")]
    world = await make_world(api, owner, writer)
    own = await make_world(api, owner, colleague)
    private = {"thread_id", "run_id", "message_id", "memory_id", *SESSIONS}
    routes = [route for route in all_routes(api.app) if private & set(route.ids)]
    assert set(CONVERSATION_ROUTES) < {route.operation for route in routes}
    for route in routes:
        unknown = absent(await colleague.http.request(**request_of(route, nowhere())))
        answer = await colleague.http.request(**request_of(route, world.values()))
        assert absent(answer) == unknown, route
        assert answer.status_code == 404, route
    mixed = {**own.values(), "message_id": world.message_id}  # one's own thread, somebody else's message
    feedback = next(route for route in routes if route.operation == "giveFeedback")
    assert (await colleague.http.request(**request_of(feedback, mixed))).status_code == 404
    for route in routes:
        if route.operation in CONVERSATION_ROUTES:
            answer = await admin.http.request(**request_of(route, world.values()))
            assert answer.is_success, f"{route} answered an admin {answer.status_code}: {answer.text[:300]}"


async def test_lists_of_threads_show_a_member_their_own(api: Api) -> None:
    owner = await api.owner()
    writer, colleague = await api.colleague(owner, "member"), await api.colleague(owner, "member")
    world = await make_world(api, owner, writer)
    url = f"/api/v1/agents/{world.agent_id}/threads"
    assert [thread["id"] for thread in await writer.ok("GET", url)] == [world.thread_id]
    assert await colleague.ok("GET", url) == []
    assert [thread["id"] for thread in await owner.ok("GET", url)] == [world.thread_id]


async def test_people_behind_one_key_are_apart(api: Api) -> None:
    """A product's backend speaks for two of its people: neither sees what the other said."""
    product = await api.owner()
    agent = await product.make_agent()
    one, other = ({"numen-user": name} for name in ("customer-1", "customer-2"))
    chat = f"/api/v1/agents/{agent['id']}/chat"
    reply = await product.ok("POST", chat, {"message": "Between us"}, headers=one)
    thread = f"/api/v1/threads/{reply['thread_id']}"
    assert (await product.http.get(thread, headers=one)).is_success
    assert (await product.http.get(thread, headers=other)).status_code == 404
    run = f"/api/v1/runs/{reply['metadata']['run_id']}"
    assert (await product.http.get(run, headers=other)).status_code == 404
    again = {"message": "More", "thread_id": reply["thread_id"]}
    assert (await product.http.post(chat, json=again, headers=other)).status_code == 404
    assert (await product.http.post(chat, json=again, headers=one)).is_success
