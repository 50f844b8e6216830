"""MemoryService: what people see of an agent's memory, and what they add, correct and have forgotten."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from backend.errors import (
    AgentNotFound,
    FieldError,
    Forbidden,
    Invalid,
    MemoryNotFound,
    PreconditionFailed,
    ThreadNotFound,
    UserNotFound,
)
from backend.models.memory import (
    FoundMemory,
    MemoriesKept,
    Memory,
    MemoryCreate,
    MemoryFilter,
    MemoryRevision,
    MemoryUpdate,
    MissReason,
    NewMemory,
)
from backend.models.memory_settings import MemorySettings
from backend.models.namespace import MemoryScope
from backend.models.page import Cursor, Page
from backend.models.tenant import Caller, Role
from backend.models.thread import Thread
from backend.ports import MissedMemory, RecalledMemory
from backend.services.identifiers import new_id
from backend.services.memory.engine import MemoryEngine
from backend.services.memory.patience import SEARCH_SECONDS, within
from backend.services.memory.selection import Recall
from backend.services.unified_memory_manager import UnifiedMemoryManager
from backend.stores.database import Database, TenantTransaction

MOST_NAMESPACES = 1000
MOST_FOUND = 200


class MemoryService:
    """Memories as people see them: a member their own, an admin the tenant's and what an agent knows in general.

    One search looks into the memories of at most `most_namespaces` people and threads, for at most so many seconds.
    """

    def __init__(
        self,
        database: Database,
        engine: MemoryEngine,
        *,
        most_namespaces: int = MOST_NAMESPACES,
        seconds: float = SEARCH_SECONDS,
    ) -> None:
        self._database = database
        self._engine = engine
        self._most_namespaces = most_namespaces
        self._seconds = seconds

    async def list_page(
        self, caller: Caller, which: MemoryFilter, cursor: Cursor | None, limit: int, offset: int
    ) -> Page[Memory]:
        """Newest first. Errors: `AgentNotFound`."""
        async with self._database.tenant(caller.tenant_id) as tx:
            await _agent_exists(tx, which.agent_id)
            return await tx.memories.page(which, caller.sees_only, cursor, limit, offset)

    async def search(self, caller: Caller, which: MemoryFilter, words: str) -> list[FoundMemory]:
        """What bears on these words, best first, by the ranking that turns use.

        Errors: `AgentNotFound`, `Invalid` when there are too many people to search at once, `IndexUnavailable`,
        `EmbedderUnavailable`.
        """
        async with self._database.tenant(caller.tenant_id) as tx:
            record = await tx.agents.get(which.agent_id)
            if record is None:
                raise _no_agent()
            namespaces = await tx.memories.namespaces(which, caller.sees_only, self._most_namespaces + 1)
        if len(namespaces) > self._most_namespaces:
            raise Invalid(
                f"The agent knows more than {self._most_namespaces} people and threads; "
                "name one by user_id or thread_id to search what it knows of them."
            )
        if not namespaces:
            return []
        settings = record.contract().memory or MemorySettings()
        manager = UnifiedMemoryManager(caller.tenant_id, which.agent_id, settings, self._engine)
        ranking = await within(self._seconds, manager.recall(words, namespaces, MOST_FOUND))
        ranked = _found_in(ranking, which)
        rows = await self._database.statements(caller.tenant_id).memories.these(
            [one.id for one in ranked], caller.sees_only
        )
        found = {one.id: one for one in rows if _fits(one, which)}
        return [FoundMemory(memory=found[one.id], parts=one.parts) for one in ranked if one.id in found]

    async def create(
        self, caller: Caller, agent_id: UUID, request: MemoryCreate, operation_id: UUID | None = None
    ) -> tuple[Memory, bool]:
        """A new memory and True, or the one that says the same already, confirmed, and False.

        Errors: `AgentNotFound`, `ThreadNotFound`, `UserNotFound`, `Forbidden`, `Invalid`.
        """
        async with self._database.tenant(caller.tenant_id) as tx:
            await _agent_exists(tx, agent_id)
            new = await _Desk(tx, caller, agent_id).accept(request, new_id(operation_id, "memory"))
            is_new = bool(await tx.memories.insert([new], caller.user_id))
            if is_new:
                await tx.audit.record(caller, "memory.created", "memory", new.id, {"agent_id": str(agent_id)})
            (memory_id,) = await tx.memories.current([new])
            memory = _found(memory_id and await tx.memories.get(memory_id, None))
        self._engine.orders()
        return memory, memory.id == new.id

    async def create_all(
        self, caller: Caller, agent_id: UUID, requests: Sequence[MemoryCreate], operation_id: UUID | None = None
    ) -> MemoriesKept:
        """Many at once, as an import brings them: all are kept or none. What is known already is confirmed.

        Errors: those of `create`.
        """
        async with self._database.tenant(caller.tenant_id) as tx:
            await _agent_exists(tx, agent_id)
            desk = _Desk(tx, caller, agent_id)
            new = [
                await desk.accept(one, new_id(operation_id, f"memory {place}"), f"/memories/{place}")
                for place, one in enumerate(requests)
            ]
            created = await tx.memories.insert(new, caller.user_id)
            if created:
                await tx.audit.record(caller, "memories.imported", "agent", agent_id, {"created": len(created)})
            current = await tx.memories.current(new)
        self._engine.orders()
        kept = list(zip(current, new, strict=True))
        return MemoriesKept(
            ids=[known or one.id for known, one in kept],
            created=sum(known == one.id for known, one in kept),  # a repeat says what the first time did
        )

    async def get(self, caller: Caller, memory_id: UUID) -> Memory:
        """The memory. Errors: `MemoryNotFound`."""
        return _found(await self._database.statements(caller.tenant_id).memories.get(memory_id, caller.sees_only))

    async def update(
        self, caller: Caller, memory_id: UUID, request: MemoryUpdate, if_match: frozenset[str] | None = None
    ) -> Memory:
        """Correct it, in a new revision; one that is as it should be already stays as it is.

        Errors: `MemoryNotFound`; `PreconditionFailed` when `if_match` (revisions) is given and it has another.
        """
        async with self._database.tenant(caller.tenant_id) as tx:
            before = _found(await tx.memories.get(memory_id, caller.sees_only))
            _require(before.revision, if_match)
            after = _found(await tx.memories.edit(memory_id, caller.sees_only, request, caller.user_id))
            if after.revision > before.revision + 1:  # somebody was faster, and we waited for them
                _require(after.revision - 1, if_match)
            if after.revision > before.revision:
                detail = {"fields": sorted(request.model_fields_set), "revision": after.revision}
                await tx.audit.record(caller, "memory.edited", "memory", memory_id, detail)
        self._engine.orders()
        return after

    async def forget(self, caller: Caller, memory_id: UUID) -> None:
        """Take its text out of the rows, the history and the index, for good. Errors: `MemoryNotFound`."""
        async with self._database.tenant(caller.tenant_id) as tx:
            _found(await tx.memories.get(memory_id, caller.sees_only))
            if not await tx.memories.forget([memory_id], caller.user_id):
                raise _no_memory()
            await tx.audit.record(caller, "memory.forgotten", "memory", memory_id)
        self._engine.orders()

    async def forget_thread(self, caller: Caller, thread_id: UUID) -> int:
        """Forget everything that comes from a thread, also from one that is gone; how many memories that were.

        Errors: `ThreadNotFound` when there is neither the thread nor a memory of it.
        """
        async with self._database.tenant(caller.tenant_id) as tx:
            forgotten = await tx.memories.forget_thread(thread_id, caller.sees_only, caller.user_id)
            if not forgotten and await tx.threads.get(thread_id, caller.sees_only) is None:
                raise _no_thread()
            if forgotten:
                detail = {"forgotten": forgotten}
                await tx.audit.record(caller, "thread.memories_forgotten", "thread", thread_id, detail)
        self._engine.orders()
        return forgotten

    async def history(self, caller: Caller, memory_id: UUID) -> list[MemoryRevision]:
        """Every state it was in, oldest first; of a forgotten one the dates. Errors: `MemoryNotFound`."""
        revisions = await self._database.statements(caller.tenant_id).memories.history(memory_id, caller.sees_only)
        if not revisions:
            raise _no_memory()
        return revisions


@dataclass(slots=True)
class _Desk:
    """Checks whose memories these would be; asks once for each thread and person."""

    tx: TenantTransaction
    caller: Caller
    agent_id: UUID
    threads: dict[UUID, Thread] = field(default_factory=dict[UUID, Thread])
    people: set[UUID] = field(default_factory=set[UUID])

    async def accept(self, request: MemoryCreate, memory_id: UUID, at: str = "") -> NewMemory:
        """The memory to be kept; `at` points to the request in the body. Errors: those of `MemoryService.create`."""
        scope, user_id = await self._whose(request, at)
        return NewMemory(
            id=memory_id,
            agent_id=self.agent_id,
            scope=scope,
            user_id=user_id,
            thread_id=request.thread_id,
            kind=request.kind,
            text=request.text,
            origin="api",
            speaker=request.speaker,
            valid_from=request.valid_from,
            expires_at=request.expires_at,
        )

    async def _whose(self, request: MemoryCreate, at: str) -> tuple[MemoryScope, UUID | None]:
        thread = None if request.thread_id is None else await self._thread(request.thread_id)
        if request.user_id is not None:
            await self._person(request.user_id)
            if thread is not None and thread.user_id != request.user_id:
                told = FieldError(f"{at}/user_id", "is not the person of this thread")
                raise Invalid("The thread is a conversation with somebody else.", [told])
            return "user", request.user_id
        if thread is not None:
            return "thread", thread.user_id
        if self.caller.role < Role.ADMIN:
            raise Forbidden(
                "What an agent knows whoever it talks to is for admins to write; name user_id or thread_id."
            )
        return "agent", None

    async def _thread(self, thread_id: UUID) -> Thread:
        known = self.threads.get(thread_id)
        if known is None:
            known = await self.tx.threads.get(thread_id, self.caller.sees_only)
            if known is None or known.agent_id != self.agent_id:
                raise _no_thread()
            self.threads[thread_id] = known
        return known

    async def _person(self, user_id: UUID) -> None:
        if user_id in self.people:
            return
        visible = self.caller.sees_only in (None, user_id)
        standing = await self.tx.users.standing(user_id) if visible else None
        if standing is None or standing.user is None:
            raise UserNotFound("There is no user with this id.")
        self.people.add(user_id)


def _found_in(ranking: Recall, which: MemoryFilter) -> Sequence[RecalledMemory | MissedMemory]:
    """What a turn would leave out, but a search does not: what says just what was searched for; and if it is asked for,
    what newer knowledge has taken the place of.
    """
    also: set[MissReason] = {"in_view", "superseded"} if which.with_superseded else {"in_view"}
    found = [*ranking.memories, *(one for one in ranking.near_misses if one.reason in also)]
    return sorted(found, key=lambda one: -one.parts.score)


def _fits(memory: Memory, which: MemoryFilter) -> bool:
    return (
        which.user_id in (None, memory.user_id)
        and which.thread_id in (None, memory.thread_id)
        and which.kind in (None, memory.kind)
        and which.scope in (None, memory.scope)
    )


async def _agent_exists(tx: TenantTransaction, agent_id: UUID) -> None:
    if await tx.agents.get(agent_id) is None:
        raise _no_agent()


def _found(memory: Memory | None) -> Memory:
    if memory is None:
        raise _no_memory()
    return memory


def _require(revision: int, if_match: frozenset[str] | None) -> None:
    if if_match is not None and str(revision) not in if_match:
        raise PreconditionFailed(
            f"The memory is at revision {revision} by now; read it again before you change it.",
            current_revision=revision,
        )


def _no_agent() -> AgentNotFound:
    return AgentNotFound("There is no agent with this id.")


def _no_memory() -> MemoryNotFound:
    return MemoryNotFound("There is no memory with this id.")


def _no_thread() -> ThreadNotFound:
    return ThreadNotFound("There is no thread with this id.")
