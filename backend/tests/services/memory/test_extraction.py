"""Facts are read out of a turn after its answer: once, through every failure, and nothing that is not worth it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from backend.errors import ModelUnavailable
from backend.models.memory import Memory, MemoryFilter
from backend.models.run import ChatReply
from backend.models.tenant import Caller
from backend.ports import ExtractionRequest, IndexPoint
from backend.services.agent_memory import AgentMemory
from backend.services.memory.extraction import KIND, MOST_ATTEMPTS, ExtractionParts, MemoryExtraction
from backend.services.model_catalog import ModelCatalog
from backend.services.outbox_relay import OutboxRelay
from backend.stores.database import Database, inside_transaction
from backend.telemetry import Metrics
from backend.tests.factories import TenantFactory
from backend.tests.services.memory.remembering import Remembering
from backend.tests.services.one_server import OneServer

if TYPE_CHECKING:
    from asyncpg import Connection


class Reader:
    """A `FactExtractor` that reads what it was told to."""

    def __init__(self, *facts: str) -> None:
        self.facts = facts
        self.asked: list[ExtractionRequest] = []
        self.away = False

    async def extract(self, request: ExtractionRequest) -> Sequence[str]:
        assert not inside_transaction(), "a model was asked inside a transaction"
        self.asked.append(request)
        if self.away:
            raise ModelUnavailable("the model is away")
        return self.facts


class Desk:
    """A server whose turns are read by a reader."""

    def __init__(self, database: Database, caller: Caller) -> None:
        self.remembering = Remembering(database)
        self.server = OneServer(database, memory=AgentMemory(self.remembering.engine, extraction=True))
        self.caller = caller
        self.reader = Reader("User lives in Lisbon.", "User greeted the assistant.")
        self.metrics = Metrics()
        self.woken = 0
        self._database = database
        parts = ExtractionParts(
            self.reader,
            ModelCatalog("gpt-6-luna", self.remembering.clock),
            self.remembering.index,
            self.remembering.embedder,
            self._wake,
        )
        self.relay = OutboxRelay(
            database, {KIND: MemoryExtraction(database, parts, self.metrics).deliver}, self.metrics
        )

    async def say(self, agent_id: UUID, text: str) -> ChatReply:
        """One turn in a new thread."""
        return await self.server.say(self.caller, agent_id, text)

    async def facts(self, agent_id: UUID) -> list[Memory]:
        """What was read so far."""
        async with self._database.tenant(self.caller.tenant_id) as tx:
            found = await tx.memories.page(MemoryFilter(agent_id=agent_id, kind="fact"), None, None, 50, 0)
        return list(found.items)

    async def again(self) -> None:
        """Try everything that waits, now."""
        async with self._database.worker() as worker:
            await worker.hasten([KIND])
        await self.relay.step()

    async def waiting(self) -> int:
        """How many turns wait."""
        return (await self.relay.backlog()).pending

    def counted(self, outcome: str) -> float:
        """How often it ended so."""
        sample = self.metrics.registry.get_sample_value("numen_memory_extractions_total", {"outcome": outcome})
        return sample or 0.0

    def _wake(self) -> None:
        self.woken += 1


@pytest.fixture
async def desk(database: Database, tenant: TenantFactory) -> Desk:
    return Desk(database, await tenant())


async def test_facts_are_the_persons_and_say_where_they_come_from(desk: Desk) -> None:
    agent_id = await desk.server.agent(desk.caller)
    reply = await desk.say(agent_id, "I moved to Lisbon in May.")
    await desk.relay.step()
    [fact] = await desk.facts(agent_id)
    said = (await desk.server.messages(desk.caller, reply.thread_id))[0]
    assert (fact.text, fact.scope, fact.user_id) == ("User lives in Lisbon.", "user", desk.caller.user_id)
    assert (fact.origin, fact.source_message_id, fact.thread_id) == ("extraction", said.id, reply.thread_id)
    assert fact.valid_from == said.created_at
    assert desk.woken == 1
    assert (desk.counted("kept"), await desk.waiting()) == (1, 0)
    refused = {"reason": "about-the-talk"}
    assert desk.metrics.registry.get_sample_value("numen_memory_refused_total", refused) == 1
    [request] = desk.reader.asked
    assert (request.message, request.answer) == ("I moved to Lisbon in May.", reply.response)


async def test_a_repeat_asks_nobody_and_keeps_nothing_twice(desk: Desk, owner: Connection) -> None:
    agent_id = await desk.server.agent(desk.caller)
    await desk.say(agent_id, "I moved to Lisbon in May.")
    await owner.execute(
        "INSERT INTO outbox (tenant_id, kind, subject_id, payload) "
        "SELECT tenant_id, kind, subject_id, payload FROM outbox WHERE kind = $1",
        KIND,
    )
    await owner.execute(
        "UPDATE outbox SET available_at = now() + interval '1 hour' WHERE id = (SELECT max(id) FROM outbox)"
    )
    await desk.relay.step()
    await desk.again()
    assert len(await desk.facts(agent_id)) == len(desk.reader.asked) == 1
    assert await desk.waiting() == 0


async def test_the_reader_is_told_what_is_known_near_the_message(desk: Desk) -> None:
    agent_id = await desk.server.agent(desk.caller)
    await desk.say(agent_id, "I moved to Lisbon in May.")
    await desk.relay.step()
    [fact] = await desk.facts(agent_id)
    [vector] = await desk.remembering.embedder.embed([fact.text])
    async with desk.remembering.database.tenant(desk.caller.tenant_id) as tx:
        [row] = await tx.memories.to_index([fact.id])
    await desk.remembering.index.put([IndexPoint(fact.id, row.namespace, vector, fact.text, fact.valid_from)])
    await desk.say(agent_id, "Lisbon is sunny, I like it here.")
    await desk.relay.step()
    assert list(desk.reader.asked[-1].known) == [fact.text]


async def test_a_model_that_is_away_is_asked_again_until_it_is_given_up(desk: Desk) -> None:
    agent_id = await desk.server.agent(desk.caller)
    desk.reader.away = True
    await desk.say(agent_id, "I moved to Lisbon in May.")
    await desk.relay.step()
    assert (await desk.waiting(), desk.counted("failed")) == (1, 1)
    desk.reader.away = False
    await desk.again()
    assert [one.text for one in await desk.facts(agent_id)] == ["User lives in Lisbon."]
    desk.reader.away = True
    await desk.say(agent_id, "I also have a boat.")
    for _ in range(MOST_ATTEMPTS):
        await desk.again()
    assert (await desk.waiting(), desk.counted("given_up")) == (0, 1)


async def test_while_the_index_is_away_turns_wait_and_none_is_given_up(desk: Desk) -> None:
    agent_id = await desk.server.agent(desk.caller)
    await desk.say(agent_id, "I moved to Lisbon in May.")
    desk.remembering.index.away = True
    for _ in range(MOST_ATTEMPTS + 2):
        await desk.again()
    assert (await desk.waiting(), desk.reader.asked) == (1, [])
    desk.remembering.index.away = False
    await desk.again()
    assert len(await desk.facts(agent_id)) == 1


async def test_of_a_thread_that_is_gone_nothing_is_read(desk: Desk) -> None:
    agent_id = await desk.server.agent(desk.caller)
    reply = await desk.say(agent_id, "I moved to Lisbon in May.")
    await desk.server.threads.delete(desk.caller, reply.thread_id)
    await desk.relay.step()
    assert (desk.reader.asked, await desk.facts(agent_id), await desk.waiting()) == ([], [], 0)


async def test_of_a_thread_that_goes_while_the_model_thinks_nothing_is_kept(desk: Desk) -> None:
    agent_id = await desk.server.agent(desk.caller)
    reply = await desk.say(agent_id, "I moved to Lisbon in May.")
    forget = desk.server.threads.delete

    class Slow(Reader):
        async def extract(self, request: ExtractionRequest) -> Sequence[str]:
            await forget(desk.caller, reply.thread_id)
            return self.facts

    parts = ExtractionParts(
        Slow("User lives in Lisbon."),
        ModelCatalog("gpt-6-luna", desk.remembering.clock),
        desk.remembering.index,
        desk.remembering.embedder,
        lambda: None,
    )
    extraction = MemoryExtraction(desk.remembering.database, parts, desk.metrics)
    await OutboxRelay(desk.remembering.database, {KIND: extraction.deliver}, desk.metrics).step()
    assert await desk.facts(agent_id) == []
    assert await desk.waiting() == 0


async def test_an_agent_without_memory_orders_nothing(desk: Desk) -> None:
    agent_id = await desk.server.agent(desk.caller, configuration={"memory_enabled": False})
    await desk.say(agent_id, "I moved to Lisbon in May.")
    assert await desk.waiting() == 0
