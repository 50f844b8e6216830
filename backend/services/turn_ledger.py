"""The durable side of a turn: claimed, kept while it lasts, and finished, each in one short transaction."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID

import orjson

from backend.errors import (
    AgentArchived,
    AgentInactive,
    AgentNotConversational,
    AgentNotFound,
    DatabaseUnavailable,
    RequestInProgress,
    ThreadBusy,
    ThreadNotFound,
)
from backend.graphs.compiled_agents import CONVERSATIONAL_TYPES
from backend.models.events import Mark
from backend.models.run import ChatRequest
from backend.models.tenant import Caller
from backend.ports import Harvest
from backend.services.identifiers import new_id
from backend.stores.database import Database, TenantTransaction
from backend.stores.memory_rows import StoredReceipt
from backend.stores.runs import Begun, Outcome, Refusal, StoredRun, TurnIds

LEASE = timedelta(seconds=15)
KEEP_SECONDS = 1.0
_BUSY_SECONDS = 0.05
_FINISH_TRIES = 8


@dataclass(frozen=True, slots=True)
class OpenTurn:
    """A claimed turn: the user's message is stored, the thread is ours until it is finished."""

    caller: Caller
    ids: TurnIds
    begun: Begun
    message: str
    started: float

    def elapsed_ms(self) -> int:
        """Milliseconds since the turn was claimed."""
        return round((time.perf_counter() - self.started) * 1000)


@dataclass(frozen=True, slots=True)
class Kept:
    """What memory keeps of an answered turn: which memories it was given, and what is worth remembering of it."""

    receipt: StoredReceipt
    harvest: Harvest


class TurnLedger:
    """Opens, keeps and finishes turns. `patience_seconds` bounds the wait for a thread that another server serves;
    what is said is to be kept every `keep_seconds`. `on_remembered` is called when a turn left something to remember.
    """

    def __init__(
        self,
        database: Database,
        patience_seconds: float,
        keep_seconds: float = KEEP_SECONDS,
        on_remembered: Callable[[], None] = lambda: None,
    ) -> None:
        self.keep_seconds = keep_seconds
        self._on_remembered = on_remembered
        self._database = database
        self._patience = patience_seconds

    async def open(
        self,
        caller: Caller,
        agent_id: UUID,
        request: ChatRequest,
        operation_id: UUID | None = None,
        known_version: str | None = None,
    ) -> OpenTurn | StoredRun:
        """Claim the thread and store the message, or find that a repeated request has its answer already.

        The contract's text comes along unless the agent is at `known_version`.

        Errors: `AgentNotFound`, `AgentArchived`, `AgentInactive`, `AgentNotConversational`, `ThreadNotFound`,
        `ThreadBusy`, `RequestInProgress`.
        """
        ids = _new_ids(caller, agent_id, request, operation_id)
        fresh = request.thread_id is None
        give_up = time.monotonic() + self._patience
        while True:
            async with self._database.tenant(caller.tenant_id) as tx:
                stored = await tx.runs.get_alone(ids.run_id, caller.user_id) if operation_id else None
                if stored is not None:
                    if stored.run.status != "failed":
                        return _answered(stored)
                    ids = _ids_of(stored)
                    begun = await tx.runs.reopen(ids, LEASE, CONVERSATIONAL_TYPES, known_version)
                else:
                    begun = await self._begin(tx, ids, request, known_version, fresh=fresh)
                refusal = None if begun else await tx.runs.refusal(ids.agent_id, ids.thread_id)
            if begun is not None:
                return OpenTurn(caller, ids, begun, request.message, time.perf_counter())
            if stored is None and not fresh and _is_own_archived(refusal, ids):
                ids, fresh = replace(ids, thread_id=new_id(operation_id, "thread")), True
                continue
            _refuse(refusal, ids)
            if time.monotonic() > give_up:
                raise ThreadBusy("Another turn of this thread is still being answered; try again.", retry_after=5)
            await asyncio.sleep(_BUSY_SECONDS)

    async def keep(self, turn: OpenTurn, text: str, marks: Sequence[Mark]) -> bool | None:
        """Store what was said so far: whether the run is to stop, or None when somebody else took it over."""
        async with self._database.tenant(turn.caller.tenant_id) as tx:
            return await tx.runs.keep(turn.ids, text, marks, LEASE)

    async def finish(self, turn: OpenTurn, outcome: Outcome, kept: Kept | None = None) -> bool:
        """Store how the turn ended, through short outages of the database; False when the claim was lost.

        What is `kept` of it is there exactly when the answer is.

        Errors: `DatabaseUnavailable` when the outage lasts.
        """
        for attempt in range(_FINISH_TRIES):
            try:
                async with self._database.tenant(turn.caller.tenant_id) as tx:
                    finished = await tx.runs.finish(turn.ids, outcome)
                    if finished and kept is not None:
                        await _keep(tx, turn, kept)
                if finished and kept is not None and kept.harvest.memories:
                    self._on_remembered()
                return finished
            except DatabaseUnavailable:
                if attempt == _FINISH_TRIES - 1:
                    raise
                await asyncio.sleep(0.1 * 2**attempt)
        return False

    @staticmethod
    async def _begin(
        tx: TenantTransaction, ids: TurnIds, request: ChatRequest, known_version: str | None, *, fresh: bool
    ) -> Begun | None:
        if fresh:
            refusal = await tx.runs.refusal(ids.agent_id, ids.thread_id)
            if refusal is None or not _chats(refusal):
                return None
            await tx.threads.insert(ids.thread_id, ids.agent_id, ids.user_id, "")
        metadata = orjson.dumps(request.metadata)
        return await tx.runs.begin(ids, request.message, metadata, LEASE, CONVERSATIONAL_TYPES, known_version)


async def _keep(tx: TenantTransaction, turn: OpenTurn, kept: Kept) -> None:
    await tx.memories.add_receipt(kept.receipt)
    if kept.harvest.memories:
        await tx.memories.insert(kept.harvest.memories)
    if kept.harvest.extract:
        await tx.runs.order_extraction(turn.ids.run_id)


def _answered(known: StoredRun) -> StoredRun:
    if known.run.status == "running":
        raise RequestInProgress("The same request is being answered; ask again in a moment.", retry_after=1)
    return known


def _new_ids(caller: Caller, agent_id: UUID, request: ChatRequest, operation_id: UUID | None) -> TurnIds:
    return TurnIds(
        agent_id=agent_id,
        thread_id=request.thread_id or new_id(operation_id, "thread"),
        user_id=caller.user_id,
        run_id=new_id(operation_id, "run"),
        user_message_id=new_id(operation_id, "user message"),
        assistant_message_id=new_id(operation_id, "assistant message"),
    )


def _ids_of(stored: StoredRun) -> TurnIds:
    run = stored.run
    return TurnIds(run.agent_id, run.thread_id, run.user_id, run.id, run.user_message_id, run.assistant_message_id)


def _chats(refusal: Refusal) -> bool:
    return refusal.agent_status == "active" and refusal.agent_type in CONVERSATIONAL_TYPES


def _is_own_archived(refusal: Refusal | None, ids: TurnIds) -> bool:
    return (
        refusal is not None
        and _chats(refusal)
        and refusal.thread_status == "archived"
        and (refusal.agent_id, refusal.user_id) == (ids.agent_id, ids.user_id)
    )


def _refuse(refusal: Refusal | None, ids: TurnIds) -> None:
    if refusal is None:
        raise AgentNotFound("There is no agent with this id.")
    if refusal.agent_status == "archived":
        raise AgentArchived("The agent is archived: it can be read, but no longer talked to.")
    if refusal.agent_status == "inactive":
        raise AgentInactive("The agent is switched off; set its status to active to talk to it.")
    if refusal.agent_type not in CONVERSATIONAL_TYPES:
        raise AgentNotConversational(
            f"An agent of type {refusal.agent_type} works through its steps and does not chat; "
            f"the types that chat are {' and '.join(CONVERSATIONAL_TYPES)}."
        )
    if (refusal.agent_id, refusal.user_id) != (ids.agent_id, ids.user_id):
        raise ThreadNotFound("There is no thread with this id.")
