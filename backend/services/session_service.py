"""SessionService: one pass of a person through an interview, their consent, and what is written for them."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import orjson

from backend.errors import ApprovalPending, RequestInProgress, SessionNotFound, SessionState, UserNotFound
from backend.graphs.interview import next_step
from backend.models.interview import Interview
from backend.models.interview_progress import InterviewProgress
from backend.models.message import Message
from backend.models.page import Cursor, Page
from backend.models.run import ChatRequest, Run
from backend.models.session import (
    Session,
    SessionCreate,
    SessionPlan,
    SessionScript,
    Transcript,
    TranscriptLine,
)
from backend.models.tenant import Caller
from backend.services.agent_interaction_service import AgentInteractionService
from backend.services.hearing import Hearing
from backend.services.identifiers import new_id
from backend.services.live_run import LiveRun
from backend.services.run_driver import RunDriver
from backend.services.script_writer import ScriptOrder, recorded_parts
from backend.services.session_agents import interviewer, writer
from backend.services.session_turns import refuse_after_crisis, refuse_message
from backend.stores.database import Database, TenantTransaction
from backend.stores.runs import RunNature
from backend.stores.sessions import NewSession, StoredSession

_PAGE_OF_MESSAGES = 200
_LONGEST_PLAN_TEXT = 100_000
_BEGUN = ("running", "waiting", "completed")


class SessionService:
    """Sessions of one tenant's people. A member sees their own; an admin sees the tenant's, and may speak in them."""

    def __init__(self, database: Database, interactions: AgentInteractionService, driver: RunDriver) -> None:
        self._database = database
        self._interactions = interactions
        self._driver = driver

    async def create(self, caller: Caller, request: SessionCreate, operation_id: UUID | None = None) -> Session:
        """A session that begins with the interview's opening and first question, asked by rule.

        Errors: `UserNotFound`, `AgentNotFound`, `AgentArchived`, `AgentInactive`; `Invalid` for an agent that cannot
        do its part.
        """
        session_id = new_id(operation_id, "session")
        async with self._database.tenant(caller.tenant_id) as tx:
            user_id = await _person(tx, caller, request.user_id)
            intake = await interviewer(tx, request.intake_agent_id)
            therapy = await writer(tx, request.therapy_agent_id)
            progress, opening = _opening(intake.interview)
            new = NewSession(
                session_id, user_id, intake.id, therapy.id, new_id(operation_id, "thread"), progress, opening
            )
            if await tx.sessions.get(session_id, caller.sees_only) is None:
                await tx.threads.insert(new.intake_thread_id, intake.id, user_id, "")
                await tx.sessions.insert(new)
                await _say(tx, new.intake_thread_id, new_id(operation_id, "opening"), session_id, opening)
            return (await _visible(tx, caller, session_id)).session

    async def list_page(self, caller: Caller, cursor: Cursor | None, limit: int, offset: int) -> Page[Session]:
        """Newest first."""
        async with self._database.tenant(caller.tenant_id) as tx:
            return await tx.sessions.page(caller.sees_only, cursor, limit, offset)

    async def get(self, caller: Caller, session_id: UUID) -> Session:
        """The session. Errors: `SessionNotFound`."""
        async with self._database.tenant(caller.tenant_id) as tx:
            return (await _visible(tx, caller, session_id)).session

    async def say(self, caller: Caller, session_id: UUID, message: str, operation_id: UUID | None = None) -> Session:
        """What the person says in the interview, answered; how far it has come is stored with the answer.

        Errors: those of `begin_turn`, and of a chat's turn; `ApprovalPending` when the agent's answer waits for a tool
        call that somebody has to agree to.
        """
        run = await self.begin_turn(caller, session_id, message, operation_id, streaming=False)
        if await run.reply() is None:
            raise ApprovalPending(
                "The answer waits until somebody has agreed to a tool call, or refused it: see the run's approvals.",
                run_id=str(run.run_id),
            )
        return await self.get(caller, session_id)

    async def begin_turn(
        self,
        caller: Caller,
        session_id: UUID,
        message: str,
        operation_id: UUID | None = None,
        *,
        streaming: bool = True,
        hearing: Hearing | None = None,
    ) -> LiveRun:
        """What the person says in the interview; the run goes on. With a `hearing` a voice speaks the answer.

        Errors: `SessionNotFound`, `SessionState`, and those of `AgentInteractionService.start`.
        """
        async with self._database.tenant(caller.tenant_id) as tx:
            session = (await _visible(tx, caller, session_id)).session
            person = replace(caller, user_id=session.user_id)
            said_before = operation_id and await tx.runs.get(new_id(operation_id, "run"), session.user_id)
            thread = await tx.threads.get(session.intake_thread_id, None)
        if not said_before:
            refuse_message(session)
            if thread is not None and thread.status == "archived":
                raise SessionState("The session's thread is archived; set its status to active to go on.")
        request = ChatRequest(
            message=message, thread_id=session.intake_thread_id, metadata={"session_id": str(session_id)}
        )
        nature = RunNature(detail={"session_id": str(session_id)})
        return await self._interactions.start(
            person, session.intake_agent_id, request, operation_id, streaming=streaming, nature=nature, hearing=hearing
        )

    async def consent(
        self, caller: Caller, session_id: UUID, *, accepted: bool, operation_id: UUID | None = None
    ) -> Session:
        """The person agrees to the plan, or does not: then the interview goes on, and what is wrong can be said.

        Errors: `SessionNotFound`, `SessionState`.
        """
        async with self._database.tenant(caller.tenant_id) as tx:
            stored = await _visible(tx, caller, session_id, lock=True)
            session = stored.session
            refuse_after_crisis(session)
            if accepted:
                _refuse_without_plan(session)
                if session.consented_at is not None:
                    return session
                await tx.sessions.consent(session_id)
                await tx.audit.record(caller, "session.consented", "session", session_id)
            elif session.stage != "confirmation" or session.status != "intake":  # there is nothing that was agreed to
                _refuse_without_plan(session)
                await self._refuse_plan(tx, caller, stored, operation_id)
            return (await _visible(tx, caller, session_id)).session

    async def write(self, caller: Caller, session_id: UUID) -> Run:
        """Have the script written; asked again it is the same run, and one that failed goes on where it stopped.

        Errors: `SessionNotFound`, `SessionState`, and those of `RunDriver.start`.
        """
        async with self._database.tenant(caller.tenant_id) as tx:
            stored = await _visible(tx, caller, session_id)
            session = stored.session
            refuse_after_crisis(session)
            _refuse_without_plan(session)
            if session.consented_at is None:
                raise SessionState(
                    "Nothing is written before the person has agreed to the plan: POST /sessions/{id}/consent."
                )
            before = await _script_run(tx, session)
            if before is not None and before.status in _BEGUN:
                return before
            number = stored.script_number + await _begins_anew(tx, session, before)
        plan = session.plan or {}
        order = ScriptOrder(session_id, number, {name: _frozen(one) for name, one in plan.items()})
        person = replace(caller, user_id=session.user_id)
        run_id = await self._start(person, session.therapy_agent_id, order, _plan_text(plan))
        async with self._database.tenant(caller.tenant_id) as tx:
            if await tx.runs.lock(run_id, None) in ("running", "waiting"):
                await tx.sessions.begin_script(session_id, run_id, number)
        return await self._driver.stored(person, run_id)

    async def script(self, caller: Caller, session_id: UUID) -> SessionScript:
        """What is written so far. Errors: `SessionNotFound`; `SessionState` before the writing has begun."""
        async with self._database.tenant(caller.tenant_id) as tx:
            session = (await _visible(tx, caller, session_id)).session
            if session.therapy_run_id is None:
                raise SessionState("Nothing has been written yet: POST /sessions/{id}/therapy begins it.")
            steps = await tx.run_steps.all(session.therapy_run_id)
        parts = [part for _, part in recorded_parts(steps)]
        return SessionScript(session_id=session_id, complete=session.status == "completed", parts=parts)

    async def transcript(self, caller: Caller, session_id: UUID) -> Transcript:
        """Everything that was said and written, oldest first. Errors: `SessionNotFound`."""
        async with self._database.tenant(caller.tenant_id) as tx:
            session = (await _visible(tx, caller, session_id)).session
            said = await _all_messages(tx, session.intake_thread_id)
            run_id = session.therapy_run_id
            steps = await tx.run_steps.all(run_id) if run_id is not None else []
        lines = [
            TranscriptLine(
                speaker="person" if one.role == "user" else "intake", text=one.content, said_at=one.created_at
            )
            for one in said
            if one.role in ("user", "assistant") and one.content
        ]
        lines += [
            TranscriptLine(speaker="therapy", text=part.text, said_at=step.finished_at or step.started_at)
            for step, part in recorded_parts(steps)
        ]
        return Transcript(session_id=session_id, lines=lines)

    async def _start(self, person: Caller, agent_id: UUID, order: ScriptOrder, plan: str) -> UUID:
        """The id of the run, whoever begins it."""
        request = ChatRequest(message=plan, metadata={"session_id": str(order.session_id)})
        nature, operation_id = RunNature("script", detail=order.detail()), order.operation_id
        try:
            run = await self._driver.start(person, agent_id, request, operation_id, nature=nature)
        except RequestInProgress:  # another server has just begun it
            return new_id(operation_id, "run")
        return run.run_id

    async def _refuse_plan(
        self, tx: TenantTransaction, caller: Caller, stored: StoredSession, operation_id: UUID | None
    ) -> None:
        session = stored.session
        run = await _script_run(tx, session)
        if run is not None and run.status in _BEGUN:
            raise SessionState(f"The plan is being followed already: the session's status is {session.status}.")
        agent = await tx.agents.get(session.intake_agent_id)
        interview = agent.contract().interview if agent else None
        question = interview.confirmation.question if interview else session.response
        progress = stored.progress.model_copy(update={"confirmed": False, "read_back": True, "asked": None})
        await tx.sessions.back_to_confirmation(session.id, progress, question)
        await _say(tx, session.intake_thread_id, new_id(operation_id, "question"), session.id, question)
        await tx.audit.record(caller, "session.consent_refused", "session", session.id)


def _opening(interview: Interview | None) -> tuple[InterviewProgress, str]:
    """Where the interview stands before anybody has answered, and what is said first."""
    assert interview is not None  # noqa: S101 — `interviewer` gives back no other contract
    progress = next_step(interview, InterviewProgress())
    question = next(field.question for field in interview.fields if field.name == progress.asked)
    return progress, f"{interview.opening.strip()} {question}".strip()


async def _person(tx: TenantTransaction, caller: Caller, user_id: UUID | None) -> UUID:
    if user_id is None or user_id == caller.user_id:
        return caller.user_id
    standing = await tx.users.standing(user_id) if caller.sees_only is None else None
    if standing is None or standing.user is None:
        raise UserNotFound("There is no user with this id.")
    return user_id


async def _visible(tx: TenantTransaction, caller: Caller, session_id: UUID, *, lock: bool = False) -> StoredSession:
    find = tx.sessions.lock if lock else tx.sessions.get
    stored = await find(session_id, caller.sees_only)
    if stored is None:
        raise SessionNotFound("There is no session with this id.")
    return stored


async def _say(tx: TenantTransaction, thread_id: UUID, message_id: UUID, session_id: UUID, text: str) -> None:
    """What the agent says by rule, without a model."""
    metadata = orjson.dumps({"session_id": str(session_id)})
    await tx.threads.add_message(thread_id, message_id, "assistant", text, metadata)


def _refuse_without_plan(session: Session) -> None:
    if session.stage != "complete" or session.plan is None:
        raise SessionState(
            f"The interview is not complete yet (stage {session.stage}): there is no plan to agree to. "
            "Answer with POST /sessions/{id}/messages."
        )


async def _script_run(tx: TenantTransaction, session: Session) -> Run | None:
    found = await tx.runs.get(session.therapy_run_id, None) if session.therapy_run_id else None
    return found.run if found else None


async def _begins_anew(tx: TenantTransaction, session: Session, before: Run | None) -> bool:
    """Whether what the run before has written cannot be gone on with: it was cancelled, or by another contract."""
    if before is None:
        return False
    agent = await tx.agents.get(session.therapy_agent_id)
    return before.status == "cancelled" or (agent is not None and agent.version != before.agent_version)


def _frozen(answer: str | list[str]) -> str | tuple[str, ...]:
    return answer if isinstance(answer, str) else tuple(answer)


def _plan_text(plan: SessionPlan) -> str:
    """The plan as the message that the script answers."""
    lines = (f"{name}: {one if isinstance(one, str) else '; '.join(one)}" for name, one in plan.items() if one)
    return "\n".join(lines)[:_LONGEST_PLAN_TEXT] or "-"


async def _all_messages(tx: TenantTransaction, thread_id: UUID) -> list[Message]:
    found: list[Message] = []
    before: int | None = None
    while page := await tx.threads.messages(thread_id, before, _PAGE_OF_MESSAGES):
        found[:0] = page
        before = page[0].position
    return found
