"""AgentMemory: what a turn recalls and what is kept of it, as the contract and the deployment have it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest

from backend.models.memory import LONGEST_MEMORY
from backend.models.tenant import Caller
from backend.ports import Harvest, Interaction, RecallRequest
from backend.services.agent_memory import AgentMemory
from backend.services.identifiers import new_id
from backend.stores.database import Database
from backend.tests.factories import TenantFactory
from backend.tests.models.contracts import contract
from backend.tests.services.memory.remembering import Remembering

if TYPE_CHECKING:
    from asyncpg import Connection

FORGETFUL = contract(configuration={"memory_enabled": False})
DOG = "My dog is called Rex and sleeps in the kitchen"


@pytest.fixture
def house(database: Database) -> Remembering:
    return Remembering(database)


@pytest.fixture
def memory(house: Remembering) -> AgentMemory:
    return AgentMemory(replace(house.engine, recall_seconds=10), extraction=True)


@pytest.fixture
async def caller(tenant: TenantFactory) -> Caller:
    return await tenant()


def turn(message: str, **more: Any) -> Interaction:
    given: dict[str, Any] = {
        "tenant_id": UUID(int=1),
        "agent_id": UUID(int=2),
        "user_id": UUID(int=3),
        "thread_id": UUID(int=4),
        "contract": contract(),
        "user_message_id": UUID(int=5),
        "assistant_message_id": UUID(int=6),
        "position": 7,
        "message": message,
        "answer": "I see.",
        "offline": True,
    }
    return Interaction(**given | more)


# --- what is kept ---


def test_without_a_model_the_message_is_the_persons(memory: AgentMemory) -> None:
    harvest = memory.harvest(turn(f"  {DOG}\n"))
    [kept] = harvest.memories
    assert (kept.scope, kept.user_id, kept.thread_id, kept.position) == ("user", UUID(int=3), UUID(int=4), 7)
    assert (kept.text, kept.kind, kept.origin, kept.speaker) == (DOG, "message", "chat", "")
    assert (kept.id, kept.source_message_id) == (new_id(UUID(int=5), "memory"), UUID(int=5))
    assert not harvest.extract


def test_with_a_model_the_message_is_the_threads_and_facts_follow(memory: AgentMemory) -> None:
    harvest = memory.harvest(turn(DOG, offline=False))
    assert ([one.scope for one in harvest.memories], harvest.extract) == (["thread"], True)
    assert harvest.memories[0].user_id == UUID(int=3)  # whose it is, for erasure


def test_where_nothing_is_extracted_the_message_is_the_persons_again(house: Remembering) -> None:
    harvest = AgentMemory(house.engine, extraction=False).harvest(turn(DOG, offline=False))
    assert ([one.scope for one in harvest.memories], harvest.extract) == (["user"], False)


def test_what_the_gate_refuses_is_counted_and_not_kept(memory: AgentMemory, house: Remembering) -> None:
    assert memory.harvest(turn("Hello!", offline=False)) == Harvest()
    assert 'numen_memory_refused_total{reason="greeting"} 1.0' in house.engine.metrics.exposition().decode()


def test_a_very_long_message_is_kept_from_its_beginning(memory: AgentMemory) -> None:
    [kept] = memory.harvest(turn(f"{DOG}. " + "And then we went on. " * 1000)).memories
    assert kept.text.startswith(DOG)
    assert len(kept.text) <= LONGEST_MEMORY


def test_a_forgetful_agent_keeps_nothing(memory: AgentMemory, house: Remembering) -> None:
    assert memory.harvest(turn(DOG, contract=FORGETFUL)) == Harvest()
    assert "numen_memory_refused_total{" not in house.engine.metrics.exposition().decode()


# --- what is recalled ---


async def test_what_was_kept_is_recalled_for_the_same_person_by_the_contracts_settings(
    memory: AgentMemory, house: Remembering, caller: Caller, owner: Connection
) -> None:
    agent = await house.agent(caller)
    kept = memory.harvest(turn(DOG, agent_id=agent, user_id=caller.user_id)).memories
    async with house.database.tenant(caller.tenant_id) as tx:
        await tx.memories.insert(kept)
    await house.indexed(owner)
    request = RecallRequest(caller.tenant_id, agent, caller.user_id, uuid4(), contract(), "Where does my dog sleep?")
    found = await memory.recall(request)
    assert [one.text for one in found.retrieved_memories] == [DOG]
    strict = contract(memory={"relevance_floor": 1.0})
    found = await memory.recall(replace(request, contract=strict))
    assert (found.retrieved_memories, found.confidence_score, found.state) == ([], 0, "ok")
    assert [one.reason for one in found.near_misses] == ["below_floor"]


async def test_a_forgetful_agent_asks_nobody(memory: AgentMemory, house: Remembering) -> None:
    house.index.away = house.embedder.away = True
    nobody = RecallRequest(uuid4(), uuid4(), uuid4(), uuid4(), FORGETFUL, "Where does my dog sleep?")
    assert (await memory.recall(nobody)).state == "off"
    assert "numen_memory_recalls_total{" not in house.engine.metrics.exposition().decode()
