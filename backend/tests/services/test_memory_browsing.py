"""What people find of an agent's memory: lists and searches of what they may see."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest

from backend.errors import AgentNotFound, IndexUnavailable, Invalid
from backend.models.memory import MemoryFilter
from backend.models.page import Cursor
from backend.models.tenant import Caller
from backend.services.memory_service import MemoryService
from backend.stores.database import Database
from backend.tests.factories import make_user
from backend.tests.services.memory.remembering import (
    Remembering,
    admin,
    agent,
    house,
    kept,
    member,
    memories,
    other,
    texts,
)

if TYPE_CHECKING:
    from asyncpg import Connection

__all__ = ["admin", "agent", "house", "member", "memories", "other"]

# --- browsing ---


async def test_lists_are_filtered_and_come_in_pages(
    memories: MemoryService, house: Remembering, admin: Caller, member: Caller, other: Caller, agent: UUID
) -> None:
    thread = await house.thread(member, agent)
    for number in range(5):
        await kept(memories, admin, agent, f"Note {number}", user_id=member.user_id)
    await kept(memories, admin, agent, "A fact", kind="fact", user_id=other.user_id)
    await kept(memories, admin, agent, "In a thread", thread_id=thread)
    await kept(memories, admin, agent, "In general", kind="reflection")
    await kept(memories, admin, await house.agent(admin), "Of another agent")
    notes = [f"Note {number}" for number in range(4, -1, -1)]
    assert await texts(memories, admin, agent) == ["In general", "In a thread", "A fact", *notes]
    assert await texts(memories, admin, agent, user_id=other.user_id) == ["A fact"]
    assert await texts(memories, admin, agent, thread_id=thread) == ["In a thread"]
    assert await texts(memories, admin, agent, kind="reflection") == ["In general"]
    assert await texts(memories, admin, agent, scope="user", kind="note") == notes
    assert await texts(memories, admin, agent, user_id=uuid4()) == []
    assert await texts(memories, member, agent) == ["In a thread", *notes]
    assert await texts(memories, other, agent, user_id=member.user_id) == []
    page = await memories.list_page(member, MemoryFilter(agent), None, 4, 0)
    assert (page.total, len(page.items), page.next is not None) == (6, 4, True)
    assert page.next is not None
    rest = await memories.list_page(member, MemoryFilter(agent), Cursor.decode(page.next.encode()), 4, 0)
    assert [one.text for one in rest.items] == notes[3:]
    with pytest.raises(AgentNotFound):
        await memories.list_page(admin, MemoryFilter(uuid4()), None, 4, 0)


# --- searching ---


async def test_a_search_ranks_what_may_be_seen(
    memories: MemoryService,
    house: Remembering,
    admin: Caller,
    member: Caller,
    other: Caller,
    agent: UUID,
    owner: Connection,
) -> None:
    await kept(memories, admin, agent, "My boat is called Heron.", user_id=member.user_id)
    await kept(memories, admin, agent, "My boat is in the harbour of Faro.", user_id=other.user_id)
    await kept(memories, admin, agent, "Boats leave at noon.", kind="fact")
    await kept(memories, admin, agent, "I bake bread.", user_id=member.user_id)
    await house.indexed(owner)

    async def found(caller: Caller, words: str, **which: Any) -> list[str]:
        return [one.memory.text for one in await memories.search(caller, MemoryFilter(agent, **which), words)]

    assert set(await found(admin, "my boat is called")) >= {
        "My boat is called Heron.",
        "My boat is in the harbour of Faro.",
    }
    mine = await memories.search(member, MemoryFilter(agent), "my boat is called")
    assert mine[0].memory.text == "My boat is called Heron."
    assert {one.memory.user_id for one in mine} == {member.user_id}
    assert mine[0].parts.score >= mine[-1].parts.score
    assert await found(other, "boat", user_id=member.user_id) == []
    assert set(await found(admin, "boat", user_id=other.user_id)) == {"My boat is in the harbour of Faro."}
    assert await found(admin, "boats leave at noon", kind="fact") == ["Boats leave at noon."]
    assert await found(admin, "boats leave at noon", scope="agent") == ["Boats leave at noon."]
    with pytest.raises(AgentNotFound):
        await memories.search(admin, MemoryFilter(uuid4()), "boat")


async def test_a_search_shows_what_was_superseded_only_if_asked(
    memories: MemoryService, house: Remembering, admin: Caller, agent: UUID, owner: Connection
) -> None:
    old = await kept(memories, admin, agent, "The ferry leaves at noon.")
    new = await kept(memories, admin, agent, "The ferry leaves at two.")
    async with house.database.tenant(admin.tenant_id) as tx:
        assert await tx.memories.supersede(old.id, new.id)
    await house.indexed(owner)
    words = "the ferry leaves at noon"
    assert [one.memory.id for one in await memories.search(admin, MemoryFilter(agent), words)] == [new.id]
    every = await memories.search(admin, MemoryFilter(agent, with_superseded=True), words)
    assert {one.memory.id for one in every} == {old.id, new.id}
    assert await texts(memories, admin, agent) == [new.text]
    assert await texts(memories, admin, agent, with_superseded=True) == [new.text, old.text]


async def test_a_search_that_cannot_be_made_says_so(
    memories: MemoryService, house: Remembering, admin: Caller, agent: UUID, database: Database
) -> None:
    assert await memories.search(admin, MemoryFilter(agent), "anything") == []
    await kept(memories, admin, agent, "Something.")
    house.index.away = True
    with pytest.raises(IndexUnavailable):
        await memories.search(admin, MemoryFilter(agent), "anything")
    people = [await make_user(database, admin.tenant_id) for _ in range(3)]
    for one in people:
        await kept(memories, admin, agent, "Likes tea.", user_id=one.user_id)
    house.index.away = False
    house.index.hangs = True
    with pytest.raises(IndexUnavailable, match="in time"):
        await MemoryService(database, house.engine, seconds=0.02).search(admin, MemoryFilter(agent), "anything")
    house.index.hangs = False
    few = MemoryService(database, house.engine, most_namespaces=3)
    with pytest.raises(Invalid, match="user_id or thread_id"):
        await few.search(admin, MemoryFilter(agent), "tea")
    assert await few.search(admin, MemoryFilter(agent, user_id=people[0].user_id), "tea") == []
