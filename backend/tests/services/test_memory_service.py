"""What people may see and change of an agent's memory, and that it is theirs alone."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest

from backend.errors import (
    AgentNotFound,
    Conflict,
    Forbidden,
    Invalid,
    MemoryNotFound,
    NotFound,
    PreconditionFailed,
    ThreadNotFound,
    UserNotFound,
)
from backend.models.memory import LONGEST_MEMORY, Memory, MemoryCreate, MemoryUpdate
from backend.models.tenant import Caller
from backend.services.memory_service import MemoryService
from backend.tests.factories import TenantFactory
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

# --- adding ---


async def test_whose_a_new_memory_is(
    memories: MemoryService, house: Remembering, admin: Caller, member: Caller, agent: UUID
) -> None:
    thread = await house.thread(member, agent)
    of_person = await kept(memories, member, agent, "Likes tea.", user_id=member.user_id)
    assert (of_person.scope, of_person.user_id, of_person.thread_id) == ("user", member.user_id, None)
    assert (of_person.kind, of_person.origin, of_person.revision) == ("note", "api", 1)
    of_thread = await kept(memories, member, agent, "Is in a hurry.", thread_id=thread)
    assert (of_thread.scope, of_thread.user_id, of_thread.thread_id) == ("thread", member.user_id, thread)
    said_there = await kept(memories, admin, agent, "Likes rain.", user_id=member.user_id, thread_id=thread)
    assert (said_there.scope, said_there.user_id, said_there.thread_id) == ("user", member.user_id, thread)
    in_general = await kept(memories, admin, agent, "The shop is closed on Sundays.")
    assert (in_general.scope, in_general.user_id, in_general.thread_id) == ("agent", None, None)
    assert await texts(memories, member, agent) == ["Likes rain.", "Is in a hurry.", "Likes tea."]
    assert len(await texts(memories, admin, agent)) == 4


async def test_what_is_imported_keeps_its_age(memories: MemoryService, admin: Caller, agent: UUID) -> None:
    then, later = datetime(2023, 5, 8, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC)
    old = await kept(memories, admin, agent, "It rained.", valid_from=then, expires_at=later, speaker="Guest")
    assert (old.valid_from, old.expires_at, old.speaker) == (then, later, "Guest")
    assert old.created_at > then


async def test_whose_memories_may_be_written(
    memories: MemoryService,
    house: Remembering,
    admin: Caller,
    member: Caller,
    other: Caller,
    agent: UUID,
    tenant: TenantFactory,
) -> None:
    thread, elsewhere = await house.thread(member, agent), await house.thread(member, await house.agent(admin))
    stranger = await tenant()
    refusals: list[tuple[Caller, dict[str, Any], type[Exception]]] = [
        (member, {}, Forbidden),
        (member, {"user_id": other.user_id}, UserNotFound),
        (member, {"user_id": uuid4()}, UserNotFound),
        (admin, {"user_id": uuid4()}, UserNotFound),
        (admin, {"user_id": stranger.user_id}, UserNotFound),
        (other, {"thread_id": thread}, ThreadNotFound),
        (other, {"thread_id": thread, "user_id": other.user_id}, ThreadNotFound),
        (member, {"thread_id": elsewhere}, ThreadNotFound),
        (admin, {"thread_id": uuid4()}, ThreadNotFound),
        (stranger, {"thread_id": thread}, AgentNotFound),
        (stranger, {}, AgentNotFound),
    ]
    for caller, whose, error in refusals:
        with pytest.raises(error):
            await kept(memories, caller, agent, "Not to be kept.", **whose)
    with pytest.raises(Invalid) as refused:
        await kept(memories, admin, agent, "Not to be kept.", thread_id=thread, user_id=other.user_id)
    assert [one.pointer for one in refused.value.errors] == ["/user_id"]
    assert await texts(memories, admin, agent) == []


async def test_what_is_known_is_not_kept_twice(
    memories: MemoryService, admin: Caller, member: Caller, other: Caller, agent: UUID
) -> None:
    first, is_new = await memories.create(admin, agent, MemoryCreate(text="I like tea.", user_id=member.user_id))
    assert (is_new, first.confirmations) == (True, 0)
    again, is_new = await memories.create(admin, agent, MemoryCreate(text=" i like TEA", user_id=member.user_id))
    assert (is_new, again.id, again.text, again.confirmations) == (False, first.id, "I like tea.", 1)
    for whose in (other.user_id, None):
        _, is_new = await memories.create(admin, agent, MemoryCreate(text="I like tea.", user_id=whose))
        assert is_new, "said of another subject it is another memory"


async def test_a_repeated_request_keeps_one(memories: MemoryService, admin: Caller, agent: UUID) -> None:
    operation, request = uuid4(), MemoryCreate(text="Once.")
    made = await asyncio.gather(*(memories.create(admin, agent, request, operation) for _ in range(10)))
    assert {(memory.id, is_new) for memory, is_new in made} == {(made[0][0].id, True)}
    memory = await memories.get(admin, made[0][0].id)
    assert (memory.confirmations, memory.revision) == (0, 1)
    await memories.forget(admin, memory.id)
    with pytest.raises(MemoryNotFound):  # the late repeat does not bring it back
        await memories.create(admin, agent, request, operation)


async def test_a_batch_is_kept_whole_or_not_at_all(
    memories: MemoryService, house: Remembering, admin: Caller, member: Caller, agent: UUID, owner: Connection
) -> None:
    known = await kept(memories, admin, agent, "Known.", user_id=member.user_id)
    batch = [MemoryCreate(text=f"Fact {number}.", user_id=member.user_id) for number in range(498)]
    batch += [MemoryCreate(text="known", user_id=member.user_id), MemoryCreate(text="fact 7", user_id=member.user_id)]
    operation = uuid4()
    done = await memories.create_all(admin, agent, batch, operation)
    assert (done.created, len(done.ids), len(set(done.ids))) == (498, 500, 499)
    assert (done.ids[498], done.ids[499]) == (known.id, done.ids[7])
    assert (await memories.get(admin, done.ids[3])).text == "Fact 3."
    assert await memories.create_all(admin, agent, batch, operation) == done
    assert (await memories.get(admin, known.id)).confirmations == 1

    before = await owner.fetchval("SELECT count(*) FROM memories")
    thread = await house.thread(member, agent)
    for fault, error in (
        (MemoryCreate(text="x", user_id=uuid4()), UserNotFound),
        (MemoryCreate(text="x", thread_id=uuid4()), ThreadNotFound),
        (MemoryCreate(text="x", thread_id=thread, user_id=admin.user_id), Invalid),
    ):
        with pytest.raises(error) as refused:
            await memories.create_all(admin, agent, [MemoryCreate(text="New."), fault])
        if isinstance(refused.value, Invalid):
            assert [one.pointer for one in refused.value.errors] == ["/memories/1/user_id"]
    assert await owner.fetchval("SELECT count(*) FROM memories") == before


# --- correcting ---


async def test_a_correction_is_a_new_revision(memories: MemoryService, admin: Caller, agent: UUID) -> None:
    memory = await kept(memories, admin, agent, "Opens at nine.")
    changed = await memories.update(admin, memory.id, MemoryUpdate(text="Opens at ten."))
    assert (changed.text, changed.revision, changed.kind) == ("Opens at ten.", 2, "note")
    same = await memories.update(admin, memory.id, MemoryUpdate(text="Opens at ten."))
    assert same.revision == 2
    until = datetime(2030, 1, 1, tzinfo=UTC)
    assert (await memories.update(admin, memory.id, MemoryUpdate(kind="fact", expires_at=until))).expires_at == until
    assert (await memories.update(admin, memory.id, MemoryUpdate(expires_at=None))).expires_at is None
    history = await memories.history(admin, memory.id)
    assert [(one.revision, one.action, one.text) for one in history[:2]] == [
        (1, "created", "Opens at nine."),
        (2, "edited", "Opens at ten."),
    ]
    assert {one.changed_by for one in history} == {admin.user_id}
    other = await kept(memories, admin, agent, "Opens at noon.")
    with pytest.raises(Conflict, match="says this already"):
        await memories.update(admin, other.id, MemoryUpdate(text="opens at TEN"))


async def test_what_was_superseded_can_be_made_current_again(
    memories: MemoryService, house: Remembering, admin: Caller, agent: UUID
) -> None:
    old, new = [await kept(memories, admin, agent, text) for text in ("It is blue.", "It is red.")]
    async with house.database.tenant(admin.tenant_id) as tx:
        await tx.memories.supersede(old.id, new.id)
    assert (await memories.get(admin, old.id)).superseded_by == new.id
    restored = await memories.update(admin, old.id, MemoryUpdate(superseded=False))
    assert (restored.superseded_by, restored.superseded_at) == (None, None)
    assert [one.action for one in await memories.history(admin, old.id)] == ["created", "superseded", "restored"]


async def test_a_change_needs_the_revision_it_was_made_for(memories: MemoryService, admin: Caller, agent: UUID) -> None:
    memory = await kept(memories, admin, agent, "One.")
    await memories.update(admin, memory.id, MemoryUpdate(text="Two."), frozenset({"1"}))
    with pytest.raises(PreconditionFailed) as refused:
        await memories.update(admin, memory.id, MemoryUpdate(text="Three."), frozenset({"1"}))
    assert refused.value.context == {"current_revision": 2}
    tries = [
        memories.update(admin, memory.id, MemoryUpdate(text=f"Try {number}."), frozenset({"2"})) for number in range(9)
    ]
    done = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(one, Memory) for one in done) == 1
    assert sum(isinstance(one, PreconditionFailed) for one in done) == 8
    assert len(await memories.history(admin, memory.id)) == 3


# --- forgetting ---


async def test_what_is_forgotten_is_gone_but_for_its_dates(
    memories: MemoryService, house: Remembering, admin: Caller, member: Caller, agent: UUID, owner: Connection
) -> None:
    memory = await kept(memories, member, agent, "A secret.", user_id=member.user_id)
    await memories.update(member, memory.id, MemoryUpdate(text="A sentinel."))
    await memories.forget(member, memory.id)
    with pytest.raises(MemoryNotFound):
        await memories.get(member, memory.id)
    with pytest.raises(MemoryNotFound):
        await memories.forget(member, memory.id)
    history = await memories.history(member, memory.id)
    assert [(one.action, one.text) for one in history] == [("created", None), ("edited", None), ("forgotten", None)]
    for table in ("memories", "memory_revisions", "audit_log", "outbox"):
        held = str([tuple(row) for row in await owner.fetch(f"TABLE {table}")])
        assert "secret" not in held, table
        assert "sentinel" not in held, table


async def test_everything_of_a_thread_is_forgotten(
    memories: MemoryService, house: Remembering, admin: Caller, member: Caller, other: Caller, agent: UUID
) -> None:
    thread, quiet = await house.thread(member, agent), await house.thread(member, agent)
    await kept(memories, member, agent, "Said there.", user_id=member.user_id, thread_id=thread)
    await kept(memories, member, agent, "For there.", thread_id=thread)
    await kept(memories, member, agent, "Elsewhere.", user_id=member.user_id)
    for nobody, nowhere in ((other, thread), (member, uuid4())):
        with pytest.raises(ThreadNotFound):
            await memories.forget_thread(nobody, nowhere)
    assert await memories.forget_thread(member, quiet) == 0
    assert await memories.forget_thread(member, thread) == 2
    assert await memories.forget_thread(member, thread) == 0
    assert await texts(memories, member, agent) == ["Elsewhere."]


async def test_what_comes_from_a_deleted_thread_can_be_forgotten(
    memories: MemoryService, house: Remembering, member: Caller, other: Caller, agent: UUID
) -> None:
    thread = await house.thread(member, agent)
    await kept(memories, member, agent, "Said there.", user_id=member.user_id, thread_id=thread)
    await kept(memories, member, agent, "For there.", thread_id=thread)
    await house.threads.delete(member, thread)
    assert await texts(memories, member, agent) == ["Said there."]
    with pytest.raises(ThreadNotFound):
        await memories.forget_thread(other, thread)
    assert await memories.forget_thread(member, thread) == 1
    with pytest.raises(ThreadNotFound):
        await memories.forget_thread(member, thread)


# --- the walls ---


async def test_a_memory_of_somebody_else_is_none(
    memories: MemoryService, admin: Caller, member: Caller, other: Caller, agent: UUID, tenant: TenantFactory
) -> None:
    stranger = await tenant()
    memory = await kept(memories, member, agent, "Mine.", user_id=member.user_id)
    in_general = await kept(memories, admin, agent, "Everybody's.")
    for caller, memory_id in ((other, memory.id), (stranger, memory.id), (member, in_general.id), (admin, uuid4())):
        said: set[str] = set()
        for attempt in (
            memories.get(caller, memory_id),
            memories.update(caller, memory_id, MemoryUpdate(text="Yours.")),
            memories.forget(caller, memory_id),
            memories.history(caller, memory_id),
        ):
            with pytest.raises(NotFound) as refused:
                await attempt
            said.add(f"{type(refused.value).__name__}: {refused.value.detail}")
        assert said == {"MemoryNotFound: There is no memory with this id."}
    assert (await memories.get(admin, memory.id)).text == "Mine."


async def test_the_audit_log_tells_who_and_never_what(
    memories: MemoryService, admin: Caller, agent: UUID, house: Remembering, owner: Connection
) -> None:
    memory = await kept(memories, admin, agent, "sentinel one")
    await memories.update(admin, memory.id, MemoryUpdate(text="sentinel two"))
    await memories.create_all(admin, agent, [MemoryCreate(text="sentinel three")])
    await memories.forget(admin, memory.id)
    async with house.database.tenant(admin.tenant_id) as tx:
        entries = await tx.audit.of_subject(memory.id)
    assert [one["action"] for one in entries] == ["memory.created", "memory.edited", "memory.forgotten"]
    assert {one["actor_id"] for one in entries} == {admin.user_id}
    assert entries[1]["detail"] == {"fields": ["text"], "revision": 2}
    log = await owner.fetchval("SELECT string_agg(a::text, ' ') FROM audit_log a")
    assert "memories.imported" in log
    assert "sentinel" not in log


async def test_every_change_wakes_the_index(
    memories: MemoryService, house: Remembering, admin: Caller, agent: UUID
) -> None:
    memory = await kept(memories, admin, agent, "x" * LONGEST_MEMORY)
    for change in (
        memories.create_all(admin, agent, [MemoryCreate(text="More.")]),
        memories.update(admin, memory.id, MemoryUpdate(text="Other.")),
        memories.forget(admin, memory.id),
    ):
        before = house.woken
        await change
        assert house.woken == before + 1
