"""Rows of threads and their messages."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

import orjson

from backend.models.message import Message, MessageRole
from backend.models.page import NEWEST, Cursor, Page
from backend.models.thread import Feedback, Thread, ThreadStatus
from backend.stores.queries import load

if TYPE_CHECKING:
    from asyncpg import Connection, Record

_SQL = load("threads")


class ThreadStore:
    """Threads of one tenant. `seen_by` is the user whose threads are visible; None sees everybody's."""

    def __init__(self, connection: Connection, tenant_id: UUID) -> None:
        self._connection = connection
        self._tenant_id = tenant_id

    async def insert(self, thread_id: UUID, agent_id: UUID, user_id: UUID, title: str) -> Thread | None:
        """A new thread; None when the id is there already."""
        row = await self._connection.fetchrow(_SQL["insert"], self._tenant_id, thread_id, agent_id, user_id, title)
        return _thread(row) if row else None

    async def get(self, thread_id: UUID, seen_by: UUID | None) -> Thread | None:
        """The thread, if it is visible."""
        row = await self._connection.fetchrow(_SQL["get"], self._tenant_id, thread_id, seen_by)
        return _thread(row) if row else None

    async def page(
        self, agent_id: UUID, seen_by: UUID | None, status: str | None, cursor: Cursor | None, limit: int, offset: int
    ) -> Page[Thread]:
        """An agent's threads, newest first; without a status the archived ones stay out."""
        after = cursor or NEWEST
        place = (after.created_at, after.id)
        rows = await self._connection.fetch(
            _SQL["list_page"], self._tenant_id, agent_id, seen_by, status, *place, limit + 1, offset
        )
        items = [_thread(row) for row in rows[:limit]]
        if rows:
            total: int = rows[0]["total"]
        else:
            total = await self._connection.fetchval(_SQL["count"], self._tenant_id, agent_id, seen_by, status)
        return Page(items, total, Cursor(items[-1].created_at, items[-1].id) if len(rows) > limit else None)

    async def update(
        self, thread_id: UUID, seen_by: UUID | None, title: str | None, status: ThreadStatus | None
    ) -> Thread | None:
        """Set what is not None."""
        row = await self._connection.fetchrow(_SQL["update"], self._tenant_id, thread_id, seen_by, title, status)
        return _thread(row) if row else None

    async def delete(self, thread_id: UUID, seen_by: UUID | None) -> bool:
        """Remove the thread with its messages and runs; False when it is not there or is answering right now."""
        return await self._connection.fetchval(_SQL["delete"], self._tenant_id, thread_id, seen_by) is not None

    async def messages(self, thread_id: UUID, before: int | None, limit: int) -> list[Message]:
        """The newest `limit` messages (before a position), oldest first."""
        rows = await self._connection.fetch(_SQL["messages"], self._tenant_id, thread_id, before, limit)
        return [_message(row) for row in rows]

    async def message(self, thread_id: UUID, message_id: UUID) -> Message | None:
        """One message."""
        row = await self._connection.fetchrow(_SQL["message"], self._tenant_id, thread_id, message_id)
        return _message(row) if row else None

    async def add_message(
        self, thread_id: UUID, message_id: UUID, role: MessageRole, content: str, metadata: bytes
    ) -> Message | None:
        """Append a message and count it, in one step; None when there is no such thread."""
        row = await self._connection.fetchrow(
            _SQL["add_message"], self._tenant_id, thread_id, message_id, role, content, metadata.decode()
        )
        return _message(row) if row else None

    async def find_message(self, message_id: UUID, seen_by: UUID | None) -> Message | None:
        """One message, whichever thread it is of, if that is visible."""
        row = await self._connection.fetchrow(_SQL["find_message"], self._tenant_id, message_id, seen_by)
        return _message(row) if row else None

    async def feedback(self, thread_id: UUID, message_id: UUID, feedback: Feedback) -> tuple[Message, float] | None:
        """Keep a score for an assistant's message, and say by how much it differs from the one before (0 if none).

        None when there is no such message.
        """
        row = await self._connection.fetchrow(
            _SQL["feedback"], self._tenant_id, thread_id, message_id, feedback.score, feedback.reason
        )
        return (_message(row), feedback.score - (row["score_before"] or 0.0)) if row else None


def _thread(row: Record) -> Thread:
    return Thread.model_validate({name: row[name] for name in Thread.model_fields})


def _message(row: Record) -> Message:
    fields = {name: row[name] for name in Message.model_fields}
    return Message.model_validate({**fields, "metadata": orjson.loads(row["metadata"])})
