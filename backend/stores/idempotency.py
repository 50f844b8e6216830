"""Rows of requests that may come twice: a lease while they are worked on, then the stored answer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import orjson

from backend.stores.queries import load

if TYPE_CHECKING:
    from asyncpg import Connection

_SQL = load("idempotency")


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """An HTTP answer to give again."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class KnownRequest:
    """What is known of a key; `answer` is None while it is worked on."""

    request_hash: bytes
    operation_id: UUID
    answer: StoredAnswer | None


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to do the work. `operation_id` stays the same for every try, so that effects can be named after it."""

    number: int
    operation_id: UUID


class IdempotencyStore:
    """Keys of one tenant; each user has their own."""

    def __init__(self, connection: Connection, tenant_id: UUID) -> None:
        self._connection = connection
        self._tenant_id = tenant_id

    async def claim(self, user_id: UUID, key: str, request_hash: bytes, lease: timedelta) -> Lease | None:
        """The work is ours to do, else None: see `known`."""
        row = await self._connection.fetchrow(_SQL["claim"], self._tenant_id, user_id, key, request_hash, lease)
        return Lease(row["lease"], UUID(int=row["operation_id"].int)) if row else None

    async def known(self, user_id: UUID, key: str) -> KnownRequest | None:
        """What is known of this key."""
        row = await self._connection.fetchrow(_SQL["known"], self._tenant_id, user_id, key)
        if row is None:
            return None
        operation_id = UUID(int=row["operation_id"].int)
        if row["state"] != "done":
            return KnownRequest(row["request_hash"], operation_id, None)
        headers: dict[str, str] = orjson.loads(row["headers"])
        return KnownRequest(row["request_hash"], operation_id, StoredAnswer(row["status"], headers, row["body"]))

    async def renew(self, user_id: UUID, key: str, lease_number: int, lease: timedelta) -> bool:
        """Hold on to the work; False when somebody else took it over."""
        values = (self._tenant_id, user_id, key, lease_number, lease)
        return await self._connection.fetchval(_SQL["renew"], *values) is not None

    async def finish(self, user_id: UUID, key: str, lease_number: int, answer: StoredAnswer) -> bool:
        """Store the answer; False when somebody else took the work over."""
        values = (answer.status, orjson.dumps(answer.headers).decode(), answer.body)
        found = await self._connection.fetchval(_SQL["finish"], self._tenant_id, user_id, key, lease_number, *values)
        return found is not None

    async def release(self, user_id: UUID, key: str, lease_number: int) -> None:
        """Nothing was done: the next try may do it."""
        await self._connection.fetchval(_SQL["release"], self._tenant_id, user_id, key, lease_number)
