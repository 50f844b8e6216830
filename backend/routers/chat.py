"""Chat and runs over HTTP: one turn as JSON or as a stream, and what became of it."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Header
from starlette.responses import Response

from backend.errors import (
    AgentArchived,
    AgentNotFound,
    DatabaseUnavailable,
    ModelFailed,
    ModelTimeout,
    ModelUnavailable,
    RunFinished,
    RunNotFound,
    ThreadNotFound,
)
from backend.models.events import Place
from backend.models.run import ChatReply, ChatRequest, Run
from backend.routers.dependencies import Interactions, Member, Operation, Runs, Viewer
from backend.routers.idempotent_route import IdempotentRoute
from backend.routers.problems import PROBLEM_RESPONSES, problem_responses
from backend.routers.sse import EventStream

router = APIRouter(prefix="/api/v1", tags=["chat"], route_class=IdempotentRoute, responses=PROBLEM_RESPONSES)
_TURN = problem_responses(
    AgentNotFound, ThreadNotFound, AgentArchived, ModelFailed, ModelUnavailable, ModelTimeout, DatabaseUnavailable
)
_STREAM: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/event-stream": {}}, "description": "Server-Sent Events, each with an id"}
}
LastEventId = Annotated[
    str | None,
    Header(alias="Last-Event-ID", max_length=64, description="Continue after this event of the same run."),
]


@router.post("/agents/{agent_id}/chat", response_model=ChatReply, responses=_TURN, operation_id="chat")
async def chat(
    caller: Member, interactions: Interactions, agent_id: UUID, body: ChatRequest, operation: Operation
) -> Response:
    """Say something and wait for the whole answer. The message is stored before the model is asked."""
    reply = await interactions.process_interaction(caller, agent_id, body, operation)
    return Response(reply.model_dump_json(), media_type="application/json")


@router.post(
    "/agents/{agent_id}/chat/stream",
    response_class=Response,
    responses={**_TURN, **_STREAM},
    operation_id="streamChat",
)
async def stream_chat(
    caller: Member, interactions: Interactions, agent_id: UUID, body: ChatRequest, operation: Operation
) -> Response:
    """Say something and read the answer as it is written.

    Events: `run.started`, `memory.recalled`, `message.delta` {text}, `tool.call`, `tool.result`, and at last
    `message.completed` (the same document as the JSON answer) or `run.failed`. The run goes on when you go away:
    `GET /runs/{run_id}/events` with Last-Event-ID continues it.
    """
    run = await interactions.start(caller, agent_id, body, operation)
    headers = {"content-location": f"/api/v1/runs/{run.run_id}/events"}
    return EventStream(run.events(Place()), headers=headers)


@router.get("/runs/{run_id}", response_model=Run, responses=problem_responses(RunNotFound), operation_id="getRun")
async def get_run(caller: Viewer, runs: Runs, run_id: UUID) -> Run:
    """Read a run: its state, and its answer so far or its error."""
    return await runs.get(caller, run_id)


@router.get(
    "/runs/{run_id}/events",
    response_class=Response,
    responses={**problem_responses(RunNotFound), **_STREAM},
    operation_id="streamRunEvents",
)
async def stream_run_events(caller: Viewer, runs: Runs, run_id: UUID, last_event_id: LastEventId = None) -> Response:
    """Read a run's events from the beginning, or after Last-Event-ID, without a gap or a repeat."""
    place = Place.parse(last_event_id) if last_event_id else Place()
    return EventStream(await runs.events(caller, run_id, place))


@router.post(
    "/runs/{run_id}/cancel",
    response_model=Run,
    responses=problem_responses(RunNotFound, RunFinished),
    operation_id="cancelRun",
)
async def cancel_run(caller: Member, runs: Runs, run_id: UUID, operation: Operation) -> Run:  # noqa: ARG001 — claims the Idempotency-Key
    """Stop a run. What had been said is kept and marked as cancelled."""
    return await runs.cancel(caller, run_id)
