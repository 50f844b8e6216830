"""Runs over HTTP: set an agent to work, follow a run, answer what it asks a person, and stop it."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Header, Query, Request
from starlette.responses import Response

from backend.errors import (
    AgentArchived,
    AgentHasNoRuns,
    AgentNotFound,
    ApprovalAnswered,
    CallNotFound,
    RunFinished,
    RunNotFound,
)
from backend.models.events import Place
from backend.models.run import ApprovalAnswer, Run, RunRequest, RunStatus, RunStep
from backend.routers.dependencies import Member, Operation, PageQuery, Runs, Tasks, Viewer
from backend.routers.idempotent_route import IdempotentRoute
from backend.routers.pages import add_page_headers
from backend.routers.problems import PROBLEM_RESPONSES, problem_responses
from backend.routers.sse import STREAM_RESPONSE, EventStream

router = APIRouter(prefix="/api/v1", tags=["runs"], route_class=IdempotentRoute, responses=PROBLEM_RESPONSES)
_NO_RUN = problem_responses(RunNotFound)
LastEventId = Annotated[
    str | None,
    Header(alias="Last-Event-ID", max_length=64, description="Continue after this event of the same run."),
]


class RunQuery(PageQuery):
    """Which runs a list holds."""

    status: RunStatus | None = None


@router.post(
    "/agents/{agent_id}/runs",
    status_code=202,
    response_model=Run,
    responses=problem_responses(AgentNotFound, AgentArchived, AgentHasNoRuns),
    operation_id="startRun",
)
async def start_run(
    caller: Member, tasks: Tasks, agent_id: UUID, operation: Operation, body: RunRequest | None = None
) -> Run:
    """Set a workflow or autonomous agent to work. It goes on by itself: read its events, its steps, or the run."""
    return await tasks.start(caller, agent_id, body or RunRequest(), operation)


@router.get(
    "/agents/{agent_id}/runs",
    response_model=list[Run],
    responses=problem_responses(AgentNotFound),
    operation_id="listRuns",
)
async def list_runs(
    request: Request,
    response: Response,
    caller: Viewer,
    tasks: Tasks,
    agent_id: UUID,
    query: Annotated[RunQuery, Query()],
) -> list[Run]:
    """List your runs of an agent, chats included, newest first (an admin: the tenant's)."""
    page = await tasks.runs_of(caller, agent_id, query.status, query.place(), query.limit, query.offset)
    add_page_headers(response, request, page.total, page.next)
    return list(page.items)


@router.get("/runs/{run_id}", response_model=Run, responses=_NO_RUN, operation_id="getRun")
async def get_run(caller: Viewer, runs: Runs, run_id: UUID) -> Run:
    """Read a run: its state, its answer so far or its error, and the tool calls that wait for a person."""
    return await runs.get(caller, run_id)


@router.get("/runs/{run_id}/steps", response_model=list[RunStep], responses=_NO_RUN, operation_id="listRunSteps")
async def list_run_steps(caller: Viewer, runs: Runs, run_id: UUID) -> list[RunStep]:
    """Read what a run did, in order: model calls, tool calls, conditions, each try of each. Of chats what tools did."""
    return await runs.steps(caller, run_id)


@router.get(
    "/runs/{run_id}/events",
    response_class=Response,
    responses={**_NO_RUN, **STREAM_RESPONSE},
    operation_id="streamRunEvents",
)
async def stream_run_events(caller: Viewer, runs: Runs, run_id: UUID, last_event_id: LastEventId = None) -> Response:
    """Read a run's events from the beginning, or after Last-Event-ID, without a gap or a repeat.

    Besides a chat's: `step.started`, `step.completed`, `step.failed`, `part.started`, `part.completed`,
    `approval.required` {call_id, tool, arguments}, and `run.waiting`, with which the stream ends until the calls are
    answered. After `run.resumed` {offset} another server goes on: text behind that offset is void and written anew.
    """
    place = Place.parse(last_event_id) if last_event_id else Place()
    return EventStream(await runs.events(caller, run_id, place))


@router.post(
    "/runs/{run_id}/approvals/{call_id}",
    response_model=Run,
    responses=problem_responses(RunNotFound, CallNotFound, ApprovalAnswered, RunFinished),
    operation_id="answerApproval",
)
async def answer_approval(
    caller: Member,
    runs: Runs,
    run_id: UUID,
    call_id: UUID,
    body: ApprovalAnswer,
    operation: Operation,
) -> Run:
    """Agree to a tool call that waits for a person, or refuse it. When no other call waits, the run goes on."""
    return await runs.answer(caller, run_id, call_id, body, operation)


@router.post(
    "/runs/{run_id}/cancel",
    response_model=Run,
    responses=problem_responses(RunNotFound, RunFinished),
    operation_id="cancelRun",
)
async def cancel_run(caller: Member, runs: Runs, run_id: UUID, operation: Operation) -> Run:  # noqa: ARG001 — claims the Idempotency-Key
    """Stop a run. What had been said is kept and marked as cancelled."""
    return await runs.cancel(caller, run_id)
