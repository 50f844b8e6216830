"""Memories that change: each change a revision, what is forgotten is gone for good, and receipts hold no text."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest

from backend.errors import Conflict
from backend.models.memory import ScoreParts
from backend.stores.database import Database
from backend.stores.memories import MemoryStore
from backend.stores.memory_rows import LeftOutMemory, ShownMemory, StoredReceipt
from backend.tests.factories import TenantFactory, make_user
from backend.tests.stores.memory_desk import SOME_TIME, Desk, make_desk, orders

if TYPE_CHECKING:
    from asyncpg import Connection

PARTS = ScoreParts(score=0.8, relevance=0.6, semantic=1.0, recency=0.5, reinforcement=-0.25)


@pytest.fixture
async def desk(database: Database, tenant: TenantFactory) -> Desk:
    return await make_desk(database, await tenant())


# --- changed ---


async def test_an_edit_is_a_revision(desk: Desk, owner: Connection) -> None:
    one = desk.new()
    await desk.keep(one)
    await orders(owner)
    changed = await desk.edit(one.id, text="I like coffee.", kind="fact", expires_at=SOME_TIME.isoformat())
    assert changed is not None
    assert (changed.text, changed.kind, changed.expires_at) == ("I like coffee.", "fact", SOME_TIME)
    assert changed.revision == 2
    assert changed.updated_at > changed.created_at
    assert await desk.edit(one.id, text="I like coffee.", kind="fact") == changed  # as it is
    lasting = await desk.edit(one.id, expires_at=None)
    assert lasting is not None
    assert (lasting.expires_at, lasting.kind, lasting.text) == (None, "fact", "I like coffee.")
    assert await desk.history(one.id) == [
        (1, "created", "I like tea."), (2, "edited", "I like coffee."), (3, "edited", "I like coffee."),
    ]  # fmt: skip
    assert await orders(owner) == [one.id] * 2
    assert await desk.keep(desk.new("i like coffee")) == []  # it is known by its new text
    assert len(await desk.keep(desk.new("i like tea"))) == 1
    assert await desk.edit(uuid4(), text="nobody") is None
    authors = await desk.do(lambda store: store.history(one.id, None))
    assert {author.changed_by for author in authors} == {desk.caller.user_id}


async def test_an_edit_does_not_make_two_of_one(desk: Desk) -> None:
    one, other = desk.new(), desk.new("I like coffee.")
    await desk.keep(one, other)
    with pytest.raises(Conflict, match="says this already"):
        await desk.edit(other.id, text="i like TEA")
    assert (await desk.get(other.id)).text == "I like coffee."
    assert await desk.history(other.id) == [(1, "created", "I like coffee.")]
    spelt = await desk.edit(one.id, text="I like Tea!")  # its own text, written better
    assert spelt is not None
    assert spelt.text == "I like Tea!"


async def test_what_is_superseded_is_history_until_it_is_restored(desk: Desk, owner: Connection) -> None:
    old, new = desk.new("I live in Porto."), desk.new("I live in Lisbon.")
    await desk.keep(old, new)
    await orders(owner)
    assert await desk.do(lambda store: store.supersede(old.id, new.id))
    assert await orders(owner) == [old.id]
    assert not await desk.do(lambda store: store.supersede(old.id, new.id))
    found = await desk.get(old.id)
    assert found.superseded_by == new.id
    assert found.superseded_at is not None
    [row] = await desk.do(lambda store: store.to_index([old.id]))
    assert (row.superseded, row.revision) == (True, 2)
    moved_back = desk.new("I live in Porto.")
    assert await desk.keep(moved_back) == [moved_back.id]  # it is news again
    with pytest.raises(Conflict):
        await desk.edit(old.id, superseded=False)
    await desk.do(lambda store: store.forget([moved_back.id], None))
    restored = await desk.edit(old.id, superseded=False)
    assert restored is not None
    assert (restored.superseded_at, restored.superseded_by) == (None, None)
    assert [action for _, action, _ in await desk.history(old.id)] == ["created", "superseded", "restored"]
    assert await desk.edit(old.id, superseded=False) == restored


async def test_only_one_of_the_same_namespace_supersedes(desk: Desk) -> None:
    old, talk, general = desk.new("old"), desk.new("talk", scope="thread"), desk.new("general", scope="agent")
    await desk.keep(old, talk, general)
    for newer in (old.id, talk.id, general.id, uuid4()):
        assert not await desk.do(lambda store: store.supersede(old.id, newer))  # noqa: B023 — awaited at once
    assert (await desk.get(old.id)).superseded_at is None


async def test_blame_goes_below_zero(desk: Desk, owner: Connection) -> None:
    one = desk.new()
    await desk.keep(one)
    await orders(owner)
    await desk.do(lambda store: store.confirm([one.id], -1.5))
    found = await desk.get(one.id)
    assert (found.confirmations, found.revision) == (-1.5, 1)
    assert await orders(owner) == []  # the index does not know of it


# --- forgotten ---


async def texts_of(owner: Connection) -> list[str]:
    """Every text that is left in the two tables."""
    rows = await owner.fetch(
        "SELECT text FROM memories UNION ALL SELECT text FROM memory_revisions WHERE text IS NOT NULL"
    )
    return sorted(row["text"] for row in rows)


async def test_the_forgotten_are_gone_and_stay_so(desk: Desk, owner: Connection) -> None:
    one, other = desk.new("a secret"), desk.new("other")
    await desk.keep(one, other)
    await desk.edit(one.id, text="a worse secret")
    await desk.do(lambda store: store.supersede(other.id, one.id))
    await orders(owner)
    assert await desk.do(lambda store: store.forget([one.id, one.id, uuid4()], desk.caller.user_id)) == 1
    assert await orders(owner) == [one.id]
    assert await texts_of(owner) == ["other"] * 3
    assert await desk.history(one.id) == [(1, "created", None), (2, "edited", None), (3, "forgotten", None)]
    assert (await desk.do(lambda store: store.history(one.id, desk.caller.user_id)))[
        -1
    ].changed_by == desk.caller.user_id
    left = await desk.get(other.id)
    assert (left.superseded_by, left.superseded_at is None) == (None, False)
    assert await desk.keep(one) == []  # a late repeat does not bring it back
    assert await texts_of(owner) == ["other"] * 3
    assert await desk.do(lambda store: store.current([one])) == [None]
    assert await desk.do(lambda store: store.forget([one.id], None)) == 0
    assert len(await desk.history(one.id)) == 3
    said_again = desk.new("a secret")
    assert await desk.keep(said_again) == [said_again.id]  # but who says it again is heard


async def test_a_thread_is_forgotten(desk: Desk, database: Database, owner: Connection) -> None:
    other = await make_user(database, desk.caller.tenant_id)
    thread = uuid4()
    talk, fact = desk.new("talk", scope="thread", thread_id=thread), desk.new("fact", thread_id=thread)
    theirs, elsewhere = desk.new("theirs", user_id=other.user_id, thread_id=thread), desk.new("elsewhere")
    await desk.keep(talk, fact, theirs, elsewhere)
    await orders(owner)

    async def forget(*which: Any) -> int:
        return await desk.do(lambda store: store.forget_thread(thread, *which))

    assert await forget(None, None, "thread") == 1
    assert await desk.texts() == ["elsewhere", "fact", "theirs"]
    assert await forget(desk.caller.user_id, None) == 1
    assert await desk.texts() == ["elsewhere", "theirs"]
    assert await forget(None, None) == 1
    assert await forget(None, None) == 0
    assert set(await orders(owner)) == {talk.id, fact.id, theirs.id}
    assert set(await texts_of(owner)) == {"elsewhere"}


async def test_what_an_undone_transaction_ordered_is_not_ordered(desk: Desk, owner: Connection) -> None:
    async def keep_and_fail(store: MemoryStore) -> None:
        await store.insert([desk.new()])
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await desk.do(keep_and_fail)
    assert await orders(owner) == []
    assert await desk.texts() == []


# --- receipts ---


async def receipt_of(desk: Desk, *shown: UUID, **changes: Any) -> StoredReceipt:
    """The receipt of an answer in a new thread."""
    thread = uuid4()
    async with desk.database.tenant(desk.caller.tenant_id) as tx:
        await tx.threads.insert(thread, desk.agent_id, desk.caller.user_id, "")
    return replace(
        StoredReceipt(
            uuid4(), thread, desk.agent_id, desk.caller.user_id, "ok", 0.83,
            [ShownMemory(one, PARTS) for one in shown], [LeftOutMemory(uuid4(), "superseded", PARTS)],
        ),
        **changes,
    )  # fmt: skip


async def test_a_receipt_is_read_as_it_was_and_counts_the_uses(desk: Desk, database: Database) -> None:
    one, other = desk.new("one"), desk.new("other")
    await desk.keep(one, other)
    given = await receipt_of(desk, other.id, one.id, uuid4())
    await desk.do(lambda store: store.add_receipt(given))

    async def stored(seen_by: UUID | None = None) -> StoredReceipt | None:
        return await desk.do(lambda store: store.receipt(given.message_id, seen_by))

    assert await stored() == await stored(desk.caller.user_id) == given
    assert await stored((await make_user(database, desk.caller.tenant_id)).user_id) is None
    used = await desk.get(one.id)
    assert (used.uses, used.last_used_at, used.confirmations) == (1, given.created_at, 0)
    again = replace(given, recalled=given.recalled[:1], near_misses=[], state="degraded", confidence=0.0)
    await desk.do(lambda store: store.add_receipt(again))  # the answer was given once more
    assert await stored() == again
    assert [(await desk.get(memory.id)).uses for memory in (one, other)] == [1, 2]


async def test_a_receipt_goes_with_its_thread(desk: Desk, owner: Connection) -> None:
    given = await receipt_of(desk)
    await desk.do(lambda store: store.add_receipt(given))
    async with desk.database.tenant(desk.caller.tenant_id) as tx:
        assert await tx.threads.delete(given.thread_id, None)
    assert await desk.do(lambda store: store.receipt(given.message_id, None)) is None


async def test_a_memory_that_another_turn_counts_is_not_waited_for(desk: Desk) -> None:
    one, other = desk.new("one"), desk.new("other")
    await desk.keep(one, other)
    first, second = await receipt_of(desk, one.id), await receipt_of(desk, one.id, other.id)
    async with asyncio.timeout(30), desk.database.tenant(desk.caller.tenant_id) as tx:
        await tx.memories.add_receipt(first)
        await desk.do(lambda store: store.add_receipt(second))
    assert [(await desk.get(memory.id)).uses for memory in (one, other)] == [1, 1]
    assert await desk.do(lambda store: store.receipt(second.message_id, None)) == second


# --- the worker ---


async def test_everything_is_ordered_anew_and_nothing_twice(
    desk: Desk, database: Database, tenant: TenantFactory, owner: Connection
) -> None:
    stranger = await make_desk(database, await tenant())
    mine, theirs = [desk.new(f"{number}") for number in range(3)], stranger.new()
    await desk.keep(*mine)
    await stranger.keep(theirs)
    everyone = {one.id for one in (*mine, theirs)}
    async with database.worker() as worker:
        assert await worker.schedule_reindex() == 0  # all of it waits already
        [begun] = await worker.claim_deliveries(timedelta(seconds=30), 1, ["memory.index"])
        assert await worker.schedule_reindex() == 1  # who delivers it may have read it before
        assert set(await orders(owner)) == everyone
        assert await worker.schedule_reindex() == len(everyone)
        assert await worker.schedule_reindex() == 0
        assert (await worker.waiting(["memory.index"])).pending == len(everyone)
        rows = await owner.fetch("SELECT tenant_id, subject_id FROM outbox WHERE kind = 'memory.index'")
        assert {(row["tenant_id"], row["subject_id"]) for row in rows} == {
            *((desk.caller.tenant_id, one.id) for one in mine), (stranger.caller.tenant_id, theirs.id),
        }  # fmt: skip
        assert await worker.known_memories([*everyone, uuid4(), begun.tenant_id]) == everyone
        assert await worker.known_memories([]) == set()
