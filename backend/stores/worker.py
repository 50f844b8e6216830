"""What the worker role reads and writes across tenants: logging in, delivering, cleaning up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson

from backend.models.tenant import RoleName
from backend.stores.queries import load

if TYPE_CHECKING:
    from asyncpg import Connection

_SQL = load("worker")


@dataclass(frozen=True, slots=True)
class KnownKey:
    """What is needed to let somebody in."""

    tenant_id: UUID
    id: UUID
    user_id: UUID
    secret_hash: bytes
    role: RoleName
    scopes: frozenset[str]
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    active: bool


@dataclass(frozen=True, slots=True)
class Delivery:
    """One order from the outbox: bring `subject_id` up to date wherever `kind` says."""

    id: int
    tenant_id: UUID
    kind: str
    subject_id: UUID
    payload: dict[str, Any]
    attempts: int


@dataclass(frozen=True, slots=True)
class CurrentContract:
    """An agent's contract as it is now."""

    tenant_id: UUID
    agent_id: UUID
    version: str
    contract_json: str


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits in the outbox."""

    pending: int
    oldest_seconds: float
    failing: int


@dataclass(frozen=True, slots=True)
class DueSchedule:
    """An agent whose schedule needs something now: a tick, a beginning, or (without a `schedule`) an end.

    `known` is the schedule that `next_at` was reckoned from, None when there was none yet; `now` is the database's.
    """

    tenant_id: UUID
    agent_id: UUID
    schedule: str | None
    known: str | None
    next_at: datetime | None
    last_at: datetime | None
    now: datetime


@dataclass(frozen=True, slots=True)
class Ticked:
    """What becomes of a due schedule: the tick that is run, the one after it, and how many before it were missed."""

    tick: datetime
    next_at: datetime
    missed: int = 0
    last_missed: datetime | None = None


@dataclass(frozen=True, slots=True)
class KnownWebhook:
    """What is needed to believe an event: whose it is, what it sets off, and the secret that signs it."""

    tenant_id: UUID
    id: UUID
    agent_id: UUID
    user_id: UUID
    secret: bytes = field(repr=False)


class WorkerStore:
    """Statements of the worker role, each a transaction of its own."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def key_by_prefix(self, prefix: str) -> KnownKey | None:
        """The key with this public part."""
        row = await self._connection.fetchrow(_SQL["key_by_prefix"], prefix)
        if row is None:
            return None
        return KnownKey(
            tenant_id=_plain(row["tenant_id"]),
            id=_plain(row["id"]),
            user_id=_plain(row["user_id"]),
            secret_hash=row["secret_hash"],
            role=row["role"],
            scopes=frozenset(row["scopes"]),
            expires_at=row["expires_at"],
            revoked_at=row["revoked_at"],
            last_used_at=row["last_used_at"],
            active=row["user_status"] == row["tenant_status"] == "active",
        )

    async def touch_key(self, tenant_id: UUID, key_id: UUID) -> None:
        """Remember that the key was used."""
        await self._connection.execute(_SQL["touch_key"], tenant_id, key_id)

    async def claim_deliveries(self, lease: timedelta, limit: int, kinds: Sequence[str]) -> list[Delivery]:
        """Orders of these kinds that are due, leased to us."""
        rows = await self._connection.fetch(_SQL["claim_deliveries"], lease, limit, list(kinds))
        return [
            Delivery(
                id=row["id"],
                tenant_id=_plain(row["tenant_id"]),
                kind=row["kind"],
                subject_id=_plain(row["subject_id"]),
                payload=orjson.loads(row["payload"]),
                attempts=row["attempts"],
            )
            for row in rows
        ]

    async def delivered(self, ids: Sequence[int]) -> None:
        """Strike these orders out."""
        await self._connection.execute(_SQL["delivered"], list(ids))

    async def postpone(self, ids: Sequence[int], delay: timedelta, reason: str) -> None:
        """Try these again later."""
        await self._connection.execute(_SQL["postpone"], list(ids), delay, reason[:1000])

    async def waiting(self, kinds: Sequence[str]) -> Backlog:
        """How much of these kinds waits, how old the oldest is (seconds), and how many were tried before."""
        row = await self._connection.fetchrow(_SQL["waiting"], list(kinds))
        if row is None:
            return Backlog(0, 0.0, 0)
        return Backlog(row["pending"], row["oldest_seconds"] or 0.0, row["failing"])

    async def release_deliveries(self) -> None:
        """At the start of the only process: whoever held leases is gone."""
        await self._connection.execute(_SQL["release_deliveries"])

    async def release_requests(self) -> None:
        """At the start of the only process: whoever worked on requests is gone."""
        await self._connection.execute(_SQL["release_requests"])

    async def forget_requests(self, age: timedelta) -> None:
        """Drop stored answers older than this."""
        await self._connection.execute(_SQL["forget_requests"], age)

    async def schedule_reindex(self) -> int:
        """Order every memory of every tenant to be indexed anew; how many orders that makes.

        None is made where one waits that nobody has begun.
        """
        return await self._connection.fetchval(_SQL["schedule_reindex"])

    async def hasten(self, kinds: Sequence[str]) -> None:
        """Try what waits of these kinds now: what it waited for is back."""
        await self._connection.execute(_SQL["hasten"], list(kinds))

    async def known_memories(self, ids: Sequence[UUID]) -> set[UUID]:
        """Those of these memories that are there."""
        rows = await self._connection.fetch(_SQL["known_memories"], list(ids))
        return {_plain(row["id"]) for row in rows}

    async def contracts(self, agents: Sequence[tuple[UUID, UUID]]) -> dict[UUID, CurrentContract]:
        """The current contracts of (tenant, agent) pairs; those that are gone are not in it."""
        tenants, ids = [one[0] for one in agents], [one[1] for one in agents]
        rows = await self._connection.fetch(_SQL["contracts"], tenants, ids)
        found = (
            CurrentContract(_plain(r["tenant_id"]), _plain(r["id"]), r["version"], r["contract_json"]) for r in rows
        )
        return {one.agent_id: one for one in found}

    async def agents_now(self) -> dict[UUID, tuple[UUID, str]]:
        """Every agent's tenant and version."""
        rows = await self._connection.fetch(_SQL["agent_versions_now"])
        return {_plain(row["id"]): (_plain(row["tenant_id"]), row["version"]) for row in rows}

    async def orphaned_runs(self, *, even_leased: bool) -> list[tuple[UUID, UUID, bool]]:
        """(tenant, run, whether its record lets another go on) of runs whose server is gone."""
        rows = await self._connection.fetch(_SQL["orphaned_runs"], even_leased)
        return [(_plain(row["tenant_id"]), _plain(row["id"]), row["durable"]) for row in rows]

    async def due_schedules(self, limit: int) -> list[DueSchedule]:
        """What there is to do of schedules now, at most `limit` of each kind."""
        rows = await self._connection.fetch(_SQL["due_schedules"], limit)
        return [
            DueSchedule(
                tenant_id=_plain(row["tenant_id"]),
                agent_id=_plain(row["agent_id"]),
                schedule=row["schedule"],
                known=row["known"],
                next_at=row["next_at"],
                last_at=row["last_at"],
                now=row["now"],
            )
            for row in rows
        ]

    async def begin_schedule(self, due: DueSchedule, next_at: datetime) -> None:
        """Wait for the first tick of a new or changed schedule; nothing when it is not as it was read any more."""
        await self._connection.execute(
            _SQL["begin_schedule"], due.tenant_id, due.agent_id, due.schedule, next_at, due.known, due.next_at
        )

    async def pause_schedule(self, due: DueSchedule) -> None:
        """Wait for nothing, as the agent is not to run by itself now."""
        await self._connection.execute(_SQL["pause_schedule"], due.tenant_id, due.agent_id, due.next_at)

    async def tick_schedule(self, due: DueSchedule, ticked: Ticked) -> bool:
        """Take the tick and order its run, in one step; False when somebody else has, or the schedule is another."""
        order = await self._connection.fetchval(
            _SQL["tick_schedule"], due.tenant_id, due.agent_id, due.schedule, due.next_at, ticked.tick,
            ticked.next_at, ticked.missed, ticked.last_missed,
        )  # fmt: skip
        return order is not None

    async def webhook_by_id(self, webhook_id: UUID) -> KnownWebhook | None:
        """The webhook, while the person it acts for and their tenant are active."""
        row = await self._connection.fetchrow(_SQL["webhook_by_id"], webhook_id)
        if row is None:
            return None
        names = ("tenant_id", "id", "agent_id", "user_id")
        return KnownWebhook(**{name: _plain(row[name]) for name in names}, secret=row["secret"])


def _plain(value: UUID) -> UUID:
    """The standard library's UUID: asyncpg gives a subclass, and a tenant must be exactly this type."""
    return UUID(int=value.int)
