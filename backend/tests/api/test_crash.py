"""A server that is killed again and again while people work with it: nothing that they were told is lost or doubled.

`make test` kills it a few times, `make test-crash` a hundred times.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import httpx
import psutil

from backend.container import DATABASE_NAME
from backend.embedded.postgres import EmbeddedPostgres
from backend.models.agent import AgentContract
from backend.services.contract_mirror import files_of
from backend.tests.api.crash_driver import Address, Memory, Person
from backend.tests.fixtures_api import eventually
from backend.tests.fixtures_server import NumenServer
from backend.tests.protocol_servers.openai_server import OpenAIServer

if TYPE_CHECKING:
    from asyncpg import Connection

KILLS = int(os.environ.get("NUMEN_TEST_KILLS", "2"))
POWER_CUTS = 3
"""Every so-manieth time its PostgreSQL is killed together with the server."""
PEOPLE = 4
WARM = 0.7
"""How often the server lives until it has answered somebody: most of its first second goes to loading what answers."""
LONG_ANSWER = "Word by word. " * 60

_ALL_IS_WELL = {
    "runs that go on": "SELECT count(*) FROM runs WHERE status = 'running'",
    "threads that are held": "SELECT count(*) FROM threads WHERE active_run_id IS NOT NULL",
    "orders in the outbox": "SELECT count(*) FROM outbox",
    "threads whose counter is wrong": """
        SELECT count(*) FROM threads t WHERE message_count <> (
            SELECT count(*) FROM thread_messages m WHERE m.tenant_id = t.tenant_id AND m.thread_id = t.id)""",
    "threads with gaps": """
        SELECT count(*) FROM (SELECT max(position) AS last, count(*) AS number FROM thread_messages
            GROUP BY tenant_id, thread_id) AS known WHERE last <> number""",
    "questions without an answer": """
        SELECT count(*) FROM thread_messages q WHERE role = 'user' AND NOT EXISTS (
            SELECT FROM thread_messages a WHERE (a.tenant_id, a.thread_id, a.position, a.role) =
                (q.tenant_id, q.thread_id, q.position + 1, 'assistant'))""",
    "answers that are not whole": "SELECT count(*) FROM thread_messages WHERE status <> 'complete'",
    "agents whose version is not their newest": """
        SELECT count(*) FROM agents a WHERE (version, contract) IS DISTINCT FROM (
            SELECT (version, contract) FROM agent_versions v
             WHERE (v.tenant_id, v.agent_id) = (a.tenant_id, a.id) ORDER BY ordinal DESC LIMIT 1)""",
    "agents without an audit entry": """
        SELECT count(*) FROM agents a WHERE NOT EXISTS (SELECT FROM audit_log l
            WHERE (l.tenant_id, l.subject_id, l.action) = (a.tenant_id, a.id, 'agent.created'))""",
    "names that are there twice": "SELECT count(*) - count(DISTINCT name) FROM agents",
}


@asynccontextmanager
async def rows_of(data: Path) -> AsyncGenerator[Connection]:
    """The database of a server, running or stopped, seen by its owner."""
    postgres = EmbeddedPostgres(data)
    await asyncio.to_thread(postgres.start)
    try:
        connection = await asyncpg.connect(postgres.dsn(DATABASE_NAME))
        try:
            yield connection
        finally:
            await connection.close()
    finally:
        await asyncio.to_thread(postgres.stop)


async def test_killed_again_and_again(data_folder: Path, openai_server: OpenAIServer) -> None:
    openai_server.answer(LONG_ANSWER)
    memory, seed = Memory(), int.from_bytes(os.urandom(3))
    mortal = Mortal(data_folder, openai_server)
    try:
        await survive(mortal, memory, random.Random(seed))  # noqa: S311 — for moments, not secrets
        await everything_delivered(mortal.server)
        assert await asyncio.to_thread(mortal.server.stop) == 0
    except BaseException:
        await mortal.die(postgres=True)
        raise
    told = f"(moments of seed {seed}; {len(memory.turns)} turns, {memory.repeats} repeats)"
    assert len(memory.turns) > KILLS * PEOPLE, told
    assert memory.repeats >= KILLS, told
    async with rows_of(data_folder / "data") as rows:
        for what, query in _ALL_IS_WELL.items():
            assert await rows.fetchval(query) == 0, f"{what} {told}"
        await agents_are_there(rows, memory)
        await turns_are_there(rows, memory)
        await files_equal_rows(rows, mortal.server.prompts)


class Mortal:
    """A server that is killed and comes back to the same data, at another address."""

    def __init__(self, folder: Path, openai_server: OpenAIServer) -> None:
        self.address = Address()
        self._folder = folder
        self._providers = json.dumps({"local": {"base_url": openai_server.base_url}})
        self._server: NumenServer | None = None

    @property
    def server(self) -> NumenServer:
        """The one that lives."""
        assert self._server is not None
        return self._server

    async def start(self) -> None:
        """Come (back) to life."""
        self._server = await asyncio.to_thread(NumenServer, self._folder, NUMEN_LLM_PROVIDERS=self._providers)
        self.address.moved(self._server.url)

    async def die(self, *, postgres: bool) -> None:
        """Be killed, where there is anything to kill."""
        self.address.moved(None)
        server, self._server = self._server, None
        if server is not None:
            await asyncio.to_thread(server.kill, postgres=postgres)
        if postgres:
            await asyncio.to_thread(self._kill_postgres)

    def _kill_postgres(self) -> None:
        """It may have been started by a server that died before."""
        note = self._folder / "data" / "postgres" / "pgdata" / "postmaster.pid"
        if not note.exists():
            return
        number = int(note.read_text("utf-8").splitlines()[0])
        if psutil.pid_exists(number):
            postmaster = psutil.Process(number)
            killed = [postmaster, *postmaster.children(recursive=True)]
            for process in killed:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            psutil.wait_procs(killed, 10)


async def survive(mortal: Mortal, memory: Memory, chance: random.Random) -> None:
    """Let people work while the server dies and comes back; it lives when they have finished."""
    stop = asyncio.Event()
    await mortal.start()
    async with asyncio.TaskGroup() as people:
        for number in range(PEOPLE):
            person = Person(mortal.address, memory, number, random.Random(chance.random()))  # noqa: S311 — as above
            people.create_task(person.work(stop))
        for death in range(1, KILLS + 1):
            if chance.random() < WARM:
                known = len(memory.turns)
                await eventually(lambda known=known: len(memory.turns) > known, 60)
            await asyncio.sleep(chance.uniform(0.05, 0.8))
            await mortal.die(postgres=death % POWER_CUTS == 0)
            await mortal.start()
        # A machine that is slow to start has little to lose in between: the last life goes on until there is enough.
        await eventually(lambda: len(memory.turns) > KILLS * PEOPLE, 60)
        stop.set()


async def everything_delivered(server: NumenServer) -> None:
    """An order that could not be carried out is tried again a little later, by this server or the next."""
    async with asyncio.timeout(60), httpx.AsyncClient(trust_env=False) as http:
        while True:
            mirror = (await http.get(f"{server.url}/readyz")).json()["dependencies"]["mirror"]
            if mirror["detail"].startswith("0 waiting"):
                return
            await asyncio.sleep(0.1)


async def agents_are_there(rows: Connection, memory: Memory) -> None:
    for agent in memory.agents:
        versions = await rows.fetch(
            "SELECT version, contract::text FROM agent_versions WHERE agent_id::text = $1 ORDER BY ordinal", agent.id
        )
        # Archiving changes the status, which is one more version, of the patch kind.
        assert [row["version"] for row in versions][: len(agent.versions)] == agent.versions, agent
        assert len(versions) == len(agent.versions) + agent.archived, agent
        contract: dict[str, Any] = json.loads(versions[-1]["contract"])
        assert (contract["name"], contract["traits"]["humor"]) == (agent.name, agent.humor)
        assert contract["metadata"]["status"] == ("archived" if agent.archived else "active")


async def turns_are_there(rows: Connection, memory: Memory) -> None:
    said = await rows.fetch(
        "SELECT q.thread_id::text, q.content AS message, a.content AS response, a.id::text AS message_id, "
        "       a.run_id::text, r.status "
        "  FROM thread_messages q "
        "  JOIN thread_messages a ON a.thread_id = q.thread_id AND a.position = q.position + 1 "
        "  JOIN runs r ON r.id = a.run_id WHERE q.role = 'user'"
    )
    assert {row["status"] for row in said} == {"completed"}
    found = sorted(
        (row["thread_id"], row["message"], row["response"], row["message_id"], row["run_id"]) for row in said
    )
    told = sorted((turn.thread_id, turn.message, turn.response, turn.message_id, turn.run_id) for turn in memory.turns)
    assert found == told


async def files_equal_rows(rows: Connection, prompts: Path) -> None:
    known: dict[str, bytes] = {}
    for row in await rows.fetch("SELECT id::text, contract::text FROM agents"):
        for name, content in files_of(AgentContract.model_validate_json(row["contract"])).items():
            known[f"{row['id']}/{name}"] = content
    assert mirrored(prompts) == known


def mirrored(prompts: Path) -> dict[str, bytes]:
    """Every file of the mirror by its address, what is half written as well."""
    return {path.relative_to(prompts).as_posix(): path.read_bytes() for path in prompts.rglob("*") if path.is_file()}
