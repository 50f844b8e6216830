"""ScheduleService: when an agent runs by itself."""

from __future__ import annotations

from uuid import UUID

from backend.errors import AgentNotFound
from backend.models.schedule import AgentSchedule
from backend.models.tenant import Caller
from backend.stores.database import Database


class ScheduleService:
    """Tells of schedules; `Scheduler` keeps them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, caller: Caller, agent_id: UUID) -> AgentSchedule:
        """The agent's schedule, if it has one, and what became of it. Errors: `AgentNotFound`."""
        found = await self._database.statements(caller.tenant_id).schedules.get(agent_id)
        if found is None:
            raise AgentNotFound("There is no agent with this id.")
        return found
