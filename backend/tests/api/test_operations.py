"""What operators rely on: metrics, readiness, a database that goes away, and a server that is asked to stop."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from backend.embedded.postgres import EmbeddedPostgres
from backend.settings import Settings
from backend.stores.schema import create_database
from backend.tests.api.event_reader import all_events, events_of
from backend.tests.api.raw_http import RawConnection
from backend.tests.api.route_cases import all_routes, make_world
from backend.tests.factories import make_default_tenant
from backend.tests.fair_time import fair_timeout
from backend.tests.fixtures_api import Api, Person, api_settings, eventually, serving
from backend.tests.protocol_servers.openai_server import DEFAULT_ANSWER, OpenAIServer

_UUID = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
SAMPLES = {
    "numen_http_requests_total", "numen_http_request_seconds_bucket", "numen_runs_total", "numen_model_calls_total",
    "numen_tokens_total", "numen_outbox_pending", "numen_outbox_oldest_seconds", "numen_outbox_failures_total",
    "numen_db_pool_connections", "numen_db_pool_idle", "numen_db_pool_limit", "numen_sse_streams",
    "process_resident_memory_bytes",
}  # fmt: skip


async def test_metrics_count_routes_and_not_ids(api: Api) -> None:
    person = await api.owner()
    world = await make_world(api, person)
    for route in all_routes(api.app):
        await person.http.request(route.method, route.url(world.values()), json=route.body)
    await person.http.get(f"/{uuid4()}")
    await person.http.request("PROPFIND", "/api/v1/me")
    text = (await api.client().get("/metrics")).text
    assert {line.split("{")[0].split(" ")[0] for line in text.splitlines() if not line.startswith("#")} >= SAMPLES
    assert not _UUID.search(text)
    assert str(person.caller.tenant_id) not in text
    routes = set(re.findall(r'numen_http_requests_total{method="\w+",route="([^"]+)"', text))
    assert routes <= {route.path for route in all_routes(api.app)} | {"unmatched", "/docs", "/openapi.json", "/redoc"}
    assert 'method="other"' in text
    assert float(re.findall(r'numen_tokens_total{direction="output",provider="openai"} (\S+)', text)[0]) > 0


async def test_alive_and_ready(api: Api) -> None:
    http = api.client()
    assert (await http.get("/healthz")).json() == {"status": "alive"}
    ready = await http.get("/readyz")
    assert ready.status_code == 200
    assert ready.json()["status"] == "ready"
    assert {name: one["status"] for name, one in ready.json()["dependencies"].items()} == {
        "database": "ok",
        "mirror": "ok",
        "index": "ok",
    }


ASKS_NO_DATABASE = ("whoAmI", "getContractSchema", "getVoiceFramesSchema", "listVoices", "previewVoice")
"""Who has just been let in is believed for seconds."""


# --- a database that goes away ---


async def test_the_database_goes_away_and_comes_back(
    data_folder: Path, openai_server: OpenAIServer, tmp_path: Path
) -> None:
    postgres = EmbeddedPostgres(data_folder)
    await asyncio.to_thread(postgres.start)
    try:
        await create_database(postgres.dsn(), "numen_away")
        settings = api_settings(postgres.dsn("numen_away"), tmp_path, openai_base_url=openai_server.base_url)
        await live_through_an_outage(postgres, settings)
    finally:
        await asyncio.to_thread(postgres.stop)


async def live_through_an_outage(postgres: EmbeddedPostgres, settings: Settings) -> None:
    async with serving(settings) as api:
        await make_default_tenant(api.container.database)
        person = await api.owner()
        world = await make_world(api, person)
        stop = asyncio.Event()
        clients = [BusyClient(person, world.agent_id) for _ in range(8)]
        work = asyncio.gather(*(client.work(stop) for client in clients))
        await eventually(lambda: all(client.acknowledged for client in clients), 20)
        await asyncio.to_thread(postgres.stop)
        for route in all_routes(api.app):
            answer = await person.http.request(route.method, route.url(world.values()), json=route.body)
            if not route.open and route.operation not in ASKS_NO_DATABASE:
                assert (answer.status_code, answer.json()["code"]) == (503, "database-unavailable"), route
                assert int(answer.headers["retry-after"]) >= 1
        assert (await person.http.get("/healthz")).status_code == 200
        ready = await person.http.get("/readyz")
        assert (ready.status_code, ready.json()["code"]) == (503, "not-ready")
        assert ready.json()["dependencies"]["database"]["status"] == "down"
        await asyncio.to_thread(postgres.start)
        target = f"/api/v1/agents/{world.agent_id}"
        async with fair_timeout(1):
            while (await person.http.get(target)).status_code != 200:  # noqa: ASYNC110 — it tells nobody
                await asyncio.sleep(0.02)
        stop.set()
        await work
        for client in clients:
            await client.nothing_was_lost()
        assert (await person.http.get("/readyz")).status_code == 200


@dataclass(slots=True)
class BusyClient:
    """Creates and talks without a pause; keeps the statuses it saw, and the agents that were acknowledged."""

    person: Person
    agent_id: str
    told: set[int] = field(default_factory=set[int])
    acknowledged: dict[str, str] = field(default_factory=dict[str, str])

    async def work(self, stop: asyncio.Event) -> None:
        http = self.person.http
        while not stop.is_set():
            name = f"Agent {uuid4()}"
            body = {"name": name, "identity": {"short_description": "Made while the database goes away"}}
            made = await http.post("/api/v1/agents", json=body)
            said = await http.post(f"/api/v1/agents/{self.agent_id}/chat", json={"message": name})
            self.told |= {made.status_code, said.status_code}
            if made.status_code == 201:
                self.acknowledged[name] = made.json()["id"]
            await asyncio.sleep(0.005)

    async def nothing_was_lost(self) -> None:
        assert self.told <= {200, 201, 409, 503}
        for name, agent_id in self.acknowledged.items():
            assert (await self.person.ok("GET", f"/api/v1/agents/{agent_id}"))["name"] == name


async def test_an_idle_connection_stays_open_as_long_as_the_operator_says(api: Api) -> None:
    settings = api.container.settings.model_copy(update={"keep_alive_seconds": 1})
    question = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    async with RawConnection(api.port) as longer, serving(settings, api.container) as short:
        assert (await longer.ask(question)).status_code == 200
        reader, writer = await asyncio.open_connection("127.0.0.1", short.port)
        writer.write(question)
        answer = await asyncio.wait_for(reader.read(), 30)  # to the end of the connection
        writer.close()
        assert answer.startswith(b"HTTP/1.1 200")
        assert (await longer.ask(question)).status_code == 200


# --- a server that is asked to stop ---


@pytest.fixture
def stopping(database_url: str, openai_server: OpenAIServer, tmp_path: Path) -> Settings:
    return api_settings(database_url, tmp_path, openai_base_url=openai_server.base_url, shutdown_seconds=1.2)


async def test_a_turn_that_can_be_finished_is_finished(stopping: Settings, openai_server: OpenAIServer) -> None:
    openai_server.answer(pieces=[f"{number} " for number in range(2_000)])
    stopping = stopping.model_copy(update={"shutdown_seconds": 20.0})  # a busy machine must not make it too long
    async with serving(stopping) as api:
        person = await api.owner()
        agent = await person.make_agent()
        async with person.http.stream(
            "POST", f"/api/v1/agents/{agent['id']}/chat/stream", json={"message": "Go"}
        ) as answer:
            run_id = answer.headers["content-location"].split("/")[-2]
    async with serving(stopping) as api:
        again = await api.as_person(person.caller)
        run = await again.ok("GET", f"/api/v1/runs/{run_id}")
        assert run["status"] == "completed"
        assert run["text"].endswith("1999 ")


async def test_a_turn_that_takes_too_long_is_kept_marked_and_can_be_repeated(
    stopping: Settings, openai_server: OpenAIServer
) -> None:
    openai_server.fault("slow_total")
    started = time.monotonic()
    async with serving(stopping) as api:
        person = await api.owner()
        agent = await person.make_agent()
        url = f"/api/v1/agents/{agent['id']}/chat/stream"
        request: dict[str, Any] = {"json": {"message": "Go"}, "headers": {"idempotency-key": "stopped"}}
        async with person.http.stream("POST", url, **request) as answer:
            seen = [event async for event in _first(answer, 3)]
        started = time.monotonic()
    assert time.monotonic() - started < 5
    run_id, thread_id = seen[0].data["run_id"], seen[0].data["thread_id"]
    openai_server.reset()
    said = "".join(event.data["text"] for event in seen if event.type == "message.delta")
    async with serving(stopping) as api:
        again = await api.as_person(person.caller)
        run = await again.ok("GET", f"/api/v1/runs/{run_id}")
        assert (run["status"], run["error"]["code"]) == ("failed", "run-stopped")
        question, partial = await again.ok("GET", f"/api/v1/threads/{thread_id}/messages")
        assert (question["content"], partial["status"]) == ("Go", "partial")
        assert partial["content"].startswith(said)
        headers = {"last-event-id": seen[-1].id}
        async with again.http.stream("GET", f"/api/v1/runs/{run_id}/events", headers=headers) as answer:
            rest = await all_events(answer)
        assert rest[-1].data["code"] == "run-stopped"
        async with again.http.stream("POST", url, **request) as answer:
            repeated = await all_events(answer)
        assert repeated[-1].data["response"] == DEFAULT_ANSWER
        messages = await again.ok("GET", f"/api/v1/threads/{thread_id}/messages")
        assert [(one["content"], one["status"]) for one in messages] == [
            ("Go", "complete"),
            (DEFAULT_ANSWER, "complete"),
        ]


async def _first(answer: Any, count: int) -> AsyncGenerator[Any]:
    async for event in events_of(answer):
        yield event
        count -= 1
        if not count:
            return


async def test_who_waits_or_listens_is_told_that_the_server_stops(
    stopping: Settings, openai_server: OpenAIServer
) -> None:
    openai_server.fault("slow_total")
    async with serving(stopping) as api:
        person = await api.owner()
        agent = await person.make_agent()
        headers: dict[str, str | bytes] = {"authorization": f"Bearer {person.key}", "content-type": "application/json"}
        url, connections = f"/api/v1/agents/{agent['id']}/chat", [RawConnection(api.port) for _ in range(2)]
        waiting, listening = [
            asyncio.create_task(connection.request("POST", url + path, headers, b'{"message": "Go"}'))
            for connection, path in zip(connections, ("", "/stream"), strict=True)
        ]
        await asyncio.to_thread(openai_server.wait_for_calls, 2)
        started = time.monotonic()
    assert time.monotonic() - started < stopping.shutdown_seconds + 2
    told, heard = await waiting, await listening
    assert (told.status_code, told.json()["code"]) == (503, "run-stopped")
    last = heard.body.decode().strip().split("\n\n")[-1]
    assert "event: run.failed" in last
    assert "run-stopped" in last
    for connection in connections:
        await connection.close()


async def test_the_mirror_is_written_before_the_server_ends(postgres_server: EmbeddedPostgres, tmp_path: Path) -> None:
    """In a database of its own, for every server that works on the same rows takes its share of what is ordered."""
    await create_database(postgres_server.dsn(), "numen_alone")
    settings = api_settings(postgres_server.dsn("numen_alone"), tmp_path, llm_provider="offline", shutdown_seconds=20.0)
    async with serving(settings) as api:
        person = await api.owner()
        agents = [await person.make_agent(name=f"Agent {number}") for number in range(30)]
    assert mirrored(tmp_path) == {agent["id"] for agent in agents}


def mirrored(prompts: Path) -> set[str]:
    return {path.parent.name for path in prompts.glob("*/agent_attributes.json")}
