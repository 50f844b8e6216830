"""ReceiptService: what memory gave an answer, and what it would give today."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from backend.errors import AgentNotFound, MessageNotFound, ReceiptNotFound
from backend.models.agent import AgentContract
from backend.models.memory import Memory, NearMiss, RecalledItem, RecallReceipt, ScoreParts
from backend.models.memory_settings import MemorySettings
from backend.models.message import Message
from backend.models.tenant import Caller
from backend.ports import PromptMessage
from backend.services.memory.engine import MemoryEngine
from backend.services.memory.patience import SEARCH_SECONDS, within
from backend.services.unified_memory_manager import UnifiedMemoryManager
from backend.stores.database import Database, TenantTransaction
from backend.stores.memory_rows import ShownMemory, StoredReceipt

_SEARCHED_BACK = 50
"""How many messages before an answer are looked at for what it answers."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a memory would stand today."""

    rank: int
    parts: ScoreParts


@dataclass(frozen=True, slots=True)
class _Question:
    """What was asked, of an agent as it is today, and what stood in the conversation."""

    contract: AgentContract
    words: str
    in_view: Sequence[PromptMessage]


class ReceiptService:
    """Receipts of answers: for whoever sees the conversation."""

    def __init__(self, database: Database, engine: MemoryEngine) -> None:
        self._database = database
        self._engine = engine

    async def read(self, caller: Caller, message_id: UUID, *, compare_with_now: bool = False) -> RecallReceipt:
        """Which memories an answer was given, with their texts of today, and which it nearly was.

        `compare_with_now` asks memory for the same words again, with what is known and confirmed by now.

        Errors: `MessageNotFound`; `ReceiptNotFound` for what was not answered with memory; with `compare_with_now`
        also `IndexUnavailable` and `EmbedderUnavailable`.
        """
        async with self._database.tenant(caller.tenant_id) as tx:
            stored = await tx.memories.receipt(message_id, caller.sees_only)
            if stored is None:
                raise _no_receipt(await tx.threads.find_message(message_id, caller.sees_only))
            named = [one.memory_id for one in (*stored.recalled, *stored.near_misses)]
            known = {one.id: one for one in await tx.memories.these(named)}
            question = await _asked_again(tx, stored) if compare_with_now else None
        now = await self._places_now(caller, stored, question)
        return RecallReceipt(
            message_id=message_id,
            memory=stored.state,
            confidence=stored.confidence,
            recalled=_recalled(stored, known, now),
            near_misses=_near_misses(stored, known),
            created_at=stored.created_at,
        )

    async def _places_now(
        self, caller: Caller, receipt: StoredReceipt, question: _Question | None
    ) -> Mapping[UUID, _Place]:
        if question is None:
            return {}
        contract = question.contract
        places = contract.configuration.memory_k
        manager = UnifiedMemoryManager(
            caller.tenant_id, receipt.agent_id, contract.memory or MemorySettings(), self._engine, places
        )
        namespaces = (
            manager.agent_namespace(),
            manager.user_namespace(receipt.user_id),
            manager.thread_namespace(receipt.thread_id),
        )
        asked = manager.recall(question.words, namespaces, places, question.in_view)
        found = await within(SEARCH_SECONDS, asked)
        return {one.id: _Place(rank, one.parts) for rank, one in enumerate(found.memories, 1)}


async def _asked_again(tx: TenantTransaction, receipt: StoredReceipt) -> _Question | None:
    """The question of that turn for today's agent; None where memory would not be asked."""
    record = await tx.agents.get(receipt.agent_id)
    if record is None:
        raise AgentNotFound("There is no agent with this id.")
    contract = record.contract()
    said = await _said_before(tx, receipt)
    if not contract.configuration.memory_enabled or not said:
        return None
    *before, asked = said
    # By now the question itself may be a memory: it must not answer itself.
    seen = (*before[-contract.configuration.thread_window :], asked)
    in_view = [PromptMessage("user" if one.role == "user" else "assistant", one.content) for one in seen]
    return _Question(contract, asked.content, in_view)


async def _said_before(tx: TenantTransaction, receipt: StoredReceipt) -> Sequence[Message]:
    """What stood in the thread when the question came, up to the question itself."""
    answer = await tx.threads.message(receipt.thread_id, receipt.message_id)
    if answer is None:
        return ()
    earlier = await tx.threads.messages(receipt.thread_id, answer.position, _SEARCHED_BACK)
    while earlier and earlier[-1].role != "user":
        earlier.pop()
    return earlier


def _recalled(receipt: StoredReceipt, known: Mapping[UUID, Memory], now: Mapping[UUID, _Place]) -> list[RecalledItem]:
    return [
        _item(rank, one, known.get(one.memory_id), now.get(one.memory_id))
        for rank, one in enumerate(receipt.recalled, 1)
    ]


def _item(rank: int, shown: ShownMemory, memory: Memory | None, today: _Place | None) -> RecalledItem:
    return RecalledItem(
        memory_id=shown.memory_id,
        rank=rank,
        text=memory and memory.text,
        scope=memory and memory.scope,
        parts=shown.parts,
        source_message_id=memory and memory.source_message_id,
        source_thread_id=memory and memory.thread_id,
        rank_now=today and today.rank,
        parts_now=today and today.parts,
    )


def _near_misses(receipt: StoredReceipt, known: Mapping[UUID, Memory]) -> list[NearMiss]:
    return [
        NearMiss(
            memory_id=one.memory_id,
            reason=one.reason,
            text=known[one.memory_id].text if one.memory_id in known else None,
            parts=one.parts,
        )
        for one in receipt.near_misses
    ]


def _no_receipt(message: Message | None) -> MessageNotFound | ReceiptNotFound:
    if message is None:
        return MessageNotFound("There is no message with this id.")
    if message.role != "assistant":
        return ReceiptNotFound("Only an agent's answers have a receipt, and this message is none.")
    if message.metadata.get("memory") == "off":
        return ReceiptNotFound("The agent's contract had memory switched off when it gave this answer.")
    return ReceiptNotFound("Memory was not asked for this answer.")
