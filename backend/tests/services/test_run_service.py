"""Runs belong to the server: watched from any place, stopped, finished without an audience, and found again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest

from backend.errors import DatabaseUnavailable, ModelUnavailable, RunFinished, RunNotFound, RunStopped, ShuttingDown
from backend.models.events import Place, ServerEvent
from backend.models.run import ChatReply, ChatRequest
from backend.models.tenant import Caller
from backend.services.live_run import LiveRun
from backend.services.turn_ledger import OpenTurn
from backend.stores.database import Database
from backend.stores.pool import open_pool
from backend.stores.roles import Logins
from backend.tests.factories import TenantFactory, make_user
from backend.tests.fakes import ScriptedModel, fails, says, waits
from backend.tests.services.one_server import OneServer, all_events, answered, one_server, text_of, thread_of

if TYPE_CHECKING:
    from asyncpg import Connection

NEVER = asyncio.Event()


@pytest.fixture
async def server(database: Database) -> AsyncGenerator[OneServer]:
    async with one_server(database) as opened:
        yield opened


@pytest.fixture
async def caller(tenant: TenantFactory) -> Caller:
    return await tenant()


async def until_said(run: LiveRun, text: str) -> None:
    """Wait until the run has said so much."""
    async with asyncio.timeout(30):
        async for event in run.events(Place()):
            if event.type == "message.delta" and run.text == text:
                return


async def last_message(server: OneServer, caller: Caller, thread: UUID) -> tuple[str, str]:
    message = (await server.messages(caller, thread))[-1]
    return message.status, message.content


async def followed(server: OneServer, caller: Caller, run_id: UUID, place: Place | None = None) -> list[ServerEvent]:
    async with asyncio.timeout(30):
        return [event async for event in await server.runs.events(caller, run_id, place or Place())]


# --- the audience ---


async def test_a_run_goes_on_when_its_listener_goes_away(server: OneServer, caller: Caller) -> None:
    go = asyncio.Event()
    server.model.then(waits(go, "Good ", "evening"))
    run = await server.start(caller, await server.agent(caller), "Hello")
    await until_said(run, "Good ")  # and is gone
    go.set()
    assert (await answered(run)).response == "Good evening"
    assert await last_message(server, caller, thread_of(run)) == ("complete", "Good evening")


async def test_a_run_goes_on_when_who_waits_for_the_reply_is_cancelled(server: OneServer, caller: Caller) -> None:
    go, asked = asyncio.Event(), asyncio.Event()

    async def step(_: object) -> AsyncGenerator[str]:
        asked.set()
        await go.wait()
        yield "Good evening"

    server.model.then(step)
    agent = await server.agent(caller)
    thread = (await server.threads.create_thread(caller, agent)).id
    waiting = asyncio.create_task(server.say(caller, agent, "Hello", thread))
    await asked.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    go.set()
    await server.say(caller, agent, "Hello again", thread)  # waits for the turn before it
    said = [message.content for message in await server.messages(caller, thread)]
    assert said == ["Hello", "Good evening", "Hello again", "Answer 2"]


@pytest.mark.parametrize("when", ["live", "stored", "elsewhere"])
async def test_a_stream_can_be_taken_up_at_any_event(when: str, database: Database, caller: Caller) -> None:
    go = asyncio.Event()
    model = ScriptedModel(waits(go, "Good ", "evening"))
    async with one_server(database, model) as server, one_server(database) as other:
        run = await server.start(caller, await server.agent(caller), "Hello")
        await until_said(run, "Good ")
        if when != "stored":
            later = asyncio.get_running_loop().call_later(0.05, go.set)
        else:
            later = None
            go.set()
            await run.ending()
        events = await followed(other if when == "elsewhere" else server, caller, run.run_id)
        if later:
            later.cancel()
        assert text_of(events) == "Good evening"
        assert events[-1].type == "message.completed"
        for at, event in enumerate(events):
            rest = await followed(server, caller, run.run_id, Place.parse(event.id))
            following = events[at + 1 :] or events[-1:]
            assert [one for one in rest if one.type != "message.delta"] == [
                one for one in following if one.type != "message.delta"
            ]
            assert text_of(rest) == text_of(following)


@pytest.mark.parametrize("place", [Place(0, 999), Place(999, 0), Place(999, 999)])
async def test_a_place_beyond_the_end_waits_for_the_end(place: Place, server: OneServer, caller: Caller) -> None:
    go = asyncio.Event()
    server.model.then(waits(go, "Good ", "evening"))
    run = await server.start(caller, await server.agent(caller), "Hello")
    await until_said(run, "Good ")
    asyncio.get_running_loop().call_later(0.02, go.set)
    assert (await all_events(run, place))[-1].type == "message.completed"
    assert (await followed(server, caller, run.run_id, place))[-1].type == "message.completed"


async def test_runs_are_seen_by_those_who_see_the_thread(
    server: OneServer, caller: Caller, tenant: TenantFactory, database: Database
) -> None:
    owner_of_run = await make_user(database, caller.tenant_id)
    reply = await server.say(owner_of_run, await server.agent(caller), "Hello")
    run_id = reply.metadata.run_id
    for seeing in (owner_of_run, caller):
        assert (await server.runs.get(seeing, run_id)).user_id == owner_of_run.user_id
    for blind in (await make_user(database, caller.tenant_id), await tenant()):
        for attempt in (
            server.runs.get(blind, run_id),
            server.runs.events(blind, run_id, Place()),
            server.runs.cancel(blind, run_id),
        ):
            with pytest.raises(RunNotFound):
                await attempt


# --- cancelling ---


async def test_cancelling_keeps_what_was_said(server: OneServer, caller: Caller) -> None:
    server.model.then(waits(NEVER, "Half an ans"))
    agent = await server.agent(caller)
    run = await server.start(caller, agent, "Hello")
    await until_said(run, "Half an ans")
    stored = await server.runs.cancel(caller, run.run_id)
    assert (stored.status, stored.text) == ("cancelled", "Half an ans")
    assert await last_message(server, caller, thread_of(run)) == ("cancelled", "Half an ans")
    with pytest.raises(RunStopped):
        await run.reply()
    last = (await followed(server, caller, run.run_id))[-1]
    assert (last.type, last.data["code"]) == ("run.failed", "run-stopped")
    with pytest.raises(RunFinished):
        await server.runs.cancel(caller, run.run_id)
    assert server.model.at_once == 0
    reply = await server.say(caller, agent, "Go on", thread_of(run))  # the thread is free, the half answer is told
    assert [one.content for one in server.model.requests[-1].messages[1:]] == ["Hello", "Half an ans", "Go on"]
    assert reply.metadata.message_count == 4


async def test_cancelling_before_the_model_was_asked(server: OneServer, caller: Caller) -> None:
    run = await server.start(caller, await server.agent(caller), "Hello")
    run.stop("cancelled")
    await run.ending()
    assert (await server.runs.get(caller, run.run_id)).status == "cancelled"
    assert server.model.requests == []
    assert len(await server.messages(caller, thread_of(run))) == 2


async def test_cancelling_a_run_of_another_process(database: Database, caller: Caller) -> None:
    model = ScriptedModel(waits(NEVER, "Half an ans"))
    async with one_server(database, model) as server, one_server(database) as other:
        run = await server.start(caller, await server.agent(caller), "Hello")
        await until_said(run, "Half an ans")
        assert (await other.runs.cancel(caller, run.run_id)).status == "running"
        assert (await followed(other, caller, run.run_id))[-1].type == "run.failed"
        assert (await other.runs.get(caller, run.run_id)).status == "cancelled"
        assert await last_message(other, caller, thread_of(run)) == ("cancelled", "Half an ans")


async def test_an_answer_that_was_whole_stays_whole(server: OneServer, caller: Caller) -> None:
    run = await server.start(caller, await server.agent(caller), "Hello")
    await run.reply()
    run.stop("cancelled")
    with pytest.raises(RunFinished, match="completed"):
        await server.runs.cancel(caller, run.run_id)


# --- a server that is lost ---


async def abandoned(server: OneServer, caller: Caller, operation: UUID | None = None, said: str = "Half") -> OpenTurn:
    """A turn whose server was killed in the middle of the answer."""
    turn = await server.ledger.open(caller, await server.agent(caller), ChatRequest(message="Hello"), operation)
    assert isinstance(turn, OpenTurn)
    assert await server.ledger.keep(turn, said, []) is False
    return turn


@pytest.mark.parametrize(("said", "status"), [("Half an ans", "partial"), ("", "failed")])
async def test_a_run_of_a_lost_server_is_marked_and_its_thread_is_free(
    said: str, status: str, server: OneServer, caller: Caller, owner: Connection
) -> None:
    operation = uuid4()
    turn = await abandoned(server, caller, operation, said)
    assert await server.runs.recover_orphans() == 0  # somebody may still be at it
    await owner.execute("UPDATE runs SET leased_until = now() - interval '1 s'")
    assert sum(await asyncio.gather(*(server.runs.recover_orphans() for _ in range(4)))) == 1
    assert await last_message(server, caller, turn.ids.thread_id) == (status, said)
    assert (await server.runs.get(caller, turn.ids.run_id)).status == "failed"
    assert (await followed(server, caller, turn.ids.run_id))[-1].type == "run.failed"
    assert await server.ledger.keep(turn, "too late", []) is None
    reply = await server.say(caller, turn.ids.agent_id, "Hello", None, operation)  # the client tries again
    assert (reply.message_id, reply.metadata.message_count) == (turn.ids.assistant_message_id, 2)
    assert await last_message(server, caller, turn.ids.thread_id) == ("complete", "Answer 1")


async def test_the_only_server_does_not_wait_for_leases(server: OneServer, caller: Caller) -> None:
    await abandoned(server, caller)
    assert await server.runs.recover_orphans(even_leased=True) == 1
    assert await server.runs.recover_orphans(even_leased=True) == 0


async def test_a_run_that_lives_here_is_no_orphan(server: OneServer, caller: Caller, owner: Connection) -> None:
    go = asyncio.Event()
    server.model.then(waits(go, "", "Good evening"))
    run = await server.start(caller, await server.agent(caller), "Hello")
    await owner.execute("UPDATE runs SET leased_until = now() - interval '1 s'")
    assert await server.runs.recover_orphans() == 0
    assert await server.runs.recover_orphans(even_leased=True) == 0
    go.set()
    assert (await answered(run)).response == "Good evening"


async def test_what_is_said_is_kept_while_it_is_said(server: OneServer, caller: Caller, owner: Connection) -> None:
    server.model.then(waits(NEVER, "Half an ans"))
    run = await server.start(caller, await server.agent(caller), "Hello")
    async with asyncio.timeout(30):
        while (await server.runs.get(caller, run.run_id)).text != "Half an ans":  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert await owner.fetchval("SELECT leased_until > now() + interval '10 s' FROM runs")


# --- shutdown ---


async def test_a_shutdown_waits_for_answers_that_come_soon(server: OneServer, caller: Caller) -> None:
    go = asyncio.Event()
    server.model.then(waits(go, "Good ", "evening"))
    run = await server.start(caller, await server.agent(caller), "Hello")
    asyncio.get_running_loop().call_later(0.05, go.set)
    await server.registry.close(4)
    assert (await answered(run)).response == "Good evening"


async def test_a_shutdown_marks_what_it_cannot_wait_for(server: OneServer, caller: Caller) -> None:
    server.model.then(waits(NEVER, "Half an ans"), waits(NEVER))
    agent = await server.agent(caller)
    speaking, silent = await server.start(caller, agent, "One"), await server.start(caller, agent, "Two")
    await until_said(speaking, "Half an ans")
    await server.registry.close(0.1)
    assert await last_message(server, caller, thread_of(speaking)) == ("partial", "Half an ans")
    assert await last_message(server, caller, thread_of(silent)) == ("failed", "")
    for run in (speaking, silent):
        with pytest.raises(RunStopped) as stopped:
            await run.reply()
        assert stopped.value.context["retry_after"] == 2
    with pytest.raises(ShuttingDown):
        await server.say(caller, agent, "Three")


async def test_a_turn_that_slips_in_while_the_server_closes_is_marked(
    server: OneServer, caller: Caller, database: Database
) -> None:
    agent = await server.agent(caller)
    thread = (await server.threads.create_thread(caller, agent)).id
    async with database.tenant(caller.tenant_id) as tx:
        await tx.threads.update(thread, None, "locked", None)
        starting = asyncio.create_task(server.start(caller, agent, "Hello", thread))
        await asyncio.sleep(0.05)  # it waits for the thread's row
        await server.registry.close(0)
    run = await starting
    with pytest.raises(RunStopped):
        await run.reply()
    assert [one.status for one in await server.messages(caller, thread)] == ["complete", "failed"]
    assert server.model.requests == []


# --- the database is lost ---


@pytest.fixture
async def fragile(database_url: str, owner: Connection) -> AsyncGenerator[Database]:
    """A database of its own pools, which `outage` can cut off."""
    logins = Logins.derived(database_url)
    app = await open_pool(logins.app, size=3, name="fragile")
    worker = await open_pool(logins.worker, size=1, name="fragile")
    opened = Database(app, worker, acquire_seconds=0.5)
    yield opened
    await owner.execute("ALTER DATABASE numen_tests CONNECTION LIMIT -1")
    await opened.close()


async def outage(owner: Connection) -> None:
    """Nobody gets in, and who was in is out."""
    await owner.execute("ALTER DATABASE numen_tests CONNECTION LIMIT 0")
    await owner.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'fragile'")


async def test_an_answer_is_stored_when_the_database_comes_back(
    fragile: Database, database: Database, caller: Caller, owner: Connection
) -> None:
    async with one_server(fragile) as server, one_server(database) as witness:
        agent, lost = await server.agent(caller), asyncio.Event()

        async def lose_it(_: object) -> AsyncGenerator[str]:
            yield "Good evening"
            await outage(owner)
            lost.set()

        server.model.then(lose_it)
        run = await server.start(caller, agent, "Hello")
        await lost.wait()
        with pytest.raises(DatabaseUnavailable):
            await server.runs.get(caller, run.run_id)
        await asyncio.sleep(0.3)  # long enough for the first tries to fail
        assert not run.ended
        await owner.execute("ALTER DATABASE numen_tests CONNECTION LIMIT -1")
        async with asyncio.timeout(30):
            assert (await answered(run)).response == "Good evening"
        assert await last_message(witness, caller, thread_of(run)) == ("complete", "Good evening")
        assert (await witness.agents.record(caller, agent)).interaction_count == 1


async def eventually_said(server: OneServer, caller: Caller, agent: UUID, thread: UUID) -> ChatReply:
    """The answer, once every connection that the outage has broken is replaced."""
    async with asyncio.timeout(30):
        while True:
            try:
                return await server.say(caller, agent, "Hello", thread)
            except DatabaseUnavailable:
                await asyncio.sleep(0.05)


async def test_a_turn_that_cannot_begin_is_an_outage_and_leaves_its_place(
    fragile: Database, caller: Caller, owner: Connection
) -> None:
    async with one_server(fragile) as server:
        agent = await server.agent(caller)
        thread = (await server.threads.create_thread(caller, agent)).id
        await outage(owner)
        with pytest.raises(DatabaseUnavailable):
            await server.say(caller, agent, "Hello", thread)
        await owner.execute("ALTER DATABASE numen_tests CONNECTION LIMIT -1")
        reply = await eventually_said(server, caller, agent, thread)
        assert reply.metadata.message_count == 2


async def test_ends_are_counted(server: OneServer, caller: Caller) -> None:
    agent = await server.agent(caller)
    server.model.then(says("Hi"), fails(ModelUnavailable("away")))
    await server.say(caller, agent, "Hello")
    with pytest.raises(ModelUnavailable):
        await server.say(caller, agent, "Hello")
    told = server.metrics.exposition().decode()
    assert 'numen_runs_total{status="completed"} 1.0' in told
    assert 'numen_runs_total{status="failed"} 1.0' in told
    assert 'numen_tokens_total{direction="output",provider="openai"} 2.0' in told
