"""Memories: kept once, seen by those whose they are, and read as ranking, the index and lists need them."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest

from backend.models.memory import MemoryFilter, MemoryUpdate
from backend.models.namespace import Namespace
from backend.stores.database import Database
from backend.stores.memories import MemoryStore
from backend.tests.factories import TenantFactory, make_user
from backend.tests.stores.memory_desk import SOME_TIME, Desk, make_desk, orders

if TYPE_CHECKING:
    from asyncpg import Connection


@pytest.fixture
async def desk(database: Database, tenant: TenantFactory) -> Desk:
    return await make_desk(database, await tenant())


# --- kept once ---


async def test_what_is_kept_is_read_as_it_was(desk: Desk, owner: Connection) -> None:
    given = desk.new(" I like  tea. ", speaker="Ada", position=3, valid_from=SOME_TIME, expires_at=SOME_TIME)
    assert await desk.keep(given) == [given.id]
    found = await desk.get(given.id)
    assert found.model_dump(include={"text", "speaker", "kind", "origin", "scope", "valid_from", "expires_at"}) == {
        "text": " I like  tea. ", "speaker": "Ada", "kind": "message", "origin": "chat", "scope": "user",
        "valid_from": SOME_TIME, "expires_at": SOME_TIME,
    }  # fmt: skip
    assert (found.user_id, found.thread_id) == (desk.caller.user_id, given.thread_id)
    assert (found.source_message_id, found.revision, found.indexed_at) == (given.source_message_id, 1, None)
    assert (found.confirmations, found.uses, found.superseded_at) == (0, 0, None)
    assert await desk.history(given.id) == [(1, "created", " I like  tea. ")]
    assert await orders(owner) == [given.id]


async def test_a_repeat_keeps_nothing_twice(desk: Desk, owner: Connection) -> None:
    given = [desk.new(f"Fact {number}") for number in range(3)]
    assert await desk.keep(*given) == [one.id for one in given]
    await orders(owner)
    assert await desk.keep(*given) == []
    assert await desk.keep(given[0], given[0]) == []
    assert await orders(owner) == []
    assert [(await desk.get(one.id)).confirmations for one in given] == [0, 0, 0]
    assert await desk.texts() == ["Fact 0", "Fact 1", "Fact 2"]


@pytest.mark.parametrize("again", ["I like tea.", "i LIKE\n tea", "I like tea!!"])
async def test_what_is_said_again_is_confirmed(again: str, desk: Desk, owner: Connection) -> None:
    first, second = desk.new(valid_from=SOME_TIME), desk.new(again, valid_from=SOME_TIME + timedelta(days=9))
    await desk.keep(first)
    await orders(owner)
    assert await desk.keep(second) == []
    assert await desk.keep(second) == []  # which is the same saying still
    found = await desk.get(first.id)
    assert (found.text, found.confirmations, found.revision) == ("I like tea.", 1, 1)
    assert (found.valid_from, found.source_message_id) == (second.valid_from, first.source_message_id)
    assert await orders(owner) == [first.id]
    older = desk.new(again, valid_from=SOME_TIME - timedelta(days=9))
    assert await desk.keep(older) == []
    found = await desk.get(first.id)
    assert (found.confirmations, found.valid_from) == (2, second.valid_from)
    assert await desk.do(lambda store: store.current([first, second, desk.new("Else")])) == [first.id, first.id, None]


async def test_the_same_message_does_not_confirm_itself(desk: Desk) -> None:
    said = desk.new()
    await desk.keep(said)
    assert await desk.keep(desk.new(kind="fact", source_message_id=said.source_message_id)) == []
    assert (await desk.get(said.id)).confirmations == 0


async def test_several_sayings_in_one_batch_are_one_memory(desk: Desk, owner: Connection) -> None:
    batch = [
        desk.new(),
        desk.new("I like tea"),
        desk.new("Coffee, too"),
        desk.new("i like tea", source_message_id=None),
    ]
    assert await desk.keep(*batch) == [batch[0].id, batch[2].id]
    assert (await desk.get(batch[0].id)).confirmations == 2
    assert len(await orders(owner)) == 2
    assert await desk.keep(*batch) == []
    assert await desk.keep(*batch[1:]) == []
    assert (await desk.get(batch[0].id)).confirmations == 2
    assert await desk.do(lambda store: store.current(batch)) == [batch[i].id for i in (0, 0, 2, 0)]


async def test_the_same_words_of_others_are_other_memories(desk: Desk, database: Database) -> None:
    other = await make_user(database, desk.caller.tenant_id)
    one = desk.new()
    different = [
        one,
        desk.new(user_id=other.user_id),
        desk.new(scope="thread"),
        desk.new(scope="thread"),
        desk.new(scope="agent", user_id=None),
        desk.new(speaker="Ada"),
    ]
    assert await desk.keep(*different) == [memory.id for memory in different]
    assert await desk.do(lambda store: store.count()) == len(different)


async def test_a_confirmed_memory_lives_as_long_as_its_longest(desk: Desk) -> None:
    day = timedelta(days=1)
    one = desk.new(expires_at=SOME_TIME)
    await desk.keep(one)
    await desk.keep(desk.new(expires_at=SOME_TIME + day), desk.new(expires_at=SOME_TIME - day))
    assert (await desk.get(one.id)).expires_at == SOME_TIME + day
    await desk.keep(desk.new())
    assert (await desk.get(one.id)).expires_at is None
    await desk.keep(desk.new(expires_at=SOME_TIME))
    assert (await desk.get(one.id)).expires_at is None


async def test_what_only_points_are_in_differs_by_them(desk: Desk) -> None:
    assert len(await desk.keep(desk.new("?"), desk.new("!"))) == 2


async def test_said_by_many_at_once_it_is_kept_once(desk: Desk, owner: Connection) -> None:
    given = [desk.new() for _ in range(8)]
    kept = await asyncio.gather(*(desk.keep(one) for one in given))
    assert sorted(map(len, kept)) == [0] * 7 + [1]
    assert await desk.texts() == ["I like tea."]
    again = await asyncio.gather(*(desk.keep(given[0]) for _ in range(4)))
    assert again == [[]] * 4


async def test_nothing_is_nothing(desk: Desk) -> None:
    assert await desk.keep() == []
    assert await desk.do(lambda store: store.current([])) == []
    assert await desk.do(lambda store: store.forget([], None)) == 0


async def test_thousands_are_kept_quickly(desk: Desk, owner: Connection) -> None:
    memories = [desk.new(f"Saying number {number}", thread_id=None) for number in range(2000)]
    started = time.perf_counter()
    for start in range(0, len(memories), 500):
        assert len(await desk.keep(*memories[start : start + 500])) == 500
    assert time.perf_counter() - started < 10  # a tenth of a second on a quiet machine
    assert await desk.do(lambda store: store.count()) == len(memories)
    assert len(await orders(owner)) == len(memories)


# --- whose they are ---


async def test_a_person_sees_their_own(desk: Desk, database: Database) -> None:
    other = await make_user(database, desk.caller.tenant_id)
    mine, theirs = desk.new(), desk.new("I like milk", user_id=other.user_id)
    general = desk.new("Tea is a plant", scope="agent", user_id=None)
    await desk.keep(mine, theirs, general)

    async def look(store: MemoryStore) -> None:
        for seen_by, visible in ((desk.caller.user_id, {mine.id}), (None, {mine.id, theirs.id, general.id})):
            for one in (mine, theirs, general):
                found = one.id in visible
                assert (await store.get(one.id, seen_by) is not None) == found
                assert bool(await store.history(one.id, seen_by)) == found
            listed = await store.page(MemoryFilter(desk.agent_id), seen_by, None, 10, 0)
            assert ({one.id for one in listed.items}, listed.total) == (visible, len(visible))
            some = await store.these([mine.id, theirs.id, general.id], seen_by)
            assert {one.id for one in some} == visible
        refused = await store.page(MemoryFilter(desk.agent_id, theirs.user_id), desk.caller.user_id, None, 10, 0)
        assert (refused.items, refused.total, refused.next) == ([], 0, None)
        text = MemoryUpdate(text="Mine now")
        assert await store.edit(theirs.id, desk.caller.user_id, text, None) is None
        assert await store.forget_thread(theirs.thread_id or uuid4(), desk.caller.user_id, None) == 0
        assert (await store.count(), await store.count(desk.agent_id), await store.count(uuid4())) == (3, 3, 0)
        assert await store.count(user_id=theirs.user_id) == 1
        assert await store.count(desk.agent_id, theirs.user_id) == 1
        assert await store.count(uuid4(), theirs.user_id) == 0

    await desk.do(look)


async def test_namespaces_that_a_filter_reaches(desk: Desk, database: Database) -> None:
    other = await make_user(database, desk.caller.tenant_id)
    thread = uuid4()
    await desk.keep(
        desk.new("a"), desk.new("b"), desk.new("c", user_id=other.user_id),
        desk.new("d", scope="thread", thread_id=thread), desk.new("e", scope="agent", user_id=None),
    )  # fmt: skip
    own = (desk.caller.tenant_id, desk.agent_id)
    mine, theirs = Namespace(*own, "user", desk.caller.user_id), Namespace(*own, "user", other.user_id)
    talk = Namespace(*own, "thread", thread)

    async def reached(seen_by: UUID | None = None, **which: Any) -> set[Namespace]:
        found = await desk.do(lambda store: store.namespaces(MemoryFilter(desk.agent_id, **which), seen_by, 10))
        assert len(found) == len(set(found))
        return set(found)

    assert await reached() == {mine, theirs, talk, Namespace(*own)}
    assert await reached(desk.caller.user_id) == {mine, talk}
    assert await reached(user_id=other.user_id) == {theirs}
    assert await reached(desk.caller.user_id, user_id=other.user_id) == set()
    assert await reached(thread_id=thread) == {talk}
    assert await reached(scope="user") == {mine, theirs}


async def test_another_tenant_sees_and_changes_nothing(desk: Desk, database: Database, tenant: TenantFactory) -> None:
    mine = desk.new(speaker="Ada", position=1)
    await desk.keep(mine, desk.new("Next", speaker="Ada", thread_id=mine.thread_id, position=2))
    stranger = await make_desk(database, await tenant())

    async def look(store: MemoryStore) -> None:
        assert await store.get(mine.id, None) is None
        assert await store.for_recall([mine.id]) == await store.to_index([mine.id]) == []
        assert await store.around([mine.id]) == await store.these([mine.id]) == []
        assert await store.history(mine.id, None) == []
        assert await store.speakers(desk.agent_id, [desk.caller.user_id]) == []
        assert await store.edit(mine.id, None, MemoryUpdate(text="Mine"), None) is None
        assert await store.forget([mine.id], None) == 0
        assert not await store.supersede(mine.id, uuid4())
        await store.confirm([mine.id], 5.0)
        await store.mark_indexed([(mine.id, 1)])

    before = await desk.get(mine.id)
    await stranger.do(look)
    assert await stranger.keep(stranger.new(text=mine.text, id=mine.id)) == [mine.id]  # ids are each tenant's own
    assert await desk.get(mine.id) == before


# --- lists ---


async def test_pages_hold_each_once_newest_first(desk: Desk, owner: Connection) -> None:
    given = [desk.new(f"Saying {number}") for number in range(7)]
    for one in given[:4]:
        await desk.keep(one)
    await desk.keep(*given[4:])  # of one moment
    for which in (
        MemoryFilter(desk.agent_id),
        MemoryFilter(desk.agent_id, desk.caller.user_id),
    ):
        seen: list[UUID] = []
        cursor = None
        for size in (3, 3, 1):
            page = await desk.do(lambda store: store.page(which, None, cursor, 3, 0))  # noqa: B023 — awaited at once
            assert (len(page.items), page.total, page.next is None) == (size, 7, size == 1)
            seen += [one.id for one in page.items]
            cursor = page.next
        assert set(seen[:3]) == {one.id for one in given[4:]}
        assert seen[3:] == [one.id for one in reversed(given[:4])]
        offset = await desk.do(lambda store: store.page(which, None, None, 3, 6))  # noqa: B023 — as above
        assert [one.id for one in offset.items] == seen[6:]


async def test_filters(desk: Desk, database: Database) -> None:
    other = await make_user(database, desk.caller.tenant_id)
    thread = uuid4()
    old = desk.new("old", thread_id=thread)
    await desk.keep(
        old, desk.new("new", kind="fact"), desk.new("theirs", user_id=other.user_id),
        desk.new("in the thread", scope="thread", thread_id=thread),
        desk.new("general", scope="agent", user_id=None, kind="note"),
    )  # fmt: skip
    everything = {
        one.text: one.id
        for one in (await desk.do(lambda s: s.page(MemoryFilter(desk.agent_id), None, None, 9, 0))).items
    }
    assert await desk.do(lambda store: store.supersede(old.id, everything["new"]))
    assert await desk.texts() == ["general", "in the thread", "new", "theirs"]
    assert await desk.texts(with_superseded=True) == ["general", "in the thread", "new", "old", "theirs"]
    assert await desk.texts(user_id=other.user_id) == ["theirs"]
    assert await desk.texts(thread_id=thread) == ["in the thread"]
    assert await desk.texts(thread_id=thread, with_superseded=True) == ["in the thread", "old"]
    assert await desk.texts(thread_id=thread, user_id=other.user_id, with_superseded=True) == []
    assert await desk.texts(kind="fact") == ["new"]
    assert await desk.texts(scope="agent") == ["general"]
    assert await desk.texts(scope="user", user_id=desk.caller.user_id, kind="message", with_superseded=True) == ["old"]
    elsewhere = await desk.do(lambda store: store.page(MemoryFilter(uuid4()), None, None, 9, 0))
    assert (elsewhere.items, elsewhere.total) == ([], 0)


# --- what ranking and the index read ---


async def test_rows_for_recall_and_for_the_index(desk: Desk) -> None:
    general = desk.new("general", scope="agent", user_id=None, speaker="Ada", position=4, valid_from=SOME_TIME)
    mine = desk.new("mine", expires_at=SOME_TIME)
    talk = desk.new("talk", scope="thread")
    await desk.keep(general, mine, talk)
    await desk.do(lambda store: store.confirm([mine.id, mine.id, uuid4()], 0.5))
    rows = {one.id: one for one in await desk.do(lambda store: store.for_recall([general.id, mine.id, uuid4()]))}
    assert set(rows) == {general.id, mine.id}
    assert (rows[general.id].subject_id, rows[mine.id].subject_id) == (None, desk.caller.user_id)
    assert (rows[mine.id].confirmations, rows[mine.id].expires_at) == (0.5, SOME_TIME)
    assert (rows[general.id].speaker, rows[general.id].position, rows[general.id].valid_from) == ("Ada", 4, SOME_TIME)
    to_index = {one.id: one for one in await desk.do(lambda store: store.to_index([general.id, mine.id, talk.id]))}
    own = (desk.caller.tenant_id, desk.agent_id)
    assert {one.text: one.namespace for one in to_index.values()} == {
        "general": Namespace(*own),
        "mine": Namespace(*own, "user", desk.caller.user_id),
        "talk": Namespace(*own, "thread", talk.thread_id),
    }
    assert {(one.revision, one.superseded) for one in to_index.values()} == {(1, False)}


async def test_neighbours_are_of_the_same_thread_and_namespace(desk: Desk) -> None:
    thread = uuid4()
    said = [desk.new(f"at {place}", scope="thread", thread_id=thread, position=place) for place in (1, 3, 5, 7, 9)]
    fact = desk.new("a fact of it", thread_id=thread, position=4)
    elsewhere = desk.new("elsewhere", scope="thread", position=4)
    placeless = desk.new("no place", scope="thread", thread_id=thread)
    await desk.keep(*said, fact, elsewhere, placeless)

    async def around(*ids: UUID) -> list[str]:
        return sorted(one.text for one in await desk.do(lambda store: store.around(ids)))

    assert await around(said[2].id) == ["at 3", "at 7"]
    assert await around(said[0].id) == ["at 3"]
    assert await around(said[1].id, said[2].id) == ["at 1", "at 7"]
    assert await around(said[1].id, said[3].id) == ["at 1", "at 5", "at 9"]
    assert await around(fact.id) == await around(placeless.id) == await around(uuid4()) == []


async def test_speakers(desk: Desk, database: Database) -> None:
    other = await make_user(database, desk.caller.tenant_id)
    talk = desk.new("d", scope="thread", speaker="Dan")
    await desk.keep(
        *(desk.new(f"{name} {turn}", speaker=name) for name in ("Ben", "Ada", "Çem", "") for turn in range(3)),
        desk.new("c", user_id=other.user_id, speaker="Cleo"), talk,
        desk.new("e", scope="agent", user_id=None, speaker="Eve"),
    )  # fmt: skip

    async def heard(*subjects: UUID | None) -> set[str]:
        found = await desk.do(lambda store: store.speakers(desk.agent_id, subjects))
        assert len(found) == len(set(found))
        return set(found)

    assert await heard(desk.caller.user_id) == {"Ada", "Ben", "Çem"}
    assert await heard(None) == {"Eve"}
    assert await heard(None, desk.caller.user_id, talk.thread_id) == {"Ada", "Ben", "Çem", "Dan", "Eve"}
    assert await heard() == await heard(uuid4()) == set()
    assert await desk.do(lambda store: store.speakers(uuid4(), [desk.caller.user_id])) == []


async def test_only_the_revision_that_was_read_is_marked(desk: Desk) -> None:
    one, other = desk.new("one"), desk.new("other")
    await desk.keep(one, other)
    await desk.edit(other.id, text="another")
    await desk.do(lambda store: store.mark_indexed([(one.id, 1), (other.id, 1), (uuid4(), 1)]))
    assert (await desk.get(one.id)).indexed_at is not None
    assert (await desk.get(other.id)).indexed_at is None
    await desk.edit(one.id, kind="note")
    assert (await desk.get(one.id)).indexed_at is None
