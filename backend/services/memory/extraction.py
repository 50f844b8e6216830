"""Facts about a person, read out of a turn by the language model after its answer was given."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from backend.errors import NumenError, Unavailable
from backend.models.agent import AgentContract
from backend.models.memory import LONGEST_MEMORY, NewMemory
from backend.models.namespace import Namespace
from backend.ports import Embedder, ExtractionRequest, FactExtractor, IndexQuery, MemoryIndex
from backend.services.identifiers import new_id
from backend.services.memory.gate import worth_keeping
from backend.services.model_catalog import ModelCatalog
from backend.stores.database import Database, TenantTransaction
from backend.stores.worker import Delivery
from backend.telemetry import Metrics, get_logger

KIND = "memory.extract"
MOST_ATTEMPTS = 10
_MOST_FACTS = 20
_KNOWN = 10
"""How many of the memories near a message the model is told, so that it does not name them again."""
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Turn:
    """What was said, by whom to whom. `source_id` is the person's message."""

    tenant_id: UUID
    agent_id: UUID
    user_id: UUID
    thread_id: UUID
    source_id: UUID
    contract: AgentContract
    message: str
    answer: str
    said_at: datetime

    @property
    def namespace(self) -> Namespace:
        return Namespace(self.tenant_id, self.agent_id, "user", self.user_id)


@dataclass(frozen=True, slots=True)
class ExtractionParts:
    """What extraction works with; `orders` wakes whoever delivers to the index."""

    extractor: FactExtractor
    catalog: ModelCatalog
    index: MemoryIndex
    embedder: Embedder
    orders: Callable[[], None]


class MemoryExtraction:
    """Delivers orders of kind "memory.extract", whose payload holds ids. A repeat keeps nothing twice.

    A model that is away is asked again, at growing distances; after `MOST_ATTEMPTS` the turn is given up, and said so.
    The message itself was kept with the answer.
    """

    def __init__(self, database: Database, parts: ExtractionParts, metrics: Metrics) -> None:
        self._database = database
        self._parts = parts
        self._metrics = metrics

    async def deliver(self, deliveries: Sequence[Delivery]) -> Mapping[int, str]:
        """Read the facts of these turns; those that failed, each with the reason."""
        reasons = await asyncio.gather(*(self._try(one) for one in deliveries))
        return {one.id: reason for one, reason in zip(deliveries, reasons, strict=True) if reason is not None}

    async def _try(self, order: Delivery) -> str | None:
        try:
            kept = await self._extract(order)
        except Unavailable as error:  # the index or the database; it comes back, and no model was asked in vain
            return error.detail
        except NumenError as error:
            if order.attempts < MOST_ATTEMPTS:
                self._count("failed")
                return error.detail
            self._count("given_up")
            _log.error("facts of a turn are given up", message_id=str(order.subject_id), code=error.code)
            return None
        self._count("kept" if kept else "nothing")
        return None

    async def _extract(self, order: Delivery) -> int:
        async with self._database.tenant(order.tenant_id) as tx:
            turn = await _read(tx, order)
        if turn is None:
            return 0
        configuration = turn.contract.configuration
        request = ExtractionRequest(
            namespace=turn.namespace,
            contract=turn.contract,
            model=self._parts.catalog.resolve(configuration.llm_provider, configuration.llm_model).used,
            message=turn.message,
            answer=turn.answer,
            known=await self._known(turn),
        )
        facts = [one for one in await self._parts.extractor.extract(request) if self._passes(one, turn.contract)]
        return await self._keep(order, turn, facts[:_MOST_FACTS])

    def _passes(self, fact: str, contract: AgentContract) -> bool:
        refusal = worth_keeping(fact, contract)
        if refusal is not None:
            self._metrics.memory_refused_total.labels(refusal).inc()
        return refusal is None

    async def _known(self, turn: _Turn) -> list[str]:
        [vector] = await self._parts.embedder.embed([turn.message])
        near = await self._parts.index.search(IndexQuery([turn.namespace], vector, turn.message, _KNOWN))
        best = sorted(near, key=lambda hit: -hit.likeness)[:_KNOWN]
        rows = {
            row.id: row
            for row in await self._database.statements(turn.tenant_id).memories.for_recall([hit.id for hit in best])
        }
        found = [rows[hit.id] for hit in best if hit.id in rows]
        return [row.text for row in found if row.superseded_at is None and row.source_message_id != turn.source_id]

    async def _keep(self, order: Delivery, turn: _Turn, facts: Sequence[str]) -> int:
        memories = [_fact(turn, number, text) for number, text in enumerate(facts)]
        if not memories:
            return 0
        async with self._database.tenant(turn.tenant_id) as tx:
            if await _read(tx, order) is None:  # forgotten while the model was thinking
                return 0
            new = await tx.memories.insert(memories)
        self._metrics.memory_kept_total.labels("fact").inc(len(new))
        self._parts.orders()
        return len(new)

    def _count(self, outcome: str) -> None:
        self._metrics.memory_extractions_total.labels(outcome).inc()


async def _read(tx: TenantTransaction, order: Delivery) -> _Turn | None:
    """The turn of an order; None when it is gone, not to be remembered any more, or its facts are there."""
    agent_id, user_id, thread_id, answer_id = (
        UUID(order.payload[name]) for name in ("agent_id", "user_id", "thread_id", "assistant_message_id")
    )
    source_id = order.subject_id
    asked = await tx.threads.message(thread_id, source_id)
    answered = await tx.threads.message(thread_id, answer_id)
    agent = await tx.agents.get(agent_id)
    if asked is None or answered is None or agent is None or not agent.contract().configuration.memory_enabled:
        return None
    if await tx.memories.these([new_id(source_id, f"fact {number}") for number in range(_MOST_FACTS)]):
        return None
    return _Turn(
        tenant_id=order.tenant_id,
        agent_id=agent_id,
        user_id=user_id,
        thread_id=thread_id,
        source_id=source_id,
        contract=agent.contract(),
        message=asked.content,
        answer=answered.content,
        said_at=asked.created_at,
    )


def _fact(turn: _Turn, number: int, text: str) -> NewMemory:
    return NewMemory(
        id=new_id(turn.source_id, f"fact {number}"),
        agent_id=turn.agent_id,
        scope="user",
        user_id=turn.user_id,
        thread_id=turn.thread_id,
        kind="fact",
        text=text.strip()[:LONGEST_MEMORY].rstrip(),
        origin="extraction",
        source_message_id=turn.source_id,
        valid_from=turn.said_at,
    )
