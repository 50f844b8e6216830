"""Conversations: whose they are, what they hold, and that nothing of them is lost or shown to others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from backend.errors import AgentNotFound, MessageNotFound, ThreadBusy, ThreadNotFound
from backend.models.page import Cursor
from backend.models.tenant import Caller, Role
from backend.models.thread import Feedback, Thread, ThreadUpdate
from backend.services.thread_manager import ThreadManager
from backend.stores.database import Database
from backend.tests.factories import TenantFactory, make_user
from backend.tests.fakes import waits
from backend.tests.services.one_server import OneServer, one_server, rows

if TYPE_CHECKING:
    from asyncpg import Connection


@pytest.fixture
async def server(database: Database) -> AsyncGenerator[OneServer]:
    async with one_server(database) as opened:
        yield opened


@pytest.fixture
def threads(server: OneServer) -> ThreadManager:
    return server.threads


@pytest.fixture
async def caller(tenant: TenantFactory) -> Caller:
    return await tenant()


@pytest.fixture
async def member(caller: Caller, database: Database) -> Caller:
    """A person who sees only their own conversations."""
    return await make_user(database, caller.tenant_id)


@pytest.fixture
async def agent(server: OneServer, caller: Caller) -> UUID:
    return await server.agent(caller)


async def names(
    threads: ThreadManager, caller: Caller, agent: UUID, status: str | None = None, **place: Any
) -> list[str]:
    place = {"cursor": None, "limit": 50, "offset": 0} | place
    return [one.title for one in (await threads.list_page(caller, agent, status, **place)).items]


# --- making ---


async def test_a_new_thread(threads: ThreadManager, member: Caller, agent: UUID) -> None:
    thread = await threads.create_thread(member, agent, "First meeting")
    assert (thread.agent_id, thread.user_id, thread.title) == (agent, member.user_id, "First meeting")
    assert (thread.status, thread.message_count, thread.last_message_at) == ("active", 0, None)
    assert await threads.get(member, thread.id) == thread
    with pytest.raises(AgentNotFound):
        await threads.create_thread(member, uuid4())


async def test_a_repeated_request_makes_one(
    threads: ThreadManager, member: Caller, agent: UUID, owner: Connection
) -> None:
    operation = uuid4()
    made = await asyncio.gather(*(threads.create_thread(member, agent, "Once", operation) for _ in range(5)))
    assert len({one.id for one in made}) == 1
    assert await rows(owner, "threads") == [1]


async def test_get_or_create(
    threads: ThreadManager, member: Caller, caller: Caller, agent: UUID, server: OneServer, tenant: TenantFactory
) -> None:
    first = await threads.get_or_create_thread(member, agent, None)
    assert await threads.get_or_create_thread(member, agent, first.id) == first
    assert (await threads.get_or_create_thread(member, agent, None)).id != first.id
    await threads.update(member, first.id, ThreadUpdate(status="archived"))
    assert (await threads.get_or_create_thread(member, agent, first.id)).id != first.id
    theirs = await threads.get_or_create_thread(caller, agent, None)
    other_agent = await server.agent(caller)
    for who, whose, which in ((member, agent, theirs.id), (member, agent, uuid4()), (caller, other_agent, theirs.id)):
        with pytest.raises(ThreadNotFound):
            await threads.get_or_create_thread(who, whose, which)
    with pytest.raises(ThreadNotFound):  # an admin sees it, but does not speak in it
        await threads.get_or_create_thread(caller, agent, first.id)
    with pytest.raises(AgentNotFound):
        await threads.get_or_create_thread(await tenant(), agent, first.id)


# --- lists ---


async def test_lists(threads: ThreadManager, member: Caller, caller: Caller, agent: UUID, server: OneServer) -> None:
    for number in range(5):
        await threads.create_thread(member, agent, f"Mine {number}")
    await threads.create_thread(caller, agent, "Theirs")
    await threads.create_thread(member, await server.agent(caller), "Elsewhere")
    mine = ["Mine 4", "Mine 3", "Mine 2", "Mine 1", "Mine 0"]
    assert await names(threads, member, agent) == mine
    assert await names(threads, caller, agent) == ["Theirs", *mine]
    page = await threads.list_page(member, agent, None, None, 2, 0)
    assert (page.total, page.next is not None) == (5, True)
    walked = [one.title for one in page.items]
    while page.next is not None:
        page = await threads.list_page(member, agent, None, Cursor.decode(page.next.encode()), 2, 0)
        walked += [one.title for one in page.items]
    assert walked == mine
    assert await names(threads, member, agent, limit=2, offset=4) == ["Mine 0"]
    page = await threads.list_page(member, agent, None, None, 2, 40)
    assert (page.items, page.total, page.next) == ([], 5, None)
    with pytest.raises(AgentNotFound):
        await threads.list_page(member, uuid4(), None, None, 2, 0)


async def test_archived_threads_leave_the_list(threads: ThreadManager, member: Caller, agent: UUID) -> None:
    old = await threads.create_thread(member, agent, "Old")
    await threads.create_thread(member, agent, "New")
    await threads.update(member, old.id, ThreadUpdate(status="archived"))
    assert await names(threads, member, agent) == ["New"]
    assert await names(threads, member, agent, "archived") == ["Old"]
    assert await names(threads, member, agent, "active") == ["New"]
    await threads.update(member, old.id, ThreadUpdate(status="active"))
    assert await names(threads, member, agent) == ["New", "Old"]


# --- changing ---


async def test_only_what_was_sent_is_changed(threads: ThreadManager, member: Caller, agent: UUID) -> None:
    thread = await threads.create_thread(member, agent, "First")
    assert (await threads.update(member, thread.id, ThreadUpdate(status="archived"))).title == "First"
    changed = await threads.update(member, thread.id, ThreadUpdate(title="Second"))
    assert (changed.title, changed.status) == ("Second", "archived")
    assert (await threads.update(member, thread.id, ThreadUpdate(title=""))).title == ""


async def test_a_deleted_thread_is_gone_with_all_it_held(
    threads: ThreadManager, member: Caller, agent: UUID, server: OneServer, database: Database, owner: Connection
) -> None:
    thread = (await server.say(member, agent, "Hello")).thread_id
    await threads.delete(member, thread)
    assert await rows(owner, "threads", "thread_messages", "runs") == [0, 0, 0]
    with pytest.raises(ThreadNotFound):
        await threads.delete(member, thread)
    async with database.tenant(member.tenant_id) as tx:
        assert [one["action"] for one in await tx.audit.of_subject(thread)] == ["thread.deleted"]


async def test_a_thread_that_is_being_answered_is_not_deleted(
    threads: ThreadManager, member: Caller, agent: UUID, server: OneServer
) -> None:
    go = asyncio.Event()
    server.model.then(waits(go, "", "Hi"))
    thread = (await threads.create_thread(member, agent)).id
    run = await server.start(member, agent, "Hello", thread)
    with pytest.raises(ThreadBusy):
        await threads.delete(member, thread)
    go.set()
    await run.reply()
    await threads.delete(member, thread)


# --- messages ---


async def talk(threads: ThreadManager, caller: Caller, agent: UUID, count: int) -> Thread:
    thread = await threads.create_thread(caller, agent)
    for number in range(1, count + 1):
        await threads.add_message(caller, thread.id, "user" if number % 2 else "assistant", f"Message {number}")
    return await threads.get(caller, thread.id)


async def test_a_message_and_its_count_go_together(
    threads: ThreadManager, member: Caller, agent: UUID, owner: Connection
) -> None:
    thread = await threads.create_thread(member, agent)
    added = await asyncio.gather(*(threads.add_message(member, thread.id, "user", str(n)) for n in range(20)))
    assert sorted(one.position for one in added) == list(range(1, 21))
    after = await threads.get(member, thread.id)
    assert after.message_count == 20
    assert after.last_message_at is not None
    message = await threads.add_message(member, thread.id, "system", "Note", {"source": "import"})
    assert (message.metadata, message.role, message.position) == ({"source": "import"}, "system", 21)
    with pytest.raises(asyncpg.CheckViolationError):
        await threads.add_message(member, thread.id, "nobody", "Hello")  # pyright: ignore[reportArgumentType]
    assert (await threads.get(member, thread.id)).message_count == 21
    assert await rows(owner, "thread_messages") == [21]


async def test_history_is_the_newest_in_the_order_it_was_said(
    threads: ThreadManager, member: Caller, agent: UUID
) -> None:
    thread = (await talk(threads, member, agent, 7)).id
    newest = await threads.get_thread_history(member, thread, limit=3)
    assert [one.content for one in newest] == ["Message 5", "Message 6", "Message 7"]
    before = await threads.get_thread_history(member, thread, limit=3, before=newest[0].id)
    assert [one.content for one in before] == ["Message 2", "Message 3", "Message 4"]
    first = await threads.get_thread_history(member, thread, limit=3, before=before[0].id)
    assert [one.content for one in first] == ["Message 1"]
    assert await threads.get_thread_history(member, thread, before=first[0].id) == []
    assert len(await threads.get_thread_history(member, thread)) == 7


async def test_history_of_what_is_not_there_is_an_error(threads: ThreadManager, member: Caller, agent: UUID) -> None:
    one, other = await talk(threads, member, agent, 1), await talk(threads, member, agent, 1)
    foreign = (await threads.get_thread_history(member, other.id))[0].id
    with pytest.raises(ThreadNotFound):
        await threads.get_thread_history(member, uuid4())
    for before in (foreign, uuid4()):
        with pytest.raises(MessageNotFound):
            await threads.get_thread_history(member, one.id, before=before)


@pytest.mark.parametrize("score", [-1.0, -0.3, 0.0, 0.1, 0.7, 1.0])
async def test_feedback_is_kept_as_it_was_given(
    score: float, threads: ThreadManager, member: Caller, agent: UUID
) -> None:
    thread = await talk(threads, member, agent, 2)
    question, answer = await threads.get_thread_history(member, thread.id)
    given = await threads.give_feedback(member, thread.id, answer.id, Feedback(score=score, reason="Because"))
    assert (given.feedback_score, given.feedback_reason) == (score, "Because")
    again = await threads.give_feedback(member, thread.id, answer.id, Feedback(score=score))
    assert (await threads.get_thread_history(member, thread.id))[-1] == again
    assert again.feedback_reason is None
    for absent in (question.id, uuid4()):
        with pytest.raises(MessageNotFound):
            await threads.give_feedback(member, thread.id, absent, Feedback(score=1.0))


# --- others ---


@pytest.mark.parametrize("who", ["colleague", "stranger"])
async def test_other_people_find_nothing(
    who: str, threads: ThreadManager, member: Caller, agent: UUID, tenant: TenantFactory, database: Database
) -> None:
    thread = await talk(threads, member, agent, 2)
    message = (await threads.get_thread_history(member, thread.id))[-1].id
    other = await make_user(database, member.tenant_id) if who == "colleague" else await tenant()
    attempts = [
        threads.get(other, thread.id),
        threads.update(other, thread.id, ThreadUpdate(title="Mine")),
        threads.delete(other, thread.id),
        threads.add_message(other, thread.id, "user", "Hello"),
        threads.get_thread_history(other, thread.id),
        threads.give_feedback(other, thread.id, message, Feedback(score=1.0)),
    ]
    for attempt in attempts:
        with pytest.raises(ThreadNotFound):
            await attempt
    assert await threads.get(member, thread.id) == thread


async def test_an_admin_sees_the_tenants_conversations(
    threads: ThreadManager, member: Caller, agent: UUID, database: Database
) -> None:
    thread = await talk(threads, member, agent, 2)
    admin = await make_user(database, member.tenant_id, Role.ADMIN)
    assert await threads.get(admin, thread.id) == thread
    assert len(await threads.get_thread_history(admin, thread.id)) == 2
    assert (await threads.update(admin, thread.id, ThreadUpdate(title="Seen"))).user_id == member.user_id
