"""Memory as one process has it, over an index and an embedder that need nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from backend.models.agent_requests import AgentCreateRequest
from backend.models.memory import Memory, MemoryCreate, MemoryFilter
from backend.models.tenant import Caller, Role
from backend.ports import IndexPoint
from backend.services.agent_service import AgentService
from backend.services.contract_check import ContractCheck
from backend.services.memory.engine import MemoryEngine
from backend.services.memory_service import MemoryService
from backend.services.model_catalog import ModelCatalog
from backend.services.outbox_relay import OutboxRelay
from backend.services.receipt_service import ReceiptService
from backend.services.thread_manager import ThreadManager
from backend.stores.database import Database
from backend.telemetry import Metrics
from backend.tests.factories import TenantFactory, make_user
from backend.tests.fake_tool_servers import FixedToolServers
from backend.tests.fakes import FakeIndex, FrozenClock, HashEmbedder

if TYPE_CHECKING:
    from asyncpg import Connection


class Remembering:
    """The services that people use memory through; the index is written when `indexed` is called."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.index = FakeIndex()
        self.embedder = HashEmbedder()
        self.clock = FrozenClock()
        self.woken = 0
        metrics = Metrics()
        self.engine = MemoryEngine(database, self.index, self.embedder, self.clock, metrics, self._wake)
        self.memories = MemoryService(database, self.engine)
        self.receipts = ReceiptService(database, self.engine)
        self.threads = ThreadManager(database)
        check = ContractCheck(ModelCatalog("gpt-6-luna", self.clock), ["openai", "offline"], FixedToolServers())
        self._agents = AgentService(database, check, OutboxRelay(database, {}, metrics), self.clock)

    async def agent(self, caller: Caller, **parts: Any) -> UUID:
        """A new agent with these parts in its contract."""
        named = {"name": "Stargazer", "identity": {"short_description": "A guide to the night sky"}}
        return (await self._agents.create(caller, AgentCreateRequest.model_validate(named | parts))).id

    async def thread(self, caller: Caller, agent: UUID) -> UUID:
        """A new thread of this caller."""
        return (await self.threads.create_thread(caller, agent)).id

    async def indexed(self, owner: Connection) -> None:
        """Bring the index up to what the rows say."""
        self.index.points.clear()
        for row in await owner.fetch("SELECT DISTINCT tenant_id FROM memories"):
            tenant_id = UUID(int=row["tenant_id"].int)
            ids = await owner.fetch("SELECT id FROM memories WHERE tenant_id = $1", tenant_id)
            async with self.database.tenant(tenant_id) as tx:
                rows = await tx.memories.to_index([one["id"] for one in ids])
            vectors = await self.embedder.embed([one.text for one in rows])
            await self.index.put(
                [
                    IndexPoint(one.id, one.namespace, vector, one.text, one.valid_from)
                    for one, vector in zip(rows, vectors, strict=True)
                ]
            )

    def _wake(self) -> None:
        self.woken += 1


@pytest.fixture
def house(database: Database) -> Remembering:
    return Remembering(database)


@pytest.fixture
def memories(house: Remembering) -> MemoryService:
    return house.memories


@pytest.fixture
async def admin(tenant: TenantFactory) -> Caller:
    return await tenant(Role.ADMIN)


@pytest.fixture
async def member(admin: Caller, database: Database) -> Caller:
    return await make_user(database, admin.tenant_id)


@pytest.fixture
async def other(admin: Caller, database: Database) -> Caller:
    return await make_user(database, admin.tenant_id)


@pytest.fixture
async def agent(house: Remembering, admin: Caller) -> UUID:
    return await house.agent(admin)


async def kept(memories: MemoryService, caller: Caller, agent: UUID, text: str, **more: Any) -> Memory:
    """What is known from now on."""
    memory, _ = await memories.create(caller, agent, MemoryCreate(text=text, **more))
    return memory


async def texts(memories: MemoryService, caller: Caller, agent: UUID, **which: Any) -> list[str]:
    """What is listed, newest first."""
    page = await memories.list_page(caller, MemoryFilter(agent, **which), None, 50, 0)
    assert page.total == len(page.items)
    return [one.text for one in page.items]
