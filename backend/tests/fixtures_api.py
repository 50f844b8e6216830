"""Fixtures for everything that uses the API from outside: the real application, served on a real socket."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncGenerator, Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from uuid import UUID, uuid4

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from pydantic import SecretStr

from backend.container import Container, open_container
from backend.models.run import ChatReply, ChatRequest
from backend.models.tenant import ApiKeyCreate, Caller, Role, RoleName, Scope
from backend.scripts.serve import HouseServer
from backend.settings import Settings
from backend.telemetry import Metrics
from backend.tests.factories import make_default_tenant, make_tenant, make_user
from backend.tests.protocol_servers.openai_server import OpenAIServer

BOOTSTRAP_KEY = "bootstrap-key-of-the-tests-0123456789"
_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # making the usual one takes longer than a whole test


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with a key, and a client that sends it."""

    caller: Caller
    key: str
    http: httpx.AsyncClient

    async def ok(self, method: str, path: str, body: Any = None, **rest: Any) -> Any:
        """The JSON of an answer that must be a good one; None where it is empty."""
        answer = await self.http.request(method, path, json=body, **rest)
        assert answer.is_success, f"{method} {path} answered {answer.status_code}: {answer.text[:800]}"
        return answer.json() if answer.content else None

    async def make_agent(self, **parts: Any) -> dict[str, Any]:
        """An agent with these parts of a contract; one with a voice speaks."""
        identity = {"short_description": "A guide to the night sky"}
        body: dict[str, Any] = {"name": "Stargazer", "identity": identity, **parts}
        if body.get("voice"):
            body["configuration"] = {"voice_enabled": True} | body.get("configuration", {})
        return await self.ok("POST", "/api/v1/agents", body)


class Api:
    """The running application: `url` and `port` for whoever brings a client of their own."""

    def __init__(self, app: FastAPI, container: Container, port: int) -> None:
        self.app = app
        self.container = container
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self._clients: list[httpx.AsyncClient] = []

    def client(self, key: str | None = None, **headers: str) -> httpx.AsyncClient:
        """A client that sends this key with every request, closed after the test."""
        sent = {"authorization": f"Bearer {key}", **headers} if key else headers
        limits = httpx.Limits(max_connections=200, max_keepalive_connections=50)
        client = httpx.AsyncClient(
            base_url=self.url, headers=sent, timeout=30, limits=limits, verify=_NO_TLS, trust_env=False
        )
        self._clients.append(client)
        return client

    async def owner(self) -> Person:
        """The owner of a new tenant, with the scope act_as."""
        return await self.as_person(await make_tenant(self.container.database, scopes=frozenset({"act_as"})))

    async def colleague(self, of: Person, role: RoleName) -> Person:
        """One more person of the same tenant, with a key of this role."""
        caller = await make_user(self.container.database, of.caller.tenant_id, Role.OWNER)
        return await self.as_person(caller, role)

    async def as_person(self, caller: Caller, role: RoleName = "owner") -> Person:
        """This caller with a key of their own."""
        scopes: list[Scope] = ["act_as"] if "act_as" in caller.scopes else []
        made = await self.container.access.create_key(caller, ApiKeyCreate(name="test", role=role, scopes=scopes))
        holder = Caller(caller.tenant_id, caller.user_id, Role.named(role), frozenset(scopes), made.id)
        return Person(holder, made.key, self.client(made.key))

    async def said(self, caller: Caller, agent_id: UUID, message: str = "Hello") -> ChatReply:
        """A turn of this caller, whatever their role."""
        request = ChatRequest(message=message)
        reply = await self.container.interactions.process_interaction(caller, agent_id, request)
        assert isinstance(reply, ChatReply)
        return reply

    async def settled(self, seconds: float = 60) -> None:
        """Wait until every run has ended and everything ordered is delivered."""
        async with asyncio.timeout(seconds):
            while await self._running():  # noqa: ASYNC110 — runs are rows, which tell nobody when they change
                await asyncio.sleep(0.01)
            for relay in (self.container.relay, self.container.memory.relay):
                await relay.drain(seconds)

    async def _running(self) -> bool:
        async with self.container.database.worker() as worker:
            return bool(await worker.orphaned_runs(even_leased=True))

    async def hang_up(self) -> None:
        """Close every client that was handed out."""
        clients, self._clients = self._clients, []
        for client in clients:
            await client.aclose()


class _Server(HouseServer):
    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield  # Ctrl-C belongs to pytest


class _Guest(_Server):
    """Served from a house that is somebody else's: its runs go on when this server stops."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await uvicorn.Server.shutdown(self, sockets)


def api_settings(database_url: str, prompts_dir: Path, **rest: Any) -> Settings:
    """Settings of a deployment on this database; nothing comes from the environment or a file."""
    values: dict[str, Any] = {
        "_env_file": None,
        "database_url": SecretStr(database_url),
        "prompts_dir": prompts_dir,
        "data_dir": prompts_dir.parent / f"data-{uuid4().hex}",  # the search index serves one house
        "embedder": "lexical",
        "auth": "keys",
        "bootstrap_key": SecretStr(BOOTSTRAP_KEY),
        "openai_api_key": SecretStr("sk-test-0123456789abcdef"),
        "memory_extraction": False,  # it asks the model some time after a turn, and tests count its calls
        **rest,
    }
    return Settings(**values)


@contextlib.asynccontextmanager
async def serving(settings: Settings, opened: Container | None = None) -> AsyncGenerator[Api]:
    """The application with these settings on a port of this machine, in this very event loop.

    Over a house that is open already, or over one of its own.
    """
    async with contextlib.nullcontext(opened) if opened else open_container(settings, Metrics()) as container:
        server = (_Guest if opened else _Server)(settings, container)
        server.config.port = 0
        task = asyncio.create_task(server.serve())
        while not server.started:
            assert not task.done(), task.result()
            await asyncio.sleep(0.005)
        api = Api(cast("FastAPI", server.config.app), container, server.servers[0].sockets[0].getsockname()[1])
        try:
            yield api
        finally:
            await api.hang_up()
            server.should_exit = True
            await task


@pytest.fixture(scope="module")
async def served_api(
    database_url: str, openai_server_process: OpenAIServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Api]:
    """The module's application; take `api` instead, which starts with a seeded database and leaves an empty one.

    Not the session's: its relay and janitor would do their work on what tests of stores and services plant.
    """
    settings = api_settings(
        database_url, tmp_path_factory.mktemp("prompts"), openai_base_url=openai_server_process.base_url
    )
    async with serving(settings) as api:
        yield api


@pytest.fixture
async def api(served_api: Api, openai_server: OpenAIServer) -> AsyncGenerator[Api]:
    """The application, its default tenant made, its provider `openai` at the fixture `openai_server`."""
    async with borrowed(served_api, openai_server):
        yield served_api


@contextlib.asynccontextmanager
async def borrowed(served: Api, openai_server: OpenAIServer) -> AsyncGenerator[None]:
    """An application for one test: with its default tenant, and left without anything that still happens."""
    await make_default_tenant(served.container.database)
    yield
    openai_server.reset()  # whatever still waits for the model is let go
    await served.hang_up()
    await served.settled()


async def eventually(holds: Callable[[], bool], seconds: float = 30) -> None:
    """Wait until this holds. Errors: `TimeoutError`."""
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110 — for what is counted and tells nobody
            await asyncio.sleep(0.005)


def random_id() -> str:
    """An id that nothing has."""
    return str(uuid4())
