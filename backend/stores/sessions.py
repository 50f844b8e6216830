"""Rows of sessions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

import orjson

from backend.models.interview_progress import InterviewProgress, SessionStage
from backend.models.page import NEWEST, Cursor, Page
from backend.models.session import Session, SessionPlan
from backend.stores.queries import load

if TYPE_CHECKING:
    from asyncpg import Connection, Record

_SQL = load("sessions")


@dataclass(frozen=True, slots=True)
class NewSession:
    """A session to store: who is interviewed, by whom and where, and who writes."""

    id: UUID
    user_id: UUID
    intake_agent_id: UUID
    therapy_agent_id: UUID
    intake_thread_id: UUID
    progress: InterviewProgress
    response: str


@dataclass(frozen=True, slots=True)
class StoredSession:
    """A session with what is not shown of it: how far the interview is, and which of its scripts is in force."""

    session: Session
    progress: InterviewProgress
    script_number: int


class SessionStore:
    """Sessions of one tenant. `seen_by` is the user whose sessions are visible; None sees everybody's."""

    def __init__(self, connection: Connection, tenant_id: UUID) -> None:
        self._connection = connection
        self._tenant_id = tenant_id

    async def insert(self, new: NewSession) -> bool:
        """A session that begins; False when the id is there already."""
        found = await self._connection.fetchval(
            _SQL["insert"], self._tenant_id, new.id, new.user_id, new.intake_agent_id, new.therapy_agent_id,
            new.intake_thread_id, new.progress.model_dump_json(), new.response,
        )  # fmt: skip
        return found is not None

    async def get(self, session_id: UUID, seen_by: UUID | None) -> StoredSession | None:
        """The session, if it is visible."""
        row = await self._connection.fetchrow(_SQL["get"], self._tenant_id, session_id, seen_by)
        return _stored(row) if row else None

    async def lock(self, session_id: UUID, seen_by: UUID | None) -> StoredSession | None:
        """The session, if it is visible; it stays as it is until the transaction ends."""
        row = await self._connection.fetchrow(_SQL["lock"], self._tenant_id, session_id, seen_by)
        return _stored(row) if row else None

    async def page(self, seen_by: UUID | None, cursor: Cursor | None, limit: int, offset: int) -> Page[Session]:
        """Newest first."""
        after = cursor or NEWEST
        rows = await self._connection.fetch(
            _SQL["list_page"], self._tenant_id, seen_by, after.created_at, after.id, limit + 1, offset
        )
        items = [_stored(row).session for row in rows[:limit]]
        total = await self._connection.fetchval(_SQL["count"], self._tenant_id, seen_by)
        return Page(items, total, Cursor(items[-1].created_at, items[-1].id) if len(rows) > limit else None)

    async def existing(self, sessions: Sequence[UUID]) -> set[UUID]:
        """Those of these sessions that are there."""
        rows = await self._connection.fetch(_SQL["existing"], self._tenant_id, list(sessions))
        return {UUID(int=row["id"].int) for row in rows}

    async def begin_intake(self, session_id: UUID) -> None:
        """The person has said something; of a session where that is so already nothing changes."""
        await self._connection.execute(_SQL["begin_intake"], self._tenant_id, session_id)

    async def progress(
        self,
        session_id: UUID,
        progress: InterviewProgress,
        stage: SessionStage,
        response: str,
        plan: SessionPlan | None,
    ) -> None:
        """How far the interview is, what the agent said, and the plan, when it is complete."""
        await self._connection.execute(
            _SQL["progress"], self._tenant_id, session_id, progress.model_dump_json(), stage, response, _json(plan)
        )

    async def consent(self, session_id: UUID) -> None:
        """The person agrees to the plan."""
        await self._connection.execute(_SQL["consent"], self._tenant_id, session_id)

    async def back_to_confirmation(self, session_id: UUID, progress: InterviewProgress, response: str) -> None:
        """The person does not agree: there is no plan until the interview is complete again."""
        await self._connection.execute(
            _SQL["back_to_confirmation"], self._tenant_id, session_id, progress.model_dump_json(), response
        )

    async def begin_script(self, session_id: UUID, run_id: UUID, number: int) -> bool:
        """This run writes the script; False when there is no such session."""
        done = await self._connection.execute(_SQL["begin_script"], self._tenant_id, session_id, run_id, number)
        return done != "UPDATE 0"

    async def end_script(
        self,
        session_id: UUID,
        run_id: UUID,
        status: Literal["completed", "failed"],
        error: Mapping[str, Any] | None = None,
    ) -> None:
        """How the writing ended."""
        await self._connection.execute(_SQL["end_script"], self._tenant_id, session_id, run_id, status, _json(error))

    async def fail(self, session_id: UUID, error: Mapping[str, Any]) -> None:
        """The session is over."""
        await self._connection.execute(_SQL["fail"], self._tenant_id, session_id, _json(error))


def _json(value: Mapping[str, Any] | None) -> str | None:
    return None if value is None else orjson.dumps(value).decode()


def _stored(row: Record) -> StoredSession:
    fields = {name: row[name] for name in Session.model_fields}
    for name in ("plan", "error"):
        fields[name] = orjson.loads(fields[name]) if fields[name] else None
    progress = InterviewProgress.model_validate_json(row["progress"])
    return StoredSession(Session.model_validate(fields), progress, row["script_number"])
