"""One server process as the services see it; two of them over one database are two processes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from uuid import UUID

from backend.container.runs import RunGround, build_runs
from backend.models.agent_requests import AgentCreateRequest
from backend.models.events import Place, ServerEvent
from backend.models.message import Message
from backend.models.run import ChatReply, ChatRequest
from backend.models.tenant import Caller
from backend.ports import GrantedTool, Memory, Toolbox, ToolServers
from backend.services.agent_calls import AskAgent
from backend.services.agent_service import AgentService
from backend.services.contract_check import ContractCheck
from backend.services.live_run import LiveRun
from backend.services.model_catalog import ModelCatalog
from backend.services.outbox_relay import OutboxRelay
from backend.services.run_registry import RunRegistry
from backend.services.script_writer import ScriptWork
from backend.services.session_service import SessionService
from backend.services.session_turns import SessionTurns
from backend.services.thread_manager import ThreadManager
from backend.services.turn_ledger import TurnLedger
from backend.stores.database import Database
from backend.telemetry import Metrics
from backend.tests.fake_tool_servers import FixedToolServers
from backend.tests.fakes import FixedMemory, FixedTools, FrozenClock, KeywordGate, ScriptedModel

if TYPE_CHECKING:
    from asyncpg import Connection

IDENTITY: dict[str, Any] = {"short_description": "A guide to the night sky"}
PATIENCE = 10.0


class OneServer:
    """The services of one process with a scripted model. `patience`: seconds that a turn waits for its thread."""

    def __init__(
        self,
        database: Database,
        model: ScriptedModel | None = None,
        *,
        memory: Memory | None = None,
        patience: float = PATIENCE,
        tools: Sequence[GrantedTool] = (),
        make_toolbox: Callable[[AskAgent], Toolbox] | None = None,
        servers: ToolServers | None = None,
    ) -> None:
        self.database = database
        self.model = model or ScriptedModel()
        self.clock = FrozenClock()
        self.metrics = Metrics()
        self.registry = RunRegistry()
        self.remembered = 0
        self.ledger = TurnLedger(database, patience, keep_seconds=0.02, on_remembered=self._count)
        catalog = ModelCatalog("gpt-6-luna", self.clock)
        self.relay = OutboxRelay(database, {}, self.metrics)
        self.agents = AgentService(
            database, ContractCheck(catalog, ["openai", "offline"], FixedToolServers()), self.relay, self.clock
        )
        self.threads = ThreadManager(database)
        ground = RunGround(
            database=database,
            ledger=self.ledger,
            registry=self.registry,
            catalog=catalog,
            model=self.model,
            memory=memory or FixedMemory(),
            gate=KeywordGate(),
            sessions=SessionTurns(),
            scripts=ScriptWork(database),
            metrics=self.metrics,
            patience_seconds=patience,
        )
        parts = build_runs(ground, make_toolbox or (lambda _: FixedTools(*tools)))
        self.driver, self.interactions = parts.driver, parts.interactions
        self.tasks, self.runs = parts.tasks, parts.runs
        self.sessions = SessionService(database, parts.interactions, parts.driver)

    def _count(self) -> None:
        self.remembered += 1

    async def agent(self, caller: Caller, **parts: Any) -> UUID:
        """A new agent with these parts in its contract; one with a voice speaks."""
        if parts.get("voice"):
            parts["configuration"] = {"voice_enabled": True} | parts.get("configuration", {})
        request = AgentCreateRequest.model_validate({"name": "Stargazer", "identity": IDENTITY} | parts)
        return (await self.agents.create(caller, request)).id

    async def say(
        self, caller: Caller, agent: UUID, text: str, thread: UUID | None = None, operation: UUID | None = None
    ) -> ChatReply:
        """One turn, answered in one piece."""
        request = ChatRequest(message=text, thread_id=thread)
        reply = await self.interactions.process_interaction(caller, agent, request, operation)
        assert isinstance(reply, ChatReply)
        return reply

    async def start(
        self, caller: Caller, agent: UUID, text: str, thread: UUID | None = None, operation: UUID | None = None
    ) -> LiveRun:
        """One turn, answered piece by piece."""
        return await self.interactions.start(caller, agent, ChatRequest(message=text, thread_id=thread), operation)

    async def messages(self, caller: Caller, thread: UUID) -> list[Message]:
        """What the thread holds, oldest first."""
        return await self.threads.get_thread_history(caller, thread, limit=1000)


@asynccontextmanager
async def one_server(database: Database, model: ScriptedModel | None = None, **more: Any) -> AsyncGenerator[OneServer]:
    """A server that is shut down in the end."""
    server = OneServer(database, model, **more)
    try:
        yield server
    finally:
        await server.registry.close(0.2)


async def answered(run: LiveRun) -> ChatReply:
    """The answer of a turn that waits for nobody."""
    reply = await run.reply()
    assert reply is not None
    return reply


async def all_events(run: LiveRun, place: Place | None = None) -> list[ServerEvent]:
    """Everything a run tells, until its end."""
    async with asyncio.timeout(30):
        return [event async for event in run.events(place or Place())]


def text_of(events: Sequence[ServerEvent]) -> str:
    """What was said in these events' pieces."""
    return "".join(event.data["text"] for event in events if event.type == "message.delta")


def thread_of(run_or_reply: LiveRun | ChatReply) -> UUID:
    """The thread of a turn that has begun."""
    if isinstance(run_or_reply, ChatReply):
        return run_or_reply.thread_id
    return UUID(run_or_reply.marks[0].data["thread_id"])


async def rows(owner: Connection, *tables: str) -> list[int]:
    """How many rows these tables have, whoever's they are."""
    return [len(await owner.fetch(f"TABLE {table}")) for table in tables]
