"""Rows of erasures, and the removal of a person from every table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self
from uuid import UUID, uuid5

import orjson

from backend.models.erasure import Certificate, Erasure
from backend.models.namespace import Namespace
from backend.models.tenant import Role
from backend.stores.queries import load

if TYPE_CHECKING:
    from asyncpg import Connection, Record

_SQL = load("erasures")
SEARCH_INDEX = "search_index"


@dataclass(frozen=True, slots=True)
class Standing:
    """The highest role that a live key gives the person (None without one), and whether somebody else can own."""

    role: Role | None
    others_own: bool


@dataclass(frozen=True, slots=True)
class ErasurePlan:
    """What is left to do when the rows are gone: ids only. It travels in the order, and goes with it.

    `ids` are memories of theirs outside the namespaces; `orders` were being delivered when the rows went; `traces` are
    ids that no row of anybody else holds; `sessions` may have audio.
    """

    threads: Sequence[UUID] = ()
    namespaces: Sequence[Namespace] = ()
    ids: Sequence[UUID] = ()
    orders: Sequence[int] = ()
    traces: Sequence[UUID] = ()
    sessions: Sequence[UUID] = ()

    def payload(self) -> dict[str, Any]:
        """As the order carries it."""
        return {
            "threads": [str(one) for one in self.threads],
            "namespaces": [str(one) for one in self.namespaces],
            "ids": [str(one) for one in self.ids],
            "orders": list(self.orders),
            "traces": [str(one) for one in self.traces],
            "sessions": [str(one) for one in self.sessions],
        }

    @classmethod
    def from_payload(cls, payload: Mapping[str, Any]) -> Self:
        """What `payload` made."""
        return cls(
            threads=[UUID(one) for one in payload["threads"]],
            namespaces=[Namespace.parse(one) for one in payload["namespaces"]],
            ids=[UUID(one) for one in payload["ids"]],
            orders=payload["orders"],
            traces=[UUID(one) for one in payload["traces"]],
            sessions=[UUID(one) for one in payload.get("sessions", ())],  # an order may be older than this
        )


@dataclass(frozen=True, slots=True)
class StoredErasure:
    """An erasure with what was counted so far, by store."""

    erasure: Erasure
    counts: Mapping[str, int] = field(default_factory=dict[str, int])


class ErasureStore:
    """Erasures of one tenant."""

    def __init__(self, connection: Connection, tenant_id: UUID) -> None:
        self._connection = connection
        self._tenant_id = tenant_id

    async def lock(self, user_id: UUID) -> Standing | None:
        """Hold the person and their threads until the transaction ends; None when there is no such person."""
        # Threads first: who answers in one holds it, and may be about to name the person in a memory.
        await self._connection.execute(_SQL["lock_threads"], self._tenant_id, user_id)
        row = await self._connection.fetchrow(_SQL["lock_person"], self._tenant_id, user_id)
        if row is None:
            return None
        roles = [Role.named(one) for one in row["role_names"]]
        return Standing(max(roles, default=None), row["others_own"])

    async def remove(self, user_id: UUID) -> tuple[dict[str, int], ErasurePlan]:
        """Take the locked person out of every table: how many rows of each, and what is left to do."""
        whose = (self._tenant_id, user_id)
        threads = [_plain(row["id"]) for row in await self._connection.fetch(_SQL["lock_threads"], *whose)]
        places = await self._connection.fetch(_SQL["namespaces"], *whose)
        traces = await self._connection.fetch(_SQL["traces"], *whose)
        dropped = await self._connection.fetch(_SQL["delete_orders"], *whose, threads)
        in_hand = await self._connection.fetch(_SQL["orders_in_hand"], *whose, threads)
        sessions = [_plain(row["id"]) for row in await self._connection.fetch(_SQL["session_ids"], *whose)]
        counts, elsewhere = await self._delete(user_id, threads)
        counts["outbox"] = len(dropped) + len(in_hand)
        # A memory that was forgotten a moment ago may stand in the index until its order, which is dropped, is obeyed.
        ordered = [row["subject_id"] for row in (*dropped, *in_hand) if row["kind"] == "memory.index"]
        plan = ErasurePlan(
            threads=threads,
            namespaces=[
                Namespace(self._tenant_id, _plain(row["agent_id"]), row["scope"], _plain(row["subject_id"]))
                for row in places
            ],
            ids=sorted({_plain(one) for one in (*elsewhere, *ordered)}),
            orders=[row["id"] for row in in_hand],
            traces=[_plain(row["id"]) for row in traces],
            sessions=sessions,
        )
        return counts, plan

    async def _delete(self, user_id: UUID, threads: Sequence[UUID]) -> tuple[dict[str, int], Sequence[UUID]]:
        nobody = uuid5(self._tenant_id, "erased person")
        counts: dict[str, int] = {}
        memories = await self._connection.fetchrow(_SQL["delete_memories"], self._tenant_id, user_id, threads)
        if memories is None:
            raise LookupError(user_id)
        counts["memories"], counts["memory_revisions"] = memories["memories"], memories["revisions"]
        counts[SEARCH_INDEX] = memories["indexed"]
        counts["memory_revisions"] += await self._do("forget_editor", user_id)
        counts["recalls"] = await self._do("delete_recalls", user_id, threads)
        counts["idempotency_keys"] = await self._do("delete_requests", user_id)
        counts["thread_messages"] = await self._do("delete_messages", threads)
        counts["sessions"] = await self._do("delete_sessions", user_id)
        steps = await self._do("delete_steps", threads)
        counts["run_steps"] = steps + await self._do("forget_answers", user_id)
        counts["runs"] = await self._do("delete_runs", threads)
        counts["threads"] = await self._do("delete_threads", user_id)
        counts["audit_log"] = await self._do("empty_audit", user_id)
        counts["api_keys"] = await self._do("delete_keys", user_id)
        counts["webhooks"] = await self._do("delete_webhooks", user_id)
        counts["agents"] = await self._connection.fetchval(_SQL["pass_on_agents"], self._tenant_id, user_id, nobody)
        counts["agent_versions"] = await self._do("forget_author", user_id, nobody)
        counts["users"] = await self._do("delete_person", user_id)
        return counts, memories["elsewhere"]

    async def open(
        self, erasure_id: UUID, user_id: UUID, requested_by: UUID, counts: Mapping[str, int], plan: ErasurePlan
    ) -> Erasure:
        """The erasure's row, and the order to bring it to its end."""
        row = await self._connection.fetchrow(
            _SQL["open"], self._tenant_id, erasure_id, user_id, requested_by, _json(counts), _json(plan.payload())
        )
        if row is None:
            raise LookupError(erasure_id)
        return _stored(row).erasure

    async def get(self, erasure_id: UUID, seen_by: UUID | None) -> StoredErasure | None:
        """The erasure, if it is visible: to who asked for it, or everybody's (None)."""
        row = await self._connection.fetchrow(_SQL["get"], self._tenant_id, erasure_id, seen_by)
        return _stored(row) if row else None

    async def of_person(self, user_id: UUID, seen_by: UUID | None) -> Erasure | None:
        """The last erasure of this person, if it is visible."""
        row = await self._connection.fetchrow(_SQL["of_person"], self._tenant_id, user_id, seen_by)
        return _stored(row).erasure if row else None

    async def note(self, erasure_id: UUID, store: str, count: int) -> None:
        """Keep a count; a larger one that was kept before stays."""
        await self._do("note", erasure_id, store, count)

    async def orders_left(self, orders: Sequence[int]) -> int:
        """How many of these are still being delivered."""
        return await self._connection.fetchval(_SQL["orders_left"], self._tenant_id, list(orders))

    async def found(self, user_id: UUID, threads: Sequence[UUID]) -> dict[str, int]:
        """What each table still holds of the person."""
        row = await self._connection.fetchrow(_SQL["found"], self._tenant_id, user_id, list(threads))
        return dict(row) if row else {}

    async def finish(self, erasure_id: UUID, certificate: Certificate) -> bool:
        """Every store has confirmed; False when that was said before."""
        text = certificate.model_dump_json()
        return await self._do("finish", erasure_id, text, certificate.completed_at) > 0

    async def _do(self, name: str, *values: UUID | str | int | datetime | Sequence[UUID]) -> int:
        """Run a statement; how many rows it changed."""
        said = await self._connection.execute(_SQL[name], self._tenant_id, *values)
        return int(said.rpartition(" ")[2])


def _stored(row: Record) -> StoredErasure:
    fields = dict(row)
    counts: dict[str, int] = orjson.loads(fields.pop("counts"))
    fields["certificate"] = orjson.loads(fields["certificate"]) if fields["certificate"] else None
    return StoredErasure(Erasure.model_validate(fields), counts)


def _json(value: Mapping[str, Any]) -> str:
    return orjson.dumps(value).decode()


def _plain(value: UUID) -> UUID:
    """The standard library's UUID, which asyncpg's is a subclass of."""
    return UUID(int=value.int)
