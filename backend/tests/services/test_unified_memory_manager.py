"""UnifiedMemoryManager: what one agent knows, of whom, and what it says when it cannot look."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest

from backend.errors import AgentNotFound, IndexUnavailable
from backend.models.memory import NewMemory
from backend.models.memory_settings import MemorySettings
from backend.models.tenant import Caller
from backend.ports import MemoryContext, PromptMessage
from backend.services.unified_memory_manager import UnifiedMemoryManager
from backend.stores.database import Database
from backend.tests.factories import TenantFactory, make_user
from backend.tests.fixtures_logs import Logs
from backend.tests.services.memory.remembering import Remembering

if TYPE_CHECKING:
    from asyncpg import Connection

DOG = "My dog is called Rex and sleeps in the kitchen"
ASKED = "Where does my dog sleep?"


@pytest.fixture
def house(database: Database) -> Remembering:
    return Remembering(database)


@pytest.fixture
async def caller(tenant: TenantFactory) -> Caller:
    return await tenant()


@pytest.fixture
async def agent(house: Remembering, caller: Caller) -> UUID:
    return await house.agent(caller)


@pytest.fixture
def manager(house: Remembering, caller: Caller, agent: UUID) -> UnifiedMemoryManager:
    engine = replace(house.engine, recall_seconds=10)
    return UnifiedMemoryManager(caller.tenant_id, agent, MemorySettings(), engine)


def texts(context: MemoryContext) -> list[str]:
    return [one.text for one in context.retrieved_memories]


def note(agent: UUID, text: str, user_id: UUID | None = None, number: int = 0) -> NewMemory:
    scope = "agent" if user_id is None else "user"
    memory_id = UUID(int=number + 1) if number else uuid4()
    return NewMemory(memory_id, agent, scope, user_id, None, "note", text, "api")


# --- whose it is ---


def test_namespaces_are_built_of_ids(manager: UnifiedMemoryManager, caller: Caller, agent: UUID) -> None:
    other = uuid4()
    assert manager.agent_namespace() == f"{caller.tenant_id}:{agent}"
    assert manager.user_namespace(other) == f"{caller.tenant_id}:{agent}:user:{other}"
    assert manager.thread_namespace(other) == f"{caller.tenant_id}:{agent}:thread:{other}"


@pytest.mark.parametrize("foreign", ["*", "", "{tenant}:*", "{tenant}:{other}", "{other}:{agent}", "{TENANT}:{agent}"])
async def test_no_other_namespace_is_searched(
    manager: UnifiedMemoryManager, house: Remembering, caller: Caller, agent: UUID, foreign: str
) -> None:
    values = {"tenant": caller.tenant_id, "TENANT": str(caller.tenant_id).upper(), "agent": agent, "other": uuid4()}
    if foreign == "{TENANT}:{agent}" and values["TENANT"] == str(caller.tenant_id):
        return  # an id of digits only has no large letters
    with pytest.raises(ValueError, match="namespace"):
        await manager.recall(ASKED, [foreign.format(**values)], 6)
    assert house.index.searched == []


# --- a conversation and another ---


async def test_what_was_said_in_one_thread_is_known_in_another(
    manager: UnifiedMemoryManager, house: Remembering, caller: Caller, owner: Connection
) -> None:
    [kept] = await manager.process_interaction(DOG, "I see.", uuid4(), caller.user_id)
    await house.indexed(owner)
    context = await manager.get_agent_context(ASKED, uuid4(), caller.user_id)
    assert texts(context) == [DOG]
    assert context.retrieved_memories[0].id == kept
    assert (context.state, context.namespace) == ("ok", manager.user_namespace(caller.user_id))
    assert 0 < context.confidence_score <= 1


async def test_it_is_known_of_nobody_else_and_to_nobody_else(
    manager: UnifiedMemoryManager, house: Remembering, caller: Caller, owner: Connection, database: Database
) -> None:
    await manager.process_interaction(DOG, "I see.", uuid4(), caller.user_id)
    await house.indexed(owner)
    colleague = await make_user(database, caller.tenant_id)
    other_agent = UnifiedMemoryManager(caller.tenant_id, uuid4(), MemorySettings(), house.engine)
    for asked in (
        await manager.get_agent_context(ASKED, uuid4(), colleague.user_id),
        await manager.get_agent_context(ASKED, uuid4()),
        await other_agent.get_agent_context(ASKED, uuid4(), caller.user_id),
    ):
        assert (texts(asked), asked.confidence_score, asked.state) == ([], 0, "ok")


async def test_without_a_person_it_is_known_in_the_thread(
    manager: UnifiedMemoryManager, house: Remembering, owner: Connection
) -> None:
    thread = uuid4()
    await manager.process_interaction(DOG, "I see.", thread)
    await house.indexed(owner)
    assert texts(await manager.get_agent_context(ASKED, thread)) == [DOG]
    assert texts(await manager.get_agent_context(ASKED, uuid4())) == []


async def test_what_an_agent_concluded_it_knows_with_everybody(
    manager: UnifiedMemoryManager, house: Remembering, caller: Caller, owner: Connection
) -> None:
    first = await manager.store_agent_memory("The dog of the house sleeps in the kitchen")
    assert await manager.store_agent_memory("the dog of the house sleeps in the kitchen.") == first
    assert house.woken == 2
    await house.indexed(owner)
    context = await manager.get_agent_context(ASKED, uuid4())
    assert [(one.id, one.scope) for one in context.retrieved_memories] == [(first, "agent")]
    assert context.namespace == manager.agent_namespace()


# --- keeping ---


async def test_a_repeated_turn_is_kept_once_and_small_talk_never(
    manager: UnifiedMemoryManager, caller: Caller, database: Database
) -> None:
    message = uuid4()
    kept = [await manager.process_interaction(DOG, "", uuid4(), caller.user_id, message_id=message) for _ in range(2)]
    assert [len(one) for one in kept] == [1, 0]
    assert await manager.process_interaction("Hello!", "", uuid4(), caller.user_id) == []
    async with database.tenant(caller.tenant_id) as tx:
        assert await tx.memories.count() == 1


async def test_an_agent_that_is_gone_keeps_nothing(house: Remembering, caller: Caller) -> None:
    nobody = UnifiedMemoryManager(caller.tenant_id, uuid4(), MemorySettings(), house.engine)
    with pytest.raises(AgentNotFound):
        await nobody.process_interaction(DOG, "", uuid4(), caller.user_id)


async def test_many_memories_are_kept_at_once(
    manager: UnifiedMemoryManager, house: Remembering, agent: UUID, caller: Caller
) -> None:
    notes = [note(agent, f"Note {number}", caller.user_id, number + 1) for number in range(1200)]
    assert await manager.remember(notes) == [one.id for one in notes]
    assert await manager.remember(notes) == []
    assert house.woken > 0
    with pytest.raises(ValueError, match="another agent"):
        await manager.remember([note(uuid4(), "Not mine")])


# --- what is in view ---


async def test_what_the_recent_messages_say_is_left_out(
    manager: UnifiedMemoryManager, house: Remembering, caller: Caller, owner: Connection, agent: UUID
) -> None:
    thread = await house.thread(caller, agent)
    await house.threads.add_message(caller, thread, "user", f"{DOG}.")
    await house.threads.add_message(caller, thread, "assistant", "I see.")
    await manager.process_interaction(DOG, "I see.", thread, caller.user_id)
    await house.indexed(owner)
    context = await manager.get_agent_context(ASKED, thread, caller.user_id)
    assert list(context.recent_messages) == [PromptMessage("user", f"{DOG}."), PromptMessage("assistant", "I see.")]
    assert texts(context) == []
    assert [one.reason for one in context.near_misses] == ["in_view"]
    assert texts(await manager.get_agent_context(ASKED, thread, caller.user_id, recent_messages=())) == [DOG]
    assert texts(await manager.get_agent_context(DOG, thread, caller.user_id, recent_messages=())) == []


async def test_the_messages_of_somebody_elses_thread_are_not_read(
    manager: UnifiedMemoryManager, house: Remembering, caller: Caller, agent: UUID, database: Database
) -> None:
    thread = await house.thread(caller, agent)
    await house.threads.add_message(caller, thread, "user", DOG)
    colleague = await make_user(database, caller.tenant_id)
    assert (await manager.get_agent_context(ASKED, thread, colleague.user_id)).recent_messages == []


# --- outages ---


async def test_what_is_away_degrades_and_is_told_once(
    manager: UnifiedMemoryManager, house: Remembering, caller: Caller, owner: Connection, logs: Logs
) -> None:
    await manager.process_interaction(DOG, "I see.", uuid4(), caller.user_id)
    await house.indexed(owner)
    house.index.away = True
    for _ in range(3):
        context = await manager.get_agent_context(ASKED, uuid4(), caller.user_id)
        assert (context.state, texts(context), context.confidence_score) == ("degraded", [], 0)
    with pytest.raises(IndexUnavailable):
        await manager.recall(ASKED, [manager.user_namespace(caller.user_id)], 6)
    house.index.away, house.embedder.away = False, True
    assert (await manager.get_agent_context(ASKED, uuid4(), caller.user_id)).state == "degraded"
    house.embedder.away = False
    assert texts(await manager.get_agent_context(ASKED, uuid4(), caller.user_id)) == [DOG]
    warnings = [line["reason"] for line in logs() if "memory cannot be reached" in line["event"]]
    assert warnings == ["IndexUnavailable", "EmbedderUnavailable"]
    told = house.engine.metrics.exposition().decode()
    assert 'numen_memory_recalls_total{state="degraded"} 4.0' in told
    assert 'numen_memory_recalls_total{state="ok"} 1.0' in told


async def test_nobody_waits_longer_than_the_budget(house: Remembering, caller: Caller, agent: UUID) -> None:
    house.index.hangs = True
    engine = replace(house.engine, recall_seconds=0.05)
    manager = UnifiedMemoryManager(caller.tenant_id, agent, MemorySettings(), engine)
    assert (await manager.get_agent_context(ASKED, uuid4(), caller.user_id, ())).state == "degraded"


# --- the settings ---


async def test_the_half_life_and_the_clock_make_recency(
    house: Remembering, caller: Caller, agent: UUID, owner: Connection
) -> None:
    engine = replace(house.engine, recall_seconds=10)
    manager = UnifiedMemoryManager(caller.tenant_id, agent, MemorySettings(half_life_days=10), engine)
    said = replace(note(agent, DOG, caller.user_id), valid_from=house.clock.now() - timedelta(days=20))
    await manager.remember([said])
    await house.indexed(owner)
    [first] = (await manager.get_agent_context(ASKED, uuid4(), caller.user_id)).retrieved_memories
    assert first.parts.recency == pytest.approx(0.25)
    house.clock.advance(days=10)
    [later] = (await manager.get_agent_context(ASKED, uuid4(), caller.user_id)).retrieved_memories
    assert later.parts.recency == pytest.approx(0.125)


async def test_memory_k_bounds_what_is_shown_and_a_search_goes_on_below(
    house: Remembering, caller: Caller, agent: UUID, owner: Connection
) -> None:
    engine = replace(house.engine, recall_seconds=10)
    manager = UnifiedMemoryManager(caller.tenant_id, agent, MemorySettings(), engine, memory_k=2)
    await manager.remember([note(agent, f"The dog sleeps in room {number}", caller.user_id) for number in range(40)])
    await house.indexed(owner)
    assert len(texts(await manager.get_agent_context(ASKED, uuid4(), caller.user_id))) == 2
    found = await manager.recall(ASKED, [manager.user_namespace(caller.user_id)], 30)
    assert len({one.id for one in found.memories}) == 30
