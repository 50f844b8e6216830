"""Orders bring the index to what the rows say, through every failure; what is new takes the place of what was."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest

from backend.errors import IndexMissing
from backend.models.memory import MemoryUpdate, NewMemory
from backend.models.tenant import Caller
from backend.ports import IndexPoint
from backend.services.memory.indexing import KIND, MemoryIndexing
from backend.services.memory.reindex import Reindex
from backend.services.outbox_relay import OutboxRelay
from backend.stores.database import Database
from backend.telemetry import Metrics
from backend.tests.factories import TenantFactory
from backend.tests.fakes import FakeIndex, HashEmbedder
from backend.tests.services.memory.remembering import Remembering

if TYPE_CHECKING:
    from asyncpg import Connection

NOW = datetime(2026, 11, 2, 12, tzinfo=UTC)


class LosableIndex(FakeIndex):
    """An index that can lose its collection: until it is made anew, it says so."""

    def __init__(self) -> None:
        super().__init__()
        self.made = False

    def lose(self) -> None:
        """As when somebody removes its files."""
        self.points.clear()
        self.made = False

    async def prepare(self) -> bool:
        """Make it where it is missing."""
        super()._reach()
        missing, self.made = not self.made, True
        return missing

    def _reach(self) -> None:
        super()._reach()
        if not self.made:
            raise IndexMissing("there is no collection")


class Desk:
    """One agent of one tenant, whose memories are delivered when it is said."""

    def __init__(self, database: Database, caller: Caller, agent_id: UUID) -> None:
        self.database = database
        self.caller = caller
        self.agent_id = agent_id
        self.thread_id = uuid4()
        self.index = LosableIndex()
        self.embedder = HashEmbedder(dimensions=256)
        self.metrics = Metrics()
        self.woken = 0
        self.reindex = Reindex(database, self.index, self._wake)
        indexing = MemoryIndexing(database, self.index, self.embedder, self.metrics, self.reindex.prepare)
        self.relay = OutboxRelay(database, {KIND: indexing.deliver}, self.metrics, batch=64, rest=0)

    def memory(self, text: str, **parts: Any) -> NewMemory:
        """Something this desk's person said, unless `parts` say otherwise."""
        known: dict[str, Any] = {
            "id": uuid4(),
            "agent_id": self.agent_id,
            "scope": "user",
            "user_id": self.caller.user_id,
            "thread_id": None,
            "kind": "message",
            "text": text,
            "origin": "chat",
        }
        return NewMemory(**{**known, **parts})

    async def remember(self, *texts: str, days: float = 0, **parts: Any) -> list[UUID]:
        """Keep these, said after so many days."""
        said = [self.memory(one, valid_from=NOW + timedelta(days=days), **parts) for one in texts]
        return await self.keep(said)

    async def keep(self, memories: Sequence[NewMemory]) -> list[UUID]:
        """Keep these."""
        async with self.database.tenant(self.caller.tenant_id) as tx:
            return await tx.memories.insert(memories)

    async def deliver(self) -> None:
        """Deliver what is due, and what that orders."""
        while await self.relay.step():
            pass

    async def hasten(self) -> None:
        """Let nothing wait for its next try."""
        async with self.database.worker() as worker:
            await worker.hasten([KIND])

    async def waiting(self) -> int:
        """How many orders wait."""
        return (await self.relay.backlog()).pending

    async def current(self) -> set[str]:
        """The texts that were not superseded."""
        async with self.database.tenant(self.caller.tenant_id) as tx:
            rows = await tx.memories.to_index(list(self.index.points))
        return {row.text for row in rows if not row.superseded}

    def point(self, memory_id: UUID) -> IndexPoint:
        """The point of a memory."""
        return self.index.points[memory_id]

    def _wake(self) -> None:
        self.woken += 1


@pytest.fixture
async def desk(database: Database, tenant: TenantFactory) -> Desk:
    """A desk whose index has been made."""
    caller = await tenant()
    made = Desk(database, caller, await Remembering(database).agent(caller))
    await made.reindex.prepare()
    return made


async def test_what_is_kept_is_found_in_its_namespace_and_marked(desk: Desk, owner: Connection) -> None:
    [mine] = await desk.remember("I like tea", speaker="Maria")
    await desk.deliver()
    point = desk.point(mine)
    assert str(point.namespace).endswith(f":user:{desk.caller.user_id}")
    assert point.words == "Maria: I like tea"
    assert point.said_at == NOW
    assert await owner.fetchval("SELECT indexed_at IS NOT NULL FROM memories WHERE id = $1", mine)
    assert await desk.waiting() == 0


async def test_what_is_forgotten_leaves_the_index_and_repeats_change_nothing(desk: Desk) -> None:
    mine, other = await desk.remember("I like tea", "I own a boat")
    await desk.deliver()
    async with desk.database.tenant(desk.caller.tenant_id) as tx:
        await tx.memories.forget([mine], None)
    await desk.deliver()
    assert set(desk.index.points) == {other}
    assert await desk.reindex.everything() == 1
    await desk.deliver()
    assert set(desk.index.points) == {other}


async def test_an_edited_text_is_indexed_anew_with_those_that_follow_it(desk: Desk) -> None:
    place = {"thread_id": desk.thread_id}
    said = [desk.memory(f"word{number}", position=number, valid_from=NOW, **place) for number in range(1, 6)]
    first, *rest = await desk.keep(said)
    await desk.deliver()
    before = {one: desk.point(one).vector for one in (first, *rest)}
    async with desk.database.tenant(desk.caller.tenant_id) as tx:
        await tx.memories.edit(first, None, MemoryUpdate(text="otherwise"), None)
    await desk.deliver()
    moved = [one for one in (first, *rest) if (desk.point(one).vector != before[one]).any()]
    assert moved == [first, *rest[:2]]
    assert desk.point(first).words == "otherwise"


async def test_batches_give_the_vectors_that_one_by_one_gives(desk: Desk) -> None:
    place = {"thread_id": desk.thread_id}
    said = [desk.memory(f"word{number}", position=number, valid_from=NOW, **place) for number in range(1, 8)]
    for one in said:
        await desk.keep([one])
        await desk.deliver()
    singly = {one.id: desk.point(one.id).vector for one in said}
    desk.index.points.clear()
    await desk.reindex.everything()
    await desk.deliver()
    assert all((desk.point(one).vector == vector).all() for one, vector in singly.items())


async def test_while_the_index_is_away_orders_wait_and_arrive_once_afterwards(desk: Desk) -> None:
    desk.index.away = True
    ids = await desk.remember("I like tea", "I own a boat", "I sing")
    await desk.deliver()
    assert await desk.waiting() == 3
    desk.index.away = False
    await desk.hasten()
    await desk.deliver()
    assert set(desk.index.points) == set(ids)
    assert await desk.waiting() == 0


async def test_while_the_embedder_is_away_removals_go_on(desk: Desk) -> None:
    mine, other = await desk.remember("I like tea", "I own a boat")
    await desk.deliver()
    desk.embedder.away = True
    async with desk.database.tenant(desk.caller.tenant_id) as tx:
        await tx.memories.forget([mine], None)
        await tx.memories.insert([desk.memory("I sing")])
    await desk.deliver()
    assert set(desk.index.points) == {other}
    assert await desk.waiting() == 2


async def test_a_lost_index_is_made_anew_and_filled(desk: Desk) -> None:
    ids = await desk.remember("I like tea", "I own a boat")
    await desk.deliver()
    desk.index.lose()
    ids += await desk.remember("I sing")
    await desk.deliver()
    assert desk.woken
    await desk.hasten()
    await desk.deliver()
    assert set(desk.index.points) == set(ids)


async def test_what_was_erased_meanwhile_does_not_stay(desk: Desk) -> None:
    [mine] = await desk.remember("I like tea")

    class Erasing(LosableIndex):
        async def put(self, points: Sequence[IndexPoint]) -> None:
            async def erase() -> None:  # in a task of its own, as another request would
                async with desk.database.tenant(desk.caller.tenant_id) as tx:
                    await tx.memories.forget([mine], None)

            await asyncio.create_task(erase())
            await super().put(points)

    index = Erasing()
    await index.prepare()
    indexing = MemoryIndexing(desk.database, index, desk.embedder, desk.metrics, desk.reindex.prepare)
    await OutboxRelay(desk.database, {KIND: indexing.deliver}, desk.metrics).step()
    assert index.points == {}


async def test_new_knowledge_takes_the_place_of_old(desk: Desk) -> None:
    await desk.remember("I live in Porto.", "I like tea.", days=0)
    await desk.deliver()
    await desk.remember("I moved to Lisbon.", days=30)
    await desk.deliver()
    assert await desk.current() == {"I moved to Lisbon.", "I like tea."}
    assert desk.metrics.memory_superseded_total._value.get() == 1  # pyright: ignore[reportPrivateUsage]
    assert len(desk.index.points) == 3  # what was superseded can still be told as such


async def test_a_part_that_is_out_of_date_hides_nothing_and_is_noted(desk: Desk) -> None:
    [old] = await desk.remember("I live in Porto, and my boat is called Albatross.", days=0)
    await desk.deliver()
    [new] = await desk.remember("I moved to Lisbon.", days=30)
    await desk.deliver()
    assert len(await desk.current()) == 2
    async with desk.database.tenant(desk.caller.tenant_id) as tx:
        known = await tx.memories.get(old, None)
        assert not await tx.memories.revise(old, new)
    assert known
    assert (known.superseded_by, known.superseded_at, known.revision) == (new, None, 1)
    assert "Albatross" in desk.point(new).words  # found where the older one is found


async def test_what_is_imported_late_gives_way_to_what_came_after_it(desk: Desk) -> None:
    await desk.remember("I moved to Lisbon.", days=30)
    await desk.deliver()
    await desk.remember("I live in Porto.", days=0)
    await desk.deliver()
    assert await desk.current() == {"I moved to Lisbon."}


async def test_both_in_one_batch_are_settled_too(desk: Desk) -> None:
    await desk.remember("I live in Porto.", days=0)
    await desk.remember("I moved to Lisbon.", days=30)
    await desk.deliver()
    assert await desk.current() == {"I moved to Lisbon."}


async def test_what_a_person_made_current_again_stays_so(desk: Desk) -> None:
    [old] = await desk.remember("I live in Porto.", days=0)
    await desk.remember("I moved to Lisbon.", days=30)
    await desk.deliver()
    async with desk.database.tenant(desk.caller.tenant_id) as tx:
        await tx.memories.edit(old, None, MemoryUpdate(superseded=False), None)
    await desk.deliver()
    await desk.reindex.everything()
    await desk.deliver()
    assert await desk.current() == {"I live in Porto.", "I moved to Lisbon."}
    await desk.remember("I moved to Rome.", days=60)
    await desk.deliver()
    assert await desk.current() == {"I moved to Rome."}


async def test_nothing_is_closed_across_people_or_in_what_was_said_in_a_thread(
    desk: Desk, database: Database, tenant: TenantFactory
) -> None:
    stranger = await tenant()
    theirs = Desk(database, stranger, await Remembering(database).agent(stranger))
    theirs.index, theirs.relay = desk.index, desk.relay
    await theirs.remember("I live in Porto.")
    await desk.remember("I live in Porto.", scope="thread", thread_id=desk.thread_id)
    await desk.remember("I moved to Lisbon.", days=30)
    await desk.remember("I moved to Rome.", days=60, scope="thread", thread_id=desk.thread_id)
    await desk.deliver()
    assert await theirs.current() == {"I live in Porto."}
    assert await desk.current() == {"I live in Porto.", "I moved to Lisbon.", "I moved to Rome."}


async def test_a_watch_sweeps_an_index_that_is_complete(desk: Desk) -> None:
    [mine] = await desk.remember("I like tea")
    await desk.reindex.watch()
    await desk.deliver()
    orphan = uuid4()
    desk.index.points[orphan] = desk.point(mine)
    await desk.reindex.watch()
    assert set(desk.index.points) == {mine}


async def test_a_watch_makes_what_is_missing_and_notices_when_it_is_back(desk: Desk) -> None:
    ids = await desk.remember("I like tea")
    await desk.deliver()
    desk.index.lose()
    await desk.reindex.watch()
    await desk.deliver()
    assert set(desk.index.points) == set(ids)
    desk.index.away = True
    ids += await desk.remember("I sing")
    await desk.deliver()
    with pytest.raises(Exception, match="away"):
        await desk.reindex.watch()
    assert desk.reindex.away == "the index is away"
    desk.index.away = False
    await desk.reindex.watch()
    await desk.deliver()
    assert desk.reindex.away == ""
    assert set(desk.index.points) == set(ids)


async def test_what_takes_a_place_is_found_where_the_old_was_found(desk: Desk) -> None:
    [old] = await desk.remember("I live in Porto.", days=0)
    await desk.deliver()
    [new] = await desk.remember("I moved to Lisbon.", days=30)
    await desk.deliver()
    [asked, alone] = await desk.embedder.embed(["Where do I live in?", "I moved to Lisbon."])
    mixed = desk.point(new)
    assert mixed.vector @ asked > alone @ asked
    assert mixed.words == "I moved to Lisbon. I live in Porto."
    async with desk.database.tenant(desk.caller.tenant_id) as tx:
        await tx.memories.edit(old, None, MemoryUpdate(superseded=False), None)
    await desk.deliver()
    assert desk.point(new).words == "I moved to Lisbon."
    assert (desk.point(new).vector == alone).all()


async def test_what_is_forgotten_leaves_no_part_of_itself_in_the_vectors_of_others(desk: Desk) -> None:
    place = {"thread_id": desk.thread_id}
    texts = ["a secret", "word2", "word3", "word4"]
    said = [desk.memory(text, position=at, valid_from=NOW, **place) for at, text in enumerate(texts)]
    [old] = await desk.remember("I live in Porto.", days=0)
    secret, *rest = await desk.keep(said)
    await desk.deliver()
    [new] = await desk.remember("I moved to Lisbon.", days=30)
    await desk.deliver()
    async with desk.database.tenant(desk.caller.tenant_id) as tx:
        await tx.memories.forget([secret, old], None)
    await desk.deliver()
    kept = {one: desk.point(one) for one in (*rest, new)}
    desk.index.points.clear()
    await desk.reindex.everything()
    await desk.deliver()
    assert all((desk.point(one).vector == point.vector).all() for one, point in kept.items())
    assert desk.point(new).words == "I moved to Lisbon."
