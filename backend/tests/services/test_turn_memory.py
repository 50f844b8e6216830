"""What memory has to do with a turn: what the model is told, what is stored with the answer, and what is not."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from backend.errors import ModelFailed, NumenError
from backend.models.memory import NewMemory
from backend.models.tenant import Caller
from backend.ports import Harvest, Interaction, ModelRequest
from backend.services.identifiers import new_id
from backend.stores.database import Database
from backend.tests.factories import TenantFactory
from backend.tests.fakes import FixedMemory, fails, says
from backend.tests.services.one_server import OneServer, all_events, answered, one_server, rows, thread_of

if TYPE_CHECKING:
    from asyncpg import Connection

FORGETFUL: dict[str, Any] = {"memory_enabled": False}


def kept(interaction: Interaction) -> Harvest:
    """The person's message, and an order to read facts out of it."""
    memory = NewMemory(
        id=new_id(interaction.user_message_id, "memory"),
        agent_id=interaction.agent_id,
        scope="user",
        user_id=interaction.user_id,
        thread_id=interaction.thread_id,
        kind="message",
        text=interaction.message,
        origin="chat",
        source_message_id=interaction.user_message_id,
        position=interaction.position,
    )
    return Harvest([memory], extract=True)


@pytest.fixture
def memory() -> FixedMemory:
    return FixedMemory("likes comets", keeps=kept)


@pytest.fixture
async def server(database: Database, memory: FixedMemory) -> AsyncGenerator[OneServer]:
    async with one_server(database, memory=memory) as opened:
        yield opened


@pytest.fixture
async def caller(tenant: TenantFactory) -> Caller:
    return await tenant()


async def orders(owner: Connection) -> dict[str, list[tuple[UUID, dict[str, Any]]]]:
    """What waits in the outbox, by kind: whom it is about and what it says."""
    found: dict[str, list[tuple[UUID, dict[str, Any]]]] = {}
    for row in await owner.fetch("SELECT kind, subject_id, payload FROM outbox WHERE kind LIKE 'memory.%'"):
        found.setdefault(row["kind"], []).append((row["subject_id"], json.loads(row["payload"])))
    return found


async def test_an_answered_turn_leaves_its_receipt_and_what_is_worth_keeping(
    server: OneServer, memory: FixedMemory, caller: Caller, owner: Connection, database: Database
) -> None:
    agent = await server.agent(caller)
    reply = await server.say(caller, agent, "I have a telescope")
    [turn] = memory.ended
    assert (turn.message, turn.answer, turn.position, turn.offline) == ("I have a telescope", "Answer 1", 1, False)
    assert (turn.assistant_message_id, turn.user_id) == (reply.message_id, caller.user_id)
    async with database.tenant(caller.tenant_id) as tx:
        receipt = await tx.memories.receipt(reply.message_id, caller.user_id)
        known = await tx.memories.get(new_id(turn.user_message_id, "memory"), caller.user_id)
    assert receipt is not None
    assert [one.memory_id for one in receipt.recalled] == [one.id for one in memory.known]
    assert (receipt.state, receipt.confidence, receipt.thread_id) == ("ok", 0.5, reply.thread_id)
    assert known is not None
    assert (known.text, known.source_message_id) == ("I have a telescope", turn.user_message_id)
    ordered = await orders(owner)
    assert [subject for subject, _ in ordered["memory.index"]] == [known.id]
    named = {"assistant_message_id": reply.message_id, "agent_id": agent, "user_id": caller.user_id,
             "thread_id": reply.thread_id}  # fmt: skip
    assert ordered["memory.extract"] == [(turn.user_message_id, {name: str(value) for name, value in named.items()})]
    assert server.remembered == 1


async def test_a_turn_that_failed_leaves_nothing_to_remember(
    server: OneServer, memory: FixedMemory, caller: Caller, owner: Connection
) -> None:
    server.model.then(fails(ModelFailed("no"), "I was"))
    with pytest.raises(ModelFailed):
        await server.say(caller, await server.agent(caller), "I have a telescope")
    assert await rows(owner, "recalls", "memories") == [0, 0]
    assert (memory.ended, await orders(owner), server.remembered) == ([], {}, 0)


async def test_a_turn_that_another_server_took_over_leaves_nothing_to_remember(
    server: OneServer, caller: Caller, owner: Connection
) -> None:
    async def lose(request: ModelRequest) -> AsyncGenerator[str]:
        await owner.execute("UPDATE threads SET active_run_id = gen_random_uuid()")
        yield "Late"

    server.model.then(lose)
    run = await server.start(caller, await server.agent(caller), "I have a telescope")
    assert (await all_events(run))[-1].type == "run.failed"
    assert await rows(owner, "recalls", "memories") == [0, 0]
    assert server.remembered == 0


async def test_an_answer_and_what_is_kept_of_it_are_stored_together_or_not_at_all(
    database: Database, caller: Caller, owner: Connection
) -> None:
    def refused(interaction: Interaction) -> Harvest:
        return Harvest([NewMemory(new_id(None), new_id(None), "agent", None, None, "note", "x", "api")])

    async with one_server(database, memory=FixedMemory(keeps=refused)) as server:
        run = await server.start(caller, await server.agent(caller), "I have a telescope")
        with pytest.raises(NumenError, match="could not be stored"):
            await run.reply()
        assert [one.role for one in await server.messages(caller, thread_of(run))] == ["user"]
    assert await rows(owner, "recalls", "memories") == [0, 0]


async def test_without_memory_nothing_is_asked_or_kept(
    server: OneServer, memory: FixedMemory, caller: Caller, owner: Connection
) -> None:
    run = await server.start(caller, await server.agent(caller, configuration=FORGETFUL), "I have a telescope")
    assert "memory.recalled" not in [event.type for event in await all_events(run)]
    assert (await answered(run)).metadata.memory == "off"
    assert (memory.asked, memory.ended) == ([], [])
    assert await rows(owner, "recalls", "memories") == [0, 0]


async def test_the_event_and_the_reply_name_memories_and_do_not_quote_them(
    server: OneServer, memory: FixedMemory, caller: Caller, owner: Connection
) -> None:
    run = await server.start(caller, await server.agent(caller), "Hello")
    [recalled] = [event.data for event in await all_events(run) if event.type == "memory.recalled"]
    shown = [{"id": str(one.id), "score": 0.5, "scope": "user"} for one in memory.known]
    assert recalled == {"memory": "ok", "confidence": 0.5, "memories": shown}
    metadata = (await answered(run)).metadata
    assert (metadata.memory, metadata.memory_confidence) == ("ok", 0.5)
    assert "likes comets" in server.model.requests[0].messages[0].content
    stored = await owner.fetch("SELECT marks::text FROM runs")
    assert not any("likes comets" in row["marks"] for row in stored)


async def test_the_model_is_told_that_memory_is_away(database: Database, caller: Caller) -> None:
    async with one_server(database, memory=FixedMemory(state="degraded")) as server:
        reply = await server.say(caller, await server.agent(caller), "Hello")
        assert "cannot be reached" in server.model.requests[0].messages[0].content
        assert reply.metadata.memory == "degraded"
        async with database.tenant(caller.tenant_id) as tx:
            receipt = await tx.memories.receipt(reply.message_id, None)
    assert receipt is not None
    assert (receipt.state, receipt.recalled) == ("degraded", [])


async def test_memory_is_asked_with_what_the_model_will_see(
    server: OneServer, memory: FixedMemory, caller: Caller
) -> None:
    agent = await server.agent(caller)
    server.model.then(says("Good evening"))
    first = await server.say(caller, agent, "Hello")
    await server.say(caller, agent, "Where is Mars?", first.thread_id)
    said = [(one.role, one.content) for one in memory.asked[1].recent_messages]
    assert said == [("user", "Hello"), ("assistant", "Good evening"), ("user", "Where is Mars?")]
    assert (memory.asked[1].thread_id, memory.asked[1].agent_id) == (first.thread_id, agent)
