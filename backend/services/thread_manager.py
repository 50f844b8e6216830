"""ThreadManager: conversations, their messages and what people think of the answers."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import orjson

from backend.errors import AgentNotFound, MessageNotFound, ThreadBusy, ThreadNotFound
from backend.models.message import Message, MessageRole
from backend.models.page import Cursor, Page
from backend.models.tenant import Caller
from backend.models.thread import Feedback, Thread, ThreadUpdate
from backend.services.identifiers import new_id
from backend.stores.database import Database, TenantTransaction


class ThreadManager:
    """Threads of one tenant's people. A member sees their own; an admin sees the tenant's."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create_thread(
        self, caller: Caller, agent_id: UUID, title: str = "", operation_id: UUID | None = None
    ) -> Thread:
        """A new conversation with an agent. Errors: `AgentNotFound`."""
        async with self._database.tenant(caller.tenant_id) as tx:
            await _agent_exists(tx, agent_id)
            return await _insert(tx, caller, agent_id, title, new_id(operation_id, "thread"))

    async def get_or_create_thread(self, caller: Caller, agent_id: UUID, thread_id: UUID | None) -> Thread:
        """The caller's own active thread with this agent; a new one without an id, or when theirs is archived.

        Errors: `AgentNotFound`; `ThreadNotFound` when the id is somebody else's, another agent's, or nobody's.
        """
        async with self._database.tenant(caller.tenant_id) as tx:
            await _agent_exists(tx, agent_id)
            if thread_id is not None:
                thread = await tx.threads.get(thread_id, caller.user_id)
                if thread is None or thread.agent_id != agent_id:
                    raise _no_thread()
                if thread.status == "active":
                    return thread
            return await _insert(tx, caller, agent_id, "", new_id(None))

    async def get(self, caller: Caller, thread_id: UUID) -> Thread:
        """The thread. Errors: `ThreadNotFound`."""
        async with self._database.tenant(caller.tenant_id) as tx:
            return await _visible(tx, caller, thread_id)

    async def list_page(
        self, caller: Caller, agent_id: UUID, status: str | None, cursor: Cursor | None, limit: int, offset: int
    ) -> Page[Thread]:
        """An agent's threads, newest first; without a status the archived ones stay out. Errors: `AgentNotFound`."""
        async with self._database.tenant(caller.tenant_id) as tx:
            await _agent_exists(tx, agent_id)
            return await tx.threads.page(agent_id, caller.sees_only, status, cursor, limit, offset)

    async def update(self, caller: Caller, thread_id: UUID, request: ThreadUpdate) -> Thread:
        """Change the title, archive, or bring back. Errors: `ThreadNotFound`."""
        title = request.title if "title" in request.model_fields_set else None
        status = request.status if "status" in request.model_fields_set else None
        async with self._database.tenant(caller.tenant_id) as tx:
            thread = await tx.threads.update(thread_id, caller.sees_only, title, status)
        if thread is None:
            raise _no_thread()
        return thread

    async def delete(self, caller: Caller, thread_id: UUID) -> None:
        """Remove the thread with every message and what is remembered for it alone; what is known of the person stays.

        Errors: `ThreadNotFound`, `ThreadBusy` while it is answering.
        """
        async with self._database.tenant(caller.tenant_id) as tx:
            await _visible(tx, caller, thread_id)
            if not await tx.threads.delete(thread_id, caller.sees_only):
                raise ThreadBusy(
                    "The thread is being answered right now; cancel the run or wait for it.", retry_after=1
                )
            await tx.memories.forget_thread(thread_id, None, caller.user_id, "thread")
            await tx.audit.record(caller, "thread.deleted", "thread", thread_id)

    async def add_message(
        self, caller: Caller, thread_id: UUID, role: MessageRole, content: str, metadata: dict[str, Any] | None = None
    ) -> Message:
        """Append a message; the thread's counters go with it, in one transaction. Errors: `ThreadNotFound`."""
        async with self._database.tenant(caller.tenant_id) as tx:
            await _visible(tx, caller, thread_id)
            stored = orjson.dumps(metadata or {})
            message = await tx.threads.add_message(thread_id, new_id(None), role, content, stored)
        if message is None:
            raise _no_thread()
        return message

    async def get_thread_history(
        self, caller: Caller, thread_id: UUID, limit: int = 50, before: UUID | None = None
    ) -> list[Message]:
        """The newest `limit` messages (those before message `before`), oldest first.

        Errors: `ThreadNotFound`, `MessageNotFound` for `before`; never an empty list instead of an error.
        """
        async with self._database.tenant(caller.tenant_id) as tx:
            await _visible(tx, caller, thread_id)
            position = None
            if before is not None:
                position = (await _message(tx, thread_id, before)).position
            return await tx.threads.messages(thread_id, position, limit)

    async def give_feedback(self, caller: Caller, thread_id: UUID, message_id: UUID, feedback: Feedback) -> Message:
        """Keep what the caller thinks of an answer; it speaks for or against each memory that the answer was given.

        A score takes the place of the one before, also in what it does to memories.

        Errors: `ThreadNotFound`, `MessageNotFound`.
        """
        async with self._database.tenant(caller.tenant_id) as tx:
            await _visible(tx, caller, thread_id)
            scored = await tx.threads.feedback(thread_id, message_id, feedback)
            if scored is None:
                raise MessageNotFound("The thread has no answer of an agent with this id.")
            message, change = scored
            if change:
                await _move_memories(tx, message_id, change)
        return message


async def _agent_exists(tx: TenantTransaction, agent_id: UUID) -> None:
    if await tx.agents.get(agent_id) is None:
        raise AgentNotFound("There is no agent with this id.")


async def _visible(tx: TenantTransaction, caller: Caller, thread_id: UUID) -> Thread:
    thread = await tx.threads.get(thread_id, caller.sees_only)
    if thread is None:
        raise _no_thread()
    return thread


async def _message(tx: TenantTransaction, thread_id: UUID, message_id: UUID) -> Message:
    message = await tx.threads.message(thread_id, message_id)
    if message is None:
        raise MessageNotFound("The thread has no message with this id.")
    return message


async def _move_memories(tx: TenantTransaction, message_id: UUID, change: float) -> None:
    receipt = await tx.memories.receipt(message_id, None)
    if receipt is not None and receipt.recalled:
        await tx.memories.confirm([one.memory_id for one in receipt.recalled], change)


async def _insert(tx: TenantTransaction, caller: Caller, agent_id: UUID, title: str, thread_id: UUID) -> Thread:
    thread = await tx.threads.insert(thread_id, agent_id, caller.user_id, title)
    return thread or await _visible(tx, caller, thread_id)


def _no_thread() -> ThreadNotFound:
    return ThreadNotFound("There is no thread with this id.")
