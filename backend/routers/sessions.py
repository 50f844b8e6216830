"""Sessions over HTTP: an interview, the consent to its plan, what is written from it, and all that was said."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter, Request
from starlette.responses import Response

from backend.errors import (
    AgentArchived,
    AgentNotFound,
    ApprovalPending,
    ModelFailed,
    ModelTimeout,
    ModelUnavailable,
    SessionNotFound,
    SessionState,
    ThreadBusy,
    UserNotFound,
)
from backend.models.run import Run
from backend.models.session import Consent, Session, SessionCreate, SessionMessage, SessionScript, Transcript
from backend.routers.dependencies import Member, Operation, Paging, Sessions, Viewer
from backend.routers.idempotent_route import IdempotentRoute
from backend.routers.pages import add_page_headers
from backend.routers.problems import PROBLEM_RESPONSES, problem_responses

router = APIRouter(
    prefix="/api/v1/sessions", tags=["sessions"], route_class=IdempotentRoute, responses=PROBLEM_RESPONSES
)
_NO_SESSION = problem_responses(SessionNotFound)
_STATE = problem_responses(SessionNotFound, SessionState)
_TURN = problem_responses(
    SessionNotFound, SessionState, AgentArchived, ApprovalPending, ThreadBusy, ModelFailed, ModelUnavailable,
    ModelTimeout,
)  # fmt: skip


@router.post(
    "",
    status_code=201,
    response_model=Session,
    responses=problem_responses(AgentNotFound, UserNotFound, AgentArchived),
    operation_id="createSession",
)
async def create_session(
    caller: Member, sessions: Sessions, operation: Operation, body: SessionCreate | None = None
) -> Session:
    """Begin a session; its `response` is the interview's opening and its first question."""
    return await sessions.create(caller, body or SessionCreate(), operation)


@router.get("", response_model=list[Session], operation_id="listSessions")
async def list_sessions(
    request: Request, response: Response, caller: Viewer, sessions: Sessions, query: Paging
) -> list[Session]:
    """List your sessions, newest first (an admin: the tenant's)."""
    page = await sessions.list_page(caller, query.place(), query.limit, query.offset)
    add_page_headers(response, request, page.total, page.next)
    return list(page.items)


@router.get("/{session_id}", response_model=Session, responses=_NO_SESSION, operation_id="getSession")
async def get_session(caller: Viewer, sessions: Sessions, session_id: UUID) -> Session:
    """Read a session: where it stands, what was said last, and the plan once the interview is complete."""
    return await sessions.get(caller, session_id)


@router.post("/{session_id}/messages", response_model=Session, responses=_TURN, operation_id="answerInterview")
async def answer_interview(
    caller: Member, sessions: Sessions, session_id: UUID, body: SessionMessage, operation: Operation
) -> Session:
    """Say something in the interview. Answers may come in any order, and be corrected until the plan is agreed to."""
    return await sessions.say(caller, session_id, body.message, operation)


@router.post("/{session_id}/consent", response_model=Session, responses=_STATE, operation_id="consentToPlan")
async def consent_to_plan(
    caller: Member, sessions: Sessions, session_id: UUID, body: Consent, operation: Operation
) -> Session:
    """Agree to the plan, or refuse it: then the interview goes on, and what is wrong can be said."""
    return await sessions.consent(caller, session_id, accepted=body.accepted, operation_id=operation)


@router.post(
    "/{session_id}/therapy",
    status_code=202,
    response_model=Run,
    responses=problem_responses(SessionNotFound, SessionState, AgentArchived),
    operation_id="startTherapy",
)
async def start_therapy(caller: Member, sessions: Sessions, session_id: UUID, operation: Operation) -> Run:  # noqa: ARG001 — claims the Idempotency-Key
    """Have the script written, once the plan is agreed to. `GET /runs/{run_id}/events` reads it while it is written.

    Events: `run.started`, `memory.recalled`, `part.started` {name, ordinal, of}, `message.delta` {text},
    `part.completed` {name, words, pauses}, and at last `message.completed` or `run.failed`. Asked again it is the same
    run; one that failed goes on with the part that it failed in.
    """
    return await sessions.write(caller, session_id)


@router.get("/{session_id}/script", response_model=SessionScript, responses=_STATE, operation_id="getSessionScript")
async def get_session_script(caller: Viewer, sessions: Sessions, session_id: UUID) -> SessionScript:
    """Read the parts that are written, with the places and lengths of their pauses."""
    return await sessions.script(caller, session_id)


@router.get(
    "/{session_id}/transcript", response_model=Transcript, responses=_NO_SESSION, operation_id="getSessionTranscript"
)
async def get_session_transcript(caller: Viewer, sessions: Sessions, session_id: UUID) -> Transcript:
    """Read everything that was said and written in a session, oldest first."""
    return await sessions.transcript(caller, session_id)
