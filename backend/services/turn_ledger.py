"""The durable side of a turn: claimed, kept while it lasts, and finished, each in one short transaction."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID

import orjson

from backend.errors import (
    AgentArchived,
    AgentHasNoRuns,
    AgentInactive,
    AgentNotConversational,
    AgentNotFound,
    ApprovalPending,
    DatabaseUnavailable,
    RequestInProgress,
    RunNotFound,
    ThreadBusy,
    ThreadNotFound,
)
from backend.graphs.compiled_agents import CONVERSATIONAL_TYPES, WORKING_TYPES
from backend.models.events import Mark
from backend.models.run import ChatRequest, PendingCall, Run, RunKind, RunStatus
from backend.models.tenant import Caller, Role
from backend.ports import Harvest
from backend.services.identifiers import new_id
from backend.stores.database import Database, TenantTransaction
from backend.stores.memory_rows import StoredReceipt
from backend.stores.run_steps import ClaimedRun, StoredStep, waiting_calls
from backend.stores.runs import CHAT, Begun, Outcome, Refusal, RunNature, StoredRun, TurnIds

LEASE = timedelta(seconds=15)
KEEP_SECONDS = 1.0
_BUSY_SECONDS = 0.05
_FINISH_TRIES = 8
_TYPES: dict[RunKind, tuple[str, ...]] = {
    "chat": CONVERSATIONAL_TYPES,
    "script": CONVERSATIONAL_TYPES,
    "workflow": WORKING_TYPES,
    "autonomous": WORKING_TYPES,
}
Along = Callable[[TenantTransaction], Awaitable[None]]
"""What else is stored in the transaction that stores how a run ended."""


@dataclass(frozen=True, slots=True)
class OpenTurn:
    """A claimed turn: the user's message is stored, the thread is ours until it is finished.

    `steps` and `before` are what was recorded of the run by whoever had it before us.
    """

    caller: Caller
    ids: TurnIds
    begun: Begun
    message: str
    started: float
    nature: RunNature = CHAT
    steps: Sequence[StoredStep] = ()
    before: StoredRun | None = None

    @property
    def claimed(self) -> ClaimedRun:
        """The run as it is ours."""
        return ClaimedRun(self.ids.run_id, self.begun.claim)

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
        nature: RunNature = CHAT,
    ) -> OpenTurn | StoredRun:
        """Claim the thread and store the message, or find that a repeated request has its answer already.

        The contract's text comes along unless the agent is at `known_version`.

        Errors: `AgentNotFound`, `AgentArchived`, `AgentInactive`, `AgentNotConversational`, `AgentHasNoRuns`,
        `ThreadNotFound`, `ThreadBusy`, `ApprovalPending`, `RequestInProgress`.
        """
        types = _TYPES[nature.kind]
        ids = _new_ids(caller, agent_id, request, operation_id)
        fresh = request.thread_id is None
        give_up = time.monotonic() + self._patience
        while True:
            steps: Sequence[StoredStep] = ()
            async with self._database.tenant(caller.tenant_id) as tx:
                stored = await tx.runs.get_alone(ids.run_id, caller.user_id) if operation_id else None
                if stored is not None:
                    if stored.run.status != "failed":
                        return _answered(stored)
                    ids = _ids_of(stored)
                    begun = await tx.runs.reopen(ids, LEASE, types, known_version)
                    await tx.run_steps.forget_failures(ids.run_id)
                    steps = await tx.run_steps.all(ids.run_id)
                else:
                    begun = await self._begin(tx, ids, request, known_version, nature, fresh=fresh)
                refusal = None if begun else await tx.runs.refusal(ids.agent_id, ids.thread_id)
            if begun is not None:
                return OpenTurn(caller, ids, begun, request.message, time.perf_counter(), nature, steps)
            if stored is None and not fresh and _is_own_archived(refusal, ids, types):
                ids, fresh = replace(ids, thread_id=new_id(operation_id, "thread")), True
                continue
            _refuse(refusal, ids, nature.kind)
            if time.monotonic() > give_up:
                raise ThreadBusy("Another turn of this thread is still being answered; try again.", retry_after=5)
            await asyncio.sleep(_BUSY_SECONDS)

    async def resume(self, tenant_id: UUID, run_id: UUID, *, even_leased: bool = False) -> OpenTurn | None:
        """Take over a run that another server, or one of before, recorded; None when there is nothing to take over."""
        async with self._database.tenant(tenant_id) as tx:
            found = await tx.runs.resume(run_id, LEASE, even_leased=even_leased)
            if found is None:
                return None
            steps = await tx.run_steps.all(run_id)
        caller = Caller(tenant_id, found.ids.user_id, Role.MEMBER)
        return OpenTurn(
            caller, found.ids, found.begun, found.message, time.perf_counter(), found.nature, steps, found.stored
        )

    async def keep(self, turn: OpenTurn, text: str, marks: Sequence[Mark]) -> bool | None:
        """Store what was said so far: whether the run is to stop, or None when somebody else took it over."""
        async with self._database.tenant(turn.caller.tenant_id) as tx:
            return await tx.runs.keep(turn.ids, text, marks, LEASE, turn.begun.claim)

    async def pause(self, turn: OpenTurn, text: str, marks: Sequence[Mark]) -> RunStatus | None:
        """The run waits for a person; `running` when everybody has answered already, None when the claim was lost."""
        async with self._database.tenant(turn.caller.tenant_id) as tx:
            return await tx.runs.pause(turn.ids, text, marks, turn.begun.claim)

    async def pending_calls(self, turn: OpenTurn) -> Sequence[PendingCall]:
        """The calls of this run that nobody has answered yet."""
        return pending_calls(await self._database.statements(turn.caller.tenant_id).run_steps.all(turn.ids.run_id))

    async def let_go(self, turn: OpenTurn, text: str, marks: Sequence[Mark]) -> None:
        """This server works on it no more; whoever looks for runs without a server goes on."""
        async with self._database.tenant(turn.caller.tenant_id) as tx:
            await tx.runs.let_go(turn.ids, text, marks, turn.begun.claim)

    async def stored(self, caller: Caller, run_id: UUID) -> Run:
        """The run as it is stored, with the calls that wait for a person. Errors: `RunNotFound`."""
        async with self._database.tenant(caller.tenant_id) as tx:
            found = await shown_run(tx, caller, run_id)
        if found is None:
            raise RunNotFound("There is no run with this id.")
        return found

    async def finish(
        self, turn: OpenTurn, outcome: Outcome, kept: Kept | None = None, along: Along | None = None
    ) -> bool:
        """Store how the turn ended, through short outages of the database; False when the claim was lost.

        What is `kept` of it, and what comes `along`, is there exactly when the answer is.

        Errors: `DatabaseUnavailable` when the outage lasts.
        """
        for attempt in range(_FINISH_TRIES):
            try:
                async with self._database.tenant(turn.caller.tenant_id) as tx:
                    finished = await tx.runs.finish(turn.ids, outcome, turn.begun.claim)
                    if finished and kept is not None:
                        await _keep(tx, turn, kept)
                    if finished and along is not None:
                        await along(tx)
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
        tx: TenantTransaction,
        ids: TurnIds,
        request: ChatRequest,
        known_version: str | None,
        nature: RunNature,
        *,
        fresh: bool,
    ) -> Begun | None:
        types = _TYPES[nature.kind]
        if fresh:
            refusal = await tx.runs.refusal(ids.agent_id, ids.thread_id)
            if refusal is None or not _serves(refusal, types):
                return None
            await tx.threads.insert(ids.thread_id, ids.agent_id, ids.user_id, "")
        metadata = orjson.dumps(request.metadata)
        return await tx.runs.begin(ids, request.message, metadata, LEASE, types, known_version, nature)


async def shown_run(tx: TenantTransaction, caller: Caller, run_id: UUID) -> Run | None:
    """The run, if it is visible, with the calls that wait for a person."""
    stored = await tx.runs.get(run_id, caller.sees_only)
    return await with_calls(tx, stored.run) if stored is not None else None


async def with_calls(tx: TenantTransaction, run: Run) -> Run:
    """The run, with the calls that wait for a person."""
    if run.status != "waiting":
        return run
    return run.model_copy(update={"approvals": pending_calls(await tx.run_steps.all(run.id))})


def pending_calls(steps: Sequence[StoredStep]) -> list[PendingCall]:
    """The calls that nobody has answered yet."""
    return [
        PendingCall(
            call_id=one.id,
            tool=one.input.get("tool", one.step),
            arguments=one.input.get("arguments", {}),
            reason=one.reason or "",
        )
        for one in waiting_calls(steps)
    ]


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


def _serves(refusal: Refusal, types: Sequence[str]) -> bool:
    return refusal.agent_status == "active" and refusal.agent_type in types


def _is_own_archived(refusal: Refusal | None, ids: TurnIds, types: Sequence[str]) -> bool:
    return (
        refusal is not None
        and _serves(refusal, types)
        and refusal.thread_status == "archived"
        and (refusal.agent_id, refusal.user_id) == (ids.agent_id, ids.user_id)
    )


def _refuse(refusal: Refusal | None, ids: TurnIds, kind: RunKind) -> None:
    if refusal is None:
        raise AgentNotFound("There is no agent with this id.")
    if refusal.agent_status == "archived":
        raise AgentArchived("The agent is archived: it can be read, but no longer talked to.")
    if refusal.agent_status == "inactive":
        raise AgentInactive("The agent is switched off; set its status to active to talk to it.")
    if refusal.agent_type not in _TYPES[kind]:
        _refuse_type(refusal.agent_type, kind)
    if (refusal.agent_id, refusal.user_id) != (ids.agent_id, ids.user_id):
        raise ThreadNotFound("There is no thread with this id.")
    if refusal.waiting_run_id is not None:
        raise ApprovalPending(
            "The turn before this one waits until somebody has answered its tool calls: see the run's approvals, or "
            "cancel the run.",
            run_id=str(refusal.waiting_run_id),
        )


def _refuse_type(agent_type: str, kind: RunKind) -> None:
    if kind in ("chat", "script"):
        raise AgentNotConversational(
            f"An agent of type {agent_type} works by itself and does not chat: start it with POST "
            f"/agents/{{id}}/runs. The types that chat are {' and '.join(CONVERSATIONAL_TYPES)}."
        )
    raise AgentHasNoRuns(
        f"An agent of type {agent_type} is talked to: POST /agents/{{id}}/chat. The types that are run are "
        f"{' and '.join(WORKING_TYPES)}."
    )
