"""Rows of runs: a turn or a piece of work each, with the thread it holds while it lasts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson

from backend.models.events import Mark
from backend.models.message import MessageStatus
from backend.models.page import NEWEST, Cursor, Page
from backend.models.run import Run, RunKind, RunStatus
from backend.stores.queries import load

if TYPE_CHECKING:
    from asyncpg import Connection, Record

_SQL = load("runs")
_RUN_FIELDS = Run.model_fields.keys() | {"marks"}


@dataclass(frozen=True, slots=True)
class TurnIds:
    """Everything that names one turn. With an Idempotency-Key these follow from the key, so a repeat finds them."""

    agent_id: UUID
    thread_id: UUID
    user_id: UUID
    run_id: UUID
    user_message_id: UUID
    assistant_message_id: UUID


@dataclass(frozen=True, slots=True)
class Said:
    """One earlier message, as the prompt needs it."""

    position: int
    role: str
    content: str
    status: str


@dataclass(frozen=True, slots=True)
class Begun:
    """An open turn: the contract in force, as text unless its version was known already, and what was said before.

    `position` is the new message's; `count_after` is how many messages the thread has once the turn is answered.
    `claim` is the number of our claim: what is stored of the run is stored by who has the highest.
    """

    version: str
    contract_json: str | None
    claim: int
    position: int
    count_after: int
    summary: str
    summarized_through: int
    history: Sequence[Said]


@dataclass(frozen=True, slots=True)
class RunNature:
    """What kind of run it is: whether agents handed it to one another, and what it belongs to (JSON)."""

    kind: RunKind = "chat"
    depth: int = 0
    detail: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def durable(self) -> bool:
        """Whether it is recorded from the first step on, so that any server may go on with it."""
        return self.kind != "chat"


@dataclass(frozen=True, slots=True)
class Resumed:
    """A run that was taken over, with everything that was stored of it."""

    ids: TurnIds
    begun: Begun
    nature: RunNature
    message: str
    stored: StoredRun


@dataclass(frozen=True, slots=True)
class Refusal:
    """What stands against a turn; None fields where the thread does not exist. The run that the thread waits for."""

    agent_status: str
    agent_type: str
    thread_status: str | None
    agent_id: UUID | None
    user_id: UUID | None
    waiting_run_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a turn ended: the answer (whole or what there was of it), its metadata and events, and the new summary."""

    content: str
    message_status: MessageStatus
    run_status: RunStatus
    metadata: dict[str, Any]
    marks: Sequence[Mark]
    error: dict[str, Any] | None = None
    summary: str | None = None
    summarized_through: int = 0


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A run with its events, and the number of the claim where we have one."""

    run: Run
    marks: Sequence[Mark]
    claim: int = 0


CHAT = RunNature()


class RunStore:
    """Runs of one tenant."""

    def __init__(self, connection: Connection, tenant_id: UUID) -> None:
        self._connection = connection
        self._tenant_id = tenant_id

    async def begin(
        self,
        ids: TurnIds,
        message: str,
        metadata: bytes,
        lease: timedelta,
        types: Sequence[str],
        known: str | None,
        nature: RunNature = CHAT,
    ) -> Begun | None:
        """Claim the thread, keep the user's message, open the run. None when any of it is not possible."""
        row = await self._connection.fetchrow(
            _SQL["begin"], self._tenant_id, ids.agent_id, ids.thread_id, ids.user_id, ids.run_id,
            ids.user_message_id, ids.assistant_message_id, message, metadata.decode(), lease, list(types), known,
            nature.kind, nature.depth, orjson.dumps(nature.detail).decode(),
        )  # fmt: skip
        return await self._begun(ids, row) if row else None

    async def reopen(self, ids: TurnIds, lease: timedelta, types: Sequence[str], known: str | None) -> Begun | None:
        """Take up a failed turn once more. None when it is not failed, or the thread or the agent is not free."""
        row = await self._connection.fetchrow(
            _SQL["reopen"], self._tenant_id, ids.agent_id, ids.thread_id, ids.run_id, lease, list(types), known
        )
        return await self._begun(ids, row) if row else None

    async def resume(self, run_id: UUID, lease: timedelta, *, even_leased: bool) -> Resumed | None:
        """Take over a recorded run; None when it still lives, has ended, waits, or its thread serves another."""
        row = await self._connection.fetchrow(_SQL["resume"], self._tenant_id, run_id, lease, even_leased)
        if row is None:
            return None
        stored = _stored(row)
        run = stored.run
        ids = TurnIds(run.agent_id, run.thread_id, run.user_id, run.id, run.user_message_id, run.assistant_message_id)
        nature = RunNature(run.kind, row["depth"], orjson.loads(row["detail"]))
        return Resumed(ids, _begun(row, _said(row["history"]), run.agent_version), nature, row["message"], stored)

    async def pause(self, ids: TurnIds, text: str, marks: Sequence[Mark], claim: int) -> RunStatus | None:
        """The run waits for a person and keeps its thread: `waiting`, or `running` when everybody has answered already.

        None when the claim was lost.
        """
        await self._connection.execute(_SQL["hold_thread"], self._tenant_id, ids.thread_id, ids.run_id)
        await self.lock(ids.run_id, None)
        return await self._connection.fetchval(
            _SQL["pause"], self._tenant_id, ids.run_id, text, _marks_json(marks), claim
        )

    async def wake(self, run_id: UUID) -> bool:
        """A waiting run may go on; False when somebody has still to be asked, or it does not wait."""
        return await self._connection.fetchval(_SQL["wake"], self._tenant_id, run_id) is not None

    async def let_go(self, ids: TurnIds, text: str, marks: Sequence[Mark], claim: int) -> None:
        """This server stops working on it: any other may go on at once."""
        await self._connection.execute(_SQL["let_go"], self._tenant_id, ids.run_id, text, _marks_json(marks), claim)

    async def lock(self, run_id: UUID, seen_by: UUID | None) -> RunStatus | None:
        """The run's state, which stays as it is until the transaction ends; None when it is not visible."""
        return await self._connection.fetchval(_SQL["lock"], self._tenant_id, run_id, seen_by)

    async def page(
        self, agent_id: UUID, seen_by: UUID | None, status: str | None, cursor: Cursor | None, limit: int, offset: int
    ) -> Page[Run]:
        """The agent's runs, newest first."""
        after = cursor or NEWEST
        rows = await self._connection.fetch(
            _SQL["list_page"], self._tenant_id, agent_id, seen_by, status, after.created_at, after.id, limit + 1, offset
        )
        items = [_stored(row).run for row in rows[:limit]]
        total = await self._connection.fetchval(_SQL["count"], self._tenant_id, agent_id, seen_by, status)
        return Page(items, total, Cursor(items[-1].created_at, items[-1].id) if len(rows) > limit else None)

    async def _begun(self, ids: TurnIds, row: Record) -> Begun:
        history = _said(row["history"])
        last = history[-1].position if history else row["summarized_through"]
        if last < row["position"] - 1:
            # The statement waited for the turn before this one to be stored, and had looked at the messages before.
            text = await self._connection.fetchval(
                _SQL["history"], self._tenant_id, ids.thread_id, row["summarized_through"], row["position"]
            )
            history = _said(text)
        return _begun(row, history)

    async def refusal(self, agent_id: UUID, thread_id: UUID) -> Refusal | None:
        """Why a turn could not begin; None when there is no such agent."""
        row = await self._connection.fetchrow(_SQL["refusal"], self._tenant_id, agent_id, thread_id)
        return Refusal(**dict(row)) if row else None

    async def finish(self, ids: TurnIds, outcome: Outcome, claim: int, *, orphan: bool = False) -> bool:
        """Store answer, counters and events, and free the thread; False when the claim was lost to somebody else.

        An orphan is finished by who took it over, whether or not its thread goes on without it.
        """
        found = await self._connection.fetchval(
            _SQL["finish"], self._tenant_id, ids.thread_id, ids.run_id, ids.assistant_message_id, outcome.content,
            outcome.message_status, orjson.dumps(outcome.metadata).decode(), outcome.run_status, outcome.summary,
            outcome.summarized_through, _marks_json(outcome.marks),
            orjson.dumps(outcome.error).decode() if outcome.error else None, orphan, claim,
        )  # fmt: skip
        return found is not None

    async def keep(self, ids: TurnIds, text: str, marks: Sequence[Mark], lease: timedelta, claim: int) -> bool | None:
        """Store what was said so far and renew the lease: whether the run is to stop, or None when it is lost."""
        return await self._connection.fetchval(
            _SQL["keep"], self._tenant_id, ids.thread_id, ids.run_id, text, _marks_json(marks), lease, claim
        )

    async def order_extraction(self, run_id: UUID) -> None:
        """Have facts read out of this turn afterwards; the order holds ids only."""
        await self._connection.execute(_SQL["order_extraction"], self._tenant_id, run_id)

    async def get(self, run_id: UUID, seen_by: UUID | None) -> StoredRun | None:
        """The run, if it is visible."""
        row = await self._connection.fetchrow(_SQL["get"], self._tenant_id, run_id, seen_by)
        return _stored(row) if row else None

    async def get_alone(self, run_id: UUID, seen_by: UUID) -> StoredRun | None:
        """The run, if it is visible; whoever else asks so for this id waits until our transaction ends.

        So two requests with one key find each other, however close together they come.
        """
        await self._connection.execute(_SQL["lock_id"], self._tenant_id, run_id)
        return await self.get(run_id, seen_by)

    async def request_cancel(self, run_id: UUID, seen_by: UUID | None) -> bool:
        """Ask whichever server runs it to stop; False when it has ended."""
        return await self._connection.fetchval(_SQL["request_cancel"], self._tenant_id, run_id, seen_by) is not None

    async def claim_orphan(
        self, run_id: UUID, lease: timedelta, *, even_leased: bool, waiting: bool = False
    ) -> StoredRun | None:
        """Take over a run whose server is gone, or (`waiting`) that has none because it waits for a person.

        None when somebody else did, or it still lives.
        """
        row = await self._connection.fetchrow(
            _SQL["claim_orphan"], self._tenant_id, run_id, lease, even_leased, waiting
        )
        return _stored(row) if row else None


def _said(history: str) -> list[Said]:
    return [Said(*one) for one in orjson.loads(history)]


def _begun(row: Record, history: Sequence[Said], version: str | None = None) -> Begun:
    return Begun(
        version=version or row["version"],
        contract_json=row["contract_json"],
        claim=row["claim"],
        position=row["position"],
        count_after=row["count_after"],
        summary=row["context_summary"],
        summarized_through=row["summarized_through"],
        history=history,
    )


def _stored(row: Record) -> StoredRun:
    fields = {name: value for name, value in row.items() if name in _RUN_FIELDS}
    marks = [Mark(**one) for one in orjson.loads(fields.pop("marks"))]
    fields["error"] = orjson.loads(fields["error"]) if fields["error"] else None
    return StoredRun(Run.model_validate(fields), marks, row.get("claim", 0))


def _marks_json(marks: Sequence[Mark]) -> str:
    return orjson.dumps([{"type": one.type, "offset": one.offset, "data": one.data} for one in marks]).decode()
