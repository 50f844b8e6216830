"""SessionTurns: what a turn of an interview reads of its session, and stores in the transaction of its answer."""

from __future__ import annotations

from uuid import UUID

from backend.errors import SessionNotFound, SessionState
from backend.graphs.interview import plan_of, stage_of
from backend.models.interview import Interview
from backend.models.interview_progress import InterviewProgress
from backend.models.run import CrisisKind
from backend.models.session import Session
from backend.stores.database import TenantTransaction

CRISIS = "crisis"
"""The code of the error with which a session ends when the person needs other help."""


class SessionTurns:
    """See `SessionProgress`, which this is."""

    async def before(self, tx: TenantTransaction, session_id: UUID) -> InterviewProgress:
        """How far the interview has come; with its first message the session's intake begins.

        Errors: `SessionNotFound`, `SessionState` when it takes no more messages.
        """
        stored = await tx.sessions.lock(session_id, None)
        if stored is None:
            raise SessionNotFound("There is no session with this id.")
        refuse_message(stored.session)
        await tx.sessions.begin_intake(session_id)
        return stored.progress

    async def after(
        self,
        tx: TenantTransaction,
        session_id: UUID,
        progress: InterviewProgress,
        reply_text: str,
        interview: Interview,
    ) -> None:
        """Store how far it has come now, and what the agent said; a complete interview leaves its plan."""
        stage = stage_of(interview, progress)
        plan = plan_of(interview, progress) if stage == "complete" else None
        await tx.sessions.progress(session_id, progress, stage, reply_text, plan)

    async def crisis(self, tx: TenantTransaction, session_id: UUID, kind: CrisisKind) -> None:
        """The session is over, and says last what was answered instead."""
        stored = await tx.sessions.lock(session_id, None)
        if stored is None:
            return
        said = await tx.threads.messages(stored.session.intake_thread_id, None, 1)
        response = said[-1].content if said and said[-1].role == "assistant" else stored.session.response
        session = stored.session
        await tx.sessions.progress(session_id, stored.progress, session.stage, response, session.plan)
        await tx.sessions.fail(
            session_id,
            {
                "code": CRISIS,
                "kind": kind,
                "title": "The person needs other help",
                "detail": "What was said sounded like a crisis. It was answered with a reviewed reply and help lines.",
            },
        )


def refuse_message(session: Session) -> None:
    """Errors: `SessionState` when the session takes no more messages."""
    refuse_after_crisis(session)
    if session.stage != "complete":
        return
    if session.status == "intake":
        raise SessionState(
            "The interview is complete. Agree to its plan with POST /sessions/{id}/consent; or refuse it there, and "
            "what is wrong can be said."
        )
    raise SessionState(f"The interview is over: the session's status is {session.status}. A new session begins anew.")


def refuse_after_crisis(session: Session) -> None:
    """Errors: `SessionState` when the session ended because the person needs other help."""
    if session.status == "failed" and (session.error or {}).get("code") == CRISIS:
        raise SessionState(
            "The session ended because what was said sounded like a crisis; its answer names who can help now. "
            "A new session can be begun later."
        )
