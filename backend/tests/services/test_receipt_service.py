"""Receipts: which memories an answer was given, what they say by now, and where they would stand today."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest

from backend.errors import IndexUnavailable, MessageNotFound, ReceiptNotFound, ThreadNotFound
from backend.models.memory import Memory, MemoryCreate, MemoryUpdate, ScoreParts
from backend.models.tenant import Caller
from backend.models.thread import Feedback
from backend.stores.database import Database
from backend.stores.memory_rows import LeftOutMemory, ShownMemory, StoredReceipt
from backend.tests.factories import TenantFactory, make_user
from backend.tests.services.memory.remembering import Remembering, admin, agent, house, member

if TYPE_CHECKING:
    from asyncpg import Connection

QUESTION = "Where is my boat?"
PARTS = ScoreParts(score=0.5, relevance=0.5, semantic=0.5, recency=0.5, reinforcement=0.0)


__all__ = ["admin", "agent", "house", "member"]


async def known(house: Remembering, admin: Caller, agent: UUID, user_id: UUID, *texts: str) -> list[Memory]:
    """What the agent knows of a person."""
    requests = [MemoryCreate(text=text, user_id=user_id) for text in texts]
    return [(await house.memories.create(admin, agent, request))[0] for request in requests]


class Talk:
    """A question and its answer, with the receipt of the answer."""

    def __init__(self, house: Remembering, caller: Caller, agent: UUID) -> None:
        self._house = house
        self.caller = caller
        self._agent = agent

    async def answered(self, shown: Sequence[Memory], missed: Sequence[Memory] = ()) -> Talk:
        """Ask and answer in a new thread."""
        self.thread = await self._house.thread(self.caller, self._agent)
        threads = self._house.threads
        self.question = (await threads.add_message(self.caller, self.thread, "user", QUESTION)).id
        self.answer = (await threads.add_message(self.caller, self.thread, "assistant", "In Faro.")).id
        receipt = StoredReceipt(
            message_id=self.answer,
            thread_id=self.thread,
            agent_id=self._agent,
            user_id=self.caller.user_id,
            state="ok",
            confidence=0.5,
            recalled=[ShownMemory(one.id, PARTS) for one in shown],
            near_misses=[LeftOutMemory(one.id, "below_floor", PARTS) for one in missed],
        )
        async with self._house.database.tenant(self.caller.tenant_id) as tx:
            await tx.memories.add_receipt(receipt)
        return self

    async def score(self, score: float) -> None:
        """Say what one thinks of the answer."""
        await self._house.threads.give_feedback(self.caller, self.thread, self.answer, Feedback(score=score))


async def confirmations(house: Remembering, admin: Caller, memories: Sequence[Memory]) -> list[float]:
    return [(await house.memories.get(admin, one.id)).confirmations for one in memories]


async def test_a_receipt_has_the_texts_of_today(house: Remembering, admin: Caller, member: Caller, agent: UUID) -> None:
    memories = await known(house, admin, agent, member.user_id, "It is in Faro.", "It is blue.", "It is old.")
    talk = await Talk(house, member, agent).answered(memories[:2], memories[2:])
    await house.memories.update(admin, memories[0].id, MemoryUpdate(text="It is in Lagos."))
    await house.memories.forget(admin, memories[1].id)
    receipt = await house.receipts.read(member, talk.answer)
    assert (receipt.message_id, receipt.memory, receipt.confidence) == (talk.answer, "ok", 0.5)
    assert [(one.rank, one.text, one.scope) for one in receipt.recalled] == [
        (1, "It is in Lagos.", "user"),
        (2, None, None),
    ]
    assert [(one.memory_id, one.text, one.reason) for one in receipt.near_misses] == [
        (memories[2].id, "It is old.", "below_floor")
    ]
    assert {one.rank_now for one in receipt.recalled} == {None}


async def test_whose_receipts_there_are(
    house: Remembering, admin: Caller, member: Caller, agent: UUID, tenant: TenantFactory, database: Database
) -> None:
    talk = await Talk(house, member, agent).answered([])
    assert (await house.receipts.read(admin, talk.answer)).recalled == []
    other, stranger = await make_user(database, admin.tenant_id), await tenant()
    said: set[str] = set()
    for caller, message in ((other, talk.answer), (stranger, talk.answer), (other, talk.question), (admin, uuid4())):
        with pytest.raises(MessageNotFound) as refused:
            await house.receipts.read(caller, message)
        said.add(refused.value.detail)
    assert said == {"There is no message with this id."}
    with pytest.raises(ReceiptNotFound, match="Only an agent's answers"):
        await house.receipts.read(member, talk.question)
    for metadata, reason in (({"memory": "off"}, "switched off"), ({}, "not asked")):
        message = await house.threads.add_message(member, talk.thread, "assistant", "Hm.", metadata)
        with pytest.raises(ReceiptNotFound, match=reason):
            await house.receipts.read(member, message.id)


# --- feedback ---


async def test_a_score_moves_exactly_what_is_on_the_receipt(
    house: Remembering, admin: Caller, member: Caller, agent: UUID
) -> None:
    memories = await known(house, admin, agent, member.user_id, "It is in Faro.", "It is blue.", "It is old.")
    talk = await Talk(house, member, agent).answered(memories[:2], memories[2:])
    for score in (1, 1, 0.5, -1, -1, 0.25):
        await talk.score(score)
        assert await confirmations(house, admin, memories) == [score, score, 0]
    second = await Talk(house, member, agent).answered(memories[1:])
    await second.score(1)
    assert await confirmations(house, admin, memories) == [0.25, 1.25, 1]


async def test_scores_at_once_count_as_the_last_one(
    house: Remembering, admin: Caller, member: Caller, agent: UUID, owner: Connection
) -> None:
    memories = await known(house, admin, agent, member.user_id, "It is in Faro.", "It is blue.")
    talk = await Talk(house, member, agent).answered(memories)
    scores = [(number * 7 % 5 - 2) / 2 for number in range(24)]
    await asyncio.gather(*(talk.score(score) for score in scores))
    last = await owner.fetchval("SELECT feedback_score FROM thread_messages WHERE id = $1", talk.answer)
    assert await confirmations(house, admin, memories) == [last, last]


async def test_a_score_for_what_nothing_was_recalled_for(
    house: Remembering, admin: Caller, member: Caller, agent: UUID
) -> None:
    [memory] = await known(house, admin, agent, member.user_id, "It is in Faro.")
    talk = await Talk(house, member, agent).answered([])
    await talk.score(1)
    await house.memories.forget(admin, memory.id)
    gone = await Talk(house, member, agent).answered([memory])
    await gone.score(-1)  # what is forgotten meanwhile is not in the way
    with pytest.raises(ThreadNotFound):
        await house.threads.give_feedback(admin, uuid4(), gone.answer, Feedback(score=1))


# --- as of now ---


async def test_praise_changes_where_a_memory_would_stand_today(
    house: Remembering, admin: Caller, member: Caller, agent: UUID, owner: Connection
) -> None:
    memories = await known(house, admin, agent, member.user_id, "My boat is in Faro.", "My boat is in Lagos.")
    talk = await Talk(house, member, agent).answered(memories)
    await house.indexed(owner)
    before = await house.receipts.read(member, talk.answer, compare_with_now=True)
    assert {one.rank_now for one in before.recalled} == {1, 2}
    for _ in range(3):
        good = await Talk(house, member, agent).answered([memories[1]])
        await good.score(1)
    after = await house.receipts.read(member, talk.answer, compare_with_now=True)
    assert [(one.rank, one.rank_now) for one in after.recalled] == [(1, 2), (2, 1)]
    praised = after.recalled[1]
    assert praised.parts_now is not None
    assert praised.parts_now.reinforcement > praised.parts.reinforcement


async def test_what_would_not_be_shown_today_has_no_rank(
    house: Remembering, admin: Caller, member: Caller, agent: UUID, owner: Connection
) -> None:
    memories = await known(
        house, admin, agent, member.user_id, "My boat is in Faro.", "My boat is in Lagos.", "My boat is in Tavira."
    )
    talk = await Talk(house, member, agent).answered(memories)
    async with house.database.tenant(admin.tenant_id) as tx:
        await tx.memories.supersede(memories[0].id, memories[2].id)
    await house.memories.forget(admin, memories[1].id)
    await known(house, admin, agent, member.user_id, QUESTION)  # kept of the turn itself, as chat does
    await house.indexed(owner)
    receipt = await house.receipts.read(member, talk.answer, compare_with_now=True)
    assert [one.rank_now for one in receipt.recalled] == [None, None, 1]
    assert [one.parts_now is None for one in receipt.recalled] == [True, True, False]


async def test_today_cannot_be_asked(house: Remembering, admin: Caller, member: Caller, owner: Connection) -> None:
    agent = await house.agent(admin)
    memories = await known(house, admin, agent, member.user_id, "My boat is in Faro.")
    talk = await Talk(house, member, agent).answered(memories)
    await house.indexed(owner)
    house.index.away = True
    with pytest.raises(IndexUnavailable):
        await house.receipts.read(member, talk.answer, compare_with_now=True)
    assert (await house.receipts.read(member, talk.answer)).recalled[0].rank == 1
