"""When an agent runs by itself: `/api/v1/agents/{agent_id}/schedule`."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter

from backend.errors import AgentNotFound
from backend.models.schedule import AgentSchedule
from backend.routers.dependencies import Schedules, Viewer
from backend.routers.idempotent_route import IdempotentRoute
from backend.routers.problems import PROBLEM_RESPONSES, problem_responses

router = APIRouter(prefix="/api/v1", tags=["agents"], route_class=IdempotentRoute, responses=PROBLEM_RESPONSES)


@router.get(
    "/agents/{agent_id}/schedule",
    operation_id="getSchedule",
    summary="When an agent runs by itself",
    responses=problem_responses(AgentNotFound),
)
async def get_schedule(caller: Viewer, schedules: Schedules, agent_id: UUID) -> AgentSchedule:
    """Read the schedule that is in force, its next tick, and how many ticks were run or missed."""
    return await schedules.get(caller, agent_id)
