"""Turns that come twice: a retry doubles nothing, whichever process it reaches and whatever happened in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from backend.errors import AgentArchived, ModelUnavailable, RequestInProgress, RunStopped
from backend.models.agent_requests import AgentUpdateRequest
from backend.models.run import ChatReply, ChatRequest
from backend.models.tenant import Caller
from backend.models.thread import ThreadUpdate
from backend.services.turn_ledger import OpenTurn, TurnLedger
from backend.stores.database import Database
from backend.stores.runs import Outcome
from backend.tests.factories import TenantFactory
from backend.tests.fakes import ScriptedModel, fails, says, waits
from backend.tests.services.one_server import OneServer, all_events, answered, one_server, rows, thread_of

if TYPE_CHECKING:
    from asyncpg import Connection

TABLES = ("threads", "thread_messages", "runs")


@pytest.fixture
async def server(database: Database) -> AsyncGenerator[OneServer]:
    async with one_server(database) as opened:
        yield opened


@pytest.fixture
async def caller(tenant: TenantFactory) -> Caller:
    return await tenant()


async def test_a_repeated_turn_has_the_same_answer_without_the_model(
    server: OneServer, caller: Caller, database: Database, owner: Connection
) -> None:
    agent, operation = await server.agent(caller), uuid4()
    run = await server.start(caller, agent, "Hello", None, operation)
    events, reply = await all_events(run), await run.reply()
    async with one_server(database) as other:
        for which in (server, other):
            assert await which.say(caller, agent, "Hello", None, operation) == reply
            again = await which.start(caller, agent, "Hello", None, operation)
            told = await all_events(again)
            assert [event.data for event in told if event.type != "message.delta"] == [
                event.data for event in events if event.type != "message.delta"
            ]
        assert other.model.requests == []
    assert len(server.model.requests) == 1
    assert await rows(owner, *TABLES) == [1, 2, 1]
    assert (await server.agents.record(caller, agent)).interaction_count == 1


async def test_a_repeat_joins_the_turn_that_still_runs(server: OneServer, caller: Caller) -> None:
    agent, operation, go = await server.agent(caller), uuid4(), asyncio.Event()
    server.model.then(waits(go, "Good ", "evening"))
    first = await server.start(caller, agent, "Hello", None, operation)
    assert await server.start(caller, agent, "Hello", None, operation) is first
    go.set()
    assert (await answered(first)).response == "Good evening"


@pytest.mark.parametrize("thread", ["new", "given"])
async def test_repeats_at_once_make_one_turn(
    thread: str, database: Database, caller: Caller, owner: Connection
) -> None:
    model = ScriptedModel()
    async with one_server(database, model, patience=2) as one, one_server(database, model, patience=2) as other:
        agent, operation = await one.agent(caller), uuid4()
        given = (await one.threads.create_thread(caller, agent)).id if thread == "given" else None
        found = await asyncio.gather(
            *(server.say(caller, agent, "Hello", given, operation) for server in (one, other) * 4),
            return_exceptions=True,
        )
    replies = [reply for reply in found if isinstance(reply, ChatReply)]
    assert replies
    assert all(reply == replies[0] for reply in replies)
    assert {type(one) for one in found} <= {ChatReply, RequestInProgress}
    assert len(model.requests) == 1
    assert await rows(owner, *TABLES) == [1, 2, 1]


async def test_retries_at_once_of_a_failed_turn_make_one_answer(
    database: Database, caller: Caller, owner: Connection
) -> None:
    model = ScriptedModel(fails(ModelUnavailable("away")))
    async with one_server(database, model, patience=2) as one, one_server(database, model, patience=2) as other:
        agent, operation = await one.agent(caller), uuid4()
        with pytest.raises(ModelUnavailable):
            await one.say(caller, agent, "Hello", None, operation)
        found = await asyncio.gather(
            *(server.say(caller, agent, "Hello", None, operation) for server in (one, other) * 4),
            return_exceptions=True,
        )
        assert {reply.response for reply in found if isinstance(reply, ChatReply)} == {"Answer 2"}
        assert {type(one) for one in found} <= {ChatReply, RequestInProgress}
    assert len(model.requests) == 2
    assert await rows(owner, *TABLES) == [1, 2, 1]


async def test_a_retry_after_other_turns_answers_at_its_own_place(server: OneServer, caller: Caller) -> None:
    agent, operation = await server.agent(caller), uuid4()
    thread = (await server.say(caller, agent, "First")).thread_id
    server.model.then(fails(ModelUnavailable("away")))
    with pytest.raises(ModelUnavailable):
        await server.say(caller, agent, "Second", thread, operation)
    await server.say(caller, agent, "Third", thread)
    server.model.then(says("Late"))
    reply = await server.say(caller, agent, "Second", thread, operation)
    assert reply.metadata.message_count == 6
    assert [(one.position, one.content) for one in await server.messages(caller, thread)] == [
        (1, "First"), (2, "Answer 1"), (3, "Second"), (4, "Late"), (5, "Third"), (6, "Answer 3"),
    ]  # fmt: skip
    asked = [(one.role, one.content) for one in server.model.requests[-1].messages[1:]]
    assert asked == [("user", "First"), ("assistant", "Answer 1"), ("user", "Second")]


async def test_a_retry_is_answered_although_its_thread_was_archived_meanwhile(
    server: OneServer, caller: Caller, owner: Connection
) -> None:
    agent, operation = await server.agent(caller), uuid4()
    server.model.then(fails(ModelUnavailable("away")))
    run = await server.start(caller, agent, "Hello", None, operation)
    await run.ending()
    await server.threads.update(caller, thread_of(run), ThreadUpdate(status="archived"))
    reply = await server.say(caller, agent, "Hello", None, operation)
    assert reply.thread_id == thread_of(run)
    assert await rows(owner, *TABLES) == [1, 2, 1]


async def test_a_retry_with_an_archived_agent_is_refused(server: OneServer, caller: Caller, owner: Connection) -> None:
    agent, operation = await server.agent(caller), uuid4()
    server.model.then(fails(ModelUnavailable("away")))
    with pytest.raises(ModelUnavailable):
        await server.say(caller, agent, "Hello", None, operation)
    await server.agents.update(caller, agent, AgentUpdateRequest(status="archived"))
    with pytest.raises(AgentArchived):
        await server.say(caller, agent, "Hello", None, operation)
    assert await rows(owner, *TABLES) == [1, 2, 1]


async def test_a_repeat_to_an_archived_thread_goes_to_the_same_new_one(
    server: OneServer, caller: Caller, owner: Connection
) -> None:
    agent, operation = await server.agent(caller), uuid4()
    old = (await server.threads.create_thread(caller, agent)).id
    await server.threads.update(caller, old, ThreadUpdate(status="archived"))
    first = await server.say(caller, agent, "Hello", old, operation)
    assert await server.say(caller, agent, "Hello", old, operation) == first
    assert await rows(owner, *TABLES) == [2, 2, 1]


async def test_a_cancelled_turn_stays_cancelled(server: OneServer, caller: Caller) -> None:
    agent, operation = await server.agent(caller), uuid4()
    server.model.then(waits(asyncio.Event(), "Half"))
    run = await server.start(caller, agent, "Hello", None, operation)
    while run.text != "Half":  # noqa: ASYNC110 — the model says when
        await asyncio.sleep(0)
    await server.runs.cancel(caller, run.run_id)
    with pytest.raises(RunStopped):
        await server.say(caller, agent, "Hello", None, operation)
    assert len(server.model.requests) == 1


async def test_a_repeat_while_another_process_answers_is_told_to_wait(database: Database, caller: Caller) -> None:
    go = asyncio.Event()
    async with one_server(database, ScriptedModel(waits(go))) as one, one_server(database) as other:
        agent, operation = await one.agent(caller), uuid4()
        run = await one.start(caller, agent, "Hello", None, operation)
        with pytest.raises(RequestInProgress) as told:
            await other.say(caller, agent, "Hello", None, operation)
        assert told.value.context == {"retry_after": 1}
        go.set()
        reply = await run.reply()
        assert await other.say(caller, agent, "Hello", None, operation) == reply


# --- the handover between processes ---


async def opened(ledger: TurnLedger, caller: Caller, agent: object, message: str, thread: object) -> OpenTurn:
    request = ChatRequest.model_validate({"message": message, "thread_id": thread})
    turn = await ledger.open(caller, agent, request)  # pyright: ignore[reportArgumentType]
    assert isinstance(turn, OpenTurn)
    return turn


async def test_a_turn_that_waited_for_another_message_knows_it(
    server: OneServer, caller: Caller, database: Database, owner: Connection
) -> None:
    """The statement that claims the thread looks at the messages first, then waits for the thread's row."""
    agent = await server.agent(caller)
    thread = (await server.threads.create_thread(caller, agent)).id
    async with database.tenant(caller.tenant_id) as tx:
        await tx.threads.add_message(thread, uuid4(), "assistant", "Welcome", b"{}")
        waiting = asyncio.create_task(opened(server.ledger, caller, agent, "Hello", thread))
        async with asyncio.timeout(30):
            while not await owner.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    begun = (await waiting).begun
    assert ([one.content for one in begun.history], begun.position) == (["Welcome"], 2)


def _answered(text: str) -> Outcome:
    return Outcome(text, "complete", "completed", {}, [])


async def test_a_turn_that_nobody_drives_any_more_is_taken_over_in_the_end(
    server: OneServer, caller: Caller, owner: Connection
) -> None:
    agent = await server.agent(caller)
    thread = (await server.threads.create_thread(caller, agent)).id
    await opened(server.ledger, caller, agent, "First", thread)
    await owner.execute("UPDATE threads SET active_until = now() - interval '1 s'")
    reply = await server.say(caller, agent, "Second", thread)
    assert reply.metadata.message_count == 3


async def test_who_lost_the_thread_stores_nothing(database: Database, caller: Caller, owner: Connection) -> None:
    go, model = asyncio.Event(), ScriptedModel()
    model.then(waits(go, "Slow ", "answer"))
    async with one_server(database, model) as paused, one_server(database) as other:
        agent = await paused.agent(caller)
        thread = (await paused.threads.create_thread(caller, agent)).id
        run = await paused.start(caller, agent, "First", thread)
        await owner.execute("UPDATE threads SET active_run_id = gen_random_uuid(), active_until = now()")
        await other.say(caller, agent, "Second", thread)
        go.set()
        with pytest.raises(RunStopped):
            await run.reply()
        assert [one.content for one in await other.messages(caller, thread)] == ["First", "Second", "Answer 1"]
        assert (await all_events(run))[-1].type == "run.failed"


async def test_recovering_and_keeping_at_once_do_not_block_each_other(
    server: OneServer, caller: Caller, owner: Connection
) -> None:
    agent = await server.agent(caller)
    for _ in range(15):
        turn = await opened(server.ledger, caller, agent, "Hello", None)
        await owner.execute("UPDATE runs SET leased_until = now() - interval '1 s' WHERE status = 'running'")
        found = await asyncio.gather(
            server.runs.recover_orphans(),
            server.ledger.keep(turn, "said", []),
            server.ledger.finish(turn, _answered("said")),
            server.runs.recover_orphans(),
        )
        assert found[0] + found[3] + found[2] == 1
    assert await owner.fetchval("SELECT count(*) FROM runs WHERE status = 'running'") == 0
    assert (await rows(owner, "thread_messages")) == [30]
