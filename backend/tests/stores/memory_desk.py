"""An agent's memories as tests use them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID, uuid4

from backend.models.memory import Memory, MemoryFilter, MemoryUpdate, NewMemory
from backend.models.tenant import Caller
from backend.stores.agents import Author
from backend.stores.database import Database
from backend.stores.memories import MemoryStore
from backend.tests.models.contracts import contract

if TYPE_CHECKING:
    from asyncpg import Connection

T = TypeVar("T")
SOME_TIME = datetime(2026, 5, 1, tzinfo=UTC)


@dataclass
class Desk:
    """An agent's memories in one tenant, each call a transaction of its own."""

    database: Database
    caller: Caller
    agent_id: UUID

    def new(self, text: str = "I like tea.", **changes: Any) -> NewMemory:
        """Something that the caller said in a thread, in a message of its own."""
        one = NewMemory(
            uuid4(), self.agent_id, "user", self.caller.user_id, uuid4(), "message", text, "chat",
            source_message_id=uuid4(),
        )  # fmt: skip
        return replace(one, **changes)

    async def do(self, work: Callable[[MemoryStore], Awaitable[T]]) -> T:
        async with self.database.tenant(self.caller.tenant_id) as tx:
            return await work(tx.memories)

    async def keep(self, *memories: NewMemory) -> list[UUID]:
        return await self.do(lambda store: store.insert(memories, self.caller.user_id))

    async def get(self, memory_id: UUID) -> Memory:
        found = await self.do(lambda store: store.get(memory_id, None))
        assert found is not None
        return found

    async def history(self, memory_id: UUID) -> list[tuple[int, str, str | None]]:
        found = await self.do(lambda store: store.history(memory_id, None))
        return [(one.revision, one.action, one.text) for one in found]

    async def edit(self, memory_id: UUID, **changes: Any) -> Memory | None:
        update = MemoryUpdate.model_validate(changes)
        return await self.do(lambda store: store.edit(memory_id, None, update, self.caller.user_id))

    async def texts(self, **which: Any) -> list[str]:
        page = await self.do(lambda store: store.page(MemoryFilter(self.agent_id, **which), None, None, 100, 0))
        assert page.total == len(page.items)
        return sorted(one.text for one in page.items)


async def make_desk(database: Database, caller: Caller) -> Desk:
    metadata: dict[str, object] = {"tenant_id": caller.tenant_id, "owner_id": caller.user_id, "tags": []}
    agent = contract(id=uuid4(), metadata=metadata)
    async with database.tenant(caller.tenant_id) as tx:
        assert await tx.agents.insert(agent, "", Author(caller.user_id))
    return Desk(database, caller, agent.id)


async def orders(owner: Connection) -> list[UUID]:
    """What the index is to learn of; forgotten by the asking."""
    rows = await owner.fetch("DELETE FROM outbox WHERE kind = 'memory.index' RETURNING subject_id")
    return [row["subject_id"] for row in rows]
