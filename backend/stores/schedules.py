"""What became of agents' schedules, and for whom their runs are made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING
from uuid import UUID

import orjson

from backend.models.schedule import AgentSchedule
from backend.stores.queries import load

if TYPE_CHECKING:
    from asyncpg import Connection

_SQL = load("schedules")


class ScheduleStore:
    """Schedules of one tenant: to be read. The worker moves them on."""

    def __init__(self, connection: Connection, tenant_id: UUID) -> None:
        self._connection = connection
        self._tenant_id = tenant_id

    async def get(self, agent_id: UUID) -> AgentSchedule | None:
        """The agent's schedule, which may be none; None when there is no such agent."""
        row = await self._connection.fetchrow(_SQL["get"], self._tenant_id, agent_id)
        return AgentSchedule.model_validate(dict(row)) if row else None

    async def wanted(self, agent_id: UUID) -> UUID | None:
        """The owner of an agent that is to run by itself; None when it is not, or gone."""
        found: UUID | None = await self._connection.fetchval(_SQL["wanted"], self._tenant_id, agent_id)
        return UUID(int=found.int) if found else None

    async def report_missed(self, agent_id: UUID, owner_id: UUID, detail: Mapping[str, str | int]) -> None:
        """An audit entry about missed ticks; one for each `detail["tick"]`."""
        text = orjson.dumps(detail).decode()
        await self._connection.execute(_SQL["report_missed"], self._tenant_id, agent_id, owner_id, text)
