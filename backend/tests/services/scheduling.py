"""What tests of schedules begin with: agents that run by themselves, and a look at what was ordered."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from backend.models.tenant import Caller
from backend.services.scheduler import Scheduler
from backend.stores.agents import Author
from backend.stores.database import Database
from backend.tests.models.contracts import contract

if TYPE_CHECKING:
    from asyncpg import Connection

SELDOM = "0 0 29 2 *"  # so that no tick comes by itself in the middle of a test
DAILY = "0 0 * * *"


async def make_scheduled(database: Database, caller: Caller, schedule: str = SELDOM) -> UUID:
    """The id of an active agent that runs by itself."""
    return await make_worker(database, caller, {"trigger_type": "scheduled", "schedule": schedule})


async def make_worker(database: Database, caller: Caller, workflow: dict[str, Any]) -> UUID:
    """The id of an active autonomous agent with this workflow."""
    metadata = {"tenant_id": caller.tenant_id, "owner_id": caller.user_id}
    agent = contract(id=uuid4(), type="autonomous", workflow=workflow, metadata=metadata)
    async with database.tenant(caller.tenant_id) as tx:
        assert await tx.agents.insert(agent, "Created", Author(caller.user_id))
    return agent.id


class Desk:
    """What the database holds of schedules, seen and changed as its owner."""

    def __init__(self, owner: Connection) -> None:
        self.owner = owner

    async def row(self, agent_id: UUID) -> dict[str, Any]:
        """The row of the agent's schedule; empty when there is none."""
        found = await self.owner.fetchrow("SELECT * FROM agent_schedules WHERE agent_id = $1", agent_id)
        return dict(found) if found else {}

    async def set_back(self, *agents: UUID, to: datetime | None = None) -> datetime:
        """Make a tick of this very moment due, or of this one; which that is."""
        due = to or await self.now()
        await self.owner.execute("UPDATE agent_schedules SET next_at = $2 WHERE agent_id = ANY ($1)", agents, due)
        return due

    async def now(self) -> datetime:
        """The moment, by the database's clock."""
        return await self.owner.fetchval("SELECT clock_timestamp()")

    async def orders(self) -> list[dict[str, Any]]:
        """The orders that wait, oldest first: agent and payload."""
        rows = await self.owner.fetch("SELECT * FROM outbox WHERE kind = 'run.scheduled' ORDER BY id")
        return [{"agent": UUID(int=row["subject_id"].int), **json.loads(row["payload"])} for row in rows]

    async def ordered(self) -> Counter[UUID]:
        """How many orders wait for each agent."""
        return Counter(one["agent"] for one in await self.orders())

    async def set_workflow(self, agent_id: UUID, **changes: str) -> None:
        """Change the workflow in the agent's contract."""
        await self.owner.execute(
            "UPDATE agents SET contract = jsonb_set(contract, '{workflow}', contract -> 'workflow' || $2::text::jsonb)"
            " WHERE id = $1", agent_id, json.dumps(changes),
        )  # fmt: skip

    async def set_status(self, agent_id: UUID, status: str) -> None:
        """Switch the agent on or off."""
        await self.owner.execute("UPDATE agents SET status = $2 WHERE id = $1", agent_id, status)


def utc(text: str) -> datetime:
    """The moment that an order names."""
    return datetime.fromisoformat(text).astimezone(UTC)


@asynccontextmanager
async def running(*schedulers: Scheduler) -> AsyncGenerator[None]:
    tasks = [asyncio.create_task(one.run()) for one in schedulers]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def taken(desk: Desk, agents: Sequence[UUID], ticks: int) -> None:
    """Wait until each of these agents has had so many ticks."""
    async with asyncio.timeout(20):
        query = "SELECT min(ticks) FROM agent_schedules WHERE agent_id = ANY ($1)"
        while await desk.owner.fetchval(query, agents) < ticks:  # noqa: ASYNC110 — the rows say so
            await asyncio.sleep(0.002)
