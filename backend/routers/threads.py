"""Threads over HTTP: conversations, their messages and feedback."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from backend.errors import (
    AgentNotFound,
    MessageNotFound,
    ThreadBusy,
    ThreadNotFound,
)
from backend.models.message import Message
from backend.models.thread import Feedback, Thread, ThreadCreate, ThreadStatus, ThreadUpdate
from backend.routers.dependencies import Limit, Member, Operation, PageQuery, Threads, Viewer
from backend.routers.idempotent_route import IdempotentRoute
from backend.routers.pages import add_page_headers
from backend.routers.problems import PROBLEM_RESPONSES, problem_responses

router = APIRouter(prefix="/api/v1", tags=["threads"], route_class=IdempotentRoute, responses=PROBLEM_RESPONSES)
_NO_AGENT = problem_responses(AgentNotFound)
_NO_THREAD = problem_responses(ThreadNotFound)


class ThreadQuery(PageQuery):
    """Which threads a list holds."""

    status: ThreadStatus | None = None


@router.post(
    "/agents/{agent_id}/threads",
    status_code=201,
    response_model=Thread,
    responses=_NO_AGENT,
    operation_id="createThread",
)
async def create_thread(
    caller: Member, threads: Threads, agent_id: UUID, operation: Operation, body: ThreadCreate | None = None
) -> Thread:
    """Begin a conversation with an agent."""
    return await threads.create_thread(caller, agent_id, body.title if body else "", operation)


@router.get("/agents/{agent_id}/threads", response_model=list[Thread], responses=_NO_AGENT, operation_id="listThreads")
async def list_threads(
    request: Request,
    response: Response,
    caller: Viewer,
    threads: Threads,
    agent_id: UUID,
    query: Annotated[ThreadQuery, Query()],
) -> list[Thread]:
    """List your threads with an agent, newest first (an admin: the tenant's). Archived ones only by status."""
    page = await threads.list_page(caller, agent_id, query.status, query.place(), query.limit, query.offset)
    add_page_headers(response, request, page.total, page.next)
    return list(page.items)


@router.get("/threads/{thread_id}", response_model=Thread, responses=_NO_THREAD, operation_id="getThread")
async def get_thread(caller: Viewer, threads: Threads, thread_id: UUID) -> Thread:
    """Read a thread: title, counters, and the summary of what has left the agent's window."""
    return await threads.get(caller, thread_id)


@router.patch("/threads/{thread_id}", response_model=Thread, responses=_NO_THREAD, operation_id="updateThread")
async def update_thread(caller: Member, threads: Threads, thread_id: UUID, body: ThreadUpdate) -> Thread:
    """Change the title, archive the thread, or bring it back."""
    return await threads.update(caller, thread_id, body)


@router.delete(
    "/threads/{thread_id}",
    status_code=204,
    responses=problem_responses(ThreadNotFound, ThreadBusy),
    operation_id="deleteThread",
)
async def delete_thread(caller: Member, threads: Threads, thread_id: UUID) -> None:
    """Delete a thread with all its messages, for good."""
    await threads.delete(caller, thread_id)


@router.get(
    "/threads/{thread_id}/messages",
    response_model=list[Message],
    responses=problem_responses(ThreadNotFound, MessageNotFound),
    operation_id="listMessages",
)
async def list_messages(
    caller: Viewer,
    threads: Threads,
    thread_id: UUID,
    limit: Limit,
    before: Annotated[UUID | None, Query(description="Only messages before this one.")] = None,
) -> list[Message]:
    """Read the newest messages, oldest first; `before` goes further back."""
    return await threads.get_thread_history(caller, thread_id, limit, before)


@router.put(
    "/threads/{thread_id}/messages/{message_id}/feedback",
    response_model=Message,
    responses=problem_responses(ThreadNotFound, MessageNotFound),
    operation_id="giveFeedback",
)
async def give_feedback(caller: Member, threads: Threads, thread_id: UUID, message_id: UUID, body: Feedback) -> Message:
    """Say what you think of an answer: −1 to 1, with a reason."""
    return await threads.give_feedback(caller, thread_id, message_id, body)
