"""Rows of memories, their history, and the receipts that say which of them an answer was given."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from uuid import UUID

import asyncpg
import orjson

from backend.errors import Conflict
from backend.models.memory import (
    Memory,
    MemoryFilter,
    MemoryRevision,
    MemoryUpdate,
    NewMemory,
    ScoreParts,
)
from backend.models.namespace import MemoryScope, Namespace
from backend.models.page import NEWEST, Cursor, Page
from backend.stores.memory_rows import IndexRow, LeftOutMemory, RecallRow, ShownMemory, StoredReceipt
from backend.stores.queries import load

if TYPE_CHECKING:
    from asyncpg import Connection, Record

_SQL = load("memories")


def digest(text: str) -> bytes:
    """What two texts share that say the same but for case, spacing and points at the end."""
    plain = " ".join(text.casefold().split())
    return sha256((plain.rstrip(".!? ") or plain).encode()).digest()


class MemoryStore:
    """Memories of one tenant. `seen_by` is the user whose memories are visible; None sees everybody's.

    Whatever the search index must learn of is ordered from the outbox (kind "memory.index", the memory's id) in the
    same transaction.
    """

    def __init__(self, connection: Connection, tenant_id: UUID) -> None:
        self._connection = connection
        self._tenant_id = tenant_id

    # --- writing ---

    async def insert(self, memories: Sequence[NewMemory], changed_by: UUID | None = None) -> list[UUID]:
        """Keep these, in one trip; the ids that are new, in the order given.

        An id that was kept before is left alone, also when it was forgotten or changed since. What the agent knows of
        the same subject from the same speaker already is confirmed instead (confirmations + 1, as young as its newest
        saying, and it expires with the later of the two), once for each message that says it.
        """
        groups = _by_saying(memories)
        if not groups:
            return []
        rows = await self._connection.fetch(_SQL["insert"], self._tenant_id, changed_by, *_columns(groups))
        new = {row["id"] for row in rows}
        return [group[0].id for group in groups if group[0].id in new]

    async def edit(
        self, memory_id: UUID, seen_by: UUID | None, changes: MemoryUpdate, changed_by: UUID | None
    ) -> Memory | None:
        """Change what `changes` names, as a new revision; None when there is no such memory.

        A change to what it is already makes no revision. Errors: `Conflict` when the new text (or the old one, made
        current again) is current already in another memory of the same subject; the transaction is lost then.
        """
        named = changes.model_fields_set
        text = changes.text if "text" in named else None
        try:
            row = await self._connection.fetchrow(
                _SQL["edit"], self._tenant_id, memory_id, seen_by, text, digest(text) if text is not None else None,
                changes.kind if "kind" in named else None, "expires_at" in named, changes.expires_at,
                "superseded" in named, changed_by,
            )  # fmt: skip
        except asyncpg.UniqueViolationError as error:
            raise Conflict(
                "Another memory of the same subject says this already; change or forget that one instead."
            ) from error
        return _memory(row) if row else await self.get(memory_id, seen_by)

    async def supersede(self, old_id: UUID, new_id: UUID) -> bool:
        """Let the new one take the old one's place; False when they are not of one namespace, or it was taken."""
        return await self._connection.fetchval(_SQL["supersede"], self._tenant_id, old_id, new_id) is not None

    async def revise(self, old_id: UUID, new_id: UUID) -> bool:
        """Note that the new one takes the place of a part of the old one, which stays current; False when known."""
        return await self._connection.fetchval(_SQL["revise"], self._tenant_id, old_id, new_id) is not None

    async def confirm(self, ids: Sequence[UUID], delta: float) -> None:
        """Move the confirmations of these by `delta`; ids that are gone are fine."""
        await self._connection.execute(_SQL["confirm"], self._tenant_id, list(ids), delta)

    async def forget(self, memory_ids: Sequence[UUID], changed_by: UUID | None) -> int:
        """Take these away with every text of their history, and say how many; that they were forgotten is kept.

        What one of them had superseded stays superseded, by nothing that is named.
        """
        return await self._connection.fetchval(_SQL["forget"], self._tenant_id, list(memory_ids), changed_by)

    async def forget_thread(
        self, thread_id: UUID, seen_by: UUID | None, changed_by: UUID | None, scope: MemoryScope | None = None
    ) -> int:
        """Forget everything that was said in a thread (with a scope: only what belongs to it), and say how much."""
        rows = await self._connection.fetch(_SQL["of_thread"], self._tenant_id, thread_id, seen_by, scope)
        return await self.forget([row["id"] for row in rows], changed_by) if rows else 0

    async def mark_indexed(self, done: Sequence[tuple[UUID, int]]) -> None:
        """The index has these (id, revision); one that has a newer revision by now is not marked."""
        ordered = sorted(done, key=lambda one: one[0].int)
        ids, revisions = [one[0] for one in ordered], [one[1] for one in ordered]
        await self._connection.execute(_SQL["mark_indexed"], self._tenant_id, ids, revisions)

    # --- reading ---

    async def get(self, memory_id: UUID, seen_by: UUID | None) -> Memory | None:
        """The memory, if it is visible."""
        row = await self._connection.fetchrow(_SQL["get"], self._tenant_id, memory_id, seen_by)
        return _memory(row) if row else None

    async def these(self, ids: Sequence[UUID], seen_by: UUID | None = None) -> list[Memory]:
        """Those of these that are there and visible, in no order."""
        rows = await self._connection.fetch(_SQL["these"], self._tenant_id, list(ids), seen_by)
        return [_memory(row) for row in rows]

    async def current(self, memories: Sequence[NewMemory]) -> list[UUID | None]:
        """What stands for each of these once it was inserted: itself, or what said the same before; None for what was
        forgotten since.
        """
        columns = zip(
            *((one.id, digest(one.text), one.agent_id, one.scope, _owner(one), one.speaker) for one in memories),
            strict=True,
        )
        rows = await self._connection.fetch(_SQL["current"], self._tenant_id, *map(list, columns)) if memories else []
        return [row["id"] for row in rows]

    async def namespaces(self, which: MemoryFilter, seen_by: UUID | None, limit: int) -> list[Namespace]:
        """Whose memories a filter reaches (by agent, person, thread and scope), at most `limit` of them."""
        if seen_by is not None and which.user_id not in {None, seen_by}:
            return []
        rows = await self._connection.fetch(
            _SQL["namespaces"], self._tenant_id, which.agent_id, which.user_id or seen_by, which.thread_id, which.scope,
            limit,
        )  # fmt: skip
        return [Namespace(self._tenant_id, which.agent_id, row["scope"], row["subject_id"]) for row in rows]

    async def page(
        self, which: MemoryFilter, seen_by: UUID | None, cursor: Cursor | None, limit: int, offset: int
    ) -> Page[Memory]:
        """An agent's memories, newest first. Who sees only their own and asks for somebody else's gets nothing."""
        if seen_by is not None and which.user_id not in {None, seen_by}:
            return Page([], 0, None)
        whose = which.user_id or seen_by
        by = "thread" if which.thread_id is not None else "user" if whose is not None else "agent"
        asked = (which.agent_id, whose, which.thread_id, which.kind, which.scope, which.with_superseded)
        after = cursor or NEWEST
        rows = await self._connection.fetch(
            _SQL[f"page_of_{by}"], self._tenant_id, *asked, after.created_at, after.id, limit + 1, offset
        )
        total: int = await self._connection.fetchval(_SQL[f"count_of_{by}"], self._tenant_id, *asked)
        items = [_memory(row) for row in rows[:limit]]
        return Page(items, total, Cursor(items[-1].created_at, items[-1].id) if len(rows) > limit else None)

    async def history(self, memory_id: UUID, seen_by: UUID | None) -> list[MemoryRevision]:
        """Every state it was in, oldest first, also when it is forgotten; empty when there was no such memory."""
        rows = await self._connection.fetch(_SQL["history"], self._tenant_id, memory_id, seen_by)
        return [MemoryRevision.model_validate(dict(row)) for row in rows]

    async def for_recall(self, ids: Sequence[UUID]) -> list[RecallRow]:
        """What ranking needs, in no order, also of those that are superseded or have expired."""
        rows = await self._connection.fetch(_SQL["for_recall"], self._tenant_id, list(ids))
        return [RecallRow(*row) for row in rows]

    async def speakers(self, agent_id: UUID, subjects: Sequence[UUID | None]) -> list[str]:
        """The names of those who said what the agent knows of these people and threads (None: of nobody in
        particular), sorted. Costs a look-up for each name.
        """
        asked = {agent_id if one is None else one for one in subjects}
        rows = await self._connection.fetch(_SQL["speakers"], self._tenant_id, agent_id, list(asked))
        return [row["speaker"] for row in rows]

    async def to_index(self, ids: Sequence[UUID]) -> list[IndexRow]:
        """These as they are now, in no order; those that are gone are not in it."""
        rows = await self._connection.fetch(_SQL["to_index"], self._tenant_id, list(ids))
        return [self._index_row(row) for row in rows]

    async def around(self, ids: Sequence[UUID]) -> list[IndexRow]:
        """What was said directly before and after each of these, in the same thread and namespace; without these."""
        rows = await self._connection.fetch(_SQL["around"], self._tenant_id, list(ids))
        return [self._index_row(row) for row in rows]

    async def replaced_by(self, ids: Sequence[UUID]) -> dict[UUID, list[IndexRow]]:
        """What gave way to each of these; those to which nothing did are not in it."""
        found: dict[UUID, list[IndexRow]] = {}
        for *row, newer in await self._connection.fetch(_SQL["replaced_by"], self._tenant_id, list(ids)):
            found.setdefault(UUID(int=newer.int), []).append(self._index_row(row))
        return found

    async def count(self, agent_id: UUID | None = None, user_id: UUID | None = None) -> int:
        """How many there are: of the tenant, an agent, a person, or of what an agent knows of a person."""
        if user_id is not None:
            return await self._connection.fetchval(_SQL["held_of_user"], self._tenant_id, user_id, agent_id)
        if agent_id is not None:
            return await self._connection.fetchval(_SQL["held_of_agent"], self._tenant_id, agent_id)
        return await self._connection.fetchval(_SQL["held"], self._tenant_id)

    # --- receipts ---

    async def add_receipt(self, receipt: StoredReceipt) -> None:
        """Keep what an answer was given, in place of an earlier receipt of the same answer, and count the uses."""
        await self._connection.execute(
            _SQL["add_receipt"], self._tenant_id, receipt.message_id, receipt.thread_id, receipt.agent_id,
            receipt.user_id, receipt.state, receipt.confidence,
            orjson.dumps([_shown(one) for one in receipt.recalled]).decode(),
            orjson.dumps([{**_shown(one), "reason": one.reason} for one in receipt.near_misses]).decode(),
            receipt.created_at,
            [one.memory_id for one in receipt.recalled],
        )  # fmt: skip

    async def receipt(self, message_id: UUID, seen_by: UUID | None) -> StoredReceipt | None:
        """The receipt of an answer, if it is visible."""
        row = await self._connection.fetchrow(_SQL["receipt"], self._tenant_id, message_id, seen_by)
        return _receipt(row) if row else None

    def _index_row(self, row: Record | list[Any]) -> IndexRow:
        first, *rest = row
        return IndexRow(first, self._tenant_id, *rest)


def _by_saying(memories: Sequence[NewMemory]) -> list[list[NewMemory]]:
    """The different things that are said, in order: each with all that say it, the first first."""
    groups: dict[tuple[Any, ...], list[NewMemory]] = {}
    for one in _once(memories):
        groups.setdefault((one.agent_id, one.scope, _owner(one), one.speaker, digest(one.text)), []).append(one)
    return list(groups.values())


def _owner(memory: NewMemory) -> UUID | None:
    return {"agent": memory.agent_id, "user": memory.user_id, "thread": memory.thread_id}[memory.scope]


def _once(memories: Sequence[NewMemory]) -> list[NewMemory]:
    by_id: dict[UUID, NewMemory] = {}
    for one in memories:
        by_id.setdefault(one.id, one)
    return list(by_id.values())


def _columns(groups: Sequence[Sequence[NewMemory]]) -> list[list[Any]]:
    """One list for each column that the statement takes."""
    return [list(column) for column in zip(*map(_row, groups), strict=True)]


def _row(group: Sequence[NewMemory]) -> tuple[Any, ...]:
    first, last = group[0], group[-1]
    moments = [one.valid_from for one in group if one.valid_from is not None]
    ends = [one.expires_at for one in group if one.expires_at is not None]
    sources = {one.source_message_id for one in group if one.source_message_id is not None}
    return (
        first.id, first.agent_id, first.scope, first.user_id, first.thread_id, first.kind, first.speaker, first.text,
        digest(first.text), first.origin, first.source_message_id, first.position,
        max(moments) if len(moments) == len(group) else None, max(ends) if len(ends) == len(group) else None,
        len(sources) + sum(one.source_message_id is None for one in group), last.id,
    )  # fmt: skip


def _memory(row: Record) -> Memory:
    return Memory.model_validate(dict(row))


def _shown(one: ShownMemory | LeftOutMemory) -> dict[str, Any]:
    return {"memory_id": str(one.memory_id), "parts": one.parts.model_dump()}


def _receipt(row: Record) -> StoredReceipt:
    fields: dict[str, Any] = dict(row)
    shown, left_out = orjson.loads(fields.pop("recalled")), orjson.loads(fields.pop("near_misses"))
    return StoredReceipt(
        **fields,
        recalled=[ShownMemory(UUID(one["memory_id"]), _parts(one)) for one in shown],
        near_misses=[LeftOutMemory(UUID(one["memory_id"]), one["reason"], _parts(one)) for one in left_out],
    )


def _parts(one: dict[str, Any]) -> ScoreParts:
    return ScoreParts.model_validate(one["parts"])
