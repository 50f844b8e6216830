"""UnifiedMemoryManager: what one agent knows, in general, of each person, and from each thread."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from backend.errors import AgentNotFound, DatabaseUnavailable, EmbedderUnavailable, IndexUnavailable
from backend.models.agent import AgentContract
from backend.models.memory import MemoryKind, NewMemory
from backend.models.memory_settings import MemorySettings
from backend.models.namespace import Namespace
from backend.ports import MemoryContext, PromptMessage
from backend.services.identifiers import new_id
from backend.services.memory.engine import MemoryEngine
from backend.services.memory.gate import worth_keeping
from backend.services.memory.harvest import Said, message_memory
from backend.services.memory.recall import recall
from backend.services.memory.selection import Recall, RecallQuery
from backend.stores.database import Database
from backend.telemetry import get_logger

_RECENT_MESSAGES = 20
_CHUNK = 500
_log = get_logger(__name__)


class UnifiedMemoryManager:
    """The memory of one agent of one tenant. Cheap to make: what it works with is shared by all.

    How an agent speaks (its traits) has no part in what it remembers.
    """

    def __init__(
        self, tenant_id: UUID, agent_id: UUID, settings: MemorySettings, engine: MemoryEngine, memory_k: int = 6
    ) -> None:
        self._tenant_id = tenant_id
        self._agent_id = agent_id
        self._settings = settings
        self._engine = engine
        self._memory_k = memory_k

    # --- whose it is ---

    def agent_namespace(self) -> str:
        """What the agent knows whoever it talks to."""
        return str(self._namespace())

    def user_namespace(self, user_id: UUID) -> str:
        """What it knows of one person."""
        return str(Namespace(self._tenant_id, self._agent_id, "user", user_id))

    def thread_namespace(self, thread_id: UUID) -> str:
        """What was said in one thread."""
        return str(Namespace(self._tenant_id, self._agent_id, "thread", thread_id))

    # --- reading ---

    async def get_agent_context(
        self,
        user_input: str,
        session_id: UUID,
        user_id: UUID | None = None,
        recent_messages: Sequence[PromptMessage] | None = None,
    ) -> MemoryContext:
        """What bears on `user_input`, said in the thread `session_id`: at most `memory_k` memories, best first.

        The recent messages are read from the thread where they are not given; what they say is left out. Whatever is
        away, or too slow, makes the context "degraded": it never pretends that there is nothing.
        """
        namespaces = [self._namespace(), Namespace(self._tenant_id, self._agent_id, "thread", session_id)]
        if user_id is not None:
            namespaces.append(Namespace(self._tenant_id, self._agent_id, "user", user_id))
        context = MemoryContext(recent_messages=recent_messages or (), namespace=str(namespaces[-1 if user_id else 0]))
        started = time.perf_counter()
        try:
            async with asyncio.timeout(self._engine.recall_seconds):
                if recent_messages is None:
                    context = replace(context, recent_messages=await self._recent(session_id, user_id))
                in_view = [*context.recent_messages, PromptMessage("user", user_input)]
                context = _with(context, await self.recall(user_input, namespaces, self._memory_k, in_view))
            self._engine.outages.over()
        except (DatabaseUnavailable, EmbedderUnavailable, IndexUnavailable, TimeoutError) as error:
            context = replace(context, state="degraded")
            if self._engine.outages.begins(type(error).__name__):
                _log.warning("memory cannot be reached; turns go on without it", reason=type(error).__name__)
        self._engine.metrics.memory_recalls_total.labels(context.state).inc()
        self._engine.metrics.memory_recall_seconds.observe(time.perf_counter() - started)
        return context

    async def recall(
        self,
        query: str,
        namespaces: Sequence[Namespace | str],
        k: int,
        recent_messages: Sequence[PromptMessage] = (),
    ) -> Recall:
        """The `k` best memories of these namespaces of the agent, with why they have their place, and the near misses.

        Errors: `ValueError` for what is no namespace of this agent; `DatabaseUnavailable`, `EmbedderUnavailable`,
        `IndexUnavailable`.
        """
        return await recall(
            self._engine,
            RecallQuery(query, [self._own(one) for one in namespaces], k, recent_messages, self._settings),
        )

    # --- keeping ---

    async def process_interaction(
        self,
        user_input: str,
        agent_response: str,  # noqa: ARG002 — what an agent said is no knowledge of the person
        session_id: UUID,
        user_id: UUID | None = None,
        *,
        contract: AgentContract | None = None,
        message_id: UUID | None = None,
    ) -> list[UUID]:
        """Keep what is worth keeping of a turn, for a caller that stores its messages elsewhere; the new memories' ids.

        A repeat with the same `message_id` keeps nothing twice. The agent's contract is read where it is not given.

        Errors: `AgentNotFound`, `DatabaseUnavailable`.
        """
        if contract is None:
            contract = await self._contract()
        if worth_keeping(user_input, contract) is not None:
            return []
        said = Said(self._agent_id, session_id, user_input, user_id, message_id)
        return await self.remember([message_memory(said, facts_follow=False)])

    async def store_agent_memory(
        self, content: str, memory_type: MemoryKind = "reflection", user_id: UUID | None = None
    ) -> UUID:
        """Let the agent know this, whoever it talks to; with `user_id` it is about that person, and goes with them.

        The id is that of the memory which says so already, where there is one. Errors: `DatabaseUnavailable`.
        """
        memory = NewMemory(
            id=new_id(None),
            agent_id=self._agent_id,
            scope="agent",
            user_id=user_id,
            thread_id=None,
            kind=memory_type,
            text=content.strip(),
            origin="agent",
        )
        async with self._database.tenant(self._tenant_id) as tx:
            await tx.memories.insert([memory])
            [known] = await tx.memories.current([memory])
        self._engine.orders()
        return known or memory.id

    async def remember(self, memories: Sequence[NewMemory]) -> list[UUID]:
        """Keep these, many at a time; the ids that are new, in order.

        Errors: `ValueError` for a memory of another agent, `DatabaseUnavailable`.
        """
        if any(one.agent_id != self._agent_id for one in memories):
            raise ValueError("a memory of another agent")
        new: list[UUID] = []
        for start in range(0, len(memories), _CHUNK):
            async with self._database.tenant(self._tenant_id) as tx:
                new.extend(await tx.memories.insert(memories[start : start + _CHUNK]))
            self._engine.orders()
        return new

    @property
    def _database(self) -> Database:
        return self._engine.database

    def _namespace(self) -> Namespace:
        return Namespace(self._tenant_id, self._agent_id)

    def _own(self, namespace: Namespace | str) -> Namespace:
        named = Namespace.parse(namespace) if isinstance(namespace, str) else namespace
        if (named.tenant_id, named.agent_id) != (self._tenant_id, self._agent_id):
            raise ValueError("a namespace of another agent")
        return named

    async def _recent(self, thread_id: UUID, user_id: UUID | None) -> list[PromptMessage]:
        async with self._database.tenant(self._tenant_id) as tx:
            thread = await tx.threads.get(thread_id, user_id)
            if thread is None or thread.agent_id != self._agent_id:
                return []
            messages = await tx.threads.messages(thread_id, None, _RECENT_MESSAGES)
        return [
            PromptMessage("user" if one.role == "user" else "assistant", one.content)
            for one in messages
            if one.role in {"user", "assistant"} and one.content and one.status != "failed"
        ]

    async def _contract(self) -> AgentContract:
        record = await self._database.statements(self._tenant_id).agents.get(self._agent_id)
        if record is None:
            raise AgentNotFound("There is no agent with this id.")
        return record.contract()


def _with(context: MemoryContext, found: Recall) -> MemoryContext:
    return replace(
        context,
        retrieved_memories=found.memories,
        confidence_score=found.confidence,
        near_misses=found.near_misses,
        state="ok",
    )
