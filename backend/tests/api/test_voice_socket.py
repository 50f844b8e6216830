"""Malformed sockets end with the right code and leave nothing behind, and a thousand conversations leave no memory."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import psutil
import pytest

from backend.models.tenant import ApiKeyCreate
from backend.tests.api.malformed_sockets import Malformed, World, all_kinds, provoke
from backend.tests.factories import make_default_tenant
from backend.tests.fixtures_api import Api, Person, api_settings, eventually, random_id, serving
from backend.tests.fixtures_logs import Logs
from backend.tests.fixtures_server import NumenServer
from backend.tests.protocol_servers.openai_server import OpenAIServer
from backend.tests.raw_socket import Ended, RawSocket, closing, text

SESSIONS = int(os.environ.get("NUMEN_TEST_SESSIONS", "1000"))
MOST_GROWTH = 20_000_000
EACH = 25
VOICE = {"provider": "local", "voice_id": "en-us"}
TALKS = {"voice": VOICE, "configuration": {"voice_enabled": True}}
STEPS = {"steps": [{"kind": "prompt", "id": "draft", "prompt": "Write."}]}
KINDS = all_kinds()
LISTENING = 1
"""How many sockets a server has that nobody talks to."""


async def make_world(api: Api, owner: Person) -> World:
    stranger = await api.owner()
    agent = await owner.make_agent(**TALKS)
    archived = await owner.make_agent(**TALKS)
    await owner.ok("DELETE", f"/api/v1/agents/{archived['id']}")
    silent = await owner.make_agent()
    writing = await owner.make_agent(voice=VOICE, configuration={"voice_enabled": False})
    working = await owner.make_agent(name="Works", type="workflow", workflow=STEPS)
    foreign = await stranger.make_agent(**TALKS)
    revoked = await api.container.access.create_key(owner.caller, ApiKeyCreate(name="to be revoked"))
    await api.container.access.revoke_key(owner.caller, revoked.id)
    plain = await api.container.access.create_key(owner.caller, ApiKeyCreate(name="for oneself"))
    return {
        "agent": agent["id"],
        "archived": archived["id"],
        "silent": silent["id"],
        "writing": writing["id"],
        "working": working["id"],
        "foreign_agent": foreign["id"],
        "foreign_thread": await make_thread(stranger, foreign["id"]),
        "other_thread": await make_thread(owner, silent["id"]),
        "nobody": random_id(),
        "key": owner.key,
        "viewer": (await api.colleague(owner, "viewer")).key,
        "foreign_key": stranger.key,
        "revoked": revoked.key,
        "plain": plain.key,
    }


async def make_thread(person: Person, agent_id: str) -> str:
    return (await person.ok("POST", f"/api/v1/agents/{agent_id}/threads", {"title": "A thread"}))["id"]


class Held:
    """What this process holds: tasks by what they do, connections to the server, and files."""

    def __init__(self, port: int) -> None:
        process = psutil.Process()
        self.tasks = Counter(str(task.get_coro()).split(" at ")[0] for task in asyncio.all_tasks())
        self.sockets = sockets_of(process, port)
        self.files = sorted(one.path for one in process.open_files())
        self.descriptors = process.num_fds()

    def beyond(self, before: Held) -> str:
        """What has come to what was held before; empty when nothing has."""
        more = self.tasks - before.tasks
        if more or (self.sockets, self.files) != (before.sockets, before.files):
            return f"tasks {more}, {self.sockets} sockets ({before.sockets}), files {self.files} ({before.files})"
        return ""


async def nothing_beyond(before: Held, port: int) -> None:
    """Wait until nothing more is held. Errors: `AssertionError` says what is."""
    give_up = time.monotonic() + 20
    while beyond := Held(port).beyond(before):
        assert time.monotonic() < give_up, beyond
        await asyncio.sleep(0.05)


def sockets_of(process: psutil.Process, port: int) -> int:
    """How many of its sockets are at this port, at either end."""
    at = [(one.laddr, one.raddr) for one in process.net_connections("inet")]
    return sum(port in (ours.port, theirs.port if theirs else 0) for ours, theirs in at)


async def all_at_once(port: int, kind: Malformed, world: World, times: int) -> list[str]:
    """What went otherwise than it must."""
    outcomes = Counter(await asyncio.gather(*(provoke(port, kind, world) for _ in range(times))))
    told = () if kind.tells is None else (kind.tells,)
    return [
        f"{kind}: {outcome} instead of {kind.expected} {told}, {number} times"
        for outcome, number in outcomes.items()
        if (outcome.ended, outcome.told) != (kind.expected, told)
    ]


def test_there_are_kinds_enough() -> None:
    assert len({str(kind) for kind in KINDS}) == len(KINDS) >= 40


async def test_malformed_sockets_are_closed_and_leave_nothing(api: Api) -> None:
    owner = await api.owner()
    world = await make_world(api, owner)
    wrong: list[str] = []
    for kind in KINDS[::9]:  # what is made once, is made now
        wrong += await all_at_once(api.port, kind, world, 1)
    await api.settled()
    await api.hang_up()
    await eventually(lambda: Held(api.port).sockets == LISTENING, 20)
    before = Held(api.port)
    for kind in KINDS:
        wrong += await all_at_once(api.port, kind, world, EACH)
    assert not wrong, "\n".join(wrong)
    await api.settled()
    await nothing_beyond(before, api.port)
    assert Held(api.port).descriptors <= before.descriptors + 10, "beyond what the pools of the database may open"
    assert b"numen_voice_sessions 0.0" in api.container.metrics.exposition()
    assert (await conversation(api.port, world)).told("message.completed"), "the server does not go on"


async def test_a_stranger_s_things_are_like_nobody_s(api: Api) -> None:
    owner = await api.owner()
    world = await make_world(api, owner)
    for theirs, nobody_s in (
        ("/api/v1/agents/{foreign_agent}/voice", "/api/v1/agents/{nobody}/voice"),
        ("/api/v1/agents/{agent}/voice?thread_id={foreign_thread}", "/api/v1/agents/{agent}/voice?thread_id={nobody}"),
    ):
        one, other = [await refused(api.port, target.format_map(world), owner.key) for target in (theirs, nobody_s)]
        assert (one.events, one.code, one.reason) == (other.events, other.code, other.reason)
        assert one.code == 1008


async def refused(port: int, target: str, key: str) -> Ended:
    async with asyncio.timeout(30), await RawSocket.opened(port, target) as client:
        client.send(text({"type": "start", "token": key}))
        return await client.ended()


async def test_every_role_but_the_viewer_talks(api: Api) -> None:
    owner = await api.owner()
    agent = await owner.make_agent(**TALKS)
    for role in ("member", "admin", "owner"):
        key = (await api.colleague(owner, role)).key
        ended = await conversation(api.port, {"agent": agent["id"], "key": key}, "")
        assert (ended.code, [event["type"] for event in ended.events]) == (1000, ["ready"]), role
    key = (await api.colleague(owner, "viewer")).key
    ended = await refused(api.port, f"/api/v1/agents/{agent['id']}/voice", key)
    assert (ended.code, [event["type"] for event in ended.events]) == (1008, ["error"])


async def test_who_has_a_key_talks_for_another(api: Api) -> None:
    owner = await api.owner()
    agent = await owner.make_agent(**TALKS)
    slashed = f"/api/v1/agents/{agent['id']}/voice/"
    async with asyncio.timeout(30), await RawSocket.opened(api.port, slashed) as client:
        client.send(text({"type": "start", "token": owner.key, "user": "customer-42"}))
        await client.until("ready")
        client.send(text({"type": "text", "message": "Hello"}))
        thread_id = (await client.until("run.started"))["data"]["thread_id"]
        await client.until("message.completed")
    theirs = await owner.http.get(f"/api/v1/threads/{thread_id}", headers={"numen-user": "customer-42"})
    others = await owner.http.get(f"/api/v1/threads/{thread_id}", headers={"numen-user": "customer-43"})
    assert (theirs.status_code, others.status_code) == (200, 404)


async def test_a_conversation_has_one_line_and_no_secrets(api: Api, logs: Logs) -> None:
    owner = await api.owner()
    agent = await owner.make_agent(**TALKS)
    logs()
    await conversation(api.port, {"agent": agent["id"], "key": owner.key})
    await eventually(lambda: b"numen_voice_sessions 0.0" in api.container.metrics.exposition())
    await asyncio.sleep(0)
    lines = logs()
    (line,) = [one for one in lines if one["event"] == "socket"]
    assert (line["route"], line["status"]) == ("/api/v1/agents/{agent_id}/voice", 101)
    assert owner.key not in str(lines)


async def test_a_stopping_server_ends_conversations_in_words(
    database_url: str, openai_server: OpenAIServer, tmp_path: Path
) -> None:
    settings = api_settings(database_url, tmp_path / "prompts", openai_base_url=openai_server.base_url)
    async with AsyncExitStack() as stack:
        async with serving(settings) as api:
            await make_default_tenant(api.container.database)
            owner = await api.owner()
            agent = await owner.make_agent(**TALKS)
            address = f"/api/v1/agents/{agent['id']}/voice"
            talking = await stack.enter_async_context(await RawSocket.opened(api.port, address))
            talking.send(text({"type": "start", "token": owner.key}))
            await talking.until("ready")
            waiting = await stack.enter_async_context(await RawSocket.opened(api.port, address))
            before = time.monotonic()
            ends = [asyncio.create_task(one.ended()) for one in (talking, waiting)]
        told, cut = await asyncio.gather(*ends)
        assert time.monotonic() - before < settings.shutdown_seconds
    assert (told.code, [event["code"] for event in told.told("error")]) == (1001, ["shutting-down"])
    assert cut.code == 1001


# --- a server in a process of its own, on uvloop ---


@pytest.fixture
async def own_world(running_server: NumenServer) -> World:
    async with httpx.AsyncClient(base_url=running_server.url, trust_env=False) as http:
        body = {"name": "Speaks", "identity": {"short_description": "s"}, **TALKS}
        made = await http.post("/api/v1/agents", json=body)
    return {"agent": made.json()["id"], "key": ""}


def port_of(server: NumenServer) -> int:
    return int(server.url.rpartition(":")[2])


async def test_malformed_sockets_leave_nothing_in_a_server_of_its_own(
    running_server: NumenServer, own_world: World
) -> None:
    process, port = running_server.process, port_of(running_server)
    kinds = [kind for kind in KINDS if not kind.keys]
    await conversation(port, own_world)
    before = process.num_fds()
    wrong: list[str] = []
    for kind in kinds:
        wrong += await all_at_once(port, kind, own_world, 3)
    assert not wrong, "\n".join(wrong)
    await eventually(lambda: sockets_of(process, port) == LISTENING, 10)
    assert process.num_fds() <= before + 10, "beyond what the pools of the database may open"
    assert (await conversation(port, own_world)).told("message.completed")


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, None),
        ({"Origin": "http://localhost:3000"}, None),
        ({"Origin": "https://evil.example"}, "forbidden"),
        ({"Origin": "null"}, "forbidden"),
        ({"Host": "evil.example"}, "forbidden"),
    ],
)
async def test_without_keys_only_this_machine_s_pages_talk(
    running_server: NumenServer, own_world: World, headers: dict[str, str], code: str | None
) -> None:
    address = f"/api/v1/agents/{own_world['agent']}/voice"
    async with asyncio.timeout(30), await RawSocket.opened(port_of(running_server), address, **headers) as client:
        client.send(text({"type": "start"}))
        event = await client.until("ready" if code is None else "error")
        assert event.get("code") == code


async def test_conversations_leave_no_memory(running_server: NumenServer, own_world: World) -> None:
    process, port = running_server.process, port_of(running_server)
    await converse(port, own_world, 100)
    before, descriptors = process.memory_info().rss, process.num_fds()
    await converse(port, own_world, SESSIONS)
    await eventually(lambda: sockets_of(process, port) == LISTENING, 10)
    assert process.memory_info().rss - before < MOST_GROWTH
    assert process.num_fds() <= descriptors + 10


async def converse(port: int, world: World, times: int) -> None:
    """So many conversations, ten at once; in every tenth of them something is said, and left when it is answered."""
    for _ in range(0, times, 10):
        talks = [conversation(port, world, message, "audio.start") for message in ("Hello", *[""] * 9)]
        assert {ended.code for ended in await asyncio.gather(*talks)} == {1000}


async def conversation(port: int, world: World, message: str = "Hello", until: str = "message.completed") -> Ended:
    """One turn, in writing, until this is told; without a message none."""
    async with asyncio.timeout(30), await RawSocket.opened(port, f"/api/v1/agents/{world['agent']}/voice") as client:
        client.send(text({"type": "start", **({"token": world["key"]} if world["key"] else {})}))
        await client.until("ready")
        if message:
            client.send(text({"type": "text", "message": message}))
            await client.until(until)
        client.send(closing(1000))
        return await client.ended()
