"""Chat over HTTP: one turn as JSON or as a stream."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from fastapi import APIRouter
from starlette.responses import Response

from backend.errors import (
    AgentArchived,
    AgentNotFound,
    DatabaseUnavailable,
    ModelFailed,
    ModelTimeout,
    ModelUnavailable,
    ThreadNotFound,
)
from backend.models.events import Place
from backend.models.run import ChatReply, ChatRequest, Run
from backend.routers.dependencies import Interactions, Member, Operation
from backend.routers.idempotent_route import IdempotentRoute
from backend.routers.problems import PROBLEM_RESPONSES, problem_responses
from backend.routers.sse import STREAM_RESPONSE, EventStream

router = APIRouter(prefix="/api/v1", tags=["chat"], route_class=IdempotentRoute, responses=PROBLEM_RESPONSES)
_TURN = problem_responses(
    AgentNotFound, ThreadNotFound, AgentArchived, ModelFailed, ModelUnavailable, ModelTimeout, DatabaseUnavailable
)
_WAITS: dict[int | str, dict[str, Any]] = {
    202: {"model": Run, "description": "The turn waits until a person has answered its tool calls"}
}


@router.post("/agents/{agent_id}/chat", response_model=ChatReply, responses={**_TURN, **_WAITS}, operation_id="chat")
async def chat(
    caller: Member, interactions: Interactions, agent_id: UUID, body: ChatRequest, operation: Operation
) -> Response:
    """Say something and wait for the whole answer. The message is stored before the model is asked.

    202 with the run when a tool call needs a person's approval first: `POST /runs/{id}/approvals/{call_id}`, and the
    answer comes with `GET /runs/{id}/events`, and into the thread.
    """
    reply = await interactions.process_interaction(caller, agent_id, body, operation)
    status = 200 if isinstance(reply, ChatReply) else 202
    return Response(reply.model_dump_json(), status, media_type="application/json")


@router.post(
    "/agents/{agent_id}/chat/stream",
    response_class=Response,
    responses={**_TURN, **STREAM_RESPONSE},
    operation_id="streamChat",
)
async def stream_chat(
    caller: Member, interactions: Interactions, agent_id: UUID, body: ChatRequest, operation: Operation
) -> Response:
    """Say something and read the answer as it is written.

    Events: `run.started`, `memory.recalled`, `message.delta` {text}, `tool.call`, `tool.result`, and at last
    `message.completed` (the same document as the JSON answer), `run.failed`, or `run.waiting` when tool calls wait for
    a person. The run goes on when you go away: `GET /runs/{run_id}/events` with Last-Event-ID continues it.
    """
    run = await interactions.start(caller, agent_id, body, operation)
    headers = {"content-location": f"/api/v1/runs/{run.run_id}/events"}
    return EventStream(run.events(Place()), headers=headers)
